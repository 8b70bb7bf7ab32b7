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
	lost := f.lostSeats(e)
	for _, x := range lost {
		if f.s.assume(e.gate, x.gate) {
			return fmt.Sprintf("add a %s on %s to %s", x.role, cmp.Or(f.seat(failed, x), "another host"), x)
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

// seat is a host in service for one of those, "" where none fits: the one that
// shares the fewest labels with what has failed.
func (f *finder) seat(failed []Component, x seats) string {
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
			for label, value := range f.m.hosts[host] {
				lost[f.m.index[Component{label, value}]] = true
			}
		}
	}
	labels := map[int32]bool{}
	for _, host := range x.hosts {
		for label, value := range f.m.hosts[host] {
			labels[f.m.index[Component{label, value}]] = true
		}
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
		if best != "" && shared >= least || !x.fits(h, labels) || slices.Contains(x.hosts, h.name) || !f.s.up(h.gate) {
			continue
		}
		best, least = h.name, shared
		if shared == 0 {
			break
		}
	}
	return best
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
		c := candidate{name: name, gate: m.function[Component{KindHost, name}], connects: m.connects[name]}
		c.address, _ = netip.ParseAddr(m.spec.Hosts[name].Address)
		for label, value := range m.hosts[name] {
			c.labels = append(c.labels, m.index[Component{label, value}])
		}
		list = append(list, c)
	}
	return list
}

// fits tells whether a host may have a seat: a member of a Virtual Router is in
// one of its subnets; a host that runs another tunnel's connector is that
// tunnel's, unless it has a label in common with the hosts of this one.
func (x seats) fits(h *candidate, labels map[int32]bool) bool {
	if x.of.Kind == KindVirtualRouter {
		return slices.ContainsFunc(x.subnets, func(p netip.Prefix) bool { return p.Contains(h.address) })
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
	host := f.seat(failed, lost[0])
	for _, x := range lost {
		if slices.Contains(x.hosts, host) {
			host = ""
		}
		parts = append(parts, fmt.Sprintf("a %s to %s", x.role, x))
	}
	return fmt.Sprintf("add on %s %s", cmp.Or(host, "another host"), strings.Join(parts, " and "))
}

func (f *finder) proposePools(e *Entry) string {
	used := slices.Clip(e.pools)
	if e.fallback != nil {
		used = append(used, e.fallback)
	}
	for _, p := range used { // Origins answer, and are too few.
		if f.s.up(p.answers) && !f.s.up(p.healthy) && p.need > 1 && f.m.poolWouldDo(e, p) {
			return fmt.Sprintf("lower minimumOrigins of pool %s, of which fewer than %d answer", p.name, p.need)
		}
	}
	for _, p := range used { // An unwatched pool hides those behind it.
		if !p.monitored && e.ordered && !f.s.up(p.answers) && f.m.healthyAmong(f.s, e.listed) {
			return fmt.Sprintf("give pool %s a monitor: without one nothing notices that it is dead", p.name)
		}
	}
	field := e.listField()
	for _, p := range f.m.pools {
		if slices.Contains(e.listed, p.name) || slices.Contains(used, p) || !f.s.up(p.healthy) || p.host != "" && p.host != e.Name {
			continue
		}
		return fmt.Sprintf("pool %s is not in %s: add it", p.name, field)
	}
	for _, name := range slices.Concat(e.listed, sortedKeys(f.m.spec.Pools)) {
		spec, ours := f.m.spec.Pools[name]
		if !ours {
			continue
		}
		if !spec.Enabled && f.anyOrigin(name) {
			if !slices.Contains(e.listed, name) {
				return fmt.Sprintf("enable pool %s and add it to %s", name, field)
			}
			return fmt.Sprintf("enable pool %s", name)
		}
		for _, o := range sortedKeys(spec.Origins) {
			if slices.Contains(e.listed, name) && originOut(spec.Origins[o]) == "disabled" && f.s.up(f.m.function[Component{KindOrigin, name + "/" + o}]) {
				return fmt.Sprintf("enable origin %s of pool %s", o, name)
			}
		}
	}
	return ""
}

func (f *finder) anyOrigin(pool string) bool {
	for o, spec := range f.m.spec.Pools[pool].Origins {
		if originOut(spec) == "" && f.s.up(f.m.function[Component{KindOrigin, pool + "/" + o}]) {
			return true
		}
	}
	return false
}

// poolWouldDo tells whether the entry would use the pool, were it healthy.
func (m *Model) poolWouldDo(e *Entry, p *pool) bool { return slices.Contains(e.pools, p) }

func (m *Model) healthyAmong(s *state, names []string) bool {
	return slices.ContainsFunc(m.pools, func(p *pool) bool { return slices.Contains(names, p.name) && s.up(p.healthy) })
}

// listField is the list of pools that the entry comes from.
func (e *Entry) listField() string {
	scope := e.Scope
	if i := strings.LastIndex(scope, ", "); i >= 0 {
		scope = scope[i+2:]
	}
	for what, field := range map[string]string{"region ": "regionPools", "country ": "countryPools", "pop ": "popPools"} {
		if key, ok := strings.CutPrefix(scope, what); ok {
			return field + "." + key
		}
	}
	return "defaultPools"
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
		if x.balancer == "" {
			yield(nil, "", x)
			continue
		}
		if to := m.balancer(x.balancer); to != nil {
			m.eachEnd(to, yield)
		}
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

// balancer is the entry of a public balancer that no region is named for.
func (m *Model) balancer(hostname string) *Entry {
	i := slices.IndexFunc(m.entries, func(e *Entry) bool {
		return e.Kind == "loadBalancer" && e.Name == hostname && (e.Scope == "" || e.Scope == elsewhere)
	})
	if i < 0 {
		return nil
	}
	return m.entries[i]
}

// lastResort is for where something has to be built first.
func (m *Model) lastResort(e *Entry, failed []Component) string {
	c := failed[0]
	switch {
	case e.Kind == "route":
		return "none while a network can have one route, and so one tunnel, per CIDR"
	case e.balanced && !c.label():
		return fmt.Sprintf("add a pool to %s that does without %s", e.listField(), join(failed))
	case e.balanced:
		return fmt.Sprintf("add a pool to %s outside %s", e.listField(), join(failed))
	case e.Kind == "hostname" || e.Kind == "dnsRecord":
		switch c.Kind {
		case KindVirtualRouter, KindTunnel:
			return fmt.Sprintf("put a load balancer on %s, with a second pool that does without %s", e.Name, join(failed))
		case KindAddress, KindHost:
			return fmt.Sprintf("let %s lead to a Virtual Router or a load balancer in place of %s", e.Name, join(failed))
		}
		return fmt.Sprintf("put a load balancer on %s, with a second pool outside %s", e.Name, join(failed))
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
