package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/hactl/hactl/engines/host"
	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/follow"
	"github.com/hactl/hactl/reconcile/source"
	"github.com/hactl/hactl/schema"
	"github.com/hactl/hactl/schema/load"
)

// start starts the agent of a host.
func (h *dayHost) start() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.cancel != nil {
		return
	}
	ctx, cancel := context.WithCancel(h.d.t.Context())
	h.cancel, h.done, h.changes = cancel, make(chan struct{}), make(chan struct{}, 1)
	changes := h.changes
	h.node.Observe(func(host.Event) {
		select {
		case changes <- struct{}{}:
		default:
		}
	})
	var keeper *follow.Keeper
	follower := follow.New(follow.Options{
		Source: &remote{h}, Trust: source.Unverified{}, Evaluate: h.d.repo.evaluate, Host: h, Store: h.store, Poll: dayPoll,
		Accepted: func(g *follow.Good) { keeper.Want(g) },
		Observe: func(e follow.Event) {
			h.d.note("%s: %s %s %s %v", h.name, e.Kind, short(e.Revision), e.Text, e.Err)
		},
	})
	edge := h.d.edge(h.journal, h)
	keeper = follow.NewKeeper(follow.KeeperOptions{
		Edge: func(*schema.Spec) (follow.Edge, error) { return edge, nil }, Leader: h,
		Confirm:   func(ctx context.Context) error { return follower.Look(ctx, follow.Look{}) },
		Suspended: func() *follow.Suspension { return follower.State().Suspended },
		Changes:   changes, Resync: dayResync,
		Observe: func(e follow.Event) {
			if e.Kind == follow.EventApplied {
				h.d.edgeIs(h, e.Revision)
			}
			h.d.note("%s: %s %s %s %v", h.name, e.Kind, short(e.Revision), e.Text, e.Err)
		},
	})
	h.follower, h.keeper = follower, keeper
	go func(done chan struct{}) {
		defer close(done)
		if !follower.Restore() {
			_ = follower.Look(ctx, follow.Look{})
		}
		follower.Trigger()
		var wg sync.WaitGroup
		wg.Go(func() { follower.Run(ctx) })
		wg.Go(func() { keeper.Run(ctx) })
		wg.Wait()
	}(h.done)
}

// kill ends the agent at once; its engine goes on.
func (h *dayHost) kill() {
	h.mu.Lock()
	cancel, done := h.cancel, h.done
	h.cancel = nil
	h.mu.Unlock()
	if cancel != nil {
		cancel()
		<-done
	}
}

func (h *dayHost) alive() *follow.Follower {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.cancel == nil {
		return nil
	}
	return h.follower
}

func (h *dayHost) interrupt() { h.keeper.Interrupt() }

func (h *dayHost) setCut(cut bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cut = cut
}

func (h *dayHost) isCut() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.cut
}

// Run implements follow.Host.
func (h *dayHost) Run(g *follow.Good) error {
	c, err := host.NewConfig(h.name, g.Revision, g.Spec.HostObjects(h.name), noSecret)
	if err != nil {
		return err
	}
	return h.node.Configure(c)
}

// Restore implements follow.Host.
func (h *dayHost) Restore(g *follow.Good) error { return h.Run(g) }

// Lead implements follow.Leader.
func (h *dayHost) Lead(context.Context, *schema.Spec) follow.Leadership {
	l := follow.Leadership{Mode: "virtualRouter"}
	s := h.node.Status()
	if s == nil {
		return l
	}
	if r := s.Router("web"); r != nil && r.State == "active" {
		l.Mine, l.Leader, l.Term, l.Since, l.Settle = true, h.name, r.Since.String(), r.Since, 4*r.Interval
	}
	return l
}

// Confirm implements follow.Leader.
func (h *dayHost) Confirm(ctx context.Context, spec *schema.Spec, was follow.Leadership) error {
	if now := h.Lead(ctx, spec); !now.Mine || now.Term != was.Term {
		return errors.New("no longer")
	}
	return nil
}

