package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hactl/hactl/engines/cloudflare"
	"github.com/hactl/hactl/engines/cloudflare/cfsim"
	"github.com/hactl/hactl/engines/host"
	"github.com/hactl/hactl/engines/host/memory"
	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/follow"
	"github.com/hactl/hactl/reconcile/loop"
	"github.com/hactl/hactl/schema"
)

var (
	exploreSeed  = flag.Uint64("explore-seed", 0, "play this seed of TestADayOfThreeAgents alone")
	exploreDays  = flag.Int("explore-days", 0, "play so many more days of TestADayOfThreeAgents, of new seeds")
	exploreHours = flag.Int("explore-hours", 24, "hours of virtual time in TestADayOfThreeAgents")
)

// TestADayOfThreeAgents plays a day: three agents follow one repository while
// it is pushed to, well and badly, while Git and the API fail, while hosts and
// agents die and come back, and somebody changes the edge behind their backs.
// What must hold: never two Active routers, one as soon as there can be; nothing
// but a good revision runs; the edge is as the newest good revision has it soon
// after all is quiet; what is not the stack's is never touched.
func TestADayOfThreeAgents(t *testing.T) {
	// The third came upon a host that started with a VRID the others had not yet.
	seeds := []uint64{1, 2, 1795667624201919686}
	for i := range *exploreDays {
		seeds = append(seeds, uint64(time.Now().UnixNano())+uint64(i))
	}
	if *exploreSeed != 0 {
		seeds = []uint64{*exploreSeed}
	}
	for _, seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { newDay(t, seed).play(time.Duration(*exploreHours) * time.Hour) })
		})
	}
}

const (
	dayPoll   = time.Minute
	dayResync = 5 * time.Minute
	// quietBound is how soon after the last trouble everything must be as the
	// newest good revision has it: a poll, a look after a failure that passed,
	// an activation delay twice over, and the time to do it in.
	quietBound = 2*dayPoll + dayResync + 5*time.Minute + 4*time.Minute
)

// day is the world of one seed.
type day struct {
	t     *testing.T
	seed  uint64
	rng   *rand.Rand
	began time.Time

	vrid int
	lan  *memory.LAN
	sim  *cfsim.Server
	repo *repository
	men  []*dayHost

	mu       sync.Mutex
	apiDown  bool
	troubled time.Time // since when all is quiet
	wrote    map[string]int
	foreign  map[string]string
	log      []string
	forced   bool      // the branch was pointed back since all was calm
	applied  int       // newest revision that the edge has been as, by index
	bare     time.Time // since when a host that could be Active is there, and none is
}

// dayHost is one host: the node goes on when the agent dies.
type dayHost struct {
	d       *day
	name    string
	node    *memory.Node
	store   *cell
	journal *journal

	mu       sync.Mutex
	cancel   context.CancelFunc // of the agent; nil while it is dead
	follower *follow.Follower
	keeper   *follow.Keeper
	changes  chan struct{}
	done     chan struct{}
	cut      bool // from Git
	newest   int  // revision that its engine has had, by index
}

func newDay(t *testing.T, seed uint64) *day {
	d := &day{
		t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 0)), vrid: 50, began: time.Now(), lan: memory.NewLAN(),
		sim: cfsim.New(cfsim.Options{Zones: []string{"example.com"}, Seed: seed}), wrote: map[string]int{}, troubled: time.Now(),
	}
	d.repo = &repository{d: d, specs: map[string]*schema.Spec{}, wrong: map[string]error{}}
	for i, name := range []string{"lb01", "lb02", "lb03"} {
		node := d.lan.Join(name, netip.MustParseAddr(fmt.Sprintf("192.168.0.4%d", i+1)))
		h := &dayHost{d: d, name: name, node: node, store: &cell{}, journal: &journal{stacks: map[string]reconcile.Journal{}}}
		d.men = append(d.men, h)
	}
	return d
}

func (d *day) note(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.log = append(d.log, fmt.Sprintf("%9s ", time.Since(d.began).Round(time.Millisecond))+fmt.Sprintf(format, args...))
}

