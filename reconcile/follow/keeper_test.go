package follow_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/enginetest"
	"github.com/hactl/hactl/reconcile/follow"
	"github.com/hactl/hactl/reconcile/loop"
	"github.com/hactl/hactl/schema"
)

const resync = 10 * time.Minute

// edge is a Cloudflare in memory, with a leader and all else a Keeper asks.
type edge struct {
	keeper *follow.Keeper
	loop   *loop.Loop

	mu       sync.Mutex
	live     map[reconcile.Handle]reconcile.Entry
	made     int
	applied  []string // "create dnsRecord/a"
	reads    []time.Time
	unread   error
	refuse   func(reconcile.Change) error
	slow     time.Duration // of a change
	revert   bool          // somebody undoes whatever is done
	lead     follow.Leadership
	hangs    bool  // Lead, until its context ends
	permit   error // what Confirm of the leader says
	token    error
	source   error // what a look at the source says
	looks    int
	onLook   func()
	paused   *follow.Suspension
	events   []follow.Event
	executed int
	health   healthReader
}

func newEdge() *edge {
	e := &edge{
		live: map[reconcile.Handle]reconcile.Entry{},
		lead: follow.Leadership{Mode: "host", Leader: "lb01", Mine: true, Term: "1"},
	}
	e.loop = &loop.Loop{Engines: []loop.Engine{e}, Journal: enginetest.Memory{}}
	e.keeper = follow.NewKeeper(follow.KeeperOptions{
		Edge: func(*schema.Spec) (follow.Edge, error) { return counted{e.loop, e}, e.get().token }, Leader: leader{e},
		Confirm: func(context.Context) error {
			e.set(func(e *edge) { e.looks++ })
			if on := e.get().onLook; on != nil {
				on()
			}
			return e.get().source
		},
		Suspended: func() *follow.Suspension { return e.get().paused },
		Resync:    resync,
		Health:    e.readHealth,
		Observe:   func(ev follow.Event) { e.set(func(e *edge) { e.events = append(e.events, ev) }) },
	})
	return e
}

// counted counts executions.
type counted struct {
	follow.Edge
	e *edge
}

func (c counted) Execute(ctx context.Context, r *loop.Round, grace time.Duration) (loop.Outcome, error) {
	c.e.set(func(e *edge) { e.executed++ })
	return c.Edge.Execute(ctx, r, grace)
}

// seen is what a test may look at.
type seen struct {
	applied  []string
	reads    []time.Time
	events   []follow.Event
	looks    int
	executed int
	source   error
	token    error
	onLook   func()
	paused   *follow.Suspension
}

func (e *edge) get() seen {
	e.mu.Lock()
	defer e.mu.Unlock()
	return seen{slices.Clone(e.applied), slices.Clone(e.reads), slices.Clone(e.events), e.looks, e.executed, e.source, e.token, e.onLook, e.paused}
}

func (e *edge) set(change func(*edge)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	change(e)
}

func (e *edge) told(kind follow.EventKind) []follow.Event {
	return slices.DeleteFunc(e.get().events, func(ev follow.Event) bool { return ev.Kind != kind })
}

// contents are the records that there are.
func (e *edge) contents() map[string]string {
	e.mu.Lock()
	defer e.mu.Unlock()
	found := map[string]string{}
	for _, entry := range e.live {
		r := entry.Object.(schema.DNSRecord)
		found[r.Key] = r.Content
	}
	return found
}

// meddle changes a record behind everybody's back.
func (e *edge) meddle(key, content string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for h, entry := range e.live {
		if r := entry.Object.(schema.DNSRecord); r.Key == key {
			r.Content = content
			entry.Object = r
			e.live[h] = entry
		}
	}
}

func (e *edge) plant(key, content string, owned bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.made++
	h := reconcile.Handle(fmt.Sprint("h", e.made))
	r := records(key, content).DNSRecords[key]
	r.Key = key
	e.live[h] = reconcile.Entry{Object: r.Canonical(), Handle: h, Owned: owned}
}

func (e *edge) Kinds() []schema.Kind                    { return []schema.Kind{schema.KindDNSRecord} }
func (e *edge) Normalize(o schema.Object) schema.Object { return o }
func (e *edge) Requests() int                           { return len(e.get().applied) }

func (e *edge) Read(context.Context, reconcile.Scope) (reconcile.Live, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.reads = append(e.reads, time.Now())
	return reconcile.Live{Entries: slices.Collect(maps.Values(e.live))}, e.unread
}

