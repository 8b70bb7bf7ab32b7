package source

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/hactl/hactl/reconcile/source/gitsig"
)

// Require says which signature counts.
type Require string

// What Verified can ask for.
const (
	RequireCommit Require = "commit" // the commit's own
	RequireTag    Require = "tag"    // that of the annotated tag which the source follows
	RequireEither Require = "either" // one of the two
)

// Verified admits a revision that somebody in Keys vouches for, by signing its
// commit or the tag that leads to it.
//
// A commit's signature covers its tree, and so every file, by their hashes; it
// says nothing of the place the commit is found at. Whoever can push may
// therefore move a branch to any signed commit, an older one among them: what
// guards against that is Candidate.Descends. A tag's signature covers its name
// too, which must be that of the ref: v1 cannot be shown again as v2.
//
// The keys are judged at the time of the check, see package gitsig: a signer who
// was removed, or whose key has expired, vouches for nothing any more, whatever
// date a commit bears.
type Verified struct {
	Keys    gitsig.Keys      // whose signatures count; the zero value refuses everything
	Require Require          // empty for RequireCommit
	Now     func() time.Time // nil for time.Now
}

// Check implements Trust. Its errors are, or wrap, those of gitsig.
func (v Verified) Check(c *Candidate) (string, error) {
	now := time.Now
	if v.Now != nil {
		now = v.Now
	}
	if c.Commit == nil {
		return "", errors.New("a directory has no signature: --require-signature is for Git repositories")
	}
	commit, err := bound(c)
	if err != nil {
		return "", err
	}
	byCommit := func() (gitsig.Signer, error) {
		s, err := v.Keys.Verify(commit.Payload, commit.Signature, now())
		return s, wanting(err, "commit")
	}
	byTag := func() (gitsig.Signer, error) { return v.tag(c, now()) }

	var s gitsig.Signer
	switch v.Require {
	case RequireCommit, "":
		s, err = byCommit()
	case RequireTag:
		s, err = byTag()
	case RequireEither:
		s, err = byCommit()
		if err == nil {
			break
		}
		if c.Tag == nil {
			err = either{err}
			break
		}
		var noTag error
		if s, noTag = byTag(); noTag == nil {
			err = nil
		} else {
			err = fmt.Errorf("neither its commit nor its tag is vouched for: the commit: %w; %w", err, noTag)
		}
	default:
		return "", fmt.Errorf("--require-signature is commit, tag or either, not %q", v.Require)
	}
	if err != nil {
		return "", err
	}
	return s.String(), nil
}

// bound takes the candidate's commit apart, once it is certain that it is the
// one which the revision names, and that its tree is the one to be read.
func bound(c *Candidate) (gitsig.Commit, error) {
	if id := plumbing.ComputeHash(plumbing.CommitObject, c.Commit.Object).String(); id != c.Revision {
		return gitsig.Commit{}, fmt.Errorf("its commit is %s", id)
	}
	commit, err := gitsig.ParseCommit(c.Commit.Object)
	if err != nil {
		return gitsig.Commit{}, err
	}
	if commit.Tree != c.root {
		return gitsig.Commit{}, fmt.Errorf("its files are those of the tree %s, and its commit names %s", c.root, commit.Tree)
	}
	return commit, nil
}

// tag verifies the annotated tag, and that it means this revision under this name.
func (v Verified) tag(c *Candidate, now time.Time) (gitsig.Signer, error) {
	name, isTag := strings.CutPrefix(c.Ref, "refs/tags/")
	switch {
	case c.Ref == "":
		return gitsig.Signer{}, errors.New("a pinned SHA goes by no tag: --require-signature wants a signed tag, so follow that by its name")
	case !isTag:
		return gitsig.Signer{}, fmt.Errorf("%s is not a tag: --require-signature wants a signed tag", c.Ref)
	case c.Tag == nil:
		return gitsig.Signer{}, fmt.Errorf("the tag %s is a lightweight one, which cannot be signed; --require-signature wants a signed tag (git tag -s)", name)
	}
	in := func(err error) error { return fmt.Errorf("the tag %s: %w", name, err) }
	if id := plumbing.ComputeHash(plumbing.TagObject, c.Tag.Object).String(); id != c.Tag.ID {
		return gitsig.Signer{}, in(fmt.Errorf("its object is %s, not %s", id, c.Tag.ID))
	}
	t, err := gitsig.ParseTag(c.Tag.Object)
	if err != nil {
		return gitsig.Signer{}, in(err)
	}
	s, err := v.Keys.Verify(t.Payload, t.Signature, now)
	switch {
	case err != nil:
		return gitsig.Signer{}, in(wanting(err, "tag"))
	case t.Name != name:
		return gitsig.Signer{}, in(fmt.Errorf("it was signed as the tag %q, and is shown under another name", t.Name))
	case t.Type != "commit":
		return gitsig.Signer{}, in(fmt.Errorf("it is the tag of a %s, and a commit is what must be signed for", t.Type))
	case t.Object != c.Revision:
		return gitsig.Signer{}, in(fmt.Errorf("it was signed for %s", t.Object))
	}
	return s, nil
}

// wanting adds what to do about no signature at all.
func wanting(err error, what string) error {
	if errors.Is(err, gitsig.ErrUnsigned) {
		return fmt.Errorf("%w; --require-signature wants a signed %s", err, what)
	}
	return err
}

// either is the complaint about a commit where a tag would have done.
type either struct{ error }

func (e either) Error() string {
	return e.error.Error() + " (or a signed tag, if the source follows one)"
}
func (e either) Unwrap() error { return e.error }
