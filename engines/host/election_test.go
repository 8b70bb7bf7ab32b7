package host

import (
	"net/netip"
	"syscall"
	"testing"
	"time"
)

// pair starts an Active router with priority 150 and a Backup with 100.
func (l *lan) pair(a, b *Config) (active, backup *node) {
	l.t.Helper()
	active = l.start(l.addHost("r1", 1), a)
	active.waitState("active")
	backup = l.start(l.addHost("r2", 2), b)
	backup.waitState("backup")
	return active, backup
}

func TestHigherPriorityIsElected(t *testing.T) {
	l := newLAN(t)
	a, b := l.pair(new(v3(150)), new(v3(100)))
	if s := a.status(); !s.Scheduling.FIFO || !s.Scheduling.Locked {
		t.Logf("scheduling: %+v", s.Scheduling)
	}
	eventually(t, 20*time.Second, "the Backup has heard the Active", func() bool { return b.router().LeaderPriority == 150 })
	if !l.has(a.ns, vip) || l.has(b.ns, vip) {
		t.Error("the address is not with the Active router alone")
	}
}

func TestBackupTakesOverWithinDownInterval(t *testing.T) {
	l := newLAN(t)
	half := func(r *Router) { slow(r, 500*time.Millisecond) } // a fifth is more than a busy machine stands still
	worse := with(v3(100), half)
	a, b := l.pair(with(v3(150), half), worse)
	p := l.probe(vip)
	p.settle(50 * time.Millisecond)
	event := monotonic()
	l.unplug("r1")
	a.kill()
	b.waitState("active")
	p.settle(50 * time.Millisecond)
	r, down := p.report(event), activeDownInterval(&worse.Routers[0])
	// The client's own silence: to unplug takes time, too.
	var silent time.Duration
	for _, s := range r.Silences {
		silent = max(silent, s.To-s.From)
	}
	t.Logf("silent for %v, RFC limit %v; lateness max %v", silent, down, b.status().Lateness.Max)
	if silent == 0 || silent > down*12/10 {
		t.Errorf("too late, or never dead: %+v", r.Silences)
	}
}

func TestSIGTERMHandsOver(t *testing.T) {
	l := newLAN(t)
	a, b := l.pair(new(v3(150)), new(v3(100)))
	p := l.probe(vip)
	p.settle(50 * time.Millisecond)
	event := monotonic()
	a.signal(syscall.SIGTERM)
	a.waitEnd()
	b.waitState("active")
	p.settle(100 * time.Millisecond)
	r := p.report(event)
	t.Logf("lost %d of %d: %+v", r.Lost, r.Sent, r.Silences)
	if r.Lost > 2 {
		t.Errorf("lost %d probes", r.Lost)
	}
	if l.has(a.ns, vip) {
		t.Error("the address stayed")
	}
}

func TestReturningHigherPriorityTakesBackWithoutLoss(t *testing.T) {
	l := newLAN(t)
	a, b := l.pair(new(v3(150)), new(v3(100)))
	a.signal(syscall.SIGTERM)
	a.waitEnd()
	b.waitState("active")
	p := l.probe(vip)
	event := monotonic()
	a = l.start(a.ns, new(v3(150)))
	a.waitState("active")
	b.waitState("backup")
	p.settle(100 * time.Millisecond)
	r := p.report(event)
	t.Logf("lost %d of %d: %+v", r.Lost, r.Sent, r.Silences)
	if r.Lost > 2 {
		t.Errorf("lost %d probes", r.Lost)
	}
}

func TestNoPreemptLeavesTheActive(t *testing.T) {
	l := newLAN(t)
	no := func(r *Router) { r.NoPreempt = true }
	a, b := l.pair(with(v3(150), no), with(v3(100), no))
	a.signal(syscall.SIGTERM)
	a.waitEnd()
	b.waitState("active")
	a = l.start(a.ns, with(v3(150), no))
	during(t, time.Second, "the lower priority stays Active", func() bool {
		return a.router().State != "active" && b.router().State == "active"
	})
}

