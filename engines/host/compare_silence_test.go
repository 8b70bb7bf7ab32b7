package host

import (
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
)

// Deaths that nobody tells: only the Active's silence does. However good the
// Backup is, it has to wait for Active_Down_Interval since the last
// advertisement; the part of an interval that is over by then, the phase, is
// what makes the client's silence shorter.

func silences() []story {
	metrics := func(back string) func(time.Duration) []metric {
		return func(interval time.Duration) []metric {
			r := v3(100).Routers[0]
			r.Interval = interval
			return []metric{
				{name: "client's silence", unit: "ms", limit: milliseconds(activeDownInterval(&r)), bounds: true, slack: 1.05, limitIs: "Active_Down_Interval, the phase not taken off"},
				{name: "since the last advertisement", unit: "ms", limit: milliseconds(activeDownInterval(&r)), bounds: true, slack: 1.05, limitIs: "Active_Down_Interval"},
				{name: back, unit: "ms", limit: milliseconds(interval), bounds: true, limitIs: "an advertisement interval"},
			}
		}
	}
	return []story{
		{"silent death", each, allIntervals, metrics("healed (all traffic was cut), client whole after"),
			func(c *contest) []float64 {
				return c.silenced(func() { c.cut("r1") }, func() { c.mend("r1") })
			}},
		{"link down", each, allIntervals, metrics("link up, client whole after"),
			func(c *contest) []float64 {
				return c.silenced(func() { c.do(c.at("r1").LinkSetDown(c.link("r1", "eth0"))) },
					func() { c.do(c.at("r1").LinkSetUp(c.link("r1", "eth0"))) })
			}},
		{"interface vanishes", each, shortIntervals, metrics("interface back, client whole after"),
			func(c *contest) []float64 {
				return c.silenced(func() { c.do(c.at("r1").LinkDel(c.link("r1", "eth0"))) }, func() { c.plug("r1", 1) })
			}},
	}
}

// silenced has something befall the Active that keeps it from speaking, and
// measures the takeover; then has it undone, and measures the return.
func (c *contest) silenced(befall, undo func()) []float64 {
	c.t.Helper()
	event := monotonic()
	befall()
	eventually(c.t, 20*time.Second, "taken over", c.b.holds)
	c.pulse.pass(0)
	s := c.pulse.longest(event - 5*time.Millisecond)
	var last time.Duration
	for _, a := range c.wire.sights(event-4*c.interval, advertisementOf("10.0.0.1", 50)) {
		if a.out && a.at < s.To {
			last = a.at
		}
	}
	if s.To == 0 || last == 0 {
		c.t.Fatalf("no silence (%+v) or no advertisement before it (%v)", s, last)
	}
	c.pulse.pass(c.moment())
	event = monotonic()
	undo()
	return []float64{milliseconds(s.To - s.From), milliseconds(s.To - last), c.whole(event)}
}

// whole waits for the better one to be alone again, and says when after an
// event the client was served for good: 0 if it always was.
func (c *contest) whole(event time.Duration) float64 {
	c.t.Helper()
	holds(c.t, c.a, c.b)
	c.pulse.pass(c.moment())
	var last time.Duration
	for _, s := range c.pulse.report(event).Silences {
		last = max(last, s.To-event)
	}
	return milliseconds(last)
}

// cut takes a host off the bridge, without its knowing; mend puts it back.
func (c *contest) cut(host string) {
	c.t.Helper()
	c.do(c.at("sw").LinkSetNoMaster(c.link("sw", "p"+host)))
}

func (c *contest) mend(host string) {
	c.t.Helper()
	c.do(c.at("sw").LinkSetMaster(c.link("sw", "p"+host), c.link("sw", "br0")))
}

func (c *contest) do(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *contest) link(host, name string) netlink.Link {
	c.t.Helper()
	l, err := c.at(host).LinkByName(name)
	c.do(err)
	return l
}

func netlinkAddr(prefix string) *netlink.Addr {
	p := netip.MustParsePrefix(prefix)
	return &netlink.Addr{IPNet: &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}}
}
