package host

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hactl/hactl/engines/vrrp"
)

// router is one Virtual Router at work: its machine, and where its addresses
// and packets go.
type router struct {
	cfg       Router
	machine   *vrrp.Machine
	unit      *unit
	member    int
	carrier   *link // receives, and says whether we can take part
	home      *link // holds the addresses and sends; the macvlan with UseVMAC
	source    netip.Addr
	heardOn   int // index of the interface that hearOwner was called for
	up        bool
	retiring  bool // no longer configured; ends once it has let go
	problem   string
	addresses map[netip.Addr]Address
	routed    bool
	overhears bool      // in its link's list
	awaits    bool      // likewise, for packets without its addresses
	changes   time.Time // of the last transition
	cause     vrrp.Cause
	from      vrrp.State // of the last transition

	unannounced []netip.Addr // which the kernel has not put to work yet

	lingering []netip.Addr // still held although another router is Active
	lingerAt  time.Duration

	checks Checks
	told   bool // every check has had a result, or it runs without
	fails  Failures
	quiet  [2][64]time.Duration // no log line about this reason or note before
	parted [2][64]uint32        // left out since
}

// Failures counts what the kernel refused.
type Failures struct {
	Send     uint64 `json:"send,omitempty"`
	Announce uint64 `json:"announce,omitempty"`
	Address  uint64 `json:"address,omitempty"`
	Route    uint64 `json:"route,omitempty"`
}

// unit is what shares a deadline: a machine, or the machines of a sync group.
type unit struct {
	name     string // of the sync group
	machine  *vrrp.Machine
	group    *vrrp.Group
	members  []*router
	deadline time.Duration
	heap     int // place in Engine.heap
}

// handle gives an event to a member and does what follows.
func (e *Engine) handle(r *router, ev vrrp.Event) {
	u, now := r.unit, e.now
	if u.group != nil {
		for _, a := range u.group.Handle(now, r.member, ev) {
			e.act(u.members[a.Member], a.Action)
		}
		u.deadline = u.group.Deadline()
		for _, m := range u.members {
			e.settle(m)
		}
	} else {
		for _, a := range u.machine.Handle(now, ev) {
			e.act(r, a)
		}
		u.deadline = u.machine.Deadline()
		e.settle(r)
	}
	e.heap.fix(u)
	for len(e.departed) > 0 {
		d := e.departed[0]
		e.departed = e.departed[1:]
		e.handle(d.router, vrrp.AddressLeft{Address: d.address})
	}
}

// act does one thing a machine asks for. Order matters and nothing waits.
func (e *Engine) act(r *router, a vrrp.Action) {
	switch a.Kind {
	case vrrp.ActionSend:
		e.sendAdvertisement(r, a.Priority)
	case vrrp.ActionAdd:
		r.lingering = slices.DeleteFunc(r.lingering, func(l netip.Addr) bool { return slices.Contains(a.Addresses, l) })
		e.addAddresses(r, a.Addresses)
	case vrrp.ActionRemove:
		e.depart(r, a.Addresses)
		if relieved(r.cause) && !r.machine.State().Holds() {
			e.linger(r, a.Addresses)
		} else {
			e.removeAddresses(r, a.Addresses)
		}
	case vrrp.ActionAnnounce:
		e.announce(r, a.Addresses, int(a.Repeat))
	case vrrp.ActionTransition:
		r.changes, r.cause, r.from = time.Now(), a.Cause, a.From
		e.tell(Event{Time: r.changes, Router: r.cfg.Name, Kind: "transition", Retiring: r.retiring && !e.stopping, From: a.From.String(), To: a.To.String(), Cause: a.Cause.String()})
	case vrrp.ActionDrop:
		e.tellRarely(r, 0, uint8(a.Reason))
	case vrrp.ActionNote:
		e.tellRarely(r, 1, uint8(a.Note))
	}
}

// settle follows a machine's state with what is slower than addresses.
func (e *Engine) settle(r *router) {
	state := r.machine.State()
	if holds := state.Holds(); holds != r.routed && len(r.cfg.Routes) > 0 {
		r.routed = holds
		e.routes(r, r.cfg.Routes, holds)
	}
	if r.machine.Overhears() != r.overhears || r.machine.Awaiting() != r.awaits {
		e.listen(r)
	}
	if r.retiring && state == vrrp.StateInitialize && len(r.lingering) == 0 {
		e.retired = append(e.retired, r)
	}
}

