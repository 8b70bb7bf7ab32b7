package topology

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/schema"
)

// Live is what is known of the present. What is absent is not known, and
// counts as well as the specification has it: a host that does not answer is
// not down for that.
type Live struct {
	// Health is the edge's, nil where nobody has read it.
	Health *reconcile.Health
	// Hosts are those that say how they are, by name.
	Hosts map[string]HostState
	// Unknown says, for people, what could not be asked.
	Unknown []string
}

// HostState is what a host says of itself: its Virtual Routers by name.
type HostState map[string]RouterState

// RouterState is how a Virtual Router is on one host.
type RouterState struct {
	// State is as VRRP calls it: "initialize", "backup", "active", "releasing",
	// "fault" or "maintenance".
	State string
	// Priority is the effective one, which checks may have lowered; 0 where it
	// is not known.
	Priority int
	// Why says what is wrong.
	Why string
}

// out tells whether the host cannot become Active for it now.
func (r RouterState) out() bool {
	return r.State == "fault" || r.State == "maintenance" || r.State == "initialize"
}

// Condition is how a node of the graph does now, as far as anybody knows.
type Condition struct {
	// Healthy and Unhealthy are both false where nobody knows. What is unhealthy
	// may serve all the same, such as a tunnel that has lost one of two
	// connectors.
	Healthy   bool `json:"healthy,omitempty"`
	Unhealthy bool `json:"unhealthy,omitempty"`
	// Active are the Virtual Routers that a host is the Active router of now; of
	// a Virtual Router, the hosts that are: more than one is bad.
	Active []string `json:"active,omitempty"`
	// Why says what is wrong, or who is Active, in a few words.
	Why string `json:"why,omitempty"`
}

// Conditions are by the ID of a node: those of hosts, Virtual Routers, tunnels,
// connectors, pools and origins of the specification that something is known
// of.
func Conditions(s *schema.Spec, l Live) map[string]Condition {
	return newPresent(s, l).conditions
}

// present is what Live says about the things of a specification.
type present struct {
	spec       *schema.Spec
	conditions map[string]Condition
	down       []Component
	sick       []string        // pools that Cloudflare finds unhealthy
	out        map[seat]string // members that cannot be Active, and their state
	priorities map[seat]int
	active     map[string][]string // hosts by router, sorted
	unknown    []string
}

// seat is a member of a Virtual Router.
type seat struct{ router, host string }

func newPresent(s *schema.Spec, l Live) *present {
	p := &present{spec: s, conditions: map[string]Condition{}, out: map[seat]string{}, priorities: map[seat]int{}, active: map[string][]string{}, unknown: l.Unknown}
	for _, name := range sortedKeys(s.Hosts) {
		if _, answers := l.Hosts[name]; answers {
			p.conditions[KindHost+"/"+name] = Condition{Healthy: true}
		}
	}
	for _, name := range sortedKeys(s.VirtualRouters) {
		p.router(name, l.Hosts)
	}
	if l.Health == nil {
		return p
	}
	for _, name := range sortedKeys(s.Tunnels) {
		if h, known := l.Health.Tunnels[name]; known {
			p.tunnel(name, h)
		}
	}
	for _, name := range sortedKeys(s.Pools) {
		if h, known := l.Health.Pools[name]; known {
			p.pool(name, h)
		}
	}
	slices.SortFunc(p.down, Component.Compare)
	return p
}

func (p *present) fail(c Component, why string) {
	p.down = append(p.down, c)
	p.conditions[c.String()] = Condition{Unhealthy: true, Why: why}
}

// router takes in what its members say of it.
func (p *present) router(name string, hosts map[string]HostState) {
	known, active := true, []string(nil)
	for _, host := range sortedKeys(p.spec.VirtualRouters[name].Members) {
		r, answers := hosts[host][name]
		if !answers {
			known = false
			continue
		}
		at := seat{name, host}
		c := p.conditions[KindHost+"/"+host]
		switch {
		case r.State == "active":
			active = append(active, host)
			c.Active = append(c.Active, name)
		case r.out():
			p.out[at] = r.State
		}
		if r.Priority > 0 && !r.out() {
			p.priorities[at] = r.Priority
		}
		if r.State == "fault" || r.Why != "" {
			c.Healthy, c.Unhealthy = false, true
			c.Why = also(c.Why, fmt.Sprintf("%s is in %s%s", name, r.State, after(": ", r.Why)))
		}
		p.conditions[KindHost+"/"+host] = c
	}
	id := KindVirtualRouter + "/" + name
	p.active[name] = active
	switch {
	case len(active) == 1:
		p.conditions[id] = Condition{Healthy: true, Active: active, Why: active[0] + " is Active"}
	case len(active) > 1:
		p.conditions[id] = Condition{Unhealthy: true, Active: active, Why: strings.Join(active, " and ") + " are Active at once"}
	case known:
		p.conditions[id] = Condition{Unhealthy: true, Why: "nobody is Active"}
	}
}

