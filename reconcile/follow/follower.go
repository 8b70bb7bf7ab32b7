package follow

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/source"
	"github.com/hactl/hactl/schema"
)

// Host is this machine's side of a specification.
type Host interface {
	// Run makes what g wants of this machine run, and may be called again with
	// the same: secrets may have changed. After an error all is as it was.
	Run(g *Good) error
	// Restore is Run for a start without a source: of what g wants it may run
	// a part rather than nothing, and say elsewhere what is missing.
	Restore(g *Good) error
}

// Options are what a Follower works with.
type Options struct {
	Source source.Source
	Trust  source.Trust
	// Origin tells this source from others, free of credentials: what is on the
	// disk of another one is left alone. Empty is the source's own.
	Origin string
	// Strict wants every revision to descend from the one that runs, as where
	// signatures count: whoever can push could show any signed commit otherwise.
	Strict bool
	// Evaluate loads and validates. A *load.Invalid is the specification's
	// fault; any other error may not come again.
	Evaluate func(context.Context, *source.Tree) (*schema.Spec, error)
	Host     Host  // nil for none
	Store    Store // nil for none
	// Pause keeps a suspension over restarts; empty for not.
	Pause Pause
	// Allowed guard rails are not checked.
	Allowed []reconcile.Rule
	// Poll is how often the source is looked at, give or take a tenth; 0 never.
	Poll time.Duration
	// Changes says when to look besides; may be nil.
	Changes <-chan struct{}
	Build   string
	// Observe hears of every event, in order, and must not block; may be nil.
	Observe func(Event)
	// Accepted is called with every revision that runs, in order; may be nil.
	Accepted func(*Good)
}

// Follower follows a source. Use New; its methods may be called concurrently.
type Follower struct {
	o       Options
	trigger chan struct{}
	moved   chan struct{} // what is due may be due at another time

	looking chan struct{} // holds one while there is a look: one at a time
	// Of who holds looking:
	known      string // revision with a verdict that stands
	waiting    *Good  // known, and good but for this host
	waitingFor *source.Candidate
	lastText   string              // of the refusal reported last
	gap        bool                // see Refusal
	moves      []reconcile.Finding // what the LAN notices of what settles

	mu      sync.Mutex
	good    *Good
	state   State
	rejudge time.Time          // when known is to be judged again; zero for never
	cancel  context.CancelFunc // of the look under way

	pausing sync.Mutex // one suspension or its end at a time
}

const (
	// secondLook follows a webhook that came before the ref had moved.
	secondLook = 3 * time.Second
	// rejudgeAfter is when a revision that could not be evaluated is tried
	// again: memory or time may have been short for another reason.
	rejudgeAfter = 15 * time.Minute
)

// New makes a Follower that does nothing before Restore, Look or Run.
func New(o Options) *Follower {
	if o.Origin == "" {
		o.Origin = o.Source.Origin()
	}
	return &Follower{o: o, trigger: make(chan struct{}, 1), moved: make(chan struct{}, 1), looking: make(chan struct{}, 1), state: State{Fetch: Fetching{Origin: o.Origin}}}
}

// State is how it stands.
func (f *Follower) State() State {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.state
	if s.Suspended != nil && !time.Now().Before(s.Suspended.Until) {
		s.Suspended = nil
	}
	return s
}

// Good is what runs, nil for nothing yet.
func (f *Follower) Good() *Good {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.good
}

func (f *Follower) change(c func(*State)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c(&f.state)
}

func (f *Follower) tell(e Event) {
	if f.o.Observe != nil {
		e.Time = time.Now()
		f.o.Observe(e)
	}
}

