package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/schema"
)

func TestHealthInALine(t *testing.T) {
	now := time.Unix(1700000000, 0)
	read := now.Add(-12 * time.Second)
	spec := &schema.Spec{Tunnels: map[string]schema.TunnelSpec{"home": {Connectors: []string{"lb01", "lb02"}}}}
	many := &reconcile.Health{Read: read, Pools: map[string]reconcile.PoolHealth{}}
	for i := range 9 {
		many.Pools[fmt.Sprint("p", i)] = reconcile.PoolHealth{}
	}
	for _, c := range []struct {
		health *reconcile.Health
		want   string
	}{
		{nil, ""},
		{&reconcile.Health{Err: "no token\nsecond line"}, "not known: no token"},
		{&reconcile.Health{Read: read}, "nothing that Cloudflare watches (pools: 0, tunnels: 0, read 12s ago)"},
		{&reconcile.Health{Read: read, Tunnels: map[string]reconcile.TunnelHealth{"home": {Status: "healthy"}}, Err: "pools: no"}, "all healthy (pools: 0, tunnels: 1, read 12s ago); not read: pools: no"},
		{&reconcile.Health{
			Read: read, Tunnels: map[string]reconcile.TunnelHealth{"home": {Status: "degraded"}},
			Pools: map[string]reconcile.PoolHealth{"main": {Origins: map[string]reconcile.OriginHealth{"b": {Reason: "HTTP timeout"}, "a": {}, "c": {Healthy: true}}}},
		}, "UNHEALTHY: pool/main, origin/main/a, origin/main/b (HTTP timeout), tunnel/home (degraded) (pools: 1, tunnels: 1, read 12s ago)"},
		{
			&reconcile.Health{Read: read, Tunnels: map[string]reconcile.TunnelHealth{"home": {Status: "healthy", Connectors: make([]reconcile.ConnectorHealth, 1)}}},
			"UNHEALTHY: tunnel/home (1 of 2 connectors) (pools: 0, tunnels: 1, read 12s ago)",
		},
		{many, "UNHEALTHY: pool/p0, pool/p1, pool/p2, pool/p3, pool/p4, pool/p5 and 3 more (pools: 9, tunnels: 0, read 12s ago)"},
	} {
		if got := healthText(c.health, spec, now); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}
