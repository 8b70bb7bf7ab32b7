package status_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/follow"
	"github.com/hactl/hactl/reconcile/status"
	"github.com/hactl/hactl/schema"
)

const (
	revision = "0123456789abcdef0123456789abcdef01234567"
	former   = "fedcba9876543210fedcba9876543210fedcba98"
)

// sites is a specification of n sites with two hosts each: a Virtual Router, a
// tunnel, a pool over both, and a balancer that has the next site's pool, too.
// Its picture has 13 nodes for each site.
func sites(n int) *schema.Spec {
	s := &schema.Spec{
		Stack: "sites", Hosts: map[string]schema.Host{}, VirtualRouters: map[string]schema.VirtualRouter{}, Tunnels: map[string]schema.TunnelSpec{},
		Networks: map[string]schema.Network{"lan": {}}, Pools: map[string]schema.Pool{}, LoadBalancers: map[string]schema.LoadBalancer{},
		Monitors: map[string]schema.Monitor{"web": {Interval: schema.Seconds(60), Timeout: schema.Seconds(5), Retries: 2}},
		Leader:   &schema.Leader{Host: "a00"},
	}
	for i := range n {
		a, b, site := fmt.Sprintf("a%02d", i), fmt.Sprintf("b%02d", i), fmt.Sprintf("site%02d", i)
		s.Hosts[a] = schema.Host{Address: fmt.Sprintf("10.0.%d.1", i), Agent: "https://10.0.0.1:9443"}
		s.Hosts[b] = schema.Host{Address: fmt.Sprintf("10.0.%d.2", i), Agent: "https://10.0.0.2:9443"}
		s.VirtualRouters[site] = schema.VirtualRouter{
			VRID: 1 + i, Interface: "eth0", Version: 3, Interval: schema.Seconds(1), Addresses: []string{fmt.Sprintf("10.0.%d.100/24", i)},
			Members: map[string]schema.RouterMember{a: {Priority: 150}, b: {Priority: 100}},
		}
		s.Tunnels[site] = schema.TunnelSpec{
			Connectors: []string{a, b}, Routes: []schema.Route{{Network: "lan", CIDR: fmt.Sprintf("10.0.%d.0/24", i)}},
			Ingress: []schema.IngressRule{{Hostname: site + ".example.com", Service: fmt.Sprintf("http://10.0.%d.100", i)}},
		}
		tunnel := schema.Origin{Enabled: true, Weight: 1, Tunnel: site}
		tunnel.Header.Host = []string{site + ".example.com"}
		s.Pools[site] = schema.Pool{Enabled: true, Monitor: "web", MinimumOrigins: 1, Origins: map[string]schema.Origin{
			"tunnel": tunnel, "cloud": {Enabled: true, Weight: 1, Address: fmt.Sprintf("203.0.113.%d", i)},
		}}
		next := fmt.Sprintf("site%02d", (i+1)%n)
		s.LoadBalancers[fmt.Sprintf("www%02d.example.com", i)] = schema.LoadBalancer{Zone: "example.com", Balancing: schema.Balancing{
			Enabled: true, DefaultPools: slices.Compact([]string{site, next}), FallbackPool: next, RandomSteering: schema.RandomSteering{DefaultWeight: 1},
		}}
	}
	return s
}

// healthy is how the edge of a specification does on a good day.
func healthy(s *schema.Spec, read time.Time) *reconcile.Health {
	h := &reconcile.Health{Read: read, Tunnels: map[string]reconcile.TunnelHealth{}, Pools: map[string]reconcile.PoolHealth{}}
	for name, t := range s.Tunnels {
		health := reconcile.TunnelHealth{Status: "healthy"}
		for i := range t.Connectors {
			health.Connectors = append(health.Connectors, reconcile.ConnectorHealth{ID: fmt.Sprint(name, i), Address: s.Hosts[t.Connectors[i]].Address, Version: "2026.1.0", Connections: 4})
		}
		h.Tunnels[name] = health
	}
	for name, p := range s.Pools {
		health := reconcile.PoolHealth{Healthy: true, Origins: map[string]reconcile.OriginHealth{}}
		for origin := range p.Origins {
			health.Origins[origin] = reconcile.OriginHealth{Healthy: true}
		}
		h.Pools[name] = health
	}
	return h
}

// world is a site whose page is looked at, by its first host's agent.
type world struct {
	spec   *schema.Spec
	facts  status.Facts
	hosts  []status.Host
	recent *status.Recent
	title  string
}

