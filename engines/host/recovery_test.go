package host

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"
)

func TestAddressRemovedByHandIsPutBack(t *testing.T) {
	for _, c := range []struct {
		name, prefix, target string
		cfg                  Config
	}{{"ipv4", vip + "/32", vip, v3(150)}, {"ipv6", vip6 + "/128", vip6, v36(150)}} {
		t.Run(c.name, func(t *testing.T) {
			l := newLAN(t)
			a := l.start(l.addHost("r1", 1), &c.cfg)
			a.waitState("active")
			p := l.probe(c.target)
			event := monotonic()
			l.run("ip", "-n", a.ns, "addr", "del", c.prefix, "dev", "eth0")
			eventually(t, 20*time.Second, "the address is back", func() bool { return a.router().Counters.Noted["address-lost"] > 0 && l.has(a.ns, c.target) })
			p.settle(50 * time.Millisecond)
			r := p.report(event)
			t.Logf("lost %d of %d: %+v", r.Lost, r.Sent, r.Silences)
			// What the kernel refuses is tried again after a second, and this is not that.
			if r.Lost > 500 {
				t.Errorf("lost %d probes", r.Lost)
			}
			if a.router().Counters.Transitions["active"] != 1 {
				t.Error("a transition")
			}
		})
	}
}

func TestAddressLeftByAKilledProcessIsReconciled(t *testing.T) {
	l := newLAN(t)
	a := l.start(l.addHost("r1", 1), new(v3(150)))
	b := l.start(l.addHost("r2", 2), new(v3(100)))
	a.waitState("active")
	b.waitState("backup")
	a.kill()
	if !l.has(a.ns, vip) {
		t.Fatal("SIGKILL took the address with it")
	}
	b.waitState("active")
	// With the address configured still: gone before we are Backup.
	no := with(v3(90), func(r *Router) {})
	a.launch()
	a.configure(*no)
	a.waitState("backup")
	if l.has(a.ns, vip) {
		t.Error("a Backup holds the address")
	}
	if got := a.router().Source; got != netip.MustParseAddr("10.0.0.1") {
		t.Errorf("source %v", got)
	}
	// And with a configuration that knows nothing of it.
	b.signal(syscall.SIGTERM)
	b.waitEnd()
	a.waitState("active")
	a.kill()
	a.launch()
	a.configure(Config{})
	if l.has(a.ns, vip) {
		t.Error("an address that nobody wants is left")
	}
	// Nor by one that is told to end before anybody configures it.
	a.configure(*with(v3(90), func(*Router) {}))
	a.waitState("active")
	a.kill()
	a.launch()
	a.signal(syscall.SIGTERM)
	a.waitEnd()
	if l.has(a.ns, vip) {
		t.Error("an engine that was never configured leaves the address")
	}
}

func TestLinkDownAndUp(t *testing.T) {
	l := newLAN(t)
	a, b := l.pair(new(v3(150)), new(v3(100)))
	p := l.probe(vip)
	event := monotonic()
	l.run("ip", "-n", a.ns, "link", "set", "eth0", "down")
	a.waitState("fault")
	b.waitState("active")
	at := p.answers(event + 50*time.Millisecond)
	t.Logf("answered %v after link down", at-event)
	if l.has(a.ns, vip) {
		t.Error("the address stayed")
	}
	event = monotonic()
	l.run("ip", "-n", a.ns, "link", "set", "eth0", "up")
	a.waitState("active")
	b.waitState("backup")
	p.settle(50 * time.Millisecond)
	r := p.report(event)
	t.Logf("give-back lost %d of %d: %+v", r.Lost, r.Sent, r.Silences)
	if r.Lost > 2 {
		t.Errorf("lost %d probes", r.Lost)
	}
}

func TestInterfaceDeletedAndMadeAgain(t *testing.T) {
	for _, vmac := range []bool{false, true} {
		l := newLAN(t)
		cfg := with(v3(150), func(r *Router) { r.UseVMAC = vmac })
		a, b := l.pair(cfg, with(v3(100), func(r *Router) { r.UseVMAC = vmac }))
		l.run("ip", "-n", a.ns, "link", "del", "eth0")
		a.waitState("fault")
		b.waitState("active")
		l.plug("r1", 1)
		a.waitState("active")
		b.waitState("backup")
		p := l.probe(vip)
		p.settle(20 * time.Millisecond)
	}
}

func TestInterfaceThatComesLater(t *testing.T) {
	l := newLAN(t)
	l.addNamespace("r1")
	a := l.start(l.ns("r1"), new(v3(150)))
	a.waitState("fault")
	l.plug("r1", 1)
	a.waitState("active")
	l.probe(vip)
}

func TestPrimaryAddressChanges(t *testing.T) {
	l := newLAN(t)
	a, b := l.pair(new(v3(150)), new(v3(100)))
	l.run("ip", "netns", "exec", a.ns, "sysctl", "-qw", "net.ipv4.conf.eth0.promote_secondaries=1")
	l.run("ip", "-n", a.ns, "addr", "add", "10.0.0.9/24", "dev", "eth0")
	l.run("ip", "-n", a.ns, "addr", "del", "10.0.0.1/24", "dev", "eth0")
	want := netip.MustParseAddr("10.0.0.9")
	eventually(t, 20*time.Second, "the new source is heard", func() bool { return a.router().Source == want && b.router().Leader == want })
	if n := b.router().Counters.Transitions["active"]; n != 0 {
		t.Errorf("%d takeovers", n)
	}
	l.probe(vip)
}

func TestForeignClaimIsDefended(t *testing.T) {
	l := newLAN(t)
	a := l.start(l.addHost("r1", 1), new(v3(150)))
	a.waitState("active")
	p := l.probe(vip)
	c := l.addHost("x", 66)
	event := monotonic()
	cmd := exec.Command("ip", "netns", "exec", c, self(t))
	cmd.Env = append(os.Environ(), envClaim+"="+vip)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	eventually(t, 20*time.Second, "the claim is noted", func() bool { return a.router().Counters.Noted["foreign-claim"] > 0 })
	p.settle(100 * time.Millisecond)
	r := p.report(event)
	t.Logf("lost %d of %d: %+v; noted %v", r.Lost, r.Sent, r.Silences, a.router().Counters.Noted)
	// Announcements of its own accord are five seconds apart.
	for _, s := range r.Silences {
		if d := s.To - s.From; d > 500*time.Millisecond {
			t.Errorf("silence of %v", d)
		}
	}
}

// runClaim announces an address as if it were eth0's.
func runClaim(addr string) int {
	a, err := newAnnouncer()
	if err == nil {
		i, ierr := net.InterfaceByName("eth0")
		err = ierr
		if err == nil {
			if errno := a.send(i.Index, appendARP(nil, [6]byte(i.HardwareAddr), netip.MustParseAddr(addr))); errno != 0 {
				err = errno
			}
		}
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

const envClaim = "HACTL_TEST_CLAIM"

func TestPausedActiveComesBack(t *testing.T) {
	l := newLAN(t)
	a, b := l.pair(new(v3(150)), new(v3(100)))
	a.freeze()
	b.waitState("active")
	during(t, 500*time.Millisecond, "the other is Active", func() bool { return b.router().State == "active" })
	a.signal(syscall.SIGCONT)
	b.waitState("backup")
	if got := a.router(); got.State != "active" {
		t.Errorf("the better one is %s", got.State)
	}
}