// repository is a branch in memory.
type repository struct {
	d *day

	mu      sync.Mutex
	commits []*commit
	tip     *commit
	specs   map[string]*schema.Spec
	wrong   map[string]error
}

type commit struct {
	sha    string
	parent *commit
	when   time.Time
}

func (r *repository) add(content string) *commit {
	sum := sha256.Sum256([]byte(fmt.Sprint(content, len(r.commits))))
	c := &commit{sha: hex.EncodeToString(sum[:20]), parent: r.tip, when: time.Now()}
	r.commits = append(r.commits, c)
	r.tip = c
	return c
}

func (r *repository) push(t *testing.T, text string) {
	spec, _, err := load.Load(t.Context(), load.Files{FS: fstest.MapFS{"edge.cue": {Data: []byte(text)}}, Dir: "."}, load.DefaultLimits())
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.specs[r.add(text).sha] = spec
}

// pushWrong pushes what must not run.
func (r *repository) pushWrong(rng *rand.Rand) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch rng.IntN(3) {
	case 0:
		r.wrong[r.add("syntax").sha] = &load.Invalid{Problems: []schema.Problem{{Message: "syntax"}}}
	case 1:
		r.wrong[r.add("bomb").sha] = errors.New("evaluation needs more memory")
	case 2: // Valid, and empty: a guard rail's.
		c := r.add("empty")
		r.specs[c.sha] = &schema.Spec{Stack: "day"}
		r.wrong[c.sha] = nil
	}
}

// forceBack points the branch to an older commit.
func (r *repository) forceBack(rng *rand.Rand) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for range 1 + rng.IntN(3) {
		if r.tip.parent != nil {
			r.tip = r.tip.parent
		}
	}
}

func (r *repository) head() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tip.sha
}

func (r *repository) index(sha string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.IndexFunc(r.commits, func(c *commit) bool { return c.sha == sha })
}

func (r *repository) isWrong(sha string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, wrong := r.wrong[sha]
	return wrong
}

func (r *repository) evaluate(_ context.Context, tree *source.Tree) (*schema.Spec, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.wrong[tree.Revision]; err != nil {
		return nil, err
	}
	return r.specs[tree.Revision], nil
}

// remote is the repository as a host reaches it.
type remote struct{ h *dayHost }

func (r *remote) Origin() string { return "memory" }

func (r *remote) Fetch(_ context.Context, known string) (*source.Candidate, error) {
	if r.h.isCut() {
		return nil, errors.New("no route to host")
	}
	repo := r.h.d.repo
	repo.mu.Lock()
	defer repo.mu.Unlock()
	tip := repo.tip
	if tip.sha == known {
		return nil, source.ErrUnchanged
	}
	c := source.Candidate{Revision: tip.sha, Origin: "memory", Commit: &source.Commit{Committer: source.Identity{When: tip.when}}}
	if tip.parent != nil {
		c.Commit.Parents = []string{tip.parent.sha}
	}
	return source.Made(c, fstest.MapFS{}, func(_ context.Context, from string) (bool, error) {
		for at := tip; at != nil; at = at.parent {
			if at.sha == from {
				return true, nil
			}
		}
		return false, nil
	}), nil
}

// cell is a follow.Store in memory.
type cell struct {
	mu sync.Mutex
	g  *follow.Good
}

func (c *cell) Load() (*follow.Good, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.g, nil
}

func (c *cell) Save(g *follow.Good) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.g = g
	return nil
}

// journal is a loop.Store in memory, of one machine.
type journal struct {
	mu     sync.Mutex
	stacks map[string]reconcile.Journal
	locked bool
}

func (j *journal) Load(stack string) (reconcile.Journal, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.stacks[stack], nil
}

func (j *journal) Save(stack string, what reconcile.Journal) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	what.Zones = slices.Clone(what.Zones)
	j.stacks[stack] = what
	return nil
}

func (j *journal) Lock(string) (func(), error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.locked {
		return nil, errors.New("locked")
	}
	j.locked = true
	return func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.locked = false
	}, nil
}
