package topology

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/hactl/hactl/schema"
)

// Model is a specification as a function of what has failed. It is immutable
// once made and may be used by several goroutines.
type Model struct {
	spec       *schema.Spec
	circuit    circuit
	components []Component         // sorted
	index      map[Component]int32 // the leaf of each component
	byLeaf     map[int32]Component
	function   map[Component]int32 // the gate that says whether it serves
	entries    []*Entry
	pools      []*pool
	poolBy     map[poolKey]*pool
	routers    map[string]*router
	hosts      map[string]map[string]string // labels by host
	labels     map[string][]int32           // and their leaves
	members    map[Component][]string       // hosts by label
	connects   map[string]bool              // hosts with a connector
	byFunction map[int32][]Component        // the inverse of function
	now        *present                     // nil without live state
	down       []Component                  // have failed now, sorted
	well       *Model                       // the same without, then
}

// Entry is a name or address that requests are sent to.
type Entry struct {
	// Kind is "loadBalancer", "privateLoadBalancer", "hostname" (of an ingress
	// rule), "dnsRecord", "route" (a private network) or "virtualRouter".
	Kind string `json:"kind"`
	// Name is a hostname, the name of a balancer or router, or a route's.
	Name string `json:"name"`
	// Scope narrows it: "region WEU", "country JP", "pop NRT", "elsewhere",
	// or "rule NAME"; empty for all requests.
	Scope string `json:"scope,omitempty"`
	// HighAvailability is what the specification says of it.
	HighAvailability bool `json:"highAvailability,omitempty"`

	gate int32
	// Exactly one of these is where requests go: an ordered or unordered list
	// of pools, or ends of which any will do.
	balanced  bool
	ordered   bool
	pools     []*pool
	fallback  *pool
	ends      []end
	why       string // nobody serves it whatever is up
	off       bool   // it is disabled itself
	hostname  string // what clients ask for, where Name has the path of an ingress rule behind it
	affinity  bool
	dnsTTL    schema.Duration // clients keep a DNS answer that long; 0 when proxied
	listed    []string        // the names of its pools, usable or not
	last      string          // the name of its fallback pool
	weigh     func(pool string) float64
	geoMap    string // one of geoMaps, or empty
	regionKey string // its key there
	rule      string // the part of Scope that is a rule's
	field     string // where the specification lists its pools
}

// ID prints "loadBalancer/www.example.com", and its scope in brackets.
func (e *Entry) ID() string {
	id := e.Kind + "/" + e.Name
	if e.Scope != "" {
		id += " [" + e.Scope + "]"
	}
	return id
}

// pool is a pool as the requests of one hostname meet it.
type pool struct {
	name             string
	host             string // whose requests these are, where that matters
	disabled         bool
	byHost           bool // it depends on the hostname
	foreign          bool
	monitored        bool
	drained          bool // nothing watches it, and maintenance has all of its origins disabled
	need             int
	healthy, answers int32
	origins          []origin
	// off are the origins that are disabled, spare those of a disabled pool.
	off, spare []origin
}

type origin struct {
	name string
	gate int32
	end  end
}

// end is the last part of a path: through a tunnel, if any, to a Virtual
// Router, a host, an address, or the connector's own host (local).
type end struct {
	tunnel  string
	router  string
	host    string
	address string
	// balancer is the public load balancer that a CNAME leads to, as requests
	// meet it that have another Host.
	balancer *Entry
	local    bool
	why      string // it leads nowhere
	gate     int32
}

type router struct {
	name    string
	gate    int32
	members []member // who may become Active, the most preferred first
	active  []string // hosts that are now, as far as it is known
	out     []string // hosts that cannot be Active now, though they are in service
}

type member struct {
	host     string
	priority int
	gate     int32
}

// New builds the model of a specification that is valid. References that lead
// nowhere are components of their own.
func New(s *schema.Spec) *Model { m, _ := build(s, nil, false, true); return m }

