package loop

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/schema"
)

// Outcome says how the steps of a plan ended.
type Outcome struct {
	Done    []schema.ID
	Failed  []Failure
	Skipped []Failure // a step that they need did not succeed
	// Left are the steps that an interruption kept from beginning.
	Left     []schema.ID
	Requests int
	Elapsed  time.Duration
}

// Failure is a step that did not succeed, and why.
type Failure struct {
	ID  schema.ID
	Err error
}

// Complete tells whether every step succeeded.
func (o Outcome) Complete() bool { return len(o.Failed)+len(o.Skipped)+len(o.Left) == 0 }

// Execute carries out the round's plan: every step as soon as the steps that
// it needs have succeeded, deletions after everything else has ended. A
// failure skips only what needs it. When ctx is
// done no further step begins; requests under way are finished, within
// grace, and then given up.
//
// The journal is written before the first step and after the last.
func (l *Loop) Execute(ctx context.Context, round *Round, grace time.Duration) (Outcome, error) {
	x := &execution{
		loop: l, round: round, began: time.Now(), requests: l.requests(),
		handles: round.Live.Handles(),
		ended:   map[schema.ID]bool{}, uncertain: map[schema.ID]bool{},
		events: make(chan finished),
	}
	unlock, err := l.Journal.Lock(round.Desired.Stack)
	if err != nil {
		return Outcome{}, err
	}
	defer unlock()
	if err := x.begin(x.began); err != nil {
		return Outcome{}, err
	}
	// Requests outlive the interruption that keeps further steps from beginning.
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	release := context.AfterFunc(ctx, func() { time.AfterFunc(grace, stop) })
	defer release()
	x.run(ctx, reconcile.WithInterrupt(working, ctx))
	x.outcome.Requests = l.requests() - x.requests
	x.outcome.Elapsed = time.Since(x.began)
	return x.outcome, x.settle()
}

// execution is the state of one run; only run's goroutine touches it, but for
// handles, which steps read.
type execution struct {
	loop     *Loop
	round    *Round
	began    time.Time
	requests int
	outcome  Outcome
	ended    map[schema.ID]bool // whether a step that has ended succeeded
	// uncertain are steps that failed and may have been carried out.
	uncertain map[schema.ID]bool
	retire    []reconcile.Step // old objects of replacements, to be deleted
	events    chan finished
	total     int

	mu      sync.Mutex
	handles map[schema.ID]reconcile.Handle
}

// finished is a step's end.
type finished struct {
	step    reconcile.Step
	handle  reconcile.Handle
	swapped bool
	err     error
	elapsed time.Duration
}

// run builds, then deletes what replacements have left, when all that referred
// to it has been repointed, then what is no longer wanted.
func (x *execution) run(ctx, working context.Context) {
	x.total = len(x.round.Plan.Steps)
	build, tear := split(x.round.Plan.Steps)
	x.phase(ctx, working, build)
	x.phase(ctx, working, x.retire)
	x.phase(ctx, working, tear)
}

func (x *execution) phase(ctx, working context.Context, steps []reconcile.Step) {
	limit := x.loop.Concurrency
	if limit == 0 {
		limit = 16
	}
	s := newSchedule(steps, x.ended)
	for active := 0; ; {
		x.skip(s)
		for active < limit && ctx.Err() == nil {
			step, ok := s.next()
			if !ok {
				break
			}
			active++
			x.observe(reconcile.Event{Kind: reconcile.StepStarted, Step: step})
			go x.step(working, step)
		}
		if active == 0 {
			break
		}
		f := <-x.events
		active--
		x.finish(f)
		s.end(f.step.ID, f.err == nil)
	}
	for _, step := range s.left() {
		x.outcome.Left = append(x.outcome.Left, step.ID)
		x.observe(reconcile.Event{Kind: reconcile.StepAborted, Step: step})
	}
}

// observe tells of an event and of how far the run has come.
func (x *execution) observe(e reconcile.Event) {
	e.Done = len(x.outcome.Done) + len(x.outcome.Failed) + len(x.outcome.Skipped)
	e.Total = x.total
	x.loop.observe(e)
}

func (x *execution) skip(s *schedule) {
	for _, f := range s.skipped() {
		x.ended[f.step.ID] = false
		x.outcome.Skipped = append(x.outcome.Skipped, Failure{f.step.ID, f.err})
		x.observe(reconcile.Event{Kind: reconcile.StepSkipped, Step: f.step, Err: f.err})
	}
}

func (x *execution) finish(f finished) {
	x.ended[f.step.ID] = f.err == nil
	if errors.Is(f.err, reconcile.ErrInterrupted) {
		x.outcome.Left = append(x.outcome.Left, f.step.ID)
		x.observe(reconcile.Event{Kind: reconcile.StepAborted, Step: f.step})
		return
	}
	event := reconcile.Event{Kind: reconcile.StepDone, Step: f.step, Err: f.err, Elapsed: f.elapsed}
	if f.err != nil {
		event.Kind = reconcile.StepFailed
		switch reconcile.ClassOf(f.err) {
		case reconcile.Invalid, reconcile.Denied, reconcile.Conflict:
		default:
			x.uncertain[f.step.ID] = true
		}
		x.outcome.Failed = append(x.outcome.Failed, Failure{f.step.ID, f.err})
	} else {
		x.outcome.Done = append(x.outcome.Done, f.step.ID)
	}
	if f.err == nil && f.step.Action == reconcile.Replace && !f.swapped {
		x.retire = append(x.retire, x.retirement(f.step))
		x.total++
	}
	x.observe(event)
}

// retirement deletes the old object of a replacement after everything that
// refers to it has been repointed.
func (x *execution) retirement(s reconcile.Step) reconcile.Step {
	old := s.ID
	if s.Replaces != nil {
		old = *s.Replaces
	}
	d := reconcile.Step{ID: old, Action: reconcile.Delete, Handle: s.Handle, Reason: "replaced"}
	for _, other := range x.round.Plan.Steps {
		for _, n := range other.Needs {
			if n == s.ID && other.Action != reconcile.Delete {
				d.Needs = append(d.Needs, other.ID)
			}
		}
	}
	return d
}

func (x *execution) step(ctx context.Context, s reconcile.Step) {
	began := time.Now()
	f := finished{step: s}
	engine := x.loop.engine(s.ID.Kind)
	if engine == nil {
		f.err = errors.New("no engine is responsible for " + string(s.ID.Kind))
	} else {
		f.handle, f.swapped, f.err = engine.Apply(ctx, reconcile.Change{
			Step: s, Stack: x.round.Desired.Stack, Object: x.wanted(s), Before: x.before(s), Resolve: x.resolve,
		})
	}
	if f.err == nil {
		x.mu.Lock()
		if s.Action == reconcile.Delete {
			if x.handles[s.ID] == s.Handle {
				delete(x.handles, s.ID)
			}
		} else {
			x.handles[s.ID] = f.handle
		}
		x.mu.Unlock()
	}
	f.elapsed = time.Since(began)
	x.events <- f
}

func (x *execution) wanted(s reconcile.Step) schema.Object {
	if s.Action == reconcile.Delete {
		return nil
	}
	return x.round.Desired.Objects[s.ID]
}

func (x *execution) before(s reconcile.Step) schema.Object {
	if s.Handle == "" {
		return nil
	}
	for _, e := range x.round.Live.Entries {
		if e.Handle == s.Handle && e.Object.ID().Kind == s.ID.Kind {
			return e.Object
		}
	}
	return nil
}

func (x *execution) resolve(id schema.ID) (reconcile.Handle, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	h, ok := x.handles[id]
	return h, ok
}
