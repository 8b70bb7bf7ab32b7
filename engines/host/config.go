package host

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/hactl/hactl/engines/vrrp"
	"github.com/hactl/hactl/schema"
)

// Config is everything an engine has to do: the whole desired state, not a
// change. Giving it again does nothing; giving another one changes running
// Virtual Routers without a transition where their parameters allow it.
type Config struct {
	Host        string      `json:"host,omitempty"`     // its name in the specification
	Revision    string      `json:"revision,omitempty"` // shown in Status, otherwise unused
	Maintenance bool        `json:"maintenance,omitempty"`
	Routers     []Router    `json:"routers"`
	SyncGroups  []SyncGroup `json:"syncGroups,omitempty"`
	// Checks and Hooks by name. The agent runs them; the engine knows what a
	// check's result does to a router, and gives the rest back.
	Checks map[string]schema.HealthCheck `json:"checks,omitempty"`
	Hooks  map[string]schema.Hook        `json:"hooks,omitempty"`
}

// Router is this host's part in one Virtual Router. Its name is its identity:
// under another name, on another interface or of another address family it is
// another one.
type Router struct {
	Name      string `json:"name"`
	Interface string `json:"interface"`
	Parameters
	// Accept lists parameters that are accepted on receipt besides our own,
	// while the routers of the Virtual Router change one by one.
	Accept []Parameters `json:"accept,omitempty"`

	Priority uint8 `json:"priority"` // 1 to 254, or 255: owns the addresses
	// Source overrides the interface's primary address (IPv6: link-local).
	Source   netip.Addr `json:"source,omitzero"`
	Excluded []Address  `json:"excluded,omitempty"` // held but not advertised
	Routes   []Route    `json:"routes,omitempty"`   // exist while Active

	NoPreempt    bool          `json:"noPreempt,omitempty"`
	PreemptDelay time.Duration `json:"preemptDelay,omitempty"`
	StartupDelay time.Duration `json:"startupDelay,omitempty"`
	ReleaseLimit time.Duration `json:"releaseLimit,omitempty"` // see vrrp.Config

	Announcements Announcements `json:"announcements,omitzero"`

	// ChecksumMessage sends v3/IPv4 checksums in RFC 9568's form instead of
	// keepalived's; both are accepted always.
	ChecksumMessage bool  `json:"checksumMessage,omitempty"`
	MinTTL          uint8 `json:"minTTL,omitempty"` // of unicast peers
	LooseAddresses  bool  `json:"looseAddresses,omitempty"`
	GlobalFirst     bool  `json:"globalFirst,omitempty"`
	// UseVMAC puts the addresses on a macvlan with the Virtual Router's MAC.
	UseVMAC bool `json:"useVmac,omitempty"`
	// Owned says that another member owns the addresses, and may send from one of
	// them while we have it.
	Owned       bool `json:"owned,omitempty"`
	Maintenance bool `json:"maintenance,omitempty"`
	// NoAccept drops what is sent to the addresses, but for neighbour
	// discovery (RFC 9568, 6.1: Accept_Mode False).
	NoAccept bool `json:"noAccept,omitempty"`
	// Checks and Hooks are names in Config.
	Checks []string `json:"checks,omitempty"`
	Hooks  []string `json:"hooks,omitempty"`
	// ActivationDelay is within what time the other members learn of changed
	// Parameters; zero activates at once. See Stage.
	ActivationDelay time.Duration `json:"activationDelay,omitempty"`
	Staging         *Staging      `json:"staging,omitempty"`
}

// Parameters are what the routers of a Virtual Router have to agree on.
type Parameters struct {
	Version  uint8         `json:"version"`
	VRID     uint8         `json:"vrid"`
	Interval time.Duration `json:"interval"`
	// Password makes version 2 use simple-text authentication.
	Password  string    `json:"password,omitempty"`
	Addresses []Address `json:"addresses"`
	// Peers makes the Virtual Router unicast.
	Peers []netip.Addr `json:"peers,omitempty"`
}

