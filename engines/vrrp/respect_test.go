package vrrp

import (
	"fmt"
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
