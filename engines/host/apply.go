package host

import (
	"maps"
	"net/netip"
	"slices"

	"github.com/hactl/hactl/engines/vrrp"
)

// apply makes a validated configuration the present one. Routers that stay are
// told what is new and keep their state; resume holds what a former process
// knew about those that begin.
//
// A sync group is made of machines, not machines of groups: where membership
// changes, the machines are made anew and go on from their snapshots, which
// costs an advertisement and an announcement but no address.
func (e *Engine) apply(cfg Config, resume map[string]vrrp.Snapshot) {
	e.now = e.clock()
	e.cfg = cfg
	maps.DeleteFunc(e.results, func(name string, _ Result) bool { _, known := cfg.Checks[name]; return !known })
	e.listAddresses()
	e.filter()
	present := map[string]*router{}
	for _, r := range e.routers {
		if !r.retiring {
			present[r.cfg.Name] = r
		}
	}
	var starting []*router
	wanted := map[string]*router{}
	for _, c := range cfg.Routers {
		r := present[c.Name]
		if r == nil || !r.sameIdentity(&c) {
			r = e.newRouter(c)
			starting = append(starting, r)
		}
		wanted[c.Name] = r
	}
	for _, u := range slices.Clone(e.units) {
		if !u.intact(&cfg, wanted) {
			e.dissolve(u)
		}
	}
	for name, r := range present {
		if wanted[name] != r {
			e.retire(r)
		}
	}
	held := e.held()
	for _, c := range cfg.Routers {
		if r := wanted[c.Name]; !slices.Contains(starting, r) {
			e.reconfigure(r, c, held)
		}
	}
	e.routers = append(e.routers, starting...)
	e.index()
	e.refresh() // opens sockets, knows sources; those that start have no unit yet
	grouped := map[string]bool{}
	for _, g := range cfg.SyncGroups {
		var members []*router
		for _, name := range g.Members {
			members = append(members, wanted[name])
			grouped[name] = true
		}
		e.form(g.Name, members, resume)
	}
	for _, c := range cfg.Routers {
		if !grouped[c.Name] {
			e.form("", []*router{wanted[c.Name]}, resume)
		}
	}
	e.dropStale()
	e.refresh()
}

func (r *router) sameIdentity(c *Router) bool {
	return r.cfg.Interface == c.Interface && r.cfg.ipv6() == c.ipv6() && r.cfg.UseVMAC == c.UseVMAC &&
		(!c.UseVMAC || r.cfg.VRID == c.VRID)
}

func (e *Engine) newRouter(c Router) *router {
	r := &router{cfg: c, carrier: e.linkOf(c.Interface)}
	r.home = r.carrier
	if c.UseVMAC {
		r.home = e.linkOf(vmacName(&c))
	}
	r.addresses = r.prefixes()
	return r
}

func (e *Engine) linkOf(name string) *link {
	l := e.links[name]
	if l == nil {
		l = &link{name: name}
		e.links[name] = l
		e.resync = true
	}
	return l
}

// intact reports whether a unit has the members that the configuration wants
// together, so that it may stay as it is.
func (u *unit) intact(cfg *Config, wanted map[string]*router) bool {
	if u.members[0].retiring {
		return true // goes its way
	}
	var names []string
	for _, m := range u.members {
		if wanted[m.cfg.Name] != m {
			return len(u.members) == 1 // retires alone, or not in a group
		}
		names = append(names, m.cfg.Name)
	}
	for _, g := range cfg.SyncGroups {
		if slices.Contains(g.Members, names[0]) {
			return u.group != nil && slices.Equal(g.Members, names)
		}
	}
	return u.group == nil
}

// dissolve makes every member of a unit a machine of its own again.
func (e *Engine) dissolve(u *unit) {
	e.dropUnit(u)
	for _, r := range u.members {
		snapshot := r.machine.Snapshot()
		r.unit = nil
		e.begin("", []*router{r}, map[string]vrrp.Snapshot{r.cfg.Name: snapshot})
	}
}

func (e *Engine) dropUnit(u *unit) {
	e.heap.remove(u)
	e.units = slices.DeleteFunc(e.units, func(o *unit) bool { return o == u })
}

// form brings routers together that are not yet.
func (e *Engine) form(name string, members []*router, resume map[string]vrrp.Snapshot) {
	if u := members[0].unit; u != nil && (u.group != nil) == (name != "") && slices.Equal(u.members, members) {
		u.name = name
		return
	}
	known := maps.Clone(resume)
	if known == nil {
		known = map[string]vrrp.Snapshot{}
	}
	for _, r := range members {
		if r.unit != nil {
			known[r.cfg.Name] = r.machine.Snapshot()
			e.dropUnit(r.unit)
			r.unit = nil
		}
	}
	e.begin(name, members, known)
}

