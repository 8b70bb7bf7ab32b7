package topology

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/schema"
)

// Facts are what traffic notices of a plan, sorted by object. spec is what the
// plan comes from, for the hosts that run connectors and Virtual Routers; nil
// where there is only the plan. What could not be read is taken not to change.
func Facts(spec *schema.Spec, p *reconcile.Plan, l reconcile.Live) []reconcile.Fact {
	facts := Originless(p.Objects)
	if p.Partial {
		facts = []reconcile.Fact{} // The rest of the specification does not come to be.
	}
	if len(p.Steps) == 0 && !slices.ContainsFunc(p.Hosts, func(h reconcile.HostPlan) bool { return len(h.Steps) > 0 }) {
		return facts
	}
	lan := spec != nil
	if !lan {
		spec = &schema.Spec{}
	}
	now := map[schema.ID]schema.Object{}
	connections := map[reconcile.Handle]int{}
	l.Entries = slices.Clone(l.Entries)
	l.Sort()
	for _, e := range l.Entries {
		id := e.Object.ID()
		if _, twice := now[id]; !twice && !e.ReadOnly {
			now[id] = e.Object
		}
		if t, ok := e.Object.(schema.Tunnel); ok {
			connections[e.Handle] = t.Connections
		}
	}
	then := maps.Clone(now)
	for _, s := range p.Steps {
		if s.Replaces != nil {
			delete(then, *s.Replaces)
		}
		if s.Action == reconcile.Delete {
			delete(then, s.ID)
		} else if o := p.Objects[s.ID]; o != nil {
			then[s.ID] = o
		}
		if n := connections[s.Handle]; n > 0 && s.ID.Kind == schema.KindTunnel && (s.Action == reconcile.Delete || s.Action == reconcile.Replace) {
			message := fmt.Sprintf("has %d live %s, which it ends", n, plural(n, "connection", "connections"))
			facts = append(facts, reconcile.Fact{Finding: reconcile.Finding{ID: s.ID, Message: message}, Kind: reconcile.Disconnects, Count: n})
		}
	}
	if p.Partial {
		facts = append(facts, touched(Originless(then), p, then)...)
	}
	facts = append(facts, unrouted(now, then)...)
	before, after := assemble(now, spec), assemble(then, spec)
	if lan { // Who has the addresses afterwards is not in a plan.
		before.Hosts, before.VirtualRouters = formerRouters(spec, p, now)
		formerHosts(spec, now, then, before.Hosts)
		formerAddresses(spec, now, before.VirtualRouters)
	}
	records := map[string]bool{}
	for _, o := range p.Objects {
		if r, ok := o.(schema.DNSRecord); ok {
			records[r.Canonical().Name] = true
		}
	}
	facts = append(facts, compare(before, after, spec, records)...)
	sortFacts(facts)
	return facts
}

// unrouted are the origins of private networks that a route led to, anybody's,
// and that none does then.
func unrouted(now, then map[schema.ID]schema.Object) (facts []reconcile.Fact) {
	before, after := covering(now), covering(then)
	for id, o := range then {
		pool, _ := o.(schema.Pool)
		for name, origin := range pool.Origins {
			a, err := netip.ParseAddr(origin.Address)
			if origin.Network == "" || err != nil || !before(origin.Network, a) || after(origin.Network, a) {
				continue
			}
			facts = append(facts, reconcile.Fact{Kind: reconcile.Removed, Finding: reconcile.Finding{
				ID: id, Message: fmt.Sprintf("origin %s is out of reach: no route of network %s leads to %s any more", name, origin.Network, a),
			}})
		}
	}
	return facts
}

// covering tells whether a route of a network leads to an address.
func covering(objects map[schema.ID]schema.Object) func(network string, a netip.Addr) bool {
	fallback, routes := "", map[string][]netip.Prefix{}
	for id, o := range objects {
		if n, ok := o.(schema.Network); ok && n.IsDefaultNetwork {
			fallback = id.Name
		}
	}
	for _, o := range objects {
		if r, ok := o.(schema.Route); ok {
			network := cmp.Or(r.Network, fallback)
			routes[network] = append(routes[network], r.Prefix())
		}
	}
	return func(network string, a netip.Addr) bool {
		return slices.ContainsFunc(routes[network], func(p netip.Prefix) bool { return p.Contains(a) })
	}
}

