package schema

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// Spec is an evaluated specification. Its maps are keyed by name; the names
// inside the values are set by Objects.
type Spec struct {
	Stack   string  `json:"stack"`
	Account string  `json:"account,omitempty"`
	Plan    string  `json:"plan"`
	Policy  *Policy `json:"policy,omitempty"`
	// Leader is nil where nobody applies edge changes but hactl apply.
	Leader *Leader `json:"leader,omitempty"`

	Hosts                map[string]Host                `json:"hosts,omitempty"`
	VirtualRouters       map[string]VirtualRouter       `json:"virtualRouters,omitempty"`
	SyncGroups           map[string]SyncGroup           `json:"syncGroups,omitempty"`
	Checks               map[string]HealthCheck         `json:"checks,omitempty"`
	Hooks                map[string]Hook                `json:"hooks,omitempty"`
	Networks             map[string]Network             `json:"networks,omitempty"`
	Tunnels              map[string]TunnelSpec          `json:"tunnels,omitempty"`
	Monitors             map[string]Monitor             `json:"monitors,omitempty"`
	Pools                map[string]Pool                `json:"pools,omitempty"`
	LoadBalancers        map[string]LoadBalancer        `json:"loadBalancers,omitempty"`
	PrivateLoadBalancers map[string]PrivateLoadBalancer `json:"privateLoadBalancers,omitempty"`
	DNSRecords           map[string]DNSRecord           `json:"dnsRecords,omitempty"`
	Notifications        map[string]Notification        `json:"notifications,omitempty"`

	// Positions maps paths such as "pools.tokyo.origins.a.weight" to where
	// the user wrote them. Paths that are absent are found by their parents.
	Positions map[string]Pos `json:"-"`
	// Broken holds the paths of entries that did not evaluate: references
	// to them are not dangling.
	Broken map[string]bool `json:"-"`
}

// Policy sets the guard rails of a plan.
type Policy struct {
	MaxDeletions     int     `json:"maxDeletions"`
	MaxDeletionShare float64 `json:"maxDeletionShare"`
	AllowEmpty       bool    `json:"allowEmpty"`
	// Drift is "correct" or "report".
	Drift string `json:"drift"`
}

// DefaultPolicy holds where a specification says nothing.
func DefaultPolicy() Policy { return Policy{MaxDeletions: 10, MaxDeletionShare: 0.5, Drift: "correct"} }

// Pos is a place in a file; the zero Pos is unknown. Line and Column count from 1.
type Pos struct {
	File   string
	Line   int
	Column int
}

func (p Pos) String() string {
	switch {
	case p.File == "":
		return "-"
	case p.Line == 0:
		return p.File
	}
	return p.File + ":" + strconv.Itoa(p.Line) + ":" + strconv.Itoa(p.Column)
}

// Compare orders positions by file, line and column.
func (p Pos) Compare(q Pos) int {
	return cmp.Or(strings.Compare(p.File, q.File), cmp.Compare(p.Line, q.Line), cmp.Compare(p.Column, q.Column))
}

// Pos returns where the path, or the nearest of its parents, was written.
func (s *Spec) Pos(path string) Pos {
	for path != "" {
		if p, ok := s.Positions[path]; ok {
			return p
		}
		path = Parent(path)
	}
	return s.Positions[""]
}

// Parent cuts the last element of a path: a name, a quoted name or an index.
func Parent(path string) string {
	last := 0
	for i := 0; i < len(path); i++ {
		switch path[i] {
		case '.', '[':
			last = i
		case '"': // A quoted name ends at the next quote without a backslash.
			for i++; i < len(path) && path[i] != '"'; i++ {
				if path[i] == '\\' {
					i++
				}
			}
		}
	}
	return path[:last]
}

// Join appends a name to a path, quoted where it is not an identifier.
func Join(path, name string) string {
	if !identifier(name) {
		name = strconv.Quote(name)
	}
	if path == "" {
		return name
	}
	return path + "." + name
}

