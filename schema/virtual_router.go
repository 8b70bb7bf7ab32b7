package schema

import "net/netip"

// VirtualRouter is a VRRP Virtual Router (RFC 9568): addresses that one of
// its members holds at a time.
type VirtualRouter struct {
	VRID              int      `json:"vrid"`
	Interface         string   `json:"interface"`
	Addresses         []string `json:"addresses"`
	ExcludedAddresses []string `json:"excludedAddresses,omitempty"`
	// AddressSettings are by address as it is written in one of the two lists.
	AddressSettings map[string]AddressSettings `json:"addressSettings,omitempty"`
	Members         map[string]RouterMember    `json:"members"`
	Version         int                        `json:"version"`
	Interval        Duration                   `json:"interval"`
	Password        *SecretRef                 `json:"password,omitempty"`
	Preempt         bool                       `json:"preempt"`
	PreemptDelay    Duration                   `json:"preemptDelay"`
	StartupDelay    Duration                   `json:"startupDelay"`
	Unicast         bool                       `json:"unicast"`
	MinTTL          int                        `json:"minTTL"`
	Accept          bool                       `json:"accept"`
	Strict          bool                       `json:"strict"`
	Announcements   Announcements              `json:"announcements"`
	// Checksum is "keepalived" or "rfc9568".
	Checksum string         `json:"checksum"`
	UseVMAC  bool           `json:"useVmac"`
	Routes   []VirtualRoute `json:"routes,omitempty"`
	Checks   []string       `json:"checks,omitempty"`
	Hooks    []string       `json:"hooks,omitempty"`
	// ReleaseLimit of zero is the longest Active_Down_Interval a Backup can have.
	ReleaseLimit    Duration `json:"releaseLimit,omitempty"`
	ActivationDelay Duration `json:"activationDelay"`
	// HighAvailability is hactl's own: no host is told.
	HighAvailability bool `json:"highAvailability,omitempty" diff:"-"`
}

// RouterMember is a host's part in a Virtual Router. What is nil or empty is
// as the Virtual Router says; an empty list of checks or hooks is not nil.
type RouterMember struct {
	Priority     int       `json:"priority"`
	Interface    string    `json:"interface,omitempty"`
	Preempt      *bool     `json:"preempt,omitempty"`
	PreemptDelay *Duration `json:"preemptDelay,omitempty"`
	StartupDelay *Duration `json:"startupDelay,omitempty"`
	UseVMAC      *bool     `json:"useVmac,omitempty"`
	Checks       []string  `json:"checks,omitempty"`
	Hooks        []string  `json:"hooks,omitempty"`
	Address      string    `json:"address,omitempty"`
	Maintenance  bool      `json:"maintenance"`
}

// AddressSettings are what the kernel is told beside an address.
type AddressSettings struct {
	Label string `json:"label,omitempty"`
	// Scope is "global", "site", "link" or "host".
	Scope string `json:"scope"`
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
