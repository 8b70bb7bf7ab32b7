package vrrp

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	exploreSeeds = flag.Int("explore.seeds", 0, "seeds for each exploration; 0 is a default for each")
	exploreSeed  = flag.Uint64("explore.seed", 0, "explore this seed only, and print what happens")
	exploreTime  = flag.Duration("explore.time", 8*time.Second, "stop each exploration after that long, however many seeds are left")
)

// explore runs a story for many seeds on all processors. A story is a function
// of its seed alone.
func explore(t *testing.T, seeds int, story func(seed uint64, log *strings.Builder) error) {
	if *exploreSeed != 0 {
		var log strings.Builder
		err := story(*exploreSeed, &log)
		t.Logf("seed %d:\n%s", *exploreSeed, log.String())
		if err != nil {
			t.Fatalf("seed %d: %v", *exploreSeed, err)
		}
		return
	}
	if *exploreSeeds > 0 {
		seeds = *exploreSeeds
	} else if testing.Short() {
		seeds /= 20
	}
	start := time.Now()
	var next, done atomic.Int64
	var failed atomic.Uint64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for failed.Load() == 0 && time.Since(start) < *exploreTime {
				seed := next.Add(1)
				if seed > int64(seeds) {
					return
				}
				if story(uint64(seed), nil) != nil {
					failed.CompareAndSwap(0, uint64(seed))
				}
				done.Add(1)
			}
		})
	}
	wg.Wait()
	if seed := failed.Load(); seed != 0 {
		var log strings.Builder
		err := story(seed, &log)
		lines := strings.Split(log.String(), "\n")
		if len(lines) > 400 {
			lines = append([]string{"..."}, lines[len(lines)-400:]...)
		}
		t.Fatalf("%s\nseed %d: %v\nreproduce: go test ./engines/vrrp -run '^%s$' -explore.seed=%d -v",
			strings.Join(lines, "\n"), seed, err, t.Name(), seed)
	}
	t.Logf("%d seeds, %.0f per second", done.Load(), float64(done.Load())/time.Since(start).Seconds())
}

// newLAN makes 2 to 5 routers from a seed: version, family, priorities with
// ties, preemption and, in v3, sometimes different intervals.
func newLAN(seed uint64, log *strings.Builder, count int) (l *lan, interval time.Duration) {
	rng := rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15))
	l = &lan{rng: rng, cache: -1, wholeSince: Never, dualSince: Never, bareSince: Never, log: log}
	if count == 0 {
		count = 2 + rng.IntN(4)
	}
	version := uint8(2 + rng.IntN(2))
	v6 := version == 3 && rng.IntN(2) == 0
	interval = time.Second
	if version == 3 {
		interval = []time.Duration{10 * time.Millisecond, 100 * time.Millisecond, time.Second}[rng.IntN(3)]
	}
	tie := rng.IntN(4) == 0
	longest := interval
	for id := range count {
		c := Config{
			Shared:        Shared{Version: version, VRID: 50, Interval: interval, Addresses: []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, 100})}},
			Priority:      uint8(1 + rng.IntN(254)),
			Source:        netip.AddrFrom4([4]byte{192, 0, 2, byte(id + 1)}),
			Announcements: DefaultAnnouncements(),
			NoPreempt:     rng.IntN(5) == 0,
			Respect:       rng.IntN(2) == 0,
		}
		if c.Respect {
			l.listen = 2*usualInterval + interval
		}
		if v6 {
			c.Addresses[0] = netip.MustParseAddr("fe80::100")
			c.Source = netip.MustParseAddr(fmt.Sprintf("fe80::%d", id+1))
		}
		if version == 2 {
			c.Authentication = Password("secret")
		}
		if tie {
			c.Priority = 100
		}
		if version == 3 && rng.IntN(10) == 0 {
			c.Interval = interval * 2
			longest = c.Interval
		}
		l.nodes = append(l.nodes, &lanNode{id: id, cfg: c, wake: Never, dead: true})
		if log != nil {
			fmt.Fprintf(log, "router %d: version %d, %v, priority %d, interval %v, nopreempt %v\n", id, version, c.Source, c.Priority, c.Interval, c.NoPreempt)
		}
	}
	return l, longest
}

