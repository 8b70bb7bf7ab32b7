package memory

import (
	"errors"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/hactl/hactl/engines/host"
	"github.com/hactl/hactl/engines/vrrp"
)

// Node is a host. Like an engine's process, it outlives who configures it.
type Node struct {
	lan       *LAN
	name      string
	addresses []netip.Addr

	// Of the LAN's lock:
	on      bool
	started time.Time
	routers []*router
	holds   []netip.Addr
	timer   *time.Timer // of the machines
	wanted  *host.Config
	present *host.Config // with its stages
	stages  *time.Timer  // of a change in steps
	observe func(host.Event)
	behind  func(router string) bool
	// unplugged interfaces, "" for all of them. Cables outlive the power.
	unplugged map[string]bool
	results   map[string]host.Result
}

// router is a Virtual Router on a host.
type router struct {
	cfg      host.Router
	machine  *vrrp.Machine
	since    time.Time
	cause    vrrp.Cause
	from     vrrp.State // of the last transition
	heard    time.Time  // an advertisement with accepted parameters other than its own
	retiring bool
	checks   host.Checks
	told     bool // every check has had a result
}

// ErrOff is the error of a host that is switched off.
var ErrOff = errors.New("the host is off")

// Name is the host's.
func (n *Node) Name() string { return n.name }

// Observe has f told of transitions. It must not call the LAN.
func (n *Node) Observe(f func(host.Event)) {
	n.lan.mu.Lock()
	defer n.lan.mu.Unlock()
	n.observe = f
}

// Behind has f asked whether a member is known not to have learned yet, as
// host.Supervisor has it. It must not call the LAN.
func (n *Node) Behind(f func(router string) bool) {
	n.lan.mu.Lock()
	defer n.lan.mu.Unlock()
	n.behind = f
}

// Boot switches the host on: it runs nothing before it is configured.
func (n *Node) Boot() {
	n.lan.mu.Lock()
	defer n.lan.mu.Unlock()
	n.on, n.started = true, time.Now()
}

// Crash switches the host off without a goodbye.
func (n *Node) Crash() {
	n.lan.mu.Lock()
	defer n.lan.mu.Unlock()
	n.on = false
	n.routers, n.holds, n.wanted, n.present, n.results = nil, nil, nil, nil, nil
	for _, t := range []*time.Timer{n.timer, n.stages} {
		if t != nil {
			t.Stop()
		}
	}
}

// Stop hands over, make before break, as an engine that is told to end.
func (n *Node) Stop() {
	n.locked(func() {
		for _, r := range n.routers {
			n.handle(r, vrrp.Shutdown{})
		}
	})
}

// Configure makes a configuration wanted, as host.Supervisor does: in steps
// where the members of a Virtual Router have to agree.
func (n *Node) Configure(c host.Config) error {
	if err := c.Validate(); err != nil {
		return err
	}
	err := error(nil)
	n.locked(func() {
		if !n.on {
			err = ErrOff
			return
		}
		n.wanted = &c
		n.step()
	})
	return err
}

// Cable pulls an interface's cable, or plugs it in; "" is all of them.
func (n *Node) Cable(iface string, plugged bool) {
	n.locked(func() {
		if plugged && iface == "" {
			clear(n.unplugged)
		}
		n.unplugged[iface] = !plugged
		for _, r := range slices.Clone(n.routers) {
			n.handle(r, vrrp.Link(n.linked(r)))
		}
	})
}

func (n *Node) linked(r *router) bool { return !n.unplugged[""] && !n.unplugged[r.cfg.Interface] }

// Results is what health checks have found; those it does not name stay.
func (n *Node) Results(results map[string]host.Result) {
	n.locked(func() {
		if n.results == nil {
			n.results = map[string]host.Result{}
		}
		maps.Copy(n.results, results)
		for _, r := range slices.Clone(n.routers) {
			n.judge(r)
		}
	})
}

// judge gives a machine what its checks say, where that is new.
func (n *Node) judge(r *router) {
	v, complete := n.present.Verdict(&r.cfg, n.results, r.told)
	r.told = r.told || complete
	if v != r.checks {
		r.checks = v
		n.handle(r, v.Event())
	}
}

// Wanted is what the host is to run; nil before it is configured.
func (n *Node) Wanted() *host.Config {
	n.lan.mu.Lock()
	defer n.lan.mu.Unlock()
	return n.wanted
}