func (d *day) fail(format string, args ...any) {
	d.t.Helper()
	d.t.Fatalf("seed %d, after %s: %s\n%s", d.seed, time.Since(d.began), fmt.Sprintf(format, args...), d.tail())
}

func (d *day) tail() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return strings.Join(d.log[max(0, len(d.log)-60):], "\n")
}

// play goes through the day: something happens every few minutes, now and then
// nothing for long enough that all must be well.
func (d *day) play(length time.Duration) {
	d.plant()
	d.repo.push(d.t, d.spec())
	for _, h := range d.men {
		h.node.Boot()
		h.start()
	}
	watching, stop := context.WithCancel(d.t.Context())
	watched := make(chan struct{})
	go func() { defer close(watched); d.watch(watching) }()
	checked := 0
	for time.Since(d.began) < length && !d.t.Failed() {
		for range 3 + d.rng.IntN(8) {
			d.something()
			time.Sleep(time.Duration(d.rng.Int64N(int64(4 * time.Minute))))
		}
		d.calm()
		time.Sleep(quietBound)
		d.converged()
		d.setForced(false)
		checked++
	}
	stop()
	<-watched
	for _, h := range d.men {
		h.kill()
		h.node.Crash()
	}
	d.untouched()
	d.t.Logf("seed %d: %d revisions, %d of them wrong, %d times quiet, %d requests that change something", d.seed, len(d.repo.commits), len(d.repo.wrong), checked, d.writes())
}

// something is one thing that happens.
func (d *day) something() {
	h := d.men[d.rng.IntN(len(d.men))]
	switch d.rng.IntN(14) {
	case 0, 1, 2:
		d.repo.push(d.t, d.spec())
		d.note("push %s", short(d.repo.head()))
	case 3:
		d.repo.pushWrong(d.rng)
		d.note("push %s, which is wrong", short(d.repo.head()))
	case 4:
		d.repo.forceBack(d.rng)
		d.setForced(true)
		d.note("force-push %s", short(d.repo.head()))
	case 5:
		h.setCut(!h.isCut())
		d.note("%s and Git: cut is %v", h.name, h.isCut())
	case 6:
		d.setAPI(d.rng.IntN(2) == 0)
		d.note("the API is down: %v", d.apiIsDown())
	case 7:
		d.note("the agent of %s dies", h.name)
		h.kill()
	case 8, 9:
		if h.kill(); d.rng.IntN(2) == 0 {
			d.note("%s dies", h.name)
			h.node.Crash()
			time.Sleep(time.Duration(d.rng.Int64N(int64(2 * time.Minute))))
		}
		d.note("%s starts", h.name)
		h.node.Boot()
		h.start()
	case 10:
		d.meddle()
	case 11:
		if f := h.alive(); f != nil {
			_ = f.Suspend(time.Now().Add(time.Duration(1+d.rng.IntN(10))*time.Minute), "exploration")
			h.interrupt()
			d.note("%s is suspended", h.name)
		}
	case 12:
		if f := h.alive(); f != nil {
			_ = f.Resume()
			h.interrupt()
			d.note("%s is resumed", h.name)
		}
	case 13:
		if f := h.alive(); f != nil {
			f.Trigger()
			d.note("a webhook for %s", h.name)
		}
	}
	d.mu.Lock()
	d.troubled = time.Now()
	d.mu.Unlock()
}

// calm ends all trouble: everybody is there, Git and the API answer, and the
// newest revision is a good one.
func (d *day) calm() {
	d.setAPI(false)
	for _, h := range d.men {
		h.setCut(false)
		if h.alive() == nil {
			h.node.Boot()
			h.start()
		}
		_ = h.alive().Resume()
		h.interrupt()
	}
	// What all members have to agree on changes when all can learn of it: one
	// that cannot for longer than activationDelay is left behind.
	if d.isForced() || d.repo.isWrong(d.repo.head()) || d.rng.IntN(2) == 0 {
		d.vrid = 50 + d.rng.IntN(2)
		d.repo.push(d.t, d.spec())
	}
	d.note("calm, with %s", short(d.repo.head()))
}

