package reconcile

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hactl/hactl/schema"
)

// Diff plans how to get from what there is to what is wanted. Objects on both
// sides must be normalized. It looks at nothing else: the same values give
// the same plan.
func Diff(d Desired, l Live) *Plan {
	l.Entries = slices.Clone(l.Entries)
	l.Sort()
	p := &planner{
		desired: d,
		plan: &Plan{
			Version: PlanVersion, Stack: d.Stack, Revision: d.Revision,
			Steps: []Step{}, Conflicts: []Finding{}, Violations: []Violation{}, Notices: []Finding{},
			Objects: d.Objects,
		},
		unknown: l.Unknown,
		said:    l.Notices,
		live:    map[schema.ID][]Entry{},
		slots:   map[string][]Entry{},
		steps:   map[schema.ID]*Step{},
		held:    map[schema.ID]string{},
		doubles: map[Handle]schema.ID{},
		swapped: map[schema.ID]schema.ID{},
	}
	for _, e := range l.Entries {
		id := e.Object.ID()
		p.live[id] = append(p.live[id], e)
		if x, ok := e.Object.(schema.Exclusive); ok {
			p.slots[x.Slot()] = append(p.slots[x.Slot()], e)
		}
	}
	for _, id := range sortedIDs(d.Objects) {
		p.want(id, d.Objects[id])
	}
	for _, id := range sortedIDs(p.live) {
		p.prune(id)
	}
	p.swap()
	p.repoint()
	p.hold()
	p.order()
	p.notices()
	p.plan.Basis = basis(l, p.touched())
	p.plan.count()
	return p.plan
}

type planner struct {
	desired Desired
	plan    *Plan
	unknown []Unknown
	said    []Finding
	live    map[schema.ID][]Entry // by ID, the oldest first
	slots   map[string][]Entry
	steps   map[schema.ID]*Step
	doubles map[Handle]schema.ID    // the steps of second objects
	swapped map[schema.ID]schema.ID // what takes the place of an object
	held    map[schema.ID]string    // why nothing is done to an object
}

func (p *planner) cannotRead(id schema.ID) (error, bool) {
	for _, u := range p.unknown {
		if u.Covers(id) {
			return u.Err, true
		}
	}
	return nil, false
}

func (p *planner) conflict(id schema.ID, h Handle, format string, args ...any) {
	p.plan.Conflicts = append(p.plan.Conflicts, Finding{ID: id, Handle: h, Message: fmt.Sprintf(format, args...)})
	p.held[id] = "it is in conflict"
}

func (p *planner) notice(id schema.ID, format string, args ...any) {
	p.plan.Notices = append(p.plan.Notices, Finding{ID: id, Message: fmt.Sprintf(format, args...)})
}