func identifier(s string) bool {
	for i, r := range s {
		letter := r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}

// Empty tells whether the specification describes no object at all.
func (s *Spec) Empty() bool {
	return len(s.Networks)+len(s.Tunnels)+len(s.Monitors)+len(s.Pools)+len(s.LoadBalancers)+
		len(s.PrivateLoadBalancers)+len(s.DNSRecords)+len(s.VirtualRouters)+len(s.Hosts) == 0
}

// Objects takes the specification apart into single objects, sorted by ID:
// a tunnel into the tunnel, its configuration, its routes and the CNAME
// records of its hostnames; an origin that names a Virtual Router gets that
// router's address. Names are set, defaults that depend on other fields filled.
func (s *Spec) Objects() []Object {
	var objects []Object
	add := func(o Object) { objects = append(objects, o) }
	for name, n := range s.Networks {
		n.Name = name
		add(n)
	}
	routes := s.routes()
	for _, r := range routes {
		add(r)
	}
	table := newRoutingTable(routes)
	for name, t := range s.Tunnels {
		add(Tunnel{Name: name, TunnelSecret: t.TunnelSecret, Protect: t.Protect, ConfigSrc: "cloudflare"})
		add(TunnelConfiguration{Tunnel: name, Ingress: withoutMarks(t.rules()), OriginRequest: t.OriginRequest, Protect: t.Protect})
	}
	for _, r := range s.tunnelRecords() {
		add(r)
	}
	for name, m := range s.Monitors {
		m.Name = name
		add(m.WithDefaults())
	}
	for name, p := range s.Pools {
		p.Name = name
		add(s.resolveOrigins(p, table))
	}
	for name, l := range s.LoadBalancers {
		l.Hostname, l.Zone = name, strings.ToLower(l.Zone)
		if l.Proxied == nil {
			l.Proxied = new(s.ReachesTunnel(l.Balancing))
		}
		l.Balancing = l.WithDefaults()
		l.HighAvailability = false
		add(l)
	}
	for name, l := range s.PrivateLoadBalancers {
		l.Name = name
		l.Balancing = l.WithDefaults()
		l.HighAvailability = false
		add(l)
	}
	for name, r := range s.DNSRecords {
		r.Key = name
		r.HighAvailability = false
		add(r.Canonical())
	}
	slices.SortFunc(objects, func(a, b Object) int { return a.ID().Compare(b.ID()) })
	return objects
}

// rules returns the ingress rules with a catch-all at the end.
func (t TunnelSpec) rules() []IngressRule {
	if n := len(t.Ingress); n > 0 && t.Ingress[n-1].CatchAll() {
		return t.Ingress
	}
	return append(slices.Clip(t.Ingress), IngressRule{Service: "http_status:404"})
}

// withoutMarks leaves out what is hactl's own of the rules.
func withoutMarks(rules []IngressRule) []IngressRule {
	rules = slices.Clone(rules)
	for i := range rules {
		rules[i].HighAvailability = false
	}
	return rules
}

// defaultNetwork is the specification's default virtual network, "" where it
// has none.
func (s *Spec) defaultNetwork() string {
	for _, name := range sortedKeys(s.Networks) {
		if s.Networks[name].IsDefaultNetwork {
			return name
		}
	}
	return ""
}

// routes returns every tunnel's routes with tunnel, network and the canonical
// form of the CIDR set.
func (s *Spec) routes() []Route {
	var routes []Route
	fallback := s.defaultNetwork()
	for _, name := range sortedKeys(s.Tunnels) {
		for _, r := range s.Tunnels[name].Routes {
			r.Tunnel = name
			r.Network = cmp.Or(r.Network, fallback)
			if p := r.Prefix(); p.IsValid() {
				r.CIDR = p.String()
			}
			r.Protect = r.Protect || s.Tunnels[name].Protect
			r.HighAvailability = false
			routes = append(routes, r)
		}
	}
	return routes
}

// ownedNames are the hostnames that a load balancer or a DNS record of the
// specification answers for.
func (s *Spec) ownedNames() map[string]bool {
	owned := map[string]bool{}
	for hostname := range s.LoadBalancers {
		owned[strings.ToLower(hostname)] = true
	}
	for _, r := range s.DNSRecords {
		if addressType(r.Type) {
			owned[r.Canonical().Name] = true
		}
	}
	return owned
}

// tunnelRecords returns the proxied CNAME of every hostname in a tunnel's
// ingress that neither a load balancer nor a DNS record owns (API: a public
// hostname is a CNAME to <uuid>.cfargotunnel.com).
func (s *Spec) tunnelRecords() []DNSRecord {
	owned := s.ownedNames()
	var records []DNSRecord
	zones := s.Zones()
	for _, name := range sortedKeys(s.Tunnels) {
		t := s.Tunnels[name]
		for _, rule := range t.Ingress {
			hostname := strings.ToLower(rule.Hostname)
			if !t.DNS || hostname == "" || hostname == "*" || owned[hostname] {
				continue
			}
			owned[hostname] = true
			records = append(records, DNSRecord{
				Key: hostname, Zone: zoneOf(rule, zones), Name: hostname, Type: "CNAME",
				Tunnel: name, TTL: AutoTTL, Proxied: true, Protect: t.Protect,
			})
		}
	}
	return records
}

// zoneOf finds the zone of a rule's hostname: the one it names, the longest
// that the specification names elsewhere, or the registrable domain.
func zoneOf(rule IngressRule, zones []string) string {
	if rule.Zone != "" {
		return strings.ToLower(rule.Zone)
	}
	hostname := strings.TrimPrefix(strings.ToLower(rule.Hostname), "*.")
	best := ""
	for _, zone := range zones {
		if (hostname == zone || strings.HasSuffix(hostname, "."+zone)) && len(zone) > len(best) {
			best = zone
		}
	}
	if best != "" {
		return best
	}
	if domain, err := publicsuffix.EffectiveTLDPlusOne(hostname); err == nil {
		return domain
	}
	return hostname
}

// Zones returns the zones that load balancers, DNS records and ingress rules
// name, sorted.
func (s *Spec) Zones() []string {
	zones := map[string]bool{}
	for _, l := range s.LoadBalancers {
		zones[strings.ToLower(l.Zone)] = true
	}
	for _, r := range s.DNSRecords {
		zones[strings.ToLower(r.Zone)] = true
	}
	for _, t := range s.Tunnels {
		for _, rule := range t.Ingress {
			if rule.Zone != "" {
				zones[strings.ToLower(rule.Zone)] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(zones))
}

func (s *Spec) resolveOrigins(p Pool, table routingTable) Pool {
	origins := make(map[string]Origin, len(p.Origins))
	for name, o := range p.Origins {
		o.Enabled = o.Enabled && !s.InMaintenance(o)
		if o.VirtualRouter != "" {
			if a := s.VirtualRouters[o.VirtualRouter].Address(); a.IsValid() {
				o.Address = a.String()
			}
			o.VirtualRouter = ""
		}
		if a, err := netip.ParseAddr(o.Address); err == nil {
			o.Address = a.String()
		}
		origins[name] = o
	}
	p.Origins = origins
	p.Routes = table.toward(origins)
	return p
}

// FindRoutes sets the routes of pools among Objects that come from JSON, which
// has none of them.
func FindRoutes(objects map[ID]Object) {
	var routes []Route
	for _, o := range objects {
		if r, ok := o.(Route); ok {
			routes = append(routes, r)
		}
	}
	table := newRoutingTable(routes)
	for id, o := range objects {
		if p, ok := o.(Pool); ok {
			p.Routes = table.toward(p.Origins)
			objects[id] = p
		}
	}
}

// InMaintenance tells whether an origin leads to hosts in maintenance alone: by
// the address of one, or by a tunnel whose connectors are all on such. Objects
// has those disabled.
func (s *Spec) InMaintenance(o Origin) bool {
	if a, err := netip.ParseAddr(o.Address); err == nil {
		for _, h := range s.Hosts {
			if own, err := netip.ParseAddr(h.Address); h.Maintenance && err == nil && own == a {
				return true
			}
		}
	}
	connectors := s.Tunnels[o.Tunnel].Connectors
	return len(connectors) > 0 && !slices.ContainsFunc(connectors, func(host string) bool { return !s.Hosts[host].Maintenance })
}

// routingTable holds the routes of each virtual network, the longest prefix
// first, as a lookup needs them: there are as many lookups as origins.
type routingTable map[string][]hop

type hop struct {
	prefix netip.Prefix
	id     ID
	tunnel string
}

func newRoutingTable(routes []Route) routingTable {
	t := routingTable{}
	for _, r := range routes {
		if p := r.Prefix(); p.IsValid() {
			t[r.Network] = append(t[r.Network], hop{p, r.ID(), r.Tunnel})
		}
	}
	for _, hops := range t {
		slices.SortStableFunc(hops, func(a, b hop) int { return cmp.Compare(b.prefix.Bits(), a.prefix.Bits()) })
	}
	return t
}

// covering returns the route in that network with the longest prefix that
// contains the address.
func (t routingTable) covering(network string, a netip.Addr) (hop, bool) {
	for _, h := range t[network] {
		if h.prefix.Contains(a) {
			return h, true
		}
	}
	return hop{}, false
}

// toward are the routes that lead to private origins.
func (t routingTable) toward(origins map[string]Origin) []ID {
	var ids []ID
	for _, o := range origins {
		if a, err := netip.ParseAddr(o.Address); err == nil && o.Network != "" {
			if r, ok := t.covering(o.Network, a); ok {
				ids = append(ids, r.id)
			}
		}
	}
	return refs(ids...)
}

// ReachesTunnel tells whether any pool of the balancer has a tunnel as origin.
func (s *Spec) ReachesTunnel(b Balancing) bool {
	found := false
	b.PoolNames(func(_, pool string) {
		for _, o := range s.Pools[pool].Origins {
			found = found || o.Tunnel != ""
		}
	})
	return found
}

// Path returns the path in the specification at which an object was written:
// "pools.tokyo" for pool/tokyo, "tunnels.home.routes[0]" for a route.
func (s *Spec) Path(id ID) string {
	switch id.Kind {
	case KindVirtualRouter, KindCheck, KindHook:
		name, _ := HostOf(id)
		return Join(string(id.Kind)+"s", name)
	case KindTunnel, KindTunnelConfiguration:
		return Join("tunnels", id.Name)
	case KindRoute:
		fallback := s.defaultNetwork()
		for _, name := range sortedKeys(s.Tunnels) {
			for i, r := range s.Tunnels[name].Routes {
				r.Network = cmp.Or(r.Network, fallback)
				if p := r.Prefix(); p.IsValid() {
					r.CIDR = p.String()
				}
				if r.ID() == id {
					return fmt.Sprintf("%s.routes[%d]", Join("tunnels", name), i)
				}
			}
		}
	case KindDNSRecord:
		if _, ok := s.DNSRecords[id.Name]; ok {
			return Join("dnsRecords", id.Name)
		}
		if path := s.ingressPath(id.Name); path != "" {
			return path
		}
	}
	return Join(string(id.Kind)+"s", id.Name)
}

// ingressPath is where the hostname stands first in a tunnel that makes
// records, "" where it does not.
func (s *Spec) ingressPath(hostname string) string {
	for _, name := range sortedKeys(s.Tunnels) {
		for i, r := range s.Tunnels[name].Ingress {
			if s.Tunnels[name].DNS && strings.EqualFold(r.Hostname, hostname) {
				return fmt.Sprintf("%s.ingress[%d].hostname", Join("tunnels", name), i)
			}
		}
	}
	return ""
}

func ref(kind Kind, name string) ID {
	if _, foreign := ForeignHandle(name); name == "" || foreign {
		return ID{}
	}
	return ID{kind, name}
}

// refs sorts IDs and drops doubles and zero values.
func refs(ids ...ID) []ID {
	ids = slices.DeleteFunc(ids, func(id ID) bool { return id == ID{} })
	slices.SortFunc(ids, ID.Compare)
	return slices.Compact(ids)
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func itoa(i int) string { return strconv.Itoa(i) }
