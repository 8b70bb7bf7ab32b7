package topology_test

import (
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hactl/hactl/reconcile/topology"
	"github.com/hactl/hactl/schema"
)

// repairs are the forms that name everything they need, and what each does to a
// specification for the entry that it is proposed for.
var repairs = []struct {
	form *regexp.Regexp
	make func(s *schema.Spec, e *topology.Entry, x []string)
}{
	{regexp.MustCompile(`^add a connector on (h\d) to tunnel (\w+)$`), func(s *schema.Spec, _ *topology.Entry, x []string) { connect(s, x[1], x[2]) }},
	{regexp.MustCompile(`^add a member on (h\d) to virtualRouter (\w+)$`), func(s *schema.Spec, _ *topology.Entry, x []string) { enlist(s, x[1], x[2]) }},
	{regexp.MustCompile(`^add on (h\d) (.*)$`), func(s *schema.Spec, _ *topology.Entry, x []string) {
		for _, part := range strings.Split(x[2], " and ") {
			words := strings.Fields(part)
			if name := words[len(words)-1]; strings.HasPrefix(part, "a member") {
				enlist(s, x[1], name)
			} else {
				connect(s, x[1], name)
			}
		}
	}},
	{regexp.MustCompile(`^end the maintenance of host/(h\d)$`), func(s *schema.Spec, _ *topology.Entry, x []string) {
		h := s.Hosts[x[1]]
		h.Maintenance = false
		s.Hosts[x[1]] = h
	}},
	{regexp.MustCompile(`^pool (\w+) is not in (\S+): add it$`), func(s *schema.Spec, e *topology.Entry, x []string) { list(s, e, x[2], x[1]) }},
	{regexp.MustCompile(`^lower minimumOrigins of pool (\w+),`), func(s *schema.Spec, _ *topology.Entry, x []string) {
		p := s.Pools[x[1]]
		p.MinimumOrigins = 1
		s.Pools[x[1]] = p
	}},
	{regexp.MustCompile(`^give pool (\w+) a monitor`), func(s *schema.Spec, _ *topology.Entry, x []string) {
		p := s.Pools[x[1]]
		p.Monitor = "m"
		s.Pools[x[1]] = p
	}},
	{regexp.MustCompile(`^enable pool (\w+)(?: and add it to (\S+))?$`), func(s *schema.Spec, e *topology.Entry, x []string) {
		p := s.Pools[x[1]]
		p.Enabled = true
		s.Pools[x[1]] = p
		if x[2] != "" {
			list(s, e, x[2], x[1])
		}
	}},
	{regexp.MustCompile(`^enable origin (\w+) of pool (\w+)$`), func(s *schema.Spec, _ *topology.Entry, x []string) {
		p := s.Pools[x[2]]
		p.Origins = maps.Clone(p.Origins)
		o := p.Origins[x[1]]
		o.Enabled = true
		p.Origins[x[1]] = o
		s.Pools[x[2]] = p
	}},
}

func connect(s *schema.Spec, host, tunnel string) {
	t := s.Tunnels[tunnel]
	t.Connectors = append(slices.Clone(t.Connectors), host)
	s.Tunnels[tunnel] = t
}

func enlist(s *schema.Spec, host, router string) {
	v := s.VirtualRouters[router]
	v.Members = maps.Clone(v.Members)
	v.Members[host] = schema.RouterMember{Priority: 1}
	s.VirtualRouters[router] = v
}

// list adds a pool to the list of a balancer that an entry comes from.
func list(s *schema.Spec, e *topology.Entry, field, pool string) {
	add := func(b *schema.Balancing) {
		what, key, _ := strings.Cut(field, ".")
		switch what {
		case "defaultPools":
			b.DefaultPools = append(slices.Clone(b.DefaultPools), pool)
		case "regionPools":
			b.RegionPools = maps.Clone(b.RegionPools)
			b.RegionPools[key] = append(slices.Clone(b.RegionPools[key]), pool)
		case "countryPools":
			b.CountryPools = maps.Clone(b.CountryPools)
			b.CountryPools[key] = append(slices.Clone(b.CountryPools[key]), pool)
		case "popPools":
			b.PopPools = maps.Clone(b.PopPools)
			b.PopPools[key] = append(slices.Clone(b.PopPools[key]), pool)
		}
	}
	if l, ok := s.LoadBalancers[e.Name]; ok && e.Kind == "loadBalancer" {
		add(&l.Balancing)
		s.LoadBalancers[e.Name] = l
	} else if l, ok := s.PrivateLoadBalancers[e.Name]; ok {
		add(&l.Balancing)
		s.PrivateLoadBalancers[e.Name] = l
	}
}