// want plans for one object that the specification names.
func (p *planner) want(id schema.ID, o schema.Object) {
	if err, unknown := p.cannotRead(id); unknown {
		p.notice(id, "could not be read, so nothing is done about it: %v", err)
		p.held[id] = "it could not be read"
		return
	}
	var owned, foreign []Entry
	for _, e := range p.live[id] {
		if e.Owned {
			owned = append(owned, e)
		} else if !e.ReadOnly {
			foreign = append(foreign, e)
		}
	}
	if len(owned) == 0 {
		if len(foreign) > 0 && id.Kind == schema.KindTunnelConfiguration {
			// Whoever owns the tunnel owns its configuration.
			p.notice(id, "waits for its tunnel, which is in conflict")
			p.held[id] = "its tunnel is in conflict"
			return
		}
		if len(foreign) > 0 {
			if other := foreign[0].Stack; other != "" {
				p.conflict(id, foreign[0].Handle, "exists and belongs to stack %q: name yours otherwise", other)
				return
			}
			p.conflict(id, foreign[0].Handle, "exists and is not hactl's: take it over with hactl adopt %s %s, or name yours otherwise", id, foreign[0].Handle)
			return
		}
		if e, ok := p.inTheWay(o); ok {
			p.blocked(id, e)
			return
		}
		p.steps[id] = &Step{ID: id, Action: Create, Fields: Fields(o)}
		return
	}
	// The oldest stays; what refers to a double shows it by its handle and is
	// repointed.
	keep := owned[0]
	for _, e := range owned[1:] {
		if len(Compare(e.Object, keep.Object)) > 0 && len(Compare(e.Object, o)) > 0 {
			p.notice(id, "%s carries its marker too and differs, so it is no lost creation: left alone", e.Handle)
			continue
		}
		double := schema.ID{Kind: id.Kind, Name: id.Name + "#" + string(e.Handle)}
		p.doubles[e.Handle] = double
		p.steps[double] = &Step{ID: double, Action: Delete, Handle: e.Handle, Reason: "a second object with one marker: a creation whose answer was lost"}
	}
	if t, ok := keep.Object.(schema.Tunnel); ok && t.ConfigSrc == "local" {
		p.conflict(id, keep.Handle, "is configured by a file on its host, which cannot be changed: delete it, or give yours another name")
		return
	}
	fields := Compare(keep.Object, o)
	if len(fields) == 0 {
		return
	}
	if p.lastDefault(keep.Object, o) {
		p.conflict(id, keep.Handle, "%s", onlyDefault)
		return
	}
	if e, ok := p.inTheWay(o); ok {
		p.blocked(id, e)
		return
	}
	s := &Step{ID: id, Action: Update, Fields: fields, Handle: keep.Handle}
	for _, f := range fields {
		if f.Immutable {
			s.Action, s.Reason = Replace, f.Path+" cannot be changed in place"
		}
	}
	p.steps[id] = s
}

const onlyDefault = "is the account's default network, and Cloudflare wants one: set isDefaultNetwork on another network first"

// lastDefault tells whether the account's default network would cease to be
// that without another one taking its place.
func (p *planner) lastDefault(before, after schema.Object) bool {
	b, ok := before.(schema.Network)
	if a, stays := after.(schema.Network); !ok || !b.IsDefaultNetwork || stays && a.IsDefaultNetwork {
		return false
	}
	_, found := p.defaultNetwork()
	return !found
}

// defaultNetwork is the network that the specification wants as the default.
func (p *planner) defaultNetwork() (schema.ID, bool) {
	for id, o := range p.desired.Objects {
		if n, ok := o.(schema.Network); ok && n.IsDefaultNetwork {
			return id, true
		}
	}
	return schema.ID{}, false
}

// blocked is the conflict with a foreign object in the way.
func (p *planner) blocked(id schema.ID, e Entry) {
	p.conflict(id, e.Handle, "%s stands in the way and is not hactl's: take it over with hactl adopt %s %s, or delete it", describe(e.Object), id, e.Handle)
}

// touched are the objects on whose state the steps rest.
func (p *planner) touched() map[schema.ID]bool {
	ids := map[schema.ID]bool{}
	doubles := map[schema.ID]bool{}
	for h, id := range p.doubles {
		doubles[id] = true
		if p.steps[id] != nil {
			ids[schema.ID{Kind: id.Kind, Name: strings.TrimSuffix(id.Name, "#"+string(h))}] = true
		}
	}
	for id, s := range p.steps {
		if !doubles[id] {
			ids[id] = true
		}
		if s.Replaces != nil {
			ids[*s.Replaces] = true
		}
	}
	return ids
}

// inTheWay finds a foreign object that excludes the wanted one.
func (p *planner) inTheWay(o schema.Object) (Entry, bool) {
	x, ok := o.(schema.Exclusive)
	if !ok {
		return Entry{}, false
	}
	for _, e := range p.slots[x.Slot()] {
		if !e.Owned && !e.ReadOnly && x.Excludes(e.Object) {
			return e, true
		}
	}
	return Entry{}, false
}

// prune plans the end of owned objects that the specification does not name.
func (p *planner) prune(id schema.ID) {
	if _, wanted := p.desired.Objects[id]; wanted {
		return
	}
	if _, unknown := p.cannotRead(id); unknown {
		return
	}
	if id.Kind == schema.KindTunnelConfiguration {
		return // It goes with its tunnel.
	}
	key := id
	for _, e := range p.live[id] {
		if !e.Owned || e.ReadOnly {
			continue
		}
		if p.lastDefault(e.Object, nil) {
			p.conflict(id, e.Handle, "%s", onlyDefault)
			continue
		}
		if p.steps[key] != nil {
			key.Name = id.Name + "#" + string(e.Handle)
			p.doubles[e.Handle] = key
		}
		p.steps[key] = &Step{ID: key, Action: Delete, Handle: e.Handle}
		if l, ok := e.Object.(schema.PrivateLoadBalancer); ok && l.VIP != "" {
			p.notice(id, "its address %s goes with it: clients that use it lose it", l.VIP)
		}
	}
}

