package status

import (
	"slices"
	"time"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/follow"
	"github.com/hactl/hactl/schema"
)

const (
	mostList = 40  // findings of a sort that are shown
	mostText = 600 // bytes of a message
	mostWord = 80  // bytes of what is a word: a revision, a state
)

// within is what a page takes from another host. Whoever answers there may say
// anything, at any length: it knows of nothing that the specification does not
// have, of no Virtual Router that it is no member of, and of nothing that is
// still to come; of the edge it knows where it leads. A nil spec has all names.
func within(h Host, spec *schema.Spec, now time.Time) Host {
	h.Unknown, h.Note, h.Revision = cut(h.Unknown, mostText), cut(h.Note, mostText), cut(h.Revision, mostWord)
	h.Accepted = past(h.Accepted, now)
	seen := map[string]bool{}
	h.Routers = slices.DeleteFunc(slices.Clone(h.Routers), func(r Router) bool {
		member := spec == nil
		if !member {
			_, member = spec.VirtualRouters[r.Name].Members[h.Name]
		}
		twice := seen[r.Name]
		seen[r.Name] = true
		return twice || !member
	})
	for i := range h.Routers {
		r := &h.Routers[i]
		r.State, r.Problem = cut(r.State, mostWord), cut(r.Problem, mostText)
	}
	if !h.Leads {
		h.Edge = follow.EdgeState{}
		return h
	}
	e := &h.Edge
	e.Revision, e.Err, e.Waits = cut(e.Revision, mostWord), cut(e.Err, mostText), cut(e.Waits, mostText)
	e.Applied, e.Looked = past(e.Applied, now), past(e.Looked, now)
	if e.Health != nil {
		e.Health = healthWithin(e.Health, spec, now)
	}
	return h
}

// past is a time, and now for one that is still to come.
func past(t, now time.Time) time.Time {
	if t.After(now) {
		return now
	}
	return t
}

// healthWithin is of what the specification has.
func healthWithin(h *reconcile.Health, spec *schema.Spec, now time.Time) *reconcile.Health {
	w := &reconcile.Health{
		Read: past(h.Read, now), Err: cut(h.Err, mostText),
		Tunnels: map[string]reconcile.TunnelHealth{}, Pools: map[string]reconcile.PoolHealth{},
	}
	for name, t := range h.Tunnels {
		if spec != nil {
			if _, ours := spec.Tunnels[name]; !ours {
				continue
			}
		}
		t.Status = cut(t.Status, mostWord)
		t.Connectors = slices.Clone(t.Connectors[:min(len(t.Connectors), mostList)])
		for i := range t.Connectors {
			c := &t.Connectors[i]
			c.ID, c.Address, c.Version = cut(c.ID, mostWord), cut(c.Address, mostWord), cut(c.Version, mostWord)
		}
		w.Tunnels[name] = t
	}
	for name, p := range h.Pools {
		if spec != nil {
			if _, ours := spec.Pools[name]; !ours {
				continue
			}
		}
		origins := map[string]reconcile.OriginHealth{}
		for origin, o := range p.Origins {
			if spec != nil {
				if _, ours := spec.Pools[name].Origins[origin]; !ours {
					continue
				}
			}
			o.Reason = cut(o.Reason, mostText)
			origins[origin] = o
		}
		p.Origins = origins
		w.Pools[name] = p
	}
	return w
}
