package topology_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/topology"
	"github.com/hactl/hactl/schema"
)

// pair is two hosts with a Virtual Router, a tunnel with a connector on each,
// and a pool that has the tunnel and an address as origins.
func pair() *schema.Spec {
	on := schema.Origin{Enabled: true, Weight: 1}
	tunnel, away := on, on
	tunnel.Tunnel, away.Address = "home", "203.0.113.9"
	tunnel.Header.Host = []string{"www.example.com"}
	return &schema.Spec{
		Hosts: map[string]schema.Host{"lb01": {Address: "192.0.2.11"}, "lb02": {Address: "192.0.2.12"}},
		VirtualRouters: map[string]schema.VirtualRouter{"web": {
			Version: 3, VRID: 50, Interface: "eth0", Interval: schema.Duration(1e9), Preempt: false, Addresses: []string{"192.0.2.10/24"},
			Members: map[string]schema.RouterMember{"lb01": {Priority: 150}, "lb02": {Priority: 100}},
		}},
		Tunnels: map[string]schema.TunnelSpec{"home": {
			Connectors: []string{"lb01", "lb02"},
			Ingress:    []schema.IngressRule{{Hostname: "www.example.com", Service: "https://192.0.2.10"}, {Service: "http_status:404"}},
		}},
		Monitors: map[string]schema.Monitor{"web": {Name: "web", Type: "https"}},
		Pools:    map[string]schema.Pool{"main": {Name: "main", Enabled: true, MinimumOrigins: 1, Monitor: "web", Origins: map[string]schema.Origin{"home": tunnel, "away": away}}},
		LoadBalancers: map[string]schema.LoadBalancer{"www.example.com": {
			Hostname: "www.example.com", Zone: "example.com",
			Balancing: schema.Balancing{Enabled: true, SteeringPolicy: "off", DefaultPools: []string{"main"}, FallbackPool: "main"},
		}},
	}
}

func TestConditionsSayWhatIsKnown(t *testing.T) {
	from := func(addresses ...string) (list []reconcile.ConnectorHealth) {
		for _, a := range addresses {
			list = append(list, reconcile.ConnectorHealth{ID: "c" + a, Address: a, Connections: 4})
		}
		return list
	}
	healthy, unhealthy := topology.Condition{Healthy: true}, func(why string) topology.Condition {
		return topology.Condition{Unhealthy: true, Why: why}
	}
	tunnel := func(status string, connectors ...string) topology.Live {
		return topology.Live{Health: &reconcile.Health{Tunnels: map[string]reconcile.TunnelHealth{"home": {Status: status, Connectors: from(connectors...)}}}}
	}
	for _, c := range []struct {
		name string
		live topology.Live
		want map[string]topology.Condition
	}{
		{"nothing", topology.Live{}, map[string]topology.Condition{}},
		{"somebody else's objects", topology.Live{
			Health: &reconcile.Health{Tunnels: map[string]reconcile.TunnelHealth{"x": {Status: "down"}}, Pools: map[string]reconcile.PoolHealth{"x": {}}},
			Hosts:  map[string]topology.HostState{"x": {"web": {State: "fault"}}},
		}, map[string]topology.Condition{}},
		{"connectors that addresses tell apart", tunnel("healthy", "192.0.2.12"), map[string]topology.Condition{
			"tunnel/home": unhealthy("1 of 2 connectors are connected"), "connector/home@lb01": unhealthy("not connected"), "connector/home@lb02": healthy,
		}},
		{"IPv4 in IPv6", tunnel("healthy", "::ffff:192.0.2.12", "192.0.2.11"), map[string]topology.Condition{
			"tunnel/home": healthy, "connector/home@lb01": healthy, "connector/home@lb02": healthy,
		}},
		{"one of two behind NAT", tunnel("healthy", "198.51.100.7"), map[string]topology.Condition{
			"tunnel/home": unhealthy("1 of 2 connectors are connected"),
		}},
		{"both behind NAT", tunnel("healthy", "198.51.100.7", "198.51.100.7"), map[string]topology.Condition{
			"tunnel/home": healthy, "connector/home@lb01": healthy, "connector/home@lb02": healthy,
		}},
		{"more than there should be", tunnel("healthy", "198.51.100.7", "198.51.100.7", "198.51.100.7"), map[string]topology.Condition{
			"tunnel/home": healthy,
		}},
		{"healthy, connectors not read", tunnel("healthy"), map[string]topology.Condition{"tunnel/home": healthy}},
		{"degraded", tunnel("degraded", "198.51.100.7", "198.51.100.7"), map[string]topology.Condition{
			"tunnel/home": unhealthy("degraded: some of its connections are down"), "connector/home@lb01": healthy, "connector/home@lb02": healthy,
		}},
		{"down", tunnel("down"), map[string]topology.Condition{
			"tunnel/home": unhealthy("no connector is connected"), "connector/home@lb01": unhealthy("not connected"), "connector/home@lb02": unhealthy("not connected"),
		}},
		{"a status of tomorrow", tunnel("sleepy"), map[string]topology.Condition{}},
		{"an origin", topology.Live{Health: &reconcile.Health{Pools: map[string]reconcile.PoolHealth{"main": {Healthy: true, Origins: map[string]reconcile.OriginHealth{
			"home": {Healthy: true}, "away": {Reason: "TCP connection failed", Code: 522}, "other": {},
		}}}}}, map[string]topology.Condition{
			"pool/main": healthy, "origin/main/home": healthy, "origin/main/away": unhealthy("TCP connection failed (HTTP 522)"),
		}},
		{"a pool", topology.Live{Health: &reconcile.Health{Pools: map[string]reconcile.PoolHealth{"main": {}}}}, map[string]topology.Condition{
			"pool/main": unhealthy("most data centers find it unhealthy"),
		}},
		{"one host answers", topology.Live{Hosts: map[string]topology.HostState{"lb01": {"web": {State: "backup"}}}}, map[string]topology.Condition{
			"host/lb01": healthy,
		}},
		{"the lower one is Active, the other in fault", topology.Live{Hosts: map[string]topology.HostState{
			"lb01": {"web": {State: "fault", Why: "eth0 is down"}}, "lb02": {"web": {State: "active"}},
		}}, map[string]topology.Condition{
			"host/lb01": unhealthy("web is in fault: eth0 is down"), "host/lb02": {Healthy: true, Active: []string{"web"}},
			"virtualRouter/web": {Healthy: true, Active: []string{"lb02"}, Why: "lb02 is Active"},
		}},
		{"two are Active", topology.Live{Hosts: map[string]topology.HostState{"lb01": {"web": {State: "active"}}, "lb02": {"web": {State: "active"}}}}, map[string]topology.Condition{
			"host/lb01": {Healthy: true, Active: []string{"web"}}, "host/lb02": {Healthy: true, Active: []string{"web"}},
			"virtualRouter/web": {Unhealthy: true, Active: []string{"lb01", "lb02"}, Why: "lb01 and lb02 are Active at once"},
		}},
		{"nobody is Active", topology.Live{Hosts: map[string]topology.HostState{"lb01": {"web": {State: "backup"}}, "lb02": {"web": {State: "fault"}}}}, map[string]topology.Condition{
			"host/lb01": healthy, "host/lb02": unhealthy("web is in fault"), "virtualRouter/web": unhealthy("nobody is Active"),
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := topology.Conditions(pair(), c.live)
			same := func(a, b topology.Condition) bool {
				return a.Healthy == b.Healthy && a.Unhealthy == b.Unhealthy && a.Why == b.Why && slices.Equal(a.Active, b.Active)
			}
			if !maps.EqualFunc(got, c.want, same) {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}
