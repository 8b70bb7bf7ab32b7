package host

import (
	"net/netip"
	"time"
)

// Changes of a running group, host by host: first the Active, then, while the
// two differ for longer than an Active_Down_Interval, the Backup.

func changes() []story {
	metrics := func(time.Duration) []metric {
		return []metric{
			{name: "transitions to Active", unit: "", bounds: true, limitIs: "nothing has failed"},
			{name: "lost", unit: "probes", bounds: true, limitIs: "nothing has failed"},
			{name: "two held the address", unit: "ms", bounds: true, limitIs: "never"},
		}
	}
	extra := func(c *Config) *Config {
		c.Routers[0].Addresses = append(c.Routers[0].Addresses, Address{Prefix: netip.MustParsePrefix("10.0.0.51/32")})
		return c
	}
	return []story{
		{"address added host by host", each, allIntervals, metrics, func(c *contest) []float64 {
			return c.changed(
				func() { c.a.configure(extra(c.config(150))) }, func() { c.b.configure(extra(c.config(100))) },
				func() { c.a.configure(c.config(150)) }, func() { c.b.configure(c.config(100)) })
		}},
		{"check added host by host", each, shortIntervals, metrics, func(c *contest) []float64 {
			return c.changed(
				func() { c.a.cost(true) }, func() { c.b.cost(true) },
				func() { c.a.cost(false) }, func() { c.b.cost(false) })
		}},
		{"priority changed host by host", each, shortIntervals, metrics, func(c *contest) []float64 {
			return c.changed(
				func() { c.a.configure(c.config(160)) }, func() { c.b.configure(c.config(110)) },
				func() { c.a.configure(c.config(150)) }, func() { c.b.configure(c.config(100)) })
		}},
	}
}

// changed measures a change, and then takes it back.
func (c *contest) changed(a, b, undoA, undoB func()) []float64 {
	c.t.Helper()
	event := monotonic()
	a()
	c.pulse.pass(5 * c.interval)
	b()
	c.pulse.pass(5 * c.interval)
	holds(c.t, c.a, c.b)
	c.pulse.pass(0)
	transitions := -1 // that the Active holds it to begin with
	for _, p := range []peer{c.a, c.b} {
		for _, s := range p.eyes().since(event, vip) {
			if s.on {
				transitions++
			}
		}
	}
	out := []float64{float64(transitions), c.lost(event), milliseconds(both(c.a.eyes(), c.b.eyes(), vip, event))}
	undoA()
	undoB()
	return out
}
