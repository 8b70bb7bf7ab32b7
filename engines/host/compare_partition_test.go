package host

import (
	"math/rand/v2"
	"time"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// A partition that only multicast notices: both are Active, and both answer
// the client. One that cuts all traffic heals in the story of a silent death.

func partitions() []story {
	return []story{{"partition of advertisements", each, allIntervals,
		func(interval time.Duration) []metric {
			return []metric{
				{name: "healed, client whole after", unit: "ms", limit: milliseconds(interval), bounds: true, limitIs: "an advertisement interval"},
				{name: "lost by the healing", unit: "probes"},
			}
		},
		func(c *contest) []float64 {
			c.deaf(true)
			eventually(c.t, 20*time.Second, "both are Active", func() bool { return c.a.holds() && c.b.holds() })
			c.pulse.pass(rand.N(3 * c.interval))
			event := monotonic()
			c.deaf(false)
			whole := c.whole(event)
			return []float64{whole, c.lost(event)}
		}}}
}

// deaf keeps multicast from both routers: mute (trouble_test.go), but at once.
func (c *contest) deaf(on bool) {
	c.t.Helper()
	const brportMulticastFlood = 27 // IFLA_BRPORT_MCAST_FLOOD
	flood := map[bool]byte{true: 0, false: 1}[on]
	for _, port := range []string{"pr1", "pr2"} {
		index := c.link("sw", port).Attrs().Index
		inside(c.t, c.ns("sw"), func() error {
			q := nl.NewNetlinkRequest(unix.RTM_SETLINK, unix.NLM_F_ACK)
			m := nl.NewIfInfomsg(unix.AF_BRIDGE)
			m.Index = int32(index)
			q.AddData(m)
			a := nl.NewRtAttr(unix.IFLA_PROTINFO|unix.NLA_F_NESTED, nil)
			a.AddRtAttr(brportMulticastFlood, []byte{flood})
			q.AddData(a)
			_, err := q.Execute(unix.NETLINK_ROUTE, 0)
			return err
		})
	}
}
