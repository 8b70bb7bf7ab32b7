package topology

import (
	"cmp"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/hactl/hactl/schema"
)

// builder makes a Model: gates, and the graph beside them. What is shared is
// built once.
type builder struct {
	*Model
	connectors map[Component]int32
	tunnels    map[string]int32
	poolsBy    map[string]*pool // by name and, where it matters, hostname
	addresses  map[netip.Addr]end
	routes     map[string][]hop // by network, the longest prefix first
	plain      bool             // without a graph
	nodes      map[string]Node
	edges      map[Edge]bool
	records    map[string][]schema.DNSRecord // address records by name
	following  map[string]bool
	cnames     map[string]cname // that hostnames of ingress rules have, by those
}

type hop struct {
	prefix netip.Prefix
	tunnel string
}

// cname leads a hostname to a tunnel; whole, where a rule is for all its paths.
type cname struct {
	tunnel string
	whole  bool
}

func newBuilder(s *schema.Spec) *builder {
	b := &builder{
		Model: &Model{
			spec: s, index: map[Component]int32{}, byLeaf: map[int32]Component{}, function: map[Component]int32{},
			routers: map[string]*router{}, hosts: map[string]map[string]string{},
		},
		connectors: map[Component]int32{}, tunnels: map[string]int32{}, poolsBy: map[string]*pool{}, addresses: map[netip.Addr]end{},
		routes: map[string][]hop{}, nodes: map[string]Node{}, edges: map[Edge]bool{}, records: map[string][]schema.DNSRecord{},
		following: map[string]bool{}, cnames: map[string]cname{},
	}
	fallback := defaultNetwork(s)
	for _, name := range sortedKeys(s.Tunnels) {
		for _, r := range s.Tunnels[name].Routes {
			if p := r.Prefix(); p.IsValid() {
				network := cmp.Or(r.Network, fallback)
				b.routes[network] = append(b.routes[network], hop{p, name})
			}
		}
		for _, r := range s.Tunnels[name].Ingress {
			hostname := strings.ToLower(r.Hostname)
			if c, taken := b.cnames[hostname]; s.Tunnels[name].DNS && (!taken || c.tunnel == name) {
				b.cnames[hostname] = cname{name, c.whole || r.Path == ""}
			}
		}
	}
	for _, hops := range b.routes {
		slices.SortStableFunc(hops, func(x, y hop) int { return cmp.Compare(y.prefix.Bits(), x.prefix.Bits()) })
	}
	for _, name := range sortedKeys(s.Hosts) {
		if a, err := netip.ParseAddr(s.Hosts[name].Address); err == nil {
			b.addresses[a] = end{host: name}
		}
	}
	for _, name := range sortedKeys(s.VirtualRouters) {
		v := s.VirtualRouters[name]
		for host, m := range v.Members {
			if a, err := netip.ParseAddr(m.Address); err == nil {
				b.addresses[a] = end{host: host}
			}
		}
	}
	for _, name := range sortedKeys(s.VirtualRouters) { // An owner's address is the router's.
		v := s.VirtualRouters[name]
		for _, written := range slices.Concat(v.Addresses, v.ExcludedAddresses) {
			if p, err := netip.ParsePrefix(written); err == nil {
				b.addresses[p.Addr()] = end{router: name}
			}
		}
	}
	return b
}

func defaultNetwork(s *schema.Spec) string {
	for _, name := range sortedKeys(s.Networks) {
		if s.Networks[name].IsDefaultNetwork {
			return name
		}
	}
	return ""
}

// component returns the leaf of a component.
func (b *builder) component(c Component) int32 {
	if leaf, ok := b.index[c]; ok {
		return leaf
	}
	leaf := b.circuit.add(0)
	b.index[c], b.byLeaf[leaf] = leaf, c
	b.function[c] = leaf
	return leaf
}

// host is up while it and its labels are, and it is in service.
func (b *builder) host(name string) int32 {
	c := Component{KindHost, name}
	if _, ok := b.index[c]; ok {
		return b.function[c]
	}
	h := b.spec.Hosts[name]
	leaf := b.component(c)
	parts := []int32{leaf}
	b.hosts[name] = h.FailureDomains()
	n := Node{Kind: KindHost, Name: name, Detail: h.Address}
	if _, known := b.spec.Hosts[name]; !known {
		n.Foreign = true
	}
	for _, label := range sortedKeys(b.hosts[name]) {
		l := Component{label, b.hosts[name][label]}
		parts = append(parts, b.component(l))
		b.edge(c.String(), b.node(Node{Kind: l.Kind, Name: l.Name}), "label", "")
	}
	if h.Maintenance {
		n.Out = "maintenance"
		parts = append(parts, b.circuit.never())
	}
	b.node(n)
	b.function[c] = b.circuit.all(parts...)
	return b.function[c]
}

