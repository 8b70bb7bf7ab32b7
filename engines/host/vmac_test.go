package host

import (
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hactl/hactl/engines/vrrp"
)

// TestABackupNeverUsesTheVirtualMAC: a switch sends what is for the virtual MAC
// where it has seen it last (RFC 9568, 8.2.1 to 8.2.3). A kernel that reports the
// multicast groups of the macvlan, when they change or a querier asks, would tell
// it that that is the Backup.
func TestABackupNeverUsesTheVirtualMAC(t *testing.T) {
	for _, c := range []struct {
		name, target, version string
		better, worse         Config
	}{{"ipv4", vip, "2", v3(150), v3(100)}, {"ipv6", vip6, "2", v36(150), v36(100)}, {"ipv6 and MLD version 1", vip6, "1", v36(150), v36(100)}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newLAN(t)
			virtual := func(r *Router) { r.UseVMAC = true; steady(r) }
			router := &c.better.Routers[0]
			mac := vrrp.VirtualMAC(router.VRID, router.ipv6())
			first, second := l.addHost("r1", 1), l.addHost("r2", 2)
			ofFirst, ofSecond := l.frames("r1", mac), l.frames("r2", mac)
			a := l.start(first, with(c.better, virtual))
			a.waitState("active")
			b := l.start(second, with(c.worse, virtual))
			b.waitState("backup")
			// A querier asks some times a second; a switch that snoops keeps from hosts
			// what is for groups that they have not reported.
			l.run("ip", "-n", l.ns("sw"), "link", "set", "br0", "type", "bridge", "mcast_snooping", "1", "mcast_querier", "1",
				"mcast_query_response_interval", "20", "mcast_query_interval", "50", "mcast_startup_query_interval", "50", "mcast_mld_version", c.version)
			anew := func() bool {
				l.run("ip", "-n", l.client, "neigh", "flush", "dev", "eth0")
				return l.answered(c.target)
			}
			during(t, 3*time.Second, "it is found", anew)
			if seen := ofSecond(); len(seen) > 0 {
				t.Errorf("the Backup has sent %x", seen)
			}
			a.signal(unix.SIGTERM)
			b.waitState("active")
			a.waitEnd()
			during(t, 3*time.Second, "it is found at the other", anew)
			// Until the other has the addresses it has them as well, and may say so.
			seen := slices.DeleteFunc(ofFirst(), func(f []byte) bool {
				const icmp = 2 + 40 + 8 // behind the router alert
				return len(f) > icmp+8 && f[2+6] == 0 && (f[icmp] == 131 || f[icmp] == 143 && (f[icmp+8] == 2 || f[icmp+8] == 4))
			})
			last := slices.IndexFunc(seen, func(f []byte) bool {
				at := 2 + 20 // EtherType, and the header of IPv4
				if router.ipv6() {
					at = 2 + 40
				}
				return len(f) > at+2 && f[at] == 0x31 && f[at+2] == 0 && (f[2+9] == vrrp.Protocol || f[2+6] == vrrp.Protocol)
			})
			if last < 0 {
				t.Errorf("no priority 0 in %x", seen)
			} else if after := seen[last+1:]; len(after) > 0 {
				t.Errorf("after priority 0 it has sent %x", after)
			}
			b.stop()
			if b, err := l.try("ip", "netns", "exec", second, "nft", "list", "tables"); err == nil && strings.Contains(b, filterTable) {
				t.Errorf("left behind: %s", b)
			}
		})
	}
}

// frames tells what a host has sent with a source MAC, from the EtherType on, since
// it was asked before.
func (l *lan) frames(host string, mac [6]byte) func() [][]byte {
	l.t.Helper()
	fd := l.port(host, nil)
	l.t.Cleanup(func() { _ = unix.Close(fd) })
	return func() (seen [][]byte) {
		b := make([]byte, 2048)
		for {
			n, from, err := unix.Recvfrom(fd, b, 0)
			if err != nil {
				return seen
			}
			if ll, ok := from.(*unix.SockaddrLinklayer); ok && ll.Pkttype != unix.PACKET_OUTGOING && n >= 14 && slices.Equal(b[6:12], mac[:]) {
				seen = append(seen, slices.Clone(b[12:n]))
			}
		}
	}
}
