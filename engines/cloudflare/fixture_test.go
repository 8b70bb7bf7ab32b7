package cloudflare

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/schema"
)

type fixture struct {
	Method, Path string
	Request      json.RawMessage
	Status       int
	Response     json.RawMessage
}

func readFixture(t *testing.T, name string) fixture {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "testdata", "cloudflare", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var f fixture
	if err := json.Unmarshal(b, &f); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f fixture) result(t *testing.T) json.RawMessage {
	t.Helper()
	var envelope struct{ Result json.RawMessage }
	if err := json.Unmarshal(f.Response, &envelope); err != nil {
		t.Fatal(err)
	}
	return envelope.Result
}

// object decodes a wire form into the object that Read makes of it.
func object[W any](t *testing.T, raw json.RawMessage, translate func(W, *translation) schema.Object) schema.Object {
	t.Helper()
	var w W
	if err := json.Unmarshal(raw, &w); err != nil {
		t.Fatal(err)
	}
	return translate(w, &translation{names: &names{byHandle: map[reconcile.Handle]string{}}})
}

// TestWhatComesBackIsWhatWasSent holds recorded answers against their
// requests: what a server fills in is never a difference.
func TestWhatComesBackIsWhatWasSent(t *testing.T) {
	network := func(w wireNetwork, _ *translation) schema.Object { return w.object(w.Comment) }
	route := func(w wireRoute, tr *translation) schema.Object { return w.object(tr, w.Comment) }
	monitor := func(w wireMonitor, _ *translation) schema.Object { return w.object("m", w.Description) }
	pool := func(w wirePool, tr *translation) schema.Object { return w.object(tr, w.Description) }
	public := func(w wireBalancer, tr *translation) schema.Object { return w.public(tr, "example.com", w.Description) }
	private := func(w wireBalancer, tr *translation) schema.Object {
		return schema.PrivateLoadBalancer{Name: w.Name, Balancing: w.object(tr, w.Description)}
	}
	record := func(w wireRecord, tr *translation) schema.Object {
		return w.object(tr, "r", "example.com", value(w.Comment))
	}
	configuration := func(w wireConfiguration, _ *translation) schema.Object { return w.object("t") }
	for name, decode := range map[string]func(*testing.T, json.RawMessage) schema.Object{
		"network-create":       func(t *testing.T, raw json.RawMessage) schema.Object { return object(t, raw, network) },
		"route-create":         func(t *testing.T, raw json.RawMessage) schema.Object { return object(t, raw, route) },
		"monitor-create-http":  func(t *testing.T, raw json.RawMessage) schema.Object { return object(t, raw, monitor) },
		"monitor-create-tcp":   func(t *testing.T, raw json.RawMessage) schema.Object { return object(t, raw, monitor) },
		"pool-create-defaults": func(t *testing.T, raw json.RawMessage) schema.Object { return object(t, raw, pool) },
		"pool-create-network":  func(t *testing.T, raw json.RawMessage) schema.Object { return object(t, raw, pool) },
		"pool-create-tunnel":   func(t *testing.T, raw json.RawMessage) schema.Object { return object(t, raw, pool) },
		"zone-lb-create-geo":   func(t *testing.T, raw json.RawMessage) schema.Object { return object(t, raw, public) },
		"zone-lb-create-rules": func(t *testing.T, raw json.RawMessage) schema.Object { return object(t, raw, public) },
		"account-lb-create":    func(t *testing.T, raw json.RawMessage) schema.Object { return object(t, raw, private) },
		"dns-create":           func(t *testing.T, raw json.RawMessage) schema.Object { return object(t, raw, record) },
		"configuration-put":    func(t *testing.T, raw json.RawMessage) schema.Object { return object(t, raw, configuration) },
	} {
		t.Run(name, func(t *testing.T) {
			f := readFixture(t, name)
			sent, back := decode(t, f.Request), decode(t, f.result(t))
			filled := map[string]bool{} // what differs from the defaults
			for _, c := range reconcile.Compare(back.Blank(), back) {
				filled[c.Path] = true
			}
			for _, c := range reconcile.Compare(back, sent) {
				if !filled[c.Path] && (c.After == nil || slices.Contains([]any{"", 0.0, false, "0s"}, c.After)) {
					continue // A default that the request left out; the engine sends it.
				}
				t.Errorf("%s: came back %v, sent %v", c.Path, c.Before, c.After)
			}
		})
	}
}

