package topology

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/schema"
)

// Impact says in plain words what a plan does to traffic: findings by object,
// sorted. spec is what the plan comes from, for the hosts that run connectors
// and Virtual Routers; nil where there is only the plan. What could not be read
// is taken not to change.
func Impact(spec *schema.Spec, p *reconcile.Plan, l reconcile.Live) []reconcile.Finding {
	if len(p.Steps) == 0 && !slices.ContainsFunc(p.Hosts, func(h reconcile.HostPlan) bool { return len(h.Steps) > 0 }) {
		return []reconcile.Finding{}
	}
	if spec == nil {
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
	findings := []reconcile.Finding{}
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
			findings = append(findings, reconcile.Finding{ID: s.ID, Message: fmt.Sprintf("has %d live %s, which it ends", n, plural(n, "connection", "connections"))})
		}
	}
	before, after := assemble(now, spec), assemble(then, spec)
	before.Hosts, before.VirtualRouters = formerRouters(spec, p, now)
	findings = append(findings, Compare(before, after)...)
	for i, f := range findings {
		refused := slices.ContainsFunc(p.Violations, func(v reconcile.Violation) bool { return v.Rule == reconcile.RuleNoOrigin && v.ID == f.ID })
		if refused && strings.HasPrefix(f.Message, losesService) {
			findings[i].Message += " (refused)"
		}
	}
	slices.SortStableFunc(findings, func(a, b reconcile.Finding) int {
		return cmp.Or(a.ID.Compare(b.ID), strings.Compare(a.Message, b.Message))
	})
	return findings
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// assemble makes a specification of objects as they are at Cloudflare. Tunnels
// whose ingress is not among them are somebody else's.
func assemble(objects map[schema.ID]schema.Object, spec *schema.Spec) *schema.Spec {
	s := &schema.Spec{
		Stack: spec.Stack, Hosts: spec.Hosts, VirtualRouters: spec.VirtualRouters, Checks: spec.Checks,
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

// losesService begins what is said of an entry that nobody serves any more.
const losesService = "loses its last"

// Compare says what traffic notices of a change from one specification to
// another, sorted by object.
func Compare(before, after *schema.Spec) []reconcile.Finding {
	now, _ := build(before, nil, false, false)
	then, _ := build(after, nil, false, false)
	c := comparison{before: now, after: then, told: map[reconcile.Finding][]string{}, scopes: map[schema.ID]int{}}
	c.routers()
	c.entries()
	c.sessions()
	findings := make([]reconcile.Finding, 0, len(c.told))
	for f, scopes := range c.told {
		slices.Sort(scopes)
		scopes = slices.Compact(scopes)
		if all := c.scopes[f.ID]; len(scopes) < all && scopes[0] != everywhere {
			f.Message += " (" + strings.Join(scopes, "; ") + ")"
		}
		findings = append(findings, f)
	}
	slices.SortFunc(findings, func(a, b reconcile.Finding) int {
		return cmp.Or(a.ID.Compare(b.ID), strings.Compare(a.Message, b.Message))
	})
	return findings
}

const everywhere = "everywhere"

type comparison struct {
	before, after *Model
	told          map[reconcile.Finding][]string // with the scopes that it is true for
	scopes        map[schema.ID]int
}

func (c *comparison) tell(id schema.ID, scope, format string, args ...any) {
	f := reconcile.Finding{ID: id, Message: fmt.Sprintf(format, args...)}
	c.told[f] = append(c.told[f], cmp.Or(scope, everywhere))
}

func (c *comparison) routers() {
	then := c.after.circuit.state()
	now := c.before.circuit.state()
	for _, name := range sortedKeys(c.before.routers) {
		id := schema.ID{Kind: schema.KindVirtualRouter, Name: name}
		if _, ours := c.before.spec.VirtualRouters[name]; !ours {
			continue
		}
		from := c.before.active(c.before.routers[name], now).host
		r, stays := c.after.routers[name]
		if _, ours := c.after.spec.VirtualRouters[name]; !stays || !ours {
			c.tell(id, "", "goes, and its addresses with it: %s", strings.Join(c.before.spec.VirtualRouters[name].Addresses, ", "))
			continue
		}
		to := c.after.active(r, then).host
		switch {
		case from == to:
		case to == "":
			c.tell(id, "", "has no member in service any more: nobody has its addresses")
		case from == "":
			c.tell(id, "", "gets its addresses on %s", to)
		case c.before.sticky(name) && c.after.serves(r, from, then):
			// Nobody takes over from a router that goes on.
		default:
			c.tell(id, "", "mastership moves %s -> %s", from, to)
		}
	}
}

func (m *Model) sticky(router string) bool { return !m.spec.VirtualRouters[router].Preempt }

func (m *Model) serves(r *router, host string, s *state) bool {
	return slices.ContainsFunc(r.members, func(x member) bool { return x.host == host && s.up(x.gate) })
}

// objectOf is the object that findings about an entry name.
func (e *Entry) objectOf() schema.ID {
	kind := schema.Kind(e.Kind)
	if e.Kind == "hostname" {
		kind = schema.KindDNSRecord
	}
	return schema.ID{Kind: kind, Name: e.Name}
}

func (c *comparison) entries() {
	now, then := c.before.circuit.state(), c.after.circuit.state()
	cutsNow, cutsThen := c.before.analysis(1), c.after.analysis(1)
	later := map[string]*Entry{}
	for _, e := range c.after.entries {
		later[e.objectOf().String()+" "+e.Scope] = e
		c.scopes[e.objectOf()]++
	}
	names := map[string]bool{}
	for _, e := range c.after.entries {
		names[e.objectOf().String()] = true
	}
	for _, e := range c.before.entries {
		id := e.objectOf()
		x, stays := later[id.String()+" "+e.Scope]
		if !stays {
			if !names[id.String()] && e.Kind != "virtualRouter" && now.up(e.gate) {
				c.tell(id, "", "is taken away: nothing answers there any more")
			}
			continue
		}
		if e.Kind == "virtualRouter" {
			c.points(x, c.before.points(cutsNow, e), c.after.points(cutsThen, x), then)
			continue
		}
		if !now.up(e.gate) {
			if then.up(x.gate) {
				c.tell(id, x.Scope, "is served again")
			}
			continue
		}
		if !then.up(x.gate) {
			what := "way to a machine that answers"
			if x.balanced {
				what = "enabled origin"
			}
			c.tell(id, x.Scope, losesService+" %s: nobody serves it", what)
			continue
		}
		c.moves(x, c.before.serving(e, now), c.after.serving(x, then))
		c.points(x, c.before.points(cutsNow, e), c.after.points(cutsThen, x), then)
	}
}

// moves says where the requests of an entry go otherwise.
func (c *comparison) moves(e *Entry, was, is Serving) {
	id := e.objectOf()
	switch {
	case e.balanced && is.Fallback && !was.Fallback:
		c.tell(id, e.Scope, "is left with its fallback pool, %s", strings.Join(is.Pools, ", "))
	case !slices.Equal(was.Pools, is.Pools) && len(was.Pools) > 0 && len(is.Pools) > 0:
		gone, come := without(was.Pools, is.Pools), without(is.Pools, was.Pools)
		switch {
		case len(gone) == 0 && len(come) == 0: // In another order.
		case len(come) == 0:
			c.tell(id, e.Scope, "no longer goes to pool %s", strings.Join(gone, ", "))
		case len(gone) == 0:
			c.tell(id, e.Scope, "goes to pool %s as well", strings.Join(come, ", "))
		default:
			c.tell(id, e.Scope, "goes to pool %s in place of %s", strings.Join(come, ", "), strings.Join(gone, ", "))
		}
	case !slices.Equal(was.By, is.By) && slices.Equal(was.Routers, is.Routers) && len(is.Routers) > 0:
		// The Virtual Router has said it.
	case !slices.Equal(was.By, is.By):
		gone, come := without(was.By, is.By), without(is.By, was.By)
		switch {
		case len(come) == 0:
			c.tell(id, e.Scope, "is no longer answered by %s", few(gone))
		case len(gone) == 0:
			c.tell(id, e.Scope, "is answered by %s as well", few(come))
		default:
			c.tell(id, e.Scope, "is answered by %s in place of %s", few(come), few(gone))
		}
	}
}

// without is what the first list has and the second has not.
func without[T comparable](list, other []T) []T {
	return slices.DeleteFunc(slices.Clone(list), func(x T) bool { return slices.Contains(other, x) })
}

// few names the first of many.
func few(components []Component) string {
	const most = 4
	var names []string
	for i, x := range components {
		if i == most {
			names = append(names, fmt.Sprintf("%d more", len(components)-most))
			break
		}
		names = append(names, x.String())
	}
	return cmp.Or(strings.Join(names, ", "), "nobody")
}

// points are the machines and labels that cut an entry off by themselves.
func (m *Model) points(a *analysis, e *Entry) []Component {
	f := a.family(e.gate)
	return slices.DeleteFunc(m.named(f.ones), m.byChange)
}

// points says which single points of failure an entry gains, and that it has
// lost the last. Of those only the most telling count: a connector is no news
// beside its host.
func (c *comparison) points(e *Entry, was, is []Component, then *state) {
	if len(is) == 0 && len(was) > 0 {
		c.tell(e.objectOf(), e.Scope, "no longer has a single point of failure")
		return
	}
	f := &finder{m: c.after, s: then, down: map[Component]map[Component]bool{}}
	var groups []*group
	for _, x := range is {
		groups = f.join(groups, x)
	}
	var gained []Component
	for _, g := range groups {
		if !slices.Contains(was, g.head) && !slices.ContainsFunc(g.rest, func(x Component) bool { return slices.Contains(was, x) }) {
			gained = append(gained, g.head)
		}
	}
	if len(gained) > 0 {
		c.tell(e.objectOf(), e.Scope, "gains %s of failure: %s", plural(len(gained), "a single point", "single points"), few(gained))
	}
}

// sessions says which clients with affinity lose their origin.
func (c *comparison) sessions() {
	type balancer struct {
		id schema.ID
		schema.Balancing
	}
	var list []balancer
	for _, name := range sortedKeys(c.before.spec.LoadBalancers) {
		list = append(list, balancer{schema.ID{Kind: schema.KindLoadBalancer, Name: name}, c.before.spec.LoadBalancers[name].Balancing})
	}
	for _, b := range list {
		l, stays := c.after.spec.LoadBalancers[b.id.Name]
		if b.SessionAffinity == "" || b.SessionAffinity == "none" || !stays || !b.Enabled {
			continue
		}
		if l.SessionAffinity == "" || l.SessionAffinity == "none" {
			c.tell(b.id, "", "session affinity ends: clients no longer stay with an origin")
			continue
		}
		used, still := map[string]bool{}, map[string]bool{}
		b.PoolNames(func(_, pool string) { used[pool] = true })
		l.PoolNames(func(_, pool string) { still[pool] = true })
		for _, pool := range sortedKeys(used) {
			was, ours := c.before.spec.Pools[pool]
			if !ours || !was.Enabled {
				continue
			}
			is := c.after.spec.Pools[pool]
			for _, name := range sortedKeys(was.Origins) {
				o := was.Origins[name]
				x, kept := is.Origins[name]
				if originOut(o) != "" || kept && still[pool] && is.Enabled && x.Enabled && x.Address == o.Address && x.Tunnel == o.Tunnel && x.VirtualRouter == o.VirtualRouter {
					continue
				}
				c.tell(b.id, "", "sessions pinned to origin %s of pool %s are lost", name, pool)
			}
		}
	}
}
