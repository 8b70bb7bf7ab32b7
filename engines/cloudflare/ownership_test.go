package cloudflare_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/hactl/hactl/engines/cloudflare"
	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/enginetest"
	"github.com/hactl/hactl/reconcile/loop"
	"github.com/hactl/hactl/schema"
)

// id returns the id of the object whose field has that value.
func (w *world) id(t *testing.T, path, field, value string) string {
	t.Helper()
	var list []map[string]any
	if err := json.Unmarshal(w.call(t, "GET", path, nil), &list); err != nil {
		t.Fatal(err)
	}
	for _, o := range list {
		if s, _ := o[field].(string); s == value || field != "name" && strings.Contains(s, value) {
			return o["id"].(string)
		}
	}
	t.Fatalf("%s: nothing has %s %q", path, field, value)
	return ""
}

// TestTunnelsAreKnownWithoutAJournal loses the journal: tunnels that owned
// objects lead to are still owned, others are in conflict, and nothing is
// deleted on a guess.
func TestTunnelsAreKnownWithoutAJournal(t *testing.T) {
	w := newWorld(t)
	spec := empty()
	spec.Tunnels = map[string]schema.TunnelSpec{
		"routed":  {Routes: []schema.Route{{CIDR: "10.0.0.0/24"}}},
		"named":   {DNS: true, Ingress: []schema.IngressRule{{Hostname: "named.example.com", Service: "http://127.0.0.1"}}},
		"pooled":  {Ingress: []schema.IngressRule{{Hostname: "pooled.example.com", Service: "http://127.0.0.1"}}},
		"nothing": {},
	}
	spec.Pools = map[string]schema.Pool{"p": pool(func(p *schema.Pool) {
		p.Origins = map[string]schema.Origin{"a": origin(func(o *schema.Origin) { o.Tunnel = "pooled" })}
	})}
	enginetest.Converge(t, w, enginetest.Memory{}, spec)

	plan := enginetest.Left(t, w, enginetest.Memory{}, spec)
	if len(plan.Steps) != 0 || len(plan.Conflicts) != 1 || plan.Conflicts[0].ID.String() != "tunnel/nothing" {
		t.Errorf("steps %v, conflicts %v; want a conflict about the tunnel that nothing leads to", plan.Steps, plan.Conflicts)
	}
	plan = enginetest.Left(t, w, enginetest.Memory{}, empty())
	for _, s := range plan.Steps {
		if s.ID.Kind == schema.KindTunnel {
			t.Errorf("%s would be deleted, and no journal says that it is owned", s.ID)
		}
	}
}

// TestAdopt takes over an object of somebody else's: its text gets the
// marker, everything else stays, and what differs is then a difference.
func TestAdopt(t *testing.T) {
	w := newWorld(t)
	w.call(t, "POST", w.account("/load_balancers/pools"), map[string]any{
		"name": "p", "description": "by hand", "origins": []any{map[string]any{"name": "a", "address": "203.0.113.9", "weight": 0.5}},
	})
	id := w.id(t, w.account("/load_balancers/pools"), "name", "p")
	spec := empty()
	spec.Pools = map[string]schema.Pool{"p": pool(func(p *schema.Pool) {
		p.Description = "by hand"
		p.Origins = map[string]schema.Origin{"a": origin(func(o *schema.Origin) { o.Address = "203.0.113.9" })}
	})}
	journal := enginetest.Memory{}
	if plan := enginetest.Left(t, w, journal, spec); len(plan.Conflicts) != 1 || len(plan.Steps) != 0 {
		t.Fatalf("before: steps %v, conflicts %v; want one conflict", plan.Steps, plan.Conflicts)
	}
	e := w.Engine(t).(*cloudflare.Engine)
	l := &loop.Loop{Engines: []loop.Engine{e}, Journal: journal}
	scope := reconcile.Scope{Stack: "test", Objects: l.Desired(spec, "", "").Objects}
	pid := schema.ID{Kind: schema.KindPool, Name: "p"}
	for name, refused := range map[string]struct {
		id     schema.ID
		handle string
	}{
		"an id that does not exist": {pid, strings.Repeat("0", 32)},
		"another name":              {schema.ID{Kind: schema.KindPool, Name: "q"}, id},
		"another kind":              {schema.ID{Kind: schema.KindMonitor, Name: "p"}, id},
	} {
		if _, err := e.Adopt(t.Context(), scope, refused.id, reconcile.Handle(refused.handle)); err == nil {
			t.Errorf("%s was adopted", name)
		}
	}
	if _, err := e.Adopt(t.Context(), scope, pid, reconcile.Handle(id)); err != nil {
		t.Fatal(err)
	}
	plan := enginetest.Left(t, w, journal, spec)
	if len(plan.Conflicts) != 0 || len(plan.Steps) != 1 || len(plan.Steps[0].Fields) != 1 || plan.Steps[0].Fields[0].Path != "origins.a.weight" {
		t.Errorf("after: %+v, conflicts %v; want the weight to differ and nothing else", plan.Steps, plan.Conflicts)
	}
}

// TestAnotherStacksObjectsAreForeign runs two stacks in one account.
func TestAnotherStacksObjectsAreForeign(t *testing.T) {
	w := newWorld(t)
	one, two := full(), empty()
	two.Stack = "two"
	two.Monitors = map[string]schema.Monitor{"web": one.Monitors["web"]}
	mine, theirs := enginetest.Memory{}, enginetest.Memory{}
	enginetest.Converge(t, w, mine, one)
	enginetest.Converge(t, w, theirs, two)
	if plan := enginetest.Left(t, w, mine, one); !plan.Empty() {
		t.Errorf("the first stack sees the second: %v", plan.Steps)
	}
	two.Monitors = nil
	enginetest.Converge(t, w, theirs, two)
	if plan := enginetest.Left(t, w, mine, one); !plan.Empty() {
		t.Errorf("the second stack took from the first: %v", plan.Steps)
	}
}

// TestDoublesHeal makes a second object with one marker, as a lost answer
// would: it goes, and what referred to it is repointed.
func TestDoublesHeal(t *testing.T) {
	w, journal := newWorld(t), enginetest.Memory{}
	spec := empty()
	spec.Monitors = map[string]schema.Monitor{"m": monitor(func(*schema.Monitor) {})}
	spec.Pools = map[string]schema.Pool{"p": pool(func(p *schema.Pool) {
		p.Monitor = "m"
		p.Origins = map[string]schema.Origin{"a": origin(func(o *schema.Origin) { o.Address = "203.0.113.9" })}
	})}
	enginetest.Converge(t, w, journal, spec)
	w.call(t, "POST", w.account("/load_balancers/monitors"), map[string]any{"type": "http", "expected_codes": "200", "description": "hactl:test/monitor/m"})
	if n := enginetest.Converge(t, w, journal, spec); n == 0 {
		t.Fatal("the double was not seen")
	}
	var left []any
	if err := json.Unmarshal(w.call(t, "GET", w.account("/load_balancers/monitors"), nil), &left); err != nil || len(left) != 1 {
		t.Errorf("%d monitors are left, want 1", len(left))
	}
}