// TestRepairsRepair does what is proposed, and lets the same fail again.
func TestRepairsRepair(t *testing.T) {
	tried, seeds := map[int]int{}, 1500
	if testing.Short() {
		seeds = 200
	}
	for seed := range uint64(2 * seeds) {
		s, rich := randomSpec(rand.New(rand.NewPCG(seed, 8))), seed >= uint64(seeds)
		if rich {
			s = richSpec(rand.New(rand.NewPCG(seed, 8)))
		}
		for name, v := range s.VirtualRouters { // So that every host can be a member.
			v.Addresses = []string{strings.Replace(v.Addresses[0], "/24", "/8", 1)}
			s.VirtualRouters[name] = v
		}
		m := topology.New(s)
		r := m.Spof(2)
		for i, e := range m.Entries() {
			for _, c := range r.Entries[i].Cuts {
				for n, repair := range repairs {
					x := repair.form.FindStringSubmatch(c.Repair)
					if x == nil || strings.Contains(c.Repair, " of rule ") {
						continue
					}
					tried[n]++
					repaired := *s
					repaired.Hosts = maps.Clone(s.Hosts)
					repaired.Tunnels, repaired.VirtualRouters, repaired.Pools = maps.Clone(s.Tunnels), maps.Clone(s.VirtualRouters), maps.Clone(s.Pools)
					repaired.LoadBalancers, repaired.PrivateLoadBalancers = maps.Clone(s.LoadBalancers), maps.Clone(s.PrivateLoadBalancers)
					repair.make(&repaired, e, x)
					dead := map[string]bool{}
					for _, failed := range c.Components {
						dead[failed.String()] = true
					}
					served := func() bool { return walker{&repaired, dead}.served(e.Kind, e.Name, e.Scope) }
					if rich {
						served = func() bool { return oracle{s: &repaired, dead: dead}.entry(e) != nil }
					}
					if !served() {
						t.Errorf("seed %d, %s without %v: %q does not help", seed, e.ID(), c.Components, c.Repair)
					}
				}
			}
		}
	}
	for n, repair := range repairs {
		if tried[n] < 3 && !testing.Short() {
			t.Errorf("%q was tried %d times", repair.form, tried[n])
		}
	}
	t.Log("tried:", tried)
}

// TestRepairOfAPathNamesItsHostname: a balancer is of a hostname, not of a path.
func TestRepairOfAPathNamesItsHostname(t *testing.T) {
	for _, e := range topology.New(example(t, "tunnel-replicas", "")).Spof(1).Entries {
		if e.Entry.Name != "www.example.com^/api/" {
			continue
		}
		if got, want := e.Cuts[0].Repair, "put a load balancer on www.example.com, with a second pool that does without tunnel/web"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
		return
	}
	t.Error("no entry point of a path")
}

// TestARepairIsOutsideTheLabelThatFailed: a further host on the same site is
// none.
func TestARepairIsOutsideTheLabelThatFailed(t *testing.T) {
	const pair = `
stack: "home"
hosts: {a: {address: "192.168.0.41", site: "x"}, b: {address: "192.168.0.42", site: "x"}}
virtualRouters: web: {vrid: 50, interface: "eth0", addresses: ["192.168.0.40/24"], members: {a: {}, b: {}}}
tunnels: home: {connectors: ["a", "b"], ingress: [{hostname: "www.example.com", service: "http://`
	for _, c := range []struct{ service, want string }{
		{"127.0.0.1", "add a connector on a host outside site/x to tunnel home"},
		{"192.168.0.40", "add on a host outside site/x a connector to tunnel home and a member to virtualRouter web"},
	} {
		e := topology.New(specOf(t, pair+c.service+`"}]}`)).Spof(1).Entries[0]
		if len(e.Cuts) == 0 || e.Cuts[0].Components[0].String() != "site/x" || e.Cuts[0].Repair != c.want {
			t.Errorf("%s: %+v, want %q", c.service, e.Cuts, c.want)
		}
	}
}

