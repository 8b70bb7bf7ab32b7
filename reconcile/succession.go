package reconcile

import (
	"slices"
	"strings"

	"github.com/hactl/hactl/schema"
)

// This file keeps what people reach from going away before what takes its
// place has come: a hostname's record or load balancer, and a tunnel's rule
// for a hostname whose traffic is being moved elsewhere.

// roles are what an object does for the outside: "www.example.com" for what
// answers for a hostname, "example.com MX" for a record.
func roles(o schema.Object) []string {
	switch o := o.(type) {
	case schema.LoadBalancer:
		return []string{strings.ToLower(o.Hostname)}
	case schema.DNSRecord:
		name := o.Canonical().Name
		if o.AddressType() {
			return []string{name}
		}
		return []string{name + " " + o.Type}
	}
	return nil
}

// byRole finds the wanted objects that play a role.
func (p *planner) byRole() map[string][]schema.ID {
	m := map[string][]schema.ID{}
	for _, id := range sortedIDs(p.desired.Objects) {
		for _, role := range roles(p.desired.Objects[id]) {
			m[role] = append(m[role], id)
		}
	}
	return m
}

// successors are the wanted objects that take over a role of the live objects
// with that ID, without those that can only come when the old one has gone.
func (p *planner) successors(id schema.ID, byRole map[string][]schema.ID) []schema.ID {
	var ids []schema.ID
	for _, e := range p.live[id] {
		for _, role := range roles(e.Object) {
			for _, other := range byRole[role] {
				x, exclusive := p.desired.Objects[other].(schema.Exclusive)
				if other != id && !(exclusive && x.Excludes(e.Object)) {
					ids = append(ids, other)
				}
			}
		}
	}
	return ids
}

// keepUntilSucceeded drops deletions of what plays a role that somebody else
// is to play who cannot come yet.
func (p *planner) keepUntilSucceeded() {
	byRole := p.byRole()
	for _, id := range sortedIDs(p.steps) {
		if p.steps[id].Action != Delete {
			continue
		}
		for _, successor := range p.successors(id, byRole) {
			if why, held := p.held[successor]; held {
				p.notice(id, "stays until %s can take its place: %s", successor, why)
				delete(p.steps, id)
				break
			}
		}
	}
}

// waitForMovers has configurations wait for their movers, but for those that
// wait for the configuration themselves.
func (p *planner) waitForMovers(byRole map[string][]schema.ID, referrers map[Handle][]schema.ID) {
	for _, id := range sortedIDs(p.steps) {
		s := p.steps[id]
		if s.Action != Update || id.Kind != schema.KindTunnelConfiguration {
			continue
		}
		for _, other := range p.movers(id, byRole, referrers) {
			if step := p.steps[other]; step != nil && step.Action != Delete && !p.needed(other, id) {
				s.Needs = append(s.Needs, other)
			}
		}
		slices.SortFunc(s.Needs, schema.ID.Compare)
		s.Needs = slices.Compact(s.Needs)
	}
}

// movers are the steps that lead a hostname's traffic away from a tunnel whose
// configuration drops the rule for it: the rule goes after them.
func (p *planner) movers(id schema.ID, byRole map[string][]schema.ID, referrers map[Handle][]schema.ID) []schema.ID {
	after, ok := p.desired.Objects[id].(schema.TunnelConfiguration)
	if !ok || len(p.live[id]) == 0 {
		return nil
	}
	before, ok := p.live[id][0].Object.(schema.TunnelConfiguration)
	if !ok {
		return nil
	}
	kept := map[string]bool{}
	for _, r := range after.Ingress {
		kept[strings.ToLower(r.Hostname)] = true
	}
	var ids []schema.ID
	for _, r := range before.Ingress {
		if hostname := strings.ToLower(r.Hostname); !kept[hostname] {
			ids = append(ids, byRole[hostname]...)
			ids = append(ids, referrers[p.live[id][0].Handle]...)
		}
	}
	return slices.DeleteFunc(ids, func(other schema.ID) bool {
		// What needs the configuration itself cannot come before it.
		o := p.desired.Objects[other]
		return o == nil || slices.Contains(o.Refs(), id)
	})
}
