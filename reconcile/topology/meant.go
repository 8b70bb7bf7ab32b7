package topology

import (
	"maps"
	"slices"
	"strings"

	"github.com/hactl/hactl/schema"
)

// meant tells whether an entry that is lost is out of service by what the
// specification says of hosts, of a balancer or of a hostname itself: were none
// of that said, it would be served. Only a loss pays for that third model.
func (c *comparison) meant(x *Entry) bool {
	if c.willing == nil {
		c.willing = map[string]bool{}
		spec, differs := willing(c.after.spec, c.wanted)
		if !differs {
			return false
		}
		m, _ := build(spec, nil, false, false)
		s := m.circuit.state()
		for _, e := range m.entries {
			c.willing[e.ID()] = s.up(e.gate)
		}
	}
	return c.willing[x.ID()]
}

// willing is a specification as if everything in it were in service that may
// be taken out on purpose: hosts and members in maintenance with the origins
// that this disables, disabled balancers, and hostnames that are to be answered
// with a status. wanted has the origins as they were written. It tells whether
// there is any such thing.
func willing(s, wanted *schema.Spec) (*schema.Spec, bool) {
	w := *s
	w.Hosts, w.VirtualRouters, w.Tunnels = maps.Clone(s.Hosts), maps.Clone(s.VirtualRouters), maps.Clone(s.Tunnels)
	w.LoadBalancers, w.Pools = maps.Clone(s.LoadBalancers), maps.Clone(s.Pools)
	drained, differs := false, false
	for name, h := range w.Hosts {
		drained = drained || h.Maintenance
		h.Maintenance = false
		w.Hosts[name] = h
	}
	for name, v := range w.VirtualRouters {
		v.Members = maps.Clone(v.Members)
		for host, m := range v.Members {
			differs = differs || m.Maintenance
			m.Maintenance = false
			v.Members[host] = m
		}
		w.VirtualRouters[name] = v
	}
	for name, l := range w.LoadBalancers {
		differs = differs || !l.Enabled
		l.Enabled = true
		w.LoadBalancers[name] = l
	}
	for name, p := range w.Pools {
		if !drained {
			break
		}
		p.Origins = maps.Clone(p.Origins)
		for origin, o := range p.Origins {
			o.Enabled = o.Enabled || wanted.Pools[name].Origins[origin].Enabled
			p.Origins[origin] = o
		}
		w.Pools[name] = p
	}
	for name, t := range w.Tunnels {
		t.Ingress = slices.Clone(t.Ingress)
		for i, r := range t.Ingress {
			if r.Hostname != "" && !strings.Contains(r.Hostname, "*") && strings.HasPrefix(r.Service, "http_status:") {
				differs = true
				t.Ingress[i].Service = "http://localhost"
			}
		}
		w.Tunnels[name] = t
	}
	return &w, differs || drained
}
