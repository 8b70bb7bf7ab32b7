package loop

import (
	"maps"
	"slices"
	"time"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/schema"
)

// begin notes the creations of objects that have no marker before they begin.
func (x *execution) begin(now time.Time) error {
	return x.amend(func(j *reconcile.Journal) {
		for _, s := range x.round.Plan.Steps {
			if s.Action == reconcile.Create && !schema.Marked(s.ID.Kind) && s.ID.Kind == schema.KindTunnel {
				j.Pending[s.ID] = now
			}
		}
		j.Zones = union(j.Zones, x.zones())
	})
}

// settle notes what the run has brought about. Only what was seen or done
// changes the journal; what could not be read stays as it was.
func (x *execution) settle() error {
	return x.amend(func(j *reconcile.Journal) {
		x.settleTunnels(j)
		x.settleApplied(j)
		if !x.outcome.Complete() || x.round.Plan.Partial {
			return
		}
		j.Revision, j.Protected = x.round.Desired.Revision, nil
		for id, o := range x.round.Desired.Objects {
			if o.Protected() && !schema.Marked(id.Kind) {
				j.Protected = append(j.Protected, id)
			}
		}
	})
}

// amend changes the journal as it is now, which another run may have written
// since this one read it.
func (x *execution) amend(change func(*reconcile.Journal)) error {
	stack := x.round.Desired.Stack
	j, err := x.loop.Journal.Load(stack)
	if err != nil {
		return err
	}
	if j.Owned == nil {
		j.Owned = map[schema.ID]reconcile.Handle{}
	}
	if j.Pending == nil {
		j.Pending = map[schema.ID]time.Time{}
	}
	change(&j)
	return x.loop.Journal.Save(stack, j)
}

func (x *execution) settleTunnels(j *reconcile.Journal) {
	exists := map[reconcile.Handle]bool{}
	for _, e := range x.round.Live.Entries {
		if id := e.Object.ID(); id.Kind == schema.KindTunnel {
			exists[e.Handle] = true
			if e.Owned {
				j.Owned[id] = e.Handle
				delete(j.Pending, id)
			}
		}
	}
	for _, s := range x.round.Plan.Steps {
		if s.ID.Kind != schema.KindTunnel {
			continue
		}
		done := x.ended[s.ID]
		switch {
		case s.Action == reconcile.Delete && done:
			delete(j.Owned, s.ID)
		case s.Action == reconcile.Create && done:
			j.Owned[s.ID] = x.handles[s.ID]
			exists[x.handles[s.ID]] = true
			delete(j.Pending, s.ID)
		case s.Action == reconcile.Create && !x.uncertain[s.ID]:
			delete(j.Pending, s.ID) // Refused, or never sent.
		}
	}
	if !x.unread(schema.KindTunnel) {
		maps.DeleteFunc(j.Owned, func(id schema.ID, h reconcile.Handle) bool {
			return id.Kind == schema.KindTunnel && !exists[h]
		})
	}
}

// settleApplied notes what is as wanted now: by a step, or because it was found
// to be.
func (x *execution) settleApplied(j *reconcile.Journal) {
	if j.Applied == nil {
		j.Applied = map[schema.ID]string{}
	}
	for _, s := range x.round.Plan.Steps {
		if x.ended[s.ID] && s.Action == reconcile.Delete {
			delete(j.Applied, s.ID)
		}
	}
	note := func(id schema.ID) {
		if _, host := schema.HostOf(id); host == "" {
			j.Applied[id] = reconcile.Fingerprint(x.round.Desired.Objects[id])
		}
	}
	for id := range x.round.Desired.Objects {
		if x.ended[id] {
			note(id)
		}
	}
	for _, e := range x.round.Live.Entries {
		id := e.Object.ID()
		if o := x.round.Desired.Objects[id]; o != nil && e.Owned && len(reconcile.Compare(e.Object, o)) == 0 {
			note(id)
		}
	}
}

func (x *execution) unread(kind schema.Kind) bool {
	return slices.ContainsFunc(x.round.Live.Unknown, func(u reconcile.Unknown) bool { return u.Kind == kind })
}

// zones are those that hold wanted or owned objects. One that was written to
// is never forgotten: its load balancers may use a pool.
func (x *execution) zones() []string {
	var found []string
	for _, o := range x.round.Desired.Objects {
		found = append(found, schema.ZoneOf(o))
	}
	for _, e := range x.round.Live.Entries {
		if e.Owned {
			found = append(found, schema.ZoneOf(e.Object))
		}
	}
	return found
}

// union sorts two lists into one without doubles or empty strings.
func union(a, b []string) []string {
	all := slices.DeleteFunc(slices.Concat(a, b), func(s string) bool { return s == "" })
	slices.Sort(all)
	return slices.Compact(all)
}
