package topology_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/topology"
	"github.com/hactl/hactl/schema"
)

// large is a specification of about that many objects at Cloudflare: sites
// with two hosts, a router, a tunnel and its hostname each, and balancers over
// three pools of neighbouring sites.
func large(objects int) *schema.Spec {
	s := &schema.Spec{
		Stack: "large", Hosts: map[string]schema.Host{}, VirtualRouters: map[string]schema.VirtualRouter{}, Tunnels: map[string]schema.TunnelSpec{},
		Networks: map[string]schema.Network{"n": {}}, Pools: map[string]schema.Pool{}, LoadBalancers: map[string]schema.LoadBalancer{},
		Monitors: map[string]schema.Monitor{"m": {Interval: schema.Seconds(60), Timeout: schema.Seconds(5), Retries: 2}},
	}
	const perSite = 6 // A tunnel, its configuration, its route, its record, a pool, a balancer.
	sites := objects / perSite
	for i := range sites {
		a, b, site := fmt.Sprintf("a%d", i), fmt.Sprintf("b%d", i), fmt.Sprintf("s%d", i/2)
		s.Hosts[a] = schema.Host{Address: fmt.Sprintf("10.%d.%d.1", i/250, i%250), Site: site, Rack: site + "a"}
		s.Hosts[b] = schema.Host{Address: fmt.Sprintf("10.%d.%d.2", i/250, i%250), Site: site, Rack: site + "b"}
		vip := fmt.Sprintf("10.%d.%d.100", i/250, i%250)
		router, tunnel, pool := fmt.Sprint("v", i), fmt.Sprint("t", i), fmt.Sprint("p", i)
		s.VirtualRouters[router] = schema.VirtualRouter{
			Addresses: []string{vip + "/24"}, Interval: schema.Seconds(1), Version: 3,
			Members: map[string]schema.RouterMember{a: {Priority: 150}, b: {Priority: 100}},
		}
		s.Tunnels[tunnel] = schema.TunnelSpec{
			Connectors: []string{a, b}, DNS: true, Routes: []schema.Route{{Network: "n", CIDR: fmt.Sprintf("10.%d.%d.0/24", i/250, i%250)}},
			Ingress: []schema.IngressRule{{Hostname: fmt.Sprintf("t%d.example.com", i), Service: "http://" + vip}},
		}
		origin := func(o schema.Origin) schema.Origin { o.Enabled, o.Weight = true, 1; return o }
		viaTunnel := origin(schema.Origin{Tunnel: tunnel})
		viaTunnel.Header.Host = []string{fmt.Sprintf("t%d.example.com", i)}
		s.Pools[pool] = schema.Pool{Enabled: true, Monitor: "m", MinimumOrigins: 1, Origins: map[string]schema.Origin{
			"tunnel": viaTunnel, "vip": origin(schema.Origin{VirtualRouter: router, Network: "n"}),
		}}
		next := fmt.Sprint("p", (i+1)%sites)
		s.LoadBalancers[fmt.Sprintf("w%d.example.com", i)] = schema.LoadBalancer{Zone: "example.com", Balancing: schema.Balancing{
			Enabled: true, DefaultPools: []string{pool, next}, FallbackPool: next, RandomSteering: schema.RandomSteering{DefaultWeight: 1},
		}}
	}
	return s
}

// BenchmarkSpof reports each depth as a share of its limit, the model and the
// repairs included.
func BenchmarkSpof(b *testing.B) {
	s := large(2000)
	b.Logf("%d objects", len(s.Objects()))
	for depth, limit := range map[int]time.Duration{1: 100 * time.Millisecond, 2: 2 * time.Second} {
		b.Run(fmt.Sprint("depth", depth), func(b *testing.B) {
			for b.Loop() {
				topology.New(s).Spof(depth)
			}
			b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(limit), "of-limit")
		})
	}
}

// BenchmarkSpofOfManyPairs is the other extreme: two pools that need each of
// their 500 origins, so that a quarter of a million pairs cut the balancer off.
func BenchmarkSpofOfManyPairs(b *testing.B) {
	s := large(60)
	var names []string
	for i := range 2 {
		p := schema.Pool{Enabled: true, Monitor: "m", MinimumOrigins: 500, Origins: map[string]schema.Origin{}}
		for j := range 500 {
			p.Origins[fmt.Sprint("o", j)] = schema.Origin{Enabled: true, Weight: 1, Address: fmt.Sprintf("192.0.%d.%d", 2*i+j/250, j%250)}
		}
		name := fmt.Sprint("wide", i)
		s.Pools[name] = p
		names = append(names, name)
	}
	s.Pools["none"] = schema.Pool{Monitor: "m"}
	s.LoadBalancers["wide.example.com"] = schema.LoadBalancer{Zone: "example.com", Balancing: schema.Balancing{Enabled: true, DefaultPools: names, FallbackPool: "none"}}
	for b.Loop() {
		topology.New(s).Spof(2)
	}
	b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(2*time.Second), "of-limit")
}

// BenchmarkSpofLive is BenchmarkSpof where one tunnel in ten has lost a
// connector, and one pool in ten an origin.
func BenchmarkSpofLive(b *testing.B) {
	s := large(2000)
	h := &reconcile.Health{Tunnels: map[string]reconcile.TunnelHealth{}, Pools: map[string]reconcile.PoolHealth{}}
	for i := range len(s.Tunnels) {
		connected := []reconcile.ConnectorHealth{{Address: s.Hosts[fmt.Sprint("a", i)].Address}, {Address: s.Hosts[fmt.Sprint("b", i)].Address}}
		h.Tunnels[fmt.Sprint("t", i)] = reconcile.TunnelHealth{Status: "healthy", Connectors: connected[min(1, (i+9)%10/9):]}
		h.Pools[fmt.Sprint("p", i)] = reconcile.PoolHealth{Healthy: true, Origins: map[string]reconcile.OriginHealth{"vip": {Healthy: i%10 != 5}}}
	}
	m := topology.New(s)
	for b.Loop() {
		r := m.Live(topology.Live{Health: h}).Spof(1)
		if n := len(r.Present.Down); n < len(s.Tunnels)/6 {
			b.Fatalf("%d are down", n)
		}
	}
	b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(100*time.Millisecond), "of-limit")
}

func BenchmarkWhatIf(b *testing.B) {
	m := topology.New(large(2000))
	failed := []topology.Component{{Kind: "site", Name: "s3"}, {Kind: "pool", Name: "p9"}}
	for b.Loop() {
		m.WhatIf(failed, "")
	}
}