// converged checks that all is as the newest revision has it.
func (d *day) converged() {
	d.t.Helper()
	head := d.repo.head()
	spec := d.repo.specs[head]
	for _, h := range d.men {
		if s := h.follower.State(); s.Revision != head || s.Refused != nil {
			d.fail("%s runs %s and not %s: %+v", h.name, s.Revision, head, s)
		}
		want, err := host.NewConfig(h.name, head, spec.HostObjects(h.name), noSecret)
		if err != nil {
			d.t.Fatal(err)
		}
		if has := h.node.Config(); !reachedConfig(has, &want) {
			d.fail("the engine of %s has %+v and not %+v", h.name, has, want)
		}
	}
	plan, err := d.edge(&journal{stacks: map[string]reconcile.Journal{}}, nil).Plan(d.t.Context(), loop.Request{Spec: spec, Revision: head})
	if err != nil {
		d.t.Fatal(err)
	}
	if !plan.Plan.Empty() {
		d.fail("the edge is not as %s has it: %+v; keepers %s", head, plan.Plan.Steps, d.keepers())
	}
	d.untouched()
}

func reachedConfig(has, want *host.Config) bool {
	if has == nil {
		return false
	}
	wanted := has.Wanted()
	return wanted.Same(want)
}

func (d *day) keepers() string {
	var b strings.Builder
	for _, h := range d.men {
		fmt.Fprintf(&b, "\n%s: %+v", h.name, h.keeper.State())
	}
	return b.String()
}

// watch looks every half second at who is Active, and what they run.
func (d *day) watch(ctx context.Context) {
	vip := netip.MustParseAddr("192.168.0.40")
	for {
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
			return
		}
		if holders := d.lan.Holders(vip); len(holders) > 1 {
			d.t.Errorf("seed %d, after %s: %v hold the address\n%s", d.seed, time.Since(d.began), holders, d.tail())
			return
		} else if len(holders) == 1 || !d.somebodyCould() {
			d.bare = time.Time{}
		} else if d.bare.IsZero() {
			d.bare = time.Now()
		} else if time.Since(d.bare) > 6*time.Second { // One that starts waits for four intervals and its Skew_Time.
			d.t.Errorf("seed %d, after %s: nobody has the address since %s\n%s", d.seed, time.Since(d.began), d.bare.Sub(d.began), d.tail())
			return
		}
		for _, h := range d.men {
			c := h.node.Config()
			if c != nil && d.repo.isWrong(c.Revision) {
				d.t.Errorf("seed %d: %s runs %s, which is wrong", d.seed, h.name, c.Revision)
				return
			}
			if c == nil {
				continue
			}
			if at := d.repo.index(c.Revision); at < h.newest {
				d.t.Errorf("seed %d, after %s: %s went back to %s", d.seed, time.Since(d.began), h.name, c.Revision)
				return
			} else if at > h.newest {
				h.newest = at
			}
		}
	}
}

// edgeIs notes that a host has applied a revision: none older than before,
// unless the branch was pointed back meanwhile. A host that has not seen what
// came after what it runs cannot know better then.
func (d *day) edgeIs(h *dayHost, revision string) {
	at := d.repo.index(revision)
	d.mu.Lock()
	defer d.mu.Unlock()
	if at < d.applied && !d.forced {
		d.t.Errorf("seed %d, after %s: %s took the edge back to %s\n%s", d.seed, time.Since(d.began), h.name, revision, strings.Join(d.log[max(0, len(d.log)-40):], "\n"))
	}
	d.applied = at
}

// somebodyCould tells whether a host runs the Virtual Router and is not in
// maintenance.
func (d *day) somebodyCould() bool {
	for _, h := range d.men {
		if s := h.node.Status(); s != nil {
			if r := s.Router("web"); r != nil && !r.Maintenance {
				return true
			}
		}
	}
	return false
}

