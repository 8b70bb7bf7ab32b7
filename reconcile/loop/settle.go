package loop

import (
	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/schema"
)

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
		case s.Action == reconcile.Delete && x.ended[s.ID]:
			delete(owned, s.ID)
		case s.Action == reconcile.Create && x.ended[s.ID]:
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
