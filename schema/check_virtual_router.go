package schema

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

func (c *checker) virtualRouters() {
	addresses, own := seen{}, c.ownAddresses()
	vrids := c.vrids()
	for _, name := range sortedKeys(c.spec.VirtualRouters) {
		v, path := c.spec.VirtualRouters[name], Join("virtualRouters", name)
		vrids(path, v)
		c.virtualAddresses(path+".addresses", v.Addresses, v.Address(), v.Strict, addresses)
		c.virtualAddresses(path+".excludedAddresses", v.ExcludedAddresses, netip.Addr{}, false, addresses)
		c.notOwn(path, v, own)
		c.addressSettings(path, v)
		c.routerTimes(path, v)
		if v.Version == 2 && v.Address().Is6() {
			c.errorf(path+".version", "version 2 is for IPv4 only")
		}
		if v.Password != nil {
			if v.Version != 2 {
				c.errorf(path+".password", "version 3 has no authentication: drop it, or set version: 2")
			}
			c.secret(path+".password", *v.Password)
		}
		uses(c, path+".checks", "checks", v.Checks, c.spec.Checks)
		uses(c, path+".hooks", "hooks", v.Hooks, c.spec.Hooks)
		if v.MinTTL != 255 && !v.Unicast {
			c.errorf(path+".minTTL", "only unicast peers can be further away than the link: set unicast, or leave it out")
		}
		c.members(path, v)
		c.virtualRoutes(path+".routes", v)
	}
}

// vrids returns what reports a VRID that is taken on the same LAN: on the same
// interface of one host, or where two Virtual Routers have a subnet in common.
func (c *checker) vrids() func(path string, v VirtualRouter) {
	taken := seen{}
	return func(path string, v VirtualRouter) {
		family := "IPv4"
		if v.Address().Is6() {
			family = "IPv6"
		}
		var places []string
		for _, host := range sortedKeys(v.Members) {
			places = append(places, fmt.Sprintf("on interface %s of %s", cmp.Or(v.Members[host].Interface, v.Interface), host))
		}
		for _, a := range v.Addresses {
			if p, err := netip.ParsePrefix(a); err == nil && !p.IsSingleIP() && !p.Addr().IsLinkLocalUnicast() {
				places = append(places, fmt.Sprintf("in %s", p.Masked()))
			}
		}
		reported := false
		for _, place := range places {
			first, twice := taken.twice(fmt.Sprint(place, " ", v.VRID, family), path+".vrid")
			if twice && !reported && first != path+".vrid" {
				reported = true
				c.errorf(path+".vrid", "VRID %d for %s %s is already that of %s", v.VRID, family, place, c.at(first))
			}
		}
	}
}

// ownAddresses maps the addresses of hosts and members to the host that has them.
func (c *checker) ownAddresses() map[netip.Addr]string {
	own := map[netip.Addr]string{}
	add := func(host, address string) {
		if a, err := netip.ParseAddr(address); err == nil {
			own[a] = host
		}
	}
	for name, h := range c.spec.Hosts {
		add(name, h.Address)
	}
	for _, v := range c.spec.VirtualRouters {
		for host, m := range v.Members {
			add(host, m.Address)
		}
	}
	return own
}

// notOwn reports virtual addresses that are a host's own: only its owner, the
// member with priority 255, may have one.
func (c *checker) notOwn(path string, v VirtualRouter, own map[netip.Addr]string) {
	for _, list := range []struct {
		name      string
		addresses []string
	}{{"addresses", v.Addresses}, {"excludedAddresses", v.ExcludedAddresses}} {
		for i, s := range list.addresses {
			p, err := netip.ParsePrefix(s)
			if err != nil {
				continue
			}
			host, taken := own[p.Addr()]
			if taken && v.Members[host].Priority != 255 {
				c.errorf(fmt.Sprintf("%s.%s[%d]", path, list.name, i), "%s is the address of host %s: a virtual address is none of a host's own, unless that host is the member with priority 255", p.Addr(), host)
			}
		}
	}
}

// addressSettings checks that each belongs to an address, as it is written.
func (c *checker) addressSettings(path string, v VirtualRouter) {
	all := slices.Concat(v.Addresses, v.ExcludedAddresses)
	for _, written := range sortedKeys(v.AddressSettings) {
		at := Join(path+".addressSettings", written)
		if !slices.Contains(all, written) {
			c.errorf(at, "no address is written like that%s", offer(written, all))
		}
		if p, err := netip.ParsePrefix(written); err == nil && p.Addr().Is6() && v.AddressSettings[written].Label != "" {
			c.errorf(at+".label", "only IPv4 addresses have labels")
		}
	}
}

// virtualAddresses checks addresses; where first is valid all are of its family.
func (c *checker) virtualAddresses(path string, list []string, first netip.Addr, strict bool, addresses seen) {
	for i, s := range list {
		at := fmt.Sprintf("%s[%d]", path, i)
		p, err := netip.ParsePrefix(s)
		switch {
		case err != nil:
			c.errorf(at, "%q is no address with a prefix length, such as \"192.0.2.1/24\"", s)
			continue
		case !p.Addr().IsGlobalUnicast() && !p.Addr().IsLinkLocalUnicast() || p.Addr().Is4() && p.Bits() < 31 && p.Addr() == p.Masked().Addr():
			c.errorf(at, "%s is no address that a host can have", p)
		case first.IsValid() && p.Addr().Is6() != first.Is6():
			c.errorf(at, "%s: the advertised addresses are of one family; the other's go into excludedAddresses, or into a virtual router of their own", p)
		case strict && i == 0 && first.Is6() && !first.IsLinkLocalUnicast():
			c.errorf(at, "%s: the first IPv6 address is link-local (RFC 9568, 5.2.9), such as \"fe80::50/64\"; strict: false does without, as keepalived does", p)
		}
		if other, twice := addresses.twice(p.Addr().String(), at); twice {
			c.errorf(at, "%s is already a virtual address of %s", p.Addr(), c.at(other))
		}
	}
}

