package reconcile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hactl/hactl/schema"
)

// Restrict drops the steps that the targets do not need. A target stands for
// its parts too: a tunnel for its configuration, its routes and its records;
// any object for its doubles and for what takes its place.
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
	replaced := map[schema.ID]bool{}
	for _, s := range p.Steps {
		replaced[s.ID] = s.Action == Replace
	}
	for changed := true; changed; {
		changed = false
		add := func(id schema.ID) {
			if !keep[id] {
				keep[id], changed = true, true
			}
		}
		for _, s := range p.Steps {
			double := schema.ID{Kind: s.ID.Kind, Name: strings.TrimSuffix(s.ID.Name, "#"+string(s.Handle))}
			if s.Action == Delete && keep[double] || s.Replaces != nil && keep[*s.Replaces] {
				add(s.ID)
			}
			for _, n := range s.Needs {
				if keep[s.ID] {
					add(n)
				}
				// What refers to a replaced object has to be repointed.
				if keep[n] && replaced[n] {
					add(s.ID)
				}
			}
			if keep[s.ID] && s.Replaces != nil {
				add(*s.Replaces)
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
	p.Partial = true
	p.count()
	return nil
}

// Only drops the steps and conflicts about objects, or doubles of them, that no
// step of the other plan is about.
func (p *Plan) Only(other *Plan) {
	about := map[schema.ID]bool{}
	for _, s := range other.Steps {
		about[s.ID] = true
	}
	p.Steps = slices.DeleteFunc(p.Steps, func(s Step) bool {
		return !about[s.ID] && !about[schema.ID{Kind: s.ID.Kind, Name: strings.TrimSuffix(s.ID.Name, "#"+string(s.Handle))}]
	})
	p.Conflicts = slices.DeleteFunc(p.Conflicts, func(f Finding) bool { return !about[f.ID] })
	p.count()
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
