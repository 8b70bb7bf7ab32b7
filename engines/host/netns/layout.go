package netns

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/hactl/hactl/schema"
)

// MaxHosts is how many hosts a Layout may have.
const MaxHosts = 64

// OutsideInterface is every host's interface to what is beyond its LANs.
const OutsideInterface = "hactl0"

// ClientInterface is what the client of a LAN, and outside, have.
const ClientInterface = "eth0"

// Layout is what Build builds. It is sorted, and the same for the same
// specification.
type Layout struct {
	// Hosts are all of the specification, those without a LAN too.
	Hosts []string
	LANs  []LAN
	// Outside and Outside6 are the subnets of hactl0: of a few, the first of which
	// the specification has no address. The first address is that of the services.
	Outside, Outside6 netip.Prefix
	// Elsewhere has the addresses that the specification gives to hosts, by
	// host, where no LAN of the host has a subnet with it: hactl0 has it.
	Elsewhere map[string]netip.Addr
}

// LAN is a bridge. One that has an interface which no Virtual Router is on has
// that port alone, no prefixes and no client.
type LAN struct {
	Name string // "lan1"
	// Routers are the Virtual Routers on it.
	Routers []string
	// Prefixes are subnets of the virtual addresses, and of addresses that
	// members send from. Link-local IPv6 is on every LAN besides.
	Prefixes []netip.Prefix
	// Virtual are the virtual addresses.
	Virtual []netip.Addr
	Ports   []Port
	// Client are the addresses of the LAN's client, one in each prefix that has
	// one to spare.
	Client []netip.Prefix
}

// Port is an interface of a host.
type Port struct {
	Host, Interface string
	// Addresses are the host's own, one in each of the LAN's prefixes that has
	// one to spare: what the specification gives, else a free one.
	Addresses []netip.Prefix
}

// LAN is the one with a virtual address, else the first with a prefix that
// contains it; nil for other addresses.
func (l *Layout) LAN(a netip.Addr) *LAN {
	for i := range l.LANs {
		if slices.Contains(l.LANs[i].Virtual, a.WithZone("")) {
			return &l.LANs[i]
		}
	}
	for i := range l.LANs {
		if slices.ContainsFunc(l.LANs[i].Prefixes, func(p netip.Prefix) bool { return p.Contains(a) }) {
			return &l.LANs[i]
		}
	}
	return nil
}

// Services is the address outside at which the caller's services listen.
func (l *Layout) Services() netip.Addr { return l.Outside.Addr().Next() }

// HostOutside is a host's IPv4 address on hactl0; the zero Addr for a host that
// does not exist.
func (l *Layout) HostOutside(host string) netip.Addr { return l.hostOutside(l.Outside, host) }

func (l *Layout) hostOutside(subnet netip.Prefix, host string) netip.Addr {
	i, ok := slices.BinarySearch(l.Hosts, host)
	if !ok {
		return netip.Addr{}
	}
	return offset(subnet.Addr(), 257+i)
}

// outsides are subnets that nobody has: of benchmarks (RFC 2544, RFC 5180), of
// carriers (RFC 6598), and private ones.
var (
	outsides = []netip.Prefix{
		netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("100.64.0.0/15"), netip.MustParsePrefix("10.254.0.0/15"),
	}
	outsides6 = []netip.Prefix{netip.MustParsePrefix("2001:2::/64"), netip.MustParsePrefix("fd68:6163:746c::/64")}
)

// Plan decides which LANs a specification has. Interfaces of hosts that share
// a Virtual Router are on one; so are two interfaces of a host with the same
// subnet. It fails where a specification cannot be built: more than MaxHosts,
// two hosts with one address, a name that no interface can have.
func Plan(spec *schema.Spec) (*Layout, error) {
	if len(spec.Hosts) > MaxHosts {
		return nil, fmt.Errorf("%d hosts: at most %d can be built", len(spec.Hosts), MaxHosts)
	}
	p := &planner{spec: spec, owners: map[netip.Addr]string{}, virtual: map[netip.Addr]bool{}, joined: map[cable]cable{}}
	for _, step := range []func() error{p.own, p.join, p.idle} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	l := &Layout{Hosts: slices.Sorted(maps.Keys(spec.Hosts)), LANs: p.lans(), Elsewhere: map[string]netip.Addr{}}
	p.elsewhere(l)
	return l, p.outside(l)
}

// cable is an interface of a host.
type cable struct{ host, name string }

func (c cable) String() string { return "interface " + c.name + " of host " + c.host }

func compareCables(a, b cable) int {
	return cmp.Or(strings.Compare(a.host, b.host), strings.Compare(a.name, b.name))
}

type planner struct {
	spec *schema.Spec
	// owners has whom each address belongs to: a host, or "" for nobody that
	// is built, such as a gateway.
	owners  map[netip.Addr]string
	virtual map[netip.Addr]bool
	joined  map[cable]cable // union-find
}

// own notes what addresses the specification gives to hosts.
func (p *planner) own() error {
	give := func(host, written string) error {
		a, err := netip.ParseAddr(written)
		if err != nil {
			return fmt.Errorf("host %s: %w", host, err)
		}
		if other, taken := p.owners[a]; taken && other != host {
			return fmt.Errorf("hosts %s and %s have the same address %s", other, host, a)
		}
		p.owners[a] = host
		return nil
	}
	for _, name := range sorted(p.spec.Hosts) {
		if a := p.spec.Hosts[name].Address; a != "" {
			if err := give(name, a); err != nil {
				return err
			}
		}
	}
	for _, name := range sorted(p.spec.VirtualRouters) {
		v := p.spec.VirtualRouters[name]
		for _, host := range sorted(v.Members) {
			if _, known := p.spec.Hosts[host]; !known {
				return fmt.Errorf("virtual router %s: member %s is no host", name, host)
			}
			if a := v.Members[host].Address; a != "" {
				if err := give(host, a); err != nil {
					return err
				}
			}
		}
		all, err := virtualPrefixes(v)
		if err != nil {
			return fmt.Errorf("virtual router %s: %w", name, err)
		}
		for _, a := range all {
			p.virtual[a.Addr()] = true
		}
		for _, via := range gateways(v) {
			if _, taken := p.owners[via]; !taken {
				p.owners[via] = ""
			}
		}
	}
	return nil
}

