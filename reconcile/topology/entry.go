package topology

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/hactl/hactl/schema"
)

// elsewhere is the scope of what no geo map names; those of rules begin with
// ruleScope.
const (
	elsewhere = "elsewhere"
	ruleScope = "rule "
)

// geoMaps are what the keys of geo maps are, as Cloudflare looks them up.
var geoMaps = []string{"pop", "country", "region"}

func (b *builder) enter(e *Entry) *Entry {
	b.entries = append(b.entries, e)
	return e
}

func (b *builder) routerEntries() {
	for _, name := range sortedKeys(b.spec.VirtualRouters) {
		r := b.router(name)
		e := b.enter(&Entry{Kind: "virtualRouter", Name: name, HighAvailability: b.spec.VirtualRouters[name].HighAvailability})
		e.ends, e.gate = []end{{router: name, gate: r.gate}}, r.gate
		if len(r.members)+len(r.out) == 0 {
			e.why = "every member is in maintenance"
		}
		b.node(Node{Kind: KindVirtualRouter, Name: name, Entry: true})
	}
}

func (b *builder) routeEntries() {
	fallback := defaultNetwork(b.spec)
	for _, tunnel := range sortedKeys(b.spec.Tunnels) {
		for _, r := range b.spec.Tunnels[tunnel].Routes {
			p := r.Prefix()
			if !p.IsValid() {
				continue
			}
			r.Network, r.CIDR = cmp.Or(r.Network, fallback), p.String()
			name := r.ID().Name
			g := b.tunnel(tunnel)
			e := b.enter(&Entry{Kind: "route", Name: name, HighAvailability: r.HighAvailability})
			e.ends, e.gate = []end{{tunnel: tunnel, gate: g}}, g
			id := b.node(Node{Kind: "route", Name: name, Entry: true})
			b.edge(id, KindTunnel+"/"+tunnel, "route", "")
			if r.Network != "" {
				b.edge(id, b.node(Node{Kind: "network", Name: r.Network}), "on", "")
			}
		}
	}
	slices.SortStableFunc(b.entries, compareEntries)
}

func (b *builder) balancerEntries() {
	for _, name := range sortedKeys(b.spec.LoadBalancers) {
		b.balancing("loadBalancer", name, name, b.spec.LoadBalancers[name].Balancing)
	}
	for _, name := range sortedKeys(b.spec.PrivateLoadBalancers) {
		b.balancing("privateLoadBalancer", name, "", b.spec.PrivateLoadBalancers[name].Balancing)
	}
}

// sparePools are those that no balancer uses. Where an origin needs to know the
// hostname, they are looked at for each balancer, if those are not too many.
func (b *builder) sparePools() {
	var spare []string
	for _, name := range sortedKeys(b.spec.Pools) {
		if _, built := b.index[Component{KindPool, name}]; !built && b.pool(name, "").byHost {
			spare = append(spare, name)
		}
	}
	if len(spare)*len(b.spec.LoadBalancers) > mostSpare {
		return
	}
	for _, name := range spare {
		for _, hostname := range sortedKeys(b.spec.LoadBalancers) {
			b.pool(name, hostname)
		}
	}
}

const mostSpare = 500

// balancing makes an entry for each list of pools that requests may meet.
func (b *builder) balancing(kind, name, hostname string, l schema.Balancing) {
	n := Node{Kind: kind, Name: name, Entry: true, Detail: l.WithDefaults().SteeringPolicy}
	if n.Detail == "off" { // A balancer that is off would be another thing.
		n.Detail = "in order"
	}
	if !l.Enabled {
		n.Out = "disabled"
	}
	b.node(n)
	if l.Proxied == nil {
		l.Proxied = new(b.spec.ReachesTunnel(l))
	}
	l.SteeringPolicy = l.WithDefaults().SteeringPolicy // A rule's geo maps do not change the default.
	b.lists(kind, name, hostname, "", l, nil)
	for _, r := range l.Rules {
		if o := r.Overrides; o != nil && !r.Disabled && l.Enabled {
			if changed, ok := overridden(l, o); ok {
				b.lists(kind, name, hostname, ruleScope+r.Name, changed, o)
			}
		}
	}
}