// swap turns a creation and the deletion of what excludes it into one
// replacement: neither order of the two would work.
func (p *planner) swap() {
	for _, id := range sortedIDs(p.steps) {
		s := p.steps[id]
		x, ok := p.desired.Objects[id].(schema.Exclusive)
		if !ok || s.Action != Create {
			continue
		}
		for _, e := range p.slots[x.Slot()] {
			old := e.Object.ID()
			if d := p.steps[old]; d != nil && d.Action == Delete && d.Handle == e.Handle && x.Excludes(e.Object) {
				s.Action, s.Handle, s.Replaces = Replace, e.Handle, &old
				s.Reason = "takes the place of " + old.String()
				s.Fields = Compare(e.Object, p.desired.Objects[id])
				delete(p.steps, old)
				p.swapped[old] = id
				break
			}
		}
	}
}

// repoint makes sure that what refers to a replaced object is written again.
func (p *planner) repoint() {
	for _, id := range sortedIDs(p.desired.Objects) {
		if p.steps[id] != nil || p.held[id] != "" || len(p.live[id]) == 0 {
			continue
		}
		for _, r := range p.desired.Objects[id].Refs() {
			if s := p.steps[r]; s != nil && s.Action == Replace {
				p.steps[id] = &Step{ID: id, Action: Update, Handle: p.live[id][0].Handle, Reason: "repoint to the new " + r.String()}
				break
			}
		}
	}
}

// hold drops steps whose objects refer to something that nothing is done to,
// and deletions of what a foreign object still uses.
func (p *planner) hold() {
	for changed := true; changed; {
		changed = false
		for _, id := range sortedIDs(p.steps) {
			if p.steps[id].Action == Delete {
				continue
			}
			for _, r := range p.desired.Objects[id].Refs() {
				why, held := p.held[r]
				if err, unknown := p.cannotRead(r); unknown && !held {
					held, why = true, err.Error()
				}
				if held {
					p.notice(id, "waits for %s: %s", r, why)
					p.held[id] = "it waits for " + r.String()
					delete(p.steps, id)
					changed = true
					break
				}
			}
		}
	}
	p.keepUntilSucceeded()
	referrers := p.referrers()
	for changed := true; changed; {
		changed = false
		for _, id := range sortedIDs(p.steps) {
			if p.steps[id].Action != Delete {
				continue
			}
			for _, by := range referrers[p.steps[id].Handle] {
				if p.steps[by] == nil {
					p.notice(id, "is still used by %s and stays", by)
					delete(p.steps, id)
					changed = true
					break
				}
			}
		}
	}
}

// referrers maps each handle to the live objects that refer to it. A tunnel's
// configuration is a part of it and does not count.
func (p *planner) referrers() map[Handle][]schema.ID {
	m := map[Handle][]schema.ID{}
	for _, id := range sortedIDs(p.live) {
		if id.Kind == schema.KindTunnelConfiguration {
			continue
		}
		for _, e := range p.live[id] {
			if e.ReadOnly {
				continue
			}
			by := id
			if successor, ok := p.swapped[id]; ok {
				by = successor
			}
			if double, ok := p.doubles[e.Handle]; ok {
				by = double
			}
			for _, h := range e.Refers {
				m[h] = append(m[h], by)
			}
		}
	}
	return m
}