func (e *Engine) sendAdvertisement(r *router, priority uint8) {
	s := r.home.sockets[family(r.cfg.ipv6())]
	if s == nil || !r.source.IsValid() {
		r.fails.Send++
		return
	}
	if len(r.cfg.Peers) == 0 {
		e.sendTo(r, s, vrrp.MulticastAddress(s.v6), priority)
		return
	}
	for _, p := range r.cfg.Peers {
		e.sendTo(r, s, p, priority)
	}
}

func (e *Engine) sendTo(r *router, s *socket, dst netip.Addr, priority uint8) {
	e.sender.message = r.machine.Append(e.sender.message[:0], dst, priority)
	if errno := e.sender.send(s, r.source, dst); errno != 0 {
		if r.fails.Send++; r.fails.Send&(r.fails.Send-1) == 0 {
			e.tell(Event{Time: time.Now(), Router: r.cfg.Name, Kind: "problem", Detail: fmt.Sprintf("send to %v: %v", dst, errno)})
		}
	}
}

func (e *Engine) addAddresses(r *router, addrs []netip.Addr) {
	if r.home.kernel.index == 0 {
		return
	}
	added := false
	for _, addr := range addrs {
		a := r.addresses[addr]
		fresh, err := e.rtnl.addAddress(r.home.kernel.index, a, r.home.connected(a.Prefix))
		if err != nil {
			r.fails.Address++
			e.tell(Event{Time: time.Now(), Router: r.cfg.Name, Kind: "problem", Detail: fmt.Sprintf("add %v to %s: %v", a.Prefix, r.home.name, err)})
			continue
		}
		if !fresh {
			continue // perhaps the host's own, which is not ours to mark
		}
		added = true
		// Its echo will say the same; until then nobody shall miss it.
		k := kernelAddress{index: r.home.kernel.index, prefix: a.Prefix, proto: addressProto}
		if addr.Is6() {
			k.flags = unix.IFA_F_TENTATIVE
		}
		r.home.hear(k, false)
	}
	if r.home.kernel.up() {
		e.await(r, addrs)
	}
	if added && r.routed {
		// With an address go the routes that have it as their source.
		e.routes(r, r.cfg.Routes, true)
	}
}

// removeAddresses spares what another router here holds, and what is the host's
// own and no mistake: an owner's (RFC 9568 1.6), and the only one that an
// interface has. Any other one that is not ours was left by somebody who held
// it before us, such as a keepalived that was killed.
func (e *Engine) removeAddresses(r *router, addrs []netip.Addr) {
	l := r.home
	if l.kernel.index == 0 {
		return
	}
	for _, addr := range addrs {
		a := r.addresses[addr]
		if e.heldElsewhere(r, addr) || l == r.carrier && l.ownAddress(addr) && (r.cfg.Priority == vrrp.Owner || !l.primary(addr.Is6(), netip.Addr{}, e.isVirtual).IsValid()) {
			continue
		}
		e.removePrefix(r, l, a.Prefix)
		e.removeOtherPrefixes(r, a)
	}
}

// removeOtherPrefixes removes an address under another prefix length than it
// has now, left from a former configuration.
func (e *Engine) removeOtherPrefixes(r *router, a Address) {
	for i := len(r.home.addrs) - 1; i >= 0; i-- {
		if b := r.home.addrs[i]; b.prefix.Addr() == a.Prefix.Addr() && b.prefix != a.Prefix && b.proto == addressProto {
			e.removePrefix(r, r.home, b.prefix)
		}
	}
}

func (e *Engine) removePrefix(r *router, l *link, p netip.Prefix) {
	if !p.IsValid() {
		return
	}
	if err := e.rtnl.removeAddress(l.kernel.index, p); err != nil {
		r.fails.Address++
		e.tell(Event{Time: time.Now(), Router: r.cfg.Name, Kind: "problem", Detail: fmt.Sprintf("remove %v from %s: %v", p, l.name, err)})
		return
	}
	l.hear(kernelAddress{prefix: p}, true)
}

