package topology

import (
	"fmt"
	"slices"
	"strings"
)

// Trap is something that looks like redundancy, or like affinity, and is none.
type Trap struct {
	// Rule is "replica-affinity", "hidden-clients", "unwatched-pool",
	// "one-tunnel", "dns-of-many", "half-a-peer" or "split-group".
	Rule string `json:"rule"`
	// Subject is the entry or component that it is about.
	Subject string `json:"subject"`
	Message string `json:"message"`
}

// traps are sorted by subject and rule.
func (m *Model) traps() []Trap {
	found := map[Trap]bool{}
	for _, e := range m.entries {
		if !e.balanced || e.why != "" {
			if e.Kind == "dnsRecord" && len(e.ends) > 1 {
				found[Trap{"dns-of-many", e.ID(), fmt.Sprintf("has %d addresses: a resolver hands out all of them, dead ones too; a load balancer takes those out", len(e.ends))}] = true
			}
			continue
		}
		m.balancerTraps(e, func(rule, subject, format string, args ...any) {
			found[Trap{rule, subject, fmt.Sprintf(format, args...)}] = true
		})
	}
	m.groupTraps(func(rule, subject, format string, args ...any) {
		found[Trap{rule, subject, fmt.Sprintf(format, args...)}] = true
	})
	traps := make([]Trap, 0, len(found))
	for t := range found {
		traps = append(traps, t)
	}
	slices.SortFunc(traps, func(a, b Trap) int {
		return slices.Compare([]string{a.Subject, a.Rule, a.Message}, []string{b.Subject, b.Rule, b.Message})
	})
	return traps
}

func (m *Model) balancerTraps(e *Entry, add func(rule, subject, format string, args ...any)) {
	id := e.Kind + "/" + e.Name
	tunnels := map[string]bool{}
	others := false
	m.eachEnd(e, func(p *pool, origin string, x end) {
		n := len(m.spec.Tunnels[x.tunnel].Connectors)
		o := m.spec.Pools[p.name].Origins[origin]
		if e.affinity && o.Tunnel != "" && n > 1 {
			add("replica-affinity", id, "sessionAffinity does not choose among the %d connectors of tunnel %s, which are one endpoint: for affinity to a host give each host a tunnel of its own", n, x.tunnel)
		}
		if x.router != "" && o.Tunnel == "" && n > 1 && m.spec.Pools[p.name].OriginSteering.Policy != "hash" {
			add("hidden-clients", KindOrigin+"/"+p.name+"/"+origin, "the %d connectors of tunnel %s hide the clients' addresses: a balancer behind virtualRouter %s cannot keep a client by its address; several Virtual Routers in one pool with originSteering hash can", n, x.tunnel, x.router)
		}
		if x.tunnel != "" {
			tunnels[x.tunnel] = true
		} else {
			others = true
		}
	})
	if len(tunnels) == 1 && !others && len(e.pools) > 1 && !slices.ContainsFunc(e.pools, func(p *pool) bool { return p.foreign }) {
		names := make([]string, 0, len(e.pools))
		for _, p := range e.pools {
			names = append(names, p.name)
		}
		slices.Sort(names)
		add("one-tunnel", e.ID(), "pools %s lead through one tunnel, %s: they fail together", strings.Join(names, ", "), sortedKeys(tunnels)[0])
	}
	for i, p := range e.pools {
		if p.monitored || len(e.listed) < 2 {
			continue
		}
		left := len(e.listed) - slices.Index(e.listed, p.name) - 1
		if e.ordered && (left > 0 || i > 0 || e.fallback == nil) {
			add("unwatched-pool", e.ID(), "pool %s has no monitor: it counts as healthy when it is dead, so that neither the pools after it nor the fallback are ever used", p.name)
		} else if !e.ordered {
			add("unwatched-pool", e.ID(), "pool %s has no monitor: it gets its share of requests when it is dead", p.name)
		}
	}
}

// groupTraps are about sync groups, which take peers that group the same
// Virtual Routers, and prefer the same host for all of them.
func (m *Model) groupTraps(add func(rule, subject, format string, args ...any)) {
	for _, name := range sortedKeys(m.spec.SyncGroups) {
		routers := m.spec.SyncGroups[name].Members
		for _, r := range routers[1:] {
			first, other := m.spec.VirtualRouters[routers[0]], m.spec.VirtualRouters[r]
			if a, b := sortedKeys(first.Members), sortedKeys(other.Members); !slices.Equal(a, b) {
				add("half-a-peer", "syncGroup/"+name, "%s has the members %s and %s has %s: while a host holds one of them only, the other may stay without an Active router", routers[0], strings.Join(a, ", "), r, strings.Join(b, ", "))
				continue
			}
			if a, b := m.routers[routers[0]].members, m.routers[r].members; len(a) > 0 && len(b) > 0 && a[0].host != b[0].host {
				add("split-group", "syncGroup/"+name, "%s prefers %s and %s prefers %s: a group is Active on one host or on none, so neither takes over from the other", routers[0], a[0].host, r, b[0].host)
			}
		}
	}
}
