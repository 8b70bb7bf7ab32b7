package topology

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hactl/hactl/schema"
)

// Outcome is what failures do to every entry point.
type Outcome struct {
	Failed []Component `json:"failed"`
	// Present is what is so before that, where live state is known.
	Present *Present       `json:"present,omitempty"`
	Entries []EntryOutcome `json:"entries"`
	// Moves are the Virtual Routers that another host, or none, is Active for.
	Moves []Move `json:"moves"`
}

// EntryOutcome is one entry point before and after.
type EntryOutcome struct {
	Entry
	Before Serving `json:"before"`
	After  Serving `json:"after"`
	// Changed: not the same machines, in the same way, as before.
	Changed bool `json:"changed"`
	// Switches are what has to notice, the slowest first.
	Switches []Switch `json:"switches,omitempty"`
}

// Serving is who answers, as far as the specification goes. Lists are sorted.
type Serving struct {
	Served bool   `json:"served"`
	Why    string `json:"why,omitempty"`
	// Pools that get requests now, in the balancer's order; Fallback is the
	// last resort among them.
	Pools    []string `json:"pools,omitempty"`
	Fallback bool     `json:"fallback,omitempty"`
	Origins  []string `json:"origins,omitempty"`
	Tunnels  []string `json:"tunnels,omitempty"`
	// Connectors are the hosts on which those tunnels have a live one.
	Connectors []string `json:"connectors,omitempty"`
	Routers    []string `json:"virtualRouters,omitempty"`
	// By are the components at the end: hosts, addresses, or a tunnel or pool
	// that somebody else runs.
	By []Component `json:"by,omitempty"`
}

// Move is a Virtual Router whose addresses go elsewhere.
type Move struct {
	Router    string   `json:"virtualRouter"`
	Addresses []string `json:"addresses"`
	// From and To are hosts; To is empty where no member is left. From is the
	// one that is Active when all is well and has been for a while, or who is
	// now, where live state is known.
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
	// Death is how long the addresses are silent when the host just dies:
	// Active_Down_Interval of the new one (RFC 9568, 6.1; RFC 3768, 6.1).
	Death schema.Duration `json:"death,omitempty"`
	// Handover is when the new one takes over where the former hands over, stopped
	// or drained, and answers meanwhile: the new one's Skew_Time.
	Handover schema.Duration `json:"handover,omitempty"`
	// Sticky: another member may be Active now, which From would not take over from.
	Sticky bool `json:"sticky,omitempty"`
}

// Switch is something that notices the failure and lets requests go elsewhere.
type Switch struct {
	// By is "virtualRouter/web", "monitor/web" or "cloudflare" (the tunnel's
	// edge, which no specification has a figure for).
	By string `json:"by"`
	// Within is the longest it takes; 0 where nobody knows.
	Within schema.Duration `json:"within,omitempty"`
	Detail string          `json:"detail"`
}

// WhatIf plays failures on the specification. With a region only the entries
// for it are looked at, and those that no geo map splits.
func (m *Model) WhatIf(failed []Component, region string) *Outcome {
	failed = slices.Clone(failed)
	slices.SortFunc(failed, Component.Compare)
	failed = slices.Compact(failed)
	before, after := m.circuit.state(), m.circuit.state()
	m.fail(after, failed)
	o := &Outcome{Failed: failed, Present: m.Present(), Entries: []EntryOutcome{}, Moves: []Move{}}
	for _, name := range sortedKeys(m.routers) {
		if move, ok := m.move(m.routers[name], before, after); ok {
			o.Moves = append(o.Moves, move)
		}
	}
	m.together(o.Moves)
	for _, e := range m.entries {
		if !m.inRegion(e, region) {
			continue
		}
		x := EntryOutcome{Entry: *e, Before: m.serving(e, before), After: m.serving(e, after)}
		x.Changed = !x.Before.equal(x.After)
		if !x.Before.Served {
			x.Before.Why = cmp.Or(x.Before.Why, m.cause(e), m.whyNot(e))
		}
		if x.Changed && x.Before.Served {
			x.Switches = m.switches(e, x, before, after, o.Moves)
		}
		o.Entries = append(o.Entries, x)
	}
	return o
}