// build makes a model, with live state or without, drawn with its graph, spare
// with the pools that nobody uses.
func build(s *schema.Spec, now *present, drawn, spare bool) (*Model, *Graph) {
	b := newBuilder(s)
	b.now, b.plain = now, !drawn
	for _, name := range sortedKeys(s.Hosts) {
		b.host(name)
	}
	for _, name := range sortedKeys(s.Tunnels) {
		b.tunnel(name)
	}
	b.routerEntries()
	b.balancerEntries()
	if spare {
		b.sparePools()
	}
	b.nameEntries()
	b.routeEntries()
	b.settle()
	b.invert()
	if !drawn {
		return b.Model, nil
	}
	return b.Model, b.finishGraph()
}

func (b *builder) invert() {
	b.connects = map[string]bool{}
	for _, t := range b.spec.Tunnels {
		for _, host := range t.Connectors {
			b.connects[host] = true
		}
	}
	b.poolBy = make(map[poolKey]*pool, len(b.Model.pools))
	for _, p := range b.Model.pools {
		b.poolBy[poolKey{p.name, p.host}] = p
	}
	b.members, b.byFunction = map[Component][]string{}, map[int32][]Component{}
	for c, g := range b.function {
		b.byFunction[g] = append(b.byFunction[g], c)
	}
	b.labels = make(map[string][]int32, len(b.hosts))
	for _, host := range sortedKeys(b.hosts) {
		for label, value := range b.hosts[host] {
			c := Component{label, value}
			b.Model.members[c] = append(b.Model.members[c], host)
			b.labels[host] = append(b.labels[host], b.index[c])
		}
	}
	b.components = slices.SortedFunc(maps.Keys(b.index), Component.Compare)
}

// Entries are the entry points, sorted by kind as they are met from outside,
// then by name and scope.
func (m *Model) Entries() []*Entry { return m.entries }

// Components are all that can fail, sorted.
func (m *Model) Components() []Component {
	return slices.Clone(m.components)
}

// Served tells whether requests to the entry are answered while these have
// failed. Components that the model does not have change nothing.
func (m *Model) Served(e *Entry, failed ...Component) bool {
	s := m.circuit.state()
	m.fail(s, failed)
	return s.up(e.gate)
}

func (m *Model) fail(s *state, failed []Component) {
	for _, c := range failed {
		if leaf, ok := m.index[c]; ok {
			s.fail(leaf)
		}
	}
}

// Cuts returns the minimal sets of up to depth (1 or 2) components whose
// failure cuts the entry off, each sorted. None where nobody serves it anyway.
func (m *Model) Cuts(e *Entry, depth int) [][]Component {
	f := m.analysis(depth).family(e.gate)
	var sets [][]Component
	for _, x := range f.ones {
		sets = append(sets, []Component{m.byLeaf[x]})
	}
	for _, p := range f.twos {
		set := []Component{m.byLeaf[p.a], m.byLeaf[p.b]}
		slices.SortFunc(set, Component.Compare)
		sets = append(sets, set)
	}
	slices.SortFunc(sets, compareSets)
	return sets
}

func compareSets(a, b []Component) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), slices.CompareFunc(a, b, Component.Compare))
}

func (m *Model) analysis(depth int) *analysis {
	a := &analysis{c: &m.circuit, depth: depth, known: make([]*family, len(m.circuit.gates)), leaf: make([]bool, len(m.circuit.gates))}
	for _, leaf := range m.index {
		a.leaf[leaf] = true
	}
	return a
}

// byChange tells whether a component fails only by a change: it is an object
// of the specification, not a machine.
func (m *Model) byChange(c Component) bool {
	_, foreign := schema.ForeignHandle(c.Name)
	switch c.Kind {
	case KindTunnel:
		t, ours := m.spec.Tunnels[c.Name]
		return ours && len(t.Connectors) > 0
	case KindPool:
		return !foreign
	case KindOrigin, KindVirtualRouter:
		return true
	}
	return false
}

var entryOrder = []string{"loadBalancer", "hostname", "dnsRecord", "privateLoadBalancer", "route", "virtualRouter"}

func compareEntries(a, b *Entry) int {
	scope := func(s string) int { // Everywhere else comes last.
		if s == elsewhere {
			return 1
		}
		return 0
	}
	return cmp.Or(
		cmp.Compare(slices.Index(entryOrder, a.Kind), slices.Index(entryOrder, b.Kind)),
		strings.Compare(a.Name, b.Name), cmp.Compare(scope(a.Scope), scope(b.Scope)), strings.Compare(a.Scope, b.Scope))
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