// order fills in what each step needs and sorts the steps so that needs come
// first.
func (p *planner) order() {
	referrers, byRole := p.referrers(), p.byRole()
	for _, id := range sortedIDs(p.steps) {
		s := p.steps[id]
		var needs []schema.ID
		if s.Action == Delete {
			needs = append(slices.Clip(referrers[s.Handle]), p.successors(id, byRole)...)
		} else {
			needs = p.desired.Objects[id].Refs()
		}
		if successor, ok := p.defaultNetwork(); ok && id.Kind == schema.KindNetwork && s.Action != Create {
			// The default moves to another network before this one can go.
			needs = append(slices.Clip(needs), successor)
		}
		for _, n := range needs {
			if step := p.steps[n]; step != nil && n != id && (s.Action == Delete || step.Action != Delete) {
				s.Needs = append(s.Needs, n)
			}
		}
		slices.SortFunc(s.Needs, schema.ID.Compare)
		s.Needs = slices.Compact(s.Needs)
	}
	p.waitForMovers(byRole, referrers)
	p.makeWay()
	done := map[schema.ID]bool{}
	var visit func(id schema.ID)
	visit = func(id schema.ID) {
		if done[id] {
			return
		}
		done[id] = true
		for _, n := range p.steps[id].Needs {
			visit(n)
		}
		p.plan.Steps = append(p.plan.Steps, *p.steps[id])
	}
	ids := sortedIDs(p.steps)
	slices.SortStableFunc(ids, func(a, b schema.ID) int {
		return cmp.Compare(rank(p.steps[a].Action), rank(p.steps[b].Action))
	})
	for _, id := range ids {
		visit(id)
	}
}

// makeWay has a step wait until what excludes its object has left the slot.
// Two that wait for each other cannot both; the first in order goes ahead.
func (p *planner) makeWay() {
	for _, id := range sortedIDs(p.steps) {
		s := p.steps[id]
		x, ok := p.desired.Objects[id].(schema.Exclusive)
		if !ok || s.Action == Delete {
			continue
		}
		for _, e := range p.slots[x.Slot()] {
			other := e.Object.ID()
			if double, ok := p.doubles[e.Handle]; ok {
				other = double
			}
			leaving := p.steps[other]
			if other == id || leaving == nil || leaving.Handle != e.Handle || !x.Excludes(e.Object) || p.needed(other, id) {
				continue
			}
			s.Needs = append(s.Needs, other)
		}
		slices.SortFunc(s.Needs, schema.ID.Compare)
		s.Needs = slices.Compact(s.Needs)
	}
}

// needed tells whether the step waits for the other one, directly or not.
func (p *planner) needed(step, other schema.ID) bool {
	seen := map[schema.ID]bool{}
	var reaches func(schema.ID) bool
	reaches = func(id schema.ID) bool {
		if id == other {
			return true
		}
		if seen[id] || p.steps[id] == nil {
			return false
		}
		seen[id] = true
		return slices.ContainsFunc(p.steps[id].Needs, reaches)
	}
	return reaches(step)
}

func rank(a Action) int {
	if a == Delete {
		return 1
	}
	return 0
}

// notices says what is worth knowing without being a step.
func (p *planner) notices() {
	for _, id := range sortedIDs(p.live) {
		for _, e := range p.live[id] {
			if l, ok := e.Object.(schema.PrivateLoadBalancer); ok && l.VIP != "" && e.Owned {
				p.notice(id, "answers at %s", l.VIP)
			}
		}
	}
	for _, u := range p.unknown {
		if u.Name != "" {
			continue
		}
		wanted := slices.ContainsFunc(slices.Collect(maps.Keys(p.desired.Objects)), u.Covers)
		if !wanted {
			p.notice(schema.ID{Kind: u.Kind, Name: "*"}, "could not be read, so what hactl may own there stays: %v", u.Err)
		}
	}
	p.plan.Notices = append(p.plan.Notices, p.said...)
	slices.SortStableFunc(p.plan.Notices, func(a, b Finding) int { return a.ID.Compare(b.ID) })
}

// describe names an object by what a person would look for.
func describe(o schema.Object) string {
	if r, ok := o.(schema.DNSRecord); ok {
		return fmt.Sprintf("the %s record of %s (%s)", r.Type, r.Name, cmp.Or(r.Content, r.Tunnel))
	}
	return o.ID().String()
}

func sortedIDs[V any](m map[schema.ID]V) []schema.ID {
	return slices.SortedFunc(maps.Keys(m), schema.ID.Compare)
}
