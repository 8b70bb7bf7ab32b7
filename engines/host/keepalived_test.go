package host

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// peer is a router of either make, so that the same story runs with each.
type peer interface {
	holds() bool
	stop() // gives up as the make does on SIGTERM
	die()  // SIGKILL
	name() string
}

func (n *node) holds() bool  { return n.lan.has(n.ns, n.router().Addresses[0].Addr().String()) }
func (n *node) stop()        { n.lan.t.Helper(); n.signal(syscall.SIGTERM); n.waitEnd() }
func (n *node) die()         { n.kill() }
func (n *node) name() string { return "hactl" }

// keepalived is a keepalived process in a namespace.
type keepalived struct {
	lan    *lan
	ns     string
	target string
	cmd    *exec.Cmd
	log    bytes.Buffer
	ended  chan struct{}
	dir    string
}

func needKeepalived(t testing.TB) {
	needNamespaces(t)
	if _, err := exec.LookPath("keepalived"); err != nil {
		if os.Getenv("HACTL_NETNS") == "required" {
			t.Fatal("interoperation needs keepalived(8)")
		}
		t.Skip("interoperation needs keepalived(8)")
	}
}

// keepalivedConf writes what a Config says in keepalived's words.
func keepalivedConf(c *Config, sources map[string]string, ns string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "global_defs {\n router_id %s\n vrrp_garp_master_delay 5\n}\n", ns)
	for _, r := range c.Routers {
		fmt.Fprintf(&b, "vrrp_instance %s {\n state BACKUP\n interface %s\n virtual_router_id %d\n priority %d\n version %d\n",
			r.Name, r.Interface, r.VRID, r.Priority, r.Version)
		fmt.Fprintf(&b, " advert_int %g\n", r.Interval.Seconds())
		if r.NoPreempt {
			b.WriteString(" nopreempt\n")
		}
		if r.Password != "" {
			fmt.Fprintf(&b, " authentication {\n auth_type PASS\n auth_pass %s\n }\n", r.Password)
		}
		if len(r.Peers) > 0 {
			fmt.Fprintf(&b, " unicast_src_ip %s\n unicast_peer {\n", sources[ns])
			for _, p := range r.Peers {
				fmt.Fprintf(&b, "  %v\n", p)
			}
			b.WriteString(" }\n")
		}
		b.WriteString(" virtual_ipaddress {\n")
		for _, a := range r.Addresses {
			fmt.Fprintf(&b, "  %v\n", a.Prefix)
		}
		b.WriteString(" }\n}\n")
	}
	return b.String()
}

func (l *lan) keepalived(ns string, c *Config, source string) *keepalived {
	l.t.Helper()
	k := &keepalived{lan: l, ns: ns, dir: filepath.Join(l.dir, ns+"-k"), target: c.Routers[0].Addresses[len(c.Routers[0].Addresses)-1].Prefix.Addr().String()}
	if err := os.MkdirAll(k.dir, 0o700); err != nil {
		l.t.Fatal(err)
	}
	conf := filepath.Join(k.dir, "keepalived.conf")
	if err := os.WriteFile(conf, []byte(keepalivedConf(c, map[string]string{ns: source}, ns)), 0o600); err != nil {
		l.t.Fatal(err)
	}
	k.cmd = exec.Command("ip", "netns", "exec", ns, "keepalived", "-n", "-l", "-D", "-P", "-f", conf,
		"-p", filepath.Join(k.dir, "pid"), "-r", filepath.Join(k.dir, "vrrp_pid"))
	k.cmd.Stdout, k.cmd.Stderr = &k.log, &k.log
	k.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := k.cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	k.ended = make(chan struct{})
	go func() { _ = k.cmd.Wait(); close(k.ended) }()
	l.t.Cleanup(func() {
		k.die()
		if l.t.Failed() {
			l.t.Logf("keepalived in %s:\n%s", ns, k.log.String())
		}
	})
	return k
}

func (k *keepalived) holds() bool  { return k.lan.has(k.ns, k.target) }
func (k *keepalived) name() string { return "keepalived" }

func (k *keepalived) stop() {
	k.lan.t.Helper()
	_ = k.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-k.ended:
	case <-time.After(10 * time.Second):
		k.lan.t.Fatal("keepalived does not end")
	}
}

// die kills the parent and its child at once: its own process group.
func (k *keepalived) die() {
	_ = syscall.Kill(-k.cmd.Process.Pid, syscall.SIGKILL)
	<-k.ended
}

// make starts a router of either make.
func (l *lan) make(kind, host string, n int, c *Config) peer {
	l.t.Helper()
	ns := l.ns(host)
	if _, err := l.try("ip", "-n", ns, "link", "show", "eth0"); err != nil {
		l.addHost(host, n)
	}
	if kind == "keepalived" {
		return l.keepalived(ns, c, fmt.Sprintf("10.0.0.%d", n))
	}
	return l.start(ns, c)
}

func holds(t testing.TB, who, other peer) {
	t.Helper()
	eventually(t, 15*time.Second, who.name()+" alone holds the address", func() bool { return who.holds() && !other.holds() })
}

