package vrrp

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestExploreRespect has the members of a Virtual Router differ in VRID, version,
// password or interval, and start, stop, die, fail and be maintained at any time:
// nobody is Active beside another for longer than an advertisement takes, and
// somebody is soon after the last of it. Two that take over within that very
// moment hear nobody; such seeds end there.
func TestExploreRespect(t *testing.T) {
	explore(t, 4000, func(seed uint64, log *strings.Builder) error {
		l, longest := newLAN(seed, log, 0)
		intervals := []time.Duration{10 * time.Millisecond, 100 * time.Millisecond, time.Second}
		first, other := intervals[l.rng.IntN(3)], intervals[l.rng.IntN(3)]
		for _, n := range l.nodes {
			n.cfg.Respect = true
			if n.cfg.Version == 3 {
				n.cfg.Interval = first
			}
			switch {
			case l.rng.IntN(2) == 0:
			case n.cfg.Version == 2 && l.rng.IntN(2) == 0:
				n.cfg.Authentication = Password("next")
			case n.cfg.Version == 2 && l.rng.IntN(2) == 0:
				n.cfg.Version, n.cfg.Authentication, n.cfg.Interval = 3, Authentication{}, 100*time.Millisecond
			default:
				n.cfg.VRID = 51
				if n.cfg.Version == 3 {
					n.cfg.Interval = other
				}
			}
			longest = max(longest, n.cfg.Interval)
			l.logf("router %d: %+v", n.id, n.cfg.Shared)
		}
		// One that starts with a shorter interval than those whose Active router has
		// just died, and before they know, hears nobody for long enough.
		deaths := !slices.ContainsFunc(l.nodes, func(n *lanNode) bool { return n.cfg.Interval != l.nodes[0].cfg.Interval })
		return respectStory(l, longest, deaths)
	})
}

func respectStory(l *lan, interval time.Duration, deaths bool) error {
	steps := []func(){}
	at := func(when time.Duration, f func()) {
		steps = append(steps, f)
		l.at(when, len(steps)-1)
	}
	l.faulty = func(i int) { steps[i]() }
	l.instant = 2 * maxLatency
	end := 60 * interval
	for _, n := range l.nodes {
		n.router = &Machine{}
		start := func() {
			if n.dead {
				l.boot(n, nil)
			} else {
				l.give(n, Startup{})
			}
		}
		at(time.Duration(l.rng.Int64N(int64(end))), start)
		for range l.rng.IntN(4) {
			from := time.Duration(l.rng.Int64N(int64(end)))
			until := from + time.Duration(l.rng.Int64N(int64(end-from)))
			if l.rng.IntN(2) == 0 {
				until = min(until, from+time.Duration(l.rng.Int64N(int64(6*interval))))
			}
			plan := func(what string, on, off func()) {
				at(from, func() { l.logf("router %d: %s", n.id, what); on() })
				at(until, func() { l.logf("router %d: %s is over", n.id, what); off() })
			}
			dice := l.rng.IntN(5)
			if dice == 0 && !deaths {
				dice = 1
			}
			switch dice {
			case 0:
				plan("dead", func() { n.dead = true; n.holds = nil }, start)
			case 1:
				plan("stopped", func() { l.give(n, Shutdown{}) }, start)
			case 2:
				plan("maintained", func() { l.give(n, Maintenance(true)) }, func() { l.give(n, Maintenance(false)) })
			case 3:
				plan("at fault", func() { l.give(n, Checks{Fault: true}) }, func() { l.give(n, Checks{}) })
			case 4:
				plan("upgraded", func() {
					if m := n.router.(*Machine); !n.dead {
						s := m.Snapshot()
						l.boot(n, &s)
					}
				}, start)
			}
		}
	}
	at(end, l.mend)
	// Who was stopping then is started now.
	at(end+6*interval, l.mend)
	l.run(end + 24*interval + 2*usualInterval)
	if l.tied {
		return nil
	}
	if l.longestDual > 2*maxLatency {
		return fmt.Errorf("two active routers for %v", l.longestDual)
	}
	return l.settled(l.now)
}

