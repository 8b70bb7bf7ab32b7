package netns

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/hactl/hactl/schema"
)

// subnets are those that the members' interfaces have for a Virtual Router: of
// the virtual addresses, and of what the members send from and route by. A
// virtual address of a single host (/32, /128) and an address without a prefix
// length get a /24 or a /64 around them, unless another subnet has them.
func (p *planner) subnets(v schema.VirtualRouter) []netip.Prefix {
	var list []netip.Prefix
	var single []netip.Addr
	all, _ := virtualPrefixes(v)
	for _, a := range all {
		if a.IsSingleIP() {
			single = append(single, a.Addr())
		} else {
			list = append(list, a.Masked())
		}
	}
	for _, name := range sorted(v.Members) {
		if a, err := netip.ParseAddr(v.Members[name].Address); err == nil {
			single = append(single, a)
		} else if a, err := netip.ParseAddr(p.spec.Hosts[name].Address); err == nil && v.Unicast {
			single = append(single, a)
		}
	}
	single = append(single, gateways(v)...)
	for _, a := range single {
		if !slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(a) }) {
			list = append(list, around(a))
		}
	}
	// Link-local IPv6 is everywhere.
	return slices.DeleteFunc(list, func(p netip.Prefix) bool { return p.Addr().Is6() && p.Addr().IsLinkLocalUnicast() })
}

func around(a netip.Addr) netip.Prefix {
	bits := 24
	if a.Is6() {
		bits = 64
	}
	p, _ := a.Prefix(bits)
	return p
}

// lans makes a LAN of each set of interfaces.
func (p *planner) lans() []LAN {
	ports := map[cable][]cable{}
	for c := range p.joined {
		root := p.find(c)
		ports[root] = append(ports[root], c)
	}
	var roots []cable
	for root := range ports {
		roots = append(roots, root)
	}
	routers := map[cable][]string{}
	for _, name := range sorted(p.spec.VirtualRouters) {
		v := p.spec.VirtualRouters[name]
		if members := sorted(v.Members); len(members) > 0 {
			root := p.find(memberCable(v, members[0]))
			routers[root] = append(routers[root], name)
		}
	}
	// Those of Virtual Routers come first.
	slices.SortFunc(roots, func(a, b cable) int {
		if idleA, idleB := len(routers[a]) == 0, len(routers[b]) == 0; idleA != idleB {
			if idleA {
				return 1
			}
			return -1
		}
		return compareCables(a, b)
	})
	lans := make([]LAN, 0, len(roots))
	for i, root := range roots {
		lan := LAN{Name: fmt.Sprintf("lan%d", i+1), Routers: routers[root]}
		for _, name := range lan.Routers {
			v := p.spec.VirtualRouters[name]
			all, _ := virtualPrefixes(v)
			for _, a := range all {
				lan.Virtual = append(lan.Virtual, a.Addr())
			}
			lan.Prefixes = append(lan.Prefixes, p.subnets(v)...)
		}
		slices.SortFunc(lan.Virtual, netip.Addr.Compare)
		lan.Virtual = slices.Compact(lan.Virtual)
		slices.SortFunc(lan.Prefixes, netip.Prefix.Compare)
		lan.Prefixes = slices.Compact(lan.Prefixes)
		slices.SortFunc(ports[root], compareCables)
		for _, c := range ports[root] {
			lan.Ports = append(lan.Ports, Port{Host: c.host, Interface: c.name})
		}
		lans = append(lans, lan)
	}
	p.assign(lans)
	return lans
}

func memberCable(v schema.VirtualRouter, host string) cable {
	return cable{host, cmp.Or(v.Members[host].Interface, v.Interface)}
}

