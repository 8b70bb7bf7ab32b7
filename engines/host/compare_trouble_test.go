package host

import (
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// What others do to an Active router.

func troubles() []story {
	return []story{
		{"address deleted by hand", each, allIntervals,
			func(time.Duration) []metric {
				return []metric{
					{name: "client's silence", unit: "ms", limit: 20, bounds: true, limitIs: "20 ms"},
					{name: "transitions to Active", unit: "", limit: 0, bounds: true, limitIs: "nothing has failed"},
				}
			},
			func(c *contest) []float64 {
				event := monotonic()
				c.do(c.at("r1").AddrDel(c.link("r1", "eth0"), netlinkAddr(vip+"/32")))
				eventually(c.t, 20*time.Second, "the address is back", c.a.holds)
				c.pulse.pass(c.moment())
				s, taken := c.pulse.longest(event), 0
				for _, x := range c.b.eyes().since(event, vip) {
					if x.on {
						taken++
					}
				}
				return []float64{milliseconds(s.To - s.From), float64(taken)}
			}},
		{"foreign host answers for the address", each, []time.Duration{100 * time.Millisecond},
			func(time.Duration) []metric {
				return []metric{{name: "client whole after (10 s: or never)", unit: "ms", limit: 100, bounds: true, limitIs: "100 ms"}}
			},
			(*contest).claimed},
		{"process killed and started again", each, shortIntervals,
			func(time.Duration) []metric {
				return []metric{
					{name: "lost by the kill", unit: "probes"}, {name: "lost by the return", unit: "probes"},
				}
			},
			func(c *contest) []float64 {
				event := monotonic()
				c.a.die()
				eventually(c.t, 20*time.Second, "taken over", c.b.holds)
				c.pulse.pass(c.moment())
				lost := c.lost(event)
				return []float64{lost, c.handover(func() { c.a.start(c.config(150)) }, c.a, c.b)}
			}},
		{"Active paused for 8 intervals", each, allIntervals,
			func(interval time.Duration) []metric {
				return []metric{
					{name: "two held the address after the resume", unit: "ms", limit: milliseconds(interval), bounds: true, limitIs: "an advertisement interval"},
					{name: "client whole after the resume", unit: "ms", limit: milliseconds(interval), bounds: true, limitIs: "an advertisement interval"},
				}
			},
			func(c *contest) []float64 {
				pause := monotonic()
				c.a.signal(syscall.SIGSTOP)
				eventually(c.t, 20*time.Second, "taken over", c.b.holds)
				c.pulse.answered(pause + 8*c.interval)
				event := monotonic()
				c.a.signal(syscall.SIGCONT)
				whole := c.whole(event)
				return []float64{milliseconds(both(c.a.eyes(), c.b.eyes(), vip, event)), whole}
			}},
	}
}

// claimed has a host x take the address: it answers ARP for it from then on and
// drops what comes, and announces itself once.
func (c *contest) claimed() []float64 {
	c.t.Helper()
	if c.hands["x"] == nil {
		c.addHost("x", 66)
		c.run("ip", "netns", "exec", c.ns("x"), "sysctl", "-qw", "net.ipv4.icmp_echo_ignore_all=1")
	}
	eth0 := c.link("x", "eth0")
	c.do(c.at("x").AddrAdd(eth0, netlinkAddr(vip+"/32")))
	var event time.Duration
	inside(c.t, c.ns("x"), func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		event = monotonic()
		return unix.Sendto(fd, appendARP(nil, [6]byte(eth0.Attrs().HardwareAddr), netip.MustParseAddr(vip)), 0,
			&unix.SockaddrLinklayer{Ifindex: eth0.Attrs().Index})
	})
	// Served for a second without a gap, or not within this limit.
	const limit = 10 * time.Second
	whole := limit
	eventually(c.t, limit+5*time.Second, "the limit is over", func() bool {
		var last time.Duration
		for _, s := range c.pulse.report(event).Silences {
			if last = s.To - event; s.To == 0 {
				last = monotonic() - event
			}
		}
		if monotonic()-event-last > time.Second {
			whole = last
			return true
		}
		return monotonic()-event > limit
	})
	c.do(c.at("x").AddrDel(eth0, netlinkAddr(vip+"/32")))
	neighbour := &netlink.Neigh{LinkIndex: c.link("c", "eth0").Attrs().Index, IP: net.ParseIP(vip)}
	_ = c.at("c").NeighDel(neighbour)
	return []float64{milliseconds(whole)}
}
