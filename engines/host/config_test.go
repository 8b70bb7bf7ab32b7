package host

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestConfigurationSurvivesJSON(t *testing.T) {
	c := v2(150, "secret")
	c.Routers[0].Source = netip.MustParseAddr("10.0.0.1")
	c.Routers[0].Routes = []Route{{Prefix: netip.MustParsePrefix("10.9.0.0/16"), Via: netip.MustParseAddr("10.0.0.100")}}
	c.Routers[0].Accept = []Parameters{c.Routers[0].Parameters}
	c.SyncGroups = []SyncGroup{{Name: "g", Members: []string{"web"}}}
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var back Config
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(c, back) {
		t.Errorf("%+v became %+v", c, back)
	}
}

func TestConfigurationIsRefused(t *testing.T) {
	two := v3(100)
	two.Routers = append(two.Routers, two.Routers[0])
	for want, c := range map[string]*Config{
		"listed twice":   &two,
		"not a name":     with(v3(100), func(r *Router) { r.Interface = "../etc" }),
		"priority 0":     with(v3(100), func(r *Router) { r.Priority = 0 }),
		"no scope":       with(v3(100), func(r *Router) { r.Addresses[0].Scope = "world" }),
		"not a prefix":   with(v3(100), func(r *Router) { r.Addresses[0].Prefix = netip.Prefix{} }),
		`no router "db"`: {SyncGroups: []SyncGroup{{Name: "g", Members: []string{"db"}}}},
		"1 to 255 exist": with(v3(100), func(r *Router) { r.VRID = 0 }),
		"link-local":     with(v36(100), func(r *Router) { r.Addresses = r.Addresses[1:] }),
	} {
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

func TestConfigurationChangesWithoutTransition(t *testing.T) {
	l := newLAN(t)
	a, b := l.pair(new(v3(150)), new(v3(100)))
	p := l.probe(vip)
	event := monotonic()
	next := func(priority uint8, bits int) Config {
		c := *with(v3(priority), func(r *Router) {
			r.Addresses[0].Prefix = netip.PrefixFrom(netip.MustParseAddr(vip), bits)
			r.Addresses = append(r.Addresses, Address{Prefix: netip.MustParsePrefix("10.0.0.51/32"), Label: "eth0:vip"})
			r.Excluded = []Address{{Prefix: netip.MustParsePrefix("fd00::51/128")}}
			r.Routes = []Route{{Prefix: netip.MustParsePrefix("10.9.0.0/16"), Via: netip.MustParseAddr("10.0.0.100")}}
		})
		return c
	}
	a.configure(next(140, 24))
	b.configure(next(90, 24))
	if !l.has(a.ns, "10.0.0.51") || !l.has(a.ns, "fd00::51") || l.has(b.ns, "10.0.0.51") {
		t.Error("the new addresses are not with the Active router alone")
	}
	if out := l.run("ip", "-n", a.ns, "-o", "addr", "show", "to", vip); !strings.Contains(out, vip+"/24") || strings.Contains(out, vip+"/32") {
		t.Errorf("prefix length: %s", out)
	}
	if out := l.run("ip", "-n", a.ns, "route"); !strings.Contains(out, "10.9.0.0/16 via 10.0.0.100") {
		t.Errorf("no virtual route: %s", out)
	}
	a.configure(v3(150))
	b.configure(v3(100))
	if l.has(a.ns, "10.0.0.51") || l.has(a.ns, "fd00::51") {
		t.Error("addresses stayed")
	}
	if out := l.run("ip", "-n", a.ns, "route"); strings.Contains(out, "10.9.0.0/16") {
		t.Errorf("a virtual route stayed: %s", out)
	}
	p.settle(50 * time.Millisecond)
	if r := p.report(event); r.Lost > 0 {
		t.Errorf("lost %d of %d: %+v", r.Lost, r.Sent, r.Silences)
	}
	if n := a.router().Counters.Transitions["active"] + b.router().Counters.Transitions["active"]; n != 1 {
		t.Errorf("%d transitions to Active", n)
	}
}

func TestRouterTakenOutOfTheConfigurationHandsOver(t *testing.T) {
	l := newLAN(t)
	a, b := l.pair(new(v3(150)), new(v3(100)))
	p := l.probe(vip)
	event := monotonic()
	a.configure(Config{})
	b.waitState("active")
	eventually(t, 20*time.Second, "it has gone", func() bool { return len(a.status().Routers) == 0 && !l.has(a.ns, vip) })
	p.settle(50 * time.Millisecond)
	if r := p.report(event); r.Lost > 2 {
		t.Errorf("lost %d of %d: %+v", r.Lost, r.Sent, r.Silences)
	}
}

// TestPasswordChangesByStagedActivation: the Backup first, each accepting both
// meanwhile, the Active last; nobody notices.
func TestPasswordChangesByStagedActivation(t *testing.T) {
	l := newLAN(t)
	a, b := l.pair(new(v2(150, "former")), new(v2(100, "former")))
	p, event := l.probe(vip), monotonic()
	staged := func(priority uint8) Config {
		return *with(v2(priority, "next"), func(r *Router) { r.Accept = []Parameters{v2(priority, "former").Routers[0].Parameters} })
	}
	b.configure(staged(100))
	eventually(t, 20*time.Second, "the former password is accepted still", func() bool { return b.router().Counters.Noted["alternative"] > 0 })
	a.configure(staged(150))
	alternative := b.router().Counters.Noted["alternative"]
	received := b.router().Counters.Received
	eventually(t, 20*time.Second, "the next password is in use", func() bool { return b.router().Counters.Received > received+1 })
	if n := b.router().Counters.Noted["alternative"]; n > alternative+1 {
		t.Errorf("the former password is in use still: %d, %d", n, alternative)
	}
	a.configure(v2(150, "next"))
	b.configure(v2(100, "next"))
	during(t, 4*time.Second, "nothing happens", func() bool { return a.router().State == "active" && b.router().State == "backup" })
	if r := p.report(event); r.Lost > 0 || len(b.router().Counters.Dropped) > 0 {
		t.Errorf("lost %d of %d, dropped %v", r.Lost, r.Sent, b.router().Counters.Dropped)
	}
}

func grouped(priority uint8, group bool) Config {
	c := v3(priority)
	six := v36(priority).Routers[0]
	six.Name = "web6"
	c.Routers = append(c.Routers, six)
	if group {
		c.SyncGroups = []SyncGroup{{Name: "both", Members: []string{"web", "web6"}}}
	}
	return c
}

func TestSyncGroupMovesTogetherAndIsMadeWhileRunning(t *testing.T) {
	l := newLAN(t)
	a, b := l.pair(new(grouped(150, false)), new(grouped(100, false)))
	all := func(n *node, state string) func() bool {
		return func() bool {
			s := n.status()
			return s.Router("web").State == state && s.Router("web6").State == state
		}
	}
	eventually(t, 20*time.Second, "one is Active for both", all(a, "active"))
	p, event := l.probe(vip), monotonic()
	a.configure(grouped(150, true))
	b.configure(grouped(100, true))
	during(t, 500*time.Millisecond, "it stays so", all(a, "active"))
	if r := p.report(event); r.Lost > 0 {
		t.Errorf("lost %d of %d: %+v", r.Lost, r.Sent, r.Silences)
	}
	a.configure(*checked(grouped(150, true), "web6", 0))
	a.finds(false)
	eventually(t, 20*time.Second, "both have moved", all(b, "active"))
	eventually(t, 20*time.Second, "both have gone", all(a, "fault"))
	a.finds(true)
	eventually(t, 20*time.Second, "both have come back", all(a, "active"))
	a.configure(grouped(150, false))
	during(t, 500*time.Millisecond, "they stay without a group", all(a, "active"))
}

func TestMaintenanceAndChecks(t *testing.T) {
	l := newLAN(t)
	a, b := l.pair(new(v3(150)), new(v3(100)))
	p, event := l.probe(vip), monotonic()
	if err := a.client.Maintenance(t.Context(), "", true); err != nil {
		t.Fatal(err)
	}
	a.waitState("maintenance")
	b.waitState("active")
	if err := a.client.Maintenance(t.Context(), "", false); err != nil {
		t.Fatal(err)
	}
	a.waitState("active")
	b.waitState("backup")
	a.configure(*checked(v3(150), "web", -60))
	a.finds(false)
	b.waitState("active")
	a.waitState("backup")
	a.finds(true)
	a.waitState("active")
	b.waitState("backup")
	p.settle(50 * time.Millisecond)
	r := p.report(event)
	t.Logf("four hand-overs lost %d of %d: %+v", r.Lost, r.Sent, r.Silences)
	if r.Lost > 8 {
		t.Errorf("lost %d", r.Lost)
	}
}

// many has n routers on eth0 at 100 ms.
func many(priority uint8, n int) Config {
	var c Config
	for i := range n {
		r := v3(priority).Routers[0]
		r.Name, r.VRID = fmt.Sprintf("vr%03d", i+1), uint8(i+1)
		r.Addresses = []Address{{Prefix: netip.MustParsePrefix(fmt.Sprintf("10.0.1.%d/32", i+1))}}
		c.Routers = append(c.Routers, r)
	}
	return c
}

// memory reads VmRSS in kB.
func memory(t testing.TB, pid int) (kb int) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if _, err := fmt.Sscanf(line, "VmRSS: %d kB", &kb); err == nil {
			return kb
		}
	}
	t.Fatal("no VmRSS")
	return 0
}

