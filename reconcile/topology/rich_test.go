package topology_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/topology"
	"github.com/hactl/hactl/schema"
)

// dice makes specifications with what randomSpec leaves out.
type dice struct {
	*rand.Rand
	s     *schema.Spec
	hosts []string
	pools []string
}

func (d dice) maybe(p float64) bool { return d.Float64() < p }

func pick[T any](d dice, list ...T) T { return list[d.IntN(len(list))] }

func (d dice) some(p float64) []string {
	return slices.DeleteFunc(slices.Clone(d.hosts), func(string) bool { return !d.maybe(p) })
}

// richSpec: several routers on a host, sync groups, overlapping routes in two
// networks, wildcards, paths, rules, all geo maps, records that lead on.
func richSpec(r *rand.Rand) *schema.Spec {
	d := dice{Rand: r, s: &schema.Spec{
		Stack: "rich", Hosts: map[string]schema.Host{}, VirtualRouters: map[string]schema.VirtualRouter{}, Tunnels: map[string]schema.TunnelSpec{},
		Networks: map[string]schema.Network{"n": {}, "m": {IsDefaultNetwork: r.IntN(2) == 0}}, Pools: map[string]schema.Pool{}, LoadBalancers: map[string]schema.LoadBalancer{},
		PrivateLoadBalancers: map[string]schema.PrivateLoadBalancer{}, Monitors: map[string]schema.Monitor{"m": {}}, DNSRecords: map[string]schema.DNSRecord{},
		SyncGroups: map[string]schema.SyncGroup{},
	}}
	for i := range 1 + d.IntN(4) {
		h := schema.Host{Address: fmt.Sprintf("10.0.0.%d", i+1), Maintenance: d.maybe(0.1), Labels: map[string]string{}}
		h.Site, h.Rack = pick(d, "", "x", "y"), pick(d, "", "x", "r")
		for _, label := range []string{"power", "switch"} {
			if d.maybe(0.4) {
				h.Labels[label] = pick(d, "x", "b")
			}
		}
		name := fmt.Sprint("h", i)
		d.s.Hosts[name], d.hosts = h, append(d.hosts, name)
	}
	d.routers()
	d.tunnels()
	for i := range 1 + d.IntN(4) {
		d.pools = append(d.pools, fmt.Sprint("p", i))
		d.s.Pools[d.pools[i]] = d.pool()
	}
	d.pools = append(d.pools, "id:0123456789abcdef0123456789abcdef")
	for _, hostname := range []string{"www.example.com", "*.lb.example.com"} {
		if d.maybe(0.6) {
			d.s.LoadBalancers[hostname] = schema.LoadBalancer{Zone: "example.com", Balancing: d.balancing()}
		}
	}
	if d.maybe(0.4) {
		d.s.PrivateLoadBalancers["app"] = schema.PrivateLoadBalancer{Balancing: d.balancing()}
	}
	for i := range d.IntN(5) {
		record := schema.DNSRecord{Zone: "example.com", Name: pick(d, "r0", "r1", "r2", "*.w") + ".example.com", Type: "CNAME"}
		switch {
		case d.maybe(0.3):
			record.Type, record.Content = "A", d.target("192.0.2.8")
		case d.maybe(0.3) && len(d.s.Tunnels) > 0:
			record.Tunnel = "t0"
		default:
			record.Content = pick(d, "r0.example.com", "r1.example.com", "r2.example.com", "a.w.example.com", "www.example.com", "a.lb.example.com", "t0.example.com", "b.t0.example.com", "other.example.net")
		}
		taken := false
		for _, o := range d.s.DNSRecords { // A CNAME stands alone.
			taken = taken || o.Name == record.Name && (o.Type == "CNAME" || record.Type == "CNAME") || record.Content == record.Name
		}
		if !taken {
			d.s.DNSRecords[fmt.Sprint("k", i)] = record
		}
	}
	return d.s
}

func (d dice) target(local string) string {
	switch d.IntN(6) {
	case 0:
		return fmt.Sprintf("10.0.1.%d", 1+d.IntN(3))
	case 1:
		return fmt.Sprintf("10.0.2.%d", 1+d.IntN(3)) // Excluded addresses.
	case 2:
		return fmt.Sprintf("10.0.0.%d", 1+d.IntN(4))
	case 3:
		return fmt.Sprintf("10.0.3.%d", d.IntN(4)) // Members' own addresses.
	case 4:
		return local
	}
	return "192.0.2.9"
}

