package topology_test

import (
	"cmp"
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/hactl/hactl/reconcile/topology"
	"github.com/hactl/hactl/schema"
)

// oracle sends one request at a time, as Cloudflare's documentation and RFC
// 9568 have it, and says who answers; beside walker it knows of rules, all geo
// maps, wildcards, CNAMEs, several networks, and who is Active.
type oracle struct {
	s    *schema.Spec
	dead map[string]bool
	now  topology.Live
}

// answer is who may answer; nil for nobody.
type answer struct {
	by       map[string]bool
	pools    []string
	fallback bool
}

func by(names ...string) *answer {
	a := &answer{by: map[string]bool{}}
	for _, n := range names {
		a.by[n] = true
	}
	return a
}

func (a *answer) add(b *answer) *answer {
	if a == nil || b == nil {
		return cmp.Or(a, b)
	}
	sum := &answer{by: maps.Clone(a.by), pools: append(slices.Clip(a.pools), b.pools...), fallback: a.fallback || b.fallback}
	maps.Copy(sum.by, b.by)
	return sum
}

func (o oracle) host(name string) bool {
	h, ok := o.s.Hosts[name]
	for label, value := range h.FailureDomains() {
		ok = ok && !o.dead[label+"/"+value]
	}
	return ok && !h.Maintenance && !o.dead["host/"+name]
}

// active is who has a Virtual Router's addresses, "" for nobody.
func (o oracle) active(name string) string {
	v := o.s.VirtualRouters[name]
	best, priority, address := "", 0, netip.Addr{}
	for host, m := range v.Members {
		held := m.Maintenance
		for _, g := range o.s.SyncGroups {
			for _, other := range g.Members {
				held = held || slices.Contains(g.Members, name) && o.s.VirtualRouters[other].Members[host].Maintenance
			}
		}
		p := m.Priority
		state, known := o.now.Hosts[host][name]
		if known {
			held = held || slices.Contains([]string{"fault", "initialize", "maintenance"}, state.State)
			p = cmp.Or(state.Priority, p)
		}
		if held || !o.host(host) {
			continue
		}
		if state.State == "active" {
			p += 1000
		}
		a := netip.MustParseAddr(cmp.Or(m.Address, o.s.Hosts[host].Address))
		if p > priority || p == priority && a.Compare(address) > 0 {
			best, priority, address = host, p, a
		}
	}
	if o.dead["virtualRouter/"+name] {
		return ""
	}
	return best
}

func (o oracle) router(name string) *answer {
	if host := o.active(name); host != "" {
		return by("host/" + host)
	}
	return nil
}

func (o oracle) address(a string) *answer {
	ip, err := netip.ParseAddr(a)
	if err == nil {
		for name, v := range o.s.VirtualRouters {
			for _, p := range slices.Concat(v.Addresses, v.ExcludedAddresses) {
				if netip.MustParsePrefix(p).Addr() == ip {
					return o.router(name)
				}
			}
		}
		for name, h := range o.s.Hosts {
			own := h.Address == ip.String()
			for _, v := range o.s.VirtualRouters {
				own = own || v.Members[name].Address == ip.String()
			}
			if own {
				if o.host(name) {
					return by("host/" + name)
				}
				return nil
			}
		}
	}
	if o.dead["address/"+a] {
		return nil
	}
	return by("address/" + a)
}

// connectors are the hosts whose connector of a tunnel is up.
func (o oracle) connectors(tunnel string) *answer {
	if o.dead["tunnel/"+tunnel] {
		return nil
	}
	hosts := o.s.Tunnels[tunnel].Connectors
	if len(hosts) == 0 {
		return by("tunnel/" + tunnel)
	}
	var up *answer
	for _, h := range hosts {
		if !o.dead["connector/"+tunnel+"@"+h] && o.host(h) {
			up = up.add(by("host/" + h))
		}
	}
	return up
}

// enter is what cloudflared does with a request: the first rule that has its
// Host and path. A path of "" is one that no rule is for.
func (o oracle) enter(tunnel, hostname, path string) *answer {
	up := o.connectors(tunnel)
	t, ours := o.s.Tunnels[tunnel]
	if !ours || up == nil {
		return up
	}
	for _, r := range t.Ingress {
		suffix, wild := strings.CutPrefix(r.Hostname, "*.")
		if r.Hostname != "" && r.Hostname != hostname && (!wild || !strings.HasSuffix(hostname, "."+suffix)) || r.Path != "" && r.Path != path {
			continue
		}
		u, err := url.Parse(r.Service)
		switch {
		case strings.HasPrefix(r.Service, "http_status"):
			return nil
		case err != nil || u.Hostname() == "127.0.0.1" || u.Hostname() == "":
			return up
		}
		return o.address(u.Hostname())
	}
	return nil
}