// touched are the facts about balancers of the specification that the steps of
// a plan have a part in, by themselves or by a pool.
func touched(facts []reconcile.Fact, p *reconcile.Plan, then map[schema.ID]schema.Object) []reconcile.Fact {
	steps := map[schema.ID]bool{}
	for _, s := range p.Steps {
		steps[s.ID] = true
	}
	return slices.DeleteFunc(facts, func(f reconcile.Fact) bool {
		has := steps[f.ID]
		for _, id := range then[f.ID].Refs() {
			has = has || steps[id]
		}
		return !has || p.Objects[f.ID] == nil
	})
}

// Originless are the enabled load balancers none of whose pools has an enabled
// origin, as facts sorted by object.
func Originless(objects map[schema.ID]schema.Object) []reconcile.Fact {
	facts := []reconcile.Fact{}
	for id, o := range objects {
		var b schema.Balancing
		switch l := o.(type) {
		case schema.LoadBalancer:
			b = l.Balancing
		case schema.PrivateLoadBalancer:
			b = l.Balancing
		default:
			continue
		}
		served := !b.Enabled
		b.PoolNames(func(_, name string) {
			pool, ok := objects[schema.ID{Kind: schema.KindPool, Name: name}].(schema.Pool)
			served = served || !ok // A pool that is not this specification's.
			for _, o := range pool.Origins {
				served = served || pool.Enabled && originOut(o) == ""
			}
		})
		if !served {
			facts = append(facts, reconcile.Fact{Finding: reconcile.Finding{ID: id, Message: "would have no enabled origin"}, Kind: reconcile.Originless})
		}
	}
	sortFacts(facts)
	return facts
}

// assemble makes a specification of objects as they are at Cloudflare. Tunnels
// whose ingress is not among them are somebody else's.
func assemble(objects map[schema.ID]schema.Object, spec *schema.Spec) *schema.Spec {
	s := &schema.Spec{
		Stack: spec.Stack, Hosts: spec.Hosts, VirtualRouters: spec.VirtualRouters, SyncGroups: spec.SyncGroups, Checks: spec.Checks,
		Networks: map[string]schema.Network{}, Tunnels: map[string]schema.TunnelSpec{}, Monitors: map[string]schema.Monitor{},
		Pools: map[string]schema.Pool{}, LoadBalancers: map[string]schema.LoadBalancer{},
		PrivateLoadBalancers: map[string]schema.PrivateLoadBalancer{}, DNSRecords: map[string]schema.DNSRecord{},
	}
	for id, o := range objects {
		switch o := o.(type) {
		case schema.Network:
			s.Networks[id.Name] = o
		case schema.Monitor:
			s.Monitors[id.Name] = o
		case schema.Pool:
			s.Pools[id.Name] = o
		case schema.LoadBalancer:
			s.LoadBalancers[id.Name] = o
		case schema.PrivateLoadBalancer:
			s.PrivateLoadBalancers[id.Name] = o
		case schema.DNSRecord:
			s.DNSRecords[id.Name] = o
		case schema.TunnelConfiguration:
			s.Tunnels[id.Name] = schema.TunnelSpec{Connectors: spec.Tunnels[id.Name].Connectors, Ingress: o.Ingress}
		}
	}
	for _, id := range slices.SortedFunc(maps.Keys(objects), schema.ID.Compare) {
		r, ok := objects[id].(schema.Route)
		if t, ours := s.Tunnels[r.Tunnel]; ok && ours {
			t.Routes = append(t.Routes, r)
			s.Tunnels[r.Tunnel] = t
		}
	}
	return s
}