func virtualPrefixes(v schema.VirtualRouter) (list []netip.Prefix, err error) {
	for _, written := range slices.Concat(v.Addresses, v.ExcludedAddresses) {
		a, err := netip.ParsePrefix(written)
		if err != nil {
			return nil, err
		}
		list = append(list, a)
	}
	return list, nil
}

// gateways are those of the routes, which the kernel takes only if it knows
// how to reach them.
func gateways(v schema.VirtualRouter) (list []netip.Addr) {
	for _, r := range v.Routes {
		if a, err := netip.ParseAddr(r.Via); err == nil {
			list = append(list, a)
		}
	}
	return list
}

// join unites the interfaces that share a Virtual Router, and then those of a
// host that would otherwise have one subnet twice.
func (p *planner) join() error {
	for _, name := range sorted(p.spec.VirtualRouters) {
		v := p.spec.VirtualRouters[name]
		var first cable
		for i, host := range sorted(v.Members) {
			c := memberCable(v, host)
			if err := checkInterface(c); err != nil {
				return fmt.Errorf("virtual router %s: %w", name, err)
			}
			if i == 0 {
				first = c
			}
			p.unite(first, c)
		}
	}
	subnets := map[string]cable{}
	for _, name := range sorted(p.spec.VirtualRouters) {
		v := p.spec.VirtualRouters[name]
		for _, host := range sorted(v.Members) {
			c := memberCable(v, host)
			for _, subnet := range p.subnets(v) {
				key := host + " " + subnet.String()
				if other, taken := subnets[key]; taken {
					p.unite(other, c)
				} else {
					subnets[key] = c
				}
			}
		}
	}
	return nil
}

func checkInterface(c cable) error {
	switch name := c.name; {
	case name == OutsideInterface:
		return fmt.Errorf("%s: the name is taken here", c)
	case name == "lo":
		return fmt.Errorf("%s is on no LAN", c)
	case name == "", len(name) > 15, name == ".", name == "..", name == "all", name == "default", strings.ContainsAny(name, "/:%\x00 \t\r\n\v\f\u0085\u00a0"):
		return fmt.Errorf("%s: no interface can have this name", c)
	}
	return nil
}

// find returns the representative of a set; it adds what is new.
func (p *planner) find(c cable) cable {
	parent, ok := p.joined[c]
	if !ok || parent == c {
		p.joined[c] = c
		return c
	}
	root := p.find(parent)
	p.joined[c] = root
	return root
}

// unite makes the smaller one the representative.
func (p *planner) unite(a, b cable) {
	a, b = p.find(a), p.find(b)
	if compareCables(a, b) > 0 {
		a, b = b, a
	}
	p.joined[b] = a
}

// idle adds the interfaces that checks and routes of members name.
func (p *planner) idle() error {
	for _, host := range sorted(p.spec.Hosts) {
		for _, o := range p.spec.HostObjects(host) {
			var names []string
			switch o := o.(type) {
			case schema.HostCheck:
				names = append(names, o.Interface)
			case schema.HostRouter:
				for _, r := range o.Routes {
					names = append(names, r.Interface)
				}
			}
			for _, name := range names {
				if name == "" || name == "lo" || name == OutsideInterface {
					continue
				}
				c := cable{host, name}
				if err := checkInterface(c); err != nil {
					return fmt.Errorf("%s: %w", o.ID(), err)
				}
				p.find(c)
			}
		}
	}
	return nil
}

// elsewhere finds the addresses that no port has.
func (p *planner) elsewhere(l *Layout) {
	for _, host := range l.Hosts {
		a, err := netip.ParseAddr(p.spec.Hosts[host].Address)
		if err != nil || !a.IsGlobalUnicast() || p.virtual[a] {
			continue
		}
		has := slices.ContainsFunc(l.LANs, func(lan LAN) bool {
			return slices.ContainsFunc(lan.Ports, func(port Port) bool { return port.Host == host && port.has(a) })
		})
		if !has {
			l.Elsewhere[host] = a
		}
	}
}

func (p Port) has(a netip.Addr) bool {
	return slices.ContainsFunc(p.Addresses, func(own netip.Prefix) bool { return own.Addr() == a })
}

// outside finds subnets that are apart from all others.
func (p *planner) outside(l *Layout) error {
	taken := func(candidate netip.Prefix) bool {
		for a := range p.owners {
			if candidate.Contains(a) {
				return true
			}
		}
		return slices.ContainsFunc(l.LANs, func(lan LAN) bool { return slices.ContainsFunc(lan.Prefixes, candidate.Overlaps) })
	}
	for _, of := range []struct {
		subnets []netip.Prefix
		to      *netip.Prefix
	}{{outsides, &l.Outside}, {outsides6, &l.Outside6}} {
		i := slices.IndexFunc(of.subnets, func(s netip.Prefix) bool { return !taken(s) })
		if i < 0 {
			return fmt.Errorf("the specification has addresses in all subnets that could be outside: %v", of.subnets)
		}
		*of.to = of.subnets[i]
	}
	return nil
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