// Regions are the keys of the geo maps, sorted.
func (m *Model) Regions() []string {
	keys := map[string]bool{}
	for _, e := range m.entries {
		if e.regionKey != "" {
			keys[e.regionKey] = true
		}
	}
	return sortedKeys(keys)
}

// inRegion tells whether requests from there may meet the entry. A balancer
// that has no list for a country or data center may have one for where that is,
// which no specification says: all of those are in.
func (m *Model) inRegion(e *Entry, region string) bool {
	if region == "" || !e.balanced || e.regionKey == region {
		return true
	}
	wider := e.geoMap == ""
	for _, o := range m.entries {
		if o.regionKey != region {
			continue
		}
		if o.Kind == e.Kind && o.Name == e.Name && o.rule == e.rule {
			return false
		}
		wider = wider || slices.Index(geoMaps, o.geoMap) < slices.Index(geoMaps, e.geoMap)
	}
	return wider
}

func (m *Model) move(r *router, before, after *state) (Move, bool) {
	from, to := m.active(r, before), m.active(r, after)
	if from.host == to.host {
		return Move{}, false
	}
	v := m.spec.VirtualRouters[r.name]
	move := Move{Router: r.name, Addresses: slices.Concat(v.Addresses, v.ExcludedAddresses), From: from.host, To: to.host, Sticky: m.sticky(r, from, before)}
	if to.host != "" {
		move.Death, move.Handover = ActiveDownInterval(v, to.priority), SkewTime(v, to.priority)
	}
	return move, true
}

// together has the Virtual Routers of a sync group move when the last of them can.
func (m *Model) together(moves []Move) {
	for _, name := range sortedKeys(m.spec.SyncGroups) {
		members := m.spec.SyncGroups[name].Members
		last := map[string]Move{} // by the host that they go to
		for _, x := range moves {
			if slices.Contains(members, x.Router) {
				l := last[x.To]
				last[x.To] = Move{Death: max(l.Death, x.Death), Handover: max(l.Handover, x.Handover)}
			}
		}
		for i := range moves {
			if slices.Contains(members, moves[i].Router) {
				moves[i].Death, moves[i].Handover = last[moves[i].To].Death, last[moves[i].To].Handover
			}
		}
	}
}

// active is the member that ends up as the Active router: who is now stays it,
// as long as it can; nobody knows who is without live state.
func (m *Model) active(r *router, s *state) member {
	if s.up(r.gate) {
		for _, x := range r.members {
			if s.up(x.gate) && slices.Contains(r.active, x.host) {
				return x
			}
		}
		for _, x := range r.members {
			if s.up(x.gate) {
				return x
			}
		}
	}
	return member{}
}

// sticky tells whether another member may be Active, though this one is
// preferred: it takes over from a lower priority only, and if it preempts.
func (m *Model) sticky(r *router, preferred member, s *state) bool {
	return preferred.host != "" && !slices.Contains(r.active, preferred.host) && slices.ContainsFunc(r.members, func(x member) bool {
		return x.host != preferred.host && s.up(x.gate) && (x.priority == preferred.priority || !m.preempts(r.name, preferred.host))
	})
}

// preempts tells whether a member takes over from one with a lower priority,
// which who owns the addresses always does (RFC 9568, 6.1: Preempt_Mode).
func (m *Model) preempts(router, host string) bool {
	v := m.spec.VirtualRouters[router]
	member := v.Members[host]
	if member.Preempt != nil {
		v.Preempt = *member.Preempt
	}
	return v.Preempt || member.Priority == 255
}

// ActiveDownInterval is how long a Backup router of that priority waits for
// advertisements: three intervals and its skew, of which version 2 has a
// second's worth and version 3 an interval's.
func ActiveDownInterval(v schema.VirtualRouter, priority int) schema.Duration {
	return 3*v.Interval + SkewTime(v, priority)
}

