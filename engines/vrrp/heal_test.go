package vrrp

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestHeal parts a LAN until every side has its Active router, heals it, and
// wants the client's traffic whole within one advertisement interval, whoever
// wins and whoever is heard first. No announcement is refreshed meanwhile.
func TestHeal(t *testing.T) {
	explore(t, 20000, func(seed uint64, log *strings.Builder) error {
		l, interval := newLAN(seed, log, 0)
		return healStory(l, interval, 0)
	})
}

// TestHealWithKeepalived has one router of each kind. As winner, keepalived is
// told by our last word. As loser of a LAN that was parted for all traffic it
// may fall silent before its winner heard of it: then, and only then, it takes
// a refresh.
func TestHealWithKeepalived(t *testing.T) {
	explore(t, 10000, func(seed uint64, log *strings.Builder) error {
		l, interval := newLAN(seed, log, 2)
		l.nodes[l.rng.IntN(2)].router = newKeepalived(Config{})
		refresh := 3 * interval
		for _, n := range l.nodes {
			n.cfg.Announcements.Refresh = refresh
		}
		return healStory(l, interval, refresh)
	})
}

func healStory(l *lan, interval, refresh time.Duration) error {
	for _, n := range l.nodes {
		if n.router == nil {
			n.router = &Machine{}
		}
		l.boot(n, nil)
	}
	l.run(l.listen + 10*interval + time.Duration(l.rng.Int64N(int64(interval))))
	full := l.rng.IntN(2) == 0
	sides := [6]int{}
	for i := range l.nodes {
		sides[i] = l.rng.IntN(3)
	}
	l.logf("parted, all traffic %v: %v", full, sides[:len(l.nodes)])
	if full {
		l.side, l.client = sides, sides[l.rng.IntN(len(l.nodes))]
	} else {
		for i := range l.cut {
			for j := range l.cut {
				l.cut[i][j] = sides[i] != sides[j]
			}
		}
	}
	l.run(l.now + 10*interval + time.Duration(l.rng.Int64N(int64(20*interval))))
	heal := l.now
	l.side, l.client, l.cut = [6]int{}, 0, [6][6]bool{}
	l.logf("healed")
	limit := interval + 4*maxLatency + min(clusterDelay, interval/16)
	l.run(heal + limit)
	whole := l.wholeSince
	l.run(heal + 10*interval)
	if err := l.settled(l.now); err != nil {
		return err
	}
	if whole != Never && l.wholeSince == whole {
		return nil
	}
	if l.silentKeepalived() && full && l.wholeSince <= heal+refresh+interval {
		return nil
	}
	return fmt.Errorf("healed at %v, client whole since %v", heal, l.wholeSince)
}

func (l *lan) silentKeepalived() bool {
	for _, n := range l.nodes {
		if _, ok := n.router.(*keepalived); ok && n.router.State() == StateBackup {
			return true
		}
	}
	return false
}

// TestPlannedChanges starts, stops, maintains, faults and reconfigures routers
// on a LAN without faults. There are never two Active routers for longer than
// an advertisement takes, and the router the client believes in never lacks
// the address for longer: make before break.
func TestPlannedChanges(t *testing.T) {
	explore(t, 20000, func(seed uint64, log *strings.Builder) error {
		l, interval := newLAN(seed, log, 0)
		return plannedStory(l, interval)
	})
}

// TestPlannedChangesWithKeepalived does so with a keepalived that stays and
// takes over when our routers let go.
func TestPlannedChangesWithKeepalived(t *testing.T) {
	explore(t, 10000, func(seed uint64, log *strings.Builder) error {
		l, interval := newLAN(seed, log, 0)
		l.nodes[0].router = newKeepalived(Config{})
		return plannedStory(l, interval)
	})
}

