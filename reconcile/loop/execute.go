package loop

import (
	"context"
	"errors"
	"fmt"
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
// it needs have succeeded. A failure skips only what needs it. When ctx is
// done no further step begins; requests under way are finished, within
// grace, and then given up.
//
// The journal is written before the first step and after the last.
func (l *Loop) Execute(ctx context.Context, round *Round, grace time.Duration) (Outcome, error) {
	x := &execution{
		loop: l, round: round, began: time.Now(), requests: l.requests(),
		handles: round.Live.Handles(),
		state:   map[schema.ID]state{},
		events:  make(chan finished),
	}
	if err := l.Journal.Save(round.Desired.Stack, x.pending()); err != nil {
		return Outcome{}, err
	}
	// Requests outlive the interruption that keeps further steps from beginning.
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	release := context.AfterFunc(ctx, func() { time.AfterFunc(grace, stop) })
	defer release()
	x.run(ctx, working)
	x.outcome.Requests = l.requests() - x.requests
	x.outcome.Elapsed = time.Since(x.began)
	return x.outcome, l.Journal.Save(round.Desired.Stack, x.settled())
}

type state int

const (
	waiting state = iota
	running
	succeeded
	failed
)

// execution is the state of one run; only run's goroutine touches it, but for
// handles, which steps read.
type execution struct {
	loop     *Loop
	round    *Round
	began    time.Time
	requests int
	outcome  Outcome
	state    map[schema.ID]state
	retire   []reconcile.Step // old objects of replacements, to be deleted
	events   chan finished

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

func (x *execution) run(ctx, working context.Context) {
	steps := x.round.Plan.Steps
	total, ended, active := len(steps), 0, 0
	limit := x.loop.Concurrency
	if limit == 0 {
		limit = 16
	}
	queue := append([]reconcile.Step(nil), steps...)
	for {
		var rest []reconcile.Step
		for _, s := range queue {
			missing, ready := x.ready(s)
			switch {
			case missing != nil:
				x.state[s.ID] = failed
				ended++
				x.outcome.Skipped = append(x.outcome.Skipped, Failure{s.ID, missing})
				x.loop.observe(reconcile.Event{Kind: reconcile.StepSkipped, Step: s, Err: missing, Done: ended, Total: total})
			case ready && active < limit && ctx.Err() == nil:
				x.state[s.ID] = running
				active++
				x.loop.observe(reconcile.Event{Kind: reconcile.StepStarted, Step: s, Done: ended, Total: total})
				go x.step(working, s)
			default:
				rest = append(rest, s)
			}
		}
		queue = rest
		if active == 0 {
			if ctx.Err() == nil && len(x.retire) > 0 {
				// What referred to the old objects has been repointed.
				queue, x.retire = append(queue, x.retire...), nil
				continue
			}
			break
		}
		f := <-x.events
		active--
		ended++
		x.finish(f, ended, total)
	}
	for _, s := range append(queue, x.retire...) {
		x.outcome.Left = append(x.outcome.Left, s.ID)
		x.loop.observe(reconcile.Event{Kind: reconcile.StepAborted, Step: s, Done: ended, Total: total})
	}
}

// ready tells whether a step can begin, or, with an error, that it never can.
func (x *execution) ready(s reconcile.Step) (missing error, ready bool) {
	ready = true
	for _, n := range s.Needs {
		switch x.state[n] {
		case failed:
			return fmt.Errorf("it needs %s", n), false
		case succeeded:
		default:
			ready = false
		}
	}
	return nil, ready
}

func (x *execution) finish(f finished, ended, total int) {
	event := reconcile.Event{Kind: reconcile.StepDone, Step: f.step, Err: f.err, Elapsed: f.elapsed, Done: ended, Total: total}
	if f.err != nil {
		x.state[f.step.ID] = failed
		x.outcome.Failed = append(x.outcome.Failed, Failure{f.step.ID, f.err})
		event.Kind = reconcile.StepFailed
		x.loop.observe(event)
		return
	}
	x.state[f.step.ID] = succeeded
	x.outcome.Done = append(x.outcome.Done, f.step.ID)
	if f.step.Action == reconcile.Replace && !f.swapped {
		x.retire = append(x.retire, x.retirement(f.step))
	}
	x.loop.observe(event)
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
			if n == s.ID {
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

// pending is the journal with the creations that are about to begin.
func (x *execution) pending() reconcile.Journal {
	j := x.round.Journal
	j.Zones = x.zones()
	for _, s := range x.round.Plan.Steps {
		if s.Action == reconcile.Create && s.ID.Kind == schema.KindTunnel {
			j.Pending = append(j.Pending, s.ID)
		}
	}
	return j
}

// settled is the journal after the run.
func (x *execution) settled() reconcile.Journal {
	j := reconcile.Journal{
		Revision: x.round.Journal.Revision, Zones: x.zones(), Owned: map[schema.ID]reconcile.Handle{},
		Protected: x.round.Journal.Protected,
	}
	owned := map[schema.ID]bool{}
	for _, e := range x.round.Live.Entries {
		if e.Owned && e.Object.ID().Kind == schema.KindTunnel {
			owned[e.Object.ID()] = true
		}
	}
	for _, s := range x.round.Plan.Steps {
		if s.ID.Kind != schema.KindTunnel {
			continue
		}
		switch {
		case s.Action == reconcile.Delete && x.state[s.ID] == succeeded:
			delete(owned, s.ID)
		case s.Action == reconcile.Create && x.state[s.ID] == succeeded:
			owned[s.ID] = true
		case s.Action == reconcile.Create:
			// It may exist all the same.
			j.Pending = append(j.Pending, s.ID)
		}
	}
	for id := range owned {
		if h, ok := x.handles[id]; ok {
			j.Owned[id] = h
		}
	}
	if x.outcome.Complete() {
		j.Revision, j.Protected = x.round.Desired.Revision, nil
		for id, o := range x.round.Desired.Objects {
			if o.Protected() {
				j.Protected = append(j.Protected, id)
			}
		}
	}
	return j
}

// zones are those that hold wanted objects, and those that held owned ones.
func (x *execution) zones() []string {
	found := map[string]bool{}
	for _, o := range x.round.Desired.Objects {
		found[zoneOf(o)] = true
	}
	for _, e := range x.round.Live.Entries {
		if e.Owned {
			found[zoneOf(e.Object)] = true
		}
	}
	delete(found, "")
	return sortedStrings(found)
}