// Restore runs the last good revision on the disk, and takes up a suspension.
// It tells whether something runs; what is wrong with the disk is an event.
func (f *Follower) Restore() bool {
	f.looking <- struct{}{}
	defer func() { <-f.looking }()
	if f.o.Pause != "" {
		s, err := f.o.Pause.Load(time.Now())
		if err != nil {
			f.tell(Event{Kind: EventStore, Err: err})
		}
		f.change(func(st *State) { st.Suspended = s })
		f.move()
	}
	if f.o.Store == nil {
		return false
	}
	g, err := f.o.Store.Load()
	var damaged *DamagedError
	if errors.As(err, &damaged) {
		f.change(func(s *State) { s.Damaged = damaged.Error() })
	}
	if err != nil {
		f.tell(Event{Kind: EventStore, Err: err})
	}
	if g == nil {
		return false
	}
	if g.Origin != f.o.Origin {
		f.tell(Event{Kind: EventStore, Err: fmt.Errorf("the last good specification on disk is of %s, and is left alone: %s is followed now", g.Origin, f.o.Origin)})
		return false
	}
	if f.o.Host != nil {
		if err := f.o.Host.Restore(g); err != nil {
			f.tell(Event{Kind: EventStore, Revision: g.Revision, Err: fmt.Errorf("the last good specification on disk does not run here: %w", err)})
			return false
		}
	}
	f.runs(g, true)
	return true
}

// runs notes that g runs.
func (f *Follower) runs(g *Good, restored bool) {
	f.mu.Lock()
	f.good = g
	f.state.Revision, f.state.Signer, f.state.Committed, f.state.Accepted = g.Revision, g.Signer, g.Committed, g.Accepted
	f.state.Restored = restored
	f.mu.Unlock()
	text := ""
	if restored {
		text = "restored from disk"
	}
	f.tell(Event{Kind: EventAccepted, Revision: g.Revision, Signer: g.Signer, Text: text, Impact: f.moves})
	if f.o.Accepted != nil {
		f.o.Accepted(g)
	}
}

// Trigger asks for a look soon; it never blocks.
func (f *Follower) Trigger() {
	select {
	case f.trigger <- struct{}{}:
	default:
	}
}

// Run looks whenever it may be worth it, until ctx ends. Errors are events.
func (f *Follower) Run(ctx context.Context) {
	again := time.NewTimer(0)
	again.Stop()
	defer again.Stop()
	for {
		var poll <-chan time.Time
		var timer *time.Timer
		if f.o.Poll > 0 {
			timer = time.NewTimer(f.o.Poll*9/10 + rand.N(f.o.Poll/5+1))
			poll = timer.C
		}
		var due <-chan time.Time
		if at := f.due(); !at.IsZero() {
			due = time.After(time.Until(at))
		}
		triggered := false
		select {
		case <-f.trigger:
			triggered = true
		case <-f.moved:
			continue
		case <-again.C:
		case <-poll:
		case <-due:
		case _, more := <-f.o.Changes:
			if !more {
				f.o.Changes = nil
				continue
			}
		case <-ctx.Done():
			return
		}
		if timer != nil {
			timer.Stop()
		}
		before := f.State()
		_ = f.Look(ctx, Look{})
		if after := f.State(); triggered && before.Revision == after.Revision && before.Refused == after.Refused {
			again.Reset(secondLook)
		}
	}
}

// due is when to look without being told: after a suspension, and to judge
// again; zero for never.
func (f *Follower) due() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s := f.state.Suspended; s != nil {
		return s.Until
	}
	return f.rejudge
}

// judgeAgain notes when known is to be judged again.
func (f *Follower) judgeAgain(at time.Time) {
	f.mu.Lock()
	f.rejudge = at
	f.mu.Unlock()
	f.move()
}

// move has Run ask for what is due once more.
func (f *Follower) move() {
	select {
	case f.moved <- struct{}{}:
	default:
	}
}

// Look is how to look.
type Look struct {
	// Anew judges again what has a verdict.
	Anew bool
	// Allowed guard rails are not checked this once.
	Allowed []reconcile.Rule
}

// ErrSuspended is the error of a look while nothing is followed.
var ErrSuspended = errors.New("suspended")