// newWorld is a good day of a site: all is known and all is well, and a change
// is pending.
func newWorld(n int) *world {
	now := time.Now()
	w := &world{spec: sites(n), recent: &status.Recent{}}
	for _, name := range slices.Sorted(maps.Keys(w.spec.Hosts)) {
		h := status.Host{Name: name, Revision: revision, Accepted: now.Add(-time.Hour), Asked: now.Add(-2 * time.Second)}
		for _, router := range slices.Sorted(maps.Keys(w.spec.VirtualRouters)) {
			if m, ok := w.spec.VirtualRouters[router].Members[name]; ok {
				h.Routers = append(h.Routers, status.Router{Name: router, Interface: "eth0", Priority: m.Priority, State: map[bool]string{true: "active", false: "backup"}[m.Priority == 150]})
			}
		}
		w.hosts = append(w.hosts, h)
	}
	edge := follow.EdgeState{
		Leadership: follow.Leadership{Mode: "host", Leader: "a00", Mine: true}, Revision: former, Applied: now.Add(-25 * time.Hour), Looked: now.Add(-20 * time.Second),
		Health: healthy(w.spec, now.Add(-20*time.Second)),
		Pending: []reconcile.Step{
			{ID: schema.ID{Kind: schema.KindPool, Name: "site00"}, Action: reconcile.Update, Fields: []reconcile.FieldChange{{Path: "origins.cloud.weight", Before: 1.0, After: 0.2}, {Path: "origins.tunnel.weight", Before: 1.0, After: 0.8}}},
			{ID: schema.ID{Kind: schema.KindDNSRecord, Name: "old"}, Action: reconcile.Delete, Reason: "no longer in the specification"},
		},
		Impact: []reconcile.Finding{{ID: schema.ID{Kind: schema.KindLoadBalancer, Name: "www00.example.com"}, Message: "sends a fifth to cloud"}},
	}
	w.facts = status.Facts{
		Host: "a00", Build: "v1", Edge: edge, API: &status.API{Requests: 20, Left: 1180},
		Follow: follow.State{Revision: revision, Accepted: now.Add(-time.Hour), Signer: "alice@example.com", Fetch: follow.Fetching{Origin: "ssh://git.example.com/edge.git", Success: now.Add(-30 * time.Second)}},
		Engine: &status.Engine{FIFO: true, Routers: slices.Clone(w.hosts[0].Routers)},
	}
	w.recent.Follow(follow.Event{Kind: follow.EventAccepted, Time: now.Add(-time.Hour), Revision: revision})
	return w
}

func (w *world) host(name string) *status.Host {
	return &w.hosts[slices.IndexFunc(w.hosts, func(h status.Host) bool { return h.Name == name })]
}

// router is a Virtual Router on a host that is not this one.
func (w *world) router(host, name string) *status.Router {
	h := w.host(host)
	return &h.Routers[slices.IndexFunc(h.Routers, func(r status.Router) bool { return r.Name == name })]
}

// bad makes it a bad day: a pool and an origin are down, a tunnel has lost its
// connectors, a host cannot be asked, another runs something else, and two are
// Active at a time.
func (w *world) bad() {
	h := w.facts.Edge.Health
	last := len(w.spec.Tunnels) - 1
	name := fmt.Sprintf("site%02d", last)
	h.Tunnels[name] = reconcile.TunnelHealth{Status: "down"}
	h.Pools[name] = reconcile.PoolHealth{Origins: map[string]reconcile.OriginHealth{
		"tunnel": {Reason: "response code mismatch", Code: 530}, "cloud": {Reason: "TCP connection failed"},
	}}
	*w.host("b01") = status.Host{Name: "b01", Unknown: "the connection is refused", Silent: true}
	w.host("a01").Revision, w.host("a01").Note = former, "refuses 0123456789ab (untrusted): nobody vouches for it"
	w.router("b00", "site00").State = "active"
	w.facts.Edge.Violations = []reconcile.Violation{{Rule: reconcile.RuleDeletions, Message: "7 of 9 owned objects would be deleted"}}
	w.facts.Edge.Drift = []reconcile.Step{{ID: schema.ID{Kind: schema.KindMonitor, Name: "web"}, Action: reconcile.Update, Drift: true, Fields: []reconcile.FieldChange{{Path: "interval", Before: "60s", After: "30s"}}}}
	w.facts.Edge.Waits = "the guard rails refuse it"
}

// hostile gives names that want to be markup to all that has one.
func (w *world) hostile() {
	for i := range w.hosts {
		w.hosts[i].Note, w.hosts[i].Revision = hostile, hostile
	}
	w.hosts = append(w.hosts, status.Host{Name: hostile, Unknown: hostile})
	e := &w.facts.Edge
	e.Health.Err = hostile
	e.Health.Tunnels[hostile] = reconcile.TunnelHealth{Status: hostile, Connectors: []reconcile.ConnectorHealth{{ID: hostile, Address: hostile, Version: hostile}}}
	e.Health.Pools[hostile] = reconcile.PoolHealth{Origins: map[string]reconcile.OriginHealth{hostile: {Reason: hostile}}}
	id := schema.ID{Kind: schema.KindPool, Name: hostile}
	e.Pending = []reconcile.Step{{ID: id, Action: reconcile.Update, Reason: hostile, Fields: []reconcile.FieldChange{{Path: hostile, Before: hostile, After: hostile}}}}
	e.Drift, e.Impact, e.Conflicts = e.Pending, []reconcile.Finding{{ID: id, Message: hostile}}, []reconcile.Finding{{ID: id, Message: hostile}}
	e.Violations, e.Failed, e.Waits, e.Err = []reconcile.Violation{{Rule: "x", ID: id, Message: hostile}}, []follow.Failure{{ID: id, Err: hostile}}, hostile, hostile
	w.spec.Pools[hostile] = w.spec.Pools["site00"]
	w.spec.Hosts[hostile] = schema.Host{Address: hostile}
	t := w.spec.Tunnels["site00"]
	t.Connectors = append(t.Connectors, hostile)
	w.spec.Tunnels["site00"] = t
	w.facts.Engine.Routers[0].Problem = hostile
}

// server serves the page of the world as it is now.
func (w *world) server() *status.Server {
	facts := func() status.Facts { return w.facts }
	return &status.Server{Facts: facts, Metrics: status.NewMetrics(facts), Page: &status.Page{
		Title: w.title, Facts: facts, Problems: func() []string { return nil }, Spec: func() *schema.Spec { return w.spec }, Recent: w.recent,
		Hosts: func(context.Context) []status.Host { return w.hosts },
	}}
}

// down is the path of the page with failures.
func down(names ...string) string { return "/?down=" + strings.Join(names, "&down=") }
