package schema

import "net/netip"

// VirtualRouter is a VRRP Virtual Router (RFC 9568): addresses that one of
// its members holds at a time.
type VirtualRouter struct {
	VRID              int                     `json:"vrid"`
	Interface         string                  `json:"interface"`
	Addresses         []string                `json:"addresses"`
	ExcludedAddresses []string                `json:"excludedAddresses,omitempty"`
	Members           map[string]RouterMember `json:"members"`
	Version           int                     `json:"version"`
	Interval          Duration                `json:"interval"`
	Password          *SecretRef              `json:"password,omitempty"`
	Preempt           bool                    `json:"preempt"`
	PreemptDelay      Duration                `json:"preemptDelay"`
	StartupDelay      Duration                `json:"startupDelay"`
	Unicast           bool                    `json:"unicast"`
	Announcements     Announcements           `json:"announcements"`
	// Checksum is "keepalived" or "rfc9568".
	Checksum string         `json:"checksum"`
	UseVMAC  bool           `json:"useVmac"`
	Routes   []VirtualRoute `json:"routes,omitempty"`
}

// RouterMember is a host's part in a Virtual Router.
type RouterMember struct {
	Priority int `json:"priority"`
	// Interface is the Virtual Router's where empty.
	Interface string `json:"interface,omitempty"`
}

// Announcements schedules gratuitous ARP and neighbour advertisements.
type Announcements struct {
	Repeat        int      `json:"repeat"`
	Delay         Duration `json:"delay"`
	Refresh       Duration `json:"refresh"`
	RefreshRepeat int      `json:"refreshRepeat"`
}

// VirtualRoute exists on the Active router.
type VirtualRoute struct {
	CIDR      string `json:"cidr"`
	Via       string `json:"via,omitempty"`
	Source    string `json:"source,omitempty"`
	Interface string `json:"interface,omitempty"`
	Table     int    `json:"table"`
	Metric    int    `json:"metric"`
}

// SyncGroup names Virtual Routers that are Active together or not at all.
type SyncGroup struct {
	Members []string `json:"members"`
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