// Look looks at the source once, and runs what is new and good there. The
// error says why what is there does not run: a *RefusedError, ErrSuspended, or
// the source's own.
func (f *Follower) Look(ctx context.Context, l Look) error {
	select {
	case f.looking <- struct{}{}:
		defer func() { <-f.looking }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if s := f.State().Suspended; s != nil {
		return fmt.Errorf("%w until %s", ErrSuspended, s.Until.Format(time.RFC3339))
	}
	now := time.Now()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f.mu.Lock()
	f.cancel = cancel
	if l.Anew || !f.rejudge.IsZero() && !now.Before(f.rejudge) {
		f.known, f.rejudge = "", time.Time{}
	}
	if s := f.state.Suspended; s != nil && !now.Before(s.Until) {
		f.state.Suspended = nil
	}
	f.mu.Unlock()
	err := f.look(ctx, now, l)
	if s := f.State().Suspended; s != nil && err != nil {
		return fmt.Errorf("%w until %s", ErrSuspended, s.Until.Format(time.RFC3339)) // meanwhile
	}
	return err
}

func (f *Follower) look(ctx context.Context, now time.Time, l Look) error {
	candidate, err := f.o.Source.Fetch(ctx, f.known)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil && !errors.Is(err, source.ErrUnchanged) {
		f.unreachable(now, err)
		return err
	}
	f.reachable(now)
	if err == nil {
		return f.judge(ctx, candidate, l)
	}
	// The verdict stands; but for what this host makes of it.
	if f.waiting != nil {
		return f.settle(f.waiting, f.waitingFor)
	}
	again := f.again()
	if r := f.State().Refused; r != nil {
		return &RefusedError{*r}
	}
	return again
}

// again tells the host once more what runs, and brings that to the disk if it
// could not be written before.
func (f *Follower) again() error {
	good := f.Good()
	if good == nil {
		return nil
	}
	if f.State().Unsaved != "" {
		f.keep(good)
	}
	if f.o.Host == nil {
		return nil
	}
	err := f.o.Host.Run(good)
	text, former := "", ""
	if err != nil {
		text = err.Error()
	}
	f.change(func(s *State) { former, s.Unfit = s.Unfit, text })
	switch {
	case text == former:
	case err != nil:
		f.tell(Event{Kind: EventHost, Revision: good.Revision, Err: err})
	default:
		f.tell(Event{Kind: EventHost, Revision: good.Revision, Text: "works again"})
	}
	return err
}

// keep writes g to the disk. That it cannot be is no reason not to run it.
func (f *Follower) keep(g *Good) {
	if f.o.Store == nil {
		return
	}
	err := f.o.Store.Save(g)
	text, former := "", ""
	if err != nil {
		text = err.Error()
	}
	f.change(func(s *State) {
		former, s.Unsaved = s.Unsaved, text
		if err == nil {
			s.Damaged = ""
		}
	})
	if text != former && err != nil {
		f.tell(Event{Kind: EventStore, Revision: g.Revision, Err: err})
	}
}

// clear forgets what was refused: the source has what runs.
func (f *Follower) clear() {
	f.lastText = ""
	f.change(func(s *State) { s.Refused, s.Restored = nil, false })
}

func (f *Follower) unreachable(now time.Time, err error) {
	text, former := err.Error(), ""
	f.change(func(s *State) { former, s.Fetch.Tried, s.Fetch.Err = s.Fetch.Err, now, text })
	if text != former {
		f.tell(Event{Kind: EventFetch, Err: err})
	}
}

func (f *Follower) reachable(now time.Time) {
	former := ""
	f.change(func(s *State) { former, s.Fetch.Tried, s.Fetch.Success, s.Fetch.Err = s.Fetch.Err, now, now, "" })
	if former != "" {
		f.tell(Event{Kind: EventFetch, Text: "works again"})
	}
}

func short(revision string) string { return revision[:min(12, len(revision))] }