// begin makes machines and starts them.
func (e *Engine) begin(name string, members []*router, resume map[string]vrrp.Snapshot) {
	u := &unit{name: name, members: members, deadline: vrrp.Never}
	var machines []*vrrp.Machine
	for i, r := range members {
		r.source, r.up = e.judge(r)
		m, err := vrrp.New(*e.machineConfig(r))
		if err != nil {
			panic("validated configuration refused: " + err.Error())
		}
		r.machine, r.unit, r.member = m, u, i
		machines = append(machines, m)
	}
	u.machine = machines[0]
	if name != "" {
		u.machine, u.group = nil, vrrp.NewGroup(machines...)
	}
	e.units = append(e.units, u)
	e.heap.push(u)
	for _, r := range members {
		e.handle(r, vrrp.Link(r.up))
		if r.up {
			e.greet(r)
		}
		_, resumed := resume[r.cfg.Name]
		var complete bool
		r.checks, complete = e.cfg.Verdict(&r.cfg, e.results, r.told || resumed)
		r.told = r.told || resumed || complete
		e.handle(r, r.checks.Event())
		e.handle(r, vrrp.Maintenance(e.maintained(r)))
	}
	for _, r := range members {
		start := vrrp.Startup{}
		if s, known := resume[r.cfg.Name]; known {
			start.Resume = &s
		}
		e.handle(r, start)
	}
}

// held are the addresses that are here by a router which stays.
func (e *Engine) held() (held []netip.Addr) {
	for _, r := range e.routers {
		if r.machine != nil && !r.retiring && r.machine.State() == vrrp.StateActive {
			for addr := range r.addresses {
				if !r.machine.Awaits(addr) {
					held = append(held, addr)
				}
			}
		}
	}
	return held
}

// reconfigure tells a running router what is new, and which addresses this host
// had before. While the machine works it may name both former and new addresses.
func (e *Engine) reconfigure(r *router, c Router, held []netip.Addr) {
	former, next := r.addresses, (&router{cfg: c}).prefixes()
	formerRoutes := r.cfg.Routes
	both := maps.Clone(former)
	maps.Copy(both, next)
	r.cfg, r.addresses = c, both
	if source, _ := e.judge(r); source.IsValid() {
		r.source = source
	}
	told := e.machineConfig(r)
	told.Present = held
	e.handle(r, told)
	e.judgeChecks(r)
	e.handle(r, vrrp.Maintenance(e.maintained(r)))
	r.addresses = next
	if !r.machine.State().Holds() {
		return
	}
	for addr, a := range next {
		if b, had := former[addr]; had && a != b && !r.machine.Awaits(addr) {
			// Both exist for a moment; the address never goes.
			if a.Prefix == b.Prefix {
				e.removePrefix(r, r.home, b.Prefix)
			}
			e.addAddresses(r, []netip.Addr{addr})
			e.removeOtherPrefixes(r, a)
		}
	}
	e.routes(r, missingRoutes(formerRoutes, c.Routes), false)
	e.routes(r, missingRoutes(c.Routes, formerRoutes), true)
	r.routed = len(c.Routes) > 0
}

func missingRoutes(have, without []Route) []Route {
	var out []Route
	for _, r := range have {
		if !slices.Contains(without, r) {
			out = append(out, r)
		}
	}
	return out
}

// retire lets go of a router that is no longer wanted, make before break.
func (e *Engine) retire(r *router) {
	if r.retiring {
		return
	}
	r.retiring = true
	e.handle(r, vrrp.Shutdown{})
}

// bury removes what has ended from every list.
func (e *Engine) bury() {
	ended := e.retired
	e.retired = nil
	for _, r := range ended {
		if !slices.Contains(e.routers, r) {
			continue
		}
		e.routers = slices.DeleteFunc(e.routers, func(o *router) bool { return o == r })
		if u := r.unit; !slices.ContainsFunc(u.members, func(m *router) bool { return m.machine.State() != vrrp.StateInitialize }) {
			if slices.Contains(e.units, u) {
				e.dropUnit(u)
			}
		}
		e.dropHome(r)
	}
	e.index()
	e.filter()
	e.dirty = true
	e.refresh()
}

// index rebuilds what finds routers and their addresses.
func (e *Engine) index() {
	clear(e.virtual)
	for _, l := range e.links {
		clear(l.table[0][:])
		clear(l.table[1][:])
		l.overhearing = [2]map[netip.Addr][]*router{}
	}
	for _, r := range e.routers {
		for addr := range r.addresses {
			e.virtual[addr] = true
		}
		t := &r.carrier.table[family(r.cfg.ipv6())]
		add := func(vrid uint8) {
			if !slices.Contains(t[vrid], r) {
				t[vrid] = append(t[vrid], r)
			}
		}
		add(r.cfg.VRID)
		for _, a := range r.cfg.Accept {
			add(a.VRID)
		}
		if r.machine != nil {
			e.listen(r)
		}
	}
}

func (e *Engine) maintained(r *router) bool {
	return e.cfg.Maintenance || r.cfg.Maintenance || e.maintenance[""] || e.maintenance[r.cfg.Name]
}

// shutdown stops everything; run returns once all have let go.
func (e *Engine) shutdown(now bool) {
	e.now = e.clock()
	e.stopping = true
	e.dropStale() // of an engine that ends before it was configured
	for _, r := range slices.Clone(e.routers) {
		r.retiring = true
	}
	for _, u := range slices.Clone(e.units) {
		e.handle(u.members[0], vrrp.Shutdown{Now: now})
	}
}