// overridden is the balancer as a rule makes it; not ok where the rule leaves
// alone which pools get requests.
func overridden(l schema.Balancing, o *schema.Overrides) (schema.Balancing, bool) {
	changes := false
	list := func(to *[]string, from []string) {
		if from != nil {
			*to, changes = from, true
		}
	}
	maps := func(to *map[string][]string, from map[string][]string) {
		if from != nil {
			*to, changes = from, true
		}
	}
	list(&l.DefaultPools, o.DefaultPools)
	maps(&l.RegionPools, o.RegionPools)
	maps(&l.CountryPools, o.CountryPools)
	maps(&l.PopPools, o.PopPools)
	if o.Pools != nil { // They replace whatever the maps would give.
		list(&l.DefaultPools, o.Pools)
		l.RegionPools, l.CountryPools, l.PopPools = nil, nil, nil
	}
	if o.FallbackPool != "" {
		l.FallbackPool, changes = o.FallbackPool, true
	}
	if o.SteeringPolicy != "" {
		changes = changes || o.SteeringPolicy != l.SteeringPolicy
		l.SteeringPolicy = o.SteeringPolicy
	}
	if o.TTL != nil {
		l.TTL = *o.TTL
	}
	if o.SessionAffinity != "" {
		l.SessionAffinity = o.SessionAffinity
	}
	was := l.RandomSteering
	if o.RandomSteering != nil {
		l.RandomSteering = *o.RandomSteering
	}
	if o.PoolWeights != nil {
		l.RandomSteering.PoolWeights = o.PoolWeights
	}
	if o.PoolDefaultWeight != nil {
		l.RandomSteering.DefaultWeight = *o.PoolDefaultWeight
	}
	for _, pool := range l.DefaultPools { // Policies with weights have no other list.
		changes = changes || (weightOf(was, pool, l.SteeringPolicy) == 0) != (weightOf(l.RandomSteering, pool, l.SteeringPolicy) == 0)
	}
	return l, changes
}

// listField is the list that a rule's requests, or with nil the others, meet:
// of the geo map or of all, and the rule's own where it has one.
func listField(rule string, o *schema.Overrides, geoMap, key string) string {
	field, own := "defaultPools", o != nil && o.DefaultPools != nil
	switch geoMap {
	case "region":
		field, own = "regionPools."+key, o != nil && o.RegionPools != nil
	case "country":
		field, own = "countryPools."+key, o != nil && o.CountryPools != nil
	case "pop":
		field, own = "popPools."+key, o != nil && o.PopPools != nil
	}
	if o != nil && o.Pools != nil {
		field, own = "pools", true
	}
	if own {
		field += " of " + rule
	}
	return field
}

// lists makes the entries of one set of pools: one for each key of the geo
// maps, in the order in which Cloudflare looks, and one for everywhere else.
func (b *builder) lists(kind, name, hostname, rule string, l schema.Balancing, o *schema.Overrides) {
	policy := l.WithDefaults().SteeringPolicy
	join := func(scope string) string {
		return strings.Join(slices.DeleteFunc([]string{rule, scope}, func(s string) bool { return s == "" }), ", ")
	}
	rest, fallback := "", l.FallbackPool
	if o != nil {
		fallback = o.FallbackPool
	}
	if policy == "geo" {
		for i, pools := range []map[string][]string{l.PopPools, l.CountryPools, l.RegionPools} {
			for _, key := range sortedKeys(pools) {
				e := b.enter(b.list(kind, name, hostname, policy, pools[key], l))
				e.Scope, e.rule, e.geoMap, e.regionKey, rest = join(geoMaps[i]+" "+key), rule, geoMaps[i], key, elsewhere
				e.field = listField(rule, o, e.geoMap, key)
				b.poolEdges(e, key, fallback)
			}
		}
	}
	e := b.enter(b.list(kind, name, hostname, policy, l.DefaultPools, l))
	e.Scope, e.rule, e.field = join(rest), rule, listField(rule, o, "", "")
	b.poolEdges(e, "", fallback)
}

