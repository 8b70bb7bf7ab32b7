package cloudflare_test

import (
	"time"

	"github.com/hactl/hactl/schema"
)

func seconds(n int) schema.Duration { return schema.Duration(time.Duration(n) * time.Second) }

func origin(set func(*schema.Origin)) schema.Origin {
	o := schema.Origin{}.Defaults().(schema.Origin)
	set(&o)
	return o
}

func monitor(set func(*schema.Monitor)) schema.Monitor {
	m := schema.Monitor{}.Blank().(schema.Monitor)
	m.Method, m.Path, m.ExpectedCodes = "", "", ""
	set(&m)
	return m
}

func pool(set func(*schema.Pool)) schema.Pool {
	p := schema.Pool{}.Blank().(schema.Pool)
	set(&p)
	return p
}

func balancing(set func(*schema.Balancing)) schema.Balancing {
	b := schema.LoadBalancer{}.Blank().(schema.LoadBalancer).Balancing
	b.Proxied, b.SteeringPolicy = nil, ""
	set(&b)
	return b
}

// full is a specification in which every kind has most of its fields set.
func full() *schema.Spec {
	return &schema.Spec{
		Stack: "test", Plan: "enterprise",
		VirtualRouters: map[string]schema.VirtualRouter{
			"web": {VRID: 50, Interface: "eth0", Addresses: []string{"10.0.0.40/24"}},
		},
		Networks: map[string]schema.Network{"lan": {Comment: "behind the router"}, "lab": {}},
		Tunnels: map[string]schema.TunnelSpec{
			"home": {
				DNS:           true,
				OriginRequest: &schema.OriginRequest{ConnectTimeout: new(seconds(30)), NoTLSVerify: new(true)},
				Ingress: []schema.IngressRule{
					{Hostname: "www.example.com", Service: "https://10.0.0.40"},
					{Hostname: "api.example.com", Path: "^/v1", Service: "http://10.0.0.40:8080", OriginRequest: &schema.OriginRequest{
						ConnectTimeout: new(seconds(10)), HTTPHostHeader: new("api.internal"),
						Access: &schema.Access{Required: true, TeamName: "team", AudTag: []string{"b", "a"}},
					}},
				},
				Routes: []schema.Route{{Network: "lan", CIDR: "10.0.0.0/24", Comment: "servers"}, {CIDR: "10.1.0.0/16"}},
			},
			"away": {DNS: true, Routes: []schema.Route{{Network: "lab", CIDR: "10.0.0.0/24"}}},
		},
		Monitors: map[string]schema.Monitor{
			"web": monitor(func(m *schema.Monitor) {
				m.Type, m.Path, m.Header = "https", "/healthz", map[string][]string{"Host": {"www.example.com"}}
				m.ConsecutiveUp, m.ExpectedCodes, m.Description = 2, "2xx", "of the shop"
			}),
			"tcp": monitor(func(m *schema.Monitor) { m.Type, m.Port, m.Interval = "tcp", 5432, seconds(30) }),
		},
		Pools: map[string]schema.Pool{
			"home": pool(func(p *schema.Pool) {
				p.Monitor, p.Description = "web", "the house"
				p.Origins = map[string]schema.Origin{
					"tunnel": origin(func(o *schema.Origin) { o.Tunnel, o.Weight = "home", 0.5 }),
					"plain":  origin(func(o *schema.Origin) { o.Address, o.Header.Host = "203.0.113.7", []string{"www.example.com"} }),
				}
			}),
			"cloud": pool(func(p *schema.Pool) {
				p.Monitor, p.Latitude, p.Longitude = "web", new(35.68), new(139.69)
				p.CheckRegions, p.HealthSources = []string{"NEAS", "SEAS"}, []string{"regional", "global"}
				p.LoadShedding.DefaultPercent = 10
				p.NotificationEmail = "ops@example.com"
				p.NotificationFilter = &schema.NotificationFilter{Pool: &schema.FilterOptions{Healthy: new(false)}}
				p.OriginSteering.Policy = "least_connections"
				p.Origins = map[string]schema.Origin{
					"a": origin(func(o *schema.Origin) { o.Address, o.Port = "a.example.net", 8443 }),
					"b": origin(func(o *schema.Origin) { o.Address, o.Enabled = "2001:db8::0:2", false }),
				}
			}),
			"private": pool(func(p *schema.Pool) {
				p.Monitor, p.OriginSteering.Policy = "tcp", "hash"
				p.Origins = map[string]schema.Origin{
					"vip": origin(func(o *schema.Origin) { o.VirtualRouter, o.Network = "web", "lan" }),
				}
			}),
		},
		LoadBalancers: map[string]schema.LoadBalancer{
			"www.example.com": {Zone: "example.com", Balancing: balancing(func(b *schema.Balancing) {
				b.DefaultPools, b.FallbackPool = []string{"home", "cloud"}, "cloud"
				b.RegionPools = map[string][]string{"NEAS": {"home"}}
				b.CountryPools = map[string][]string{"JP": {"home", "cloud"}}
				b.SessionAffinity = "cookie"
				b.RandomSteering.PoolWeights = map[string]float64{"home": 0.3}
				b.Rules = []schema.Rule{
					{Name: "down", Condition: `http.request.uri.path contains "/maintenance"`, Terminates: true,
						FixedResponse: &schema.FixedResponse{StatusCode: 503, MessageBody: "back soon", ContentType: "text/plain"}},
					{Name: "api", Condition: `http.request.uri.path contains "/api"`,
						Overrides: &schema.Overrides{DefaultPools: []string{"cloud"}, SessionAffinity: "none", SteeringPolicy: "off"}},
				}
			})},
			"direct.example.com": {Zone: "example.com", Balancing: balancing(func(b *schema.Balancing) {
				b.DefaultPools, b.FallbackPool, b.TTL = []string{"cloud"}, "cloud", seconds(60)
			})},
		},
		PrivateLoadBalancers: map[string]schema.PrivateLoadBalancer{
			"app": {Balancing: balancing(func(b *schema.Balancing) {
				b.DefaultPools, b.FallbackPool, b.Description = []string{"private"}, "private", "for WARP"
			})},
		},
		DNSRecords: map[string]schema.DNSRecord{
			"apex":  {Zone: "example.com", Name: "@", Type: "A", Content: "203.0.113.7", TTL: 300, Comment: "old server"},
			"mail":  {Zone: "example.com", Name: "@", Type: "MX", Content: "mx.example.net.", Priority: new(10), TTL: schema.AutoTTL},
			"alias": {Zone: "example.com", Name: "alias", Type: "CNAME", Tunnel: "away", TTL: schema.AutoTTL, Proxied: true},
			"sip": {Zone: "example.com", Name: "_sip._tcp", Type: "SRV", TTL: schema.AutoTTL, Data: map[string]any{
				"priority": 1.0, "weight": 2.0, "port": 5060.0, "target": "sip.example.net",
			}},
		},
	}
}