// variants are elections and hand-overs with other parameters.
func TestVariantsElectAndHandOver(t *testing.T) {
	global := func(c Config) *Config { return with(c, func(r *Router) {}) }
	cases := []struct {
		name   string
		a, b   *Config
		target string
	}{
		{"v2-pass", new(v2(150, "secret12")), new(v2(100, "secret12")), vip},
		{"v2-none", new(v2(150, "")), new(v2(100, "")), vip},
		{"v3-ipv6", global(v36(150)), global(v36(100)), vip6},
		{"v3-rfc-checksum", with(v3(150), func(r *Router) { r.ChecksumMessage = true }), new(v3(100)), vip},
		{"v3-unicast", with(v3(150), peers("10.0.0.2")), with(v3(100), peers("10.0.0.1")), vip},
		{"v3-10ms", with(v3(150), func(r *Router) { r.Interval = 10 * time.Millisecond }), with(v3(100), func(r *Router) { r.Interval = 10 * time.Millisecond }), vip},
		{"v3-vmac", with(v3(150), func(r *Router) { r.UseVMAC = true }), with(v3(100), func(r *Router) { r.UseVMAC = true }), vip},
		{"v3-ipv6-vmac", with(v36(150), func(r *Router) { r.UseVMAC = true }), with(v36(100), func(r *Router) { r.UseVMAC = true }), vip6},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := newLAN(t)
			a, b := l.pair(c.a, c.b)
			eventually(t, 20*time.Second, "the Backup hears the Active", func() bool { return b.router().LeaderPriority == 150 })
			p := l.probe(c.target)
			event := monotonic()
			a.signal(syscall.SIGTERM)
			a.waitEnd()
			b.waitState("active")
			p.settle(100 * time.Millisecond)
			r := p.report(event)
			t.Logf("hand-over lost %d of %d: %+v", r.Lost, r.Sent, r.Silences)
			if r.Lost > 2 {
				t.Errorf("lost %d probes", r.Lost)
			}
			if drops := b.router().Counters.Dropped; len(drops) > 0 {
				t.Errorf("dropped %v", drops)
			}
		})
	}
}

func peers(addrs ...string) func(*Router) {
	return func(r *Router) {
		for _, a := range addrs {
			r.Peers = append(r.Peers, netip.MustParseAddr(a))
		}
	}
}

func TestBestOfThreeTakesOver(t *testing.T) {
	l := newLAN(t)
	// Skew_Times that are further apart than a busy machine stands still.
	far := func(r *Router) { slow(r, 600*time.Millisecond) }
	a, b := l.pair(with(v3(250), far), with(v3(200), far))
	c := l.start(l.addHost("r3", 3), with(v3(1), far))
	c.waitState("backup")
	p := l.probe(vip)
	event := monotonic()
	a.stop()
	b.waitState("active")
	l.unplug("r2")
	c.waitState("active")
	l.replug("r2")
	c.waitState("backup")
	p.settle(50 * time.Millisecond)
	t.Logf("%+v", p.report(event).Silences)
	if n := c.router().Counters.Transitions["active"]; n != 1 {
		t.Errorf("the worst was Active %d times", n)
	}
}

// TestANewcomerWaitsForWhoIsThere: one starts with the next VRID, version or
// password while the others have the former. It must not be a second Active router,
// and is one as soon as they are gone.
func TestANewcomerWaitsForWhoIsThere(t *testing.T) {
	several := func(r *Router) { r.ActivationDelay = time.Minute }
	for name, next := range map[string]Config{
		"vrid":     *with(v3(200), func(r *Router) { several(r); r.VRID = 51 }),
		"version":  *with(v2(200, ""), several),
		"password": *with(v2(200, "next"), several),
	} {
		t.Run(name, func(t *testing.T) {
			l := newLAN(t)
			former := with(v3(150), several)
			if name == "password" {
				former = with(v2(150, "former"), several)
			}
			a := l.start(l.addHost("r1", 1), former)
			a.waitState("active")
			b := l.start(l.addHost("r2", 2), &next)
			b.waitState("backup")
			during(t, 5*time.Second, "it waits", func() bool { return b.router().State == "backup" && !l.has(b.ns, vip) && a.router().State == "active" })
			if r := b.router(); r.Elsewhere != netip.MustParseAddr("10.0.0.1") || r.Counters.Noted["elsewhere"] == 0 {
				t.Errorf("waits for %v: %+v", r.Elsewhere, r.Counters)
			}
			a.signal(syscall.SIGTERM)
			a.waitEnd()
			eventually(t, 20*time.Second, "it takes over", func() bool { return b.router().State == "active" && l.has(b.ns, vip) })
		})
	}
}