// poolEdges draws an entry's pools with their order, and whose requests those
// are: everybody's, those of a key of a geo map, or those that meet a rule. No
// fallback is everybody's.
func (b *builder) poolEdges(e *Entry, key, fallback string) {
	from := e.Kind + "/" + e.Name
	label := func(words ...string) string {
		return strings.Join(slices.DeleteFunc(words, func(s string) bool { return s == "" }), " ")
	}
	for i, p := range e.listed {
		order := ""
		if e.ordered {
			order = strconv.Itoa(i + 1)
		}
		b.edge(from, KindPool+"/"+p, "serves", label(e.rule, key, order))
	}
	if fallback != "" {
		b.edge(from, KindPool+"/"+fallback, "fallback", e.rule)
	}
}

// list is the entry of one list of pools, for requests that have that Host.
func (b *builder) list(kind, name, hostname, policy string, names []string, l schema.Balancing) *Entry {
	e := &Entry{
		Kind: kind, Name: name, HighAvailability: l.HighAvailability, balanced: true,
		weigh: func(pool string) float64 { return weightOf(l.RandomSteering, pool, policy) }, last: l.FallbackPool,
		ordered: policy == "off" || policy == "geo", affinity: l.SessionAffinity != "" && l.SessionAffinity != "none", listed: names,
	}
	watched, ended := true, false
	var gates []int32
	for _, n := range names {
		p := b.pool(n, hostname) // Behind the end, too: repairs ask for them.
		if ended || !b.usable(p) || slices.Contains(e.pools, p) || !e.ordered && e.weigh(n) == 0 {
			continue
		}
		e.pools = append(e.pools, p)
		gates = append(gates, p.serving())
		if !p.monitored && !p.drained { // Who has no enabled origin is passed over.
			watched, ended = false, e.ordered
		}
	}
	if f := b.pool(l.FallbackPool, hostname); watched && b.usable(f) {
		e.fallback = f
		gates = append(gates, f.answers)
	}
	if kind == "loadBalancer" && l.Proxied != nil && !*l.Proxied {
		e.dnsTTL = l.TTL
	}
	if l.Enabled {
		e.gate = b.circuit.any(gates...)
	} else {
		e.gate, e.why, e.off = b.circuit.never(), "it is disabled", true
	}
	return e
}

// usable tells whether a pool can serve at all, were everything up.
func (b *builder) usable(p *pool) bool {
	return p.foreign || b.spec.Pools[p.name].Enabled && len(p.origins) > 0
}

// serving is when a balancer gives the pool requests that are answered: one
// that nothing watches it gives them whatever minimumOrigins says.
func (p *pool) serving() int32 {
	if p.monitored {
		return p.healthy
	}
	return p.answers
}

// weightOf is a pool's share; only these policies have weights.
func weightOf(r schema.RandomSteering, pool, policy string) float64 {
	if policy != "random" && policy != "least_outstanding_requests" && policy != "least_connections" {
		return 1
	}
	if w, ok := r.PoolWeights[pool]; ok {
		return w
	}
	return r.DefaultWeight
}

// nameEntries are hostnames without a balancer: records, and ingress rules
// that make some.
func (b *builder) nameEntries() {
	marked := map[string]bool{}
	for _, key := range sortedKeys(b.spec.DNSRecords) {
		r := b.spec.DNSRecords[key]
		if r.AddressType() {
			r = r.Canonical()
			b.records[r.Name] = append(b.records[r.Name], r)
			marked[r.Name] = marked[r.Name] || r.HighAvailability
		}
	}
	for _, name := range sortedKeys(b.records) {
		if _, balanced := b.spec.LoadBalancers[name]; balanced {
			continue
		}
		b.named("dnsRecord", name, marked[name], b.resolve("dnsRecord/"+name, name, name))
	}
	served, entered := map[string]string{}, map[string]bool{}
	for _, tunnel := range sortedKeys(b.spec.Tunnels) {
		t := b.spec.Tunnels[tunnel]
		for _, rule := range t.Ingress {
			hostname := strings.ToLower(rule.Hostname)
			if hostname == "" || hostname == "*" {
				continue
			}
			if b.owned(hostname) {
				if rule.HighAvailability {
					b.mark(hostname)
				}
				continue
			}
			first, ok := served[hostname]
			if !t.DNS || ok && first != tunnel {
				continue
			}
			served[hostname] = tunnel
			name := hostname + rule.Path
			if entered[name] { // The first rule for them wins.
				continue
			}
			entered[name] = true
			b.edge("hostname/"+name, KindTunnel+"/"+tunnel, "serves", rule.Service)
			e := b.named("hostname", name, rule.HighAvailability, []end{b.through(tunnel, hostname, rule.Path, false)})
			e.hostname = hostname
		}
	}
}

