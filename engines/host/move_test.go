package host

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

// TestAnAddressMovesBetweenHosts: it goes to a Virtual Router that is Active on the
// other host, which learns of it first. It is there once the former has let go, and
// not before.
func TestAnAddressMovesBetweenHosts(t *testing.T) {
	const moving = "10.0.0.51"
	config := func(n int, moved bool) *Config {
		c := v3(uint8(150 - 50*n))
		other := c.Routers[0]
		other.Name, other.VRID, other.Priority = "other", 60, uint8(100+50*n)
		other.Addresses = []Address{{Prefix: netip.MustParsePrefix("10.0.0.60/32")}}
		c.Routers = append(c.Routers, other)
		at := 0
		if moved {
			at = 1
		}
		c.Routers[at].Addresses = append(c.Routers[at].Addresses, Address{Prefix: netip.MustParsePrefix(moving + "/32")})
		for i := range c.Routers {
			c.Routers[i].ActivationDelay = time.Minute
		}
		return &c
	}
	l := newLAN(t)
	a := l.start(l.addHost("r1", 1), config(0, false))
	b := l.start(l.addHost("r2", 2), config(1, false))
	state := func(n *node, name string) string { return n.status().Router(name).State }
	eventually(t, 20*time.Second, "each has one", func() bool {
		return state(a, "web") == "active" && state(a, "other") == "backup" && state(b, "other") == "active" && state(b, "web") == "backup"
	})
	b.configure(*config(1, true))
	during(t, 2*time.Second, "it waits", func() bool { return l.has(a.ns, moving) && !l.has(b.ns, moving) })
	if r := b.status().Router("other"); len(r.Awaited) != 1 || !strings.Contains(r.Waits(), "holds back 10.0.0.51, which 10.0.0.1 has") {
		t.Errorf("awaits %v: %q", r.Awaited, r.Waits())
	}
	a.configure(*config(0, true))
	eventually(t, 20*time.Second, "it moves", func() bool { return !l.has(a.ns, moving) && l.has(b.ns, moving) })
	if r := b.status().Router("other"); len(r.Awaited) > 0 || r.Waits() != "" {
		t.Errorf("awaits %v: %q", r.Awaited, r.Waits())
	}
	// Both on one host: it is never gone.
	l.unplug("r1")
	eventually(t, 20*time.Second, "one host has both", func() bool { return state(b, "web") == "active" && state(b, "other") == "active" })
	b.configure(*config(1, false))
	if !l.has(b.ns, moving) {
		t.Error("it is gone")
	}
}
