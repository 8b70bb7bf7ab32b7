package follow

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/loop"
	"github.com/hactl/hactl/reconcile/topology"
	"github.com/hactl/hactl/schema"
)

// apply plans and executes until nothing is left that could be done now.
func (k *Keeper) apply(ctx context.Context, good *Good, edge Edge, allowed []reconcile.Rule) {
	k.mu.Lock()
	base := k.base
	k.mu.Unlock()
	applied := 0
	var impact []reconcile.Finding // of what was applied
	for round := range rounds {
		r, err := edge.Plan(ctx, loop.Request{Spec: good.Spec, Revision: good.Revision, Allowed: allowed, Applied: base})
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			k.retry(good, fmt.Errorf("read the edge: %w", err))
			return
		}
		k.looked(good, r, round == 0)
		steps, err := k.due(good, r)
		if err != nil {
			k.refused(good, err)
			return
		}
		if steps == 0 && len(r.Plan.Steps) == 0 && k.done != good.Revision {
			// The journal is to know that the edge is as this revision has it.
			if _, err := edge.Execute(ctx, r, grace); err != nil {
				k.retry(good, err)
				return
			}
		}
		if steps == 0 {
			k.settled(good, r, applied, impact)
			return
		}
		for _, f := range r.Plan.Impact {
			if !slices.Contains(impact, f) {
				impact = append(impact, f)
			}
		}
		o, err := edge.Execute(ctx, r, grace)
		applied += len(o.Done)
		if len(o.Failed)+len(o.Left) > 0 || err != nil {
			if k.ended(ctx, good, o, err) {
				return
			}
		}
	}
	k.retry(good, errors.New("what was applied differs again each time: somebody else may be changing it"))
}

// due narrows a round's plan to what may be done, and counts that. Violations
// are an error.
func (k *Keeper) due(good *Good, r *loop.Round) (int, error) {
	if len(r.Plan.Violations) > 0 {
		return 0, errors.New(Describe(r.Plan.Violations))
	}
	report := good.Spec.Policy != nil && good.Spec.Policy.Drift == "report"
	if !report && len(k.stalled) == 0 {
		return len(r.Plan.Steps), nil
	}
	var targets []schema.ID // second objects go with their first
	for _, s := range r.Plan.Steps {
		if !k.stalled[s.ID] && !(report && s.Drift) && !strings.Contains(s.ID.Name, "#") {
			targets = append(targets, s.ID)
		}
	}
	if len(targets) == 0 {
		return 0, nil
	}
	// What a target needs comes with it, drift or not.
	if err := r.Plan.Restrict(targets, r.Desired, r.Live); err != nil {
		return 0, err
	}
	r.Plan.Impact = topology.Impact(topology.Facts(good.Spec, r.Plan, r.Live), nil)
	return len(r.Plan.Steps), nil
}

// ended sorts what did not succeed by what can be done about it, and tells
// whether this turn is over.
func (k *Keeper) ended(ctx context.Context, good *Good, o loop.Outcome, err error) (over bool) {
	var failed []Failure
	passing, conflict := err != nil, false
	for _, f := range o.Failed {
		failed = append(failed, Failure{f.ID, f.Err.Error()})
		switch reconcile.ClassOf(f.Err) {
		case reconcile.Transient, reconcile.Unavailable:
			passing = true
		case reconcile.Conflict:
			conflict = true
		default:
			k.stalled[f.ID] = true
		}
	}
	k.set(func(s *EdgeState) { s.Failed = failed })
	if ctx.Err() != nil {
		return true
	}
	switch {
	case len(o.Failed) == 0 && err == nil:
		// Left: not permitted any more. Who leads is asked at once; whoever
		// permits, in a while: a term that has ended ends the pause too.
		k.pause()
		k.wake()
		return true
	case passing:
		k.retry(good, problem(o, err))
		return true
	case conflict:
		return false
	}
	k.stuck = problem(o, err)
	k.refused(good, k.stuck)
	return true
}

func problem(o loop.Outcome, err error) error {
	if err != nil {
		return err
	}
	return fmt.Errorf("%d of %d steps failed; the first: %w", len(o.Failed), len(o.Done)+len(o.Failed)+len(o.Skipped)+len(o.Left), o.Failed[0].Err)
}

