package source

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// limits bound what one tree may cost. They protect the host, not the user's
// taste: a thousand pools are well under a megabyte.
type limits struct {
	file     int64 // bytes of one file
	total    int64 // bytes of all files
	files    int   // number of files
	visited  int   // number of directory entries looked at
	pack     int64 // bytes of a Git transfer
	inflated int64 // bytes of its objects, unpacked
	commits  int   // commits of history looked at, to tell if it goes on
}

func defaultLimits() limits {
	return limits{
		file: 16 << 20, total: 64 << 20, files: 20_000, visited: 500_000,
		pack: 128 << 20, inflated: 256 << 20, commits: 100_000,
	}
}

// snapshot collects files, and is an fs.FS once sealed.
type snapshot struct {
	lim   limits
	total int64
	files map[string][]byte
	dirs  map[string][]fs.DirEntry
}

func newSnapshot(lim limits) *snapshot {
	return &snapshot{lim: lim, files: map[string][]byte{}}
}

// room refuses a file that would go past a limit, before it is read.
func (s *snapshot) room(name string, size int64) error {
	switch {
	case size > s.lim.file:
		return invalid("%s has %s, over the limit of %s for one file", quoteName(name), bytesText(size), bytesText(s.lim.file))
	case s.total+size > s.lim.total:
		return invalid("the CUE files have over %s together: keep the specs in a folder or repository of their own", bytesText(s.lim.total))
	case len(s.files) >= s.lim.files:
		return invalid("there are over %d CUE files: keep the specs in a folder or repository of their own", s.lim.files)
	}
	return nil
}

// add keeps data, which the caller gives up, under name.
func (s *snapshot) add(name string, data []byte) error {
	if err := checkName(name); err != nil {
		return err
	}
	if err := s.room(name, int64(len(data))); err != nil {
		return err
	}
	if _, twice := s.files[name]; twice {
		return invalid("%s is in the tree twice", quoteName(name))
	}
	s.files[name] = data
	s.total += int64(len(data))
	return nil
}

// checkName refuses what fs.FS cannot name or a terminal should not print.
func checkName(name string) error {
	if !utf8.ValidString(name) {
		return invalid("the file name %s is not UTF-8: rename it", quoteName(name))
	}
	if strings.ContainsFunc(name, unicode.IsControl) {
		return invalid("the file name %s has a control character: rename it", quoteName(name))
	}
	if !fs.ValidPath(name) {
		return invalid("the file name %s is not a path inside the tree", quoteName(name))
	}
	return nil
}

// seal builds the folders; nothing may be added after it.
func (s *snapshot) seal() error {
	s.dirs = map[string][]fs.DirEntry{".": nil}
	for name, data := range s.files {
		var child fs.DirEntry = &node{name: path.Base(name), size: int64(len(data))}
		for {
			parent := path.Dir(name)
			known := s.dirs[parent]
			_, seen := s.dirs[parent]
			s.dirs[parent] = append(known, child)
			if seen {
				break
			}
			child = &node{name: path.Base(parent), dir: true}
			name = parent
		}
	}
	for name, entries := range s.dirs {
		if _, clash := s.files[name]; clash {
			return invalid("%s is both a file and a folder", quoteName(name))
		}
		slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	}
	return nil
}

// cueFolders lists the folders that hold CUE files, sorted, cue.mod apart.
func (s *snapshot) cueFolders() []string {
	var out []string
	for dir, entries := range s.dirs {
		if strings.Contains("/"+dir+"/", "/cue.mod/") {
			continue
		}
		if slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return !e.IsDir() && path.Ext(e.Name()) == ".cue" }) {
			out = append(out, dir)
		}
	}
	slices.Sort(out)
	return out
}

// hash is 12 hex digits over dir, the names and the bytes.
func (s *snapshot) hash(dir string) string {
	names := make([]string, 0, len(s.files))
	for name := range s.files {
		names = append(names, name)
	}
	slices.Sort(names)
	h := sha256.New()
	field := func(b []byte) { // length first: no two trees share an encoding
		_ = binary.Write(h, binary.BigEndian, uint64(len(b)))
		h.Write(b)
	}
	field([]byte(dir))
	for _, name := range names {
		field([]byte(name))
		field(s.files[name])
	}
	return hex.EncodeToString(h.Sum(nil))[:12]
}

// Open implements fs.FS.
func (s *snapshot) Open(name string) (fs.File, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	if data, ok := s.files[name]; ok {
		return &openFile{node{name: path.Base(name), size: int64(len(data))}, bytes.NewReader(data)}, nil
	}
	if entries, ok := s.dirs[name]; ok {
		return &openDir{node: node{name: path.Base(name), dir: true}, path: name, entries: entries}, nil
	}
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}

// ReadFile implements fs.ReadFileFS; the bytes are the caller's.
func (s *snapshot) ReadFile(name string) ([]byte, error) {
	if data, ok := s.files[name]; ok {
		return bytes.Clone(data), nil
	}
	f, err := s.Open(name)
	if err != nil {
		return nil, err
	}
	_, err = f.Read(nil)
	return nil, err
}

// node is a file's or folder's name, as fs.FileInfo and fs.DirEntry.
type node struct {
	name string
	size int64
	dir  bool
}

func (n *node) Name() string               { return n.name }
func (n *node) Size() int64                { return n.size }
func (n *node) ModTime() time.Time         { return time.Time{} }
func (n *node) IsDir() bool                { return n.dir }
func (n *node) Sys() any                   { return nil }
func (n *node) Type() fs.FileMode          { return n.Mode().Type() }
func (n *node) Info() (fs.FileInfo, error) { return n, nil }
func (n *node) Mode() fs.FileMode {
	if n.dir {
		return fs.ModeDir | 0o555
	}
	return 0o444
}

type openFile struct {
	node
	*bytes.Reader
}

func (f *openFile) Stat() (fs.FileInfo, error) { return &f.node, nil }
func (f *openFile) Size() int64                { return f.node.size }
func (f *openFile) Close() error               { return nil }

type openDir struct {
	node
	path    string
	entries []fs.DirEntry
	next    int
}

func (d *openDir) Stat() (fs.FileInfo, error) { return &d.node, nil }
func (d *openDir) Close() error               { return nil }
func (d *openDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.path, Err: fs.ErrInvalid}
}

func (d *openDir) ReadDir(n int) ([]fs.DirEntry, error) {
	rest := d.entries[d.next:]
	if n > 0 {
		if len(rest) == 0 {
			return nil, io.EOF
		}
		rest = rest[:min(n, len(rest))]
	}
	d.next += len(rest)
	return slices.Clone(rest), nil
}
