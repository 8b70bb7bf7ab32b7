package vrrp

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Shared is what the routers of one Virtual Router have to agree on. It changes
// by staged activation: Backups first, each with the former Shared in
// Config.Accept, the Active router last, then Accept is emptied everywhere.
type Shared struct {
	Version        uint8 // 2 or 3
	VRID           uint8
	Interval       time.Duration  // Advertisement_Interval; in v3 peers may differ
	Authentication Authentication // v2 only
	// Addresses are those advertised, in order; the first IPv6 one is
	// link-local. All of one family, which a running Machine cannot change.
	Addresses []netip.Addr
	// Peers makes the Virtual Router unicast: advertisements go to each of
	// them and are accepted from no one else.
	Peers []netip.Addr
}

// Config is the whole configuration of a Machine. The Machine copies it.
type Config struct {
	Shared
	// Accept lists further parameter sets that are accepted on receipt.
	Accept []Shared

	// Priority is 1 to 254, or Owner. The effective priority is this plus what
	// the last Checks event said; an owner's is always 255.
	Priority uint8
	// Source is the primary address: source of what we send, breaks ties,
	// and what tells reflected packets. IPv6: link-local.
	Source netip.Addr
	// Excluded addresses follow the state like the others without being
	// advertised. They may be of the other family.
	Excluded []netip.Addr

	NoPreempt    bool
	PreemptDelay time.Duration // a lower router stays Active for that long
	StartupDelay time.Duration // nothing is taken over before

	Announcements Announcements
	// ReleaseLimit bounds a planned hand-over. Zero means the longest
	// Active_Down_Interval a Backup can have.
	ReleaseLimit time.Duration

	Checksum ChecksumForm // of v3/IPv4 advertisements sent
	// MinTTL lets unicast peers be further away than the link. Zero means 255.
	MinTTL uint8
	// LooseAddresses accepts another address list in v2, as keepalived does
	// from 2.3.3 on, instead of RFC 3768's drop. v3 never drops for it.
	LooseAddresses bool
	// Respect makes a Backup that has heard nobody of its own yet wait for as long
	// as another Virtual Router advertises one of its addresses; see the
	// package's documentation. RFC 9568 7.1 ignores those.
	Respect bool
	// Present lists addresses that the host has when it gives this configuration to
	// a running Machine, by another Virtual Router: nobody else does.
	Present []netip.Addr
	// GlobalFirst allows the first IPv6 address not to be link-local, as
	// keepalived does outside its strict mode.
	GlobalFirst bool
}

// Announcements schedules gratuitous ARP and unsolicited neighbour
// advertisements. The zero value announces once per occasion.
type Announcements struct {
	Repeat        uint8         // packets for each address at once; 0 means 1
	Delay         time.Duration // a second burst that long after the first; 0: none
	Refresh       time.Duration // and again for as long as we are Active; 0: never
	RefreshRepeat uint8         // packets for each address in a refresh; 0 means 1
}

// DefaultAnnouncements are keepalived's: five at once and five after 5 s.
func DefaultAnnouncements() Announcements {
	return Announcements{Repeat: 5, Delay: 5 * time.Second}
}

// IPv6 reports the family of the advertised addresses.
func (s *Shared) IPv6() bool { return len(s.Addresses) > 0 && s.Addresses[0].Is6() }

