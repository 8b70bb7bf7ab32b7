package schema

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
)

// HostRouter is one member's part in a Virtual Router: what the VRRP engine of
// that host is to run. Its ID is "virtualRouter/web@lb01".
type HostRouter struct {
	Host string `json:"-"`
	Name string `json:"-"`

	Interface         string           `json:"interface"`
	VRID              int              `json:"vrid"`
	Version           int              `json:"version"`
	Priority          int              `json:"priority"`
	Addresses         []VirtualAddress `json:"addresses,omitempty"`
	ExcludedAddresses []VirtualAddress `json:"excludedAddresses,omitempty"`
	Interval          Duration         `json:"interval"`
	Password          *SecretRef       `json:"password,omitempty" diff:"whole"`
	// Source is the address to send from, "" for the interface's primary.
	Source string `json:"source,omitempty"`
	// Peers are the unicast peers.
	Peers        []string `json:"peers,omitempty" diff:"set"`
	MinTTL       int      `json:"minTTL"`
	Preempt      bool     `json:"preempt"`
	PreemptDelay Duration `json:"preemptDelay"`
	StartupDelay Duration `json:"startupDelay"`
	ReleaseLimit Duration `json:"releaseLimit,omitempty"`
	Accept       bool     `json:"accept"`
	Strict       bool     `json:"strict"`
	Checksum     string   `json:"checksum"`
	UseVMAC      bool     `json:"useVmac"`
	// Owned says that another member owns the addresses, with priority 255.
	Owned         bool           `json:"owned,omitempty"`
	Announcements Announcements  `json:"announcements"`
	Routes        []VirtualRoute `json:"routes,omitempty"`
	Checks        []string       `json:"checks,omitempty" diff:"set"`
	Hooks         []string       `json:"hooks,omitempty" diff:"set"`
	// SyncGroup is the group that it moves with, of those that have another
	// member on this host.
	SyncGroup   string `json:"syncGroup,omitempty"`
	Maintenance bool   `json:"maintenance"`
	// ActivationDelay of zero is for a Virtual Router with no other member.
	ActivationDelay Duration `json:"activationDelay"`
}

// VirtualAddress is an address as the kernel is told it.
type VirtualAddress struct {
	Address string `json:"address"`
	Label   string `json:"label,omitempty"`
	Scope   string `json:"scope"`
}

// Key is the address.
func (a VirtualAddress) Key() string { return a.Address }

// Defaults has the scope that an address without settings has.
func (a VirtualAddress) Defaults() any { return VirtualAddress{Scope: "global"} }

// HostCheck is a health check on one host. Its ID is "check/caddy@lb01".
type HostCheck struct {
	Host string `json:"-"`
	Name string `json:"-"`
	HealthCheck
}

// HostHook is a hook on one host. Its ID is "hook/tell@lb01".
type HostHook struct {
	Host string `json:"-"`
	Name string `json:"-"`
	Hook
}

// OnHost is the ID of something that each host has for itself. Names hold no
// "@", so that the parts can be told.
func OnHost(kind Kind, name, host string) ID { return ID{kind, name + "@" + host} }

// HostOf cuts an ID of OnHost into its parts; host is empty for other IDs.
func HostOf(id ID) (name, host string) {
	switch id.Kind {
	case KindVirtualRouter, KindCheck, KindHook:
		name, host, _ = strings.Cut(id.Name, "@")
		return name, host
	}
	return id.Name, ""
}

func (r HostRouter) ID() ID { return OnHost(KindVirtualRouter, r.Name, r.Host) }

// Refs are the router's checks and hooks.
func (r HostRouter) Refs() []ID {
	var ids []ID
	for _, name := range r.Checks {
		ids = append(ids, OnHost(KindCheck, name, r.Host))
	}
	for _, name := range r.Hooks {
		ids = append(ids, OnHost(KindHook, name, r.Host))
	}
	return refs(ids...)
}

func (r HostRouter) Protected() bool { return false }

func (r HostRouter) Blank() Object {
	return HostRouter{
		Host: r.Host, Name: r.Name, Version: 3, Priority: 100, Interval: Seconds(1), MinTTL: 255, Preempt: true,
		Accept: true, Strict: true, Checksum: "keepalived", ActivationDelay: Seconds(180),
		Announcements: Announcements{Repeat: 5, Delay: Seconds(5), RefreshRepeat: 1},
	}
}

func (HostRouter) sealed() {}

func (h HostCheck) ID() ID          { return OnHost(KindCheck, h.Name, h.Host) }
func (h HostCheck) Refs() []ID      { return nil }
func (h HostCheck) Protected() bool { return false }

func (h HostCheck) Blank() Object {
	return HostCheck{h.Host, h.Name, HealthCheck{Type: h.Type, Interval: Seconds(1), Timeout: Seconds(1), ExpectedCodes: "2xx", Processes: 1}.WithDefaults()}
}

func (HostCheck) sealed() {}

func (h HostHook) ID() ID          { return OnHost(KindHook, h.Name, h.Host) }
func (h HostHook) Refs() []ID      { return nil }
func (h HostHook) Protected() bool { return false }

