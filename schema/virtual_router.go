package schema

import "net/netip"

// VirtualRouter is a VRRP Virtual Router (RFC 9568): addresses that one of
// its members holds at a time.
type VirtualRouter struct {
	VRID      int                     `json:"vrid"`
	Interface string                  `json:"interface"`
	Addresses []string                `json:"addresses"`
	Members   map[string]RouterMember `json:"members"`
}

// RouterMember is a host's part in a Virtual Router.
type RouterMember struct {
	Priority int `json:"priority"`
}

// Address is the first virtual address, the one that origins mean; the zero
// Addr where it does not parse.
func (v VirtualRouter) Address() netip.Addr {
	if len(v.Addresses) == 0 {
		return netip.Addr{}
	}
	p, err := netip.ParsePrefix(v.Addresses[0])
	if err != nil {
		return netip.Addr{}
	}
	return p.Addr()
}
