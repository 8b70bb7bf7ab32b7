package host

import (
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// link is an interface that routers are configured on, whether it exists at
// the moment or not. What the kernel says about it arrives through the
// subscription; everything that follows is derived from that state anew
// (Engine.refresh), so that a lost notification costs one resynchronisation.
type link struct {
	name    string
	kernel  kernelLink // index 0: does not exist
	addrs   []kernelAddress
	sockets [2]*socket // IPv4, IPv6
	watches [2]*watch
	problem string // why a socket could not be opened

	// table finds the routers for a received VRID; usually one.
	table [2][256][]*router
	// overhearing are those that want packets of other VRIDs as well, by address.
	overhearing [2]map[netip.Addr][]*router
	unknown     uint64 // packets for no VRID of ours
	broken      uint64 // packets without a readable IP header
}

func family(v6 bool) int {
	if v6 {
		return 1
	}
	return 0
}

func (l *link) has(p netip.Prefix) bool {
	for i := range l.addrs {
		if l.addrs[i].prefix == p {
			return true
		}
	}
	return false
}

// hear takes an address message into account.
func (l *link) hear(a kernelAddress, gone bool) {
	i := slices.IndexFunc(l.addrs, func(b kernelAddress) bool { return b.prefix == a.prefix })
	switch {
	case gone && i >= 0:
		l.addrs = slices.Delete(l.addrs, i, i+1)
	case !gone && i >= 0:
		l.addrs[i] = a
	case !gone:
		l.addrs = append(l.addrs, a)
	}
}

// primary chooses the source of advertisements: never a virtual address, which
// may have been left by a killed process, nor one that is not ours yet. The
// present one stays as long as it may.
func (l *link) primary(v6 bool, present netip.Addr, virtual func(netip.Addr) bool) netip.Addr {
	var first, secondary netip.Addr
	for i := range l.addrs {
		a := &l.addrs[i]
		addr := a.prefix.Addr()
		if addr.Is6() != v6 || a.proto == addressProto || virtual(addr) {
			continue
		}
		if v6 {
			unusable := a.flags&unix.IFA_F_DADFAILED != 0 || a.flags&unix.IFA_F_TENTATIVE != 0 && a.flags&unix.IFA_F_OPTIMISTIC == 0
			if !addr.IsLinkLocalUnicast() || unusable {
				continue
			}
		}
		switch {
		case addr == present:
			return addr
		case !v6 && (a.flags&unix.IFA_F_SECONDARY != 0 || a.scope >= unix.RT_SCOPE_LINK):
			if !secondary.IsValid() {
				secondary = addr
			}
		case !first.IsValid():
			first = addr
		}
	}
	if first.IsValid() {
		return first
	}
	return secondary
}

// connected reports whether an address of the host's own covers p, so that the
// kernel needs no second prefix route.
func (l *link) connected(p netip.Prefix) bool {
	for i := range l.addrs {
		a := &l.addrs[i]
		if a.proto != addressProto && a.prefix.Bits() == p.Bits() && a.prefix.Masked() == p.Masked() {
			return true
		}
	}
	return false
}

// virtualAddresses are those of one family that the routers here may hold.
func (l *link) virtualAddresses(v6 bool, routers []*router) []netip.Addr {
	var out []netip.Addr
	for _, r := range routers {
		if r.carrier != l {
			continue
		}
		for addr := range r.addresses {
			if addr.Is6() == v6 {
				out = append(out, addr)
			}
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out)
}