// TestInteroperation has hactl and keepalived as a pair, in both roles: the
// Active stops, the other takes over, the first comes back and preempts.
func TestInteroperation(t *testing.T) {
	needKeepalived(t)
	cases := []struct {
		name   string
		make   func(priority uint8) Config
		target string
		uni    bool
	}{
		{"v2-pass", func(p uint8) Config { return v2(p, "hunter22") }, vip, false},
		{"v2-none", func(p uint8) Config { return v2(p, "") }, vip, false},
		{"v3-ipv4", v3, vip, false},
		{"v3-ipv6", v36, vip6, false},
		{"v3-unicast", v3, vip, true},
	}
	for _, c := range cases {
		for _, makes := range [][2]string{{"hactl", "keepalived"}, {"keepalived", "hactl"}} {
			t.Run(c.name+"/"+makes[0]+"-over-"+makes[1], func(t *testing.T) {
				t.Parallel()
				l := newLAN(t)
				cfgA, cfgB := c.make(150), c.make(100)
				if c.uni {
					cfgA.Routers[0].Peers = []netip.Addr{netip.MustParseAddr("10.0.0.2")}
					cfgB.Routers[0].Peers = []netip.Addr{netip.MustParseAddr("10.0.0.1")}
				}
				l.addHost("r2", 2)
				a := l.make(makes[0], "r1", 1, &cfgA)
				b := l.make(makes[1], "r2", 2, &cfgB)
				holds(t, a, b)
				p := l.probe(c.target)
				interval := cfgA.Routers[0].Interval
				during(t, 6*interval, "the Active stays", func() bool { return a.holds() && !b.holds() })

				event := monotonic()
				a.stop()
				eventually(t, 15*time.Second, "the other takes over", b.holds)
				p.settle(50 * time.Millisecond)
				r := p.report(event)
				t.Logf("%s stops: lost %d %+v", a.name(), r.Lost, r.Silences)
				// keepalived announces an IPv6 address before the kernel has
				// put it to work; nothing we do can help that.
				if a.name() == "hactl" && r.Lost > 2 && c.target != vip6 {
					t.Errorf("hand-over to keepalived lost %d probes", r.Lost)
				}

				event = monotonic()
				a = l.make(makes[0], "r1", 1, &cfgA)
				holds(t, a, b)
				p.settle(50 * time.Millisecond)
				r = p.report(event)
				t.Logf("%s comes back: lost %d %+v", a.name(), r.Lost, r.Silences)
				if r.Lost > 2 && c.target != vip6 {
					t.Errorf("give-back lost %d probes", r.Lost)
				}

				event = monotonic()
				l.unplug("r1")
				eventually(t, 15*time.Second, "the other takes over", b.holds)
				t.Logf("%s vanishes: answered after %v", a.name(), p.answers(event+5*time.Millisecond)-event)
				if n, ok := a.(*node); ok {
					if drops := n.router().Counters.Dropped; len(drops) > 0 {
						t.Errorf("dropped %v", drops)
					}
				}
				if n, ok := b.(*node); ok {
					if drops := n.router().Counters.Dropped; len(drops) > 0 {
						t.Errorf("dropped %v", drops)
					}
				}
			})
		}
	}
}

func TestInteroperationNoPreempt(t *testing.T) {
	needKeepalived(t)
	for _, makes := range [][2]string{{"hactl", "keepalived"}, {"keepalived", "hactl"}} {
		t.Run(makes[0]+"-over-"+makes[1], func(t *testing.T) {
			t.Parallel()
			l := newLAN(t)
			no := func(r *Router) { r.NoPreempt = true }
			b := l.make(makes[1], "r2", 2, with(v3(100), no))
			eventually(t, 5*time.Second, "the first is Active", b.holds)
			a := l.make(makes[0], "r1", 1, with(v3(150), no))
			during(t, 1500*time.Millisecond, "the lower priority stays Active", func() bool { return b.holds() && !a.holds() })
		})
	}
}

func TestInteroperationEqualPriorities(t *testing.T) {
	needKeepalived(t)
	for _, makes := range [][2]string{{"hactl", "keepalived"}, {"keepalived", "hactl"}} {
		t.Run(makes[0]+"-below-"+makes[1], func(t *testing.T) {
			t.Parallel()
			l := newLAN(t)
			a := l.make(makes[0], "r1", 1, new(v3(100)))
			eventually(t, 5*time.Second, "the first is Active", a.holds)
			b := l.make(makes[1], "r2", 2, new(v3(100)))
			during(t, time.Second, "who was first stays", func() bool { return a.holds() && !b.holds() })
			// Both Active after a partition: the greater address wins.
			l.unplug("r1")
			eventually(t, 5*time.Second, "both are Active", func() bool { return a.holds() && b.holds() })
			l.replug("r1")
			holds(t, b, a)
		})
	}
}

func TestInteroperationWrongPassword(t *testing.T) {
	needKeepalived(t)
	l := newLAN(t)
	a := l.start(l.addHost("r1", 1), new(v2(100, "right")))
	l.make("keepalived", "r2", 2, new(v2(150, "wrong")))
	a.waitState("active")
	eventually(t, 10*time.Second, "the wrong password is counted", func() bool { return a.router().Counters.Dropped["auth-data"] > 0 })
	if a.router().State != "active" {
		t.Error("it was obeyed")
	}
}
