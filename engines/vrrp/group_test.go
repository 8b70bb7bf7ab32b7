package vrrp

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// TestGroupsMoveTogether explores two or three hosts with two Virtual Routers
// each in a sync group. After the faults one host has both.
func TestGroupsMoveTogether(t *testing.T) {
	explore(t, 5000, func(seed uint64, log *strings.Builder) error {
		rng := rand.New(rand.NewPCG(seed, 7))
		l := &lan{rng: rng, cache: -1, wholeSince: Never, dualSince: Never, bareSince: Never, log: log}
		interval := 100 * time.Millisecond
		hosts := 2 + rng.IntN(2)
		for h := range hosts {
			priority := uint8(1 + rng.IntN(254))
			noPreempt, respect := rng.IntN(4) == 0, rng.IntN(2) == 0
			var siblings []*lanNode
			for vr := range 2 {
				c := testConfig()
				c.Interval, c.Priority, c.NoPreempt, c.Respect = interval, priority, noPreempt, respect
				c.VRID = uint8(vr + 1)
				c.Source = netip.AddrFrom4([4]byte{192, 0, 2, byte(h + 1)})
				if vr == 1 {
					c.Addresses = addresses("fe80::100")
					c.Source = netip.MustParseAddr(fmt.Sprintf("fe80::%d", h+1))
				}
				siblings = append(siblings, &lanNode{id: 2*h + vr, cfg: c, wake: Never, vr: vr})
			}
			for _, n := range siblings {
				n.siblings = siblings
			}
			l.nodes = append(l.nodes, siblings...)
			l.bootGroup(siblings)
		}
		return groupStory(l, interval)
	})
}

func (l *lan) bootGroup(siblings []*lanNode) {
	var members []*Machine
	for _, n := range siblings {
		m, err := New(n.cfg)
		if err != nil {
			panic(err)
		}
		n.router, n.wake = m, Never
		members = append(members, m)
	}
	g := NewGroup(members...)
	for _, n := range siblings {
		n.group = g
	}
	for _, n := range siblings {
		if n.down {
			l.give(n, Link(false))
		}
		l.give(n, Startup{})
	}
}

func groupStory(l *lan, interval time.Duration) error {
	steps := []func(){}
	l.faulty = func(i int) { steps[i]() }
	at := func(when time.Duration, f func()) {
		steps = append(steps, f)
		l.at(when, len(steps)-1)
	}
	end := 40 * interval
	for range 1 + l.rng.IntN(6) {
		n := l.nodes[l.rng.IntN(len(l.nodes))]
		from := time.Duration(l.rng.Int64N(int64(end)))
		until := from + time.Duration(l.rng.Int64N(int64(end-from)))
		do := func(what string, on, off func()) {
			at(from, func() { l.logf("fault: %s, node %d", what, n.id); on() })
			at(until, func() { l.logf("over: %s, node %d", what, n.id); off() })
		}
		switch l.rng.IntN(6) {
		case 0:
			do("link", func() { l.setLink(n, false) }, func() { l.setLink(n, true) })
		case 1:
			do("check", func() { l.give(n, Checks{Fault: true}) }, func() { l.give(n, Checks{}) })
		case 2:
			do("maintenance", func() { l.give(n, Maintenance(true)) }, func() { l.give(n, Maintenance(false)) })
		case 3:
			do("restart", func() { l.bootGroup(n.siblings) }, func() {})
		case 4:
			do("loss", func() { l.loss = 0.3 }, func() { l.loss = 0 })
		case 5:
			do("cut", func() {
				for to := range l.cut {
					l.cut[n.id][to] = true
				}
			}, func() { l.cut = [6][6]bool{} })
		}
	}
	at(end, func() {
		l.loss, l.cut = 0, [6][6]bool{}
		for _, n := range l.nodes {
			l.setLink(n, true)
			l.give(n, Checks{})
			l.give(n, Maintenance(false))
		}
	})
	l.run(end + 60*interval)
	active := -1
	for h := 0; h < len(l.nodes); h += 2 {
		four, six := l.nodes[h], l.nodes[h+1]
		if four.router.State() != six.router.State() {
			return fmt.Errorf("host %d is %v and %v", h/2, four.router.State(), six.router.State())
		}
		if len(four.holds) != len(six.holds) || four.router.State().Holds() != (len(four.holds) == 1) {
			return fmt.Errorf("host %d is %v and holds %v %v", h/2, four.router.State(), four.holds, six.holds)
		}
		if four.router.State() == StateActive {
			if active >= 0 {
				return fmt.Errorf("hosts %d and %d are active", active, h/2)
			}
			active = h / 2
		}
	}
	if active < 0 {
		return fmt.Errorf("no host is active")
	}
	return nil
}

// TestAMemberOfAGroupWaitsForNobodyWhoIsGone: it waits for the others then, and says so.
func TestAMemberOfAGroupWaitsForNobodyWhoIsGone(t *testing.T) {
	var members []*Machine
	for vrid := range uint8(2) {
		c := testConfig()
		c.VRID, c.Respect = vrid+1, true
		m, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		members = append(members, m)
	}
	g := NewGroup(members...)
	g.Handle(0, 0, Startup{})
	a := Advertisement{Version: 3, VRID: 9, Priority: 50, Interval: time.Second, Addresses: testConfig().Addresses}
	p := Foreign{Source: netip.MustParseAddr("192.0.2.9"), Destination: MulticastAddress(false), TTL: 255}
	p.Message = a.Append(nil, p.Source, p.Destination, ChecksumPseudoHeader)
	g.Handle(time.Second, 0, &p)
	if s := members[0].Status(); s.Elsewhere != p.Source || s.Ready {
		t.Fatalf("waits for %v, ready %v", s.Elsewhere, s.Ready)
	}
	g.Handle(members[0].Deadline(), 0, Timeout{})
	if s := members[0].Status(); s.Elsewhere.IsValid() || !s.Ready {
		t.Errorf("waits for %v, ready %v", s.Elsewhere, s.Ready)
	}
}
