package loop

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/topology"
	"github.com/hactl/hactl/schema"
)

// Engine is a reconcile.Engine that counts its requests.
type Engine interface {
	reconcile.Engine
	// Requests is how many requests have been sent so far.
	Requests() int
}

// Loop plans and applies. Its fields are set before use and not changed.
type Loop struct {
	Engines  []Engine
	Journal  Store
	Observer reconcile.Observer // may be nil
	// Concurrency is how many steps run at a time; 0 means 16. Engines bound
	// their own requests.
	Concurrency int
}

// Request is what to plan for.
type Request struct {
	Spec     *schema.Spec
	Revision string
	// Host is whose part of the Virtual Routers is planned too; "" for none.
	Host string
	// Targets narrow the plan to these objects and what they need.
	Targets []schema.ID
	// Allowed guard rails are not checked.
	Allowed []reconcile.Rule
	// Hosts are what the revision changes on other machines, for what traffic
	// notices of it; their agents make those changes.
	Hosts []reconcile.HostPlan
	// Applied are the fingerprints to tell drift by; nil for the journal's.
	Applied map[schema.ID]string
}

// Round is one look at the world: what is wanted, what there is, and what to
// do about it.
type Round struct {
	Desired reconcile.Desired
	Live    reconcile.Live
	Plan    *reconcile.Plan
	Journal reconcile.Journal
}

// Desired returns the specification's objects in the engines' normal form.
// Objects that no engine is responsible for are left out.
func (l *Loop) Desired(spec *schema.Spec, revision, host string) reconcile.Desired {
	d := reconcile.Desired{Stack: spec.Stack, Revision: revision, Objects: map[schema.ID]schema.Object{}}
	for _, o := range append(spec.Objects(), spec.HostObjects(host)...) {
		if e := l.engine(o.ID().Kind); e != nil {
			d.Objects[o.ID()] = e.Normalize(o)
		}
	}
	return d
}

// Plan reads what there is and plans how to get to the specification.
func (l *Loop) Plan(ctx context.Context, r Request) (*Round, error) {
	round, err := l.look(ctx, l.Desired(r.Spec, r.Revision, r.Host))
	if err != nil {
		return nil, err
	}
	round.Plan = reconcile.Diff(round.Desired, round.Live)
	applied := r.Applied
	if applied == nil {
		applied = round.Journal.Applied
	}
	round.Plan.MarkDrift(round.Desired, applied)
	if len(r.Targets) > 0 {
		if err := round.Plan.Restrict(r.Targets, round.Desired, round.Live); err != nil {
			return nil, err
		}
	}
	round.Plan.Summary.Requests = l.requests()
	round.Plan.Hosts = r.Hosts
	policy := reconcile.Policy{Policy: schema.DefaultPolicy(), Allowed: r.Allowed, Journal: round.Journal}
	if r.Spec.Policy != nil {
		policy.Policy = *r.Spec.Policy
	}
	round.Plan.Policy = policy.Policy
	round.judge(r.Spec, policy)
	return round, nil
}

// judge finds what traffic notices of the plan, and what of that, and of all
// else, the guard rails refuse. spec may be nil.
func (round *Round) judge(spec *schema.Spec, policy reconcile.Policy) {
	facts := topology.Facts(spec, round.Plan, round.Live)
	round.Plan.Violations = policy.Check(round.Plan, round.Desired, round.Live, facts)
	round.Plan.Impact = topology.Impact(facts, round.Plan.Violations)
}

// Revisit reads what there is for a saved plan. It is an error if the plan's
// basis has moved, or if its steps do not follow from its objects. The guard
// rails are checked again, without the specification: who runs a connector is
// not known then.
func (l *Loop) Revisit(ctx context.Context, p *reconcile.Plan, allowed []reconcile.Rule) (*Round, error) {
	round, err := l.look(ctx, reconcile.Desired{Stack: p.Stack, Revision: p.Revision, Objects: p.Objects})
	if err != nil {
		return nil, err
	}
	var moved []string
	for _, m := range p.Moved(round.Live) {
		moved = append(moved, fmt.Sprintf("  %s %s", m.ID, m.Message))
	}
	if len(moved) > 0 {
		return nil, fmt.Errorf("the plan no longer fits, and nothing was changed; since it was made\n%s", strings.Join(moved, "\n"))
	}
	fresh := reconcile.Diff(round.Desired, round.Live)
	if err := p.Follows(fresh); err != nil {
		return nil, fmt.Errorf("the plan was changed after it was saved, and nothing was done: %w", err)
	}
	policy := reconcile.Policy{Policy: p.Policy, Allowed: allowed, Journal: round.Journal}
	round.Plan = p
	round.judge(nil, policy)
	return round, nil
}

// Left reads again after a run and plans what is still to be done.
func (l *Loop) Left(ctx context.Context, before *Round, targets []schema.ID) (*reconcile.Plan, error) {
	round, err := l.look(ctx, before.Desired)
	if err != nil {
		return nil, err
	}
	p := reconcile.Diff(round.Desired, round.Live)
	if len(targets) > 0 {
		err = p.Restrict(targets, round.Desired, round.Live)
	}
	return p, err
}

// look loads the journal and has every engine read.
func (l *Loop) look(ctx context.Context, d reconcile.Desired) (*Round, error) {
	journal, err := l.Journal.Load(d.Stack)
	if err != nil {
		return nil, err
	}
	round := &Round{Desired: d, Journal: journal}
	return round, l.read(ctx, round)
}

func (l *Loop) read(ctx context.Context, round *Round) error {
	scope := reconcile.Scope{Stack: round.Desired.Stack, Objects: round.Desired.Objects, Journal: round.Journal}
	lives, errs := make([]reconcile.Live, len(l.Engines)), make([]error, len(l.Engines))
	var wg sync.WaitGroup
	for i, e := range l.Engines {
		wg.Go(func() { lives[i], errs[i] = e.Read(ctx, scope) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	for _, live := range lives {
		round.Live.Entries = append(round.Live.Entries, live.Entries...)
		round.Live.Unknown = append(round.Live.Unknown, live.Unknown...)
		round.Live.Notices = append(round.Live.Notices, live.Notices...)
	}
	round.Live.Sort()
	return nil
}

func (l *Loop) engine(kind schema.Kind) Engine {
	for _, e := range l.Engines {
		if slices.Contains(e.Kinds(), kind) {
			return e
		}
	}
	return nil
}

func (l *Loop) requests() int {
	n := 0
	for _, e := range l.Engines {
		n += e.Requests()
	}
	return n
}

func (l *Loop) observe(e reconcile.Event) {
	if l.Observer != nil {
		l.Observer.Observe(e)
	}
}
