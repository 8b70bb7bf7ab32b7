package follow

import (
	"maps"
	"slices"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/topology"
	"github.com/hactl/hactl/schema"
)

// Rails checks the guard rails on the way from one specification to another,
// both alone: every host comes to the same verdict, whether or not it can read
// the edge. before may be nil, for the first revision. Facts are what traffic
// notices, as the specifications tell; see package topology.
func Rails(before, after *schema.Spec, allowed []reconcile.Rule) ([]reconcile.Violation, []reconcile.Fact) {
	policy := reconcile.Policy{Policy: schema.DefaultPolicy(), Allowed: allowed}
	if after.Policy != nil {
		policy.Policy = *after.Policy
	}
	if after.Empty() && before == nil && !policy.AllowEmpty && !slices.Contains(allowed, reconcile.RuleEmpty) {
		// Whatever runs or exists is of a revision that nobody remembers.
		return []reconcile.Violation{{Rule: reconcile.RuleEmpty, Message: "the specification is empty, which would end everything; policy: allowEmpty: true says that it is meant"}}, nil
	}
	desired, live := reconcile.Desired{Stack: after.Stack, Objects: everything(after)}, reconcile.Live{}
	facts := topology.Originless(desired.Objects)
	if before != nil {
		facts = append(facts, topology.Compare(before, after)...)
		for id, o := range everything(before) {
			live.Entries = append(live.Entries, reconcile.Entry{Object: o, Handle: reconcile.Handle(id.String()), Owned: true})
		}
	}
	return policy.Check(reconcile.Diff(desired, live), desired, live, facts), facts
}

// everything is what a specification has at the edge and on all its hosts.
func everything(spec *schema.Spec) map[schema.ID]schema.Object {
	all := map[schema.ID]schema.Object{}
	add := func(objects []schema.Object) {
		for _, o := range objects {
			all[o.ID()] = o
		}
	}
	add(spec.Objects())
	for _, host := range slices.Sorted(maps.Keys(spec.Hosts)) {
		add(spec.HostObjects(host))
	}
	return all
}
