package host

import (
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/hactl/hactl/engines/vrrp"
)

// What is rare (virtual routes, macvlans and their settings) goes through
// vishvananda/netlink and /proc.

// routes adds or removes virtual routes.
func (e *Engine) routes(r *router, routes []Route, add bool) {
	for _, rt := range routes {
		if err := changeRoute(r, rt, add); err != nil {
			r.fails.Route++
			e.tell(Event{Time: time.Now(), Router: r.cfg.Name, Kind: "problem", Detail: fmt.Sprintf("route %v: %v", rt.Prefix, err)})
		}
	}
}

func changeRoute(r *router, rt Route, add bool) error {
	index := r.home.kernel.index
	if rt.Interface != "" {
		l, err := netlink.LinkByName(rt.Interface)
		if err != nil {
			return fmt.Errorf("interface %s: %w", rt.Interface, err)
		}
		index = l.Attrs().Index
	}
	n := &netlink.Route{
		LinkIndex: index, Table: rt.Table, Priority: rt.Metric, Protocol: addressProto,
		Dst: &net.IPNet{IP: rt.Prefix.Addr().AsSlice(), Mask: net.CIDRMask(rt.Prefix.Bits(), rt.Prefix.Addr().BitLen())},
	}
	if rt.Via.IsValid() {
		n.Gw = rt.Via.AsSlice()
		n.Flags = int(netlink.FLAG_ONLINK)
	} else {
		n.Scope = netlink.SCOPE_LINK
	}
	if rt.Source.IsValid() {
		n.Src = rt.Source.AsSlice()
	}
	if add {
		return netlink.RouteReplace(n)
	}
	err := netlink.RouteDel(n)
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENODEV) {
		return nil // gone with its interface or address
	}
	return err
}

// vmacName names the macvlan of a router: unique on the host, the same after a
// restart, and short enough.
func vmacName(c *Router) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(c.Interface))
	n := 4
	if c.ipv6() {
		n = 6
	}
	return fmt.Sprintf("vrrp%d-%04x-%d", n, h.Sum32()&0xffff, c.VRID)
}

// vmacPrefix6 begins the names of macvlans for IPv6.
const vmacPrefix6 = "vrrp6-"

// vmacPattern is what vmacName makes.
var vmacPattern = regexp.MustCompile(`^vrrp[46]-[0-9a-f]{4}-[0-9]{1,3}$`)

// makeHome makes the macvlan of a router whose interface has come.
func (e *Engine) makeHome(r *router) {
	if r.carrier.kernel.index == 0 || r.retiring {
		return
	}
	e.hearOwner(r)
	if r.home == r.carrier {
		return
	}
	if r.home.kernel.index != 0 && r.home.kernel.up() {
		return
	}
	if r.home.kernel.index != 0 && !r.carrier.kernel.up() {
		return
	}
	err := makeVMAC(r)
	if err == nil {
		return
	}
	e.retryAt = e.now + retryPeriod
	e.tell(Event{Time: time.Now(), Router: r.cfg.Name, Kind: "problem", Detail: fmt.Sprintf("virtual MAC: %v", err)})
}

// hearOwner has the kernel let through what comes from an address that is ours
// now: an owner that is back sends from its own (RFC 9568, 1.7), and Linux takes
// that for a forgery wherever the address is, so that both would be Active for
// good. IPv6 lets it through.
func (e *Engine) hearOwner(r *router) {
	index := r.carrier.kernel.index
	if !r.cfg.Owned || r.cfg.ipv6() || r.cfg.Priority == vrrp.Owner || r.heardOn == index {
		return
	}
	r.heardOn = index
	if err := os.WriteFile("/proc/sys/net/ipv4/conf/"+r.carrier.name+"/accept_local", []byte("1"), 0); err != nil {
		e.tell(Event{Time: time.Now(), Router: r.cfg.Name, Kind: "problem", Detail: fmt.Sprintf("who owns the addresses is not heard while they are here: %v", err)})
	}
}

// makeVMAC makes a macvlan with the Virtual Router's MAC and settings
// by which each interface answers for its own addresses alone: otherwise the
// parent would answer ARP for ours with the wrong MAC, and strict reverse path
// filtering would drop what comes in here and is answered through the parent.
//
// Bridge mode and not private, as keepalived has it: a private macvlan keeps
// multicast from another router's equal MAC to itself, and the socket on the
// parent would hear no peer.
func makeVMAC(r *router) error {
	mac := vrrp.VirtualMAC(r.cfg.VRID, r.cfg.ipv6())
	m := &netlink.Macvlan{
		LinkAttrs: netlink.LinkAttrs{Name: r.home.name, ParentIndex: r.carrier.kernel.index, HardwareAddr: mac[:]},
		Mode:      netlink.MACVLAN_MODE_BRIDGE,
	}
	if err := netlink.LinkAdd(m); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("add %s: %w", r.home.name, err)
	}
	for _, s := range []struct{ path, value string }{
		{"ipv4/conf/" + r.home.name + "/arp_ignore", "1"},
		{"ipv4/conf/" + r.home.name + "/accept_local", "1"},
		{"ipv4/conf/" + r.home.name + "/rp_filter", "2"},
		{"ipv4/conf/" + r.carrier.name + "/arp_ignore", "1"},
		{"ipv4/conf/" + r.carrier.name + "/arp_filter", "1"},
		// What answers for a virtual address may leave through the parent; the
		// question for the neighbour's MAC before it must not name that address.
		{"ipv4/conf/" + r.carrier.name + "/arp_announce", "2"},
		{"ipv6/conf/" + r.home.name + "/disable_ipv6", map[bool]string{false: "1", true: "0"}[r.cfg.ipv6()]},
		// A link-local address made of the virtual MAC would be the same on
		// every router.
		{"ipv6/conf/" + r.home.name + "/addr_gen_mode", "1"},
		{"ipv6/conf/" + r.home.name + "/accept_ra", "0"},
		{"ipv6/conf/" + r.home.name + "/autoconf", "0"},
	} {
		err := os.WriteFile("/proc/sys/net/"+s.path, []byte(s.value), 0)
		if err != nil && !(strings.HasPrefix(s.path, "ipv6") && errors.Is(err, os.ErrNotExist)) {
			return err
		}
	}
	l, err := netlink.LinkByName(r.home.name)
	if err != nil {
		return fmt.Errorf("find %s: %w", r.home.name, err)
	}
	if err := netlink.LinkSetUp(l); err != nil {
		return fmt.Errorf("set %s up: %w", r.home.name, err)
	}
	return nil
}

// dropHome removes the macvlan of a router that has ended.
func (e *Engine) dropHome(r *router) {
	if r.home == r.carrier || r.home.kernel.index == 0 {
		return
	}
	for _, o := range e.routers {
		if o.home == r.home {
			return
		}
	}
	e.removeVMAC(r.home.name)
}

func (e *Engine) removeVMAC(name string) {
	l, err := netlink.LinkByName(name)
	if _, is := l.(*netlink.Macvlan); err != nil || !is {
		return
	}
	if err := netlink.LinkDel(l); err != nil && !errors.Is(err, unix.ENODEV) {
		e.tell(Event{Time: time.Now(), Link: name, Kind: "problem", Detail: fmt.Sprintf("remove: %v", err)})
	}
}
