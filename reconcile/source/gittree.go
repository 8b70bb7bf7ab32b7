package source

import (
	"errors"
	"path"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"
)

// gitTree reads the CUE files of one revision straight from its objects.
type gitTree struct {
	objects storer.EncodedObjectStorer
	dir     string
	files   *snapshot
	visited int
	trees   map[plumbing.Hash]*object.Tree
}

// maxDepth bounds folders within folders and symlinks to symlinks. A tree
// cannot contain itself, but a hundred levels of it are an attack.
const maxDepth = 64

func readTree(objects storer.EncodedObjectStorer, root plumbing.Hash, dir string, lim limits) (*snapshot, error) {
	r := gitTree{objects: objects, dir: dir, files: newSnapshot(lim), trees: map[plumbing.Hash]*object.Tree{}}
	top, err := r.tree(root, ".")
	if err != nil {
		return nil, err
	}
	if err := r.checkDir(top); err != nil {
		return nil, err
	}
	if err := r.walk(top, top, "", 0); err != nil {
		return nil, err
	}
	if err := r.files.seal(); err != nil {
		return nil, err
	}
	where := "folder " + quoteName(dir)
	if dir == "." {
		where = "the repository's root"
	}
	for _, f := range r.files.cueFolders() {
		if f == dir {
			return r.files, nil
		}
	}
	if folders := r.files.cueFolders(); len(folders) > 0 {
		return nil, notFound("no CUE files in %s: name the folder of the spec, such as %s", where, list(folders, 5))
	}
	return nil, notFound("no CUE files in %s, or anywhere in this revision: `hactl init` writes a spec to start from", where)
}

func (r *gitTree) tree(h plumbing.Hash, name string) (*object.Tree, error) {
	if t, ok := r.trees[h]; ok {
		return t, nil
	}
	t, err := object.GetTree(r.objects, h)
	if err != nil {
		return nil, invalid("the folder %s of this revision cannot be read: %v", quoteName(name), err)
	}
	r.trees[h] = t
	return t, nil
}

// checkDir explains why dir is not there, or not a folder.
func (r *gitTree) checkDir(top *object.Tree) error {
	if r.dir == "." {
		return nil
	}
	at, seen := top, "."
	for part := range strings.SplitSeq(r.dir, "/") {
		e := entry(at, part)
		here := path.Join(seen, part)
		switch {
		case e == nil:
			var has []string
			for _, e := range at.Entries {
				if e.Mode == filemode.Dir && !strings.HasPrefix(e.Name, ".") {
					has = append(has, clean(e.Name))
				}
			}
			if len(has) == 0 {
				return notFound("there is no folder %s in this revision", quoteName(here))
			}
			return notFound("there is no folder %s in this revision; %s has %s", quoteName(here), quoteName(seen), list(has, 5))
		case e.Mode == filemode.Submodule:
			return invalid("%s is a submodule, and those are not fetched: name its own repository instead", quoteName(here))
		case e.Mode == filemode.Symlink:
			return invalid("%s is a symlink: name the folder it stands for", quoteName(here))
		case e.Mode != filemode.Dir:
			return invalid("%s is a file: name the folder that holds the CUE files", quoteName(here))
		}
		next, err := r.tree(e.Hash, here)
		if err != nil {
			return err
		}
		at, seen = next, here
	}
	return nil
}

func entry(t *object.Tree, name string) *object.TreeEntry {
	for i := range t.Entries {
		if t.Entries[i].Name == name {
			return &t.Entries[i]
		}
	}
	return nil
}

func (r *gitTree) walk(top, t *object.Tree, dir string, depth int) error {
	if depth > maxDepth {
		return invalid("folders are nested more than %d deep in %s", maxDepth, quoteName(dir))
	}
	for _, e := range t.Entries {
		if r.visited++; r.visited > r.files.lim.visited {
			return invalid("this revision has over %d files: keep the specs in a repository of their own", r.files.lim.visited)
		}
		if e.Name == "." || e.Name == ".." || strings.ContainsAny(e.Name, "/\x00") {
			return invalid("this revision has a file named %s", quoteName(e.Name))
		}
		p := path.Join(dir, e.Name)
		if leftOut(p, r.dir) {
			continue
		}
		var err error
		switch e.Mode {
		case filemode.Dir:
			var sub *object.Tree
			if sub, err = r.tree(e.Hash, p); err == nil {
				err = r.walk(top, sub, p, depth+1)
			}
		case filemode.Regular, filemode.Executable, filemode.Deprecated:
			if specFile(p, r.dir) {
				err = r.take(p, e.Hash)
			}
		case filemode.Symlink:
			if specFile(p, r.dir) {
				err = r.follow(top, p, e.Hash)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// take adds the blob h as the file p.
func (r *gitTree) take(p string, h plumbing.Hash) error {
	if err := checkName(p); err != nil {
		return err
	}
	blob, err := r.objects.EncodedObject(plumbing.BlobObject, h)
	if errors.Is(err, plumbing.ErrObjectNotFound) {
		// The filter in request kept it back.
		return invalid("%s is over the limit of %s for one file", quoteName(p), bytesText(r.files.lim.file))
	}
	if err != nil {
		return invalid("%s of this revision cannot be read: %v", quoteName(p), err)
	}
	if err := r.files.room(p, blob.Size()); err != nil {
		return err
	}
	data, err := content(blob)
	if err != nil {
		return invalid("%s of this revision cannot be read: %v", quoteName(p), err)
	}
	return r.files.add(p, data)
}

// follow adds what the symlink p, whose text is the blob h, leads to.
func (r *gitTree) follow(top *object.Tree, p string, h plumbing.Hash) error {
	if err := checkName(p); err != nil {
		return err
	}
	at, first := p, ""
	for range maxDepth {
		text, err := r.link(at, h)
		if err != nil {
			return err
		}
		if first == "" {
			first = text
		}
		if path.IsAbs(text) {
			return linkError(p, text, false)
		}
		// Textually: a link through a symlinked folder is not followed.
		at = path.Join(path.Dir(at), text)
		if at == ".." || strings.HasPrefix(at, "../") {
			return linkError(p, text, false)
		}
		e, err := r.find(top, at)
		switch {
		case err != nil:
			return err
		case e == nil:
			return linkError(p, first, true)
		case e.Mode == filemode.Symlink:
			h = e.Hash
		case e.Mode.IsFile():
			return r.take(p, e.Hash)
		default:
			return folderLink(p)
		}
	}
	return linkCircle(p, first)
}

func (r *gitTree) link(p string, h plumbing.Hash) (string, error) {
	blob, err := r.objects.EncodedObject(plumbing.BlobObject, h)
	if err != nil || blob.Size() > 4096 {
		return "", invalid("the symlink %s of this revision cannot be read", quoteName(p))
	}
	data, err := content(blob)
	if err != nil {
		return "", invalid("the symlink %s of this revision cannot be read: %v", quoteName(p), err)
	}
	return string(data), nil
}

// find looks p up; nil if it is not there.
func (r *gitTree) find(top *object.Tree, p string) (*object.TreeEntry, error) {
	if p == "." {
		return &object.TreeEntry{Mode: filemode.Dir}, nil
	}
	at := top
	dir, name := path.Split(p)
	for part := range strings.SplitSeq(strings.Trim(dir, "/"), "/") {
		if part == "" {
			continue
		}
		e := entry(at, part)
		if e == nil || e.Mode != filemode.Dir {
			return nil, nil
		}
		next, err := r.tree(e.Hash, part)
		if err != nil {
			return nil, err
		}
		at = next
	}
	return entry(at, name), nil
}