// tunnel is up while one of its connectors is; each of them needs its host.
func (b *builder) tunnel(name string) int32 {
	if g, ok := b.tunnels[name]; ok {
		return g
	}
	c := Component{KindTunnel, name}
	parts := []int32{b.component(c)}
	t, ours := b.spec.Tunnels[name]
	n := Node{Kind: KindTunnel, Name: name, Foreign: !ours}
	if ours && len(t.Connectors) == 0 {
		n.Detail = "its connectors are somebody else's"
	}
	b.node(n)
	var connectors []int32
	for _, host := range t.Connectors {
		k := Component{KindConnector, name + "@" + host}
		if _, twice := b.connectors[k]; twice {
			continue
		}
		g := b.circuit.all(b.component(k), b.host(host))
		b.connectors[k], b.function[k] = g, g
		connectors = append(connectors, g)
		n := Node{Kind: KindConnector, Name: k.Name}
		if b.spec.Hosts[host].Maintenance {
			n.Out = "maintenance"
		}
		b.edge(c.String(), b.node(n), "connector", "")
		b.edge(k.String(), KindHost+"/"+host, "on", "")
	}
	if len(t.Connectors) > 0 {
		parts = append(parts, b.circuit.any(connectors...))
	}
	b.tunnels[name] = b.circuit.all(parts...)
	b.function[c] = b.tunnels[name]
	return b.tunnels[name]
}

// router serves while it has a member in service.
func (b *builder) router(name string) *router {
	if r, ok := b.routers[name]; ok {
		return r
	}
	c := Component{KindVirtualRouter, name}
	v, ours := b.spec.VirtualRouters[name]
	r := &router{name: name}
	b.routers[name] = r
	leaf := b.component(c)
	b.node(Node{Kind: KindVirtualRouter, Name: name, Foreign: !ours, Detail: strings.Join(v.Addresses, ", ")})
	var members []int32
	for _, host := range sortedKeys(v.Members) {
		m := v.Members[host]
		g := b.host(host)
		checks := v.Checks
		if m.Checks != nil {
			checks = m.Checks
		}
		well := b.priorityWell(m.Priority, checks)
		now := b.now.priority(name, host, well)
		label := fmt.Sprintf("priority %d", m.Priority)
		if well != m.Priority {
			label += fmt.Sprintf(", %d by its checks", well)
		}
		if now != well {
			label += fmt.Sprintf(", now %d", now)
		}
		if m.Maintenance {
			label += ", maintenance"
		} else if state := b.now.stateOut(name, host); state != "" {
			label += ", " + state
		}
		b.edge(c.String(), KindHost+"/"+host, "member", label)
		at := b.node(Node{Kind: "interface", Name: cmp.Or(m.Interface, v.Interface) + "@" + host})
		b.edge(KindHost+"/"+host, at, "on", "")
		for _, check := range checks {
			b.edge(b.node(Node{Kind: "check", Name: check, Detail: b.spec.Checks[check].Type}), KindHost+"/"+host, "watches", "for "+name)
		}
		if m.Maintenance || b.spec.Hosts[host].Maintenance || b.held(name, host) {
			continue
		}
		if b.now.stateOut(name, host) != "" {
			r.out = append(r.out, host)
			continue
		}
		members = append(members, g)
		r.members = append(r.members, member{host, now, g})
	}
	r.active = b.now.activeFor(name)
	slices.SortStableFunc(r.members, func(x, y member) int {
		return cmp.Or(cmp.Compare(y.priority, x.priority), b.primary(v, y.host).Compare(b.primary(v, x.host)))
	})
	r.gate = b.circuit.all(leaf, b.circuit.any(members...))
	if !ours {
		r.gate = leaf
	}
	b.function[c] = r.gate
	return r
}

// priorityWell is a member's when all is well: each check that passes adds its
// weight, where that is more than 0. Who owns the addresses has 255 whatever
// they say, and nobody else does.
func (b *builder) priorityWell(written int, checks []string) int {
	if written == 255 {
		return written
	}
	p := written
	for _, check := range checks {
		p += max(b.spec.Checks[check].Weight, 0)
	}
	return min(p, 254)
}

