package status

import (
	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/topology"
)

// Live is what hosts say of themselves and what is known of the edge, for
// package topology. A host that could not be asked is not known.
func Live(hosts []Host, health *reconcile.Health) topology.Live {
	l := topology.Live{Health: health, Hosts: map[string]topology.HostState{}}
	for i := range hosts {
		h := &hosts[i]
		if h.Unknown != "" {
			l.Unknown = append(l.Unknown, "host "+h.Name+": "+h.Unknown)
			continue
		}
		l.Hosts[h.Name] = HostState(h.Routers)
	}
	return l
}

// HostState is how the Virtual Routers of a host are.
func HostState(routers []Router) topology.HostState {
	s := make(topology.HostState, len(routers))
	for i := range routers {
		r := &routers[i]
		s[r.Name] = topology.RouterState{State: r.State, Priority: r.Priority, Why: r.Problem}
	}
	return s
}