// changed differs from full in every kind: fields set, changed and cleared,
// elements added, removed and reordered, objects added and removed.
func changed() *schema.Spec {
	s := full()
	s.Networks["lan"] = schema.Network{Comment: "servers"}
	delete(s.Networks, "lab")
	home := s.Tunnels["home"]
	home.OriginRequest = nil
	home.Ingress[0], home.Ingress[1] = home.Ingress[1], home.Ingress[0]
	home.Ingress[0].OriginRequest = &schema.OriginRequest{TLSTimeout: new(seconds(5))}
	home.Routes = []schema.Route{{Network: "lan", CIDR: "10.0.0.0/24"}, {Network: "lan", CIDR: "10.2.0.0/16"}}
	s.Tunnels["home"] = home
	delete(s.Tunnels, "away")
	s.Tunnels["new"] = schema.TunnelSpec{DNS: true, Ingress: []schema.IngressRule{
		{Hostname: "alias.example.com", Service: "http://127.0.0.1"},
	}, Routes: []schema.Route{{CIDR: "10.1.0.0/16"}}}
	delete(s.DNSRecords, "alias")
	web := s.Monitors["web"]
	web.Header, web.ConsecutiveUp, web.Interval, web.Description = nil, 0, seconds(120), ""
	s.Monitors["web"] = web
	p := s.Pools["home"]
	p.Description, p.Monitor = "", ""
	delete(p.Origins, "plain")
	p.Origins["tunnel"] = origin(func(o *schema.Origin) { o.Tunnel = "home" })
	p.Origins["second"] = origin(func(o *schema.Origin) { o.Tunnel = "new" })
	s.Pools["home"] = p
	c := s.Pools["cloud"]
	c.Latitude, c.Longitude, c.CheckRegions, c.HealthSources = nil, nil, nil, nil
	c.LoadShedding.DefaultPercent, c.NotificationEmail, c.NotificationFilter = 0, "", nil
	c.OriginSteering.Policy = "random"
	s.Pools["cloud"] = c
	l := s.LoadBalancers["www.example.com"]
	l.RegionPools, l.CountryPools, l.RandomSteering.PoolWeights, l.Rules = nil, nil, nil, nil
	l.SessionAffinity, l.SteeringPolicy = "none", "random"
	l.DefaultPools = []string{"cloud", "home"}
	s.LoadBalancers["www.example.com"] = l
	delete(s.LoadBalancers, "direct.example.com")
	s.DNSRecords["direct"] = schema.DNSRecord{Zone: "example.com", Name: "direct", Type: "AAAA", Content: "2001:db8::7", TTL: schema.AutoTTL}
	// Another type for one name, which only a batch can do.
	s.DNSRecords["apex"] = schema.DNSRecord{Zone: "example.com", Name: "@", Type: "CNAME", Content: "other.example.net", TTL: schema.AutoTTL}
	a := s.PrivateLoadBalancers["app"]
	a.Description = ""
	s.PrivateLoadBalancers["app"] = a
	return s
}

func empty() *schema.Spec { return &schema.Spec{Stack: "test", Plan: "enterprise"} }