// TestRecordsInACircleLeadNowhere says so.
func TestRecordsInACircleLeadNowhere(t *testing.T) {
	m := topology.New(specOf(t, `
stack: "home"
dnsRecords: a: {zone: "example.com", name: "a", type: "CNAME", content: "b.example.com"}
dnsRecords: b: {zone: "example.com", name: "b", type: "CNAME", content: "a.example.com"}
`))
	for _, e := range m.Spof(1).Entries {
		if e.Served || e.Why != "its records lead round in a circle" {
			t.Errorf("%s: served %t, %q", e.ID(), e.Served, e.Why)
		}
	}
}

// TestWhyABalancerHasNobody names what is out of each pool.
func TestWhyABalancerHasNobody(t *testing.T) {
	m := topology.New(specOf(t, `
stack: "home"
monitors: web: {}
pools: a: {monitor: "web", enabled: false, origins: o: address: "192.0.2.1"}
pools: b: {monitor: "web", origins: o: {address: "192.0.2.2", weight: 0}}
loadBalancers: "www.example.com": {zone: "example.com", defaultPools: ["a"], fallbackPool: "a", steeringPolicy: "geo", regionPools: WEU: ["b"], rules: [{name: "r", overrides: {steeringPolicy: "random", pools: ["c"], poolWeights: c: 0}}]}
pools: c: {monitor: "web", origins: o: address: "192.0.2.3"}
`))
	for scope, want := range map[string]string{
		"region WEU": "pool a is disabled, pool b has no origin that is enabled",
		"elsewhere":  "pool a is disabled",
		"rule r":     "pool a is disabled, pool c has weight 0",
	} {
		for _, e := range m.Spof(1).Entries {
			if e.Scope == scope && (e.Served || e.Why != want) {
				t.Errorf("%s: served %t, %q, want %q", scope, e.Served, e.Why, want)
			}
		}
	}
}

// TestAHostByItsName: a service behind a tunnel, or an origin, is on the host that the
// specification has by that name, and fails with its site.
func TestAHostByItsName(t *testing.T) {
	m := topology.New(specOf(t, `
stack: "home"
hosts: {lb01: {address: "192.168.0.41", site: "x"}, lb02: {address: "192.168.0.42", site: "y"}, app: address: "192.168.0.50"}
tunnels: home: {connectors: ["lb01", "lb02"], ingress: [
	{hostname: "a.example.com", service: "http://App:8080"},
	{hostname: "b.example.com", service: "http://elsewhere:8080"},
]}
`))
	for i, want := range []string{"host/app", "address/elsewhere"} {
		if cuts := m.Spof(1).Entries[i].Cuts; !slices.ContainsFunc(cuts, func(c topology.Cut) bool { return c.Components[0].String() == want }) {
			t.Errorf("%s is not among %+v", want, cuts)
		}
	}
}

// TestMaintenancePassesAPoolOver: it disables the origins of a pool, so that one
// without a monitor does not hide those behind it.
func TestMaintenancePassesAPoolOver(t *testing.T) {
	m := topology.New(specOf(t, `
stack: "home"
hosts: lb01: {address: "192.0.2.41", maintenance: true}
pools: a: origins: o: address: "192.0.2.41"
pools: b: origins: o: address: "192.0.2.9"
loadBalancers: "www.example.com": {zone: "example.com", defaultPools: ["a", "b"], fallbackPool: "a"}`))
	e := m.WhatIf(nil, "").Entries[0]
	if !e.Before.Served || !slices.Equal(e.Before.Pools, []string{"b"}) {
		t.Errorf("%+v", e.Before)
	}
	cuts := m.Spof(1).Entries[0].Cuts
	if len(cuts) != 1 || cuts[0].Repair != "end the maintenance of host/lb01" {
		t.Errorf("%+v", cuts)
	}
}
