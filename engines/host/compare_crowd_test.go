package host

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

// crowd is a pair with many groups.
type crowd struct {
	*contest
	addrs []netip.Addr
}

// manyOn has n groups on each of some interfaces.
func manyOn(priority uint8, n, interfaces int) *Config {
	var c Config
	for k := range interfaces {
		some := many(priority, n)
		for _, r := range some.Routers {
			r.Name, r.Interface = fmt.Sprintf("%s-%d", r.Name, k), fmt.Sprintf("eth%d", k)
			a := r.Addresses[0].Prefix.Addr().As4()
			a[2] += byte(k)
			r.Addresses = []Address{{Prefix: netip.PrefixFrom(netip.AddrFrom4(a), 32)}}
			c.Routers = append(c.Routers, r)
		}
	}
	return &c
}

func newCrowd(t testing.TB, p pairing, n, interfaces int) *crowd {
	t.Helper()
	l := newLAN(t)
	c := &crowd{contest: &contest{lan: l, interval: 100 * time.Millisecond, hands: map[string]*netlink.Handle{}}}
	l.addHost("r1", 1)
	l.addHost("r2", 2)
	for k := 1; k < interfaces; k++ {
		l.cross(k)
	}
	c.wire = l.tap("r2")
	ca, cb := manyOn(150, n, interfaces), manyOn(100, n, interfaces)
	for _, r := range ca.Routers {
		c.addrs = append(c.addrs, r.Addresses[0].Prefix.Addr())
	}
	c.a, c.b = l.make(p.a, "r1", 1, ca), l.make(p.b, "r2", 2, cb)
	return c
}

// cross connects the two routers once more, by eth1 and so on.
func (l *lan) cross(k int) {
	name := fmt.Sprintf("eth%d", k)
	l.run("ip", "-n", l.ns("r1"), "link", "add", name, "type", "veth", "peer", "name", name, "netns", l.ns("r2"))
	for i, host := range []string{"r1", "r2"} {
		l.run("ip", "-n", l.ns(host), "addr", "add", fmt.Sprintf("10.%d.0.%d/24", k, i+1), "dev", name)
		l.run("ip", "-n", l.ns(host), "link", "set", name, "up")
	}
}

// settled waits until the better one holds all and the other none.
func (c *crowd) settled() {
	c.t.Helper()
	eventually(c.t, time.Minute, "one holds all addresses", func() bool {
		return c.a.eyes().among(c.addrs) == len(c.addrs) && c.b.eyes().among(c.addrs) == 0
	})
}

// moves counts how often an address came or went.
func (c *crowd) moves(since time.Duration) (n int) {
	for _, p := range []peer{c.a, c.b} {
		for _, addr := range c.addrs {
			for _, s := range p.eyes().since(since, addr.String()) {
				if s.at > since {
					n++
				}
			}
		}
	}
	return n
}

// runtimes adds up the processor time of all threads of a peer.
func runtimes(p peer) (sum time.Duration) {
	for _, pid := range p.processes() {
		tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
		for _, task := range tasks {
			var ns int64
			b, _ := os.ReadFile(task)
			_, _ = fmt.Sscan(string(b), &ns)
			sum += time.Duration(ns)
		}
	}
	return sum
}

// megabytes is the resident memory of all processes of a peer, and of that its
// proportional share.
func megabytes(t testing.TB, p peer) (rss, pss float64) {
	t.Helper()
	for _, pid := range p.processes() {
		rss += float64(memory(t, pid)) / 1024
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			var kb float64
			if _, err := fmt.Sscanf(line, "Pss: %g kB", &kb); err == nil {
				pss += kb / 1024
			}
		}
	}
	return rss, pss
}

// usage collects what crowds cost, in rows by name.
type usage map[string]map[string][]float64

func (u usage) put(name, label string, v float64) {
	if u[name] == nil {
		u[name] = map[string][]float64{}
	}
	u[name][label] = append(u[name][label], v)
}

// measure lets some time pass and notes the share of a core and the memory.
func (u usage) measure(t testing.TB, span time.Duration, all []*crowd, pairs []pairing) {
	t.Helper()
	before, since := map[peer]time.Duration{}, monotonic()
	for _, c := range all {
		before[c.a], before[c.b] = runtimes(c.a), runtimes(c.b)
	}
	pass(t, span)
	took := monotonic() - since
	for i, c := range all {
		for role, p := range map[string]peer{"Active": c.a, "Backup": c.b} {
			u.put("processor, "+role, pairs[i].label, 100*float64(runtimes(p)-before[p])/float64(took))
			rss, pss := megabytes(t, p)
			u.put("memory (RSS), "+role, pairs[i].label, rss)
			u.put("memory (PSS), "+role, pairs[i].label, pss)
		}
		c.wire.clear()
	}
}

