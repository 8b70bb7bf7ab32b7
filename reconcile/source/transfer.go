package source

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/packfile"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"
	"github.com/go-git/go-git/v5/storage/memory"
)

// session is one conversation with git-upload-pack: a listing, then at most one
// pack. Its errors are ours.
type session interface {
	refs(context.Context) (*packp.AdvRefs, error)
	pack(context.Context, *packp.UploadPackRequest) (io.ReadCloser, error)
	// explain turns a failure to decode what pack returned into what the
	// server meant by it, if it said so.
	explain(error) error
	close()
}

func (g *GitRemote) connect(ctx context.Context, secrets *[]string) (session, error) {
	switch g.at.scheme {
	case "file":
		return g.connectFile(ctx)
	case "ssh":
		return g.connectSSH(ctx)
	}
	return g.connectWeb(ctx, secrets)
}

// transfer lists the refs and, if the wanted one has moved, gets the objects of
// that one revision.
func (g *GitRemote) transfer(ctx context.Context, s session, known string) (*Candidate, error) {
	adv, err := s.refs(ctx)
	if err != nil {
		return nil, err
	}
	t, err := resolve(adv, g.opts.Ref)
	if err != nil {
		return nil, err
	}
	if !t.commit.IsZero() && t.commit.String() == known {
		return nil, ErrUnchanged
	}
	req := g.request(adv, t.want)
	body, err := s.pack(ctx, req)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	objects, err := unpack(packReader(req.Capabilities, body), g.lim)
	if err != nil {
		return nil, s.explain(err)
	}
	return g.candidate(objects, t, known)
}

// request asks for one revision and no history.
func (g *GitRemote) request(adv *packp.AdvRefs, want plumbing.Hash) *packp.UploadPackRequest {
	req := packp.NewUploadPackRequestFromCapabilities(adv.Capabilities)
	req.Wants = []plumbing.Hash{want}
	if adv.Capabilities.Supports(capability.Shallow) {
		_ = req.Capabilities.Set(capability.Shallow)
		req.Depth = packp.DepthCommits(1)
	}
	if adv.Capabilities.Supports(capability.NoProgress) {
		_ = req.Capabilities.Set(capability.NoProgress)
	}
	if adv.Capabilities.Supports(capability.Filter) {
		// What is too large for us may stay where it is.
		_ = req.Capabilities.Set(capability.Filter)
		req.Filter = packp.FilterBlobLimit(uint64(g.lim.file)+1, packp.BlobLimitPrefixNone)
	}
	return req
}

func packReader(caps *capability.List, r io.Reader) io.Reader {
	switch {
	case caps.Supports(capability.Sideband64k):
		return sideband.NewDemuxer(sideband.Sideband64k, r)
	case caps.Supports(capability.Sideband):
		return sideband.NewDemuxer(sideband.Sideband, r)
	}
	return r
}

// unpack reads a pack into a store of its own. The pack is held in memory so
// that its cost can be added up before it is paid: a few bytes of zlib or of
// delta can stand for gigabytes.
func unpack(r io.Reader, lim limits) (*memory.Storage, error) {
	raw, err := io.ReadAll(io.LimitReader(r, lim.pack+1))
	if err != nil {
		return nil, unavailable("the transfer broke off: %v", err)
	}
	if int64(len(raw)) > lim.pack {
		return nil, invalid("the revision takes over %s to transfer: keep the specs in a repository of their own, "+
			"or set uploadpack.allowFilter=true on the server", bytesText(lim.pack))
	}
	if err := weigh(raw, lim.inflated); err != nil {
		return nil, err
	}
	store := memory.NewStorage()
	if err := packfile.UpdateObjectStorage(store, bytes.NewReader(raw)); err != nil {
		return nil, unavailable("the server sent a damaged pack: %v", err)
	}
	return store, nil
}