// held tells whether another router of its sync group is in maintenance on a
// host, which keeps this one from being Active there too.
func (m *Model) held(name, host string) bool {
	for _, g := range m.spec.SyncGroups {
		for _, other := range g.Members {
			if slices.Contains(g.Members, name) && m.spec.VirtualRouters[other].Members[host].Maintenance {
				return true
			}
		}
	}
	return false
}

// primary is the address that decides between equal priorities (RFC 9568, 6.4.3).
func (b *builder) primary(v schema.VirtualRouter, host string) netip.Addr {
	a, _ := netip.ParseAddr(cmp.Or(v.Members[host].Address, b.spec.Hosts[host].Address))
	return a
}

// reach follows a request to an address or name on the network.
func (b *builder) reach(from, address, label string) end {
	e := end{address: address}
	if a, err := netip.ParseAddr(address); err == nil {
		e.address = a.String()
		if known, ok := b.addresses[a]; ok {
			e = known
		}
	} else if _, ours := b.spec.Hosts[strings.ToLower(address)]; ours { // As its name leads to it on its LAN.
		e.host = strings.ToLower(address)
	}
	switch {
	case e.router != "":
		e.gate = b.router(e.router).gate
		b.edge(from, KindVirtualRouter+"/"+e.router, "serves", label)
	case e.host != "":
		e.gate = b.host(e.host)
		b.edge(from, KindHost+"/"+e.host, "serves", label)
	default:
		c := Component{KindAddress, strings.ToLower(e.address)}
		e.gate = b.component(c)
		b.edge(from, b.node(Node{Kind: KindAddress, Name: c.Name, Foreign: true}), "serves", label)
	}
	return e
}

// through follows a request into a tunnel and out of it, by the ingress rule
// that its Host meets: that of a path, or with somePath of any that is served.
func (b *builder) through(tunnel, hostname, path string, somePath bool) end {
	e := end{tunnel: tunnel, gate: b.tunnel(tunnel)}
	t, ours := b.spec.Tunnels[tunnel]
	if !ours {
		return e
	}
	service := serviceOf(t.Ingress, hostname, path, somePath)
	if answersNobody(service) {
		e.why = fmt.Sprintf("no ingress rule of tunnel %s serves %s", tunnel, cmp.Or(hostname, "requests without a Host"))
		e.gate = b.circuit.never()
		return e
	}
	where := serviceHost(service)
	if where == "" {
		e.local = true
		return e
	}
	out := b.reach(KindTunnel+"/"+tunnel, where, hostname+path)
	e.router, e.host, e.address = out.router, out.host, out.address
	e.gate = b.circuit.all(e.gate, out.gate)
	return e
}

// serviceOf is where the first rule for that hostname and path leads, "" for
// nowhere; one without a path is for all of them. With somePath a hostname of
// which only some paths are served is, by the first of those that leads
// anywhere: the status that follows is for the others.
func serviceOf(rules []schema.IngressRule, hostname, path string, somePath bool) string {
	some, closed := "", []string{}
	for _, rule := range rules {
		switch {
		case !rule.Matches(hostname):
		case (rule.Path == "" || rule.Path == path) && answersNobody(rule.Service):
			return cmp.Or(some, rule.Service)
		case rule.Path == "" || rule.Path == path:
			return rule.Service
		case !somePath || some != "" || slices.Contains(closed, rule.Path):
		case answersNobody(rule.Service):
			closed = append(closed, rule.Path)
		default:
			some = rule.Service
		}
	}
	return some
}

// answersNobody tells whether a service is none, but a status.
func answersNobody(service string) bool {
	return service == "" || strings.HasPrefix(service, "http_status:")
}

// serviceHost is where a service is, "" on the connector's host itself.
func serviceHost(service string) string {
	u, err := url.Parse(service)
	if err != nil || u.Host == "" || strings.HasPrefix(u.Scheme, "unix") {
		return ""
	}
	name := u.Hostname()
	if a, err := netip.ParseAddr(name); err == nil && a.IsLoopback() || name == "localhost" {
		return ""
	}
	return name
}

