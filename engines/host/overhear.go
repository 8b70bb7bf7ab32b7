package host

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/hactl/hactl/engines/vrrp"
)

// listen has a router overhear, or no more, as its machine wants it. The list is
// by address: a host with many Virtual Routers would give each packet to all of
// them otherwise.
func (e *Engine) listen(r *router) {
	table := &r.carrier.overhearing[family(r.cfg.ipv6())]
	for addr, routers := range *table {
		(*table)[addr] = slices.DeleteFunc(routers, func(o *router) bool { return o == r })
		if len((*table)[addr]) == 0 {
			delete(*table, addr)
		}
	}
	r.overhears, r.awaits = r.machine.Overhears(), r.machine.Awaiting()
	if !r.overhears {
		return
	}
	if *table == nil {
		*table = map[netip.Addr][]*router{}
	}
	if r.awaits {
		(*table)[anyAddress] = append((*table)[anyAddress], r)
	}
	for addr := range r.addresses {
		(*table)[addr] = append((*table)[addr], r)
	}
}

// anyAddress stands for all packets: who awaits an address may have to hear that it
// is not in one any more.
var anyAddress netip.Addr

// departure is an address that a router here has as well as one that gave it up.
type departure struct {
	router  *router
	address netip.Addr
}

// depart notes addresses that a router stops to hold, and goes on to want, for
// others which they are to move to.
func (e *Engine) depart(r *router, addrs []netip.Addr) {
	if r.retiring || !r.from.Holds() || r.machine.State().Holds() {
		return
	}
	for _, o := range e.routers {
		if o == r || o.retiring || o.unit == nil {
			continue
		}
		for _, addr := range addrs {
			if _, found := o.addresses[addr]; found {
				e.departed = append(e.departed, departure{o, addr})
			}
		}
	}
}

// Waits says whom a router waits for that has its addresses, or one of them; empty
// if nobody.
func (r *RouterStatus) Waits() string {
	switch {
	case !r.Elsewhere.IsValid():
		return ""
	case len(r.Awaited) > 0:
		return fmt.Sprintf("holds back %s, which %v has by another VRID", strings.Trim(fmt.Sprint(r.Awaited), "[]"), r.Elsewhere)
	}
	return fmt.Sprintf("waits for %v, which has its addresses by another VRID, version or password", r.Elsewhere)
}

// overhear gives the packet to those who want one of another VRID, and have one of
// its addresses. It is given to routers by its VRID.
func (e *Engine) overhear(l *link, v6 bool, routers []*router) {
	table := l.overhearing[family(v6)]
	if len(table) == 0 {
		return
	}
	e.heard, e.overhearer = vrrp.AppendAddresses(e.heard[:0], e.packet.Message, v6), e.overhearer[:0]
	vrid, _ := vrrp.VRID(e.packet.Message)
	for _, r := range table[anyAddress] {
		if r.machine.KeptBy(vrid) && !slices.Contains(routers, r) {
			e.overhearer = append(e.overhearer, r)
		}
	}
	for _, addr := range e.heard {
		for _, r := range table[addr] {
			if !slices.Contains(routers, r) && !slices.Contains(e.overhearer, r) {
				e.overhearer = append(e.overhearer, r)
			}
		}
	}
	for _, r := range e.overhearer {
		e.handle(r, (*vrrp.Foreign)(&e.packet))
	}
}