// TestExplore throws faults at a LAN until some time, mends everything, and
// wants one Active router with the address, in which the client believes.
func TestExplore(t *testing.T) {
	explore(t, 20000, func(seed uint64, log *strings.Builder) error {
		l, interval := newLAN(seed, log, 0)
		for _, n := range l.nodes {
			// A client that was cut off while mastership moved can only learn
			// of it from a refresh.
			n.cfg.Announcements.Refresh = 20 * interval
		}
		return faultStory(l, interval)
	})
}

// TestExploreWithKeepalived does the same with some of the routers keepalived.
func TestExploreWithKeepalived(t *testing.T) {
	explore(t, 10000, func(seed uint64, log *strings.Builder) error {
		l, interval := newLAN(seed, log, 0)
		for _, n := range l.nodes {
			n.cfg.Announcements.Refresh = 20 * interval
			if n.id == 0 || l.rng.IntN(2) == 0 {
				n.router = newKeepalived(n.cfg)
				l.logf("router %d is keepalived", n.id)
			}
		}
		return faultStory(l, interval)
	})
}

func faultStory(l *lan, interval time.Duration) error {
	for _, n := range l.nodes {
		if n.router == nil {
			n.router = &Machine{}
		}
		l.boot(n, nil)
	}
	steps := []func(){}
	at := func(when time.Duration, f func()) {
		steps = append(steps, f)
		l.at(when, len(steps)-1)
	}
	l.faulty = func(i int) { steps[i]() }
	end := 40 * interval
	for range 1 + l.rng.IntN(8) {
		from := time.Duration(l.rng.Int64N(int64(end)))
		until := from + time.Duration(l.rng.Int64N(int64(end-from)))
		if l.rng.IntN(2) == 0 {
			until = min(until, from+time.Duration(l.rng.Int64N(int64(6*interval))))
		}
		l.fault(at, from, until, interval)
	}
	at(end, l.mend)
	// Who was being stopped while mending is started now.
	at(end+6*interval, l.mend)
	end += 6 * interval
	settled := end + 16*interval + l.listen
	l.run(settled)
	if err := l.settled(settled); err != nil {
		return err
	}
	transitions := l.transitions
	l.run(settled + 30*interval)
	if err := l.settled(l.now); err != nil {
		return fmt.Errorf("later: %w", err)
	}
	if l.transitions != transitions {
		return errors.New("a transition on a LAN at peace")
	}
	for _, n := range l.nodes {
		if _, ok := n.router.(*keepalived); ok && n.router.State() == StateActive {
			return nil // it may have left the client behind; see its complaints
		}
	}
	// The client is right one refresh after the last change, at most.
	if late := 22*interval + maxLatency; l.wholeSince > settled+late {
		return fmt.Errorf("client whole only at %v", l.wholeSince)
	}
	return nil
}

func (l *lan) settled(now time.Duration) error {
	var active *lanNode
	for _, n := range l.nodes {
		switch n.router.State() {
		case StateActive:
			if active != nil {
				return fmt.Errorf("at %v routers %d and %d are active", now, active.id, n.id)
			}
			active = n
		case StateBackup:
		default:
			return fmt.Errorf("at %v router %d is %v", now, n.id, n.router.State())
		}
		if holds := len(n.holds) > 0; holds != (n.router.State() == StateActive) {
			return fmt.Errorf("at %v router %d is %v and holds %v", now, n.id, n.router.State(), n.holds)
		}
	}
	if active == nil {
		return fmt.Errorf("at %v no router is active", now)
	}
	for _, a := range active.cfg.Addresses {
		found := false
		for _, h := range active.holds {
			found = found || a == h
		}
		if !found {
			return fmt.Errorf("at %v router %d lacks %v", now, active.id, a)
		}
	}
	if m, ok := active.router.(*Machine); ok && l.log != nil {
		l.logf("settled: router %d, counters %+v", active.id, m.Status().Counters)
	}
	return nil
}