// TestPoolHealthAnswers reads the recorded form, and others that may come: keys
// are addresses in any form, or names, or what the only origin resolved to.
func TestPoolHealthAnswers(t *testing.T) {
	var made wirePool
	if err := json.Unmarshal(readFixture(t, "pool-create-monitor").result(t), &made); err != nil {
		t.Fatal(err)
	}
	one := []wireOrigin{{Name: "t", Address: "web.example.net"}, {Name: "off", Address: "192.0.2.9", Enabled: new(false)}}
	const sick = `{"healthy": false, "failure_reason": "x", "response_code": 503}`
	for _, c := range []struct {
		name, answer string
		origins      []wireOrigin
		want         string
	}{
		{"recorded", string(readFixture(t, "pool-health").result(t)), made.Origins, "true {true map[a:{true  0} b:{true  0}]}"},
		{"long and in capitals", `{"pop_health": {"A": {"healthy": true, "origins": [{"2001:DB8:0::5": ` + sick + `}]}}}`, made.Origins, "true {true map[b:{false x 503}]}"},
		{"by name", `{"pop_health": {"A": {"healthy": false, "origins": [{"a": ` + sick + `}]}}}`, made.Origins, "true {false map[a:{false x 503}]}"},
		{"of nobody", `{"pop_health": {"A": {"healthy": true, "origins": [{"198.51.100.1": ` + sick + `}]}}}`, made.Origins, "true {true map[]}"},
		{"of the only one", `{"pop_health": {"A": {"healthy": false, "origins": [{"198.51.100.1": ` + sick + `}]}}}`, one, "true {false map[t:{false x 503}]}"},
		{"a hostname", `{"pop_health": {"A": {"healthy": true, "origins": [{"Web.example.net.": {"healthy": true}}]}}}`, one, "true {true map[t:{true  0}]}"},
		{"without the pool's own", `{"pop_health": {"A": {"origins": [{"a": {"healthy": true}}]}, "B": {"origins": [{"a": {"healthy": true}}]}}}`, made.Origins, "true {true map[a:{true  0}]}"},
		{"the reason most give", `{"pop_health": {
			"A": {"origins": [{"a": {"failure_reason": "z"}}]}, "B": {"origins": [{"a": {"failure_reason": "y"}}]}, "C": {"origins": [{"a": {"failure_reason": "z"}}]},
			"D": {"origins": [{"a": {"healthy": true}}]}}}`, made.Origins, "true {false map[a:{false z 0}]}"},
		{"nobody has looked", `{"pop_health": {}}`, made.Origins, "false {false map[]}"},
		{"nothing", `{"pop_health": null}`, made.Origins, "false {false map[]}"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var w wirePoolHealth
			if err := json.Unmarshal([]byte(c.answer), &w); err != nil {
				t.Fatal(err)
			}
			h, known := w.judge(c.origins)
			if got := fmt.Sprint(known, " ", h); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// TestErrorAnswers classifies recorded refusals.
func TestErrorAnswers(t *testing.T) {
	for name, want := range map[string]struct {
		code  int
		class reconcile.Class
	}{
		"error-1005-pool-in-use":   {1005, reconcile.Conflict},
		"error-1013-tunnel-name":   {1013, reconcile.Conflict},
		"error-1014-route-network": {1014, reconcile.Conflict},
		"error-81053-dns-host":     {81053, reconcile.Conflict},
		"error-429-rate-limit":     {10100, reconcile.Transient},
	} {
		f := readFixture(t, name)
		err, ok := judge(f.Status, f.Response).(*apiError)
		if !ok || err.code != want.code || err.class() != want.class || err.ambiguous {
			t.Errorf("%s: %+v, want code %d of class %s, unambiguous", name, err, want.code, want.class)
		}
	}
}

// TestListedTunnelsAndRoutes reads recorded lists: deleted objects are not
// there, a private load balancer's route is its address and nobody's object.
func TestListedTunnelsAndRoutes(t *testing.T) {
	s := &snapshot{}
	if err := json.Unmarshal(readFixture(t, "route-list").result(t), &s.routes); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(readFixture(t, "tunnel-list").result(t), &s.tunnels); err != nil {
		t.Fatal(err)
	}
	balancer := ""
	for _, r := range s.routes {
		if r.TunType == tunTypeBalancer {
			balancer = r.TunnelName[len(balancerTunnelName):]
		}
	}
	if balancer == "" {
		t.Fatal("the fixture has no route of a load balancer")
	}
	s.private = []wireBalancer{{ID: balancer, Name: "app"}}
	live := s.live(reconcile.Scope{Stack: "test"})
	routes, vip := 0, ""
	for _, e := range live.Entries {
		switch o := e.Object.(type) {
		case schema.Route:
			routes++
		case schema.PrivateLoadBalancer:
			vip = o.VIP
		}
	}
	if vip == "" || routes != len(s.routes)-1 {
		t.Errorf("address %q and %d routes of %d; want the load balancer's route as its address only", vip, routes, len(s.routes))
	}
}