// formerRouters are the hosts and Virtual Routers before a plan: as the
// specification has them, but for the members that a step is about.
func formerRouters(spec *schema.Spec, p *reconcile.Plan, now map[schema.ID]schema.Object) (map[string]schema.Host, map[string]schema.VirtualRouter) {
	hosts, routers := maps.Clone(spec.Hosts), map[string]schema.VirtualRouter{}
	for name, v := range spec.VirtualRouters {
		v.Members = maps.Clone(v.Members)
		routers[name] = v
	}
	drain := func(host string, was bool) {
		if h, ok := hosts[host]; ok && h.Maintenance && !was {
			h.Maintenance = false
			hosts[host] = h
		}
	}
	steps := slices.Clone(p.Steps)
	for _, h := range p.Hosts {
		steps = append(steps, h.Steps...)
	}
	for _, s := range steps {
		name, host := schema.HostOf(s.ID)
		if s.ID.Kind != schema.KindVirtualRouter || host == "" {
			continue
		}
		v := routers[name]
		if v.Members == nil {
			v.Members = map[string]schema.RouterMember{}
		}
		if was, ok := now[s.ID].(schema.HostRouter); ok {
			drain(host, was.Maintenance)
			v.Members[host] = schema.RouterMember{Priority: was.Priority, Maintenance: was.Maintenance, Address: v.Members[host].Address}
			if v.Addresses == nil {
				for _, a := range was.Addresses {
					v.Addresses = append(v.Addresses, a.Address)
				}
			}
		} else {
			formerMember(v.Members, host, s, drain)
		}
		routers[name] = v
	}
	return hosts, routers
}

// formerHosts ends the maintenance of hosts that a plan drains: it disables an
// origin because all that leads to it is in maintenance, which not all was.
// Those are looked at that nothing says have been for longer.
func formerHosts(spec *schema.Spec, now, then map[schema.ID]schema.Object, hosts map[string]schema.Host) {
	longer, drains := map[string]bool{}, map[string]bool{}
	for id, o := range now {
		if r, ok := o.(schema.HostRouter); ok && r.Maintenance {
			_, host := schema.HostOf(id)
			longer[host] = true
		}
	}
	for name, p := range spec.Pools {
		id := schema.ID{Kind: schema.KindPool, Name: name}
		was, _ := now[id].(schema.Pool)
		is, _ := then[id].(schema.Pool)
		for origin, o := range p.Origins {
			former, known := was.Origins[origin]
			if !known || !o.Enabled || is.Origins[origin].Enabled || !spec.InMaintenance(o) {
				continue
			}
			for _, host := range leadsTo(spec, o) {
				if former.Enabled && former.Tunnel == o.Tunnel {
					drains[host] = true
				} else if !former.Enabled {
					longer[host] = true
				}
			}
		}
	}
	for host := range drains {
		if h := hosts[host]; h.Maintenance && !longer[host] {
			h.Maintenance = false
			hosts[host] = h
		}
	}
}

// leadsTo are the hosts that an origin is on, by address or by its tunnel.
func leadsTo(spec *schema.Spec, o schema.Origin) []string {
	hosts := slices.Clone(spec.Tunnels[o.Tunnel].Connectors)
	a, err := netip.ParseAddr(o.Address)
	for name, h := range spec.Hosts {
		if own, bad := netip.ParseAddr(h.Address); err == nil && bad == nil && own == a {
			hosts = append(hosts, name)
		}
	}
	return hosts
}

// formerAddresses adds to Virtual Routers the addresses that origins have which
// name them: those are theirs still, unless another host or router has them.
func formerAddresses(spec *schema.Spec, now map[schema.ID]schema.Object, routers map[string]schema.VirtualRouter) {
	known := newBuilder(spec).addresses
	for _, name := range sortedKeys(spec.Pools) {
		was, _ := now[schema.ID{Kind: schema.KindPool, Name: name}].(schema.Pool)
		for origin, o := range spec.Pools[name].Origins {
			a, err := netip.ParseAddr(was.Origins[origin].Address)
			v, ok := routers[o.VirtualRouter]
			if _, taken := known[a]; err != nil || !ok || taken {
				continue
			}
			v.Addresses = append(slices.Clip(v.Addresses), netip.PrefixFrom(a, a.BitLen()).String())
			routers[o.VirtualRouter] = v
		}
	}
}

// formerMember takes from a step what a member of another host was.
func formerMember(members map[string]schema.RouterMember, host string, s reconcile.Step, drain func(string, bool)) {
	m := members[host]
	switch s.Action {
	case reconcile.Create:
		delete(members, host)
		return
	case reconcile.Delete:
		m.Priority = max(m.Priority, 1)
	}
	for _, f := range s.Fields {
		switch was := f.Before.(type) {
		case float64:
			if f.Path == "priority" {
				m.Priority = int(was)
			}
		case bool:
			if f.Path == "maintenance" {
				m.Maintenance = was
				drain(host, was)
			}
		}
	}
	members[host] = m
}
