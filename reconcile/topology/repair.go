package topology

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// repair looks for the shortest change after which the failures no longer cut
// the entry off. What it proposes is tried on the model first, but for the
// last resorts, which name no host or pool because there is none yet.
func (f *finder) repair(e *Entry, failed []Component) string {
	defer f.s.undo()
	f.m.fail(f.s, failed)
	return f.propose(e, failed)
}

func (f *finder) propose(e *Entry, failed []Component) string {
	for _, c := range f.m.down {
		if f.s.assume(e.gate, f.m.index[c]) {
			return fmt.Sprintf("bring %s back, which is down now", c)
		}
	}
	lost := f.lostSeats(e)
	if host := f.drained(e, lost); host != "" {
		return "end the maintenance of host/" + host
	}
	for _, x := range lost {
		if f.s.assume(e.gate, x.gate) {
			return fmt.Sprintf("add a %s on %s to %s", x.role, cmp.Or(f.seat(failed, x), newHost(failed)), x)
		}
	}
	if e.balanced {
		if text := f.proposePools(e); text != "" {
			return text
		}
	}
	if text := f.proposeHost(e, lost, failed); text != "" {
		return text
	}
	return f.m.lastResort(e, failed)
}

// seats is something with places for hosts: a tunnel or a Virtual Router.
type seats struct {
	of    Component
	role  string
	hosts []string
	gate  int32
	// subnets are those of a Virtual Router's addresses.
	subnets []netip.Prefix
}

func (x seats) String() string { return x.of.Kind + " " + x.of.Name }

// lostSeats are the tunnels and Virtual Routers on the way that have no host
// left, and would serve with one more.
func (f *finder) lostSeats(e *Entry) []seats {
	way, ok := f.ways[e]
	if !ok {
		way = f.m.onTheWay(e)
		f.ways[e] = way
	}
	var lost []seats
	for _, x := range way {
		if !f.s.up(x.gate) && f.s.up(f.m.index[x.of]) {
			lost = append(lost, x)
		}
	}
	return lost
}

// drained is a host that would serve were it not in maintenance, "" for none.
func (f *finder) drained(e *Entry, lost []seats) string {
	if f.maintained == nil {
		f.maintained = []string{}
		for _, host := range sortedKeys(f.m.spec.Hosts) {
			if f.m.spec.Hosts[host].Maintenance {
				f.maintained = append(f.maintained, host)
			}
		}
	}
	for _, host := range f.maintained {
		down := func(leaf int32) bool { return !f.s.up(leaf) }
		if down(f.m.index[Component{KindHost, host}]) || slices.ContainsFunc(f.m.labels[host], down) {
			continue
		}
		gates := []int32{f.m.function[Component{KindHost, host}]}
		for _, x := range lost { // It is no member of a Virtual Router meanwhile.
			m, member := f.m.spec.VirtualRouters[x.of.Name].Members[host]
			if x.of.Kind == KindVirtualRouter && member && !m.Maintenance && !f.m.held(x.of.Name, host) {
				gates = append(gates, x.gate)
			}
		}
		if f.s.assume(e.gate, gates...) && !f.ends(e, host, gates) {
			return host
		}
	}
	return ""
}

// ends tells whether a pool that nothing watches would end the list, with nobody
// to answer, once a host is back that it leads to.
func (f *finder) ends(e *Entry, host string, back []int32) bool {
	return slices.ContainsFunc(e.pools, func(p *pool) bool {
		return p.drained && !f.s.assume(p.answers, back...) && slices.ContainsFunc(p.origins, func(o origin) bool {
			return slices.Contains(leadsTo(f.m.spec, f.m.spec.Pools[p.name].Origins[o.name]), host)
		})
	})
}

// seat is a host in service for all of those, "" where none fits: the one that
// shares the fewest labels with what has failed.
func (f *finder) seat(failed []Component, all ...seats) string {
	if f.hosts == nil {
		f.hosts = f.m.candidates()
	}
	lost := map[int32]bool{}
	for _, c := range failed {
		host := c.Name
		if c.Kind == KindConnector {
			_, host, _ = strings.Cut(c.Name, "@")
		}
		if c.Kind == KindConnector || c.Kind == KindHost {
			for _, label := range f.m.labels[host] {
				lost[label] = true
			}
		}
	}
	labels := make([]map[int32]bool, len(all))
	for i, x := range all {
		labels[i] = map[int32]bool{}
		for _, host := range x.hosts {
			for _, label := range f.m.labels[host] {
				labels[i][label] = true
			}
		}
	}
	fits := func(h *candidate) bool {
		for i, x := range all {
			if slices.Contains(x.hosts, h.name) || !x.fits(f.m, h, labels[i]) {
				return false
			}
		}
		return true
	}
	best, least := "", 0
	for i := range f.hosts {
		h := &f.hosts[i]
		shared := 0
		for _, label := range h.labels {
			if lost[label] {
				shared++
			}
		}
		if best != "" && shared >= least || !fits(h) || !f.s.up(h.gate) {
			continue
		}
		best, least = h.name, shared
		if shared == 0 {
			break
		}
	}
	return best
}