// routerTimes checks durations against what advertisements can carry: whole
// seconds in a byte (RFC 3768, 5.3.7), 12 bits of 10 ms (RFC 9568, 5.2.7).
func (c *checker) routerTimes(path string, v VirtualRouter) {
	const step = Duration(10e6)
	switch {
	case v.Version == 2:
		c.seconds(path+".interval", v.Interval, 1, 255)
	case v.Interval%step != 0 || v.Interval < step || v.Interval > 4095*step:
		c.errorf(path+".interval", "%s: version 3 has steps of 10ms, from 10ms to 40.95s", v.Interval)
	}
	const day = Duration(24 * time.Hour)
	c.span(path+".activationDelay", v.ActivationDelay, 0, day)
	for _, t := range []struct {
		name string
		d    Duration
	}{
		{".preemptDelay", v.PreemptDelay}, {".startupDelay", v.StartupDelay}, {".releaseLimit", v.ReleaseLimit},
		{".announcements.delay", v.Announcements.Delay}, {".announcements.refresh", v.Announcements.Refresh},
	} {
		c.span(path+t.name, t.d, 0, 365*day)
	}
}

func (c *checker) members(path string, v VirtualRouter) {
	if len(v.Members) == 0 {
		c.errorf(path+".members", "a Virtual Router needs a member: name at least one host")
	}
	owner := ""
	for _, name := range sortedKeys(v.Members) {
		at := Join(path+".members", name)
		known := reference(c, at, "hosts", name, c.spec.Hosts)
		c.member(at, v, name, known)
		if v.Members[name].Priority != 255 {
			continue
		}
		if owner != "" {
			c.errorf(at+".priority", "priority 255 owns the addresses, and %s has it already", c.at(owner))
		}
		owner = at + ".priority"
	}
}

// member checks what one host has otherwise.
func (c *checker) member(at string, v VirtualRouter, name string, known bool) {
	m := v.Members[name]
	uses(c, at+".checks", "checks", m.Checks, c.spec.Checks)
	uses(c, at+".hooks", "hooks", m.Hooks, c.spec.Hooks)
	for _, t := range []struct {
		name string
		d    *Duration
	}{{".preemptDelay", m.PreemptDelay}, {".startupDelay", m.StartupDelay}} {
		if t.d != nil {
			c.span(at+t.name, *t.d, 0, Duration(365*24*time.Hour))
		}
	}
	v6 := v.Address().Is6()
	if m.Address != "" {
		if a, err := netip.ParseAddr(m.Address); err != nil || a.Is6() != v6 {
			c.errorf(at+".address", "%q is no address of the Virtual Router's family", m.Address)
		} else if v6 && !v.Unicast && !a.IsLinkLocalUnicast() {
			c.errorf(at+".address", "%s: IPv6 advertisements come from a link-local address (RFC 9568, 5.1.2.1)", a)
		}
		return
	}
	if a, err := netip.ParseAddr(c.spec.Hosts[name].Address); known && v.Unicast && err == nil && a.Is6() != v6 {
		c.errorf(at, "%s is at %s, of the other family: give the member an address", name, a)
	}
}

func (c *checker) virtualRoutes(path string, v VirtualRouter) {
	for i, r := range v.Routes {
		at := fmt.Sprintf("%s[%d]", path, i)
		p, err := netip.ParsePrefix(r.CIDR)
		if err != nil {
			c.errorf(at+".cidr", "%q is no network, such as \"192.0.2.0/24\"", r.CIDR)
			continue
		}
		if p != p.Masked() {
			c.errorf(at+".cidr", "%s has host bits set: the network is %s", p, p.Masked())
		}
		for _, a := range []struct{ field, value string }{{"via", r.Via}, {"source", r.Source}} {
			if a.value == "" {
				continue
			}
			if addr, err := netip.ParseAddr(a.value); err != nil || addr.Is6() != p.Addr().Is6() {
				c.errorf(at+"."+a.field, "%q is no address of the route's family", a.value)
			}
		}
	}
}

func (c *checker) syncGroups() {
	grouped := seen{}
	for _, name := range sortedKeys(c.spec.SyncGroups) {
		for i, router := range c.spec.SyncGroups[name].Members {
			at := fmt.Sprintf("%s.members[%d]", Join("syncGroups", name), i)
			if !reference(c, at, "virtualRouters", router, c.spec.VirtualRouters) {
				continue
			}
			if first, twice := grouped.twice(router, at); twice {
				c.errorf(at, "%q is already in %s: a virtual router is in one sync group", router, c.at(first))
			}
		}
	}
}

func (c *checker) secret(path string, r SecretRef) {
	if !r.valid() {
		c.errorf(path, "exactly one of env, file, credential and age says where the secret is")
		return
	}
	if r.Age != "" {
		if _, err := r.Ciphertext(); err != nil {
			c.errorf(path+".age", "%v", err)
		}
	}
}