// Config is what the host runs; nil before it is configured.
func (n *Node) Config() *host.Config {
	n.lan.mu.Lock()
	defer n.lan.mu.Unlock()
	return n.present
}

// Status is how the host is, as far as there is one in memory; nil when off.
func (n *Node) Status() *host.Status {
	n.lan.mu.Lock()
	defer n.lan.mu.Unlock()
	if !n.on {
		return nil
	}
	s := &host.Status{Build: host.Build(), Started: n.started, Agents: 1}
	if n.present != nil {
		s.Revision = n.present.Revision
	}
	s.Checks = maps.Clone(n.results)
	for _, r := range n.routers {
		m := r.machine.Status()
		v := host.RouterStatus{
			Name: r.cfg.Name, Interface: r.cfg.Interface, VRID: r.cfg.VRID, State: m.State.String(), Cause: r.cause.String(), Since: r.since,
			Priority: m.Priority, Interval: m.Interval, Source: n.source(&r.cfg), Leader: m.Leader, LeaderPriority: m.LeaderPriority, Elsewhere: m.Elsewhere, Awaited: m.Awaited,
			Retiring: r.retiring, Maintenance: r.cfg.Maintenance, Checks: r.checks,
		}
		for _, a := range r.cfg.Addresses {
			v.Addresses = append(v.Addresses, a.Prefix)
			if slices.Contains(n.holds, a.Prefix.Addr()) {
				v.Present = append(v.Present, a.Prefix)
			}
		}
		s.Routers = append(s.Routers, v)
	}
	return s
}

// locked does something under the LAN's lock, and what comes of it.
func (n *Node) locked(do func()) {
	n.lan.mu.Lock()
	defer n.lan.mu.Unlock()
	do()
	n.lan.settle()
	for _, other := range n.lan.nodes {
		other.arm()
	}
}

// step takes the next step to what is wanted.
func (n *Node) step() {
	if !n.on || n.wanted == nil {
		return
	}
	next := *n.wanted
	if n.present != nil {
		next, _ = host.Stage(*n.present, *n.wanted, time.Now())
	}
	next, due := host.Advance(next, time.Now(), host.View{
		Active: func(name string) bool {
			r := n.router(name)
			return r != nil && r.machine.State() == vrrp.StateActive
		},
		Heard: func(name string) (heard time.Time) {
			if r := n.router(name); r != nil {
				heard = r.heard
			}
			return heard
		},
		Behind: n.behind,
	})
	if n.stages != nil {
		n.stages.Stop()
	}
	if !due.IsZero() {
		n.stages = time.AfterFunc(max(time.Until(due), time.Millisecond), func() { n.locked(n.step) })
	}
	n.apply(next)
}

func (n *Node) router(name string) *router {
	for _, r := range n.routers {
		if r.cfg.Name == name && !r.retiring {
			return r
		}
	}
	return nil
}

// apply makes a configuration the present one.
func (n *Node) apply(c host.Config) {
	n.present = &c
	for _, r := range n.routers {
		stays := slices.ContainsFunc(c.Routers, func(w host.Router) bool { return w.Name == r.cfg.Name && w.Interface == r.cfg.Interface })
		if !stays && !r.retiring {
			r.retiring = true
			n.handle(r, vrrp.Shutdown{})
		}
	}
	present := n.heldByActive()
	for _, w := range c.Routers {
		cfg := w.MachineConfig(n.source(&w))
		if r := n.router(w.Name); r != nil {
			cfg.Present = present
			r.cfg = w
			n.handle(r, &cfg)
			n.handle(r, vrrp.Maintenance(w.Maintenance || c.Maintenance))
			n.judge(r)
			continue
		}
		m, err := vrrp.New(cfg)
		if err != nil {
			panic("memory: " + err.Error()) // It was validated.
		}
		r := &router{cfg: w, machine: m, since: time.Now()}
		n.routers = append(n.routers, r)
		n.handle(r, vrrp.Maintenance(w.Maintenance || c.Maintenance))
		n.handle(r, vrrp.Link(n.linked(r)))
		n.judge(r)
		n.handle(r, vrrp.Startup{})
	}
	n.routers = slices.DeleteFunc(n.routers, func(r *router) bool { return r.retiring && r.machine.State() == vrrp.StateInitialize })
}

// held reports whether a router but that one holds an address.
func (n *Node) held(address netip.Addr, but *router) bool {
	return slices.ContainsFunc(n.routers, func(r *router) bool {
		return r != but && r.machine.State().Holds() && !r.machine.Awaits(address) && r.has(address)
	})
}

