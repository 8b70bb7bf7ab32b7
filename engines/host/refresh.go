package host

import (
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/hactl/hactl/engines/vrrp"
)

// refresh makes sockets, machines and addresses follow the links. It looks at
// states and not at changes, so it may be called at any time.
func (e *Engine) refresh() {
	e.dirty, e.retryAt = false, vrrp.Never
	for e.resync {
		e.resync = false
		if err := e.readAll(); err != nil {
			e.tell(Event{Time: time.Now(), Kind: "problem", Detail: err.Error()})
			e.resync = true
			e.retryAt = e.now + retryPeriod
			break
		}
		e.resync = false // readAll has found links whose addresses it has read too
	}
	for _, r := range e.routers {
		e.makeHome(r)
	}
	for _, l := range e.links {
		e.refreshLink(l)
	}
	e.packet.Source = netip.Addr{}
	for _, r := range e.routers {
		e.lend(r)
		e.refreshRouter(r)
	}
}

// refreshLink opens the sockets that routers on l need.
func (e *Engine) refreshLink(l *link) {
	l.problem = ""
	if l.kernel.index == 0 {
		return
	}
	var need, join, hear [2]bool
	for _, r := range e.routers {
		f := family(r.cfg.ipv6())
		need[f] = need[f] || r.carrier == l || r.home == l
		if r.carrier == l {
			join[f] = true
			for addr := range r.addresses {
				hear[family(addr.Is6())] = true
			}
		}
	}
	fail := func(err error) {
		if err != nil {
			l.problem = err.Error()
			e.retryAt = e.now + retryPeriod
		}
	}
	for f := range need {
		v6 := f == 1
		if s := l.sockets[f]; s != nil && !need[f] {
			e.forget(s.fd)
			s.close()
			l.sockets[f] = nil
		} else if s == nil && need[f] {
			fail(e.openSocket(l, v6, join[f]))
		}
		if !hear[f] {
			e.closeWatch(l, f)
		} else if l.kernel.ether {
			fail(e.openWatch(l, v6))
		}
	}
}

func (e *Engine) openSocket(l *link, v6, join bool) error {
	s, err := openSocket(l.name, l.kernel.index, v6, join)
	if err != nil {
		return err
	}
	if err := e.poll(s.fd, file{kind: fileSocket, link: l, socket: s}); err != nil {
		s.close()
		return err
	}
	l.sockets[family(v6)] = s
	return nil
}

func (e *Engine) openWatch(l *link, v6 bool) error {
	addrs := l.virtualAddresses(v6, e.routers)
	if w := l.watches[family(v6)]; w != nil {
		return w.filter(addrs)
	}
	w, err := openWatch(l.kernel.index, v6, addrs)
	if err != nil {
		return err
	}
	if err := e.poll(w.fd, file{kind: fileWatch, link: l, watch: w}); err != nil {
		w.close()
		return err
	}
	l.watches[family(v6)] = w
	return nil
}

// refreshRouter tells a machine what has become of its interface.
func (e *Engine) refreshRouter(r *router) {
	if r.unit == nil {
		return // not started yet
	}
	source, up := e.judge(r)
	if source.IsValid() && source != r.source {
		r.source = source
		if r.machine.State() != vrrp.StateInitialize {
			e.handle(r, e.machineConfig(r))
		}
	}
	if up != r.up {
		r.up = up
		if up {
			e.greet(r)
		}
		e.handle(r, vrrp.Link(up))
	}
	e.catchUp(r)
	if !r.machine.State().Holds() {
		return
	}
	for addr, a := range r.addresses {
		if !r.home.has(a.Prefix) {
			e.handle(r, vrrp.AddressLost{Address: addr})
		}
	}
}

// lend gives an IPv6 macvlan its parent's link-local address, without which it
// may not send from it.
func (e *Engine) lend(r *router) {
	if r.home == r.carrier || !r.cfg.ipv6() || !r.home.kernel.up() {
		return
	}
	source, _ := e.judge(r)
	p := netip.PrefixFrom(source, 128)
	if !source.IsValid() || r.home.has(p) {
		return
	}
	if _, err := e.rtnl.addAddress(r.home.kernel.index, Address{Prefix: p}, true); err != nil {
		e.tell(Event{Time: time.Now(), Router: r.cfg.Name, Kind: "problem", Detail: fmt.Sprintf("add %v to %s: %v", p, r.home.name, err)})
		return
	}
	r.home.hear(kernelAddress{index: r.home.kernel.index, prefix: p, proto: addressProto}, false)
}

// judge says which source a router has, and whether it can take part.
func (e *Engine) judge(r *router) (source netip.Addr, up bool) {
	v6 := r.cfg.ipv6()
	source = r.cfg.Source
	if !source.IsValid() {
		virtual := e.isVirtual
		if r.cfg.Priority == vrrp.Owner {
			virtual = func(netip.Addr) bool { return false }
		}
		source = r.carrier.primary(v6, r.source, virtual)
	}
	f := family(v6)
	switch {
	case r.carrier.kernel.index == 0:
		r.problem = fmt.Sprintf("interface %s does not exist", r.carrier.name)
	case !r.carrier.kernel.up():
		r.problem = fmt.Sprintf("interface %s is down", r.carrier.name)
	case r.carrier.problem != "":
		r.problem = r.carrier.problem
	case r.home.kernel.index == 0 || !r.home.kernel.up():
		r.problem = fmt.Sprintf("interface %s is not up yet", r.home.name)
	case r.carrier.sockets[f] == nil || r.home.sockets[f] == nil:
		r.problem = "no socket"
	case !source.IsValid():
		r.problem = fmt.Sprintf("interface %s has no address to send from", r.carrier.name)
	default:
		r.problem = ""
	}
	return source, r.problem == ""
}

func (e *Engine) isVirtual(a netip.Addr) bool { return e.virtual[a] }

func (e *Engine) machineConfig(r *router) *vrrp.Config {
	source := r.source
	if !source.IsValid() {
		source = placeholder(r.cfg.ipv6())
	}
	c := r.cfg.MachineConfig(source)
	return &c
}

// forwards reports whether we are an IPv6 router on l, which the R flag says.
func (e *Engine) forwards(l *link) bool {
	b, err := os.ReadFile("/proc/sys/net/ipv6/conf/" + l.name + "/forwarding")
	return err == nil && len(b) > 0 && b[0] == '1'
}
