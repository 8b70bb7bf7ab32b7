package loop_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/enginetest"
	"github.com/hactl/hactl/reconcile/loop"
	"github.com/hactl/hactl/schema"
)

// fake is an engine in memory. Its hooks see every change before it happens.
type fake struct {
	mu       sync.Mutex
	live     map[reconcile.Handle]reconcile.Entry
	made     int
	applied  []string
	running  int
	peak     int
	before   func(reconcile.Change) error
	unknown  []reconcile.Unknown
	readFail error
}

func newFake() *fake { return &fake{live: map[reconcile.Handle]reconcile.Entry{}} }

func (f *fake) Kinds() []schema.Kind {
	return []schema.Kind{schema.KindTunnel, schema.KindTunnelConfiguration, schema.KindMonitor, schema.KindPool, schema.KindLoadBalancer, schema.KindDNSRecord}
}
func (f *fake) Normalize(o schema.Object) schema.Object { return o }
func (f *fake) Requests() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.applied)
}

func (f *fake) Read(context.Context, reconcile.Scope) (reconcile.Live, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	live := reconcile.Live{Unknown: f.unknown}
	for _, e := range f.live {
		live.Entries = append(live.Entries, e)
	}
	return live, f.readFail
}

func (f *fake) Apply(_ context.Context, c reconcile.Change) (reconcile.Handle, bool, error) {
	f.mu.Lock()
	f.running++
	f.peak = max(f.peak, f.running)
	before := f.before
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.running--
	}()
	if before != nil {
		if err := before(c); err != nil {
			return "", false, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.applied = append(f.applied, fmt.Sprintf("%s %s", c.Action, c.ID))
	h := c.Handle
	switch c.Action {
	case reconcile.Delete:
		delete(f.live, c.Handle)
		return "", false, nil
	case reconcile.Create, reconcile.Replace:
		f.made++
		h = reconcile.Handle(fmt.Sprintf("h%d", f.made))
	}
	var refers []reconcile.Handle
	for _, r := range c.Object.Refs() {
		if handle, ok := c.Resolve(r); ok {
			refers = append(refers, handle)
		}
	}
	f.live[h] = reconcile.Entry{Object: c.Object, Handle: h, Owned: true, Refers: refers, Created: fmt.Sprint(f.made)}
	return h, false, nil
}

// chain is a monitor, two pools with it, and a load balancer on each.
func chain() *schema.Spec {
	s := &schema.Spec{Stack: "test", Monitors: map[string]schema.Monitor{"m": schema.Monitor{}.Blank().(schema.Monitor)},
		Pools: map[string]schema.Pool{}, LoadBalancers: map[string]schema.LoadBalancer{}}
	for _, n := range []string{"a", "b"} {
		p := schema.Pool{}.Blank().(schema.Pool)
		p.Monitor = "m"
		p.Origins = map[string]schema.Origin{"o": {Address: "192.0.2.1", Enabled: true, Weight: 1}}
		s.Pools[n] = p
		l := schema.LoadBalancer{}.Blank().(schema.LoadBalancer)
		l.Zone, l.DefaultPools, l.FallbackPool = "example.com", []string{n}, n
		s.LoadBalancers[n+".example.com"] = l
	}
	return s
}

func plan(t *testing.T, l *loop.Loop, s *schema.Spec) *loop.Round {
	t.Helper()
	round, err := l.Plan(t.Context(), loop.Request{Spec: s, Revision: "r1"})
	if err != nil {
		t.Fatal(err)
	}
	return round
}

func names(list []loop.Failure) []string {
	var out []string
	for _, f := range list {
		out = append(out, f.ID.String())
	}
	slices.Sort(out)
	return out
}

func TestFailureSkipsOnlyWhatNeedsIt(t *testing.T) {
	f := newFake()
	f.before = func(c reconcile.Change) error {
		if c.ID.String() == "pool/a" {
			return errors.New("refused")
		}
		return nil
	}
	l := &loop.Loop{Engines: []loop.Engine{f}, Journal: enginetest.Memory{}}
	o, err := l.Execute(t.Context(), plan(t, l, chain()), time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if got := names(o.Failed); !slices.Equal(got, []string{"pool/a"}) {
		t.Errorf("failed %v, want pool/a", got)
	}
	if got := names(o.Skipped); !slices.Equal(got, []string{"loadBalancer/a.example.com"}) {
		t.Errorf("skipped %v, want the balancer on pool a", got)
	}
	if len(o.Done) != 3 || o.Complete() {
		t.Errorf("done %v, complete %t; want the monitor, pool b and its balancer", o.Done, o.Complete())
	}
	f.before = nil
	round := plan(t, l, chain())
	if o, err = l.Execute(t.Context(), round, time.Second); err != nil || !o.Complete() || len(o.Done) != 2 {
		t.Errorf("the next run did %v with error %v; want the two that were left", o.Done, err)
	}
}

func TestInterruptionFinishesWhatIsUnderWay(t *testing.T) {
	f := newFake()
	ctx, cancel := context.WithCancel(t.Context())
	f.before = func(c reconcile.Change) error {
		if c.ID.Kind == schema.KindMonitor {
			cancel()
		}
		return nil
	}
	l := &loop.Loop{Engines: []loop.Engine{f}, Journal: enginetest.Memory{}}
	o, err := l.Execute(ctx, plan(t, l, chain()), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if len(o.Done) != 1 || len(o.Left) != 4 || len(o.Failed)+len(o.Skipped) != 0 {
		t.Errorf("done %v, left %v, failed %v; want the monitor done and four steps left", o.Done, o.Left, o.Failed)
	}
}

func TestGraceEndsRequestsThatHang(t *testing.T) {
	f := newFake()
	ctx, cancel := context.WithCancel(t.Context())
	began := make(chan struct{})
	var once sync.Once
	hang := &hanging{fake: f, began: func() { once.Do(func() { close(began) }) }}
	l := &loop.Loop{Engines: []loop.Engine{hang}, Journal: enginetest.Memory{}}
	round := plan(t, l, chain())
	go func() {
		<-began
		cancel()
	}()
	o, err := l.Execute(ctx, round, 10*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if len(o.Failed) != 1 || !errors.Is(o.Failed[0].Err, context.Canceled) {
		t.Errorf("failed %v, want the hanging step, cancelled", o.Failed)
	}
}

// hanging is an engine whose changes end with their context only.
type hanging struct {
	*fake
	began func()
}

func (h *hanging) Apply(ctx context.Context, _ reconcile.Change) (reconcile.Handle, bool, error) {
	h.began()
	<-ctx.Done()
	return "", false, ctx.Err()
}

func TestConcurrencyIsBounded(t *testing.T) {
	f := newFake()
	s := chain()
	for i := range 40 {
		s.Monitors[fmt.Sprint("m", i)] = schema.Monitor{}.Blank().(schema.Monitor)
	}
	l := &loop.Loop{Engines: []loop.Engine{f}, Journal: enginetest.Memory{}, Concurrency: 3}
	if _, err := l.Execute(t.Context(), plan(t, l, s), time.Second); err != nil {
		t.Fatal(err)
	}
	if f.peak > 3 {
		t.Errorf("%d steps ran at a time, want at most 3", f.peak)
	}
}

func TestDeletionsComeAfterTheirReferrers(t *testing.T) {
	f := newFake()
	l := &loop.Loop{Engines: []loop.Engine{f}, Journal: enginetest.Memory{}}
	if _, err := l.Execute(t.Context(), plan(t, l, chain()), time.Second); err != nil {
		t.Fatal(err)
	}
	f.applied = nil
	s := chain()
	delete(s.Monitors, "m")
	for n, p := range s.Pools {
		p.Monitor = ""
		s.Pools[n] = p
	}
	delete(s.LoadBalancers, "a.example.com")
	delete(s.Pools, "a")
	if _, err := l.Execute(t.Context(), plan(t, l, s), time.Second); err != nil {
		t.Fatal(err)
	}
	at := func(s string) int { return slices.Index(f.applied, s) }
	for _, order := range [][2]string{
		{"delete loadBalancer/a.example.com", "delete pool/a"},
		{"delete pool/a", "delete monitor/m"},
		{"update pool/b", "delete monitor/m"},
	} {
		if at(order[0]) < 0 || at(order[0]) > at(order[1]) {
			t.Errorf("%q does not come before %q in %v", order[0], order[1], f.applied)
		}
	}
}

func TestReplacementDeletesTheOldLast(t *testing.T) {
	f := newFake()
	l := &loop.Loop{Engines: []loop.Engine{f}, Journal: enginetest.Memory{}}
	if _, err := l.Execute(t.Context(), plan(t, l, chain()), time.Second); err != nil {
		t.Fatal(err)
	}
	f.applied = nil
	s := chain()
	b := s.LoadBalancers["a.example.com"]
	b.Zone = "a.example.com"
	s.LoadBalancers["a.example.com"] = b
	o, err := l.Execute(t.Context(), plan(t, l, s), time.Second)
	if err != nil || !o.Complete() {
		t.Fatal(err, o.Failed)
	}
	want := []string{"replace loadBalancer/a.example.com", "delete loadBalancer/a.example.com"}
	if !slices.Equal(f.applied, want) {
		t.Errorf("applied %v, want %v", f.applied, want)
	}
	if again := plan(t, l, s); !again.Plan.Empty() {
		t.Errorf("left to do: %v", again.Plan.Steps)
	}
}

func TestSavedPlanIsRefusedOnceTheWorldMoved(t *testing.T) {
	f := newFake()
	l := &loop.Loop{Engines: []loop.Engine{f}, Journal: enginetest.Memory{}}
	if _, err := l.Execute(t.Context(), plan(t, l, chain()), time.Second); err != nil {
		t.Fatal(err)
	}
	s := chain()
	p := s.Pools["a"]
	p.Description = "changed"
	s.Pools["a"] = p
	made := plan(t, l, s).Plan
	made.Account = "acc"
	b, err := made.Save()
	if err != nil {
		t.Fatal(err)
	}
	saved, err := reconcile.Open(b)
	if err != nil {
		t.Fatal(err)
	}
	if round, err := l.Revisit(t.Context(), saved, nil); err != nil || len(round.Plan.Steps) != 1 {
		t.Fatalf("the plan is refused although nothing moved: %v", err)
	}
	edited, err := reconcile.Open([]byte(strings.Replace(string(b), `"description": "changed"`, `"description": "edited"`, 1)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Revisit(t.Context(), edited, nil); err == nil || !strings.Contains(err.Error(), "changed after it was saved") {
		t.Errorf("error %v, want one that says that the file was edited", err)
	}
	for h, e := range f.live {
		if o, ok := e.Object.(schema.Pool); ok && o.Name == "a" {
			o.Enabled = false
			e.Object = o
			f.live[h] = e
		}
	}
	if _, err := l.Revisit(t.Context(), saved, nil); err == nil || !strings.Contains(err.Error(), "pool/a was changed") {
		t.Errorf("error %v, want one that says that pool/a was changed", err)
	}
}

func TestNothingGoesBeforeWhatIsMadeHasEnded(t *testing.T) {
	f := newFake()
	l := &loop.Loop{Engines: []loop.Engine{f}, Journal: enginetest.Memory{}}
	if _, err := l.Execute(t.Context(), plan(t, l, chain()), time.Second); err != nil {
		t.Fatal(err)
	}
	f.applied = nil
	s := chain()
	delete(s.LoadBalancers, "a.example.com")
	b := s.LoadBalancers["b.example.com"]
	s.LoadBalancers["c.example.com"] = b
	s.Monitors["later"] = schema.Monitor{}.Blank().(schema.Monitor)
	if _, err := l.Execute(t.Context(), plan(t, l, s), time.Second); err != nil {
		t.Fatal(err)
	}
	if last := f.applied[len(f.applied)-1]; last != "delete loadBalancer/a.example.com" {
		t.Errorf("applied %v, want the deletion last", f.applied)
	}
}

func TestFailureOfASuccessorKeepsTheOld(t *testing.T) {
	f := newFake()
	l := &loop.Loop{Engines: []loop.Engine{f}, Journal: enginetest.Memory{}}
	record := &schema.Spec{Stack: "test", DNSRecords: map[string]schema.DNSRecord{
		"www": {Zone: "example.com", Name: "a", Type: "CNAME", Content: "old.example.net", TTL: schema.AutoTTL},
	}}
	if o, err := l.Execute(t.Context(), plan(t, l, record), time.Second); err != nil || !o.Complete() {
		t.Fatal(err, o.Failed)
	}
	f.before = func(c reconcile.Change) error {
		if c.ID.Kind == schema.KindLoadBalancer && c.ID.Name == "a.example.com" {
			return errors.New("refused")
		}
		return nil
	}
	o, err := l.Execute(t.Context(), plan(t, l, chain()), time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if got := names(o.Skipped); !slices.Equal(got, []string{"dnsRecord/www"}) {
		t.Errorf("skipped %v; want the record's deletion: the balancer that takes over its name failed", got)
	}
}

func TestDeletionsWaitForTheReplacedObjectToGo(t *testing.T) {
	f := newFake()
	l := &loop.Loop{Engines: []loop.Engine{f}, Journal: enginetest.Memory{}}
	if _, err := l.Execute(t.Context(), plan(t, l, chain()), time.Second); err != nil {
		t.Fatal(err)
	}
	f.applied = nil
	s := chain()
	b := s.LoadBalancers["a.example.com"]
	b.Zone, b.DefaultPools, b.FallbackPool = "a.example.com", []string{"b"}, "b"
	s.LoadBalancers["a.example.com"] = b
	delete(s.Pools, "a")
	if o, err := l.Execute(t.Context(), plan(t, l, s), time.Second); err != nil || !o.Complete() {
		t.Fatal(err, o.Failed)
	}
	want := []string{"replace loadBalancer/a.example.com", "delete loadBalancer/a.example.com", "delete pool/a"}
	if !slices.Equal(f.applied, want) {
		t.Errorf("applied %v, want %v: the pool is in use until the old balancer is gone", f.applied, want)
	}
}

func TestReplaceFileIsWholeAndLeavesNothingBeside(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "plan.json")
	for _, content := range []string{"first", "second"} {
		if err := loop.ReplaceFile(name, []byte(content), 0o640); err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(name); err != nil || string(b) != content {
			t.Errorf("%q, %v; want %q", b, err, content)
		}
	}
	info, err := os.Stat(name)
	if err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if err := loop.ReplaceFile(filepath.Join(dir, "none", "plan.json"), nil, 0o600); err == nil {
		t.Error("a folder was made for a mistyped name")
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(name, link); err != nil {
		t.Fatal(err)
	}
	if err := loop.ReplaceFile(link, []byte("third"), 0o640); err != nil {
		t.Fatal(err)
	}
	if target, err := os.Readlink(link); err != nil || target != name {
		t.Errorf("the link leads to %q, %v: it was replaced", target, err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 2 {
		t.Errorf("%d files are there, want the file and the link", len(left))
	}
}