func (s *Shared) validate() error {
	switch s.Version {
	case 2:
		if s.Interval < time.Second || s.Interval > maxInterval2 || s.Interval%time.Second != 0 {
			return fmt.Errorf("interval %v: version 2 has whole seconds from 1s to 255s", s.Interval)
		}
		if s.IPv6() {
			return errors.New("version 2 has no IPv6")
		}
		if s.Authentication.Type > AuthPass {
			return fmt.Errorf("authentication type %d: only none and simple text exist", s.Authentication.Type)
		}
	case 3:
		if s.Interval < centisecond || s.Interval > maxInterval3 || s.Interval%centisecond != 0 {
			return fmt.Errorf("interval %v: version 3 has steps of 10ms from 10ms to 40.95s", s.Interval)
		}
		if s.Authentication != (Authentication{}) {
			return errors.New("version 3 has no authentication")
		}
	default:
		return fmt.Errorf("version %d: 2 and 3 exist", s.Version)
	}
	if s.VRID == 0 {
		return errors.New("virtual router id 0: 1 to 255 exist")
	}
	if n := len(s.Addresses); n == 0 || n > 255 {
		return fmt.Errorf("%d addresses: an advertisement carries 1 to 255", n)
	}
	for i, a := range s.Addresses {
		if !a.IsValid() || a.Is4In6() || a.Zone() != "" || a.Is6() != s.IPv6() {
			return fmt.Errorf("address %v: want plain addresses of one family", a)
		}
		if slices.Contains(s.Addresses[:i], a) {
			return fmt.Errorf("address %v: listed twice", a)
		}
	}
	for _, p := range s.Peers {
		if !p.IsValid() || p.Is4In6() || p.Is6() != s.IPv6() {
			return fmt.Errorf("peer %v: want an address of the advertised family", p)
		}
	}
	return nil
}

// Validate says whether a Machine would take this configuration.
func (c *Config) Validate() error {
	if err := c.Shared.validate(); err != nil {
		return err
	}
	for i := range c.Accept {
		if err := c.Accept[i].validate(); err != nil {
			return fmt.Errorf("accepted parameters %d: %w", i, err)
		}
		if c.Accept[i].IPv6() != c.IPv6() {
			return fmt.Errorf("accepted parameters %d: another address family", i)
		}
	}
	if c.Priority == 0 {
		return errors.New("priority 0: 1 to 255 exist")
	}
	if !c.Source.IsValid() || c.Source.Is4In6() || c.Source.Is6() != c.IPv6() {
		return fmt.Errorf("source %v: want an address of the advertised family", c.Source)
	}
	if c.Priority != Owner && slices.Contains(c.Addresses, c.Source.WithZone("")) {
		return fmt.Errorf("source %v: is a virtual address, and priority is not 255", c.Source)
	}
	if c.IPv6() && !c.GlobalFirst && !c.Addresses[0].IsLinkLocalUnicast() {
		return fmt.Errorf("address %v: the first IPv6 address has to be link-local", c.Addresses[0])
	}
	for i, a := range c.Excluded {
		if !a.IsValid() || a.Is4In6() || slices.Contains(c.Addresses, a) || slices.Contains(c.Excluded[:i], a) {
			return fmt.Errorf("excluded address %v: invalid or listed twice", a)
		}
	}
	for _, d := range []time.Duration{c.PreemptDelay, c.StartupDelay, c.Announcements.Delay, c.Announcements.Refresh, c.ReleaseLimit} {
		if d < 0 || d > maxDelay {
			return fmt.Errorf("delay %v: want 0 to %v", d, maxDelay)
		}
	}
	return nil
}

// maxDelay keeps sums of times far from overflow.
const maxDelay = 365 * 24 * time.Hour

// matcher is a Shared made ready for comparison with what is received.
type matcher struct {
	Shared
	sorted []netip.Addr
}

func newMatcher(s Shared) matcher {
	s.Addresses = slices.Clone(s.Addresses)
	s.Peers = slices.Clone(s.Peers)
	for i, p := range s.Peers {
		s.Peers[i] = p.WithZone("")
	}
	m := matcher{Shared: s, sorted: slices.Clone(s.Addresses)}
	slices.SortFunc(m.sorted, netip.Addr.Compare)
	return m
}

// sameAddresses compares as sets. The usual case, the same order, costs one
// pass; the rest a search per address, and no allocation.
func (m *matcher) sameAddresses(got []netip.Addr) bool {
	if len(got) != len(m.Addresses) {
		return false
	}
	if slices.Equal(got, m.Addresses) {
		return true
	}
	var seen [256 / 64]uint64
	for _, a := range got {
		i, found := slices.BinarySearchFunc(m.sorted, a, netip.Addr.Compare)
		if !found || seen[i/64]&(1<<(i%64)) != 0 {
			return false
		}
		seen[i/64] |= 1 << (i % 64)
	}
	return true
}
