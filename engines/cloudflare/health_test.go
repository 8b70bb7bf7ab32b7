package cloudflare_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hactl/hactl/engines/cloudflare"
	"github.com/hactl/hactl/engines/cloudflare/cfsim"
	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/enginetest"
)

// applied is a world in which full is applied, beside what is foreign.
func applied(t *testing.T, w *world) *cloudflare.Engine {
	t.Helper()
	w.populate(t)
	settle(t, w, enginetest.Memory{}, full())
	return w.Engine(t).(*cloudflare.Engine)
}

func health(t *testing.T, e *cloudflare.Engine) *reconcile.Health {
	t.Helper()
	h, err := e.Health(t.Context(), full(), 0)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func (w *world) must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestHealthIsTheSpecificationsOnly(t *testing.T) {
	w := newWorld(t)
	e := applied(t, w)
	w.must(t, w.sim.ConnectFrom("home", "192.0.2.11", "192.0.2.12"))
	w.must(t, w.sim.SetHealth("home", "plain", cfsim.Finding{Reason: "Response code mismatch error", Code: 503}))
	w.sim.ResetLog()
	h := health(t, e)
	if h.Err != "" || h.Read.IsZero() {
		t.Errorf("error %q, read %v", h.Err, h.Read)
	}
	if got := fmt.Sprint(h.Tunnels["away"]); len(h.Tunnels) != 2 || got != "{inactive []}" {
		t.Errorf("tunnels %+v", h.Tunnels)
	}
	home := h.Tunnels["home"]
	if home.Status != "healthy" || len(home.Connectors) != 2 {
		t.Fatalf("home: %+v", home)
	}
	from := map[string]bool{}
	for _, c := range home.Connectors {
		from[c.Address] = c.Connections == 4 && c.Version == "2026.8.0" && c.ID != "" && time.Since(c.Since) < time.Hour
	}
	if !from["192.0.2.11"] || !from["192.0.2.12"] {
		t.Errorf("connectors: %+v", home.Connectors)
	}
	// A tunnel, an address and a Virtual Router as origins; one that is disabled.
	want := map[string]string{
		"home":    "{true map[plain:{false Response code mismatch error 503} tunnel:{true  0}]}",
		"cloud":   "{true map[a:{true  0}]}",
		"private": "{true map[vip:{true  0}]}",
	}
	if len(h.Pools) != len(want) {
		t.Errorf("pools: %+v", h.Pools)
	}
	for name, text := range want {
		if got := fmt.Sprint(h.Pools[name]); got != text {
			t.Errorf("pool %s is %s, want %s", name, got, text)
		}
	}
	// Two lists, three pools, and the one tunnel that is connected.
	if got := len(w.sim.Requests()); got != 6 {
		t.Errorf("%d requests, want 6: %v", got, w.sim.Requests())
	}
}

func TestMostDataCentersDecide(t *testing.T) {
	w := newWorld(t)
	e := applied(t, w)
	find := func(f cfsim.Finding) string {
		t.Helper()
		w.must(t, w.sim.SetHealth("private", "vip", f))
		return fmt.Sprint(health(t, e).Pools["private"])
	}
	w.must(t, w.sim.SetHealth("private", "vip", cfsim.Finding{DataCenters: []string{"Osaka, JP"}}))
	// Others look at it, too, but the one that is told to: of three, one or two.
	for _, c := range []struct {
		finding cfsim.Finding
		want    string
	}{
		{cfsim.Finding{DataCenters: []string{"Osaka, JP"}}, "{false map[vip:{false HTTP timeout occurred 0}]}"}, // one of two: not most
		{cfsim.Finding{Reason: "x", DataCenters: []string{"Osaka, JP", "Tokyo, JP"}}, "{false map[vip:{false x 0}]}"},
		{cfsim.Finding{Reason: "x"}, "{false map[vip:{false x 0}]}"},
		{cfsim.Finding{Healthy: true}, "{true map[vip:{true  0}]}"},
	} {
		if got := find(c.finding); got != c.want {
			t.Errorf("%+v: %s, want %s", c.finding, got, c.want)
		}
	}
}

// TestHealthOfOneIsNotRead: what fails is absent and told of; the rest is there.
func TestHealthOfOneIsNotRead(t *testing.T) {
	w := newWorld(t)
	e := applied(t, w)
	w.must(t, w.sim.ConnectFrom("home", "192.0.2.11"))
	for _, c := range []struct {
		name, fault    string
		tunnels, pools int
		err, no        string
	}{
		{"a token that may not read pools", "GET /load_balancers status status=403 code=10000", 2, 0, `pools: the token may not read how they do: it is wrong, or lacks the permission "Load Balancing: Monitors and Pools Read"`, "injected"},
		{"nor tunnels", "GET /cfd_tunnel status status=403 code=10000", 0, 3, `tunnels: the token may not read how they do: it is wrong, or lacks the permission "Cloudflare Tunnel Read"`, "pools"},
		{"the connections", "GET /connections$ status status=404", 2, 3, "tunnels: injected fault", "pools"},
		{"one pool", "GET /health$ status status=400 nth=1", 2, 2, "pools: injected fault", "more"},
		{"all pools", "GET /health$ status status=400", 2, 0, "(and 2 more)", "tunnels"},
		{"an answer of nothing", "GET /health$ truncate", 2, 0, "pools: ", "tunnels"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, err := cfsim.ParseFault(c.fault)
			w.must(t, err)
			w.sim.Inject(f)
			defer w.sim.ClearFaults()
			h := health(t, e)
			if len(h.Tunnels) != c.tunnels || len(h.Pools) != c.pools {
				t.Errorf("%d tunnels and %d pools, want %d and %d", len(h.Tunnels), len(h.Pools), c.tunnels, c.pools)
			}
			if !strings.Contains(h.Err, c.err) || strings.Contains(h.Err, c.no) {
				t.Errorf("error %q, want %q and not %q", h.Err, c.err, c.no)
			}
		})
	}
	w.sim.Inject(cfsim.Fault{Kind: cfsim.FaultStatus, Status: 403, Code: 10000})
	if h, err := e.Health(t.Context(), full(), 0); err == nil || h != nil {
		t.Errorf("%+v, %v where nothing may be read", h, err)
	}
}

