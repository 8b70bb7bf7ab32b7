package topology

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// repairKey is what a repair depends on.
type repairKey struct{ entry, failed string }

// repair looks for the shortest change after which the failures no longer cut
// the entry off. What it proposes is tried on the model first, but for the
// last resorts, which name no host or pool because there is none yet.
func (f *finder) repair(e *Entry, failed []Component) string {
	key := repairKey{e.ID(), fmt.Sprint(failed)}
	if text, ok := f.repairs[key]; ok {
		return text
	}
	defer f.s.undo()
	f.m.fail(f.s, failed)
	text := f.propose(e, failed)
	f.repairs[key] = text
	return text
}

func (f *finder) propose(e *Entry, failed []Component) string {
	tunnels, routers := f.m.onTheWay(e)
	spare := f.spareHosts(failed)
	for _, name := range routers { // One more member for a router that has none left.
		r := f.m.routers[name]
		if f.s.up(r.gate) || !f.s.up(f.m.index[Component{KindVirtualRouter, name}]) || !f.s.assume(r.gate, e.gate) {
			continue
		}
		if host := first(spare, func(h string) bool { _, member := f.m.spec.VirtualRouters[name].Members[h]; return !member }); host != "" {
			return fmt.Sprintf("add member %s to virtualRouter %s", host, name)
		}
		return fmt.Sprintf("add a member on another host to virtualRouter %s", name)
	}
	for _, name := range tunnels {
		t, ours := f.m.spec.Tunnels[name]
		g := f.m.function[Component{KindTunnel, name}]
		if !ours || f.s.up(g) || !f.s.up(f.m.index[Component{KindTunnel, name}]) || !f.s.assume(g, e.gate) {
			continue
		}
		if host := first(spare, func(h string) bool { return !slices.Contains(t.Connectors, h) }); host != "" {
			return fmt.Sprintf("add a connector on %s to tunnel %s", host, name)
		}
		return fmt.Sprintf("add a connector on another host to tunnel %s", name)
	}
	if e.balanced {
		if text := f.proposePools(e); text != "" {
			return text
		}
	}
	return f.m.lastResort(e, failed)
}

// first is the first host that will do, "" where none does.
func first(hosts []string, will func(string) bool) string {
	if i := slices.IndexFunc(hosts, will); i >= 0 {
		return hosts[i]
	}
	return ""
}

// spareHosts are the hosts that are still in service, those that share the
// fewest labels with what has failed first.
func (f *finder) spareHosts(failed []Component) []string {
	lost := map[Component]int{}
	for _, c := range failed {
		host := c.Name
		if c.Kind == KindConnector {
			_, host, _ = strings.Cut(c.Name, "@")
		} else if c.Kind != KindHost {
			continue
		}
		for label, value := range f.m.hosts[host] {
			lost[Component{label, value}]++
		}
	}
	type candidate struct {
		host   string
		shared int
	}
	var candidates []candidate
	for _, host := range sortedKeys(f.m.spec.Hosts) {
		if !f.s.up(f.m.function[Component{KindHost, host}]) {
			continue
		}
		c := candidate{host: host}
		for label, value := range f.m.hosts[host] {
			c.shared += lost[Component{label, value}]
		}
		candidates = append(candidates, c)
	}
	slices.SortStableFunc(candidates, func(a, b candidate) int { return cmp.Compare(a.shared, b.shared) })
	hosts := make([]string, 0, len(candidates))
	for _, c := range candidates {
		hosts = append(hosts, c.host)
	}
	return hosts
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

// onTheWay are the tunnels and Virtual Routers of every path of an entry,
// sorted.
func (m *Model) onTheWay(e *Entry) (tunnels, routers []string) {
	t, r := map[string]bool{}, map[string]bool{}
	m.eachEnd(e, func(_ *pool, _ string, end end) {
		if end.tunnel != "" {
			t[end.tunnel] = true
		}
		if end.router != "" && len(m.routers[end.router].members) > 0 {
			r[end.router] = true
		}
	})
	return slices.Sorted(maps.Keys(t)), slices.Sorted(maps.Keys(r))
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