// tunnel takes in its connectors: each by the address that its host has, where
// all that are connected can be told by that, else all or none of them.
func (p *present) tunnel(name string, h reconcile.TunnelHealth) {
	c := Component{KindTunnel, name}
	hosts := slices.Compact(slices.Sorted(slices.Values(p.spec.Tunnels[name].Connectors)))
	connector := func(host string) Component { return Component{KindConnector, name + "@" + host} }
	if h.Status == "down" || h.Status == "inactive" {
		why := "no connector is connected"
		if h.Status == "inactive" {
			why = "no connector was ever connected"
		}
		if len(hosts) == 0 {
			p.fail(c, why)
			return
		}
		for _, host := range hosts {
			p.fail(connector(host), "not connected")
		}
		p.conditions[c.String()] = Condition{Unhealthy: true, Why: why}
		return
	}
	if h.Status != "healthy" && h.Status != "degraded" {
		return // A status that nobody knew of.
	}
	n, at := len(h.Connectors), p.whereConnected(hosts, h.Connectors)
	for _, host := range hosts {
		switch {
		case at == nil && n == len(hosts), at[host]:
			p.conditions[connector(host).String()] = Condition{Healthy: true}
		case at != nil:
			p.fail(connector(host), "not connected")
		}
	}
	switch {
	case n > 0 && n < len(hosts):
		p.conditions[c.String()] = Condition{Unhealthy: true, Why: fmt.Sprintf("%d of %d connectors are connected", n, len(hosts))}
	case h.Status == "degraded":
		p.conditions[c.String()] = Condition{Unhealthy: true, Why: "degraded: some of its connections are down"}
	default:
		p.conditions[c.String()] = Condition{Healthy: true}
	}
}

// whereConnected are the hosts that have a connector now, nil where the
// addresses do not tell: behind one NAT all come from the same.
func (p *present) whereConnected(hosts []string, connected []reconcile.ConnectorHealth) map[string]bool {
	by := map[netip.Addr]string{}
	for _, host := range hosts {
		if a, err := netip.ParseAddr(p.spec.Hosts[host].Address); err == nil {
			by[a.Unmap()] = host
		}
	}
	at := map[string]bool{}
	for _, c := range connected {
		a, err := netip.ParseAddr(c.Address)
		host, known := by[a.Unmap()]
		if err != nil || !known {
			return nil
		}
		at[host] = true
	}
	if len(at) == 0 {
		return nil
	}
	return at
}

// pool takes in what its monitor finds of it and of its origins.
func (p *present) pool(name string, h reconcile.PoolHealth) {
	id := KindPool + "/" + name
	p.conditions[id] = Condition{Healthy: h.Healthy, Unhealthy: !h.Healthy}
	sick := 0
	for _, o := range sortedKeys(p.spec.Pools[name].Origins) {
		origin, known := h.Origins[o]
		c := Component{KindOrigin, name + "/" + o}
		switch {
		case !known:
		case origin.Healthy:
			p.conditions[c.String()] = Condition{Healthy: true}
		default:
			sick++
			p.fail(c, cmp.Or(origin.Reason, "its monitor finds it unhealthy")+code(origin.Code))
		}
	}
	if !h.Healthy {
		p.sick = append(p.sick, name)
	}
	switch {
	case h.Healthy:
	case sick > 0:
		p.conditions[id] = Condition{Unhealthy: true, Why: fmt.Sprintf("%d of %d origins are unhealthy", sick, len(p.spec.Pools[name].Origins))}
	default:
		p.conditions[id] = Condition{Unhealthy: true, Why: "most data centers find it unhealthy"}
	}
}

func code(status int) string {
	if status == 0 {
		return ""
	}
	return fmt.Sprintf(" (HTTP %d)", status)
}

// after puts something before a text that is there.
func after(before, text string) string {
	if text == "" {
		return ""
	}
	return before + text
}

func also(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}
