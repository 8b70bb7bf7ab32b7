package topology_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/hactl/hactl/schema"
)

// walker answers requests on a specification by looking things up as it goes,
// with no gates and nothing shared: the other opinion that the model is held to.
type walker struct {
	s    *schema.Spec
	dead map[string]bool
}

func (w walker) host(name string) bool {
	h, ok := w.s.Hosts[name]
	if !ok || h.Maintenance || w.dead["host/"+name] {
		return false
	}
	for k, v := range h.Labels {
		if w.dead[k+"/"+v] {
			return false
		}
	}
	return (h.Site == "" || !w.dead["site/"+h.Site]) && (h.Rack == "" || !w.dead["rack/"+h.Rack]) && (h.Power == "" || !w.dead["power/"+h.Power])
}

func (w walker) tunnel(name string) bool {
	if w.dead["tunnel/"+name] {
		return false
	}
	t := w.s.Tunnels[name]
	for _, h := range t.Connectors {
		if !w.dead["connector/"+name+"@"+h] && w.host(h) {
			return true
		}
	}
	return len(t.Connectors) == 0
}

func (w walker) router(name string) bool {
	if w.dead["virtualRouter/"+name] {
		return false
	}
	for host, m := range w.s.VirtualRouters[name].Members {
		held := m.Maintenance || w.dead["member/"+name+"@"+host]
		for _, g := range w.s.SyncGroups {
			for _, other := range g.Members {
				held = held || slices.Contains(g.Members, name) && w.s.VirtualRouters[other].Members[host].Maintenance
			}
		}
		if !held && w.host(host) {
			return true
		}
	}
	return false
}

func (w walker) address(a string) bool {
	ip, err := netip.ParseAddr(a)
	if err == nil {
		for name, v := range w.s.VirtualRouters {
			for _, p := range v.Addresses {
				if strings.HasPrefix(p, ip.String()+"/") {
					return w.router(name)
				}
			}
		}
		for name, h := range w.s.Hosts {
			if h.Address == ip.String() {
				return w.host(name)
			}
		}
	}
	return !w.dead["address/"+a]
}

// inside is what a tunnel does with a request for a name and a path rule.
func (w walker) inside(tunnel, hostname, path string) bool {
	if !w.tunnel(tunnel) {
		return false
	}
	t, ours := w.s.Tunnels[tunnel]
	if !ours {
		return true
	}
	if path == "" && hostname != "" && !slices.ContainsFunc(t.Ingress, func(r schema.IngressRule) bool {
		return r.Path == "" && (r.Hostname == hostname || r.Hostname == "" && !strings.HasPrefix(r.Service, "http_status"))
	}) { // Requests for some paths are the only ones that anybody answers.
		for _, r := range t.Ingress {
			if r.Hostname == hostname && !strings.HasPrefix(r.Service, "http_status") {
				path = r.Path
				break
			}
		}
	}
	for _, r := range t.Ingress {
		if r.Path != path || r.Hostname != "" && r.Hostname != hostname {
			continue
		}
		if strings.HasPrefix(r.Service, "http_status") {
			return false
		}
		u, err := url.Parse(r.Service)
		if err != nil {
			panic(err)
		}
		return u.Hostname() == "127.0.0.1" || w.address(u.Hostname())
	}
	return false
}

func (w walker) origin(pool, name, hostname string) bool {
	o := w.s.Pools[pool].Origins[name]
	if !o.Enabled || o.Weight == 0 || w.dead["origin/"+pool+"/"+name] {
		return false
	}
	if o.Tunnel != "" {
		if len(o.Header.Host) > 0 {
			hostname = o.Header.Host[0]
		}
		return w.inside(o.Tunnel, hostname, "")
	}
	a := o.Address
	if o.VirtualRouter != "" {
		a = w.s.VirtualRouters[o.VirtualRouter].Address().String()
	}
	best, through := -1, ""
	for name, t := range w.s.Tunnels {
		for _, r := range t.Routes {
			if p := r.Prefix(); o.Network != "" && r.Network == o.Network && p.Contains(netip.MustParseAddr(a)) && p.Bits() > best {
				best, through = p.Bits(), name
			}
		}
	}
	return w.address(a) && (through == "" || w.tunnel(through))
}

func (w walker) answering(pool, hostname string) (n, enabled int) {
	for name, o := range w.s.Pools[pool].Origins {
		if o.Enabled && o.Weight > 0 && !w.s.InMaintenance(o) {
			enabled++
		}
		if w.origin(pool, name, hostname) {
			n++
		}
	}
	return n, enabled
}

