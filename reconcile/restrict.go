package reconcile

import (
	"fmt"
	"slices"

	"github.com/hactl/hactl/schema"
)

// Restrict drops the steps that the targets do not need. A target stands for
// its parts too: a tunnel for its configuration, its routes and its records.
// A target that is neither wanted nor there is an error.
func (p *Plan) Restrict(targets []schema.ID, d Desired, l Live) error {
	keep := map[schema.ID]bool{}
	for _, t := range targets {
		known := d.Objects[t] != nil
		for _, e := range l.Entries {
			known = known || e.Object.ID() == t
			if partOf(e.Object, t) {
				keep[e.Object.ID()] = true
			}
		}
		for id, o := range d.Objects {
			if partOf(o, t) {
				keep[id] = true
			}
		}
		if !known {
			return fmt.Errorf("target %s: there is no such object, neither in the specification nor live", t)
		}
		keep[t] = true
	}
	for changed := true; changed; {
		changed = false
		for _, s := range p.Steps {
			for _, n := range s.Needs {
				if keep[s.ID] && !keep[n] {
					keep[n], changed = true, true
				}
			}
		}
	}
	p.Steps = slices.DeleteFunc(p.Steps, func(s Step) bool { return !keep[s.ID] })
	p.Conflicts = slices.DeleteFunc(p.Conflicts, func(f Finding) bool { return !keep[f.ID] })
	p.Notices = slices.DeleteFunc(p.Notices, func(f Finding) bool { return !keep[f.ID] })
	for id := range p.Basis {
		if !keep[id] {
			delete(p.Basis, id)
		}
	}
	p.count()
	return nil
}

func partOf(o schema.Object, whole schema.ID) bool {
	if whole.Kind != schema.KindTunnel {
		return false
	}
	switch o := o.(type) {
	case schema.TunnelConfiguration:
		return o.Tunnel == whole.Name
	case schema.Route:
		return o.Tunnel == whole.Name
	case schema.DNSRecord:
		return o.Tunnel == whole.Name && o.Key == o.Name
	}
	return false
}
