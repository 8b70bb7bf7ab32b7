package cfsim_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/hactl/hactl/engines/cloudflare/cfsim"
)

func TestTunnelDefaults(t *testing.T) {
	a := start(t, cfsim.Options{})
	made := a.ok("POST", a.acc+"/cfd_tunnel", `{"name":"home"}`)
	want := `{"name":"home","account_tag":"` + a.sim.Account() + `","config_src":"local","remote_config":false,"deleted_at":null,
		"connections":[],"conns_active_at":null,"conns_inactive_at":"2026-11-01T12:00:00.000000Z","status":"inactive","tun_type":"cfd_tunnel","metadata":{},
		"created_at":"2026-11-01T12:00:00.000000Z"}`
	a.equal(made, want)
	if made["token"] == nil || made["credentials_file"] == nil {
		t.Error("the answer to a create has no token and credentials_file")
	}
	got := a.ok("GET", a.acc+"/cfd_tunnel/"+id(made), "")
	a.equal(got, want)
	a.absent(got, "token", "credentials_file", "tunnel_secret")
}

func TestTunnelRefusals(t *testing.T) {
	a := start(t, cfsim.Options{})
	tunnels := a.acc + "/cfd_tunnel"
	home := id(a.ok("POST", tunnels, `{"name":"home"}`))
	a.ok("POST", tunnels, `{"name":"other"}`)
	for _, tt := range []struct {
		status, code        int
		words, method, body string
		path                string
	}{
		{409, 1013, "name", "POST", `{"name":"home"}`, ""},
		{409, 1013, "name", "PATCH", `{"name":"other"}`, "/" + home},
		{400, 1002, "name: is required", "POST", `{}`, ""},
		{400, 1002, "name: must not be empty", "POST", `{"name":""}`, ""},
		{400, 1002, "name: must not be empty", "PATCH", `{"name":""}`, "/" + home},
		{400, 1002, "UUID", "POST", `{"name":"7c0e8d4e-7a0e-4a8e-8a53-0d5b8f0e6c11"}`, ""},
		{400, 1002, "tunnel_secret", "POST", `{"name":"x","tunnel_secret":"c2hvcnQ="}`, ""},
		{400, 1002, "config_src", "POST", `{"name":"x","config_src":"git"}`, ""},
		{400, 1002, "config_src: unknown field", "PATCH", `{"config_src":"local"}`, "/" + home},
		{400, 1002, "status: unknown field", "POST", `{"name":"x","status":"healthy"}`, ""},
		{404, 1003, "Tunnel not found", "GET", ``, "/7c0e8d4e-7a0e-4a8e-8a53-0d5b8f0e6c11"},
		{404, 7003, "Could not route", "GET", ``, "/7c0e8d4e"},
	} {
		a.refused(tt.status, tt.code, tt.words, tt.method, tunnels+tt.path, "%s", tt.body)
	}
}

func TestTunnelLifeAndDeath(t *testing.T) {
	a := start(t, cfsim.Options{})
	tunnels := a.acc + "/cfd_tunnel"
	home := id(a.ok("POST", tunnels, `{"name":"home"}`))
	a.ok("POST", a.acc+"/teamnet/routes", `{"network":"10.0.0.0/24","tunnel_id":"%s"}`, home)

	a.sim.Connect(home, 2)
	a.equal(a.ok("GET", tunnels+"/"+home, ""), `{"status":"healthy","conns_active_at":"2026-11-01T12:00:00.000000Z"}`)
	conns := a.list(tunnels + "/" + home + "/connections")
	if len(conns) != 2 || len(conns[0]["conns"].([]any)) != 4 {
		t.Fatalf("connections: %v", conns)
	}
	a.refused(400, 1022, "active connections", "DELETE", tunnels+"/"+home, "")
	a.ok("DELETE", tunnels+"/"+home+"/connections?client_id="+id(conns[0]), "")
	if left := a.list(tunnels + "/" + home + "/connections"); len(left) != 1 || id(left[0]) != id(conns[1]) {
		t.Errorf("left: %v", left)
	}
	a.refused(404, 1003, "Connector", "GET", tunnels+"/"+home+"/connectors/"+id(conns[0]), "")
	a.sim.Connect(home, 0)
	a.equal(a.ok("GET", tunnels+"/"+home, ""), `{"status":"down","conns_active_at":null}`)

	a.refused(400, 1023, "routes", "DELETE", tunnels+"/"+home, "")
	a.equal(a.ok("DELETE", tunnels+"/"+home+"?cascade=true", ""), `{"deleted_at":"2026-11-01T12:00:00.000000Z"}`)
	if routes := a.list(a.acc + "/teamnet/routes?is_deleted=false"); len(routes) != 0 {
		t.Errorf("live routes after a cascade: %v", routes)
	}
	if all, live := a.list(tunnels), a.list(tunnels+"?is_deleted=false"); len(all) != 1 || len(live) != 0 {
		t.Errorf("listed %d with and %d without deleted ones, want 1 and 0", len(all), len(live))
	}
	a.refused(404, 1003, "", "DELETE", tunnels+"/"+home, "")
	again := id(a.ok("POST", tunnels, `{"name":"home"}`)) // the name is free
	if again == home {
		t.Error("a new tunnel has the id of a deleted one")
	}
}

