package loop

import (
	"fmt"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/schema"
)

// split takes a plan's deletions apart from the rest: nothing goes before what
// takes its place is there. A deletion that the rest needs, such as that of a
// record which makes way for another at its name, stays with the rest.
func split(steps []reconcile.Step) (build, tear []reconcile.Step) {
	byID := make(map[schema.ID]reconcile.Step, len(steps))
	for _, s := range steps {
		byID[s.ID] = s
	}
	keep := map[schema.ID]bool{}
	var need func(s reconcile.Step)
	need = func(s reconcile.Step) {
		if keep[s.ID] {
			return
		}
		keep[s.ID] = true
		for _, n := range s.Needs {
			if other, ok := byID[n]; ok {
				need(other)
			}
		}
	}
	for _, s := range steps {
		if s.Action != reconcile.Delete {
			need(s)
		}
	}
	for _, s := range steps {
		if keep[s.ID] {
			build = append(build, s)
		} else {
			tear = append(tear, s)
		}
	}
	return build, tear
}

// schedule decides which step can begin: one can when everything that it
// needs has succeeded.
type schedule struct {
	order   []schema.ID
	tasks   map[schema.ID]*task
	ready   []schema.ID
	dropped []skippedStep
}

// task is a step and how far it is.
type task struct {
	step    reconcile.Step
	unmet   int         // needs that have not succeeded yet
	waiting []schema.ID // steps that need this one
	begun   bool
	ended   bool
}

// skippedStep is a step that can never begin, and why.
type skippedStep struct {
	step reconcile.Step
	err  error
}

// newSchedule schedules steps; before says how earlier steps ended.
func newSchedule(steps []reconcile.Step, before map[schema.ID]bool) *schedule {
	s := &schedule{tasks: make(map[schema.ID]*task, len(steps))}
	for _, step := range steps {
		s.tasks[step.ID] = &task{step: step}
		s.order = append(s.order, step.ID)
	}
	for _, step := range steps {
		for _, n := range step.Needs {
			if t, ok := s.tasks[n]; ok && n != step.ID {
				t.waiting = append(t.waiting, step.ID)
				s.tasks[step.ID].unmet++
			}
		}
	}
	for _, id := range s.order {
		t := s.tasks[id]
		for _, n := range t.step.Needs {
			if succeeded, known := before[n]; known && !succeeded {
				s.drop(t, n)
			}
		}
		if t.unmet == 0 {
			s.ready = append(s.ready, id)
		}
	}
	return s
}

// next takes a step that can begin.
func (s *schedule) next() (reconcile.Step, bool) {
	for len(s.ready) > 0 {
		t := s.tasks[s.ready[0]]
		s.ready = s.ready[1:]
		if !t.ended {
			t.begun = true
			return t.step, true
		}
	}
	return reconcile.Step{}, false
}

// end says how a step ended. What needs a step that did not succeed is
// dropped, and what needs that.
func (s *schedule) end(id schema.ID, succeeded bool) {
	t := s.tasks[id]
	t.ended = true
	for _, by := range t.waiting {
		w := s.tasks[by]
		if !succeeded {
			s.drop(w, id)
			continue
		}
		if w.unmet--; w.unmet == 0 && !w.ended {
			s.ready = append(s.ready, by)
		}
	}
}

func (s *schedule) drop(t *task, need schema.ID) {
	if t.ended {
		return
	}
	s.dropped = append(s.dropped, skippedStep{t.step, fmt.Errorf("it needs %s", need)})
	s.end(t.step.ID, false)
}

// skipped returns the steps dropped since the last call.
func (s *schedule) skipped() []skippedStep {
	dropped := s.dropped
	s.dropped = nil
	return dropped
}

// left are the steps that never began, in the plan's order.
func (s *schedule) left() []reconcile.Step {
	var steps []reconcile.Step
	for _, id := range s.order {
		if t := s.tasks[id]; !t.begun && !t.ended {
			steps = append(steps, t.step)
		}
	}
	return steps
}