// TestPause stops a router for up to 40 intervals. One interval after it goes
// on there is one Active router again, and the client's traffic is whole.
func TestPause(t *testing.T) {
	explore(t, 10000, func(seed uint64, log *strings.Builder) error {
		l, interval := newLAN(seed, log, 0)
		for _, n := range l.nodes {
			n.router = &Machine{}
			l.boot(n, nil)
		}
		l.run(l.listen + 10*interval + time.Duration(l.rng.Int64N(int64(interval))))
		n := l.nodes[l.rng.IntN(len(l.nodes))]
		l.logf("router %d, %v, stops", n.id, n.router.State())
		n.paused = true
		l.run(l.now + time.Duration(l.rng.Int64N(int64(40*interval))))
		l.logf("router %d goes on", n.id)
		resumed := l.now
		l.resume(n)
		l.run(resumed + interval + 4*maxLatency + min(clusterDelay, interval/16))
		whole := l.wholeSince
		l.run(resumed + 10*interval)
		if whole == Never || l.wholeSince != whole {
			return fmt.Errorf("goes on at %v, client whole since %v", resumed, l.wholeSince)
		}
		return l.settled(l.now)
	})
}

func plannedStory(l *lan, interval time.Duration) error {
	steps := []func(){}
	at := func(when time.Duration, f func()) {
		steps = append(steps, f)
		l.at(when, len(steps)-1)
	}
	l.faulty = func(i int) { steps[i]() }
	for _, n := range l.nodes {
		if n.router == nil {
			n.router = &Machine{}
		}
		n.cfg.LooseAddresses = true
		if n.id == 0 {
			l.boot(n, nil)
		} else {
			at(time.Duration(l.rng.Int64N(int64(20*interval))), func() { l.boot(n, nil) })
		}
	}
	end := 20*interval + l.listen
	for range 6 {
		n := l.nodes[l.rng.IntN(len(l.nodes))]
		dice, x := l.rng.IntN(6), l.rng.Float64()
		if _, ok := n.router.(*keepalived); ok {
			continue
		}
		// The first router stays, so that there is always somebody to take over.
		if n.id == 0 && dice < 3 {
			dice += 3
		}
		give := func(ev func() Event) {
			var f func()
			f = func() {
				// A plan in the very millisecond of an election may catch a
				// winner that nobody knows of yet; then it takes a Skew_Time.
				if l.now-l.moved < 4*time.Millisecond {
					at(l.now+4*time.Millisecond, f)
					return
				}
				l.logf("planned: router %d", n.id)
				l.give(n, ev())
			}
			at(end, f)
			end += time.Duration(x * 10 * float64(interval))
		}
		switch dice {
		case 0:
			give(func() Event { return Shutdown{} })
			give(func() Event { return Startup{} })
		case 1:
			give(func() Event { return Maintenance(true) })
			give(func() Event { return Maintenance(false) })
		case 2:
			give(func() Event { return Checks{Fault: true} })
			give(func() Event { return Checks{} })
		case 3:
			give(func() Event { return Checks{Weight: int(300*x) - 150} })
			give(func() Event { return Checks{} })
		case 4:
			give(func() Event {
				n.cfg.Priority = uint8(1 + 253*x)
				n.cfg.NoPreempt = x < 0.2
				c := n.cfg
				return &c
			})
		case 5:
			give(func() Event {
				if x < 0.5 {
					n.cfg.Addresses = append(n.cfg.Addresses[:1:1], n.cfg.Addresses[0].Next())
				} else {
					n.cfg.Addresses = n.cfg.Addresses[:1:1]
				}
				c := n.cfg
				return &c
			})
		}
	}
	l.run(end + 20*interval + l.listen)
	// Two hops: ours to the rival, and the rival's back when they cross.
	if limit := 2 * maxLatency; l.longestDual > limit {
		return fmt.Errorf("two active routers for %v", l.longestDual)
	}
	// When several take over at once the client may believe any of them until
	// the winner has announced itself again: because of a last word, or, of a
	// keepalived that fell silent, because its announcement was seen.
	limit := 2*maxLatency + clusterDelay
	if _, ok := l.nodes[0].router.(*keepalived); ok {
		limit = 2*maxLatency + defenceDelay
	}
	if l.longestBare > limit {
		return fmt.Errorf("nobody answered the client for %v", l.longestBare)
	}
	if l.cache < 0 {
		return errors.New("nobody ever announced")
	}
	for _, n := range l.nodes {
		l.give(n, Maintenance(false))
		l.give(n, Checks{})
		l.give(n, Startup{})
	}
	l.run(l.now + 20*interval + l.listen)
	return l.settled(l.now)
}
