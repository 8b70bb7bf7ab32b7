package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Dir is a directory of specs.
type Dir struct {
	typed string
	lim   limits
}

// Directory is the source that reads dir, and what CUE would find from there:
// the tree's root is the enclosing CUE module, which is the nearest folder
// upwards with a cue.mod, or dir itself. Nothing is read before Fetch.
func Directory(dir string) *Dir {
	if dir == "" {
		dir = "."
	}
	return &Dir{typed: dir, lim: defaultLimits()}
}

// Origin is the directory as it was given.
func (d *Dir) Origin() string { return d.typed }

// Fetch reads the files into memory. known saves nothing here but the
// evaluation: the files are the only thing that tells if they changed.
func (d *Dir) Fetch(ctx context.Context, known string) (*Candidate, error) {
	tree, err := d.read(ctx)
	if err != nil {
		return nil, locate(err, "read", d.typed)
	}
	if tree.Revision == known {
		return nil, ErrUnchanged
	}
	return &Candidate{
		Revision: tree.Revision,
		Origin:   tree.Origin,
		open: func() (*Tree, error) {
			t := *tree
			return &t, nil
		},
	}, nil
}

func (d *Dir) read(ctx context.Context) (*Tree, error) {
	place, err := find(d.typed)
	if err != nil {
		return nil, err
	}
	// os.Root refuses, in the kernel's path walk, whatever leads out of it.
	root, err := os.OpenRoot(place.root)
	if err != nil {
		return nil, fileError("", err)
	}
	defer root.Close()

	files := newSnapshot(d.lim)
	visited := 0
	err = fs.WalkDir(root.FS(), ".", func(p string, e fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return interrupted(ctx, 0)
		}
		if visited++; visited > d.lim.visited {
			return invalid("the module root %s has over %d files: put a cue.mod folder nearer to the specs", place.root, d.lim.visited)
		}
		if p != "." && leftOut(p, place.dir) {
			if e != nil && e.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if err != nil {
			return fileError(p, err)
		}
		if e.IsDir() || !specFile(p, place.dir) {
			return nil
		}
		return readFile(root, p, e, files)
	})
	if err != nil {
		return nil, err
	}
	if err := files.seal(); err != nil {
		return nil, err
	}
	if err := wantCUE(files, place.dir, d.typed); err != nil {
		return nil, err
	}
	return &Tree{
		Revision: "dir-" + files.hash(place.dir),
		Origin:   d.typed,
		FS:       files,
		Dir:      place.dir,
		Label:    place.label,
		typed:    d.typed,
	}, nil
}

// place is a directory within its CUE module.
type place struct {
	root  string // absolute, free of symlinks
	dir   string // slash separated, relative to root
	label string
}

func find(typed string) (place, error) {
	abs, err := filepath.Abs(typed)
	if err != nil {
		return place{}, fileError("", err)
	}
	real, err := filepath.EvalSymlinks(abs)
	if errors.Is(err, fs.ErrNotExist) {
		return place{}, notFound("there is no such directory")
	}
	if err != nil {
		return place{}, fileError("", err)
	}
	info, err := os.Stat(real)
	if err != nil {
		return place{}, fileError("", err)
	}
	if !info.IsDir() {
		return place{}, invalid("this is not a directory: name the folder that holds the CUE files")
	}
	root := real
	for up := real; ; up = filepath.Dir(up) {
		if info, err := os.Stat(filepath.Join(up, "cue.mod")); err == nil && info.IsDir() {
			root = up
			break
		}
		if up == filepath.Dir(up) {
			break
		}
	}
	dir, err := filepath.Rel(root, real)
	if err != nil {
		return place{}, fileError("", err)
	}
	up, err := filepath.Rel(real, root)
	if err != nil {
		return place{}, fileError("", err)
	}
	label := filepath.Join(typed, up)
	if real != abs && up != "." {
		label = root // ".." after a symlink is not where it looks
	}
	switch {
	case label == ".":
		label = ""
	case !strings.HasSuffix(label, string(filepath.Separator)):
		label += string(filepath.Separator)
	}
	return place{root: root, dir: filepath.ToSlash(dir), label: label}, nil
}

func readFile(root *os.Root, p string, e fs.DirEntry, files *snapshot) error {
	if err := checkName(p); err != nil {
		return err
	}
	link := e.Type()&fs.ModeSymlink != 0
	info, err := root.Stat(p)
	if err != nil {
		if !link || errors.Is(err, fs.ErrPermission) {
			return fileError(p, err)
		}
		target, _ := root.Readlink(p)
		if errors.Is(err, syscall.ELOOP) {
			return linkCircle(p, target)
		}
		return linkError(p, target, errors.Is(err, fs.ErrNotExist))
	}
	if info.IsDir() {
		return folderLink(p)
	}
	if !info.Mode().IsRegular() {
		return invalid("%s is not a regular file", quoteName(p))
	}
	if err := files.room(p, info.Size()); err != nil {
		return err
	}
	// O_NONBLOCK: a pipe put there since the Stat must not hang the loop.
	f, err := root.OpenFile(p, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return fileError(p, err)
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil || !info.Mode().IsRegular() {
		return invalid("%s changed while it was read: try again", quoteName(p))
	}
	data, err := io.ReadAll(io.LimitReader(f, files.lim.file+1))
	if err != nil {
		return fileError(p, err)
	}
	return files.add(p, data)
}

// linkError is a symlink that cannot be followed. The target is another
// person's text: quoted.
func linkError(p, target string, dangling bool) error {
	if dangling {
		return invalid("%s is a symlink to %s, which does not exist", quoteName(p), quoteName(target))
	}
	return invalid("%s is a symlink to %s, which leaves the tree: copy the file in, or link to it by a relative path inside the tree", quoteName(p), quoteName(target))
}

func linkCircle(p, target string) error {
	return invalid("%s is a symlink to %s, which leads in a circle", quoteName(p), quoteName(target))
}

// folderLink judges a symlink to a folder inside the tree. CUE does not follow
// those when it looks for packages, but a module folder it would miss.
func folderLink(p string) error {
	if inModuleFolder(p) {
		return invalid("%s is a symlink to a folder, and those are not followed: copy the folder in", quoteName(p))
	}
	return nil
}

// fileError says what the system said, once, without its own words for "open".
func fileError(p string, err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	text := err.Error()
	if p != "" {
		text = quoteName(p) + ": " + text
	}
	switch {
	case errors.Is(err, fs.ErrPermission):
		return denied("%s", text)
	case errors.Is(err, fs.ErrNotExist):
		return notFound("%s", text)
	}
	return unavailable("%s", text)
}

// wantCUE refuses a tree with nothing in dir.
func wantCUE(files *snapshot, dir, typed string) error {
	folders := files.cueFolders()
	for _, f := range folders {
		if f == dir {
			return nil
		}
	}
	var below []string
	for _, f := range folders {
		if within(f, dir) {
			below = append(below, f)
		}
	}
	if len(below) > 0 {
		return notFound("no CUE files in %s itself, only in %s: name the folder of the spec", typed, list(below, 5))
	}
	return notFound("no CUE files in %s: `hactl init %s` writes a spec to start from", typed, typed)
}

// list joins at most n names for a message.
func list(names []string, n int) string {
	if len(names) <= n {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:n], ", "), len(names)-n)
}

// quoteName leaves an ordinary name as it is.
func quoteName(name string) string {
	if q := strconv.Quote(name); q != `"`+name+`"` || strings.ContainsAny(name, " ,:;") || name == "" {
		return q
	}
	return name
}

func bytesText(n int64) string {
	switch {
	case n >= 10<<20:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 10<<10:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}