// some is enter, for whatever path is answered: any that none is for, else the
// first that a rule is for.
func (o oracle) some(tunnel, hostname string) *answer {
	paths := []string{""}
	for _, r := range o.s.Tunnels[tunnel].Ingress {
		paths = append(paths, r.Path)
	}
	for _, path := range paths {
		up := oracle{s: o.s}
		if up.enter2(tunnel, hostname, path) {
			return o.enter(tunnel, hostname, path)
		}
	}
	return nil
}

// enter2 tells whether a rule leads that request anywhere.
func (o oracle) enter2(tunnel, hostname, path string) bool {
	t, ours := o.s.Tunnels[tunnel]
	for _, r := range t.Ingress {
		suffix, wild := strings.CutPrefix(r.Hostname, "*.")
		if r.Hostname != "" && r.Hostname != hostname && (!wild || !strings.HasSuffix(hostname, "."+suffix)) || r.Path != "" && r.Path != path {
			continue
		}
		return !strings.HasPrefix(r.Service, "http_status")
	}
	return !ours
}

func (o oracle) origin(pool, name, hostname string) *answer {
	x := o.s.Pools[pool].Origins[name]
	if o.dead["origin/"+pool+"/"+name] {
		return nil
	}
	if x.Tunnel != "" {
		if len(x.Header.Host) > 0 {
			hostname = x.Header.Host[0]
		}
		return o.some(x.Tunnel, hostname)
	}
	to := x.Address
	if x.VirtualRouter != "" {
		to = o.s.VirtualRouters[x.VirtualRouter].Address().String()
	}
	bits, through := -1, ""
	for name, t := range o.s.Tunnels {
		for _, r := range t.Routes {
			network := r.Network
			for n := range o.s.Networks {
				if network == "" && o.s.Networks[n].IsDefaultNetwork {
					network = n
				}
			}
			if a, err := netip.ParseAddr(to); err == nil && x.Network != "" && network == x.Network && r.Prefix().Contains(a) && r.Prefix().Bits() > bits {
				bits, through = r.Prefix().Bits(), name
			}
		}
	}
	if through != "" && o.connectors(through) == nil {
		return nil
	}
	return o.address(to)
}

// balance picks a pool, or the pools that get a share, by what monitors find.
func (o oracle) balance(l schema.Balancing, list []string, hostname string) *answer {
	if !l.Enabled {
		return nil
	}
	policy := l.SteeringPolicy
	ordered := policy == "off" || policy == "geo"
	var result *answer
	unwatched := false
	for i, name := range list {
		if slices.Contains(list[:i], name) {
			continue
		}
		weight, given := l.RandomSteering.PoolWeights[name]
		if !given {
			weight = l.RandomSteering.DefaultWeight
		}
		if weight == 0 && (policy == "random" || policy == "least_outstanding_requests" || policy == "least_connections") {
			continue
		}
		p, ours := o.s.Pools[name]
		a, n, enabled := o.pool(name, hostname)
		if !enabled {
			continue
		}
		watched := !ours || p.Monitor != ""
		if a != nil && (!watched || n >= max(1, p.MinimumOrigins)) {
			a.pools = []string{name}
			result = result.add(a)
		}
		if !watched {
			unwatched = true
		}
		if ordered && (result != nil || unwatched) {
			return result
		}
	}
	if result != nil || unwatched {
		return result
	}
	a, _, enabled := o.pool(l.FallbackPool, hostname)
	if a == nil || !enabled {
		return nil
	}
	a.pools, a.fallback = []string{l.FallbackPool}, true
	return a
}

func (o oracle) pool(name, hostname string) (a *answer, n int, enabled bool) {
	down := o.dead["pool/"+name]
	p, ours := o.s.Pools[name]
	if !ours {
		if down {
			return nil, 0, true
		}
		return by("pool/" + name), 1, true
	}
	for origin, x := range p.Origins {
		drained := len(o.s.Tunnels[x.Tunnel].Connectors) > 0
		for _, h := range o.s.Tunnels[x.Tunnel].Connectors {
			drained = drained && o.s.Hosts[h].Maintenance
		}
		for _, h := range o.s.Hosts {
			drained = drained || h.Maintenance && h.Address == x.Address
		}
		if !x.Enabled || x.Weight == 0 || !p.Enabled || drained { // Maintenance disables origins.
			continue
		}
		enabled = true
		if b := o.origin(name, origin, hostname); b != nil && !down {
			a, n = a.add(b), n+1
		}
	}
	return a, n, enabled
}

