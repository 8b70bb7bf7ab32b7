package host

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// variant is one way for the two makes to speak to each other. The variants run
// beside each other, each as a Virtual Router of its own: what takes seconds is
// waited for once.
type variant struct {
	name string
	vrid uint8
	vip  string
	set  func(*Router)
}

// steady makes a router patient enough for a machine that has other work:
// keepalived, whose thread is an ordinary one, has been seen to stall for 0.4 s.
func steady(r *Router) { slow(r, 300*time.Millisecond) }

func variants() []variant {
	version2 := func(password string) func(*Router) {
		return func(r *Router) { slow(r, time.Second); r.Version, r.Password = 2, password }
	}
	return []variant{
		{"v2-pass", 51, "10.0.0.51", version2("hunter22")},
		{"v2-none", 52, "10.0.0.52", version2("")},
		{"v3-ipv4", 53, "10.0.0.53", steady},
		{"v3-ipv4-1s", 54, "10.0.0.54", func(r *Router) { slow(r, time.Second) }},
		{"v3-ipv6", 55, "fd00::55", func(r *Router) {
			steady(r)
			r.Addresses = append([]Address{{Prefix: netip.MustParsePrefix("fe80::55/128")}}, r.Addresses...)
		}},
		{"v3-unicast", 56, "10.0.0.56", func(r *Router) {
			steady(r)
			r.Peers = []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")}
		}},
	}
}

// config has all variants, for the host with number n.
func config(all []variant, n int, priority uint8) *Config {
	var c Config
	own := netip.MustParseAddr(fmt.Sprintf("10.0.0.%d", n))
	for _, v := range all {
		r := v3(priority).Routers[0]
		addr := netip.MustParseAddr(v.vip)
		r.Name, r.VRID, r.Addresses = v.name, v.vrid, []Address{{Prefix: netip.PrefixFrom(addr, addr.BitLen())}}
		v.set(&r)
		for i, p := range r.Peers {
			if p == own {
				r.Peers = append(r.Peers[:i:i], r.Peers[i+1:]...)
				break
			}
		}
		c.Routers = append(c.Routers, r)
	}
	return &c
}

// activeDownInterval and skewTime are what they are called of a router (RFC 9568 6.1,
// RFC 3768 6.1).
func activeDownInterval(r *Router) time.Duration { return 3*r.Interval + skewTime(r) }

func skewTime(r *Router) time.Duration {
	unit := r.Interval
	if r.Version == 2 {
		unit = time.Second
	}
	return unit * time.Duration(256-int(r.Priority)) / 256
}

var bothWays = [][2]string{{"hactl", "keepalived"}, {"keepalived", "hactl"}}