func (e *edge) Apply(ctx context.Context, c reconcile.Change) (reconcile.Handle, bool, error) {
	e.mu.Lock()
	slow, refuse := e.slow, e.refuse
	e.mu.Unlock()
	if err := reconcile.Permit(ctx); err != nil {
		return "", false, err
	}
	select {
	case <-time.After(slow):
	case <-ctx.Done():
		return "", false, ctx.Err()
	}
	if refuse != nil {
		if err := refuse(c); err != nil {
			return "", false, err
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.applied = append(e.applied, fmt.Sprintf("%s %s", c.Action, c.ID))
	if e.revert {
		return cmpHandle(c.Handle), false, nil
	}
	if c.Action == reconcile.Delete {
		delete(e.live, c.Handle)
		return "", false, nil
	}
	h := c.Handle
	if h == "" {
		e.made++
		h = reconcile.Handle(fmt.Sprint("h", e.made))
	}
	e.live[h] = reconcile.Entry{Object: c.Object, Handle: h, Owned: true}
	return h, false, nil
}

func cmpHandle(h reconcile.Handle) reconcile.Handle {
	if h == "" {
		return "undone"
	}
	return h
}

type leader struct{ e *edge }

func (l leader) Lead(ctx context.Context, _ *schema.Spec) follow.Leadership {
	l.e.mu.Lock()
	lead, hangs := l.e.lead, l.e.hangs
	l.e.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return follow.Leadership{Mode: lead.Mode, Err: ctx.Err().Error()}
	}
	return lead
}

func (l leader) Confirm(context.Context, *schema.Spec, follow.Leadership) error {
	l.e.mu.Lock()
	defer l.e.mu.Unlock()
	return l.e.permit
}

func good(revision string, spec *schema.Spec) *follow.Good {
	return &follow.Good{Revision: revision, Spec: spec}
}

// keeping plays with a Keeper that runs.
func keeping(t *testing.T, tell func(t *testing.T, e *edge, k *follow.Keeper)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		e := newEdge()
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { e.keeper.Run(ctx) })
		defer func() { cancel(); wg.Wait() }()
		tell(t, e, e.keeper)
	})
}

// want makes the keeper want a revision, and waits until it has done what it
// does at once.
func (e *edge) want(revision string, spec *schema.Spec) {
	e.keeper.Want(good(revision, spec))
	time.Sleep(time.Second)
	synctest.Wait()
}

func (e *edge) is(t *testing.T, pairs ...string) {
	t.Helper()
	want := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		want[pairs[i]] = pairs[i+1]
	}
	if got := e.contents(); !maps.Equal(got, want) {
		t.Fatalf("the edge has %v and not %v; state %+v", got, want, e.keeper.State())
	}
}

func classed(class reconcile.Class, only string) func(reconcile.Change) error {
	return func(c reconcile.Change) error {
		if only != "" && c.ID.Name != only {
			return nil
		}
		return &reconcile.Error{Op: string(c.Action), ID: c.ID, Class: class, Err: errors.New("refused at the edge")}
	}
}

func TestWhoLeadsAppliesAndLooksForDrift(t *testing.T) {
	keeping(t, func(t *testing.T, e *edge, k *follow.Keeper) {
		e.want("r1", records("a", "192.0.2.1"))
		e.is(t, "a", "192.0.2.1")
		s := k.State()
		if s.Revision != "r1" || s.Applied.IsZero() || s.Err != "" || s.Waits != "" || len(s.Pending)+len(s.Drift)+len(s.Failed) != 0 || s.Objects != 1 || s.Looked.IsZero() || !s.Leadership.Mine {
			t.Errorf("%+v", s)
		}
		if told := e.told(follow.EventApplied); len(told) != 1 || told[0].Revision != "r1" || told[0].Text != "1 steps" {
			t.Errorf("told %+v", told)
		}
		if e.get().looks != 1 {
			t.Errorf("the source was read %d times", e.get().looks)
		}
		reads := len(e.get().reads)
		e.meddle("a", "203.0.113.9")
		time.Sleep(resync - 2*time.Second)
		if len(e.get().reads) != reads {
			t.Error("the edge is read before it is time")
		}
		time.Sleep(leaderPoll + 2*time.Second)
		e.is(t, "a", "192.0.2.1")
		if told := e.told(follow.EventDrift); len(told) != 1 || len(told[0].Steps) != 1 || k.State().Drift != nil {
			t.Errorf("told %+v, state %+v", told, k.State())
		}
		if told := e.told(follow.EventApplied); len(told) != 2 {
			t.Errorf("told %+v", told)
		}
	})
}

