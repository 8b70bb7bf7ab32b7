package follow_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/hactl/hactl/reconcile/follow"
	"github.com/hactl/hactl/reconcile/source"
	"github.com/hactl/hactl/schema"
	"github.com/hactl/hactl/schema/load"
)

// world is what a Follower works with, all of it in memory.
type world struct {
	branch  *branch
	machine *machine
	store   *cell
	trust   *trust

	mu     sync.Mutex
	events []follow.Event
	ran    []string // revisions told to Accepted
}

func newWorld() *world {
	w := &world{machine: &machine{}, store: &cell{}, trust: &trust{refuses: map[string]error{}}}
	w.branch = &branch{origin: "memory", specs: map[string]*schema.Spec{}, faults: map[string]error{}}
	return w
}

// options are those of a plain Follower of this world.
func (w *world) options() follow.Options {
	return follow.Options{
		Source: w.branch, Trust: w.trust, Evaluate: w.branch.evaluate, Host: w.machine, Store: w.store,
		Poll: time.Minute, Build: "build 1", Observe: w.observe, Accepted: w.accepted,
	}
}

func (w *world) follower() *follow.Follower { return follow.New(w.options()) }

// run starts a Follower that ends with the test.
func (w *world) run(t *testing.T, f *follow.Follower) {
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { f.Run(ctx) })
	t.Cleanup(func() { cancel(); wg.Wait() })
}

func (w *world) observe(e follow.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, e)
}

func (w *world) accepted(g *follow.Good) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ran = append(w.ran, g.Revision)
}

// told are the events of a kind so far.
func (w *world) told(kind follow.EventKind) []follow.Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(w.events), func(e follow.Event) bool { return e.Kind != kind })
}

// branch is a branch of a repository.
type branch struct {
	origin string

	mu        sync.Mutex
	commits   int
	tip       *commit
	specs     map[string]*schema.Spec
	faults    map[string]error // of evaluation, by revision
	down      error            // of every fetch
	history   error            // of every question about ancestors
	fetches   []time.Time
	evaluated int
	slow      time.Duration // of a fetch
	fetching  int           // at this moment
	peak      int
}

type commit struct {
	sha    string
	parent *commit
	when   time.Time
	plain  bool // as a directory's: no commit at all
}

// push adds a commit a second after the one before it.
func (b *branch) push(spec *schema.Spec) string {
	time.Sleep(time.Second)
	return b.add(spec, time.Now())
}

func (b *branch) pushFault(err error) string {
	sha := b.push(nil)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.faults[sha] = err
	return sha
}

func (b *branch) add(spec *schema.Spec, when time.Time) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.commits++
	sum := sha256.Sum256([]byte(fmt.Sprint(b.commits)))
	b.tip = &commit{sha: hex.EncodeToString(sum[:20]), parent: b.tip, when: when}
	b.specs[b.tip.sha] = spec
	return b.tip.sha
}

// point moves the branch to an ancestor of its tip.
func (b *branch) point(sha string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.tip.sha != sha {
		b.tip = b.tip.parent
	}
}

func (b *branch) set(change func(*branch)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change(b)
}

func (b *branch) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.fetches)
}

func (b *branch) evaluations() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.evaluated
}

func (b *branch) Origin() string { return b.origin }

func (b *branch) Fetch(ctx context.Context, known string) (*source.Candidate, error) {
	b.mu.Lock()
	b.fetches = append(b.fetches, time.Now())
	b.fetching++
	b.peak = max(b.peak, b.fetching)
	slow := b.slow
	b.mu.Unlock()
	select {
	case <-time.After(slow):
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fetching--
	tip, history := b.tip, b.history
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case b.down != nil:
		return nil, b.down
	case tip.sha == known:
		return nil, source.ErrUnchanged
	}
	c := source.Candidate{Revision: tip.sha, Origin: b.origin}
	if !tip.plain {
		c.Commit = &source.Commit{Committer: source.Identity{When: tip.when}}
		if tip.parent != nil {
			c.Commit.Parents = []string{tip.parent.sha}
		}
	}
	return source.Made(c, fstest.MapFS{}, func(_ context.Context, from string) (bool, error) {
		for at := tip; at != nil; at = at.parent {
			if at.sha == from {
				return true, nil
			}
		}
		return false, history
	}), nil
}

