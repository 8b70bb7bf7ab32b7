package follow

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/source"
	"github.com/hactl/hactl/schema"
	"github.com/hactl/hactl/schema/load"
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
	lastText   string // of the refusal reported last
	gap        bool   // see Refusal

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
	f.tell(Event{Kind: EventAccepted, Revision: g.Revision, Signer: g.Signer, Text: text})
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

// RefusedError is a revision that does not run, and why.
type RefusedError struct{ Refusal }

func (e *RefusedError) Error() string {
	return fmt.Sprintf("revision %s is refused (%s), and nothing was changed: %s", e.Revision, e.Reason, e.Message)
}

// judge takes a candidate through every gate.
func (f *Follower) judge(ctx context.Context, c *source.Candidate, l Look) error {
	allowed := slices.Concat(f.o.Allowed, l.Allowed)
	good := f.Good()
	// Former verdicts, and what was waited for, are another revision's.
	f.known, f.waiting, f.waitingFor = "", nil, nil
	f.judgeAgain(time.Time{})
	if good != nil && good.Revision == c.Revision && good.Build == f.o.Build {
		// What runs already; perhaps again, after something that was refused.
		if _, err := f.o.Trust.Check(c); err != nil {
			// It goes on, and whoever trusted it may want to know.
			return f.refuse(c, Untrusted, "it runs, and nobody vouches for it any more: "+err.Error(), false)
		}
		f.known, f.gap = c.Revision, false
		f.clear()
		return f.again()
	}
	if good != nil && good.Revision != c.Revision && !slices.Contains(allowed, reconcile.RuleRewind) {
		if err := rewound(ctx, c, good, f.o.Strict); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return f.refuse(c, Rewound, err.Error(), errors.Is(err, errUnseen))
		}
	}
	tree, err := c.Admit(f.o.Trust)
	if err != nil {
		reason := Invalid
		var failed *source.Error
		if errors.As(err, &failed) && errors.Is(failed, source.ErrDenied) {
			reason = Untrusted
		} else {
			f.known = c.Revision
		}
		return f.refuse(c, reason, err.Error(), false)
	}
	spec, err := f.o.Evaluate(ctx, tree)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	f.known = c.Revision
	if err != nil {
		var invalid *load.Invalid
		passing := !errors.As(err, &invalid)
		if passing {
			f.judgeAgain(time.Now().Add(rejudgeAfter))
		}
		return f.refuse(c, Invalid, err.Error(), passing)
	}
	var before *schema.Spec
	if good != nil {
		before = good.Spec
	}
	if found := Rails(before, spec, allowed); len(found) > 0 {
		return f.refuse(c, Guarded, Describe(found), false)
	}
	next := &Good{Revision: c.Revision, Origin: f.o.Origin, Signer: tree.Signer, Accepted: time.Now(), Build: f.o.Build, Spec: spec}
	if c.Commit != nil {
		next.Committed = c.Commit.Committer.When
	}
	return f.settle(next, c)
}

// Describe lists violations, a line each.
func Describe(violations []reconcile.Violation) string {
	var lines []string
	for _, v := range violations {
		line := fmt.Sprintf("%s (--allow %s)", v.Message, v.Rule)
		if v.ID != (schema.ID{}) {
			line = v.ID.String() + " " + line
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// settle runs g, unless this host cannot: then it waits for that to change.
func (f *Follower) settle(g *Good, c *source.Candidate) error {
	if f.State().Suspended != nil { // since it was fetched
		f.known, f.waiting, f.waitingFor = "", nil, nil
		return ErrSuspended
	}
	if f.o.Host != nil {
		if err := f.o.Host.Run(g); err != nil {
			f.waiting, f.waitingFor = g, c
			return f.refuse(c, Unfit, err.Error(), true)
		}
	}
	f.waiting, f.waitingFor, f.gap = nil, nil, false
	f.clear()
	f.change(func(s *State) { s.Unfit = "" })
	f.keep(g)
	f.runs(g, false)
	return nil
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

// refuse notes a refusal; it is told once for as long as it says the same. A
// reason that is of this host alone, so that another may run the revision,
// makes a gap.
func (f *Follower) refuse(c *source.Candidate, reason Reason, message string, alone bool) error {
	r := Refusal{Revision: c.Revision, Reason: reason, Message: message, At: time.Now()}
	if good := f.Good(); good != nil && c.Commit != nil && reason != Rewound && c.Revision != good.Revision {
		f.gap = f.gap || !slices.Contains(c.Commit.Parents, good.Revision)
	}
	r.Gap = f.gap || alone && c.Commit != nil
	text := c.Revision + string(reason) + message
	if text == f.lastText {
		if former := f.State().Refused; former != nil {
			return &RefusedError{*former}
		}
	}
	f.lastText = text
	f.change(func(s *State) { s.Refused = &r })
	f.tell(Event{Kind: EventRefused, Revision: c.Revision, Reason: reason, Text: message})
	return &RefusedError{r}
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

// Suspend stops following until a time, at most LongestSuspension from now.
func (f *Follower) Suspend(until time.Time, reason string) error {
	left := time.Until(until)
	if left <= 0 || left > LongestSuspension {
		return fmt.Errorf("suspend for %s: want a time of up to %s", left.Round(time.Second), LongestSuspension)
	}
	return f.pause(&Suspension{Until: until, Reason: reason})
}

// Resume ends a suspension; there need not be one.
func (f *Follower) Resume() error {
	if err := f.pause(nil); err != nil {
		return err
	}
	f.Trigger()
	return nil
}

func (f *Follower) pause(s *Suspension) error {
	f.pausing.Lock()
	defer f.pausing.Unlock()
	if f.o.Pause != "" {
		if err := f.o.Pause.Save(s); err != nil {
			return err
		}
	}
	former := f.State().Suspended
	f.mu.Lock()
	f.state.Suspended = s
	if s != nil && f.cancel != nil {
		f.cancel() // What is being looked at does not run.
	}
	f.mu.Unlock()
	f.move()
	switch {
	case s != nil:
		f.tell(Event{Kind: EventSuspended, Text: "until " + s.Until.Format(time.RFC3339) + " " + s.Reason})
	case former != nil:
		f.tell(Event{Kind: EventSuspended, Text: "resumed"})
	}
	return nil
}

var errUnseen = errors.New("whether it is a successor cannot be seen")

// rewound says why a candidate is older than what runs; nil if it is not. Unless
// strict, a commit with a later date is taken for newer, whatever its history:
// who can push decides. One that is no later has to descend from what runs, as
// after a clock was set back.
func rewound(ctx context.Context, c *source.Candidate, good *Good, strict bool) error {
	if c.Commit == nil || good.Committed.IsZero() || !strict && c.Commit.Committer.When.After(good.Committed) {
		return nil
	}
	descends, err := c.Descends(ctx, good.Revision)
	dates := fmt.Sprintf("it is dated %s, and %s, which runs, %s", c.Commit.Committer.When.Format(time.RFC3339), short(good.Revision), good.Committed.Format(time.RFC3339))
	switch {
	case err != nil:
		return fmt.Errorf("%s; %w: %w", dates, errUnseen, err)
	case !descends:
		return fmt.Errorf("%s; it is no successor of that: revert by a new commit, or allow it once with hactl sync --allow rewind", dates)
	}
	return nil
}

func short(revision string) string { return revision[:min(12, len(revision))] }