// TestInteroperation has hactl and keepalived as a pair, in both roles: the
// Active stays, stops (priority 0), comes back and preempts, is cut off, and
// comes back to another Active.
func TestInteroperation(t *testing.T) {
	needKeepalived(t)
	for _, makes := range bothWays {
		t.Run(makes[0]+"-over-"+makes[1], func(t *testing.T) {
			t.Parallel()
			l, all := newLAN(t), variants()
			cfgA, cfgB := config(all, 1, 150), config(all, 2, 100)
			l.addHost("r1", 1)
			l.addHost("r2", 2)
			wire := l.tap("r2")
			a, b := l.make(makes[0], "r1", 1, cfgA), l.make(makes[1], "r2", 2, cfgB)
			alone := func(who, other peer, what string) {
				t.Helper()
				for _, v := range all {
					eventually(t, 20*time.Second, fmt.Sprintf("%s: %s: %s alone holds the address", what, v.name, who.name()), func() bool {
						return who.has(v.vip) && !other.has(v.vip)
					})
				}
			}
			alone(a, b, "election")
			p := l.pulse("10.0.0.54")
			settled := monotonic()
			p.pass(4 * time.Second) // longer than any Active_Down_Interval: they do hear each other
			for _, v := range all {
				if n := len(a.eyes().since(settled, v.vip)) - 1; n != 0 {
					t.Errorf("%s: the Active's address came or went %d times", v.name, n)
				}
				if n := len(b.eyes().since(settled, v.vip)); n != 0 {
					t.Errorf("%s: the Backup's address came or went %d times", v.name, n)
				}
			}

			event := monotonic()
			a.stop()
			alone(b, a, "stop")
			p.pass(200 * time.Millisecond)
			for i, v := range all {
				checkPriorityZero(t, wire, event, v, &cfgB.Routers[i])
			}
			s := p.longest(event)
			t.Logf("%s stops: v3-ipv4-1s silent for %v", a.name(), s.To-s.From)
			// It would be 609 ms if the Active let go first, as keepalived does.
			if a.name() == "hactl" && s.Lost > 400 {
				t.Errorf("hand-over to keepalived lost %d probes", s.Lost)
			}

			event = monotonic()
			a.start(cfgA)
			alone(a, b, "preemption")
			p.pass(200 * time.Millisecond)
			s = p.longest(event)
			t.Logf("%s comes back: v3-ipv4-1s silent for %v", a.name(), s.To-s.From)
			if s.Lost > 400 {
				t.Errorf("give-back lost %d probes", s.Lost)
			}

			l.unplug("r1")
			for _, v := range all {
				eventually(t, 20*time.Second, v.name+": the other takes over from one cut off", func() bool { return b.has(v.vip) })
			}
			l.replug("r1")
			alone(a, b, "healing")

			for _, x := range []peer{a, b} {
				switch x := x.(type) {
				case *hactl:
					for _, r := range x.status().Routers {
						if len(r.Counters.Dropped) > 0 || r.Counters.Received == 0 {
							t.Errorf("%s: hactl received %d, dropped %v", r.Name, r.Counters.Received, r.Counters.Dropped)
						}
					}
				case *keepalived:
					for _, bad := range []string{"nvalid", "mismatch", "not present", "bogus"} {
						if i := strings.Index(x.log(), bad); i >= 0 {
							t.Errorf("keepalived says: %s", x.log()[max(0, i-150):min(len(x.log()), i+100)])
						}
					}
				}
			}
		})
	}
}

// checkPriorityZero: whoever stops says so, and the other waits Skew_Time and
// not what is left of Active_Down_Interval, which is two intervals more. At 1 s
// there is time enough to tell them apart on any machine.
func checkPriorityZero(t *testing.T, wire *tap, event time.Duration, v variant, backup *Router) {
	t.Helper()
	zero := wire.sights(event, func(s *sight) bool { return s.out && !s.arp && s.vrid == v.vrid && s.priority == 0 })
	if len(zero) == 0 {
		t.Errorf("%s: no priority 0", v.name)
		return
	}
	next := wire.sights(event, func(s *sight) bool { return !s.out && !s.arp && s.vrid == v.vrid && s.priority > 0 })
	if len(next) == 0 {
		t.Errorf("%s: the Backup says nothing", v.name)
		return
	}
	took, want := next[0].at-zero[0].at, skewTime(backup)
	if took < want*9/10 || backup.Interval >= time.Second && took > want+backup.Interval*3/2 {
		t.Errorf("%s: taken over %v after priority 0, Skew_Time is %v", v.name, took, want)
	}
}

func TestInteroperationNoPreempt(t *testing.T) {
	needKeepalived(t)
	for _, makes := range bothWays {
		t.Run(makes[0]+"-over-"+makes[1], func(t *testing.T) {
			t.Parallel()
			l := newLAN(t)
			no := func(r *Router) { steady(r); r.NoPreempt = true }
			b := l.make(makes[1], "r2", 2, with(v3(100), no))
			eventually(t, 20*time.Second, "the first is Active", b.holds)
			a := l.make(makes[0], "r1", 1, with(v3(150), no))
			during(t, 1500*time.Millisecond, "the lower priority stays Active", func() bool { return b.holds() && !a.holds() })
			b.stop()
			eventually(t, 20*time.Second, "the higher priority has waited for its turn", a.holds)
		})
	}
}