// TestHealthLeavesTheBudgetToPlans: nothing is sent once half of it is used, by
// whomever, and the rest of a reading stops there.
func TestHealthLeavesTheBudgetToPlans(t *testing.T) {
	w := newWorld(t)
	applied(t, w)
	engine := func(budget int) *cloudflare.Engine {
		e, err := cloudflare.New(cloudflare.Options{Token: "secret", Account: w.sim.Account(), BaseURL: w.server.URL + cfsim.Prefix, Budget: budget})
		w.must(t, err)
		return e
	}
	e := engine(20)
	for i := range 3 {
		_, err := e.Health(t.Context(), full(), 0)
		if last := i == 2; last != errorsIs(err, "kept for plans") {
			t.Errorf("reading %d: %v", i, err)
		}
	}
	if left := e.Left(); left != 10 {
		t.Errorf("%d requests are left of 20, want half", left)
	}
	e = engine(8)
	h, err := e.Health(t.Context(), full(), 0)
	if err != nil || !strings.Contains(h.Err, "pools: not read: what is left") || len(h.Pools) != 2 || e.Left() != 4 {
		t.Errorf("of 8: %+v, %v, %d left", h, err, e.Left())
	}
	// 2 lists, 2 tunnels, 3 pools: 7 requests of a quarter of 1200 in 5 minutes.
	if got := engine(0).HealthPeriod(full(), 0); got != 7*time.Second {
		t.Errorf("every %v, want 7s", got)
	}
}

