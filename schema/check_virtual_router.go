package schema

import (
	"fmt"
	"net/netip"
)

func (c *checker) virtualRouters() {
	vrids, addresses := seen{}, seen{}
	for _, name := range sortedKeys(c.spec.VirtualRouters) {
		v, path := c.spec.VirtualRouters[name], Join("virtualRouters", name)
		family := "IPv4"
		if v.Address().Is6() {
			family = "IPv6"
		}
		if first, twice := vrids.twice(fmt.Sprint(v.Interface, " ", v.VRID, family), path+".vrid"); twice {
			c.errorf(path+".vrid", "VRID %d for %s on interface %s is already that of %s", v.VRID, family, v.Interface, c.at(first))
		}
		c.virtualAddresses(path+".addresses", v.Addresses, v.Address(), addresses)
		c.virtualAddresses(path+".excludedAddresses", v.ExcludedAddresses, netip.Addr{}, addresses)
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
		c.members(path, v)
		c.virtualRoutes(path+".routes", v)
	}
}

// virtualAddresses checks addresses; where first is valid all are of its family.
func (c *checker) virtualAddresses(path string, list []string, first netip.Addr, addresses seen) {
	for i, s := range list {
		at := fmt.Sprintf("%s[%d]", path, i)
		p, err := netip.ParsePrefix(s)
		switch {
		case err != nil:
			c.errorf(at, "%q is no address with a prefix length, such as \"192.0.2.1/24\"", s)
			continue
		case first.IsValid() && p.Addr().Is6() != first.Is6():
			c.errorf(at, "%s: the advertised addresses are of one family; the other's go into excludedAddresses, or into a virtual router of their own", p)
		case first.IsValid() && i == 0 && first.Is6() && !first.IsLinkLocalUnicast():
			c.errorf(at, "%s: the first IPv6 address is link-local (RFC 9568, 5.2.9), such as \"fe80::50/64\"", p)
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
}

func (c *checker) members(path string, v VirtualRouter) {
	if len(v.Members) == 0 {
		c.errorf(path+".members", "a Virtual Router needs a member: name at least one host")
	}
	owner := ""
	for _, name := range sortedKeys(v.Members) {
		at := Join(path+".members", name)
		reference(c, at, "hosts", name, c.spec.Hosts)
		if v.Members[name].Priority != 255 {
			continue
		}
		if owner != "" {
			c.errorf(at+".priority", "priority 255 owns the addresses, and %s has it already", c.at(owner))
		}
		owner = at + ".priority"
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
		c.errorf(path, "exactly one of env, file and credential says where the secret is")
	}
}
