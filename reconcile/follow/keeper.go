package follow

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/loop"
	"github.com/hactl/hactl/schema"
)

// Edge plans and applies edge changes; a *loop.Loop is one.
type Edge interface {
	Desired(spec *schema.Spec, revision, host string) reconcile.Desired
	Plan(context.Context, loop.Request) (*loop.Round, error)
	Execute(ctx context.Context, round *loop.Round, grace time.Duration) (loop.Outcome, error)
}

// Leader tells who may write to the edge.
type Leader interface {
	// Lead is cheap: it may go by what this host knows.
	Lead(ctx context.Context, spec *schema.Spec) Leadership
	// Confirm is asked right before each write, and goes to whoever decides: an
	// error says that the leadership l of this host has ended, or may have.
	Confirm(ctx context.Context, spec *schema.Spec, l Leadership) error
}

// KeeperOptions are what a Keeper works with.
type KeeperOptions struct {
	// Edge is how to reach the edge as a specification has it; an error says
	// why that cannot be, such as a missing token.
	Edge   func(*schema.Spec) (Edge, error)
	Leader Leader
	// Confirm reads the source once. Who begins to lead does nothing before it
	// has succeeded: another host may have applied a newer revision.
	Confirm func(context.Context) error
	// Suspended tells whether, and until when, the edge is left alone.
	Suspended func() *Suspension
	// Changes says that leadership may have changed; may be nil.
	Changes <-chan struct{}
	// Resync is how often the edge is read when nothing has changed, to find
	// drift.
	Resync time.Duration
	// Allowed guard rails are not checked.
	Allowed []reconcile.Rule
	// Health reads how the edge of a specification does, and says how long it is
	// to be left then, for the sake of a budget; nil where nobody wants to know.
	Health func(context.Context, *schema.Spec) (*reconcile.Health, time.Duration, error)
	// Observe hears of every event, in order, and must not block; may be nil.
	Observe func(Event)
}

// Keeper keeps the edge as the last good revision has it, while this host
// leads. Use NewKeeper; its methods may be called concurrently.
type Keeper struct {
	o     KeeperOptions
	poke  chan struct{}
	looks chan struct{} // the edge has been looked at

	// Of Run's goroutine:
	term      string             // in which the source was confirmed
	done      string             // revision that was applied whole
	next      time.Time          // when to read the edge again
	backoff   time.Duration      // after a failure that may pass
	stalled   map[schema.ID]bool // steps refused for good, of this revision
	stalledOf string             // that revision
	stuck     error              // why they are
	lifted    forced             // guard rails, until that is applied or refused
	drifted   string             // drift told of last
	troubled  string             // failure told of last

	mu     sync.Mutex
	good   *Good
	moved  time.Time            // since when another host may be preferred
	begun  bool                 // the source was confirmed in this term
	base   map[schema.ID]string // fingerprints to tell drift by, where the journal of this host does not know; nil where it does
	forced *forced
	cancel context.CancelFunc // of the turn under way
	state  EdgeState
}

// forced is a look that somebody asked for. Guard rails are lifted for the
// revision that they were lifted for, and no other.
type forced struct {
	allowed  []reconcile.Rule
	revision string
}

const (
	// leaderPoll is how often leadership is looked at without an event.
	leaderPoll = 15 * time.Second
	minBackoff = 10 * time.Second
	maxBackoff = 5 * time.Minute
	// rounds bounds how often one turn plans anew.
	rounds = 4
	// grace is how long requests may go on after an interruption.
	grace = 30 * time.Second
)

// NewKeeper makes a Keeper that does nothing before Run.
func NewKeeper(o KeeperOptions) *Keeper {
	return &Keeper{o: o, poke: make(chan struct{}, 1), looks: make(chan struct{}, 1), state: EdgeState{Leadership: Leadership{Mode: "none"}}}
}

// State is how it stands.
func (k *Keeper) State() EdgeState {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.state
}