// assign gives each port its addresses: what it has to send from, the host's
// own, and free ones in the prefixes where it has none yet.
func (p *planner) assign(lans []LAN) {
	used := map[netip.Addr]bool{}
	for a := range p.owners {
		used[a] = true
	}
	for a := range p.virtual {
		used[a] = true
	}
	given := map[netip.Addr]bool{}
	give := func(lan *LAN, port *Port, a netip.Addr) {
		if !a.IsValid() || given[a] || p.virtual[a] && !p.isOwner(port.Host, a) {
			return
		}
		if subnet, ok := lan.subnet(a); ok {
			given[a] = true
			port.Addresses = append(port.Addresses, netip.PrefixFrom(a, subnet.Bits()))
		}
	}
	each := func(f func(*LAN, *Port)) {
		for i := range lans {
			for k := range lans[i].Ports {
				f(&lans[i], &lans[i].Ports[k])
			}
		}
	}
	each(func(lan *LAN, port *Port) {
		for _, name := range lan.Routers {
			v := p.spec.VirtualRouters[name]
			if _, member := v.Members[port.Host]; member && memberCable(v, port.Host).name == port.Interface {
				give(lan, port, p.source(v, port.Host))
			}
		}
	})
	each(func(lan *LAN, port *Port) {
		if a, err := netip.ParseAddr(p.spec.Hosts[port.Host].Address); err == nil {
			give(lan, port, a)
		}
	})
	each(func(lan *LAN, port *Port) { port.Addresses = lan.fill(port.Addresses, 11, used) })
	for i := range lans {
		lans[i].Client = lans[i].fill(nil, 100, used)
	}
}

// source is what a member sends from, if the specification says so.
func (p *planner) source(v schema.VirtualRouter, host string) netip.Addr {
	written := v.Members[host].Address
	if written == "" && v.Unicast {
		written = p.spec.Hosts[host].Address
	}
	a, _ := netip.ParseAddr(written)
	return a
}

// isOwner tells whether a virtual address is a host's own (RFC 9568, 1.7: the
// IP address owner).
func (p *planner) isOwner(host string, a netip.Addr) bool {
	for _, v := range p.spec.VirtualRouters {
		all, _ := virtualPrefixes(v)
		if v.Members[host].Priority == 255 && slices.ContainsFunc(all, func(p netip.Prefix) bool { return p.Addr() == a }) {
			return p.owners[a] == host
		}
	}
	return false
}

// subnet is the longest prefix that has an address.
func (l *LAN) subnet(a netip.Addr) (subnet netip.Prefix, ok bool) {
	if a.Is6() && a.IsLinkLocalUnicast() {
		return around(a), len(l.Routers) > 0
	}
	for _, p := range l.Prefixes {
		if p.Contains(a) && (!ok || p.Bits() > subnet.Bits()) {
			subnet, ok = p, true
		}
	}
	return subnet, ok
}

// fill adds a free address of each prefix in which there is none, and sorts.
func (l *LAN) fill(have []netip.Prefix, first int, used map[netip.Addr]bool) []netip.Prefix {
	for _, subnet := range l.Prefixes {
		if slices.ContainsFunc(have, func(own netip.Prefix) bool { return own.Masked() == subnet }) {
			continue
		}
		if a, ok := free(subnet, first, used); ok {
			used[a] = true
			have = append(have, netip.PrefixFrom(a, subnet.Bits()))
		}
	}
	slices.SortFunc(have, netip.Prefix.Compare)
	return have
}

// free finds an address that nobody has, from the first-th on, then from the
// beginning, among the first 65536. Neither the network's address nor the
// broadcast address is one, except in a /31 (RFC 3021).
func free(subnet netip.Prefix, first int, used map[netip.Addr]bool) (netip.Addr, bool) {
	low, high := 1, 1<<16-1
	if size := subnet.Addr().BitLen() - subnet.Bits(); size <= 1 {
		low, high = 0, size
	} else if size <= 16 {
		high = 1<<size - 1
		if subnet.Addr().Is4() {
			high--
		}
	}
	first = max(low, min(first, high))
	for i := range high - low + 1 {
		n := low + (first-low+i)%(high-low+1)
		if a := offset(subnet.Masked().Addr(), n); !used[a] {
			return a, true
		}
	}
	return netip.Addr{}, false
}

// offset is n addresses on.
func offset(a netip.Addr, n int) netip.Addr {
	b := a.AsSlice()
	for i := len(b) - 1; n > 0; i-- {
		n += int(b[i])
		b[i] = byte(n)
		n >>= 8
	}
	out, _ := netip.AddrFromSlice(b)
	return out
}