// mend repairs everything and starts whatever does not run.
func (l *lan) mend() {
	l.logf("everything mended")
	l.loss, l.dup, l.jitter = 0, 0, 0
	l.cut, l.side, l.client = [6][6]bool{}, [6]int{}, 0
	for _, n := range l.nodes {
		l.setLink(n, true)
		if n.dead {
			l.boot(n, nil)
		}
		l.resume(n)
		l.give(n, Maintenance(false))
		l.give(n, Checks{})
		l.give(n, Startup{})
	}
}

func (l *lan) setLink(n *lanNode, up bool) {
	if n.down != up {
		return
	}
	if !up {
		// What is said on the way down is not heard.
		n.down = true
		l.logf("router %d: link down", n.id)
		l.give(n, Link(false))
		return
	}
	n.down = false
	l.give(n, Link(true))
}

// fault plans one fault from the seed.
func (l *lan) fault(at func(time.Duration, func()), from, until, interval time.Duration) {
	n := l.nodes[l.rng.IntN(len(l.nodes))]
	other := l.rng.IntN(len(l.nodes))
	dice := l.rng.IntN(17)
	x := l.rng.Float64()
	sides := [6]int{}
	for i := range sides {
		sides[i] = l.rng.IntN(2)
	}
	do := func(what string, on, off func()) {
		at(from, func() { l.logf("fault: %s, router %d", what, n.id); on() })
		at(until, func() { l.logf("over: %s, router %d", what, n.id); off() })
	}
	awake := func(f func()) func() {
		return func() {
			if !n.dead && !n.paused {
				f()
			}
		}
	}
	nothing := func() {}
	switch dice {
	case 0:
		do("loss", func() { l.loss = 0.6 * x }, func() { l.loss = 0 })
	case 1:
		do("delay and reordering", func() { l.jitter = time.Duration(2 * x * float64(interval)) }, func() { l.jitter = 0 })
	case 2:
		do("duplication", func() { l.dup = x }, func() { l.dup = 0 })
	case 3, 4:
		do("one-way cut", func() { l.cut[n.id][other] = true }, func() { l.cut[n.id][other] = false })
	case 5:
		do("advertisements cut", func() {
			for i := range l.cut {
				for j := range l.cut {
					l.cut[i][j] = sides[i] != sides[j]
				}
			}
		}, func() { l.cut = [6][6]bool{} })
	case 6:
		do("partition", func() { l.side, l.client = sides, sides[0] }, func() { l.side, l.client = [6]int{}, 0 })
	case 7, 8:
		do("pause", awake(func() { n.paused = true }), func() { l.resume(n) })
	case 9:
		do("kill", func() { n.dead = true }, func() {
			if n.dead {
				l.boot(n, nil)
			}
		})
	case 10:
		do("restart with state", awake(func() {
			if m, ok := n.router.(*Machine); ok {
				s := m.Snapshot()
				l.boot(n, &s)
			}
		}), nothing)
	case 11:
		do("stop", awake(func() { l.give(n, Shutdown{Now: x < 0.3}) }), awake(func() { l.give(n, Startup{}) }))
	case 12:
		do("link", awake(func() { l.setLink(n, false) }), awake(func() { l.setLink(n, true) }))
	case 13:
		do("check", awake(func() { l.give(n, Checks{Weight: -int(200 * x), Fault: x < 0.3}) }), awake(func() { l.give(n, Checks{}) }))
	case 14:
		do("maintenance", awake(func() { l.give(n, Maintenance(true)) }), awake(func() { l.give(n, Maintenance(false)) }))
	case 15:
		do("configuration", awake(func() {
			if _, ok := n.router.(*Machine); !ok {
				return
			}
			c := n.cfg
			c.Priority = uint8(1 + 253*x)
			c.LooseAddresses = true
			if c.Version == 3 && x < 0.5 {
				c.Addresses = append(c.Addresses[:1:1], c.Addresses[0].Next())
			}
			n.cfg = c
			l.give(n, &c)
		}), nothing)
	case 16:
		do("foreign claim and lost address", awake(func() {
			l.give(n, ForeignClaim{n.cfg.Addresses[0]})
			if n.router.State().Holds() && len(n.holds) > 0 {
				if _, ok := n.router.(*Machine); ok {
					lost := n.holds[0]
					n.holds = n.holds[1:]
					l.give(n, AddressLost{lost})
				}
			}
		}), nothing)
	}
}
