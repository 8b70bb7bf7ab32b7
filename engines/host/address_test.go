package host

import (
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// pings reports whether a client gets an echo from an address within a second, which
// is for who does not answer. The kernel asks again who has an address each second.
func (l *lan) pings(addr string) bool { return l.echoes(addr, "1") }

// answered is for who does: it takes its time.
func (l *lan) answered(addr string) bool { return l.echoes(addr, "5") }

func (l *lan) echoes(addr, seconds string) bool {
	return exec.Command("ip", "netns", "exec", l.client, "ping", "-q", "-c1", "-W"+seconds, addr).Run() == nil
}

// TestNoAcceptIsFoundButDoesNotAnswer (RFC 9568, 6.1): neighbours resolve the
// addresses, and what is sent to them is dropped; what is not Virtual is heard.
func TestNoAcceptIsFoundButDoesNotAnswer(t *testing.T) {
	l := newLAN(t)
	both := func(accept bool) Config {
		c := grouped(150, false)
		for i := range c.Routers {
			c.Routers[i].NoAccept = !accept
		}
		return c
	}
	a := l.start(l.addHost("r1", 1), new(both(false)))
	for _, router := range []string{"web", "web6"} {
		eventually(t, 20*time.Second, router+" is Active", func() bool { return a.status().Router(router).State == "active" })
	}
	for _, addr := range []string{vip, vip6} {
		if l.pings(addr) {
			t.Errorf("%s answers", addr)
		}
		if out := l.run("ip", "-n", l.client, "neigh", "show", addr); !strings.Contains(out, "lladdr") {
			t.Errorf("%s is not resolved: %s", addr, out)
		}
		if out, err := l.try("ip", "netns", "exec", a.ns, "ping", "-q", "-c1", "-W5", addr); err != nil {
			t.Errorf("the host itself does not reach %s: %s", addr, out)
		}
	}
	for _, addr := range []string{"10.0.0.1", "fd00::1"} {
		if !l.answered(addr) {
			t.Errorf("the host's own %s does not answer", addr)
		}
	}
	// After a crash the next engine knows what to do with the rules.
	a.kill()
	a.launch()
	a.configure(both(false))
	eventually(t, 20*time.Second, "it is Active", func() bool { return a.status().Router("web").State == "active" })
	if l.pings(vip) {
		t.Error("it answers after a crash")
	}
	a.configure(both(true))
	for _, addr := range []string{vip, vip6} {
		eventually(t, 20*time.Second, addr+" answers", func() bool { return l.answered(addr) })
	}
	a.configure(both(false))
	if l.pings(vip) {
		t.Error("it answers again")
	}
	a.stop()
	if out, err := l.try("ip", "netns", "exec", a.ns, "nft", "list", "tables"); err == nil && strings.Contains(out, filterTable) {
		t.Errorf("left behind: %s", out)
	}
}

// TestAddressesAndRoutesAreAsTheySay: prefix, label, scope, excluded ones of the
// other family; routes while Active and no longer.
func TestAddressesAndRoutesAreAsTheySay(t *testing.T) {
	l := newLAN(t)
	cfg := with(v3(150), func(r *Router) {
		r.Addresses = []Address{
			{Prefix: netip.MustParsePrefix("10.0.0.50/24"), Label: "eth0:web"},
			{Prefix: netip.MustParsePrefix("10.0.0.51/32"), Scope: "link"},
		}
		r.Excluded = []Address{{Prefix: netip.MustParsePrefix("fd00::50/64")}}
		r.Routes = []Route{
			{Prefix: netip.MustParsePrefix("198.51.100.0/24"), Via: netip.MustParseAddr("10.0.0.100"), Source: netip.MustParseAddr("10.0.0.50"), Metric: 7},
			{Prefix: netip.MustParsePrefix("203.0.113.0/24"), Table: 100},
		}
	})
	a := l.start(l.addHost("r1", 1), cfg)
	a.waitState("active")
	addrs := l.run("ip", "-n", a.ns, "addr", "show", "dev", "eth0")
	for _, want := range []string{"inet 10.0.0.50/24 scope global secondary noprefixroute eth0:web", "inet 10.0.0.51/32 scope link eth0", "inet6 fd00::50/64"} {
		if !strings.Contains(addrs, want) {
			t.Errorf("no %q in\n%s", want, addrs)
		}
	}
	if strings.Contains(addrs, "tentative") || strings.Contains(addrs, "dadfailed") {
		t.Errorf("duplicate address detection:\n%s", addrs)
	}
	routes := func() string { return l.run("ip", "-n", a.ns, "route", "show", "table", "all", "proto", "112") }
	eventually(t, 20*time.Second, "the routes are there", func() bool {
		out := routes()
		return strings.Contains(out, "198.51.100.0/24 via 10.0.0.100 dev eth0 src 10.0.0.50 metric 7") && strings.Contains(out, "203.0.113.0/24 dev eth0 table 100")
	})
	// Another label and scope, one route less: nothing goes away.
	p, event := l.probe(vip), monotonic()
	a.configure(*with(*cfg, func(r *Router) {
		r.Addresses = []Address{{Prefix: netip.MustParsePrefix("10.0.0.50/24")}, {Prefix: netip.MustParsePrefix("10.0.0.51/32")}}
		r.Routes = r.Routes[:1]
	}))
	if out := routes(); strings.Contains(out, "203.0.113.0") || !strings.Contains(out, "198.51.100.0/24") {
		t.Errorf("routes:\n%s", out)
	}
	p.settle(50 * time.Millisecond)
	r := p.report(event)
	t.Logf("lost %d of %d: %+v", r.Lost, r.Sent, r.Silences)
	if r.Lost > 2 {
		t.Errorf("lost %d probes", r.Lost)
	}
	// Routes come back with an address that was removed by hand.
	l.run("ip", "-n", a.ns, "addr", "del", "10.0.0.50/24", "dev", "eth0")
	eventually(t, 20*time.Second, "the route is back", func() bool { return strings.Contains(routes(), "198.51.100.0/24") })
	a.stop()
	if out := routes(); strings.TrimSpace(out) != "" {
		t.Errorf("routes stay:\n%s", out)
	}
	if l.has(a.ns, "10.0.0.50") || l.has(a.ns, "10.0.0.51") || l.has(a.ns, "fd00::50") {
		t.Error("addresses stay")
	}
}

// TestARouterWaitsForItsChecks: one that starts is held until every check has a
// result; one that runs already is not.
func TestARouterWaitsForItsChecks(t *testing.T) {
	l := newLAN(t)
	a := l.start(l.addHost("r1", 1), checked(v3(150), "web", 0))
	during(t, 600*time.Millisecond, "it is held", func() bool { return a.router().State == "fault" && a.router().Checks.Waiting })
	a.finds(true)
	a.waitState("active")
	b := l.start(l.addHost("r2", 2), new(v3(100)))
	b.waitState("backup")
	b.configure(*checked(v3(100), "web", 0))
	during(t, 300*time.Millisecond, "a running one is not held", func() bool { return b.router().State == "backup" })
	p, event := l.probe(vip), monotonic()
	a.finds(false)
	b.waitState("active")
	a.waitState("fault")
	p.settle(50 * time.Millisecond)
	if r := p.report(event); r.Lost > 2 {
		t.Errorf("lost %d of %d: %+v", r.Lost, r.Sent, r.Silences)
	}
}
