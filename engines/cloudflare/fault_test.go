package cloudflare_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hactl/hactl/engines/cloudflare/cfsim"
	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/enginetest"
	"github.com/hactl/hactl/reconcile/loop"
	"github.com/hactl/hactl/schema"
)

// inventory counts what there is by kind of list, so that a double shows.
func (w *world) inventory(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, path := range w.lists() {
		n := strings.Count(string(w.call(t, "GET", path, nil)), `"id":"`)
		fmt.Fprintf(&b, "%s %d\n", path, n)
	}
	return b.String()
}

// settle plans and applies until nothing is left, as run would, and returns
// how many rounds it took. Steps that fail are what the next round is for.
func settle(t *testing.T, w *world, journal loop.Store, spec *schema.Spec) int {
	t.Helper()
	for round := 1; round <= 6; round++ {
		l := &loop.Loop{Engines: []loop.Engine{w.Engine(t)}, Journal: journal}
		r, err := l.Plan(t.Context(), loop.Request{Spec: spec, Allowed: reconcile.Rules()})
		if err != nil || len(r.Live.Unknown) > 0 {
			continue // A read that fails changes nothing; it is read again.
		}
		if r.Plan.Empty() {
			return round
		}
		for _, s := range r.Plan.Steps {
			if strings.Contains(s.Reason, "second object") {
				t.Errorf("%s was created twice", s.ID)
			}
		}
		if _, err := l.Execute(t.Context(), r, time.Second); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("does not converge")
	return 0
}

// TestEveryRequestKilledOnce runs through the stages with the nth request
// failing, for every n and every way to fail: it converges, nothing is there
// twice, and nothing foreign is touched.
func TestEveryRequestKilledOnce(t *testing.T) {
	stages := []*schema.Spec{full(), changed(), empty()}
	clean := newWorld(t)
	clean.populate(t)
	journal := enginetest.Memory{}
	var inventories []string
	for _, spec := range stages {
		enginetest.Converge(t, clean, journal, spec)
		inventories = append(inventories, clean.inventory(t))
	}
	for i, spec := range stages {
		from := empty()
		if i > 0 {
			from = stages[i-1]
		}
		n := count(t, from, spec)
		for _, kind := range []cfsim.FaultKind{
			cfsim.FaultLost, cfsim.FaultLostStatus, cfsim.FaultStatus, cfsim.FaultReset, cfsim.FaultTruncate, cfsim.FaultGatewayHTML,
		} {
			t.Run(fmt.Sprintf("stage %d %s", i, kind), func(t *testing.T) {
				t.Parallel()
				for nth := 1; nth <= n; nth++ {
					killed(t, from, spec, kind, nth, inventories[i])
				}
			})
		}
	}
}

// count is how many requests lead from one specification to the next.
func count(t *testing.T, from, to *schema.Spec) int {
	t.Helper()
	w, journal := uncheckedWorld(t), enginetest.Memory{}
	w.populate(t)
	settle(t, w, journal, from)
	w.sim.ResetLog()
	settle(t, w, journal, to)
	return len(w.sim.Requests())
}

func killed(t *testing.T, from, to *schema.Spec, kind cfsim.FaultKind, nth int, want string) {
	t.Helper()
	w, journal := uncheckedWorld(t), enginetest.Memory{}
	defer w.server.Close()
	w.populate(t)
	foreign := w.Foreign(t)
	settle(t, w, journal, from)
	fault := cfsim.Fault{Kind: kind, Nth: nth}
	if kind == cfsim.FaultStatus {
		fault.Status = 500
	}
	w.sim.Inject(fault)
	settle(t, w, journal, to)
	w.sim.ClearFaults()
	if got := w.inventory(t); got != want {
		t.Errorf("%s of request %d: there is\n%swant\n%s", kind, nth, got, want)
	}
	if got := w.Foreign(t); got != foreign {
		t.Errorf("%s of request %d: foreign objects changed:\n%s\nwere\n%s", kind, nth, got, foreign)
	}
}

// TestDefaultNetwork moves the account's default network, which Cloudflare
// wants one of at any time.
func TestDefaultNetwork(t *testing.T) {
	w, journal := newWorld(t), enginetest.Memory{}
	spec := func(fallback string) *schema.Spec {
		s := empty()
		s.Networks = map[string]schema.Network{"a": {}, "b": {}}
		if fallback != "" {
			s.Networks[fallback] = schema.Network{IsDefaultNetwork: true}
		}
		s.Tunnels = map[string]schema.TunnelSpec{"home": {Routes: []schema.Route{{CIDR: "10.0.0.0/24"}}}}
		return s
	}
	for _, fallback := range []string{"", "a", "b", "a"} {
		enginetest.Converge(t, w, journal, spec(fallback))
	}
	plan := enginetest.Left(t, w, journal, spec(""))
	if len(plan.Conflicts) != 1 || plan.Conflicts[0].ID.String() != "network/a" {
		t.Errorf("conflicts %v, want one about network/a, which would leave the account without a default", plan.Conflicts)
	}
}
