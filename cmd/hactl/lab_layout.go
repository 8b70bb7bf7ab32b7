package main

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hactl/hactl/engines/host/netns"
	"github.com/hactl/hactl/schema"
)

var errNoSyncGroups = errors.New("hosts in memory have no sync groups: drill this specification as root")

// has says what a specification takes that was not built: a lab is its first
// one's.
func (l *lab) has(spec *schema.Spec) error {
	wanted, err := netns.Plan(spec)
	if err != nil {
		return err
	}
	if _, memory := l.site.(*memorySite); memory && len(spec.SyncGroups) > 0 {
		return errNoSyncGroups
	}
	const begin = "; the lab is built for the specification that the drill begins with: begin with this one"
	for _, zone := range labZones(spec) {
		if !slices.Contains(l.zones, zone) {
			return fmt.Errorf("the lab's Cloudflare has no zone %s%s", zone, begin)
		}
	}
	for _, host := range wanted.Hosts {
		if !slices.Contains(l.layout.Hosts, host) {
			return fmt.Errorf("the lab has no host %s%s", host, begin)
		}
	}
	for _, lan := range wanted.LANs {
		if len(lan.Routers) == 0 {
			continue
		}
		at := -1
		for _, port := range lan.Ports {
			i := slices.IndexFunc(l.layout.LANs, func(x netns.LAN) bool {
				return slices.ContainsFunc(x.Ports, func(p netns.Port) bool { return p.Host == port.Host && p.Interface == port.Interface })
			})
			switch {
			case i < 0:
				return fmt.Errorf("the lab's host %s has no interface %s%s", port.Host, port.Interface, begin)
			case at >= 0 && i != at:
				return fmt.Errorf("interface %s of %s is not on the LAN of the others of %s in the lab%s", port.Interface, port.Host, strings.Join(lan.Routers, ", "), begin)
			}
			at = i
		}
		for _, a := range lan.Virtual {
			if at >= 0 && !a.IsLinkLocalUnicast() && !slices.ContainsFunc(l.layout.LANs[at].Prefixes, func(p netip.Prefix) bool { return p.Contains(a) }) {
				return fmt.Errorf("the lab's client has no address in the subnet of %s%s", a, begin)
			}
		}
	}
	return nil
}

// fitsSockets says where a directory is too long for the sockets of a lab's hosts.
func fitsSockets(dir string, hosts []string) error {
	const most = 107 // unix(7), without the zero
	for _, host := range append(slices.Clone(hosts), noHost) {
		longest := filepath.Join(labHost(dir, host), "run", "engine.sock")
		if len(longest) > most {
			return fmt.Errorf("%s is too long for a socket by %d: set TMPDIR to a shorter directory", longest, len(longest)-most)
		}
	}
	return nil
}