// newHost is where a seat has to be that no host of the specification can have:
// outside the labels that have failed.
func newHost(failed []Component) string {
	labels := slices.DeleteFunc(slices.Clone(failed), func(c Component) bool { return !c.label() })
	if len(labels) == 0 {
		return "another host"
	}
	return "a host outside " + join(labels)
}

// candidate is a host that something could be added to.
type candidate struct {
	name     string
	address  netip.Addr
	gate     int32
	labels   []int32
	connects bool
}

func (m *Model) candidates() []candidate {
	list := make([]candidate, 0, len(m.spec.Hosts))
	for _, name := range sortedKeys(m.spec.Hosts) {
		c := candidate{name: name, gate: m.function[Component{KindHost, name}], connects: m.connects[name], labels: m.labels[name]}
		c.address, _ = netip.ParseAddr(m.spec.Hosts[name].Address)
		list = append(list, c)
	}
	return list
}

// fits tells whether a host may have a seat: a member of a Virtual Router is in
// one of its subnets; a host that runs another tunnel's connector is that
// tunnel's, unless it has a label in common with the hosts of this one.
func (x seats) fits(m *Model, h *candidate, labels map[int32]bool) bool {
	if x.of.Kind == KindVirtualRouter {
		return !m.held(x.of.Name, h.name) && slices.ContainsFunc(x.subnets, func(p netip.Prefix) bool { return p.Contains(h.address) })
	}
	return !h.connects || slices.ContainsFunc(h.labels, func(l int32) bool { return labels[l] })
}

// proposeHost is for failures that take several of those: one more host that
// has a part in as few of them as will do.
func (f *finder) proposeHost(e *Entry, lost []seats, failed []Component) string {
	gates := func(list []seats) []int32 {
		var g []int32
		for _, x := range list {
			g = append(g, x.gate)
		}
		return g
	}
	if len(lost) == 0 || !f.s.assume(e.gate, gates(lost)...) {
		return ""
	}
	for i := 0; i < len(lost); {
		if without := slices.Delete(slices.Clone(lost), i, i+1); f.s.assume(e.gate, gates(without)...) {
			lost = without
		} else {
			i++
		}
	}
	var parts []string
	host := f.seat(failed, lost...)
	for _, x := range lost {
		parts = append(parts, fmt.Sprintf("a %s to %s", x.role, x))
	}
	return fmt.Sprintf("add on %s %s", cmp.Or(host, newHost(failed)), strings.Join(parts, " and "))
}

// proposePools looks for the smallest change to a balancer or its pools.
func (f *finder) proposePools(e *Entry) string {
	mine := slices.Compact(append(slices.Clone(e.listed), e.last))
	for _, name := range mine { // Origins answer, and are too few.
		if p := f.m.poolOf(e, name); p != nil && p.need > 1 && f.serves(e, e.listed, tweak{lower: name}) {
			return fmt.Sprintf("lower minimumOrigins of pool %s, of which fewer than %d answer", name, p.need)
		}
	}
	for _, name := range mine { // An unwatched pool hides those behind it.
		if p := f.m.poolOf(e, name); p != nil && !p.monitored && f.serves(e, e.listed, tweak{watch: name}) {
			return fmt.Sprintf("give pool %s a monitor: without one nothing notices that it is dead", name)
		}
	}
	field := e.field
	for _, p := range f.m.pools {
		if !slices.Contains(e.listed, p.name) && f.m.poolOf(e, p.name) == p && f.s.up(p.serving()) && f.serves(e, append(slices.Clip(e.listed), p.name), tweak{}) {
			return fmt.Sprintf("pool %s is not in %s: add it", p.name, field)
		}
	}
	for _, name := range mine {
		p := f.m.poolOf(e, name)
		if p == nil {
			continue
		}
		if p.disabled && f.serves(e, e.listed, tweak{enable: name}) {
			return fmt.Sprintf("enable pool %s", name)
		}
		for _, o := range p.off {
			if f.serves(e, e.listed, tweak{origin: &o, of: name}) {
				return fmt.Sprintf("enable origin %s of pool %s", o.name, name)
			}
		}
	}
	for _, p := range f.m.pools {
		if p.disabled && f.m.poolOf(e, p.name) == p && f.serves(e, append(slices.Clip(e.listed), p.name), tweak{enable: p.name}) {
			return fmt.Sprintf("enable pool %s and add it to %s", p.name, field)
		}
	}
	return ""
}

// poolOf is a pool as the entry's requests meet it; nil where it is not the
// specification's, or nobody has looked at it for that hostname.
func (m *Model) poolOf(e *Entry, name string) *pool {
	if p, ok := m.poolBy[poolKey{name, ""}]; ok && !p.byHost || e.Kind != "loadBalancer" {
		return p
	}
	return m.poolBy[poolKey{name, e.Name}]
}

type poolKey struct{ name, host string }

// tweak is one change to one pool.
type tweak struct {
	lower, watch, enable string
	origin               *origin
	of                   string
}

