package host

import (
	"fmt"
	"net/netip"
	"os/exec"
	"testing"
	"time"
)

// mute keeps multicast from a host, and nothing else: advertisements, not ARP.
func (l *lan) mute(name string, on bool) {
	l.t.Helper()
	flood := map[bool]string{true: "off", false: "on"}[on]
	l.run("ip", "-n", l.ns("sw"), "link", "set", "p"+name, "type", "bridge_slave", "mcast_flood", flood)
}

// TestHealedPartitionIsWholeAtOnce: while the routers do not hear each other
// both are Active; when they do again, the client is served within an interval.
func TestHealedPartitionIsWholeAtOnce(t *testing.T) {
	l := newLAN(t)
	better := with(v3(150), steady)
	a, b := l.pair(better, with(v3(100), steady))
	p := l.probe(vip)
	for range 4 {
		l.mute("r1", true)
		l.mute("r2", true)
		b.waitState("active")
		event := monotonic()
		l.mute("r2", false)
		l.mute("r1", false)
		b.waitState("backup")
		p.settle(better.Routers[0].Interval + 50*time.Millisecond)
		r := p.report(event)
		t.Logf("lost %d of %d: %+v", r.Lost, r.Sent, r.Silences)
		for _, s := range r.Silences {
			if d := s.To - s.From; d > better.Routers[0].Interval {
				t.Errorf("silence of %v", d)
			}
		}
	}
	if n := a.router().Counters.Transitions["active"]; n != 1 {
		t.Errorf("the better one moved: %d", n)
	}
}

// TestBusyHostMakesNoTransition has more runnable processes than processors
// beside a pair. That is at 100 ms: at 10 ms a machine that stands still itself for
// 36 ms is a transition, and make bench-vrrp has that.
func TestBusyHostMakesNoTransition(t *testing.T) {
	l := newLAN(t)
	a, b := l.pair(new(v3(150)), new(v3(100)))
	if !a.status().Scheduling.FIFO || !b.status().Scheduling.FIFO {
		t.Logf("without SCHED_FIFO: %s", a.status().Scheduling.Problems)
	}
	for range 6 {
		cmd := exec.Command("sh", "-c", "while :; do :; done")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	}
	during(t, 3*time.Second, "the Active stays", func() bool { return a.router().State == "active" })
	for _, n := range []*node{a, b} {
		t.Logf("%s: lateness max %v of %d", n.ns, n.status().Lateness.Max, n.status().Lateness.Wakes)
	}
	if n := b.router().Counters.Transitions["active"]; n != 0 && a.status().Scheduling.FIFO {
		t.Errorf("%d takeovers", n)
	}
}

// TestAnOwnerThatIsBackIsHeard: it sends from the address that the other one has
// meanwhile.
func TestAnOwnerThatIsBackIsHeard(t *testing.T) {
	for _, vmac := range []bool{false, true} {
		t.Run(fmt.Sprintf("vmac=%t", vmac), func(t *testing.T) { ownerIsBack(t, vmac) })
	}
}

func ownerIsBack(t *testing.T, vmac bool) {
	l := newLAN(t)
	ns := l.addHost("r1", 1)
	l.run("ip", "-n", ns, "addr", "add", vip+"/32", "dev", "eth0")
	owner := l.start(ns, with(v3(255), func(r *Router) { r.Source = netip.MustParseAddr(vip) }))
	owner.waitState("active")
	b := l.start(l.addHost("r2", 2), with(v3(100), func(r *Router) { r.Owned, r.UseVMAC = true, vmac }))
	b.waitState("backup")
	l.unplug("r1")
	b.waitState("active")
	l.replug("r1")
	b.waitState("backup")
	// It answers a little longer, until the owner has said that it is there.
	eventually(t, 20*time.Second, "the other one lets go", func() bool { return !l.has(b.ns, vip) })
	if s := owner.router().State; s != "active" {
		t.Errorf("the owner is %s", s)
	}
}

// TestOwnerKeepsItsOwnAddress: priority 255, and the address is the host's.
func TestOwnerKeepsItsOwnAddress(t *testing.T) {
	l := newLAN(t)
	ns := l.addHost("r1", 1)
	l.run("ip", "-n", ns, "addr", "add", vip+"/32", "dev", "eth0")
	a := l.start(ns, new(v3(255)))
	a.waitState("active")
	a.stop()
	if !l.has(ns, vip) {
		t.Error("the host's own address was removed")
	}
}