func (d dice) routers() {
	for i := range d.IntN(4) {
		v := schema.VirtualRouter{
			Addresses: []string{fmt.Sprintf("10.0.1.%d/24", i+1)}, Members: map[string]schema.RouterMember{}, Version: pick(d, 2, 3),
			Interval: schema.Seconds(1), Preempt: d.maybe(0.7),
		}
		if d.maybe(0.5) {
			v.ExcludedAddresses = []string{fmt.Sprintf("10.0.2.%d/32", i+1)}
		}
		for _, h := range append(d.some(0.6), d.hosts[0]) {
			m := schema.RouterMember{Priority: pick(d, 50, 100, 100, 150, 200), Maintenance: d.maybe(0.1)}
			if d.maybe(0.2) {
				m.Address = "10.0.3." + h[1:]
			}
			if d.maybe(0.2) {
				m.Preempt = new(d.maybe(0.5))
			}
			v.Members[h] = m
		}
		d.s.VirtualRouters[fmt.Sprint("v", i)] = v
	}
	names := sorted(d.s.VirtualRouters)
	if len(names) > 1 && d.maybe(0.4) {
		d.s.SyncGroups["g"] = schema.SyncGroup{Members: names[:2+d.IntN(len(names)-1)]}
	}
}

func (d dice) tunnels() {
	routed := map[string]bool{}
	for i := range d.IntN(4) {
		t := schema.TunnelSpec{Connectors: d.some(0.5), DNS: d.maybe(0.8)}
		own := fmt.Sprintf("t%d.example.com", i)
		rules := map[string]bool{}
		for range d.IntN(5) {
			rule := schema.IngressRule{Hostname: pick(d, "www.example.com", own, own, "*."+own, "*.example.com", "a.lb.example.com", "r0.example.com"), Path: pick(d, "", "", "/api", "/b")}
			rule.Service = pick(d, "http://"+d.target("127.0.0.1"), "http://"+d.target("127.0.0.1"), "hello_world", "unix:/run/x.sock", "http_status:503")
			if !rules[rule.Key()] {
				t.Ingress = append(t.Ingress, rule)
			}
			rules[rule.Key()] = true
		}
		if d.maybe(0.4) {
			t.Ingress = append(t.Ingress, schema.IngressRule{Service: "http://" + d.target("127.0.0.1")})
		}
		for _, cidr := range []string{"10.0.0.0/8", "10.0.0.0/16", "10.0.1.0/24", "10.0.1.1/32", "0.0.0.0/0", "192.0.2.0/24"} {
			network := pick(d, "n", "m", "")
			key := network + cidr
			if network == "" && d.s.Networks["m"].IsDefaultNetwork {
				key = "m" + cidr
			}
			if d.maybe(0.2) && !routed[key] {
				routed[key] = true
				t.Routes = append(t.Routes, schema.Route{Network: network, CIDR: cidr})
			}
		}
		d.s.Tunnels[fmt.Sprint("t", i)] = t
	}
}

func (d dice) pool() schema.Pool {
	p := schema.Pool{Enabled: d.maybe(0.9), MinimumOrigins: d.IntN(5), Origins: map[string]schema.Origin{}}
	if d.maybe(0.8) {
		p.Monitor = "m"
	}
	for j := range 1 + d.IntN(4) {
		o := schema.Origin{Enabled: d.maybe(0.9), Weight: pick(d, 1, 1, 1, 0.5, 0)}
		switch k := d.IntN(4); {
		case k == 0 && len(d.s.VirtualRouters) > 0:
			o.VirtualRouter = pick(d, sorted(d.s.VirtualRouters)...)
		case k == 1 && d.maybe(0.2):
			o.Tunnel = "id:fedcba9876543210fedcba9876543210"
		case k < 3 && len(d.s.Tunnels) > 0:
			o.Tunnel = pick(d, sorted(d.s.Tunnels)...)
			if d.maybe(0.4) {
				o.Header.Host = []string{pick(d, o.Tunnel, "a."+o.Tunnel, "no") + ".example.com"}
			}
		default:
			o.Address = d.target("origin.example.net")
		}
		if o.Tunnel == "" {
			o.Network = pick(d, "", "n", "m")
		}
		p.Origins[fmt.Sprint("o", j)] = o
	}
	return p
}