func (b *branch) evaluate(ctx context.Context, tree *source.Tree) (*schema.Spec, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.evaluated++
	if err := b.faults[tree.Revision]; err != nil {
		return nil, err
	}
	return b.specs[tree.Revision], ctx.Err()
}

// trust refuses some revisions.
type trust struct {
	mu      sync.Mutex
	refuses map[string]error
}

func (t *trust) Check(c *source.Candidate) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.refuses[c.Revision]; err != nil {
		return "", err
	}
	return "alice@example.com", nil
}

func (t *trust) refuse(sha string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.refuses[sha] = err
}

// machine is a host that notes what it is told to run.
type machine struct {
	mu     sync.Mutex
	runs   []string
	refuse error
	only   string // revision that refuse is about; empty for all
}

func (m *machine) Restore(g *follow.Good) error { return m.Run(g) }

func (m *machine) Run(g *follow.Good) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refuse != nil && (m.only == "" || m.only == g.Revision) {
		return m.refuse
	}
	m.runs = append(m.runs, g.Revision)
	return nil
}

func (m *machine) fail(err error) { m.failOf("", err) }

func (m *machine) failOf(sha string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refuse, m.only = err, sha
}

func (m *machine) ran() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.runs)
}

// cell is a Store.
type cell struct {
	mu    sync.Mutex
	g     *follow.Good
	load  error
	full  error // of every Save
	saves int
}

func (c *cell) Load() (*follow.Good, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.g, c.load
}

func (c *cell) Save(g *follow.Good) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.saves++
	if c.full != nil {
		return c.full
	}
	c.g = g
	return nil
}

func (c *cell) fill(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.full = err
}

func (c *cell) has() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.g == nil {
		return ""
	}
	return c.g.Revision
}

// records is a specification of DNS records, a name and an address each.
func records(pairs ...string) *schema.Spec {
	s := &schema.Spec{Stack: "test", Plan: "free", DNSRecords: map[string]schema.DNSRecord{}}
	for i := 0; i < len(pairs); i += 2 {
		r := schema.DNSRecord{}.Blank().(schema.DNSRecord)
		r.Zone, r.Name, r.Type, r.Content = "example.com", pairs[i]+".example.com", "A", pairs[i+1]
		s.DNSRecords[pairs[i]] = r
	}
	return s
}

// many is a specification of n records.
func many(n int) *schema.Spec {
	var pairs []string
	for i := range n {
		pairs = append(pairs, fmt.Sprint("r", i), fmt.Sprint("192.0.2.", i))
	}
	return records(pairs...)
}

func policy(s *schema.Spec, change func(*schema.Policy)) *schema.Spec {
	p := schema.DefaultPolicy()
	change(&p)
	s.Policy = &p
	return s
}

var (
	errSyntax = &load.Invalid{Problems: []schema.Problem{{Message: "expected operand, found newline"}}}
	errMemory = errors.New("the evaluation needs more memory")
	errSecret = errors.New("secret of web: no such file")
	errDown   = errors.New("no route to host")
)

// look looks once, and wants it to end well.
func look(t *testing.T, f *follow.Follower) {
	t.Helper()
	if err := f.Look(t.Context(), follow.Look{}); err != nil {
		t.Fatalf("look: %v", err)
	}
}

// refused looks once, and wants a refusal.
func refused(t *testing.T, f *follow.Follower, revision string, reason follow.Reason) follow.Refusal {
	t.Helper()
	err := f.Look(t.Context(), follow.Look{})
	var r *follow.RefusedError
	if !errors.As(err, &r) || r.Revision != revision || r.Reason != reason {
		t.Fatalf("look: %v; want %s refused as %s", err, revision, reason)
	}
	if s := f.State().Refused; s == nil || *s != r.Refusal {
		t.Fatalf("the state has %+v and the error %+v", s, r.Refusal)
	}
	return r.Refusal
}

// runs wants one revision to run and nothing to be refused.
func runs(t *testing.T, f *follow.Follower, revision string) {
	t.Helper()
	s := f.State()
	if s.Revision != revision || s.Refused != nil || f.Good() == nil || f.Good().Revision != revision {
		t.Fatalf("%s runs, refused is %+v; want %s", s.Revision, s.Refused, revision)
	}
}