// Address is a virtual address as the kernel is told it.
type Address struct {
	Prefix netip.Prefix `json:"prefix"`          // a single address has /32 or /128
	Label  string       `json:"label,omitempty"` // IPv4 only
	Scope  string       `json:"scope,omitempty"` // global (default), site, link, host
}

// Route exists while its router is Active.
type Route struct {
	Prefix netip.Prefix `json:"prefix"`
	Via    netip.Addr   `json:"via,omitzero"`
	Source netip.Addr   `json:"source,omitzero"`
	// Interface is the router's own one if empty.
	Interface string `json:"interface,omitempty"`
	Table     int    `json:"table,omitempty"`  // 0: main
	Metric    int    `json:"metric,omitempty"` // 0: the kernel's
}

// Announcements is vrrp.Announcements for JSON.
type Announcements struct {
	Repeat        uint8         `json:"repeat,omitempty"`
	Delay         time.Duration `json:"delay,omitempty"`
	Refresh       time.Duration `json:"refresh,omitempty"`
	RefreshRepeat uint8         `json:"refreshRepeat,omitempty"`
}

// SyncGroup names routers that are Active together or not at all.
type SyncGroup struct {
	Name    string   `json:"name"`
	Members []string `json:"members"`
}

var scopes = map[string]uint8{"": 0, "global": 0, "site": 200, "link": 253, "host": 254}

// Validate says whether an engine would take this configuration.
func (c *Config) Validate() error {
	var errs []error
	type key struct {
		iface string
		v6    bool
		vrid  uint8
	}
	routers, keys := map[string]bool{}, map[key]string{}
	for i := range c.Routers {
		r := &c.Routers[i]
		if err := r.validate(); err != nil {
			errs = append(errs, fmt.Errorf("router %q: %w", r.Name, err))
			continue
		}
		if routers[r.Name] {
			errs = append(errs, fmt.Errorf("router %q: listed twice", r.Name))
		}
		k := key{r.Interface, r.ipv6(), r.VRID}
		if other, taken := keys[k]; taken {
			errs = append(errs, fmt.Errorf("router %q: %q has vrid %d on %s already", r.Name, other, r.VRID, r.Interface))
		}
		routers[r.Name], keys[k] = true, r.Name
	}
	grouped, groups := map[string]string{}, map[string]bool{}
	for _, g := range c.SyncGroups {
		if g.Name == "" || groups[g.Name] {
			errs = append(errs, fmt.Errorf("sync group %q: no name, or listed twice", g.Name))
		}
		groups[g.Name] = true
		for _, m := range g.Members {
			if !routers[m] {
				errs = append(errs, fmt.Errorf("sync group %q: no router %q", g.Name, m))
			}
			if other, taken := grouped[m]; taken {
				errs = append(errs, fmt.Errorf("sync group %q: %q is in %q already", g.Name, m, other))
			}
			grouped[m] = g.Name
		}
	}
	for i := range c.Routers {
		r := &c.Routers[i]
		for _, name := range r.Checks {
			if _, known := c.Checks[name]; !known {
				errs = append(errs, fmt.Errorf("router %q: no check %q", r.Name, name))
			}
		}
		for _, name := range r.Hooks {
			if _, known := c.Hooks[name]; !known {
				errs = append(errs, fmt.Errorf("router %q: no hook %q", r.Name, name))
			}
		}
	}
	return errors.Join(errs...)
}

func (r *Router) validate() error {
	if r.Name == "" {
		return errors.New("no name")
	}
	if !validInterface(r.Interface) {
		return fmt.Errorf("interface %q: not a name of 1 to 15 bytes", r.Interface)
	}
	for _, a := range slices.Concat(r.Addresses, r.Excluded) {
		if !a.Prefix.IsValid() {
			return fmt.Errorf("address %v: not a prefix", a.Prefix)
		}
		if _, known := scopes[a.Scope]; !known {
			return fmt.Errorf("address %v: no scope %q", a.Prefix, a.Scope)
		}
		if len(a.Label) > 15 || a.Label != "" && a.Prefix.Addr().Is6() {
			return fmt.Errorf("address %v: label %q: at most 15 bytes, IPv4 only", a.Prefix, a.Label)
		}
	}
	for _, rt := range r.Routes {
		if !rt.Prefix.IsValid() || rt.Prefix != rt.Prefix.Masked() {
			return fmt.Errorf("route %v: not a network prefix", rt.Prefix)
		}
		if rt.Via.IsValid() && rt.Via.Is6() != rt.Prefix.Addr().Is6() {
			return fmt.Errorf("route %v: via another address family", rt.Prefix)
		}
		if rt.Interface != "" && !validInterface(rt.Interface) {
			return fmt.Errorf("route %v: interface %q: not a name", rt.Prefix, rt.Interface)
		}
	}
	c := r.MachineConfig(placeholder(r.ipv6()))
	if r.Source.IsValid() {
		c.Source = r.Source
	}
	return c.Validate()
}