func (d dice) list() []string {
	names := slices.Clone(d.pools)
	d.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	return names[:1+d.IntN(min(3, len(names)))]
}

func (d dice) geo(p float64, keys ...string) map[string][]string {
	if !d.maybe(p) {
		return nil
	}
	m := map[string][]string{}
	for _, k := range keys {
		m[k] = d.list()
	}
	return m
}

func (d dice) weights() map[string]float64 {
	if d.maybe(0.5) {
		return nil
	}
	return map[string]float64{pick(d, d.pools...): pick(d, 0, 0.5)}
}

var policies = []string{"", "", "", "off", "geo", "geo", "random", "dynamic_latency", "proximity", "least_outstanding_requests", "least_connections"}

func (d dice) balancing() schema.Balancing {
	l := schema.Balancing{
		Enabled: d.maybe(0.95), DefaultPools: d.list(), FallbackPool: d.list()[0], SteeringPolicy: pick(d, policies...),
		RegionPools: d.geo(0.3, "WEU", "EEU"), CountryPools: d.geo(0.3, "JP"), PopPools: d.geo(0.2, "NRT"),
		RandomSteering: schema.RandomSteering{DefaultWeight: pick(d, 1., 1, 0), PoolWeights: d.weights()},
	}
	for i := range d.IntN(4) {
		rule := schema.Rule{Name: fmt.Sprint("r", i), Condition: "x", Disabled: d.maybe(0.2)}
		if d.maybe(0.2) {
			rule.FixedResponse = &schema.FixedResponse{StatusCode: 503}
		} else {
			rule.Overrides = d.overrides()
		}
		l.Rules = append(l.Rules, rule)
	}
	return l
}

func (d dice) overrides() *schema.Overrides {
	o := &schema.Overrides{RegionPools: d.geo(0.2, "WEU", "ME"), CountryPools: d.geo(0.2, "JP", "DE"), PopPools: d.geo(0.1, "NRT")}
	if d.maybe(0.4) {
		o.DefaultPools = d.list()
	}
	if d.maybe(0.2) {
		o.Pools = d.list()
	}
	if d.maybe(0.3) {
		o.FallbackPool = d.list()[0]
	}
	if d.maybe(0.3) {
		o.SteeringPolicy = pick(d, policies...)
	}
	if d.maybe(0.2) {
		o.RandomSteering = &schema.RandomSteering{DefaultWeight: 1, PoolWeights: d.weights()}
	} else if d.maybe(0.2) {
		o.PoolWeights, o.PoolDefaultWeight = d.weights(), new(pick(d, 0., 1.))
	}
	return o
}

// TestTheOracleAgrees: who answers, in which pools, whatever has failed, as
// specified and as things are now.
func TestTheOracleAgrees(t *testing.T) {
	seeds := 3000
	if testing.Short() {
		seeds = 300
	}
	served, asked := 0, 0
	for seed := range uint64(seeds) {
		r := rand.New(rand.NewPCG(seed, 23))
		s := richSpec(r)
		m := topology.New(s)
		o := oracle{s: s, dead: map[string]bool{}}
		if r.IntN(2) == 0 {
			o.now = randomLive(r, s)
			m = m.Live(o.now)
			for _, c := range m.Present().Down {
				o.dead[c.String()] = true
			}
		}
		for _, n := range []int{0, 1, 2, 4} {
			dead := maps.Clone(o.dead)
			var failed []topology.Component
			for range n {
				c := pick(dice{Rand: r}, m.Components()...)
				failed = append(failed, c)
				dead[c.String()] = true
			}
			x := oracle{s, dead, o.now}
			for _, e := range m.WhatIf(failed, "").Entries {
				want := x.entry(&e.Entry)
				got := e.After
				asked++
				if want == nil {
					if got.Served {
						t.Errorf("seed %d, %s without %v: nobody answers, the model says %+v", seed, e.ID(), failed, got)
					}
					continue
				}
				served++
				var names []string
				for _, c := range got.By {
					names = append(names, c.String())
				}
				slices.Sort(names)
				if !got.Served || got.Fallback != want.fallback || !slices.Equal(names, sorted(want.by)) || !slices.Equal(got.Pools, want.pools) {
					t.Errorf("seed %d, %s without %v: %+v answers, the model says %+v", seed, e.ID(), failed, want, got)
				}
			}
		}
	}
	t.Logf("seeds 0 to %d of PCG 23: %d of %d requests were answered", seeds-1, served, asked)
}