// ownAddress reports whether addr is here without our mark.
func (l *link) ownAddress(addr netip.Addr) bool {
	return slices.ContainsFunc(l.addrs, func(a kernelAddress) bool { return a.prefix.Addr() == addr && a.proto != addressProto })
}

func (e *Engine) heldElsewhere(r *router, addr netip.Addr) bool {
	for _, o := range e.routers {
		if o != r && o.home == r.home && slices.Contains(o.lingering, addr) {
			return true // its own time is short
		}
		if o != r && o.home == r.home && o.machine != nil && o.machine.State().Holds() && !o.machine.Awaits(addr) {
			if _, found := o.addresses[addr]; found {
				return true
			}
		}
	}
	return false
}

// announce tells the LAN where addresses are. One that the kernel has not put to
// work is announced once it has: who held it before us answers until then.
func (e *Engine) announce(r *router, addrs []netip.Addr, repeat int) {
	l := r.home
	if l.kernel.index == 0 || !l.kernel.ether {
		return
	}
	if addrs = r.ready(addrs); len(addrs) == 0 {
		return
	}
	router := slices.ContainsFunc(addrs, netip.Addr.Is6) && e.forwards(l)
	for range repeat {
		for _, addr := range addrs {
			if addr.Is4() {
				e.frame = appendARP(e.frame[:0], l.kernel.mac, addr)
			} else {
				e.frame = appendNA(e.frame[:0], l.kernel.mac, addr, router)
			}
			if errno := e.announcer.send(l.kernel.index, e.frame); errno != 0 {
				r.fails.Announce++
			}
		}
	}
}

// ready leaves out, and keeps for later, what does not answer yet.
func (r *router) ready(addrs []netip.Addr) []netip.Addr {
	if !slices.ContainsFunc(addrs, r.tentative) {
		return addrs
	}
	var out []netip.Addr
	for _, addr := range addrs {
		if !r.tentative(addr) {
			out = append(out, addr)
		} else if !slices.Contains(r.unannounced, addr) {
			r.unannounced = append(r.unannounced, addr)
		}
	}
	return out
}

// tentative reports whether the kernel has an address and does not answer for it.
func (r *router) tentative(addr netip.Addr) bool {
	return addr.Is6() && slices.ContainsFunc(r.home.addrs, func(a kernelAddress) bool {
		return a.prefix.Addr() == addr && a.flags&unix.IFA_F_TENTATIVE != 0
	})
}

// catchUp announces what has begun to answer meanwhile.
func (e *Engine) catchUp(r *router) {
	addrs := r.unannounced
	r.unannounced = nil
	if len(addrs) > 0 && r.machine.State() == vrrp.StateActive {
		e.announce(r, addrs, int(max(r.cfg.Announcements.Repeat, 1)))
	}
}

// prefixes lists what the kernel is to hold for a router.
func (r *router) prefixes() map[netip.Addr]Address {
	out := make(map[netip.Addr]Address, len(r.cfg.Addresses)+len(r.cfg.Excluded))
	for _, a := range slices.Concat(r.cfg.Addresses, r.cfg.Excluded) {
		out[a.Prefix.Addr()] = a
	}
	return out
}

// quietFor is how long the same reason makes no second line.
const quietFor = 10 * time.Second

// tellRarely reports a drop (kind 0) or a note (kind 1) of a router, the first
// at once, then with the number left out.
func (e *Engine) tellRarely(r *router, kind int, code uint8) {
	code %= 64
	if e.now < r.quiet[kind][code] {
		r.parted[kind][code]++
		return
	}
	ev := Event{Time: time.Now(), Router: r.cfg.Name, Repeated: r.parted[kind][code]}
	if kind == 0 {
		ev.Kind, ev.Reason = "drop", vrrp.Reason(code).String()
	} else {
		ev.Kind, ev.Note = "note", vrrp.Note(code).String()
	}
	if e.packet.Source.IsValid() {
		ev.Source = e.packet.Source
	}
	r.quiet[kind][code], r.parted[kind][code] = e.now+quietFor, 0
	e.tell(ev)
}
