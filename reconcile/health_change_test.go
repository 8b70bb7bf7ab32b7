package reconcile_test

import (
	"slices"
	"testing"

	"github.com/hactl/hactl/reconcile"
)

func TestChangesOfHealth(t *testing.T) {
	connector := func(id, address string) reconcile.ConnectorHealth {
		return reconcile.ConnectorHealth{ID: id, Address: address, Connections: 4}
	}
	tunnel := func(status string, connectors ...reconcile.ConnectorHealth) *reconcile.Health {
		return &reconcile.Health{Tunnels: map[string]reconcile.TunnelHealth{"home": {Status: status, Connectors: connectors}}}
	}
	pool := func(healthy bool, origins map[string]reconcile.OriginHealth) *reconcile.Health {
		return &reconcile.Health{Pools: map[string]reconcile.PoolHealth{"osaka": {Healthy: healthy, Origins: origins}}}
	}
	good, bad := reconcile.OriginHealth{Healthy: true}, reconcile.OriginHealth{Reason: "TCP connection failed"}
	a, b := connector("a", "198.51.100.1"), connector("b", "")
	for name, c := range map[string]struct {
		was, is *reconcile.Health
		want    []string
		worse   int // of those, that come first
	}{
		"nothing":            {tunnel("healthy", a, b), tunnel("healthy", b, a), nil, 0},
		"a tunnel degrades":  {tunnel("healthy"), tunnel("degraded"), []string{"tunnel/home is degraded"}, 1},
		"and goes down":      {tunnel("degraded"), tunnel("down"), []string{"tunnel/home is down"}, 1},
		"is inactive":        {tunnel("healthy", a), tunnel("inactive"), []string{"tunnel/home is inactive", "a connector of tunnel/home has gone (198.51.100.1)"}, 2},
		"comes up":           {tunnel("down"), tunnel("degraded", b), []string{"tunnel/home is degraded", "a connector of tunnel/home has come"}, 0},
		"a connector anew":   {tunnel("healthy", a), tunnel("healthy", b), []string{"a connector of tunnel/home has gone (198.51.100.1)", "a connector of tunnel/home has come"}, 1},
		"who is not known":   {tunnel("healthy", a, b), tunnel("degraded"), []string{"tunnel/home is degraded"}, 1},
		"and is again":       {tunnel("healthy"), tunnel("healthy", a, b), nil, 0},
		"a pool":             {pool(true, nil), pool(false, nil), []string{"pool/osaka is unhealthy"}, 1},
		"an origin and back": {pool(false, map[string]reconcile.OriginHealth{"a": bad, "b": good}), pool(true, map[string]reconcile.OriginHealth{"a": good, "b": bad}), []string{"origin/osaka/b is unhealthy: TCP connection failed", "pool/osaka is healthy", "origin/osaka/a is healthy"}, 1},
		"what is new":        {pool(true, map[string]reconcile.OriginHealth{"a": good}), pool(true, map[string]reconcile.OriginHealth{"a": good, "b": bad}), nil, 0},
		"what is not known":  {tunnel("down"), pool(false, nil), nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for i, change := range c.is.Changes(c.was) {
				got = append(got, change.What)
				if change.Worse != (i < c.worse) {
					t.Errorf("%s: worse is %v", change.What, change.Worse)
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// TestWhatIsKnownOfHealthOutlivesAPartialReading: the next whole one is compared
// with what was read before both.
func TestWhatIsKnownOfHealthOutlivesAPartialReading(t *testing.T) {
	whole := func(healthy bool) *reconcile.Health {
		return &reconcile.Health{Pools: map[string]reconcile.PoolHealth{"osaka": {Healthy: healthy}}}
	}
	known := (&reconcile.Health{Err: "pools: timeout"}).Since(whole(true))
	if changes := whole(false).Changes(known); len(changes) != 1 || changes[0].What != "pool/osaka is unhealthy" {
		t.Errorf("%v", changes)
	}
	tunnel := func(connectors ...string) *reconcile.Health {
		h := reconcile.TunnelHealth{Status: "healthy"}
		for _, id := range connectors {
			h.Connectors = append(h.Connectors, reconcile.ConnectorHealth{ID: id})
		}
		return &reconcile.Health{Tunnels: map[string]reconcile.TunnelHealth{"home": h}}
	}
	known = tunnel().Since(tunnel("a", "b")) // Who is connected could not be read.
	if changes := tunnel("a").Changes(known); len(changes) != 1 || changes[0].What != "a connector of tunnel/home has gone" {
		t.Errorf("%v", changes)
	}
}