// depart tells other routers which of their addresses one stops to hold that goes
// on to want them.
func (n *Node) depart(r *router, addresses []netip.Addr) {
	if r.retiring || !r.from.Holds() || r.machine.State().Holds() {
		return
	}
	for _, o := range slices.Clone(n.routers) {
		for _, address := range addresses {
			if o != r && !o.retiring && o.has(address) {
				n.handle(o, vrrp.AddressLeft{Address: address})
			}
		}
	}
}

func (r *router) has(address netip.Addr) bool {
	return slices.ContainsFunc(slices.Concat(r.cfg.Addresses, r.cfg.Excluded), func(a host.Address) bool { return a.Prefix.Addr() == address })
}

// heldByActive are the addresses that are here by a router which stays.
func (n *Node) heldByActive() (held []netip.Addr) {
	for _, r := range n.routers {
		for _, a := range slices.Concat(r.cfg.Addresses, r.cfg.Excluded) {
			if !r.retiring && r.machine.State() == vrrp.StateActive && !r.machine.Awaits(a.Prefix.Addr()) {
				held = append(held, a.Prefix.Addr())
			}
		}
	}
	return held
}

func (n *Node) source(r *host.Router) netip.Addr {
	if r.Source.IsValid() {
		return r.Source
	}
	six := len(r.Addresses) > 0 && r.Addresses[0].Prefix.Addr().Is6()
	for _, a := range n.addresses {
		if a.Is6() == six {
			return a
		}
	}
	return netip.Addr{}
}

func (n *Node) receive(wire string, p *vrrp.Packet) {
	if !n.on {
		return
	}
	for _, r := range slices.Clone(n.routers) {
		if n.linked(r) && n.lan.wireOf(n, r.cfg.Interface) == wire {
			n.handle(r, p)
		}
	}
}

// handle gives an event to a machine and does what it asks for.
func (n *Node) handle(r *router, ev vrrp.Event) {
	for _, a := range r.machine.Handle(n.lan.now(), ev) {
		switch a.Kind {
		case vrrp.ActionSend:
			group := vrrp.MulticastAddress(r.cfg.Addresses[0].Prefix.Addr().Is6())
			source := n.source(&r.cfg)
			if n.linked(r) {
				if n.lan.watch != nil {
					n.lan.watch(Advert{time.Now(), n.name, r.cfg.Interface, r.cfg.VRID, group.Is6(), a.Priority})
				}
				n.lan.send(n, n.lan.wireOf(n, r.cfg.Interface), source, group, r.cfg.Peers, func(to netip.Addr) []byte { return r.machine.Append(nil, to, a.Priority) })
			}
		case vrrp.ActionAdd:
			for _, address := range a.Addresses {
				if !slices.Contains(n.holds, address) {
					n.holds = append(n.holds, address)
				}
			}
		case vrrp.ActionRemove:
			n.depart(r, a.Addresses)
			n.holds = slices.DeleteFunc(n.holds, func(h netip.Addr) bool { return slices.Contains(a.Addresses, h) && !n.held(h, r) })
		case vrrp.ActionTransition:
			r.since, r.cause, r.from = time.Now(), a.Cause, a.From
			if n.observe != nil {
				n.observe(host.Event{Time: r.since, Router: r.cfg.Name, Kind: "transition", From: a.From.String(), To: a.To.String(), Cause: a.Cause.String()})
			}
		case vrrp.ActionNote:
			if a.Note == vrrp.NoteAlternative {
				r.heard = time.Now()
				if n.present != nil && slices.ContainsFunc(n.present.Routers, func(c host.Router) bool { return c.Name == r.cfg.Name && c.Staging != nil }) {
					time.AfterFunc(time.Millisecond, func() { n.locked(n.step) })
				}
			}
		}
	}
}

// arm sets the timer of the machines.
func (n *Node) arm() {
	if n.timer != nil {
		n.timer.Stop()
	}
	due := time.Duration(vrrp.Never)
	for _, r := range n.routers {
		due = min(due, r.machine.Deadline())
	}
	if !n.on || due == vrrp.Never {
		return
	}
	n.timer = time.AfterFunc(max(due-n.lan.now(), 0), func() {
		n.locked(func() {
			if !n.on {
				return
			}
			now := n.lan.now()
			for _, r := range slices.Clone(n.routers) {
				if r.machine.Deadline() <= now {
					n.handle(r, vrrp.Timeout{})
				}
			}
		})
	})
}