// Want makes g what the edge is kept at. What is under way for another revision
// begins no further step.
func (k *Keeper) Want(g *Good) {
	k.mu.Lock()
	former := k.good
	if former != nil && former.Revision != g.Revision && former.Spec.Stack == g.Spec.Stack && (!k.begun || k.base != nil) {
		if edge, err := k.o.Edge(former.Spec); err == nil {
			base := fingerprints(edge.Desired(former.Spec, former.Revision, ""))
			if k.begun {
				base = agreed(k.base, base)
			}
			k.base = base
		}
	}
	if former == nil || !reflect.DeepEqual(leading(former.Spec), leading(g.Spec)) {
		k.moved = time.Now()
	}
	k.good = g
	if k.cancel != nil {
		k.cancel()
	}
	k.mu.Unlock()
	k.wake()
}

// fingerprints are those of all that is wanted.
func fingerprints(d reconcile.Desired) map[schema.ID]string {
	all := make(map[schema.ID]string, len(d.Objects))
	for id, o := range d.Objects {
		all[id] = reconcile.Fingerprint(o)
	}
	return all
}

// agreed are the fingerprints of two revisions of which nobody knows which was
// applied: what they differ in is known, and as neither has it.
func agreed(a, b map[schema.ID]string) map[schema.ID]string {
	both := map[schema.ID]string{}
	for id, f := range a {
		if b[id] == f {
			both[id] = f
		} else {
			both[id] = ""
		}
	}
	for id := range b {
		if _, known := a[id]; !known {
			both[id] = ""
		}
	}
	return both
}

// Sync reads the edge soon, and tries again what was refused. Allowed guard
// rails are not checked until what is wanted now is applied or refused.
func (k *Keeper) Sync(allowed []reconcile.Rule) {
	k.mu.Lock()
	k.forced = &forced{allowed: allowed}
	if k.good != nil {
		k.forced.revision = k.good.Revision
	}
	k.mu.Unlock()
	k.wake()
}

// Interrupt lets what is under way begin no further step, as when suspended.
func (k *Keeper) Interrupt() {
	k.mu.Lock()
	if k.cancel != nil {
		k.cancel()
	}
	k.mu.Unlock()
	k.wake()
}

func (k *Keeper) wake() {
	select {
	case k.poke <- struct{}{}:
	default:
	}
}

