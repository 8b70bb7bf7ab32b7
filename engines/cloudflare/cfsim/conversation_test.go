package cfsim_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/hactl/hactl/engines/cloudflare/cfsim"
	"github.com/hactl/hactl/engines/cloudflare/wirecheck"
)

// TestConversationFitsOpenAPI creates, reads, changes and deletes one or more of everything, with both sides held
// against the OpenAPI file.
func TestConversationFitsOpenAPI(t *testing.T) {
	sim := cfsim.New(cfsim.Options{Zones: []string{"example.com"}, Now: fixedNow, Enterprise: true})
	check, err := wirecheck.New(sim)
	if errors.Is(err, wirecheck.ErrNoSchema) {
		t.Log("openapi check not run: file absent")
		converse(serve(t, sim, sim))
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	converse(serve(t, sim, check))
	for _, r := range check.Reports() {
		t.Error(r)
	}
	if n := check.Checked(); n < 100 {
		t.Errorf("only %d requests were checked", n)
	}
	want := "POST /zones/" + sim.ZoneID("example.com") + "/dns_records/batch"
	if got := check.Unchecked(); len(got) != 1 || got[0] != want {
		t.Errorf("unchecked: %q, want only the batch", got)
	}
}

// converse is the conversation; every request is one that the documentation allows.
func converse(a *api) {
	a.list("/zones?name=example.com&per_page=50")

	// Private networks and tunnels.
	nets, tunnels, routes := a.acc+"/teamnet/virtual_networks", a.acc+"/cfd_tunnel", a.acc+"/teamnet/routes"
	lan := id(a.ok("POST", nets, `{"name":"lan","comment":"the LAN","is_default_network":false}`))
	a.ok("POST", nets, `{"name":"plain"}`)
	a.ok("GET", nets+"/"+lan, "")
	a.ok("PATCH", nets+"/"+lan, `{"name":"lan2","comment":"","is_default_network":true}`)
	a.list(nets + "?is_deleted=false")

	home := id(a.ok("POST", tunnels, `{"name":"home","config_src":"cloudflare"}`))
	local := id(a.ok("POST", tunnels, `{"name":"local","config_src":"local","tunnel_secret":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}`))
	a.ok("PATCH", tunnels+"/"+local, `{"name":"local2"}`)
	a.list(tunnels + "?is_deleted=false&per_page=1000&page=1")
	a.ok("GET", tunnels+"/"+home+"/token", "")
	a.ok("GET", tunnels+"/"+home+"/configurations", "")
	a.ok("PUT", tunnels+"/"+home+"/configurations", `{"config":{"ingress":[
		{"hostname":"www.example.com","path":"/api","service":"https://192.0.2.10","originRequest":{"connectTimeout":5,"noTLSVerify":true,
		 "access":{"audTag":["aud"],"teamName":"team","required":true}}},
		{"service":"http_status:404"}],"originRequest":{"http2Origin":true}}}`)
	a.ok("GET", tunnels+"/"+home+"/configurations", "")
	a.sim.Connect(home, 2)
	a.ok("GET", tunnels+"/"+home, "")
	conns := a.list(tunnels + "/" + home + "/connections")
	a.ok("GET", tunnels+"/"+home+"/connectors/"+id(conns[0]), "")
	a.ok("DELETE", tunnels+"/"+home+"/connections?client_id="+id(conns[0]), "")

	first := id(a.ok("POST", routes, `{"network":"10.0.0.0/24","tunnel_id":"%s","virtual_network_id":"%s","comment":"rack"}`, home, lan))
	a.ok("POST", routes, `{"network":"2001:db8::/64","tunnel_id":"%s"}`, local)
	a.ok("PATCH", routes+"/"+first, `{"comment":"rack 2","network":"10.0.0.0/16"}`)
	a.ok("GET", routes+"/"+first, "")
	a.ok("GET", routes+"/ip/10.0.3.4?virtual_network_id="+lan, "")
	a.list(routes + "?per_page=1000&is_deleted=false")

	// Monitors, groups and pools.
	lb := a.acc + "/load_balancers"
	monitors, groups, pools := lb+"/monitors", lb+"/monitor_groups", lb+"/pools"
	http := id(a.ok("POST", monitors, `{}`))
	full := id(a.ok("POST", monitors, `{"type":"https","description":"full","method":"HEAD","path":"/healthz","header":{"Host":["www.example.com"]},
		"timeout":3,"retries":1,"interval":30,"expected_codes":"2xx","expected_body":"ok","follow_redirects":true,"allow_insecure":true,
		"probe_zone":"example.com","port":8443,"consecutive_up":2,"consecutive_down":3}`))
	a.ok("POST", monitors, `{"type":"tcp","port":22,"description":"ssh"}`)
	a.ok("POST", monitors, `{"type":"icmp_ping"}`)
	a.ok("PUT", monitors+"/"+full, `{"type":"https","description":"less","port":null}`)
	a.ok("PATCH", monitors+"/"+full, `{"expected_codes":"200","interval":10,"timeout":2}`)
	a.ok("GET", monitors+"/"+full, "")
	a.list(monitors)
	group := id(a.ok("POST", groups, `{"description":"both","members":[
		{"monitor_id":"%s","enabled":true,"monitoring_only":false,"must_be_healthy":true},
		{"monitor_id":"%s","enabled":true,"monitoring_only":true,"must_be_healthy":false}]}`, http, full))
	a.ok("PUT", groups+"/"+group, `{"description":"one","members":[{"monitor_id":"%s","enabled":true,"monitoring_only":false,"must_be_healthy":true}]}`, http)
	a.ok("PATCH", groups+"/"+group, `{"description":"one","members":[{"monitor_id":"%s","enabled":false,"monitoring_only":false,"must_be_healthy":true}]}`, http)
	a.ok("GET", groups+"/"+group, "")
	a.list(groups)
	a.list(monitors + "/" + http + "/references")
	a.list(monitors + "/" + full + "/references")

	plain := id(a.ok("POST", pools, `{"name":"plain","origins":[{"name":"a","address":"192.0.2.1"},{"name":"b","address":"origin.example.net","enabled":false}]}`))
	tunnelled := id(a.ok("POST", pools, `{"name":"tunnelled","description":"d","monitor":"%s","enabled":true,"minimum_origins":1,"latitude":35.6,"longitude":139.7,
		"check_regions":["NEAS","SEAS"],"notification_email":"ops@example.com","notification_filter":{"pool":{"disable":true,"healthy":null},"origin":null},
		"load_shedding":{"default_percent":10},"origin_steering":{"policy":"hash"},
		"origins":[{"name":"t","address":"%s.cfargotunnel.com","weight":0.29,"port":443,"flatten_cname":false,"header":{"Host":["www.example.com"]}}]}`, full, home))
	private := id(a.ok("POST", pools, `{"name":"private","monitor_group":"%s","origins":[{"name":"vip","address":"10.0.0.40","virtual_network_id":"%s","weight":null,"port":null,"header":null}]}`, group, lan))
	a.ok("PUT", pools+"/"+plain, `{"name":"plain","monitor":"%s","health_sources":["global"],"origins":[{"name":"a","address":"192.0.2.1","enabled":false}]}`, http)
	a.ok("PATCH", pools+"/"+plain, `{"monitor":null,"enabled":false,"check_regions":null}`)
	a.ok("PATCH", pools+"/"+plain, `{"enabled":true}`)
	a.ok("GET", pools+"/"+plain, "")
	a.ok("GET", pools+"/"+tunnelled+"/health", "")
	a.ok("GET", pools+"/"+plain+"/health", "")
	if err := a.sim.SetHealth("tunnelled", "t", cfsim.Finding{Code: 503, DataCenters: []string{"Osaka, JP"}}); err != nil {
		a.Fatal(err)
	}
	a.ok("GET", pools+"/"+tunnelled+"/health", "")
	a.okEnvelope("PATCH", pools, `{"notification_email":""}`)
	a.list(pools)
	a.list(pools + "?monitor=" + full)
	a.list(groups + "/" + group + "/references")

	// Load balancers.
	public := a.zone + "/load_balancers"
	www := id(a.ok("POST", public, `{"name":"www.example.com","default_pools":["%s"],"fallback_pool":"%s"}`, plain, plain))
	a.ok("POST", public, `{"name":"geo.example.com","description":"d","enabled":false,"proxied":true,"default_pools":["%[1]s","%[2]s"],"fallback_pool":"%[1]s","ttl":30,
		"steering_policy":"","region_pools":{"NEAS":["%[2]s"]},"country_pools":{"JP":["%[2]s"]},"pop_pools":{"NRT":["%[2]s"]},"networks":["cloudflare"],
		"session_affinity":"header","session_affinity_ttl":1800,"session_affinity_attributes":{"headers":["x-session"],"require_all_headers":true,
		"drain_duration":60,"samesite":"Lax","secure":"Always","zero_downtime_failover":"sticky"},
		"adaptive_routing":{"failover_across_pools":true},"location_strategy":{"mode":"resolver_ip"},"random_steering":{"pool_weights":{"%[1]s":0.3}},
		"rules":[{"name":"fixed","condition":"http.request.uri.path eq \"/no\"","fixed_response":{"status_code":404,"content_type":"text/plain","message_body":"no","location":""}},
		 {"name":"over","condition":"true","overrides":{"default_pools":["%[2]s"],"fallback_pool":"%[1]s","steering_policy":"random","session_affinity":"cookie","ttl":60,
		  "random_steering":{"default_weight":0.5},"pools":["%[1]s"],"pool_weights":{"%[1]s":0.5},"pool_default_weight":1}}]}`, plain, tunnelled)
	a.ok("PUT", public+"/"+www, `{"name":"www.example.com","proxied":true,"default_pools":["%s"],"fallback_pool":"%s","steering_policy":"least_connections"}`, tunnelled, plain)
	a.ok("PATCH", public+"/"+www, `{"enabled":false,"session_affinity":"cookie","session_affinity_ttl":3600}`)
	a.ok("GET", public+"/"+www, "")
	lbs := a.list(public)
	inner := id(a.ok("POST", lb, `{"name":"app","description":"private","default_pools":["%s"],"fallback_pool":"%s"}`, private, private))
	a.ok("PUT", lb+"/"+inner, `{"name":"app","default_pools":["%s"],"fallback_pool":"%s","steering_policy":"off"}`, private, private)
	a.ok("PATCH", lb+"/"+inner, `{"description":"changed"}`)
	a.ok("GET", lb+"/"+inner, "")
	a.list(lb)
	a.ok("GET", lb+"/usage", "")
	a.list(pools + "/" + private + "/references")
	a.list(routes + "?tun_types=load_balancer&is_deleted=false")

	// DNS.
	dns := a.zone + "/dns_records"
	one := id(a.ok("POST", dns, `{"type":"A","name":"a","content":"192.0.2.7"}`))
	a.ok("POST", dns, `{"type":"AAAA","name":"a.example.com","content":"2001:db8::7","ttl":300,"comment":"c","proxied":false}`)
	a.ok("POST", dns, `{"type":"CNAME","name":"t","content":"%s.cfargotunnel.com","proxied":true,"ttl":1,"tags":["owner:ops"],"settings":{"flatten_cname":false}}`, home)
	a.ok("POST", dns, `{"type":"TXT","name":"@","content":"\"v=spf1 -all\""}`)
	a.ok("POST", dns, `{"type":"MX","name":"@","content":"mx.example.net","priority":10}`)
	a.ok("POST", dns, `{"type":"SRV","name":"_sip._tcp","data":{"priority":10,"weight":5,"port":5060,"target":"sip.example.com"}}`)
	a.ok("POST", dns, `{"type":"CAA","name":"@","data":{"flags":0,"tag":"issue","value":"ca.example.net"}}`)
	a.ok("PUT", dns+"/"+one, `{"type":"A","name":"a","content":"192.0.2.8","comment":"x"}`)
	a.ok("PATCH", dns+"/"+one, `{"comment":null,"ttl":120}`)
	a.ok("GET", dns+"/"+one, "")
	a.list(dns + "?per_page=5000000")
	a.list(dns + "?type=A&name=a.example.com&match=all&order=name&direction=desc")
	a.ok("POST", dns+"/batch", `{"deletes":[{"id":"%s"}],"posts":[{"type":"A","name":"b","content":"192.0.2.9"}]}`, one)

	// Refusals, with requests that the file allows.
	a.refused(409, 1013, "tunnel", "POST", tunnels, `{"name":"home"}`)
	a.refused(409, 1014, "route", "POST", routes, `{"network":"10.0.0.0/16","tunnel_id":"%s","virtual_network_id":"%s"}`, home, lan)
	a.refused(412, 1005, "pool", "DELETE", pools+"/"+tunnelled, "")
	a.refused(404, 1001, "pool", "GET", pools+"/00000000000000000000000000000000", "")
	a.refused(400, 81053, "CNAME", "POST", dns, `{"type":"A","name":"t","content":"192.0.2.1"}`)

	// And all of it away again.
	a.ok("DELETE", lb+"/"+inner, "")
	for _, o := range lbs {
		a.ok("DELETE", public+"/"+id(o), "")
	}
	for _, o := range a.list(pools) {
		a.ok("DELETE", pools+"/"+id(o), "")
	}
	a.ok("DELETE", groups+"/"+group, "")
	for _, o := range a.list(monitors) {
		a.ok("DELETE", monitors+"/"+id(o), "")
	}
	for _, o := range a.list(routes + "?is_deleted=false&per_page=1000") {
		a.ok("DELETE", routes+"/"+id(o), "")
	}
	a.sim.Connect(home, 0)
	for _, o := range []string{home, local} {
		a.ok("DELETE", tunnels+"/"+o, "")
	}
	for _, o := range a.list(nets + "?is_default_network=false&is_deleted=false") {
		a.ok("DELETE", nets+"/"+id(o), "")
	}
	for _, o := range a.list(dns) {
		a.ok("DELETE", dns+"/"+id(o), "")
	}
	for _, path := range []string{lb, public, pools, groups, monitors, dns, routes + "?is_deleted=false", tunnels + "?is_deleted=false"} {
		if rest := a.list(path); len(rest) != 0 {
			a.Errorf("left at %s: %v", path, fmt.Sprint(rest))
		}
	}
}