// TestExploreRespectInGroups has two Virtual Routers in a sync group on each of three
// hosts, of which one or both have another VRID on some. Nobody is Active beside
// another, no member alone, and in the end one host has both.
func TestExploreRespectInGroups(t *testing.T) {
	explore(t, 2000, func(seed uint64, log *strings.Builder) error {
		rng := rand.New(rand.NewPCG(seed, 13))
		l := &lan{rng: rng, cache: -1, wholeSince: Never, dualSince: Never, bareSince: Never, log: log, instant: 2 * maxLatency}
		const interval = 300 * time.Millisecond
		changed := [2]uint8{uint8(10 * rng.IntN(2)), 10}
		for h := range 3 {
			next := rng.IntN(2) == 0
			priority := uint8(1 + rng.IntN(254))
			var siblings []*lanNode
			for vr := range 2 {
				c := testConfig()
				c.Interval, c.Priority, c.Respect = interval, priority, true
				c.VRID = uint8(vr + 1)
				if next {
					c.VRID += changed[vr]
				}
				c.Source = netip.AddrFrom4([4]byte{192, 0, 2, byte(h + 1)})
				if vr == 1 {
					c.Addresses = addresses("fe80::100")
					c.Source = netip.MustParseAddr(fmt.Sprintf("fe80::%d", h+1))
				}
				siblings = append(siblings, &lanNode{id: 2*h + vr, cfg: c, wake: Never, vr: vr, dead: true})
			}
			for _, n := range siblings {
				n.siblings = siblings
			}
			l.nodes = append(l.nodes, siblings...)
			l.logf("host %d: %d and %d, priority %d", h, siblings[0].cfg.VRID, siblings[1].cfg.VRID, priority)
		}
		return respectGroupStory(l, interval)
	})
}

func respectGroupStory(l *lan, interval time.Duration) error {
	steps := []func(){}
	l.faulty = func(i int) { steps[i]() }
	at := func(when time.Duration, f func()) {
		steps = append(steps, f)
		l.at(when, len(steps)-1)
	}
	end := 80 * interval
	for h := 0; h < len(l.nodes); h += 2 {
		siblings := l.nodes[h].siblings
		boot := time.Duration(l.rng.Int64N(int64(end)))
		at(boot, func() {
			siblings[0].dead, siblings[1].dead = false, false
			l.bootGroup(siblings)
		})
		for range l.rng.IntN(3) {
			n := siblings[l.rng.IntN(2)]
			from := boot + time.Duration(l.rng.Int64N(int64(end-boot)))
			until := from + time.Duration(l.rng.Int64N(int64(end)))
			on, off := []Event{Maintenance(true), Checks{Fault: true}, Shutdown{}}, []Event{Maintenance(false), Checks{}, Startup{}}
			i := l.rng.IntN(3)
			at(from, func() { l.logf("node %d: %T %+v", n.id, on[i], on[i]); l.give(n, on[i]) })
			at(until, func() {
				l.logf("node %d: %T %+v", n.id, off[i], off[i])
				l.give(n, off[i])
				if i == 2 {
					l.give(n.siblings[1-n.vr], off[i])
				}
			})
		}
	}
	both := 0
	for l.now < 3*end+20*interval {
		l.run(l.now + interval/30)
		active := [2]int{}
		for _, n := range l.nodes {
			if n.router != nil && n.router.State() == StateActive {
				active[n.vr]++
			}
		}
		if both++; active[0] < 2 && active[1] < 2 {
			both = 0
		}
		if both > 2 && !l.tied {
			return fmt.Errorf("at %v %v are active", l.now, active)
		}
	}
	if l.tied {
		return nil
	}
	active := -1
	for h := 0; h < len(l.nodes); h += 2 {
		four, six := l.nodes[h].router.State(), l.nodes[h+1].router.State()
		if four != six {
			return fmt.Errorf("host %d is %v and %v", h/2, four, six)
		}
		if four == StateActive {
			active = h / 2
		}
	}
	if active < 0 {
		return fmt.Errorf("no host is active")
	}
	return nil
}