func (b *builder) owned(hostname string) bool {
	_, balanced := b.spec.LoadBalancers[hostname]
	return balanced || len(b.records[hostname]) > 0
}

// mark passes a rule's highAvailability on to what owns its hostname.
func (b *builder) mark(hostname string) {
	for _, e := range b.entries {
		if e.Name == hostname && (e.Kind == "loadBalancer" || e.Kind == "dnsRecord") {
			e.HighAvailability = true
		}
	}
}

func (b *builder) named(kind, name string, highAvailability bool, ends []end) *Entry {
	b.node(Node{Kind: kind, Name: name, Entry: true})
	e := b.enter(&Entry{Kind: kind, Name: name, HighAvailability: highAvailability, ends: ends})
	gates := make([]int32, 0, len(ends))
	for _, end := range ends {
		gates = append(gates, end.gate)
		e.why = cmp.Or(e.why, end.why)
	}
	e.gate = b.circuit.any(gates...)
	return e
}

// resolve follows a name to where its records lead. asked is what clients ask
// for, and have as Host whatever the names on the way are.
func (b *builder) resolve(from, name, asked string) []end {
	if b.following[name] {
		return []end{{why: "its records lead round in a circle", gate: b.circuit.never()}}
	}
	b.following[name] = true
	defer delete(b.following, name)
	if l, ok := b.spec.LoadBalancers[name]; ok {
		b.edge(from, "loadBalancer/"+name, "serves", "")
		e := b.list("loadBalancer", name, asked, l.WithDefaults().SteeringPolicy, l.DefaultPools, l.Balancing)
		to := end{balancer: e, gate: e.gate}
		if e.off {
			to.why = fmt.Sprintf("loadBalancer/%s is disabled", name)
		}
		return []end{to}
	}
	var ends []end
	for _, r := range b.records[name] {
		at := from
		if from != "dnsRecord/"+name {
			b.edge(from, "dnsRecord/"+name, "serves", "")
			at = "dnsRecord/" + name
		}
		switch {
		case r.Tunnel != "":
			b.edge(at, KindTunnel+"/"+r.Tunnel, "serves", "")
			ends = append(ends, b.through(r.Tunnel, asked, "", true))
		case r.Type == "CNAME":
			ends = append(ends, b.resolve(at, r.Content, asked)...)
		default:
			ends = append(ends, b.reach(at, r.Content, r.Type))
		}
	}
	if len(b.records[name]) > 0 {
		return ends
	}
	if c, ok := b.cnames[name]; ok {
		to := "hostname/" + name
		if !c.whole {
			to = KindTunnel + "/" + c.tunnel // Each path of it is a hostname of its own.
		}
		b.edge(from, to, "serves", "")
		return []end{b.through(c.tunnel, asked, "", true)}
	}
	if wildcard := b.covering(name); wildcard != "" {
		return b.resolve(from, wildcard, asked)
	}
	return []end{b.reach(from, name, "CNAME")}
}

// covering is the wildcard that answers for a name that has nothing of its own,
// at any depth (RFC 4592, 2.2.1); "" for none.
func (b *builder) covering(name string) string {
	for rest := strings.TrimPrefix(name, "*."); ; {
		i := strings.IndexByte(rest, '.')
		if i < 0 {
			return ""
		}
		wildcard := "*" + rest[i:]
		if _, ok := b.cnames[wildcard]; ok || b.owned(wildcard) {
			return wildcard
		}
		rest = rest[i+1:]
	}
}