func validInterface(name string) bool {
	return name != "" && len(name) <= 15 && name != "." && name != ".." && !strings.ContainsAny(name, "/ \t\n:")
}

// Same reports whether two configurations ask for the same, whatever revision
// they are of.
func (c *Config) Same(o *Config) bool {
	if c == nil || o == nil {
		return c == o
	}
	a, b := *c, *o
	a.Revision, b.Revision = "", ""
	return a.same(&b)
}

// Redacted is the configuration without its passwords, for others to see.
func (c Config) Redacted() Config {
	c.Routers = slices.Clone(c.Routers)
	hide := func(p *Parameters) {
		if p.Password != "" {
			p.Password = hidden
		}
	}
	for i := range c.Routers {
		r := &c.Routers[i]
		hide(&r.Parameters)
		r.Accept = slices.Clone(r.Accept)
		for j := range r.Accept {
			hide(&r.Accept[j])
		}
		if r.Staging != nil {
			s := *r.Staging
			hide(&s.Next)
			r.Staging = &s
		}
	}
	return c
}

// hidden stands for a password. It is longer than one can be.
const hidden = "(a password)"

// same reports whether two configurations say the same, nil being another.
func (c *Config) same(o *Config) bool {
	if c == nil || o == nil {
		return c == o
	}
	a, err1 := json.Marshal(c)
	b, err2 := json.Marshal(o)
	return err1 == nil && err2 == nil && bytes.Equal(a, b)
}

// ipv6 tells the address family.
func (r *Router) ipv6() bool { return len(r.Addresses) > 0 && r.Addresses[0].Prefix.Addr().Is6() }

// placeholder stands for the primary address until the interface has one. A
// machine with it is held by Link(false) and sends nothing that matters.
func placeholder(v6 bool) netip.Addr {
	if v6 {
		return netip.MustParseAddr("fe80::")
	}
	return netip.IPv4Unspecified()
}

// MachineConfig translates for the pure machine; source is the router's own address.
func (r *Router) MachineConfig(source netip.Addr) vrrp.Config {
	c := vrrp.Config{
		Shared: r.shared(), Priority: r.Priority, Source: source, Excluded: bare(r.Excluded),
		NoPreempt: r.NoPreempt, PreemptDelay: r.PreemptDelay, StartupDelay: r.StartupDelay,
		Announcements: vrrp.Announcements(r.Announcements), ReleaseLimit: r.ReleaseLimit,
		MinTTL: r.MinTTL, LooseAddresses: r.LooseAddresses, GlobalFirst: r.GlobalFirst, Respect: r.ActivationDelay > 0,
	}
	if r.ChecksumMessage {
		c.Checksum = vrrp.ChecksumMessage
	}
	for i := range r.Accept {
		c.Accept = append(c.Accept, r.Accept[i].shared())
	}
	return c
}

func (p *Parameters) shared() vrrp.Shared {
	s := vrrp.Shared{Version: p.Version, VRID: p.VRID, Interval: p.Interval, Addresses: bare(p.Addresses), Peers: slices.Clone(p.Peers)}
	if p.Password != "" {
		s.Authentication = vrrp.Password(p.Password)
	}
	return s
}

func bare(addresses []Address) []netip.Addr {
	var out []netip.Addr
	for _, a := range addresses {
		out = append(out, a.Prefix.Addr())
	}
	return out
}
