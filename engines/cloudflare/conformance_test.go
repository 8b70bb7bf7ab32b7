package cloudflare_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hactl/hactl/engines/cloudflare"
	"github.com/hactl/hactl/engines/cloudflare/cfsim"
	"github.com/hactl/hactl/engines/cloudflare/wirecheck"
	"github.com/hactl/hactl/reconcile/enginetest"
	"github.com/hactl/hactl/reconcile/loop"
	"github.com/hactl/hactl/schema"
)

// world is a simulated account with foreign objects in it, behind a check
// against the official OpenAPI document.
type world struct {
	sim    *cfsim.Server
	server *httptest.Server
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := uncheckedWorld(t)
	w.server.Config.Handler = checked(t, w.sim)
	return w
}

// uncheckedWorld is a world for tests that repeat what others check.
func uncheckedWorld(t *testing.T) *world {
	t.Helper()
	sim := cfsim.New(cfsim.Options{Zones: []string{"example.com", "example.net"}, Enterprise: true})
	w := &world{sim: sim, server: httptest.NewServer(sim)}
	t.Cleanup(w.server.Close)
	return w
}

// checked holds all traffic against the OpenAPI document, where that exists.
func checked(t *testing.T, h http.Handler) http.Handler {
	t.Helper()
	checker, err := wirecheck.New(h)
	if errors.Is(err, wirecheck.ErrNoSchema) {
		t.Log("the check against the OpenAPI document was not run: the document is absent")
		return h
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, report := range checker.Reports() {
			t.Error("OpenAPI:", report)
		}
	})
	return checker
}

func (w *world) Engine(t *testing.T) loop.Engine {
	t.Helper()
	e, err := cloudflare.New(cloudflare.Options{
		Token: "secret", Account: w.sim.Account(), BaseURL: w.server.URL + cfsim.Prefix, Budget: 1 << 20, Backoff: time.Millisecond,
		Secret: func(schema.SecretRef) (string, error) { return strings.Repeat("c2Vj", 11), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func (w *world) Hang() {
	w.sim.Inject(cfsim.Fault{Kind: cfsim.FaultDelay, Delay: time.Hour})
}

// call sends a request as somebody else would, and returns the result.
func (w *world) call(t *testing.T, method, path string, body any) json.RawMessage {
	t.Helper()
	raw, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), method, w.server.URL+cfsim.Prefix+path, bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	if body == nil {
		r.Body = http.NoBody
		r.ContentLength = 0
	}
	r.Header.Set("Authorization", "Bearer other")
	r.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	var envelope struct {
		Success bool
		Result  json.RawMessage
	}
	if err := json.Unmarshal(content, &envelope); err != nil || !envelope.Success {
		t.Fatalf("%s %s: %s", method, path, content)
	}
	return envelope.Result
}

func (w *world) account(path string) string { return "/accounts/" + w.sim.Account() + path }
func (w *world) zone(path string) string    { return "/zones/" + w.sim.ZoneID("example.com") + path }

// lists are the paths of everything there can be.
func (w *world) lists() []string {
	return []string{
		w.account("/cfd_tunnel?is_deleted=false"), w.account("/teamnet/virtual_networks?is_deleted=false"),
		w.account("/teamnet/routes?is_deleted=false"), w.account("/load_balancers/monitors"), w.account("/load_balancers/pools"),
		w.account("/load_balancers"), w.zone("/load_balancers"), w.zone("/dns_records"),
	}
}

// populate makes foreign objects that resemble the stack's.
func (w *world) populate(t *testing.T) {
	t.Helper()
	var monitor, pool struct{ ID string }
	decode := func(raw json.RawMessage, into any) {
		t.Helper()
		if err := json.Unmarshal(raw, into); err != nil {
			t.Fatal(err)
		}
	}
	decode(w.call(t, "POST", w.account("/load_balancers/monitors"), map[string]any{
		"type": "http", "description": "hactl:other/monitor/web", "expected_codes": "200",
	}), &monitor)
	decode(w.call(t, "POST", w.account("/load_balancers/pools"), map[string]any{
		"name": "copy", "description": "hactl:test/pool/home", "monitor": monitor.ID,
		"origins": []any{map[string]any{"name": "a", "address": "203.0.113.9"}},
	}), &pool)
	w.call(t, "POST", w.account("/cfd_tunnel"), map[string]any{"name": "theirs", "config_src": "cloudflare"})
	w.call(t, "POST", w.zone("/dns_records"), map[string]any{"name": "other.example.com", "type": "A", "content": "203.0.113.9", "ttl": 1})
	w.call(t, "POST", w.zone("/dns_records"), map[string]any{"name": "example.com", "type": "TXT", "content": "v=spf1 -all", "ttl": 1})
	w.call(t, "POST", w.zone("/load_balancers"), map[string]any{
		"name": "their.example.com", "default_pools": []string{pool.ID}, "fallback_pool": pool.ID,
	})
}

// foreign is everything that does not belong to stack "test".
func (w *world) Foreign(t *testing.T) string {
	t.Helper()
	var foreign []string
	for _, o := range w.objects(t) {
		name, _ := o["name"].(string)
		ours := slices.Contains([]string{"home", "away", "new"}, name) && o["conns_active_at"] == nil && o["origins"] == nil
		text := fmt.Sprint(o["description"], o["comment"])
		if name == "copy" || !ours && !strings.Contains(text, "hactl:test/") && o["tun_type"] != "load_balancer" {
			delete(o, "is_default_network") // A stack may take that over.
			b, err := json.Marshal(o)
			if err != nil {
				t.Fatal(err)
			}
			foreign = append(foreign, string(b))
		}
	}
	slices.Sort(foreign)
	return strings.Join(foreign, "\n")
}

func (w *world) objects(t *testing.T) []map[string]any {
	t.Helper()
	var all []map[string]any
	for _, path := range w.lists() {
		var list []map[string]any
		if err := json.Unmarshal(w.call(t, "GET", path, nil), &list); err != nil {
			t.Fatal(err)
		}
		all = append(all, list...)
	}
	return all
}

func TestConformance(t *testing.T) {
	enginetest.Run(t, func(t *testing.T) enginetest.World {
		w := newWorld(t)
		w.populate(t)
		return w
	}, []*schema.Spec{full(), changed(), empty()})
}