// spec is a random specification.
func (d *day) spec() string {
	var b strings.Builder
	b.WriteString("package edge\nstack: \"day\"\nleader: virtualRouter: \"web\"\n")
	down := ""
	if d.rng.IntN(4) == 0 {
		down = d.men[d.rng.IntN(3)].name
	}
	for i, h := range d.men {
		fmt.Fprintf(&b, "hosts: %s: {address: \"192.168.0.4%d\", maintenance: %v}\n", h.name, i+1, h.name == down)
		fmt.Fprintf(&b, "virtualRouters: web: members: %s: priority: %d\n", h.name, 50+d.rng.IntN(200))
	}
	fmt.Fprintf(&b, "virtualRouters: web: {vrid: %d, interface: \"eth0\", preempt: %v, addresses: [\"192.168.0.40/24\"], activationDelay: \"2m\"}\n", d.vrid, d.rng.IntN(2) == 0)
	b.WriteString("tunnels: home: {connectors: [\"lb01\", \"lb02\"], ingress: [{hostname: \"in.example.com\", service: \"http://192.168.0.40\"}]}\n")
	fmt.Fprintf(&b, "monitors: web: {type: \"https\", path: \"/%d\", expectedCodes: \"200\"}\n", d.rng.IntN(3))
	for _, pool := range []string{"tokyo", "osaka"} {
		fmt.Fprintf(&b, "pools: %s: {monitor: \"web\", origins: {", pool)
		for i := range 1 + d.rng.IntN(3) {
			fmt.Fprintf(&b, "o%d: {address: \"203.0.113.%d\", weight: %v}, ", i, 1+i, 0.1*float64(1+d.rng.IntN(10)))
		}
		b.WriteString("}}\n")
	}
	fmt.Fprintf(&b, "loadBalancers: \"www.example.com\": {zone: \"example.com\", defaultPools: [%q], fallbackPool: \"osaka\"}\n", []string{"tokyo", "osaka"}[d.rng.IntN(2)])
	for i := range d.rng.IntN(5) {
		fmt.Fprintf(&b, "dnsRecords: r%d: {zone: \"example.com\", name: \"r%d.example.com\", type: \"A\", content: \"198.51.100.%d\"}\n", i, i, 1+d.rng.IntN(9))
	}
	return b.String()
}

func noSecret(schema.SecretRef) (string, error) { return "", errors.New("there are no secrets here") }

// edge is the edge as one machine reaches it.
func (d *day) edge(j *journal, h *dayHost) *loop.Loop {
	engine, err := cloudflare.New(cloudflare.Options{
		Token: "token", Account: d.sim.Account(), BaseURL: "http://127.0.0.1" + cfsim.Prefix, Transport: &wire{d, h}, Secret: noSecret,
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return &loop.Loop{Engines: []loop.Engine{engine}, Journal: j}
}

// wire takes requests to the simulator without a network.
type wire struct {
	d *day
	h *dayHost // nil for the test's own
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	if w.h != nil && w.d.apiIsDown() {
		return nil, errors.New("connection refused")
	}
	if w.h != nil && r.Method != http.MethodGet {
		w.d.mu.Lock()
		w.d.wrote[w.h.name]++
		w.d.mu.Unlock()
		if s := w.h.node.Status(); s == nil || s.Router("web") == nil || s.Router("web").State != "active" {
			w.d.t.Errorf("seed %d: %s writes to the edge and does not lead", w.d.seed, w.h.name)
		}
	}
	if w.h != nil { // And back.
		defer time.Sleep(w.d.latency())
	}
	answer := httptest.NewRecorder()
	w.d.sim.ServeHTTP(answer, r)
	return answer.Result(), nil
}

// latency of an answer of the API.
func (d *day) latency() time.Duration { return time.Duration(20+rand.IntN(300)) * time.Millisecond }

func (d *day) writes() (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, w := range d.wrote {
		n += w
	}
	return n
}

func (d *day) setForced(is bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.forced = is
}

func (d *day) isForced() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.forced
}

func (d *day) setAPI(down bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.apiDown = down
}

func (d *day) apiIsDown() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.apiDown
}

// call asks the simulator for the test's own purposes.
func (d *day) call(method, path, body string) string {
	r := httptest.NewRequest(method, "http://127.0.0.1"+cfsim.Prefix+path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer token")
	r.Header.Set("Content-Type", "application/json")
	answer := httptest.NewRecorder()
	d.sim.ServeHTTP(answer, r)
	return answer.Body.String()
}