const leaderPoll = 15 * time.Second

func TestNothingToDoIsNotedInTheJournal(t *testing.T) {
	keeping(t, func(t *testing.T, e *edge, k *follow.Keeper) {
		e.plant("a", "192.0.2.1", true)
		e.want("r1", records("a", "192.0.2.1"))
		j, _ := e.loop.Journal.Load("test")
		if j.Revision != "r1" || len(j.Applied) != 1 || len(e.get().applied) != 0 || k.State().Revision != "r1" {
			t.Errorf("journal %+v, state %+v", j, k.State())
		}
		n := e.get().executed
		time.Sleep(3 * resync)
		if e.get().executed != n || len(e.told(follow.EventApplied)) != 1 {
			t.Errorf("executed %d times, told %+v", e.get().executed, e.told(follow.EventApplied))
		}
	})
}

func TestWhoBeginsToLeadSeesTheSourceFirst(t *testing.T) {
	for name, err := range map[string]error{"down": errDown, "suspended": follow.ErrSuspended, "gap": &follow.RefusedError{Refusal: follow.Refusal{Gap: true}}} {
		t.Run(name, func(t *testing.T) {
			keeping(t, func(t *testing.T, e *edge, k *follow.Keeper) {
				e.source = err
				e.want("r1", records("a", "192.0.2.1"))
				time.Sleep(time.Hour)
				if s := k.State(); len(e.get().reads) != 0 || !strings.Contains(s.Waits, "newer revision") {
					t.Errorf("%+v", s)
				}
				e.set(func(e *edge) { e.source = &follow.RefusedError{} })
				time.Sleep(leaderPoll)
				e.is(t, "a", "192.0.2.1")
				if k.State().Waits != "" {
					t.Errorf("%+v", k.State())
				}
				// Within the term it is not asked for again.
				e.set(func(e *edge) { e.source = err })
				e.want("r2", records("a", "192.0.2.2"))
				e.is(t, "a", "192.0.2.2")
				// In the next one it is; hactl sync goes on without.
				e.set(func(e *edge) { e.lead.Term = "2" })
				e.want("r3", records("a", "192.0.2.3"))
				e.is(t, "a", "192.0.2.2")
				k.Sync(nil)
				synctest.Wait()
				e.is(t, "a", "192.0.2.3")
			})
		})
	}
}

func TestWhatTheSourceHasIsWhatANewLeaderApplies(t *testing.T) {
	keeping(t, func(t *testing.T, e *edge, k *follow.Keeper) {
		e.onLook = func() { // as a Follower that finds a newer revision
			e.set(func(e *edge) { e.onLook = nil })
			k.Want(good("r2", records("a", "192.0.2.2")))
		}
		e.want("r1", records("a", "192.0.2.1"))
		e.is(t, "a", "192.0.2.2")
		if got := e.get(); len(got.applied) != 1 {
			t.Errorf("applied %v", got.applied)
		}
	})
}

func TestWhoDoesNotLeadTouchesNothing(t *testing.T) {
	keeping(t, func(t *testing.T, e *edge, k *follow.Keeper) {
		e.want("r1", records("a", "192.0.2.1"))
		e.set(func(e *edge) { e.refuse = classed(reconcile.Denied, "a") })
		e.want("r2", records("a", "192.0.2.2"))
		if s := k.State(); s.Err == "" || len(s.Failed) != 1 || len(s.Pending) != 1 {
			t.Fatalf("%+v", s)
		}
		e.set(func(e *edge) { e.lead = follow.Leadership{Mode: "host", Leader: "lb02"} })
		time.Sleep(leaderPoll)
		// What was in the way is another host's to say now.
		if s := k.State(); s.Leadership.Mine || s.Err != "" || len(s.Failed)+len(s.Pending)+len(s.Drift) != 0 || !s.Retry.IsZero() || s.Revision != "r1" {
			t.Errorf("%+v", s)
		}
		e.set(func(e *edge) { e.refuse = nil })
		reads := len(e.get().reads)
		e.want("r3", records("a", "192.0.2.3"))
		k.Sync(nil)
		time.Sleep(time.Hour)
		e.is(t, "a", "192.0.2.1")
		if len(e.get().reads) != reads {
			t.Error("it reads the edge")
		}
		if told := e.told(follow.EventLeader); len(told) != 2 || told[1].Text != "lb02 leads" {
			t.Errorf("told %+v", told)
		}
	})
}