func (h HostHook) Blank() Object {
	return HostHook{h.Host, h.Name, Hook{User: Unprivileged, Timeout: Seconds(10)}}
}

func (HostHook) sealed() {}

// HostObjects takes apart what a host has to run: its part in each Virtual
// Router, and the checks and hooks of those, sorted by ID. Nil for a host that
// is no member of any.
func (s *Spec) HostObjects(host string) []Object {
	var objects []Object
	checks, hooks := map[string]bool{}, map[string]bool{}
	for _, name := range sortedKeys(s.VirtualRouters) {
		if _, member := s.VirtualRouters[name].Members[host]; !member {
			continue
		}
		r := s.hostRouter(name, host)
		objects = append(objects, r)
		for _, c := range r.Checks {
			checks[c] = true
		}
		for _, h := range r.Hooks {
			hooks[h] = true
		}
	}
	for _, name := range sortedKeys(checks) {
		objects = append(objects, HostCheck{host, name, s.Checks[name].WithDefaults()})
	}
	for _, name := range sortedKeys(hooks) {
		objects = append(objects, HostHook{host, name, s.Hooks[name]})
	}
	slices.SortFunc(objects, func(a, b Object) int { return a.ID().Compare(b.ID()) })
	return objects
}

func (s *Spec) hostRouter(name, host string) HostRouter {
	v := s.VirtualRouters[name]
	m := v.Members[host]
	r := HostRouter{
		Host: host, Name: name, Interface: cmp.Or(m.Interface, v.Interface), VRID: v.VRID, Version: v.Version,
		Priority: m.Priority, Interval: v.Interval, Password: v.Password, Source: canonicalAddress(m.Address),
		MinTTL: 255, Preempt: override(v.Preempt, m.Preempt), PreemptDelay: override(v.PreemptDelay, m.PreemptDelay),
		StartupDelay: override(v.StartupDelay, m.StartupDelay), ReleaseLimit: v.ReleaseLimit, Accept: v.Accept, Strict: v.Strict,
		Checksum: v.Checksum, UseVMAC: override(v.UseVMAC, m.UseVMAC), Announcements: v.Announcements,
		Checks: v.Checks, Hooks: v.Hooks, SyncGroup: s.syncGroup(name, host),
		Maintenance: m.Maintenance || s.Hosts[host].Maintenance, ActivationDelay: v.ActivationDelay,
	}
	for other, m := range v.Members {
		r.Owned = r.Owned || other != host && m.Priority == 255
	}
	for _, rt := range v.Routes {
		if p, err := netip.ParsePrefix(rt.CIDR); err == nil {
			rt.CIDR = p.String()
		}
		rt.Via, rt.Source = canonicalAddress(rt.Via), canonicalAddress(rt.Source)
		r.Routes = append(r.Routes, rt)
	}
	if m.Checks != nil {
		r.Checks = m.Checks
	}
	if m.Hooks != nil {
		r.Hooks = m.Hooks
	}
	for _, list := range []struct {
		from []string
		to   *[]VirtualAddress
	}{{v.Addresses, &r.Addresses}, {v.ExcludedAddresses, &r.ExcludedAddresses}} {
		for _, a := range list.from {
			*list.to = append(*list.to, v.virtualAddress(a))
		}
	}
	if v.Unicast {
		r.MinTTL = v.MinTTL
		r.Source = s.unicastAddress(name, host)
		for _, other := range sortedKeys(v.Members) {
			if other != host {
				r.Peers = append(r.Peers, s.unicastAddress(name, other))
			}
		}
	}
	if len(v.Members) == 1 {
		r.ActivationDelay = 0
	}
	return r
}

func override[T any](general T, special *T) T {
	if special != nil {
		return *special
	}
	return general
}

// virtualAddress canonicalises an address as it is written.
func (v VirtualRouter) virtualAddress(written string) VirtualAddress {
	settings, ok := v.AddressSettings[written]
	if !ok {
		settings.Scope = "global"
	}
	a := VirtualAddress{Address: written, Label: settings.Label, Scope: settings.Scope}
	if p, err := netip.ParsePrefix(written); err == nil {
		a.Address = p.String()
	}
	return a
}

// unicastAddress is where a member is reached: its own, else its host's.
func (s *Spec) unicastAddress(router, host string) string {
	return canonicalAddress(cmp.Or(s.VirtualRouters[router].Members[host].Address, s.Hosts[host].Address))
}

func canonicalAddress(written string) string {
	if a, err := netip.ParseAddr(written); err == nil {
		return a.String()
	}
	return written
}

// syncGroup is the sync group of a router, "" where it has no other member on
// the host.
func (s *Spec) syncGroup(router, host string) string {
	for _, name := range sortedKeys(s.SyncGroups) {
		members := s.SyncGroups[name].Members
		if !slices.Contains(members, router) {
			continue
		}
		for _, other := range members {
			if _, here := s.VirtualRouters[other].Members[host]; here && other != router {
				return name
			}
		}
	}
	return ""
}