// balanced plays one request: the balancer picks a pool by what it believes,
// and the request is answered or not.
func (w walker) balanced(l schema.Balancing, list []string, hostname string) bool {
	if !l.Enabled {
		return false
	}
	picked := false
	for _, name := range list {
		if weight, ok := l.RandomSteering.PoolWeights[name]; ok && weight == 0 {
			continue
		}
		p, ours := w.s.Pools[name]
		if !ours {
			if !w.dead["pool/"+name] {
				return true
			}
			continue
		}
		n, enabled := w.answering(name, hostname)
		if !p.Enabled || enabled == 0 {
			continue
		}
		down := w.dead["pool/"+name]
		if p.Monitor == "" { // It always looks healthy.
			if n > 0 && !down {
				return true
			}
			if l.SteeringPolicy == "" || l.SteeringPolicy == "off" || l.SteeringPolicy == "geo" {
				return false
			}
			picked = true
			continue
		}
		if n >= max(p.MinimumOrigins, 1) && !down {
			return true
		}
	}
	if picked {
		return false // Other requests are all that some pool gets.
	}
	p, ours := w.s.Pools[l.FallbackPool]
	if w.dead["pool/"+l.FallbackPool] {
		return false
	}
	n, _ := w.answering(l.FallbackPool, hostname)
	return !ours || p.Enabled && n > 0
}

// served answers for an entry as the model names it.
func (w walker) served(kind, name, scope string) bool {
	balanced := func(l schema.Balancing, hostname string) bool {
		if rest, ok := strings.CutPrefix(scope, "rule one"); ok {
			scope = strings.TrimPrefix(rest, ", ")
			l.DefaultPools = l.Rules[0].Overrides.DefaultPools
		}
		what, key, _ := strings.Cut(scope, " ")
		switch what {
		case "region":
			return w.balanced(l, l.RegionPools[key], hostname)
		case "country":
			return w.balanced(l, l.CountryPools[key], hostname)
		}
		return w.balanced(l, l.DefaultPools, hostname)
	}
	switch kind {
	case "loadBalancer":
		return balanced(w.s.LoadBalancers[name].Balancing, name)
	case "privateLoadBalancer":
		return balanced(w.s.PrivateLoadBalancers[name].Balancing, "")
	case "virtualRouter":
		return w.router(name)
	case "route":
		for tunnel, t := range w.s.Tunnels {
			for _, r := range t.Routes {
				if r.ID().Name == name {
					return w.tunnel(tunnel)
				}
			}
		}
	case "hostname":
		for _, tunnel := range []string{"t0", "t1", "t2"} { // The first has the record.
			t := w.s.Tunnels[tunnel]
			for _, r := range t.Ingress {
				if t.DNS && r.Hostname+r.Path == name {
					return w.inside(tunnel, r.Hostname, r.Path)
				}
			}
		}
	case "dnsRecord":
		for _, r := range w.s.DNSRecords {
			if r.Name != name {
				continue
			}
			if r.Tunnel != "" && w.inside(r.Tunnel, name, "") || r.Type == "A" && w.address(r.Content) || r.Content != "" && r.Type == "CNAME" && w.cname(r.Content, name) {
				return true
			}
		}
		return false
	}
	panic("no entry " + kind + "/" + name)
}

// cname follows a record for requests that ask for another name.
func (w walker) cname(target, asked string) bool {
	if l, ok := w.s.LoadBalancers[target]; ok {
		return w.balanced(l.Balancing, l.DefaultPools, asked)
	}
	for _, tunnel := range []string{"t0", "t1", "t2"} {
		for _, r := range w.s.Tunnels[tunnel].Ingress {
			if w.s.Tunnels[tunnel].DNS && r.Hostname == target {
				return w.inside(tunnel, asked, "")
			}
		}
	}
	return w.address(target)
}