func TestATokenIsWaitedForAndASuspensionToo(t *testing.T) {
	keeping(t, func(t *testing.T, e *edge, k *follow.Keeper) {
		e.token = errors.New("no token on this host")
		e.want("r1", records("a", "192.0.2.1"))
		if s := k.State(); s.Waits != "no token on this host" {
			t.Errorf("%+v", s)
		}
		until := time.Now().Add(time.Hour)
		e.set(func(e *edge) { e.token, e.paused = nil, &follow.Suspension{Until: until} })
		time.Sleep(time.Minute)
		if s := k.State(); !strings.HasPrefix(s.Waits, "suspended until") || len(e.get().reads) != 0 {
			t.Errorf("%+v", s)
		}
		e.set(func(e *edge) { e.paused = nil })
		k.Interrupt()
		synctest.Wait()
		e.is(t, "a", "192.0.2.1")
	})
}

func TestDriftIsOnlyReported(t *testing.T) {
	report := func(pairs ...string) *schema.Spec {
		return policy(records(pairs...), func(p *schema.Policy) { p.Drift = "report" })
	}
	keeping(t, func(t *testing.T, e *edge, k *follow.Keeper) {
		e.want("r1", report("a", "192.0.2.1", "b", "192.0.2.2"))
		e.meddle("a", "203.0.113.9")
		time.Sleep(3 * resync)
		if s := k.State(); len(s.Drift) != 1 || len(s.Pending) != 0 || s.Err != "" || s.Revision != "r1" {
			t.Errorf("%+v", s)
		}
		if told := e.told(follow.EventDrift); len(told) != 1 {
			t.Errorf("told %+v", told)
		}
		// A push brings its own, and leaves the drift.
		e.want("r2", report("a", "192.0.2.1", "b", "192.0.2.3"))
		e.is(t, "a", "203.0.113.9", "b", "192.0.2.3")
		if s := k.State(); s.Revision != "r2" || len(s.Drift) != 1 || len(s.Pending) != 0 {
			t.Errorf("%+v", s)
		}
		// What is drift after that stays too.
		e.meddle("b", "203.0.113.8")
		time.Sleep(2 * resync)
		e.is(t, "a", "203.0.113.9", "b", "203.0.113.8")
		// One that changes it is a push.
		e.want("r3", report("a", "192.0.2.4", "b", "192.0.2.3"))
		e.is(t, "a", "192.0.2.4", "b", "203.0.113.8")
	})
}

// Who begins to lead has no journal of what another host applied.
func TestDriftIsOnlyReportedByANewLeaderToo(t *testing.T) {
	report := func(pairs ...string) *schema.Spec {
		return policy(records(pairs...), func(p *schema.Policy) { p.Drift = "report" })
	}
	for _, inConfirm := range []bool{false, true} {
		keeping(t, func(t *testing.T, e *edge, k *follow.Keeper) {
			e.plant("a", "203.0.113.9", true) // drift: r1 has .1
			e.plant("b", "192.0.2.2", true)
			e.plant("c", "192.0.2.5", true)
			r1 := report("a", "192.0.2.1", "b", "192.0.2.2", "c", "192.0.2.5")
			r2 := report("a", "192.0.2.1", "b", "192.0.2.3", "c", "192.0.2.5")
			e.set(func(e *edge) { e.lead.Mine = inConfirm })
			if inConfirm {
				e.onLook = func() { e.set(func(e *edge) { e.onLook = nil }); k.Want(good("r2", r2)) }
				e.want("r1", r1)
			} else {
				e.want("r1", r1)
				e.want("r2", r2)
				e.set(func(e *edge) { e.lead.Mine = true })
				time.Sleep(leaderPoll)
			}
			e.is(t, "a", "203.0.113.9", "b", "192.0.2.3", "c", "192.0.2.5")
			e.meddle("b", "203.0.113.8")
			time.Sleep(2 * resync)
			e.is(t, "a", "203.0.113.9", "b", "203.0.113.8", "c", "192.0.2.5")
			e.want("r3", report("a", "192.0.2.1", "b", "192.0.2.3", "c", "192.0.2.6"))
			e.is(t, "a", "203.0.113.9", "b", "203.0.113.8", "c", "192.0.2.6")
		})
	}
}