func (u usage) report(b *board, place int, name string) {
	for i, metricName := range slices.Sorted(maps.Keys(u)) {
		m := metric{unit: "MiB", limit: 25, bounds: true, limitIs: "25 MB"}
		if strings.HasPrefix(metricName, "processor") {
			m = metric{unit: "%", limit: median(u[metricName][theirs.label]).v, bounds: true, limitIs: "keepalived's"}
		}
		m.name = metricName
		b.add(row{order: []int{place, 10, i}, title: name, metric: m, values: u[metricName], judged: ours.label})
	}
}

// compareMany has 255 groups on one interface beside one group.
func compareMany(t *testing.T, b *board, rounds int) {
	const name = "100ms 255 groups"
	if !wanted(name) {
		return
	}
	var large, small []*crowd
	for _, p := range each {
		large, small = append(large, newCrowd(t, p, 255, 1)), append(small, newCrowd(t, p, 1, 1))
	}
	for _, c := range slices.Concat(large, small) {
		c.settled()
	}
	used := usage{}
	for range min(rounds, 10) {
		used.measure(t, 3*time.Second, large, each)
	}
	used.report(b, 900, name)
	one, all, event := map[string][]float64{}, map[string][]float64{}, map[string][]float64{}
	for range rounds {
		for i, p := range each {
			last, _ := small[i].death()
			one[p.label] = append(one[p.label], last)
			last, total := large[i].death()
			all[p.label], event[p.label] = append(all[p.label], last), append(event[p.label], total)
		}
	}
	some := many(100, 1)
	rfc := metric{unit: "ms", limit: milliseconds(activeDownInterval(&some.Routers[0])), bounds: true, slack: 1.05, limitIs: "Active_Down_Interval"}
	add := func(i int, title, what string, m metric, values map[string][]float64) {
		m.name = "Active dies, " + what
		b.add(row{order: []int{900, i}, title: title, metric: m, values: values, judged: ours.label})
	}
	add(0, "100ms 1 group", "moved since the last advertisement", rfc, one)
	add(1, name, "all have moved since the death", rfc, event)
	rfc.limit, rfc.limitIs = median(one[ours.label]).v, "one group's"
	add(2, name, "the last has moved since its last advertisement", rfc, all)
}

// death cuts the Active off until all have moved, and says how long the last of
// them took: since its Active's last advertisement, and since the death.
func (c *crowd) death() (last, total float64) {
	c.t.Helper()
	c.settled()
	pass(c.t, 2*c.interval+rand.N(c.interval))
	start := monotonic() - 2*c.interval
	c.cut("r1")
	event := monotonic()
	eventually(c.t, 20*time.Second, "all have moved", func() bool { return c.b.eyes().among(c.addrs) == len(c.addrs) })
	heard, told := map[uint8]time.Duration{}, map[netip.Addr]time.Duration{}
	old := netip.MustParseAddr("10.0.0.1")
	eventually(c.t, 10*time.Second, "all are announced", func() bool {
		pass(c.t, c.interval)
		clear(told)
		for _, s := range c.wire.sights(start, func(*sight) bool { return true }) {
			switch _, known := told[s.source]; {
			case s.out && !s.arp && s.source == old:
				heard[s.vrid] = s.at
			case !s.out && s.arp && !known:
				told[s.source] = s.at
			}
		}
		return !slices.ContainsFunc(c.addrs, func(a netip.Addr) bool { return told[a] == 0 })
	})
	for i, addr := range c.addrs {
		if heard[uint8(i+1)] == 0 {
			c.t.Fatalf("%v: was not advertised", addr)
		}
		last = max(last, milliseconds(told[addr]-heard[uint8(i+1)]))
		total = max(total, milliseconds(told[addr]-event))
	}
	c.mend("r1")
	c.settled()
	c.wire.clear()
	return last, total
}

// compareFour has 255 groups on each of four interfaces, and nothing happen.
func compareFour(t *testing.T, b *board) {
	const name, span = "100ms 4 x 255 groups", 30 * time.Second
	if !wanted(name) {
		return
	}
	moved, used := map[string][]float64{}, usage{}
	for _, p := range each {
		t.Run(p.label, func(t *testing.T) {
			c := newCrowd(t, p, 255, 4)
			c.settled()
			pass(t, time.Second)
			event := monotonic()
			used.measure(t, span, []*crowd{c}, []pairing{p})
			moved[p.label] = []float64{float64(c.moves(event))}
		})
	}
	b.add(row{order: []int{950, 0}, title: name, metric: metric{name: fmt.Sprintf("addresses that came or went in %v", span),
		bounds: true, limitIs: "nothing has failed"}, values: moved, judged: ours.label})
	used.report(b, 950, name)
}