func TestTwoHundredFiftyFiveGroups(t *testing.T) {
	l := newLAN(t)
	l.run("ip", "-n", l.client, "route", "add", "10.0.1.0/24", "dev", "eth0")
	a := l.start(l.addHost("r1", 1), new(many(150, 255)))
	count := func(n *node, state string) (k int) {
		for _, r := range n.status().Routers {
			if r.State == state {
				k++
			}
		}
		return k
	}
	eventually(t, 20*time.Second, "255 are Active", func() bool { return count(a, "active") == 255 })
	b := l.start(l.addHost("r2", 2), new(many(100, 255)))
	p := l.probe("10.0.1.255")
	p.settle(500 * time.Millisecond)
	eventually(t, 20*time.Second, "255 are Backup", func() bool { return count(b, "backup") == 255 })
	for _, n := range []*node{a, b} {
		rss := memory(t, n.cmd.Process.Pid)
		s := n.status()
		t.Logf("%s: RSS %d kB, lateness max %v, %+v", n.ns, rss, s.Lateness.Max, s.Scheduling)
		if rss > 25<<10 && !raceEnabled {
			t.Errorf("RSS %d kB", rss)
		}
	}
	event := monotonic()
	l.unplug("r1")
	eventually(t, 20*time.Second, "all have moved", func() bool { return count(b, "active") == 255 })
	t.Logf("255 moved: state %v, last address answers %v after the death", monotonic()-event, p.answers(event+20*time.Millisecond)-event)
	if rss := memory(t, b.cmd.Process.Pid); rss > 25<<10 && !raceEnabled {
		t.Errorf("RSS %d kB", rss)
	}
}
