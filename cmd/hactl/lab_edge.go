package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hactl/hactl/engines/cloudflare/cfsim"
	"github.com/hactl/hactl/reconcile/follow"
	"github.com/hactl/hactl/reconcile/topology"
	"github.com/hactl/hactl/schema"
)

// edgePeriod is how often a lab's edge sees which hosts are there.
const edgePeriod = 200 * time.Millisecond

// watchEdge lets the simulated edge see what a real one would: the connectors of
// hosts that have power and a cable, and origins that can be reached through
// them. A real monitor takes its interval for that; this one sees it at once.
func (l *lab) watchEdge(ctx context.Context) {
	tick := time.NewTicker(edgePeriod)
	defer tick.Stop()
	var spec *schema.Spec
	var model *topology.Model
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		now := l.running()
		if now == nil {
			continue
		}
		if now != spec {
			spec, model = now, topology.New(now)
		}
		l.showEdge(spec, model)
	}
}

func (l *lab) showEdge(spec *schema.Spec, model *topology.Model) {
	l.mu.Lock()
	var failed []topology.Component
	for host := range l.gone {
		failed = append(failed, topology.Component{Kind: topology.KindHost, Name: host})
	}
	l.mu.Unlock()
	gone := func(host string) bool {
		return slices.Contains(failed, topology.Component{Kind: topology.KindHost, Name: host})
	}
	for name, t := range spec.Tunnels {
		var from []string
		for _, host := range t.Connectors {
			if a := spec.Hosts[host].Address; a != "" && !gone(host) {
				from = append(from, a)
			}
		}
		_ = l.sim.ConnectFrom(name, from...) // A tunnel that is not there yet has none.
	}
	lost := model.Lost(failed...)
	for name, p := range spec.Pools {
		for origin := range p.Origins {
			id := topology.Component{Kind: topology.KindOrigin, Name: name + "/" + origin}.String()
			f := cfsim.Finding{Healthy: true}
			if slices.Contains(lost, id) {
				f = cfsim.Finding{Reason: "TCP connection failed"}
			}
			_ = l.sim.SetHealth(name, origin, f) // likewise
		}
	}
}

func (l *lab) isAway(host string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.gone[host]
}

// away notes that a host cannot be reached, or can again.
func (l *lab) away(host string, is bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if is {
		l.gone[host] = true
	} else {
		delete(l.gone, host)
	}
}

// edgeTrouble is what keeps a host from having the edge as it should be, in words.
func edgeTrouble(e *follow.EdgeState) string {
	var all []string
	for _, v := range e.Violations {
		all = append(all, fmt.Sprintf("the guard rail %s: %s %s", v.Rule, v.ID, v.Message))
	}
	for _, f := range e.Failed {
		all = append(all, fmt.Sprintf("%s: %s", f.ID, f.Err))
	}
	for _, c := range e.Conflicts {
		all = append(all, strings.TrimSpace(c.ID.String()+" "+c.Message))
	}
	for _, text := range []string{e.Waits, e.Err} {
		if text != "" && len(all) == 0 {
			all = append(all, text)
		}
	}
	return strings.Join(all, "; ")
}