// TestTheOracleAgreesOnCuts: every one and every two components that cut an
// entry off are found, shown or implied, and the graph is closed.
func TestTheOracleAgreesOnCuts(t *testing.T) {
	seeds := 400
	if testing.Short() {
		seeds = 60
	}
	cuts := 0
	for seed := range uint64(seeds) {
		r := rand.New(rand.NewPCG(seed, 29))
		s := richSpec(r)
		m := topology.New(s)
		all := m.Components()
		report := m.Spof(2)
		for i, e := range m.Entries() {
			served := func(dead ...topology.Component) bool {
				return oracle{s: s, dead: without(nil, dead)}.entry(e) != nil
			}
			got := map[string]bool{}
			for _, c := range m.Cuts(e, 2) {
				got[fmt.Sprint(c)] = true
			}
			cuts += len(got)
			for _, c := range report.Entries[i].Cuts {
				if served(c.Components...) || c.Repair == "" {
					t.Errorf("seed %d, %s: %v, repair %q", seed, e.ID(), c.Components, c.Repair)
				}
			}
			if !served() {
				if len(got) > 0 || report.Entries[i].Why == "" {
					t.Errorf("seed %d, %s: nobody serves it, and %v, %q", seed, e.ID(), got, report.Entries[i].Why)
				}
				continue
			}
			want := map[string]bool{}
			for j, a := range all {
				if !served(a) {
					want[fmt.Sprint([]topology.Component{a})] = true
					continue
				}
				for _, b := range all[j+1:] {
					if served(b) && !served(a, b) {
						want[fmt.Sprint([]topology.Component{a, b})] = true
					}
				}
			}
			if !maps.Equal(got, want) {
				t.Errorf("seed %d, %s: cuts %v, want %v", seed, e.ID(), sorted(got), sorted(want))
			}
		}
		nodes := map[string]bool{}
		g := m.Graph()
		for _, n := range g.Nodes {
			nodes[n.ID] = true
		}
		for _, e := range g.Edges {
			if !nodes[e.From] || !nodes[e.To] {
				t.Errorf("seed %d: an edge leads from or to nothing: %+v", seed, e)
			}
		}
	}
	t.Logf("seeds 0 to %d of PCG 29: %d cuts", seeds-1, cuts)
}

// TestTheOracleAgreesOnLosses: what was answered and is not, in the same scope,
// is said of its object, whatever else changes.
func TestTheOracleAgreesOnLosses(t *testing.T) {
	lost := 0
	for seed := range uint64(1500) {
		r := rand.New(rand.NewPCG(seed, 37))
		before, after := richSpec(r), richSpec(r)
		if seed%2 == 0 { // The same but for its pools and hosts.
			x := *before
			x.Pools, x.Hosts = maps.Clone(before.Pools), maps.Clone(before.Hosts)
			maps.Copy(x.Pools, after.Pools)
			maps.Copy(x.Hosts, after.Hosts)
			after = &x
		}
		said := map[string]bool{}
		for _, f := range topology.Compare(before, after) {
			if f.Kind == reconcile.Unserved || f.Kind == reconcile.Closed {
				said[f.ID.String()] = true
			}
		}
		then := map[string]*topology.Entry{}
		for _, e := range topology.New(after).Entries() {
			then[e.ID()] = e
		}
		for _, e := range topology.New(before).Entries() {
			x := then[e.ID()]
			if e.Kind == "virtualRouter" || x == nil || (oracle{s: before}).entry(e) == nil || (oracle{s: after}).entry(x) != nil {
				continue
			}
			lost++
			if id := strings.Replace(e.Kind, "hostname", "dnsRecord", 1) + "/" + e.Name; !said[id] {
				t.Errorf("seed %d: %s is lost, and nobody says so", seed, e.ID())
			}
		}
	}
	t.Logf("%d entries were lost", lost)
	if lost < 300 {
		t.Error("hardly anything is lost")
	}
}