// pause has the edge left alone for a while, each time for longer.
func (k *Keeper) pause() {
	k.backoff = min(max(2*k.backoff, minBackoff), maxBackoff)
	k.next, k.done = time.Now().Add(k.backoff), ""
}

// retry notes a failure that may pass.
func (k *Keeper) retry(good *Good, err error) {
	k.pause()
	k.set(func(s *EdgeState) { s.Err, s.Retry = err.Error(), k.next })
	k.trouble(good, err)
}

// refused notes a failure that asks for another revision, or for a person.
func (k *Keeper) refused(good *Good, err error) {
	k.next, k.done, k.lifted = time.Now().Add(k.o.Resync), "", forced{}
	k.set(func(s *EdgeState) { s.Err, s.Retry = err.Error(), time.Time{} })
	k.trouble(good, err)
}

func (k *Keeper) trouble(good *Good, err error) {
	if text := good.Revision + err.Error(); text != k.troubled {
		k.troubled = text
		k.tell(Event{Kind: EventFailed, Revision: good.Revision, Err: err})
	}
}

// settled notes that nothing is left to do; steps may be, that are not to be
// done.
func (k *Keeper) settled(good *Good, r *loop.Round, applied int, impact []reconcile.Finding) {
	now := time.Now()
	k.next, k.backoff = now.Add(k.o.Resync), 0
	switch {
	case len(k.stalled) > 0:
		k.refused(good, k.stuck) // It stands.
		return
	case len(r.Plan.Conflicts) > 0:
		c := r.Plan.Conflicts[0]
		k.refused(good, fmt.Errorf("all but the conflicts (%d) is done; the first: %s %s", len(r.Plan.Conflicts), c.ID, c.Message))
		return
	}
	k.lifted = forced{}
	k.mu.Lock()
	switch {
	case k.good != good: // Another is wanted meanwhile, and the base is for that.
	case len(r.Plan.Steps) == 0:
		k.base = nil // The journal knows.
	default:
		// It does not know what is left as drift; from here on all else is.
		k.base = fingerprints(r.Desired)
	}
	k.mu.Unlock()
	fresh := k.done != good.Revision
	k.done, k.troubled = good.Revision, ""
	k.set(func(s *EdgeState) {
		if fresh || applied > 0 {
			s.Revision, s.Applied = good.Revision, now
		}
		s.Err, s.Retry, s.Failed = "", time.Time{}, nil
		s.Pending = nil
		if len(r.Plan.Steps) == 0 {
			s.Drift, s.Impact = nil, nil
		}
	})
	if fresh || applied > 0 {
		k.tell(Event{Kind: EventApplied, Revision: good.Revision, Text: fmt.Sprintf("%d steps", applied), Impact: impact})
	}
}

// looked notes what a plan found.
func (k *Keeper) looked(good *Good, r *loop.Round, first bool) {
	var pending, drift []reconcile.Step
	text := ""
	for _, s := range r.Plan.Steps {
		if s.Drift {
			drift = append(drift, s)
			text += s.ID.String() + " " + fmt.Sprint(s.Fields) + "\n"
		} else {
			pending = append(pending, s)
		}
	}
	k.set(func(s *EdgeState) {
		s.Looked, s.Objects = time.Now(), len(r.Desired.Objects)
		// Copies: the plan may be narrowed in place.
		s.Pending, s.Drift, s.Conflicts, s.Violations = pending, drift, slices.Clone(r.Plan.Conflicts), slices.Clone(r.Plan.Violations)
		s.Impact = slices.Clone(r.Plan.Impact)
	})
	if first && len(drift) > 0 && text != k.drifted {
		k.tell(Event{Kind: EventDrift, Revision: good.Revision, Steps: drift, Text: driftText(drift)})
	}
	if first {
		k.drifted = text
	}
}

func driftText(steps []reconcile.Step) string {
	text := fmt.Sprintf("%s would be %sd", steps[0].ID, steps[0].Action)
	if n := len(steps) - 1; n > 0 {
		text += fmt.Sprintf(", and %d more", n)
	}
	return text
}