// Run keeps the edge until ctx ends; requests under way are finished.
func (k *Keeper) Run(ctx context.Context) {
	if k.o.Health != nil {
		var wg sync.WaitGroup
		defer wg.Wait()
		wg.Go(func() { k.watchHealth(ctx) })
	}
	for ctx.Err() == nil {
		timer := time.NewTimer(k.turn(ctx))
		select {
		case <-k.poke:
		case <-k.o.Changes:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		timer.Stop()
	}
}

// turn looks once at what there is to do, does it, and says when to look again.
func (k *Keeper) turn(ctx context.Context) time.Duration {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	k.mu.Lock()
	k.cancel = cancel
	good, force := k.good, k.forced
	k.forced = nil
	k.mu.Unlock()
	if good == nil {
		return leaderPoll
	}
	lead := k.o.Leader.Lead(ctx, good.Spec)
	if ctx.Err() != nil { // The question was interrupted: no answer.
		k.keepForced(force)
		return 0
	}
	k.led(lead, good)
	if !lead.Mine {
		k.resign()
		return leaderPoll
	}
	edge, err := k.o.Edge(good.Spec)
	if err != nil {
		k.wait(err.Error(), force)
		return leaderPoll
	}
	if s := k.o.Suspended(); s != nil {
		k.term = "" // Then the source is read first, too.
		k.wait("suspended until "+s.Until.Format(time.RFC3339), force)
		return min(leaderPoll, max(time.Until(s.Until), time.Second))
	}
	// What is begun now and left to another host may not be known to it as the
	// stack's: a tunnel is marked by what leads to it alone.
	if early := k.unsettled(lead); early > 0 && force == nil {
		return min(early, leaderPoll)
	}
	if k.term != lead.Term {
		if err := k.o.Confirm(ctx); force == nil && !newest(err) {
			if ctx.Err() == nil {
				k.wait("another host may have applied a newer revision than "+short(good.Revision)+", and this one has to see it first (hactl sync goes on without): "+err.Error(), nil)
			}
			return minBackoff
		}
		k.term = lead.Term
		k.next = time.Time{}
		k.mu.Lock()
		k.begun = true
		k.mu.Unlock()
		if ctx.Err() != nil { // there is a newer one
			k.keepForced(force)
			return 0
		}
	}
	now := time.Now()
	if force == nil && k.done == good.Revision && now.Before(k.next) || force == nil && k.stalledOf == good.Revision && now.Before(k.next) {
		return min(leaderPoll, k.next.Sub(now))
	}
	if force != nil || k.stalledOf != good.Revision {
		k.stalled, k.stalledOf, k.stuck, k.backoff = map[schema.ID]bool{}, good.Revision, nil, 0
	}
	k.wait("", nil)
	permitted := reconcile.WithPermit(ctx, func(ctx context.Context) error { return k.o.Leader.Confirm(ctx, good.Spec, lead) })
	if force != nil && force.revision == good.Revision {
		k.lifted = *force
	} else if k.lifted.revision != good.Revision {
		k.lifted = forced{}
	}
	k.apply(permitted, good, edge, slices.Concat(k.lifted.allowed, k.o.Allowed))
	select {
	case k.looks <- struct{}{}:
	default:
	}
	if ctx.Err() != nil {
		k.keepForced(force)
		return 0
	}
	return min(leaderPoll, max(time.Until(k.next), 0))
}

// unsettled is how long another host may still take leadership over, because this
// one leads since just now, or because of what is wanted since just now.
func (k *Keeper) unsettled(lead Leadership) time.Duration {
	k.mu.Lock()
	moved := k.moved
	k.mu.Unlock()
	if lead.Since.After(moved) {
		moved = lead.Since
	}
	return lead.Settle - time.Since(moved)
}

// leading is what decides in a specification who leads.
func leading(s *schema.Spec) any {
	if s.Leader == nil {
		return nil
	}
	v := s.VirtualRouters[s.Leader.VirtualRouter]
	away := map[string]bool{}
	for host := range v.Members {
		away[host] = s.Hosts[host].Maintenance
	}
	return []any{*s.Leader, v, away, s.SyncGroups, s.Checks}
}

// resign forgets what only who leads knows: it is another host's to say now.
func (k *Keeper) resign() {
	k.term, k.done, k.next, k.lifted = "", "", time.Time{}, forced{}
	k.mu.Lock()
	k.begun = false
	k.mu.Unlock()
	k.set(func(s *EdgeState) {
		s.Waits, s.Err, s.Retry = "", "", time.Time{}
		s.Pending, s.Drift, s.Conflicts, s.Violations, s.Impact, s.Failed, s.Health = nil, nil, nil, nil, nil, nil, nil
	})
}

// newest tells by what a look at the source said whether what runs here can be
// the newest revision that any host has run.
func newest(err error) bool {
	var refused *RefusedError
	return err == nil || errors.As(err, &refused) && !refused.Gap
}

// led notes who leads.
func (k *Keeper) led(l Leadership, good *Good) {
	former := k.State().Leadership
	k.set(func(s *EdgeState) { s.Leadership = l })
	if former.Mine != l.Mine || former.Leader != l.Leader || former.Err != l.Err {
		text := "nobody is known to lead"
		switch {
		case l.Mine:
			text = "this host leads"
		case l.Leader != "":
			text = l.Leader + " leads"
		case l.Mode == "none":
			text = "the specification names no leader"
		}
		if l.Err != "" {
			text += ": " + l.Err
		}
		k.tell(Event{Kind: EventLeader, Revision: good.Revision, Text: text})
	}
}

// wait notes why nothing is done. A forced look is kept for later; what was
// allowed with it was meant for now.
func (k *Keeper) wait(why string, force *forced) {
	former := ""
	k.set(func(s *EdgeState) { former, s.Waits = s.Waits, why })
	if why != former && k.o.Suspended() == nil {
		k.tell(Event{Kind: EventWaits, Text: why})
	}
	if force != nil {
		k.keepForced(&forced{revision: force.revision})
	}
}

func (k *Keeper) keepForced(force *forced) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if force != nil && k.forced == nil {
		k.forced = force
	}
}

func (k *Keeper) set(change func(*EdgeState)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	change(&k.state)
}

func (k *Keeper) tell(e Event) {
	if k.o.Observe != nil {
		e.Time = time.Now()
		k.o.Observe(e)
	}
}