// serves plays the balancer with another list and one change, as list has it
// in gates.
func (f *finder) serves(e *Entry, names []string, t tweak) bool {
	watched := true
	for _, name := range names {
		p := f.m.poolOf(e, name)
		if !e.ordered && e.weigh(name) == 0 {
			continue
		}
		if p == nil {
			if leaf, ok := f.m.index[Component{KindPool, name}]; ok && f.m.foreignPool(name) && f.s.up(leaf) {
				return true
			}
			continue
		}
		usable, healthy, answers := f.pool(p, t)
		if !usable {
			continue
		}
		if p.monitored || p.drained || t.watch == name {
			if healthy {
				return true
			}
			continue
		}
		if answers {
			return true
		}
		watched = false
		if e.ordered {
			break
		}
	}
	if !watched {
		return false
	}
	if p := f.m.poolOf(e, e.last); p != nil {
		usable, _, answers := f.pool(p, t)
		return usable && answers
	}
	return f.m.foreignPool(e.last) && f.s.up(f.m.index[Component{KindPool, e.last}])
}

func (m *Model) foreignPool(name string) bool { _, ours := m.spec.Pools[name]; return !ours }

func (f *finder) pool(p *pool, t tweak) (usable, healthy, answers bool) {
	origins := p.origins
	if t.enable == p.name {
		origins = append(slices.Clip(origins), p.spare...)
	}
	if t.of == p.name && !p.disabled {
		origins = append(slices.Clip(origins), *t.origin)
	}
	n := 0
	for _, o := range origins {
		if f.s.up(o.gate) {
			n++
		}
	}
	need := p.need
	if t.lower == p.name {
		need = 1
	}
	up := f.s.up(f.m.index[Component{KindPool, p.name}])
	return len(origins) > 0, up && n >= need, up && n > 0
}

// onTheWay are the Virtual Routers and tunnels of every path of an entry that
// have hosts, sorted.
func (m *Model) onTheWay(e *Entry) []seats {
	found := map[Component]seats{}
	m.eachEnd(e, func(_ *pool, _ string, x end) {
		if t := m.spec.Tunnels[x.tunnel]; len(t.Connectors) > 0 {
			c := Component{KindTunnel, x.tunnel}
			found[c] = seats{of: c, role: "connector", hosts: t.Connectors, gate: m.function[c]}
		}
		if v, ok := m.spec.VirtualRouters[x.router]; ok {
			c := Component{KindVirtualRouter, x.router}
			x := seats{of: c, role: "member", hosts: sortedKeys(v.Members), gate: m.function[c]}
			for _, a := range slices.Concat(v.Addresses, v.ExcludedAddresses) {
				if p, err := netip.ParsePrefix(a); err == nil {
					x.subnets = append(x.subnets, p.Masked())
				}
			}
			found[c] = x
		}
	})
	way := make([]seats, 0, len(found))
	for _, c := range slices.SortedFunc(maps.Keys(found), Component.Compare) {
		way = append(way, found[c])
	}
	return way
}

// eachEnd calls yield with every path of an entry: its pool and origin, where
// there are any, and its end. A balancer behind a CNAME is followed.
func (m *Model) eachEnd(e *Entry, yield func(p *pool, origin string, x end)) {
	for _, x := range e.ends {
		if x.balancer == nil {
			yield(nil, "", x)
			continue
		}
		m.eachEnd(x.balancer, yield)
	}
	pools := slices.Clip(e.pools)
	if e.fallback != nil && !slices.Contains(pools, e.fallback) {
		pools = append(pools, e.fallback)
	}
	for _, p := range pools {
		for _, o := range p.origins {
			yield(p, o.name, o.end)
		}
	}
}

// lastResort is for where something has to be built first.
func (m *Model) lastResort(e *Entry, failed []Component) string {
	c := failed[0]
	name := cmp.Or(e.hostname, e.Name)
	switch {
	case e.Kind == "route":
		return "none while a network can have one route, and so one tunnel, per CIDR"
	case e.balanced && !c.label():
		return fmt.Sprintf("add a pool to %s that does without %s", e.field, join(failed))
	case e.balanced:
		return fmt.Sprintf("add a pool to %s outside %s", e.field, join(failed))
	case e.Kind == "hostname" || e.Kind == "dnsRecord":
		switch c.Kind {
		case KindVirtualRouter, KindTunnel:
			return fmt.Sprintf("put a load balancer on %s, with a second pool that does without %s", name, join(failed))
		case KindAddress, KindHost:
			return fmt.Sprintf("let %s lead to a Virtual Router or a load balancer in place of %s", name, join(failed))
		}
		return fmt.Sprintf("put a load balancer on %s, with a second pool outside %s", name, join(failed))
	}
	return fmt.Sprintf("let another host serve %s, that does without %s", e.Name, join(failed))
}

func join(components []Component) string {
	texts := make([]string, 0, len(components))
	for _, c := range components {
		texts = append(texts, c.String())
	}
	return strings.Join(texts, " and ")
}
