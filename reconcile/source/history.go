package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/storage/memory"
)

// descends is Candidate.Descends for a from that is not a parent. It asks the
// server for the candidate's history as if we had from: what comes is the
// commits in between, or all of them if the server knows no from.
//
//	walk from the candidate through what came     answer
//	meets a commit whose parent is from           true: the hashes prove it
//	ends, every parent seen                       false
//	ends at parents kept back,
//	  the server said that it has from            false: they are older than from
//	  it did not, or its own history is cut off   an error
func (g *GitRemote) descends(ctx context.Context, c *Candidate, from string) (bool, error) {
	return attempt(ctx, g, func(ctx context.Context) (bool, error) {
		return converse(ctx, g, func(s session) (bool, error) {
			h, err := g.history(ctx, s, c, plumbing.NewHash(from))
			if err != nil {
				return false, err
			}
			return h.reaches(c, plumbing.NewHash(from), g.lim.commits)
		})
	})
}

// history is what a server gave of the commits before one.
type history struct {
	objects *memory.Storage
	shallow []plumbing.Hash // commits whose parents the server has not got itself
	common  bool            // the server has what we said we have
	direct  bool            // the candidate was asked for, not a ref that has moved since
}

func (g *GitRemote) history(ctx context.Context, s session, c *Candidate, from plumbing.Hash) (*history, error) {
	adv, err := s.refs(ctx)
	if err != nil {
		return nil, err
	}
	// The ref may have moved on since c was fetched. Then c is somewhere in the
	// history of where it went, unless that was a force push.
	h := &history{shallow: adv.Shallows, direct: true}
	t, err := resolveSHA(adv, plumbing.NewHash(c.Revision))
	if errors.Is(err, ErrNotFound) {
		h.direct = false
		t, err = resolve(adv, g.opts.Ref)
	}
	if err != nil {
		return nil, err
	}
	if t.want == from {
		return nil, moved()
	}
	req := packp.NewUploadPackRequestFromCapabilities(adv.Capabilities)
	req.Wants = []plumbing.Hash{t.want}
	req.Haves = []plumbing.Hash{from}
	if adv.Capabilities.Supports(capability.NoProgress) {
		_ = req.Capabilities.Set(capability.NoProgress)
	}
	if adv.Capabilities.Supports(capability.Filter) {
		_ = req.Capabilities.Set(capability.Filter)
		req.Filter = packp.FilterTreeDepth(0)
	}
	body, err := s.pack(ctx, req)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	if h.objects, err = unpack(packReader(req.Capabilities, body), g.lim); err != nil {
		var e *Error
		if err = s.explain(err); errors.As(err, &e) && e.Kind == ErrInvalid {
			hint := ""
			if req.Filter == "" {
				hint = "; set uploadpack.allowFilter=true on the server, so that its files can stay there"
			}
			return nil, tooLong(from, c, "over %s to transfer, or %s unpacked%s", bytesText(g.lim.pack), bytesText(g.lim.inflated), hint)
		}
		return nil, err
	}
	if res, ok := body.(*packp.UploadPackResponse); ok {
		h.common = slices.Contains(res.ACKs, from)
	}
	return h, nil
}

// reaches looks for from among the ancestors of c, of which it looks at so many.
func (h *history) reaches(c *Candidate, from plumbing.Hash, commits int) (bool, error) {
	start := plumbing.NewHash(c.Revision)
	if _, err := h.objects.EncodedObject(plumbing.CommitObject, start); err != nil && !h.direct {
		return false, moved()
	}
	next := []plumbing.Hash{start}
	seen := map[plumbing.Hash]bool{start: true}
	var missing, cut bool
	for len(next) > 0 {
		at := next[len(next)-1]
		next = next[:len(next)-1]
		raw := c.Commit.Object // which need not have come: it is older than from then
		if at != start {
			var err error
			if raw, err = whole(h.objects, plumbing.CommitObject, at); err != nil {
				missing = true
				continue
			}
		}
		parents := parentsOf(raw)
		if slices.Contains(parents, from) {
			return true, nil
		}
		cut = cut || len(parents) > 0 && slices.Contains(h.shallow, at)
		for _, p := range parents {
			if !seen[p] {
				seen[p] = true
				next = append(next, p)
			}
		}
		if len(seen) > commits {
			return false, tooLong(from, c, "over %d commits", commits)
		}
	}
	switch {
	case cut:
		return false, invalid("the server's own history is shallow, and ends before it can tell if %s comes before %s: "+
			"git fetch --unshallow there", from, c.Revision)
	case missing && !h.common:
		return false, unavailable("the server left out a part of the history between %s and %s", from, c.Revision)
	}
	return false, nil
}

// parentsOf reads the parents of a commit, and nothing else: what is odd about
// an old one is nobody's concern here.
func parentsOf(commit []byte) []plumbing.Hash {
	var parents []plumbing.Hash
	for line := range bytes.Lines(commit) {
		if id, ok := bytes.CutPrefix(line, []byte("parent ")); ok && len(id) == 41 {
			parents = append(parents, plumbing.NewHash(string(id[:40])))
		} else if len(parents) > 0 || !bytes.HasPrefix(line, []byte("tree ")) {
			break // they follow the tree, all together
		}
	}
	return parents
}

func tooLong(from plumbing.Hash, c *Candidate, format string, a ...any) error {
	return invalid("the history between %s and %s is too long to tell if it goes on or back: %s", from, c.Revision, fmt.Sprintf(format, a...))
}

func moved() error {
	return unavailable("the ref has moved while it was looked at: fetch again")
}
