package host

import (
	"time"
)

// Planned hand-overs: nobody has to wait for anything.

func handovers() []story {
	two := func(names ...string) func(time.Duration) []metric {
		return func(time.Duration) (out []metric) {
			for _, n := range names {
				out = append(out, metric{name: n, unit: "probes", limit: 2, bounds: true, limitIs: "make before break"})
			}
			return out
		}
	}
	return []story{
		{"planned stop and return", mixed, allIntervals, two("lost by the stop", "lost by the give-back"), func(c *contest) []float64 {
			return []float64{
				c.handover(func() { c.a.stop() }, c.b, c.a),
				c.handover(func() { c.a.start(c.config(150)) }, c.a, c.b),
			}
		}},
		{"check fails and recovers", each, allIntervals, two("lost by the failure", "lost by the return"), func(c *contest) []float64 {
			return []float64{
				c.handover(func() { c.a.fault(true) }, c.b, c.a),
				c.handover(func() { c.a.fault(false) }, c.a, c.b),
			}
		}},
		{"upgrade", []pairing{ours}, allIntervals, two("lost"), func(c *contest) []float64 {
			return []float64{c.handover(c.a.(*hactl).upgrade, c.a, c.b)}
		}},
		{"maintenance", []pairing{ours}, allIntervals, two("lost by its begin", "lost by its end"), func(c *contest) []float64 {
			set := func(on bool) { c.do(c.a.(*hactl).client.Maintenance(c.t.Context(), "", on)) }
			return []float64{
				c.handover(func() { set(true) }, c.b, c.a),
				c.handover(func() { set(false) }, c.a, c.b),
			}
		}},
	}
}

// handover does something after which to holds the addresses and not from, and
// counts the requests that this has cost.
func (c *contest) handover(f func(), to, from peer) float64 {
	c.t.Helper()
	event := monotonic()
	f()
	holds(c.t, to, from)
	c.pulse.pass(c.moment())
	return c.lost(event)
}