func TestTunnelListFiltersAndPages(t *testing.T) {
	a := start(t, cfsim.Options{})
	tunnels := a.acc + "/cfd_tunnel"
	for i := range 25 {
		a.ok("POST", tunnels, `{"name":"t%02d"}`, i)
	}
	first := a.okEnvelope("GET", tunnels, "")
	if i := first.Info; i == nil || i.Page != 1 || i.PerPage != 1000 || i.Count != 25 || i.TotalCount != 25 || i.TotalPages != 0 {
		t.Errorf("result_info of the default page: %+v", i)
	}
	seen := map[string]bool{}
	for page := 1; page <= 3; page++ {
		for _, o := range a.list(fmt.Sprintf("%s?per_page=10&page=%d", tunnels, page)) {
			seen[id(o)] = true
		}
	}
	if len(seen) != 25 {
		t.Errorf("three pages have %d different tunnels, want 25", len(seen))
	}
	if rest := a.list(tunnels + "?page=9223372036854775807&per_page=1000"); len(rest) != 0 {
		t.Errorf("a page beyond the end: %v", rest)
	}
	if one := a.list(tunnels + "?name=t07"); len(one) != 1 || one[0]["name"] != "t07" {
		t.Errorf("filtered by name: %v", one)
	}
	if ten := a.list(tunnels + "?include_prefix=t0&exclude_prefix=t09"); len(ten) != 9 {
		t.Errorf("filtered by prefixes: %d, want 9", len(ten))
	}
	a.refused(400, 1002, "per_page", "GET", tunnels+"?per_page=1001", "")
	a.refused(400, 1002, "page", "GET", tunnels+"?page=0", "")
	a.refused(400, 1002, "is_deleted", "GET", tunnels+"?is_deleted=no", "")
	a.refused(400, 1002, "nmae", "GET", tunnels+"?nmae=t07", "")
}

func TestTunnelToken(t *testing.T) {
	a := start(t, cfsim.Options{})
	secret := base64.StdEncoding.EncodeToString(make([]byte, 32))
	home := id(a.ok("POST", a.acc+"/cfd_tunnel", `{"name":"home","tunnel_secret":"%s"}`, secret))
	var token string
	if err := json.Unmarshal(a.okEnvelope("GET", a.acc+"/cfd_tunnel/"+home+"/token", "").Result, &token); err != nil {
		t.Fatal(err)
	}
	b, err := base64.StdEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf(`{"a":"%s","t":"%s","s":"%s"}`, a.sim.Account(), home, secret); string(b) != want {
		t.Errorf("token: %s, want %s", b, want)
	}
}

func TestTunnelConfiguration(t *testing.T) {
	a := start(t, cfsim.Options{})
	home := id(a.ok("POST", a.acc+"/cfd_tunnel", `{"name":"home"}`))
	path := a.acc + "/cfd_tunnel/" + home + "/configurations"
	a.equal(a.ok("GET", path, ""), `{"version":0,"source":"local","config":{"warp-routing":{"enabled":false}}}`)

	const send = `{"config":{"ingress":[{"hostname":"www.example.com","service":"https://192.0.2.1","originRequest":{"noTLSVerify":true}},
		{"service":"http_status:404"}],"originRequest":{"connectTimeout":7}}}`
	got := a.ok("PUT", path, send)
	full := func(noTLSVerify bool) string {
		return fmt.Sprintf(`{"bastionMode":false,"caPool":"","connectTimeout":7,"disableChunkedEncoding":false,"http2Origin":false,
		"httpHostHeader":"","keepAliveConnections":100,"keepAliveTimeout":90,"matchSNItoHost":false,"noHappyEyeballs":false,
		"noTLSVerify":%v,"originServerName":"","proxyAddress":"127.0.0.1","proxyPort":0,"proxyType":"","tcpKeepAlive":30,"tlsTimeout":10}`, noTLSVerify)
	}
	a.equal(got, `{"version":1,"source":"cloudflare","tunnel_id":"`+home+`","account_id":"`+a.sim.Account()+`"}`)
	a.equal(got, `{"config":{"ingress":[{"hostname":"www.example.com","service":"https://192.0.2.1","originRequest":`+full(true)+`},
		{"service":"http_status:404"}],"originRequest":`+full(false)+`,"warp-routing":{"enabled":false}}}`)
	a.equal(a.ok("PUT", path, send), `{"version":2}`)
	a.equal(a.ok("GET", path, ""), `{"version":2}`)
	a.equal(a.ok("GET", a.acc+"/cfd_tunnel/"+home, ""), `{"config_src":"cloudflare","remote_config":true}`)

	for body, words := range map[string]string{
		`{}`:                          "config: is required",
		`{"config":{}}`:               "config.ingress: is required",
		`{"config":{"ingress":[]}}`:   "at least 1",
		`{"config":{"ingress":[{}]}}`: "config.ingress[0].service: is required",
		`{"config":{"ingress":[{"service":"x","hostname":"a.example.com"}]}}`:                   "last rule",
		`{"config":{"ingress":[{"service":"x"},{"service":"y"}]}}`:                              "not the last rule",
		`{"config":{"ingress":[{"service":"x","hostname":"a.*.com"},{"service":"y"}]}}`:         "wildcard",
		`{"config":{"ingress":[{"service":"x","originRequest":{"connectTimeout":"10s"}}]}}`:     "config.ingress[0].originRequest.connectTimeout: must be an integer",
		`{"config":{"ingress":[{"service":"x","originRequest":{"connectTimeout":1.5}}]}}`:       "must be an integer",
		`{"config":{"ingress":[{"service":"x"}],"originRequest":{"bastionMode":true}}}`:         "bastionMode: unknown field",
		`{"config":{"ingress":[{"service":"x"}],"originRequest":{"access":{"required":true}}}}`: "audTag: is required",
		`{"config":{"ingress":[{"service":"x"}],"warp-routing":{"enabled":true}}}`:              "warp-routing: is read-only",
	} {
		a.refused(400, 1056, words, "PUT", path, "%s", body)
	}
	a.equal(a.ok("GET", path, ""), `{"version":2}`)
}
