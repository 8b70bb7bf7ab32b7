package cfsim_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/hactl/hactl/engines/cloudflare/cfsim"
)

func TestPoolHealth(t *testing.T) {
	a := start(t, cfsim.Options{})
	lb := a.acc + "/load_balancers"
	monitor := id(a.ok("POST", lb+"/monitors", `{}`))
	const origins = `"origins":[{"name":"a","address":"192.0.2.1"},{"name":"b","address":"192.0.2.2"},{"name":"c","address":"192.0.2.3","enabled":false}]`
	pool := id(a.ok("POST", lb+"/pools", `{"name":"main","minimum_origins":2,"monitor":"%s",`+origins+`}`, monitor))
	blind := id(a.ok("POST", lb+"/pools", `{"name":"blind",`+origins+`}`))
	health := func(id string) map[string]any {
		t.Helper()
		return a.ok("GET", lb+"/pools/"+id+"/health", "")["pop_health"].(map[string]any)
	}
	at := func(center, address string) (poolHealthy, originHealthy bool) {
		t.Helper()
		pop := health(pool)[center].(map[string]any)
		for _, o := range pop["origins"].([]any) {
			if found, there := o.(map[string]any)[address]; there {
				return pop["healthy"].(bool), found.(map[string]any)["healthy"].(bool)
			}
		}
		t.Fatalf("%s does not look at %s: %v", center, address, pop)
		return false, false
	}
	if n := len(health(blind)); n != 0 {
		t.Errorf("%d data centers look at a pool without a monitor", n)
	}
	if p, o := at("Amsterdam, NL", "192.0.2.1"); !p || !o {
		t.Errorf("without a finding: pool %t, origin %t", p, o)
	}
	if n := len(health(pool)["Amsterdam, NL"].(map[string]any)["origins"].([]any)); n != 2 {
		t.Errorf("%d origins, want the two that are enabled", n)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(a.sim.SetHealth("main", "a", cfsim.Finding{Reason: "TCP connection failed", DataCenters: []string{"Osaka, JP"}}))
	if p, o := at("Amsterdam, NL", "192.0.2.1"); !p || !o {
		t.Errorf("Amsterdam: pool %t, origin %t", p, o)
	}
	if p, o := at("Osaka, JP", "192.0.2.1"); p || o {
		t.Errorf("Osaka: pool %t, origin %t", p, o)
	}
	must(a.sim.SetHealth("main", "a", cfsim.Finding{}))
	if p, o := at("Amsterdam, NL", "192.0.2.1"); p || o {
		t.Errorf("everywhere: pool %t, origin %t", p, o)
	}
	must(a.sim.SetHealth("main", "a", cfsim.Finding{Healthy: true}))
	if p, o := at("Amsterdam, NL", "192.0.2.1"); !p || !o {
		t.Errorf("healthy again: pool %t, origin %t", p, o)
	}
	for _, names := range [][2]string{{"other", "a"}, {"main", "d"}} {
		if err := a.sim.SetHealth(names[0], names[1], cfsim.Finding{}); err == nil {
			t.Errorf("%v: no error", names)
		}
	}
}

func TestConnectorsByAddress(t *testing.T) {
	a := start(t, cfsim.Options{})
	home := id(a.ok("POST", a.acc+"/cfd_tunnel", `{"name":"home"}`))
	connected := func() (ids map[string]string) {
		ids = map[string]string{}
		for _, c := range a.list(a.acc + "/cfd_tunnel/" + home + "/connections") {
			ids[c["conns"].([]any)[0].(map[string]any)["origin_ip"].(string)] = id(c)
		}
		return ids
	}
	if err := a.sim.ConnectFrom("home", "192.0.2.11", "192.0.2.12"); err != nil {
		t.Fatal(err)
	}
	both := connected()
	if err := a.sim.ConnectFrom("home", "192.0.2.12"); err != nil {
		t.Fatal(err)
	}
	if one := connected(); len(both) != 2 || len(one) != 1 || one["192.0.2.12"] != both["192.0.2.12"] {
		t.Errorf("both %v, then %v", both, one)
	}
	a.equal(a.ok("GET", a.acc+"/cfd_tunnel/"+home, ""), `{"status":"healthy"}`)
	if err := a.sim.ConnectFrom("home"); err != nil {
		t.Fatal(err)
	}
	a.equal(a.ok("GET", a.acc+"/cfd_tunnel/"+home, ""), `{"status":"down"}`)
	if a.sim.ConnectFrom("away") == nil || a.sim.ConnectFrom("home", "lb01") == nil {
		t.Error("no error for a tunnel that is not there, or for what is no address")
	}
}

func TestControl(t *testing.T) {
	a := start(t, cfsim.Options{})
	a.ok("POST", a.acc+"/cfd_tunnel", `{"name":"home"}`)
	a.ok("POST", a.acc+"/load_balancers/pools", `{"name":"main","origins":[{"name":"a","address":"192.0.2.1"}]}`)
	for _, c := range []struct {
		method, path, body string
		status             int
		words              string
	}{
		{"PUT", "/sim/tunnels/home/connectors", `["192.0.2.11"]`, 204, ""},
		{"PUT", "/sim/tunnels/away/connectors", `[]`, 400, "no tunnel"},
		{"PUT", "/sim/tunnels/home/connectors", `{}`, 400, "cannot unmarshal"},
		{"PUT", "/sim/pools/main/origins/a", `{"healthy":false,"reason":"x","code":503}`, 204, ""},
		{"PUT", "/sim/pools/main/origins/a", `{"helthy":false}`, 400, "helthy"},
		{"PUT", "/sim/pools/main/origins/b", `{}`, 400, "no origin"},
		{"GET", "/sim/pools/main/origins/a", ``, 405, ""},
	} {
		w := httptest.NewRecorder()
		a.sim.Control().ServeHTTP(w, httptest.NewRequest(c.method, c.path, strings.NewReader(c.body)))
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.words) {
			t.Errorf("%s %s %s: %d %s", c.method, c.path, c.body, w.Code, w.Body)
		}
	}
	w := httptest.NewRecorder()
	a.sim.ServeHTTP(w, httptest.NewRequest(http.MethodPut, "/sim/tunnels/home/connectors", strings.NewReader("[]")))
	if w.Code == http.StatusNoContent {
		t.Error("the API itself takes orders")
	}
}