// balancer is a balancer's answer to requests that meet a rule ("" for none)
// from somewhere ("pop X", "country X", "region X", or "").
func (o oracle) balancer(l schema.Balancing, rule, from, hostname string) *answer {
	if l.SteeringPolicy == "" { // The API fills it in, by the balancer's own maps.
		l.SteeringPolicy = "off"
		if len(l.RegionPools)+len(l.CountryPools)+len(l.PopPools) > 0 {
			l.SteeringPolicy = "geo"
		}
	}
	for _, r := range l.Rules {
		x := r.Overrides
		if r.Name != rule || x == nil {
			continue
		}
		if x.DefaultPools != nil {
			l.DefaultPools = x.DefaultPools
		}
		if x.RegionPools != nil {
			l.RegionPools = x.RegionPools
		}
		if x.CountryPools != nil {
			l.CountryPools = x.CountryPools
		}
		if x.PopPools != nil {
			l.PopPools = x.PopPools
		}
		if x.Pools != nil {
			l.DefaultPools, l.RegionPools, l.CountryPools, l.PopPools = x.Pools, nil, nil, nil
		}
		l.FallbackPool = cmp.Or(x.FallbackPool, l.FallbackPool)
		l.SteeringPolicy = cmp.Or(x.SteeringPolicy, l.SteeringPolicy)
		if x.RandomSteering != nil {
			l.RandomSteering = *x.RandomSteering
		}
		if x.PoolWeights != nil {
			l.RandomSteering.PoolWeights = x.PoolWeights
		}
		if x.PoolDefaultWeight != nil {
			l.RandomSteering.DefaultWeight = *x.PoolDefaultWeight
		}
	}
	list := l.DefaultPools
	if l.SteeringPolicy == "geo" {
		kind, key, _ := strings.Cut(from, " ")
		if named, ok := map[string]map[string][]string{"pop": l.PopPools, "country": l.CountryPools, "region": l.RegionPools}[kind][key]; ok {
			list = named
		}
	}
	return o.balance(l, list, hostname)
}

// name is who answers requests for a hostname that DNS leads to by way of
// others; asked is what they have as Host.
func (o oracle) name(name, asked string, seen []string) *answer {
	if slices.Contains(seen, name) {
		return nil
	}
	seen = append(slices.Clip(seen), name)
	if l, ok := o.s.LoadBalancers[name]; ok {
		return o.balancer(l.Balancing, "", "", asked)
	}
	var result *answer
	found := false
	for _, r := range o.s.DNSRecords {
		if r.Name != name {
			continue
		}
		found = true
		switch {
		case r.Tunnel != "":
			result = result.add(o.some(r.Tunnel, asked))
		case r.Type == "CNAME":
			result = result.add(o.name(r.Content, asked, seen))
		default:
			result = result.add(o.address(r.Content))
		}
	}
	if found {
		return result
	}
	if tunnel := o.tunnelOf(name); tunnel != "" {
		return o.some(tunnel, asked)
	}
	for rest := strings.TrimPrefix(name, "*."); strings.Contains(rest, "."); {
		_, rest, _ = strings.Cut(rest, ".")
		wild := "*." + rest
		_, balanced := o.s.LoadBalancers[wild]
		record := slices.ContainsFunc(slices.Collect(maps.Values(o.s.DNSRecords)), func(r schema.DNSRecord) bool { return r.Name == wild })
		if balanced || record || o.tunnelOf(wild) != "" {
			return o.name(wild, asked, seen)
		}
	}
	return o.address(name)
}

// tunnelOf is the tunnel that a hostname's own CNAME leads to.
func (o oracle) tunnelOf(name string) string {
	for _, tunnel := range slices.Sorted(maps.Keys(o.s.Tunnels)) {
		t := o.s.Tunnels[tunnel]
		if t.DNS && slices.ContainsFunc(t.Ingress, func(r schema.IngressRule) bool { return r.Hostname == name }) {
			return tunnel
		}
	}
	return ""
}

// entry is the answer for an entry point as the model names it.
func (o oracle) entry(e *topology.Entry) *answer {
	scope, rule := e.Scope, ""
	if rest, ok := strings.CutPrefix(scope, "rule "); ok {
		rule, scope, _ = strings.Cut(rest, ", ")
	}
	switch e.Kind {
	case "loadBalancer":
		return o.balancer(o.s.LoadBalancers[e.Name].Balancing, rule, scope, e.Name)
	case "privateLoadBalancer":
		return o.balancer(o.s.PrivateLoadBalancers[e.Name].Balancing, rule, scope, "")
	case "virtualRouter":
		return o.router(e.Name)
	case "dnsRecord":
		return o.name(e.Name, e.Name, nil)
	case "hostname":
		hostname, path := e.Name, ""
		if i := strings.Index(e.Name, "/"); i >= 0 {
			hostname, path = e.Name[:i], e.Name[i:]
		}
		return o.enter(o.tunnelOf(hostname), hostname, path)
	case "route":
		for name, t := range o.s.Tunnels {
			for _, r := range t.Routes {
				network := r.Network
				for n := range o.s.Networks {
					if network == "" && o.s.Networks[n].IsDefaultNetwork {
						network = n
					}
				}
				if strings.TrimPrefix(network+"/"+r.CIDR, "/") == e.Name {
					return o.connectors(name)
				}
			}
		}
	}
	panic("no entry " + e.ID())
}