func TestInteroperationEqualPriorities(t *testing.T) {
	needKeepalived(t)
	for _, makes := range bothWays {
		t.Run(makes[0]+"-below-"+makes[1], func(t *testing.T) {
			t.Parallel()
			l := newLAN(t)
			a := l.make(makes[0], "r1", 1, with(v3(100), steady))
			eventually(t, 20*time.Second, "the first is Active", a.holds)
			b := l.make(makes[1], "r2", 2, with(v3(100), steady))
			during(t, 1500*time.Millisecond, "who was first stays", func() bool { return a.holds() && !b.holds() })
			// Both Active after a partition: the greater address wins.
			l.unplug("r1")
			eventually(t, 20*time.Second, "both are Active", func() bool { return a.holds() && b.holds() })
			l.replug("r1")
			holds(t, b, a)
		})
	}
}

func TestInteroperationWrongPassword(t *testing.T) {
	needKeepalived(t)
	t.Parallel()
	l := newLAN(t)
	a := l.start(l.addHost("r1", 1), new(v2(100, "right")))
	l.make("keepalived", "r2", 2, new(v2(150, "wrong")))
	a.waitState("active")
	eventually(t, 20*time.Second, "the wrong password is counted", func() bool { return a.router().Counters.Dropped["auth-data"] > 0 })
	if a.router().State != "active" {
		t.Error("it was obeyed")
	}
}

// TestInteroperationVirtualMAC: the client knows the address by the Virtual
// Router's MAC (RFC 9568 7.3) whoever is Active, so its entry never changes.
func TestInteroperationVirtualMAC(t *testing.T) {
	needKeepalived(t)
	for _, makes := range bothWays {
		t.Run(makes[0]+"-over-"+makes[1], func(t *testing.T) {
			t.Parallel()
			l := newLAN(t)
			virtual := func(r *Router) { steady(r); r.UseVMAC = true }
			l.addHost("r1", 1)
			l.addHost("r2", 2)
			// A host whose route to the client is on the interface asks for it by
			// the interface's MAC, in the name of the virtual address, unless
			// told not to. keepalived leaves that to the administrator.
			host := l.ns(map[bool]string{true: "r1", false: "r2"}[makes[0] == "keepalived"])
			l.run("ip", "netns", "exec", host, "sysctl", "-qw", "net.ipv4.conf.eth0.arp_announce=2")
			wire := l.tap("r2")
			a, b := l.make(makes[0], "r1", 1, with(v3(150), virtual)), l.make(makes[1], "r2", 2, with(v3(100), virtual))
			holds(t, a, b)
			p, client := l.pulse(vip), l.hand("c")
			entry := func(what string) {
				t.Helper()
				p.pass(50 * time.Millisecond)
				if got := neighbour(t, client, vip); got != "00:00:5e:00:01:32" {
					t.Errorf("%s: the client knows %s by %s", what, vip, got)
				}
			}
			start := monotonic()
			entry("at first")
			during(t, 1500*time.Millisecond, "the Active stays", func() bool { return a.holds() && !b.holds() })
			a.stop()
			holds(t, b, a)
			entry("after a stop")
			a.start(with(v3(150), virtual))
			holds(t, a, b)
			entry("after its return")
			l.unplug("r1")
			eventually(t, 20*time.Second, "the other takes over", b.holds)
			entry("after a death")
			ours := netip.MustParseAddr(vip)
			for _, s := range wire.sights(start, func(s *sight) bool { return s.arp && s.source == ours || !s.arp && s.vrid == 50 }) {
				if s.mac != [6]byte{0, 0, 0x5e, 0, 1, 50} {
					t.Errorf("a packet of %v (ARP %v, out of its host's port %v) from %x", s.source, s.arp, !s.out, s.mac)
				}
			}
		})
	}
}

// neighbour reads the link-layer address that a host knows another by.
func neighbour(t testing.TB, h *netlink.Handle, addr string) string {
	t.Helper()
	all, err := h.NeighList(0, unix.AF_INET)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range all {
		if n.IP.String() == addr {
			return n.HardwareAddr.String()
		}
	}
	return "nothing"
}