// SkewTime is how long a Backup router of that priority waits after the Active
// one has said that it gives up (RFC 9568, 6.1; RFC 3768, 6.1).
func SkewTime(v schema.VirtualRouter, priority int) schema.Duration {
	unit := time.Duration(v.Interval)
	if v.Version == 2 {
		unit = time.Second
	}
	return schema.Duration(time.Duration(256-priority) * unit / 256)
}

func (s Serving) equal(t Serving) bool {
	return s.Served == t.Served && s.Fallback == t.Fallback && slices.Equal(s.Pools, t.Pools) && slices.Equal(s.Origins, t.Origins) &&
		slices.Equal(s.Connectors, t.Connectors) && slices.Equal(s.Routers, t.Routers) && slices.Equal(s.By, t.By)
}

// serving is who answers in that state.
func (m *Model) serving(e *Entry, s *state) Serving {
	if !s.up(e.gate) {
		return Serving{Why: e.why}
	}
	w := walk{m: m, s: s, serving: Serving{Served: true}}
	w.entry(e)
	return w.done()
}

// walk gathers who answers.
type walk struct {
	m       *Model
	s       *state
	serving Serving
}

func (w *walk) entry(e *Entry) {
	for _, x := range e.ends {
		if !w.s.up(x.gate) {
			continue
		}
		if x.balancer != nil {
			w.entry(x.balancer)
			continue
		}
		w.end(x)
	}
	if !e.balanced {
		return
	}
	used := false
	for _, p := range e.pools {
		if w.s.up(p.serving()) && (!used || !e.ordered) {
			used = true
			w.pool(p)
		}
	}
	if !used && e.fallback != nil && w.s.up(e.fallback.answers) {
		w.serving.Fallback = true
		w.pool(e.fallback)
	}
}

func (w *walk) pool(p *pool) {
	w.serving.Pools = append(w.serving.Pools, p.name)
	if p.foreign {
		w.by(Component{KindPool, p.name})
	}
	for _, o := range p.origins {
		if w.s.up(o.gate) {
			w.serving.Origins = append(w.serving.Origins, p.name+"/"+o.name)
			w.end(o.end)
		}
	}
}

func (w *walk) end(x end) {
	if x.tunnel != "" {
		w.serving.Tunnels = append(w.serving.Tunnels, x.tunnel)
		for _, host := range w.m.spec.Tunnels[x.tunnel].Connectors {
			if w.s.up(w.m.function[Component{KindConnector, x.tunnel + "@" + host}]) {
				w.serving.Connectors = append(w.serving.Connectors, host)
				if x.router == "" && x.host == "" && x.address == "" { // It answers, or hands out into the network.
					w.by(Component{KindHost, host})
				}
			}
		}
	}
	switch {
	case x.router != "":
		w.serving.Routers = append(w.serving.Routers, x.router)
		if a := w.m.active(w.m.routers[x.router], w.s); a.host != "" {
			w.by(Component{KindHost, a.host})
		}
	case x.host != "":
		w.by(Component{KindHost, x.host})
	case x.address != "":
		w.by(Component{KindAddress, strings.ToLower(x.address)})
	case x.tunnel != "" && len(w.m.spec.Tunnels[x.tunnel].Connectors) == 0:
		w.by(Component{KindTunnel, x.tunnel})
	}
}

func (w *walk) by(c Component) { w.serving.By = append(w.serving.By, c) }

func (w *walk) done() Serving {
	s := w.serving
	for _, list := range []*[]string{&s.Origins, &s.Tunnels, &s.Connectors, &s.Routers} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	slices.SortFunc(s.By, Component.Compare)
	s.By = slices.Compact(s.By)
	return s
}