// weigh adds up the sizes that the objects in a pack declare. The parser holds
// each object to its declaration.
func weigh(raw []byte, most int64) error {
	damaged := func(err error) error { return unavailable("the server sent a damaged pack: %v", err) }
	s := packfile.NewScanner(bytes.NewReader(raw))
	_, n, err := s.Header()
	if err != nil {
		return damaged(err)
	}
	var sum int64
	for range n {
		h, err := s.NextObjectHeader()
		if err != nil {
			return damaged(err)
		}
		sum += h.Length
		if h.Length > most || sum > most {
			return tooHeavy(most)
		}
		if h.Type != plumbing.OFSDeltaObject && h.Type != plumbing.REFDeltaObject {
			continue // the scanner discards the content at the next header
		}
		var start prefix
		if _, _, err := s.NextObject(&start); err != nil {
			return damaged(err)
		}
		_, w := binary.Uvarint(start.b[:start.n])             // the base's size
		size, v := binary.Uvarint(start.b[max(w, 0):start.n]) // the result's
		if w <= 0 || v <= 0 || size > uint64(most) {
			return tooHeavy(most)
		}
		if sum += int64(size); sum > most {
			return tooHeavy(most)
		}
	}
	return nil
}

func tooHeavy(most int64) error {
	return invalid("the revision has over %s of files: keep the specs in a repository of their own", bytesText(most))
}

// prefix keeps the first bytes written to it.
type prefix struct {
	b [2 * binary.MaxVarintLen64]byte
	n int
}

func (p *prefix) Write(b []byte) (int, error) {
	p.n += copy(p.b[p.n:], b)
	return len(b), nil
}

// candidate peels t to its commit and reads what that says about itself.
func (g *GitRemote) candidate(objects *memory.Storage, t target, known string) (*Candidate, error) {
	c := &Candidate{Ref: t.ref, Origin: g.origin(g.opts.Ref)}
	if g.opts.Ref == "" || g.opts.Ref == "HEAD" || g.opts.Ref == "@" {
		c.Origin = g.origin(plumbing.ReferenceName(t.ref).Short())
	}
	at := t.want
	for depth := 0; ; depth++ {
		tag, err := object.GetTag(objects, at)
		if errors.Is(err, plumbing.ErrObjectNotFound) {
			break
		}
		if err != nil || depth > 10 {
			return nil, invalid("the tag %s cannot be read", at)
		}
		if c.Tag == nil {
			c.Tag = &Tag{ID: at.String()}
			if c.Tag.Object, err = whole(objects, plumbing.TagObject, at); err != nil {
				return nil, err
			}
		}
		at = tag.Target
	}
	commit, err := object.GetCommit(objects, at)
	if err != nil {
		if other, err := objects.EncodedObject(plumbing.AnyObject, at); err == nil {
			return nil, invalid("%s is a %s, not a commit", at, other.Type())
		}
		return nil, invalid("the server left out the commit %s", at)
	}
	if c.Revision = at.String(); c.Revision == known {
		return nil, ErrUnchanged
	}
	raw, err := whole(objects, plumbing.CommitObject, at)
	if err != nil {
		return nil, err
	}
	c.Commit = &Commit{
		Author:    identity(commit.Author),
		Committer: identity(commit.Committer),
		Message:   commit.Message,
		Object:    raw,
	}
	for _, p := range commit.ParentHashes {
		c.Commit.Parents = append(c.Commit.Parents, p.String())
	}
	c.root = commit.TreeHash.String()
	c.descends = func(ctx context.Context, from string) (bool, error) {
		return g.descends(ctx, c, from)
	}
	c.open = func() (*Tree, error) {
		files, err := readTree(objects, commit.TreeHash, g.dir, g.lim)
		if err != nil {
			return nil, err
		}
		return &Tree{Revision: at.String(), Origin: c.Origin, FS: files, Dir: g.dir}, nil
	}
	return c, nil
}

func identity(s object.Signature) Identity {
	return Identity{Name: s.Name, Email: s.Email, When: s.When}
}

// whole is an object as it was hashed.
func whole(objects *memory.Storage, kind plumbing.ObjectType, at plumbing.Hash) ([]byte, error) {
	o, err := objects.EncodedObject(kind, at)
	if err != nil {
		return nil, invalid("the %s %s cannot be read: %v", kind, at, err)
	}
	return content(o)
}

func content(o plumbing.EncodedObject) (data []byte, err error) {
	r, err := o.Reader()
	if err != nil {
		return nil, fmt.Errorf("read object %s: %w", o.Hash(), err)
	}
	defer r.Close()
	return io.ReadAll(r)
}