// randomSpec is a small specification with a bit of everything.
func randomSpec(r *rand.Rand) *schema.Spec {
	maybe := func(p float64) bool { return r.Float64() < p }
	s := &schema.Spec{
		Stack: "random", Hosts: map[string]schema.Host{}, VirtualRouters: map[string]schema.VirtualRouter{}, Tunnels: map[string]schema.TunnelSpec{},
		Networks: map[string]schema.Network{"n": {}}, Pools: map[string]schema.Pool{}, LoadBalancers: map[string]schema.LoadBalancer{},
		PrivateLoadBalancers: map[string]schema.PrivateLoadBalancer{}, Monitors: map[string]schema.Monitor{"m": {}}, DNSRecords: map[string]schema.DNSRecord{},
	}
	var hosts []string
	for i := range 1 + r.IntN(4) {
		h := schema.Host{Address: fmt.Sprintf("10.0.0.%d", i+1), Maintenance: maybe(0.1)}
		if maybe(0.6) {
			h.Site = string(rune('x' + r.IntN(2)))
		}
		if maybe(0.3) {
			h.Labels = map[string]string{"rack": fmt.Sprint(r.IntN(2))}
		}
		name := fmt.Sprint("h", i)
		s.Hosts[name] = h
		hosts = append(hosts, name)
	}
	some := func(p float64) []string {
		var list []string
		for _, h := range hosts {
			if maybe(p) {
				list = append(list, h)
			}
		}
		return list
	}
	for i := range r.IntN(3) {
		v := schema.VirtualRouter{Addresses: []string{fmt.Sprintf("10.0.1.%d/24", i+1)}, Members: map[string]schema.RouterMember{}, Version: 3, Interval: schema.Seconds(1)}
		for _, h := range append(some(0.5), hosts[0]) {
			v.Members[h] = schema.RouterMember{Priority: 1 + r.IntN(254), Maintenance: maybe(0.1)}
		}
		s.VirtualRouters[fmt.Sprint("v", i)] = v
	}
	if len(s.VirtualRouters) == 2 && maybe(0.3) {
		s.SyncGroups = map[string]schema.SyncGroup{"g": {Members: []string{"v0", "v1"}}}
	}
	target := func() string {
		switch r.IntN(4) {
		case 0:
			return fmt.Sprintf("10.0.1.%d", 1+r.IntN(2)) // Some Virtual Router, or nobody we know.
		case 1:
			return fmt.Sprintf("10.0.0.%d", 1+r.IntN(4))
		case 2:
			return "127.0.0.1"
		}
		return "192.0.2.9"
	}
	cidrs := []string{"10.0.0.0/8", "10.0.1.0/24", "192.0.2.0/24"}
	for i := range r.IntN(3) {
		t := schema.TunnelSpec{Connectors: some(0.5), DNS: maybe(0.8)}
		for _, hostname := range []string{"www.example.com", fmt.Sprintf("t%d.example.com", i), ""} {
			if !maybe(0.6) {
				continue
			}
			service := "http://" + target()
			if maybe(0.1) {
				service = "http_status:503"
			}
			rule := schema.IngressRule{Hostname: hostname, Service: service}
			if maybe(0.2) && hostname != "" {
				rule.Path = "/api"
			}
			t.Ingress = append(t.Ingress, rule)
		}
		for len(cidrs) > 0 && maybe(0.5) {
			t.Routes = append(t.Routes, schema.Route{Network: "n", CIDR: cidrs[0]})
			cidrs = cidrs[1:]
		}
		s.Tunnels[fmt.Sprint("t", i)] = t
	}
	var pools []string
	for i := range 1 + r.IntN(4) {
		p := schema.Pool{Enabled: maybe(0.9), MinimumOrigins: r.IntN(3), Origins: map[string]schema.Origin{}}
		if maybe(0.8) {
			p.Monitor = "m"
		}
		for j := range 1 + r.IntN(4) {
			o := schema.Origin{Enabled: maybe(0.9), Weight: float64(min(1, r.IntN(8)))}
			switch k := r.IntN(4); {
			case k == 0 && len(s.VirtualRouters) > 0:
				o.VirtualRouter = fmt.Sprint("v", r.IntN(len(s.VirtualRouters)))
			case k == 1 && maybe(0.2):
				o.Tunnel = "id:fedcba9876543210fedcba9876543210"
			case k == 1 && len(s.Tunnels) > 0:
				o.Tunnel = fmt.Sprint("t", r.IntN(len(s.Tunnels)))
				if maybe(0.4) {
					o.Header.Host = []string{o.Tunnel + ".example.com"}
				}
			default:
				for o.Address == "" || o.Address == "127.0.0.1" {
					o.Address = target()
				}
			}
			if o.Tunnel == "" && maybe(0.5) {
				o.Network = "n"
			}
			p.Origins[fmt.Sprint("o", j)] = o
		}
		name := fmt.Sprint("p", i)
		s.Pools[name] = p
		pools = append(pools, name)
	}
	pools = append(pools, "id:0123456789abcdef0123456789abcdef")
	list := func() []string {
		names := append([]string{}, pools...)
		r.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		return names[:1+r.IntN(min(3, len(names)))]
	}
	balancing := func() schema.Balancing {
		l := schema.Balancing{Enabled: maybe(0.95), DefaultPools: list(), FallbackPool: list()[0], RandomSteering: schema.RandomSteering{DefaultWeight: 1}}
		if maybe(0.2) {
			l.Rules = []schema.Rule{{Name: "one", Disabled: maybe(0.3), Overrides: &schema.Overrides{DefaultPools: list()}}}
		}
		if maybe(0.3) {
			l.SteeringPolicy = "random"
			l.RandomSteering.PoolWeights = map[string]float64{pools[0]: 0}
		} else if maybe(0.3) {
			l.RegionPools = map[string][]string{"WEU": list(), "EEU": list()}
			l.CountryPools = map[string][]string{"JP": list()}
		}
		return l
	}
	if maybe(0.8) {
		s.LoadBalancers["www.example.com"] = schema.LoadBalancer{Zone: "example.com", Balancing: balancing()}
	}
	if maybe(0.3) {
		s.PrivateLoadBalancers["app"] = schema.PrivateLoadBalancer{Balancing: balancing()}
	}
	record := func(key, kind, content, tunnel string) {
		s.DNSRecords[key] = schema.DNSRecord{Zone: "example.com", Name: "r.example.com", Type: kind, Content: content, Tunnel: tunnel}
	}
	switch r.IntN(5) {
	case 0:
		record("a", "A", target(), "")
		record("b", "A", target(), "")
	case 1:
		record("a", "CNAME", "www.example.com", "")
	case 2:
		if len(s.Tunnels) > 0 {
			record("a", "CNAME", "", "t0")
		}
	}
	return s
}