// switches says what notices, so that requests of this entry go elsewhere.
func (m *Model) switches(e *Entry, x EntryOutcome, before, after *state, moves []Move) []Switch {
	var found []Switch
	if !x.After.Served {
		return nil
	}
	for _, move := range moves {
		if move.To != "" && slices.Contains(x.Before.Routers, move.Router) && slices.Contains(x.After.Routers, move.Router) {
			found = append(found, Switch{
				By: KindVirtualRouter + "/" + move.Router, Within: move.Death,
				Detail: fmt.Sprintf("Active_Down_Interval of %s; no silence if %s hands over", move.To, move.From),
			})
		}
	}
	pools := slices.Concat(e.allPools(), m.pools) // As its requests meet them, where those know a Host.
	for _, name := range x.Before.Pools {
		if i := slices.IndexFunc(pools, func(p *pool) bool { return p.name == name }); i >= 0 {
			p := pools[i]
			if slices.ContainsFunc(p.origins, func(o origin) bool { return before.up(o.gate) && !after.up(o.gate) }) || before.up(p.healthy) && !after.up(p.healthy) {
				found = append(found, m.monitorSwitch(e, p, slices.Contains(x.After.Pools, name)))
			}
		}
	}
	for _, tunnel := range x.After.Tunnels {
		t := m.spec.Tunnels[tunnel]
		if slices.Contains(x.Before.Tunnels, tunnel) && slices.ContainsFunc(t.Connectors, func(host string) bool {
			g := m.function[Component{KindConnector, tunnel + "@" + host}]
			return before.up(g) && !after.up(g)
		}) {
			found = append(found, Switch{By: "cloudflare", Detail: fmt.Sprintf("takes another connector of tunnel %s once it sees that the connections are gone", tunnel)})
		}
	}
	slices.SortStableFunc(found, func(a, b Switch) int { return cmp.Compare(b.Within, a.Within) })
	return found
}

// allPools are those of a balancer, or of those that records lead to.
func (e *Entry) allPools() []*pool {
	list := slices.Clone(e.pools)
	if e.fallback != nil {
		list = append(list, e.fallback)
	}
	for _, x := range e.ends {
		if x.balancer != nil {
			list = append(list, x.balancer.allPools()...)
		}
	}
	return list
}

// monitorSwitch is how long a pool's monitor takes to notice a dead origin: an
// interval may just have begun, and each try has to time out (API: monitors;
// retries are made at once, within the interval). A balancer that is not
// proxied answers by DNS, which clients remember.
func (m *Model) monitorSwitch(e *Entry, p *pool, stays bool) Switch {
	spec := m.spec.Pools[p.name]
	monitor, ok := m.spec.Monitors[spec.Monitor]
	what := "leaves pool " + p.name
	if stays {
		what = "leaves the dead origins of pool " + p.name
	}
	switch {
	case p.foreign:
		return Switch{By: "cloudflare", Detail: what + " once its monitor sees that; neither is of this specification"}
	case spec.MonitorGroup != "" || !ok && spec.Monitor != "":
		return Switch{By: "monitor/" + cmp.Or(spec.Monitor, spec.MonitorGroup), Detail: what + "; the monitor is not of this specification"}
	case !ok:
		return Switch{By: "nothing", Detail: fmt.Sprintf("pool %s has no monitor: its dead origins go on getting requests", p.name)}
	}
	within := MonitorNotices(monitor)
	detail := fmt.Sprintf("%s: interval %s, %d × timeout %s", what, monitor.Interval, monitor.Retries+1, monitor.Timeout)
	if monitor.ConsecutiveDown > 1 {
		detail += fmt.Sprintf(", %d checks in a row", monitor.ConsecutiveDown)
	}
	if e.dnsTTL > 0 {
		within += e.dnsTTL
		detail += fmt.Sprintf(", and %s of DNS TTL", e.dnsTTL)
	}
	return Switch{By: "monitor/" + spec.Monitor, Within: within, Detail: detail}
}

// MonitorNotices is the longest a monitor takes to notice a dead origin.
func MonitorNotices(m schema.Monitor) schema.Duration {
	return m.Interval*schema.Duration(max(m.ConsecutiveDown, 1)) + m.Timeout*schema.Duration(m.Retries+1)
}
