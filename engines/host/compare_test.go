package host

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// envCompare asks for the comparison with keepalived (make bench-vrrp): so many
// rounds, A B A B, each with fresh namespaces.
const envCompare = "HACTL_BENCH_VRRP"

// envStory keeps to lines that contain it, as "100ms silent".
const envStory = "HACTL_BENCH_VRRP_STORY"

// story is one event on a pair of routers of one make, and how long the client
// goes without an answer because of it.
type story struct {
	name string
	play func(t testing.TB, l *lan, a, b peer, again func() peer, cfg *Config, p *probe) time.Duration
}

func stories() []story {
	// longest is the longest silence since a time, as the client sees it.
	longest := func(p *probe, since time.Duration) (d time.Duration) {
		for _, s := range p.report(since).Silences {
			d = max(d, s.To-s.From)
		}
		return d
	}
	return []story{
		{"silent death", func(t testing.TB, l *lan, a, b peer, _ func() peer, c *Config, p *probe) time.Duration {
			event := monotonic()
			l.unplug("r1")
			eventually(t, 15*time.Second, "taken over", b.holds)
			p.settle(100 * time.Millisecond)
			return longest(p, event)
		}},
		{"planned stop", func(t testing.TB, l *lan, a, b peer, _ func() peer, c *Config, p *probe) time.Duration {
			event := monotonic()
			a.stop()
			eventually(t, 15*time.Second, "taken over", b.holds)
			p.settle(100 * time.Millisecond)
			return longest(p, event)
		}},
		{"give-back", func(t testing.TB, l *lan, a, b peer, again func() peer, c *Config, p *probe) time.Duration {
			a.stop()
			eventually(t, 15*time.Second, "taken over", b.holds)
			p.answers(monotonic())
			event := monotonic()
			a = again()
			holds(t, a, b)
			p.settle(100 * time.Millisecond)
			return longest(p, event)
		}},
		{"kill -9", func(t testing.TB, l *lan, a, b peer, _ func() peer, c *Config, p *probe) time.Duration {
			event := monotonic()
			a.die()
			eventually(t, 15*time.Second, "taken over", b.holds)
			p.settle(100 * time.Millisecond)
			return longest(p, event)
		}},
	}
}

func TestCompareWithKeepalived(t *testing.T) {
	rounds, _ := strconv.Atoi(os.Getenv(envCompare))
	if rounds == 0 {
		t.Skip("a measurement: set " + envCompare + " to the number of rounds, or make bench-vrrp")
	}
	needKeepalived(t)
	makes := []string{"hactl", "keepalived"}
	for _, interval := range []time.Duration{100 * time.Millisecond, 10 * time.Millisecond, time.Second} {
		cfg := func(priority uint8) *Config {
			return with(v3(priority), func(r *Router) { r.Interval = interval })
		}
		for _, s := range stories() {
			if !strings.Contains(fmt.Sprint(interval, " ", s.name), os.Getenv(envStory)) {
				continue
			}
			results := map[string][]time.Duration{}
			for range rounds {
				for _, kind := range makes {
					t.Run("", func(t *testing.T) {
						l := newLAN(t)
						l.addHost("r1", 1)
						l.addHost("r2", 2)
						a, b := l.make(kind, "r1", 1, cfg(150)), l.make(kind, "r2", 2, cfg(100))
						holds(t, a, b)
						p := l.probe(vip)
						during(t, 4*interval, "the Active stays", a.holds)
						again := func() peer { return l.make(kind, "r1", 1, cfg(150)) }
						results[kind] = append(results[kind], s.play(t, l, a, b, again, cfg(150), p))
					})
				}
			}
			for _, kind := range makes {
				d := results[kind]
				slices.Sort(d)
				fmt.Printf("%-8v %-14s %-11s median %-12v max %v\n", interval, s.name, kind, d[len(d)/2].Round(10*time.Microsecond), d[len(d)-1].Round(10*time.Microsecond))
			}
		}
	}
}

// cpu is the processor time of a process, in ticks of 10 ms.
func cpu(t testing.TB, pid int) (ticks int) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+2:]))
	for _, s := range f[11:13] {
		n, _ := strconv.Atoi(s)
		ticks += n
	}
	return ticks
}

// children lists the processes below one.
func children(pid int) (all []int) {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	for _, f := range strings.Fields(string(b)) {
		if n, err := strconv.Atoi(f); err == nil {
			all = append(all, n)
			all = append(all, children(n)...)
		}
	}
	return all
}

func TestCompareProcessorTime(t *testing.T) {
	rounds, _ := strconv.Atoi(os.Getenv(envCompare))
	if rounds == 0 {
		t.Skip("a measurement: set " + envCompare + ", or make bench-vrrp")
	}
	needKeepalived(t)
	const span = 10 * time.Second
	for _, kind := range []string{"hactl", "keepalived"} {
		l := newLAN(t)
		l.addHost("r1", 1)
		l.addHost("r2", 2)
		l.run("ip", "-n", l.client, "route", "add", "10.0.1.0/24", "dev", "eth0")
		c1, c2 := many(150, 255), many(100, 255)
		a, b := l.make(kind, "r1", 1, &c1), l.make(kind, "r2", 2, &c2)
		p := l.probe("10.0.1.255")
		p.settle(5 * time.Second)
		holds(t, a, b)
		total := func(p peer) (ticks, rss int) {
			var pids []int
			switch p := p.(type) {
			case *node:
				pids = []int{p.cmd.Process.Pid}
			case *keepalived:
				pids = append(children(p.cmd.Process.Pid), p.cmd.Process.Pid)
			}
			for _, pid := range pids {
				ticks += cpu(t, pid)
				rss += memory(t, pid)
			}
			return ticks, rss
		}
		a0, _ := total(a)
		b0, _ := total(b)
		p.settle(span)
		a1, ra := total(a)
		b1, rb := total(b)
		percent := func(ticks int) float64 { return float64(ticks) / span.Seconds() }
		fmt.Printf("255 groups at 100ms, %-11s Active %.1f%% %d kB, Backup %.1f%% %d kB\n", kind, percent(a1-a0), ra, percent(b1-b0), rb)
	}
}
