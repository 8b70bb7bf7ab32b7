package reconcile

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// HealthChange is something that is not as it was in a former reading.
type HealthChange struct {
	What  string // "tunnel/home is down"
	Worse bool
}

// Changes are what a reading has otherwise than an earlier one: what is worse
// first, then by name. What either does not know has not changed, and a connector
// that is another process of cloudflared came, as the former one went.
func (h *Health) Changes(since *Health) []HealthChange {
	var changes []HealthChange
	tell := func(worse bool, format string, args ...any) {
		changes = append(changes, HealthChange{fmt.Sprintf(format, args...), worse})
	}
	for _, name := range slices.Sorted(maps.Keys(h.Tunnels)) {
		now := h.Tunnels[name]
		was, known := since.Tunnels[name]
		if !known {
			continue
		}
		if now.Status != was.Status {
			tell(tunnelRank(now.Status) > tunnelRank(was.Status), "tunnel/%s is %s", name, now.Status)
		}
		if !was.counted() || !now.counted() {
			continue
		}
		for _, c := range was.without(now) {
			tell(true, "a connector of tunnel/%s has gone%s", name, c.from())
		}
		for _, c := range now.without(was) {
			tell(false, "a connector of tunnel/%s has come%s", name, c.from())
		}
	}
	for _, name := range slices.Sorted(maps.Keys(h.Pools)) {
		now := h.Pools[name]
		was, known := since.Pools[name]
		if !known {
			continue
		}
		if now.Healthy != was.Healthy {
			tell(!now.Healthy, "pool/%s is %s", name, healthy(now.Healthy))
		}
		for _, o := range slices.Sorted(maps.Keys(now.Origins)) {
			x := now.Origins[o]
			if former, known := was.Origins[o]; known && x.Healthy != former.Healthy {
				text := fmt.Sprintf("origin/%s/%s is %s", name, o, healthy(x.Healthy))
				if x.Reason != "" && !x.Healthy {
					text += ": " + x.Reason
				}
				tell(!x.Healthy, "%s", text)
			}
		}
	}
	slices.SortStableFunc(changes, func(a, b HealthChange) int {
		switch {
		case a.Worse == b.Worse:
			return 0
		case a.Worse:
			return -1
		}
		return 1
	})
	return changes
}

// Since is a reading with what only an earlier one knows: a pool, a tunnel, or
// who is connected for one.
func (h *Health) Since(earlier *Health) *Health {
	all := Health{Read: h.Read, Err: h.Err, Tunnels: maps.Clone(earlier.Tunnels), Pools: maps.Clone(earlier.Pools)}
	if all.Tunnels == nil {
		all.Tunnels = map[string]TunnelHealth{}
	}
	if all.Pools == nil {
		all.Pools = map[string]PoolHealth{}
	}
	for name, t := range h.Tunnels {
		if was, known := earlier.Tunnels[name]; known && !t.counted() {
			t.Connectors = was.Connectors
		}
		all.Tunnels[name] = t
	}
	maps.Copy(all.Pools, h.Pools)
	return &all
}

func healthy(is bool) string {
	if is {
		return "healthy"
	}
	return "unhealthy"
}

// tunnelRank orders what the API says of a tunnel, the best first.
func tunnelRank(status string) int {
	switch status {
	case "healthy":
		return 0
	case "degraded":
		return 1
	}
	return 2 // "down" and "inactive"
}

// counted tells whether it is known who is connected: nobody is for a tunnel
// that is up only where that could not be read.
func (t *TunnelHealth) counted() bool { return len(t.Connectors) > 0 || tunnelRank(t.Status) == 2 }

// without are the connectors that another reading of the tunnel has not.
func (t *TunnelHealth) without(o TunnelHealth) []ConnectorHealth {
	var out []ConnectorHealth
	for _, c := range t.Connectors {
		if !slices.ContainsFunc(o.Connectors, func(x ConnectorHealth) bool { return x.ID == c.ID }) {
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(a, b ConnectorHealth) int {
		return cmp.Or(cmp.Compare(a.Address, b.Address), cmp.Compare(a.ID, b.ID))
	})
	return out
}

func (c *ConnectorHealth) from() string {
	if c.Address == "" {
		return ""
	}
	return " (" + c.Address + ")"
}