// TestOthersUseTheBudgetToo: what the server says is left counts as well.
func TestOthersUseTheBudgetToo(t *testing.T) {
	const quota = 700
	sim := cfsim.New(cfsim.Options{Zones: []string{"example.com", "example.net"}, Enterprise: true, Quota: quota})
	w := &world{sim: sim, server: httptest.NewServer(sim)}
	t.Cleanup(w.server.Close)
	applied(t, w)
	for len(sim.Requests()) <= quota-cloudflare.DefaultBudget/2 {
		w.call(t, "GET", "/zones", nil)
	}
	e, err := cloudflare.New(cloudflare.Options{Token: "secret", Account: sim.Account(), BaseURL: w.server.URL + cfsim.Prefix})
	w.must(t, err)
	sim.ResetLog()
	h, err := e.Health(t.Context(), full(), 0)
	if err != nil || len(h.Pools) != 0 || !strings.Contains(h.Err, "kept for plans") {
		t.Errorf("%+v, %v", h, err)
	}
	// Both are under way at the same time; where one has told, the other may not be begun.
	if got := len(sim.Requests()); got < 1 || got > 2 {
		t.Errorf("%d requests, want one or two of the lists that tell", got)
	}
}

// TestMoreThanFitTakeTurns: of what is not asked now is told what was read before.
func TestMoreThanFitTakeTurns(t *testing.T) {
	w := newWorld(t)
	e := applied(t, w)
	next := func(most int) *reconcile.Health {
		t.Helper()
		w.sim.ResetLog()
		h, err := e.Health(t.Context(), full(), most)
		w.must(t, err)
		if got := len(w.sim.Requests()); most > 0 && got != 2+most {
			t.Errorf("%d requests, want two lists and %d more", got, most)
		}
		return h
	}
	one := next(2)
	if len(one.Pools) != 2 || one.Err != "pools: 1 not read yet, as they take turns" {
		t.Errorf("first %+v", one)
	}
	for _, name := range []string{"home", "cloud", "private"} { // Everybody has fallen ill since.
		for o, x := range full().Pools[name].Origins {
			if x.Enabled {
				w.must(t, w.sim.SetHealth(name, o, cfsim.Finding{}))
			}
		}
	}
	sick := func(h *reconcile.Health) (n int) {
		for _, p := range h.Pools {
			if !p.Healthy {
				n++
			}
		}
		return n
	}
	two := next(1)
	if len(two.Pools) != 3 || two.Err != "" || sick(two) != 1 || !two.Read.Equal(one.Read) {
		t.Errorf("second %+v", two)
	}
	three := next(2)
	if len(three.Pools) != 3 || sick(three) != 3 || !three.Read.Equal(two.Read) && !three.Read.After(two.Read) {
		t.Errorf("third %+v", three)
	}
	// What fails has had its turn, and is not known.
	w.sim.Inject(cfsim.Fault{Path: regexp.MustCompile("/health$"), Kind: cfsim.FaultStatus, Status: 400})
	if h := next(1); len(h.Pools) != 2 {
		t.Errorf("one fails: %+v", h)
	}
	w.sim.ClearFaults()
	if h := next(1); len(h.Pools) != 2 || h.Err != "pools: 1 not read yet, as they take turns" {
		t.Errorf("another one is asked: %+v", h)
	}
	if h := next(0); len(h.Pools) != 3 || h.Err != "" {
		t.Errorf("all are asked: %+v", h)
	}
	if got := e.HealthPeriod(full(), 1); got <= 0 || got >= e.HealthPeriod(full(), 0) {
		t.Errorf("every %v", got)
	}
}

func errorsIs(err error, text string) bool { return err != nil && strings.Contains(err.Error(), text) }

func TestHealthEndsWithItsContext(t *testing.T) {
	w := newWorld(t)
	e := applied(t, w)
	w.sim.Inject(cfsim.Fault{Path: nil, Method: http.MethodGet, Kind: cfsim.FaultDelay, Delay: time.Hour})
	ctx, cancel := context.WithCancel(t.Context())
	w.sim.ResetLog()
	done := make(chan error)
	go func() { _, err := e.Health(ctx, full(), 0); done <- err }()
	for len(w.sim.Requests()) < 2 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("it goes on")
	}
	ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := e.Health(ctx, full(), 0); !errorsIs(err, "no answer in time") {
		t.Errorf("%v", err)
	}
}