// origin follows a request from a pool on. hostname is what the request has
// as Host where the origin sets none.
func (b *builder) origin(p *pool, name string, o schema.Origin, hostname string) {
	c := Component{KindOrigin, p.name + "/" + name}
	id := b.node(Node{Kind: KindOrigin, Name: c.Name, Out: originOut(o)})
	b.edge(KindPool+"/"+p.name, id, "serves", weightLabel(o))
	leaf := b.component(c)
	var e end
	switch {
	case o.Tunnel != "":
		b.edge(id, KindTunnel+"/"+o.Tunnel, "serves", "")
		if len(o.Header.Host) > 0 {
			hostname = o.Header.Host[0]
		}
		e = b.through(o.Tunnel, hostname, "", true)
	default:
		address := o.Address
		if o.VirtualRouter != "" {
			address = b.spec.VirtualRouters[o.VirtualRouter].Address().String()
		}
		e = b.reach(id, address, "")
		if t, ok := b.routed(o.Network, address); ok {
			e.tunnel = t
			e.gate = b.circuit.all(b.tunnel(t), e.gate)
			b.edge(id, KindTunnel+"/"+t, "route", o.Network)
		}
	}
	g := b.circuit.all(leaf, e.gate)
	if _, known := b.function[c]; !known || b.function[c] == leaf {
		b.function[c] = g
	}
	switch originOut(o) {
	case "":
		p.origins = append(p.origins, origin{name, g, e})
	case "disabled":
		if o.Weight > 0 {
			p.off = append(p.off, origin{name, g, e})
		}
	}
}

func originOut(o schema.Origin) string {
	switch {
	case !o.Enabled:
		return "disabled"
	case o.Weight <= 0:
		return "weight 0"
	}
	return ""
}

func weightLabel(o schema.Origin) string {
	if o.Weight == 1 {
		return ""
	}
	return fmt.Sprintf("weight %v", o.Weight)
}

// routed finds the tunnel that an address of a virtual network is behind.
func (b *builder) routed(network, address string) (string, bool) {
	a, err := netip.ParseAddr(address)
	if err != nil || network == "" {
		return "", false
	}
	for _, h := range b.routes[network] {
		if h.prefix.Contains(a) {
			return h.tunnel, true
		}
	}
	return "", false
}

// pool is a pool as requests for that hostname meet it; nil where it is
// disabled.
func (b *builder) pool(name, hostname string) *pool {
	spec, ours := b.spec.Pools[name]
	key, host, byHost := name, "", false
	for _, o := range spec.Origins {
		if o.Tunnel != "" && len(o.Header.Host) == 0 {
			key, host, byHost = name+" "+hostname, hostname, true
		}
	}
	if p, ok := b.poolsBy[key]; ok {
		return p
	}
	c := Component{KindPool, name}
	n := Node{Kind: KindPool, Name: name, Foreign: !ours}
	if ours && !spec.Enabled {
		n.Out = "disabled"
	}
	if ours && spec.MinimumOrigins > 1 {
		n.Detail = fmt.Sprintf("at least %d origins", spec.MinimumOrigins)
	}
	id := b.node(n)
	leaf := b.component(c)
	if !ours {
		p := &pool{name: name, foreign: true, monitored: true, need: 1, healthy: leaf, answers: leaf}
		b.poolsBy[key] = p
		return p
	}
	p := &pool{name: name, host: host, byHost: byHost, monitored: spec.Monitor != "" || spec.MonitorGroup != "", need: max(spec.MinimumOrigins, 1)}
	if watch := cmp.Or(spec.Monitor, spec.MonitorGroup); watch != "" {
		b.edge(b.node(Node{Kind: "monitor", Name: watch, Detail: b.spec.Monitors[watch].Type}), id, "watches", "")
	}
	for _, o := range sortedKeys(spec.Origins) {
		b.origin(p, o, spec.Origins[o], hostname)
	}
	p.drained = !p.monitored && !slices.ContainsFunc(p.origins, func(o origin) bool { return !b.spec.InMaintenance(spec.Origins[o.name]) })
	gates := make([]int32, 0, len(p.origins))
	for _, o := range p.origins {
		gates = append(gates, o.gate)
	}
	p.healthy = b.circuit.all(leaf, b.circuit.add(p.need, gates...))
	p.answers = b.circuit.all(leaf, b.circuit.any(gates...))
	if b.function[c] == leaf {
		b.function[c] = p.answers
	}
	if !spec.Enabled {
		p.disabled, p.spare, p.origins = true, p.origins, nil
		p.healthy, p.answers = b.circuit.never(), b.circuit.never()
	}
	b.poolsBy[key] = p
	b.Model.pools = append(b.Model.pools, p)
	return p
}
