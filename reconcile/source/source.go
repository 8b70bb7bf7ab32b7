package source

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Source is a place where specs are kept. Its methods may be called
// concurrently.
type Source interface {
	// Fetch returns the newest candidate. If its revision equals known it
	// returns ErrUnchanged, having moved no files; known is empty at first.
	// Any other error is an *Error.
	Fetch(ctx context.Context, known string) (*Candidate, error)

	// Origin says where this source looks, free of credentials.
	Origin() string
}

// Tree is an admitted tree of files at one revision. It is immutable, and may
// be read concurrently.
type Tree struct {
	Revision string // git: the commit's 40 hex digits; a directory: "dir-" and 12 hex digits over names and bytes
	Origin   string // what to call it in messages, credential free: https://host/repo@main, or the directory as given
	FS       fs.FS  // the files; its root is the repository's (git) or the enclosing CUE module's (directory)
	Dir      string // the spec's folder inside FS, slash separated, "." for the root
	Signer   string // who vouched for it, as Trust.Check said: "alice@example.com (SSH SHA256:...)"; empty for Unverified

	// Label goes in front of a path in FS to give what a user would open:
	// empty for git. Name is kinder to the reader where Dir is not the root.
	Label string

	typed string // the directory as given; empty for git
}

// Name is what a user would open for a file of FS: relative to the directory
// they typed ("edge.cue" for ".", "examples/x/edge.cue" for "examples/x"), and
// the path itself for git.
func (t *Tree) Name(file string) string {
	if t.typed == "" {
		return t.Label + file
	}
	if t.Dir == "." {
		return filepath.Join(t.typed, filepath.FromSlash(file))
	}
	if below, ok := strings.CutPrefix(file, t.Dir+"/"); ok {
		return filepath.Join(t.typed, filepath.FromSlash(below))
	}
	return t.Label + filepath.FromSlash(file)
}

// Candidate is a revision that was fetched and that nobody vouched for yet.
type Candidate struct {
	Revision string  // as Tree.Revision
	Origin   string  // as Tree.Origin
	Ref      string  // the ref it was found at, in full (refs/heads/main); empty for a directory or a pinned SHA
	Commit   *Commit // nil for a directory
	Tag      *Tag    // the annotated tag that led here, or nil; of a tag of a tag, the first

	open     func() (*Tree, error)
	root     string                                      // git: the tree object that open reads
	descends func(context.Context, string) (bool, error) // nil for a directory
}

// Commit is what a commit says about itself, unverified.
type Commit struct {
	Author    Identity
	Committer Identity
	Message   string
	Parents   []string // 40 hex digits each
	Object    []byte   // all of it, signature included: the bytes whose hash is the revision
}

// Tag is an annotated tag, unverified.
type Tag struct {
	ID     string // 40 hex digits
	Object []byte // as Commit.Object
}

// Identity is an author, committer or tagger.
type Identity struct {
	Name, Email string
	When        time.Time
}

// Trust decides if a candidate may be used. Check returns nil to admit it, and
// who vouched for it, if anybody; the error otherwise is shown to the operator.
type Trust interface {
	Check(*Candidate) (signer string, err error)
}

// Unverified admits any revision: whoever can write to the source decides.
type Unverified struct{}

// Check returns nobody and nil.
func (Unverified) Check(*Candidate) (string, error) { return "", nil }

// Admit asks t, and only if that agrees reads the files. It may be called
// again; each call gives a Tree of its own.
func (c *Candidate) Admit(t Trust) (*Tree, error) {
	if t == nil {
		t = refuseAll{}
	}
	signer, err := t.Check(c)
	if err != nil {
		return nil, &Error{Op: "admit", Origin: c.Origin, Kind: ErrDenied, Text: "revision " + c.Revision + ": " + err.Error(), Err: err}
	}
	tree, err := c.open()
	if err != nil {
		return nil, locate(err, "read", c.Origin)
	}
	tree.Signer = signer
	return tree, nil
}

// Descends reports if from, a revision as in Tree.Revision, is this candidate's
// own or among its ancestors: if it is not, taking this candidate would go back,
// or to another history. An empty from is among everybody's ancestors, and a
// directory has no history, so that its candidates descend from everything.
//
// A parent is known at once. For anything older the history since from is
// fetched, without files where the server can leave them out; true then rests
// on the hashes of the commits in between, false partly on the server's word.
// If the history cannot be had, is incomplete or too long to tell, there is an
// error, of the kinds that Fetch has, and the answer means nothing.
func (c *Candidate) Descends(ctx context.Context, from string) (bool, error) {
	switch {
	case c.descends == nil, from == "", from == c.Revision:
		return true, nil
	case c.Commit != nil && slices.Contains(c.Commit.Parents, from):
		return true, nil
	case !fullSHA.MatchString(from): // a directory's: the source was another
		return false, nil
	}
	return c.descends(ctx, strings.ToLower(from))
}

type refuseAll struct{}

func (refuseAll) Check(*Candidate) (string, error) {
	return "", errors.New("no trust policy was given")
}

// within reports if the slash separated path p is dir or below it.
func within(p, dir string) bool {
	return dir == "." || p == dir || strings.HasPrefix(p, dir+"/")
}

// specFile reports if the file p, or the symlink of that name, belongs in a
// tree whose spec is in dir.
func specFile(p, dir string) bool {
	if leftOut(p, dir) {
		return false
	}
	return path.Ext(p) == ".cue" || inModuleFolder(p)
}

// inModuleFolder reports if p is a cue.mod or something in one.
func inModuleFolder(p string) bool { return strings.Contains("/"+p+"/", "/cue.mod/") }

// leftOut reports if p is or is below something hidden, where dir is not.
func leftOut(p, dir string) bool {
	for i, rest := 0, p; ; {
		name, tail, more := strings.Cut(rest, "/")
		end := i + len(name)
		if name == ".git" || name == "lost+found" {
			return true
		}
		if name != "." && strings.HasPrefix(name, ".") && !within(dir, p[:end]) {
			return true
		}
		if !more {
			return false
		}
		i, rest = end+1, tail
	}
}
