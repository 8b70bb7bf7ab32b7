package cfsim_test

import (
	"strings"
	"testing"

	"github.com/hactl/hactl/engines/cloudflare/cfsim"
)

func TestRouteDefaultsAndLists(t *testing.T) {
	a := start(t, cfsim.Options{})
	routes := a.acc + "/teamnet/routes"
	vnet := id(a.list(a.acc + "/teamnet/virtual_networks")[0])
	home := id(a.ok("POST", a.acc+"/cfd_tunnel", `{"name":"home"}`))
	made := a.ok("POST", routes, `{"network":"10.0.0.0/24","tunnel_id":"%s"}`, home)
	a.equal(made, `{"network":"10.0.0.0/24","comment":"","deleted_at":null,"tunnel_id":"`+home+`","virtual_network_id":"`+vnet+`"}`)
	a.absent(made, "tun_type", "tunnel_name", "virtual_network_name")
	a.equal(a.list(routes)[0], `{"tun_type":"cfd_tunnel","tunnel_name":"home","virtual_network_name":"default"}`)

	a.ok("PATCH", a.acc+"/cfd_tunnel/"+home, `{"name":"house"}`)
	a.ok("PATCH", a.acc+"/teamnet/virtual_networks/"+vnet, `{"name":"net"}`)
	a.equal(a.list(routes)[0], `{"tunnel_name":"house","virtual_network_name":"net"}`)

	a.ok("POST", routes, `{"network":"10.0.0.128/25","tunnel_id":"%s","comment":"narrow"}`, home)
	a.equal(a.ok("GET", routes+"/ip/10.0.0.200", ""), `{"comment":"narrow"}`)
	a.equal(a.ok("GET", routes+"/ip/10.0.0.1", ""), `{"comment":""}`)
	for query, want := range map[string]int{
		"comment=narrow": 1, "network_subset=10.0.0.0/8": 2, "network_subset=10.0.0.128/25": 1, "network_superset=10.0.0.0/24": 1,
		"network_superset=10.0.0.200/32": 2, "tunnel_id=" + home: 2, "route_id=" + id(made): 1, "tun_types=load_balancer": 0,
		"tun_types=warp,cfd_tunnel": 2, "virtual_network_id=" + vnet: 2, "per_page=1": 1, "is_deleted=true": 0,
	} {
		if got := len(a.list(routes + "?" + query)); got != want {
			t.Errorf("%s: %d routes, want %d", query, got, want)
		}
	}
	a.ok("DELETE", routes+"/"+id(made), "")
	if all, live := a.list(routes), a.list(routes+"?is_deleted=false"); len(all) != 2 || len(live) != 1 {
		t.Errorf("listed %d with and %d without deleted ones, want 2 and 1", len(all), len(live))
	}
	a.refused(404, 1015, "", "GET", routes+"/"+id(made), "")
	a.refused(404, 1015, "", "DELETE", routes+"/"+id(made), "")
	a.ok("POST", routes, `{"network":"10.0.0.0/24","tunnel_id":"%s"}`, home) // free again
}

func TestRouteRefusals(t *testing.T) {
	a := start(t, cfsim.Options{})
	routes := a.acc + "/teamnet/routes"
	home := id(a.ok("POST", a.acc+"/cfd_tunnel", `{"name":"home"}`))
	lan := id(a.ok("POST", a.acc+"/teamnet/virtual_networks", `{"name":"lan"}`))
	a.ok("POST", routes, `{"network":"10.0.0.0/24","tunnel_id":"%s"}`, home)
	other := id(a.ok("POST", routes, `{"network":"10.0.0.0/24","tunnel_id":"%s","virtual_network_id":"%s"}`, home, lan))
	vnet := id(a.list(a.acc + "/teamnet/virtual_networks?name=default")[0])
	const none = "7c0e8d4e-7a0e-4a8e-8a53-0d5b8f0e6c11"
	a.refused(409, 1014, "exact IP subnet", "POST", routes, `{"network":"10.0.0.0/24","tunnel_id":"%s"}`, home)
	a.refused(409, 1014, "exact IP subnet", "PATCH", routes+"/"+other, `{"virtual_network_id":"%s"}`, vnet)
	a.refused(400, 1002, "host bits", "POST", routes, `{"network":"10.0.0.1/24","tunnel_id":"%s"}`, home)
	a.refused(400, 1002, "CIDR", "POST", routes, `{"network":"10.0.0.1","tunnel_id":"%s"}`, home)
	a.refused(400, 1002, "network: is required", "POST", routes, `{"tunnel_id":"%s"}`, home)
	a.refused(400, 1002, "tunnel_id: is required", "POST", routes, `{"network":"10.1.0.0/24"}`)
	a.refused(400, 1002, "comment: is longer than 100", "POST", routes, `{"network":"10.1.0.0/24","tunnel_id":"%s","comment":"%s"}`, home, strings.Repeat("é", 101))
	a.refused(400, 1002, "tun_type: unknown field", "POST", routes, `{"network":"10.1.0.0/24","tunnel_id":"%s","tun_type":"cfd_tunnel"}`, home)
	a.refused(404, 1003, "Tunnel", "POST", routes, `{"network":"10.1.0.0/24","tunnel_id":"%s"}`, none)
	a.refused(404, 1003, "network", "POST", routes, `{"network":"10.1.0.0/24","tunnel_id":"%s","virtual_network_id":"%s"}`, home, none)
	a.refused(404, 1015, "Route", "PATCH", routes+"/"+none, `{}`)
	a.refused(404, 1015, "Route", "GET", routes+"/ip/192.0.2.1", "")
	a.ok("POST", routes, `{"network":"10.1.0.0/24","tunnel_id":"%s","comment":"%s"}`, home, strings.Repeat("é", 100))
}

func TestPrivateLoadBalancerAddress(t *testing.T) {
	a := start(t, cfsim.Options{})
	routes, lbs := a.acc+"/teamnet/routes", a.acc+"/load_balancers"
	vnet := id(a.list(a.acc + "/teamnet/virtual_networks")[0])
	pool := id(a.ok("POST", lbs+"/pools", `{"name":"p","origins":[{"name":"o","address":"10.0.0.1","virtual_network_id":"%s"}]}`, vnet))
	made := id(a.ok("POST", lbs, `{"default_pools":["%s"],"fallback_pool":"%s"}`, pool, pool))
	l := a.list(routes + "?tun_types=load_balancer")
	if len(l) != 1 {
		t.Fatalf("routes of load balancers: %v", l)
	}
	a.equal(l[0], `{"network":"100.112.0.0/32","tun_type":"load_balancer","tunnel_name":"load-balancing-tunnel-for-`+made+`",
		"comment":"automatically generated route for load balancer","virtual_network_name":"default","deleted_at":null}`)
	a.refused(403, 1016, "", "DELETE", routes+"/"+id(l[0]), "")
	a.refused(403, 1016, "", "PATCH", routes+"/"+id(l[0]), `{"comment":"mine"}`)
	a.ok("DELETE", lbs+"/"+made, "")
	if l := a.list(routes + "?is_deleted=false"); len(l) != 0 {
		t.Errorf("routes after the load balancer has gone: %v", l)
	}
}
