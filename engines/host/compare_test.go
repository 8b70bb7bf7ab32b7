package host

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
)

// The comparison with keepalived (make bench-vrrp): what issue 3 lists, as
// stories that both makes live through in turn, A B A B, in namespaces of the
// same shape. It measures and judges nothing: the machine it runs on may be
// busy. The table marks what is over a limit.
const (
	envCompare = "HACTL_BENCH_VRRP"       // rounds of each story
	envStory   = "HACTL_BENCH_VRRP_STORY" // only those whose name has this in it, as "100ms silent"
	envBusy    = "HACTL_BENCH_VRRP_BUSY"  // how long both cores are busy
)

// perLAN is how many rounds a LAN and its routers live.
const perLAN = 5

// pairing is the makes of the better router and of the other.
type pairing struct{ label, a, b string }

var (
	ours   = pairing{"hactl", "hactl", "hactl"}
	theirs = pairing{"keepalived", "keepalived", "keepalived"}
	each   = []pairing{ours, theirs}
	mixed  = []pairing{ours, theirs, {"hactl to keepalived", "hactl", "keepalived"}, {"keepalived to hactl", "keepalived", "hactl"}}
)

// The intervals at which a story is told.
var (
	allIntervals   = []time.Duration{time.Second, 100 * time.Millisecond, 10 * time.Millisecond}
	shortIntervals = []time.Duration{100 * time.Millisecond, 10 * time.Millisecond}
)

// story is something that happens to a pair, whole before and after.
type story struct {
	name    string
	pairs   []pairing
	at      []time.Duration
	metrics func(interval time.Duration) []metric
	play    func(c *contest) []float64 // one value for each metric
}

// contest is a pair of routers, their client, and what is seen of them.
type contest struct {
	*lan
	interval time.Duration
	a, b     peer // a is better
	wire     *tap // of b's port
	pulse    *pulse
	hands    map[string]*netlink.Handle
}

func stories() (list []story) {
	for _, s := range [][]story{silences(), handovers(), partitions(), changes(), troubles()} {
		list = append(list, s...)
	}
	return list
}

func (l *lan) contest(p pairing, interval time.Duration) *contest {
	l.t.Helper()
	c := &contest{lan: l, interval: interval, hands: map[string]*netlink.Handle{}}
	l.addHost("r1", 1)
	l.addHost("r2", 2)
	c.wire, c.pulse = l.tap("r2"), l.pulse(vip)
	c.a, c.b = l.make(p.a, "r1", 1, c.config(150)), l.make(p.b, "r2", 2, c.config(100))
	return c
}

func (c *contest) config(priority uint8) *Config {
	return with(v3(priority), func(r *Router) { slow(r, c.interval) })
}

func (c *contest) at(host string) *netlink.Handle {
	if c.hands[host] == nil {
		c.hands[host] = c.hand(host)
	}
	return c.hands[host]
}

// rest waits until the better one has been alone for a while, which ends at no
// particular time of its interval.
func (c *contest) rest() {
	c.t.Helper()
	holds(c.t, c.a, c.b)
	c.pulse.pass(c.interval + rand.N(c.interval))
	holds(c.t, c.a, c.b)
}

// moment is how long the client is watched for what a change costs it late.
func (c *contest) moment() time.Duration {
	return min(max(3*c.interval, 100*time.Millisecond), time.Second)
}

func (c *contest) lost(since time.Duration) float64 {
	return float64(c.pulse.report(since).Lost)
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// run plays the rounds at one interval.
func (s *story) run(t *testing.T, b *board, place int, interval time.Duration, rounds int) {
	metrics := s.metrics(interval)
	values := make([]map[string][]float64, len(metrics))
	for i := range values {
		values[i] = map[string][]float64{}
	}
	for done := 0; done < rounds; done += perLAN {
		t.Run("", func(t *testing.T) {
			var pairs []*contest
			for _, p := range s.pairs {
				pairs = append(pairs, newLAN(t).contest(p, interval))
			}
			for range min(perLAN, rounds-done) {
				for i, c := range pairs {
					c.rest()
					got := s.play(c)
					for m := range metrics {
						values[m][s.pairs[i].label] = append(values[m][s.pairs[i].label], got[m])
					}
					t.Logf("%s: %.2f", s.pairs[i].label, got)
				}
			}
		})
	}
	for i, p := range s.pairs {
		if p == theirs {
			continue
		}
		for m, metric := range metrics {
			title := fmt.Sprintf("%v %s", interval, s.name)
			if p != ours {
				// What the other make costs is no fault of ours.
				title += ", " + p.label
				metric.limit, metric.limitIs = worst(values[m][theirs.label]).v, "keepalived's among themselves"
			}
			b.add(row{order: []int{place, -int(interval), i, m}, title: title, metric: metric, values: values[m], judged: p.label})
		}
	}
}

func rounds(t *testing.T) int {
	n, _ := strconv.Atoi(os.Getenv(envCompare))
	if n == 0 {
		t.Skip("a measurement: set " + envCompare + " to the number of rounds, or make bench-vrrp")
	}
	needKeepalived(t)
	return n
}

func wanted(name string) bool { return strings.Contains(name, os.Getenv(envStory)) }

func TestCompareWithKeepalived(t *testing.T) {
	n, b := rounds(t), &board{}
	t.Cleanup(b.print)
	play := func(t *testing.T, interval time.Duration, parallel bool) {
		for place, s := range stories() {
			for _, at := range s.at {
				if at != interval || !wanted(fmt.Sprint(at, " ", s.name)) {
					continue
				}
				t.Run(s.name, func(t *testing.T) {
					if parallel {
						t.Parallel()
					}
					s.run(t, b, place, at, n)
				})
			}
		}
	}
	// At 1 s nearly all is waiting: several LANs wait beside each other.
	t.Run("1s", func(t *testing.T) { play(t, time.Second, true) })
	t.Run("100ms", func(t *testing.T) { play(t, 100*time.Millisecond, false) })
	t.Run("10ms", func(t *testing.T) { play(t, 10*time.Millisecond, false) })
	t.Run("many", func(t *testing.T) { compareMany(t, b, n) })
	t.Run("four", func(t *testing.T) { compareFour(t, b) })
	t.Run("busy", func(t *testing.T) { compareBusy(t, b) })
}
