package host

import (
	"net/netip"
	"slices"

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
	r.overhears = r.machine.Overhears()
	if !r.overhears {
		return
	}
	if *table == nil {
		*table = map[netip.Addr][]*router{}
	}
	for addr := range r.addresses {
		(*table)[addr] = append((*table)[addr], r)
	}
}

// overhear gives the packet to those who want one of another VRID, and have one of
// its addresses. It is given to routers by its VRID.
func (e *Engine) overhear(l *link, v6 bool, routers []*router) {
	table := l.overhearing[family(v6)]
	if len(table) == 0 {
		return
	}
	e.heard, e.overhearer = vrrp.AppendAddresses(e.heard[:0], e.packet.Message, v6), e.overhearer[:0]
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
