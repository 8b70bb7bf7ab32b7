// Package enginetest is the conformance suite that every engine passes: what
// is applied and read again leaves nothing to do; what is not owned is not
// touched; a cancelled call returns promptly; reading changes nothing.
package enginetest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/loop"
	"github.com/hactl/hactl/schema"
)

// World is a system that an engine works on.
type World interface {
	// Engine returns a new engine for the system; there may be several.
	Engine(t *testing.T) loop.Engine
	// Foreign describes everything that the stack does not own.
	Foreign(t *testing.T) string
	// Hang makes every request from now on wait without end.
	Hang()
}

// OnHost is a World that is one host of the specifications.
type OnHost interface{ Host() string }

// request asks for a plan in a world.
func request(w World, spec *schema.Spec) loop.Request {
	r := loop.Request{Spec: spec}
	if h, ok := w.(OnHost); ok {
		r.Host = h.Host()
	}
	return r
}

// Memory is a loop.Store that forgets with the test.
type Memory map[string]reconcile.Journal

// Load returns what Save stored.
func (m Memory) Load(stack string) (reconcile.Journal, error) { return m[stack], nil }

// Save stores the journal.
func (m Memory) Save(stack string, j reconcile.Journal) error {
	m[stack] = j
	return nil
}

// Lock does nothing: a test has its world to itself.
func (m Memory) Lock(string) (func(), error) { return func() {}, nil }

// Run runs the suite. Each stage is a specification that the world is led to
// from the one before; the last should be empty but for its stack.
func Run(t *testing.T, world func(t *testing.T) World, stages []*schema.Spec) {
	t.Run("every stage converges and leaves nothing to do", func(t *testing.T) {
		w, journal := world(t), Memory{}
		foreign := w.Foreign(t)
		for i, spec := range stages {
			plan := Converge(t, w, journal, spec)
			if plan == 0 {
				t.Errorf("stage %d: nothing to do, so that it shows nothing", i)
			}
			if again := Left(t, w, journal, spec); len(again.Steps) > 0 {
				t.Errorf("stage %d: a new engine finds more to do: %v", i, ids(again))
			}
		}
		if after := w.Foreign(t); after != foreign {
			t.Errorf("what is not owned changed:\nbefore %s\nafter  %s", foreign, after)
		}
	})
	t.Run("any stage is reached from any other", func(t *testing.T) {
		for i := range stages {
			for j := range stages {
				if i == j {
					continue
				}
				w, journal := world(t), Memory{}
				Converge(t, w, journal, stages[i])
				Converge(t, w, journal, stages[j])
				Converge(t, w, journal, stages[i])
			}
		}
	})
	t.Run("reading changes nothing", func(t *testing.T) {
		w, journal := world(t), Memory{}
		Converge(t, w, journal, stages[0])
		l := &loop.Loop{Engines: []loop.Engine{w.Engine(t)}, Journal: journal}
		first, second := read(t, w, l, stages[1]), read(t, w, l, stages[1])
		if a, b := ids(first.Plan), ids(second.Plan); !slices.Equal(a, b) {
			t.Errorf("two readings differ: %v, %v", a, b)
		}
	})
	t.Run("a cancelled read returns promptly", func(t *testing.T) {
		w := world(t)
		l := &loop.Loop{Engines: []loop.Engine{w.Engine(t)}, Journal: Memory{}}
		w.Hang()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		done := make(chan error, 1)
		go func() {
			_, err := l.Plan(ctx, request(w, stages[0]))
			done <- err
		}()
		select {
		case err := <-done:
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("error %v, want the context's", err)
			}
		case <-time.After(5 * time.Second):
			t.Error("the read goes on after its context has ended")
		}
	})
}

// Converge plans and applies once, and fails the test where anything is left.
// It returns how many steps there were.
func Converge(t *testing.T, w World, journal loop.Store, spec *schema.Spec) int {
	t.Helper()
	l := &loop.Loop{Engines: []loop.Engine{w.Engine(t)}, Journal: journal}
	round := read(t, w, l, spec)
	if n := len(round.Plan.Conflicts); n > 0 {
		t.Fatalf("conflicts: %+v", round.Plan.Conflicts)
	}
	outcome, err := l.Execute(t.Context(), round, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if !outcome.Complete() {
		t.Fatalf("failed %v, skipped %v, left %v", outcome.Failed, outcome.Skipped, outcome.Left)
	}
	left, err := l.Left(t.Context(), round, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !left.Empty() {
		t.Fatalf("left to do: %+v", left.Steps)
	}
	return len(round.Plan.Steps)
}

// Left plans with a new engine.
func Left(t *testing.T, w World, journal loop.Store, spec *schema.Spec) *reconcile.Plan {
	t.Helper()
	return read(t, w, &loop.Loop{Engines: []loop.Engine{w.Engine(t)}, Journal: journal}, spec).Plan
}

func read(t *testing.T, w World, l *loop.Loop, spec *schema.Spec) *loop.Round {
	t.Helper()
	r := request(w, spec)
	r.Allowed = reconcile.Rules()
	round, err := l.Plan(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(round.Live.Unknown); n > 0 {
		t.Fatalf("could not read %+v", round.Live.Unknown)
	}
	return round
}

func ids(p *reconcile.Plan) []schema.ID {
	var out []schema.ID
	for _, s := range p.Steps {
		out = append(out, s.ID)
	}
	return out
}
