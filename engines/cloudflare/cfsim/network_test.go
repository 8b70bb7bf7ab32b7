package cfsim_test

import (
	"strings"
	"testing"

	"github.com/hactl/hactl/engines/cloudflare/cfsim"
)

func TestDefaultNetwork(t *testing.T) {
	a := start(t, cfsim.Options{})
	nets := a.acc + "/teamnet/virtual_networks"
	old := a.list(nets)
	if len(old) != 1 {
		t.Fatalf("networks at the start: %v", old)
	}
	a.equal(old[0], `{"name":"default","is_default_network":true,"deleted_at":null}`)
	made := a.ok("POST", nets, `{"name":"lan"}`)
	a.equal(made, `{"name":"lan","comment":"","is_default_network":false,"deleted_at":null}`)
	a.refused(409, 1005, "default", "DELETE", nets+"/"+id(old[0]), "")
	a.refused(400, 1002, "is_default_network", "PATCH", nets+"/"+id(old[0]), `{"is_default_network":false}`)

	a.ok("PATCH", nets+"/"+id(made), `{"is_default_network":true}`)
	a.equal(a.ok("GET", nets+"/"+id(old[0]), ""), `{"is_default_network":false}`)
	if l := a.list(nets + "?is_default_network=true"); len(l) != 1 || id(l[0]) != id(made) {
		t.Errorf("defaults: %v", l)
	}
	third := a.ok("POST", nets, `{"name":"third","is_default":true}`)
	a.equal(third, `{"is_default_network":true}`)
	a.absent(third, "is_default")
	a.ok("DELETE", nets+"/"+id(made), "")
	if all, live := a.list(nets), a.list(nets+"?is_deleted=false"); len(all) != 3 || len(live) != 2 {
		t.Errorf("listed %d with and %d without deleted ones, want 3 and 2", len(all), len(live))
	}
}

func TestNetworkRefusals(t *testing.T) {
	a := start(t, cfsim.Options{})
	nets := a.acc + "/teamnet/virtual_networks"
	lan := id(a.ok("POST", nets, `{"name":"lan"}`))
	other := id(a.ok("POST", nets, `{"name":"other"}`))
	home := id(a.ok("POST", a.acc+"/cfd_tunnel", `{"name":"home"}`))
	long := strings.Repeat("x", 257)
	a.refused(409, 1013, "name", "POST", nets, `{"name":"lan"}`)
	a.refused(409, 1013, "name", "PATCH", nets+"/"+other, `{"name":"lan"}`)
	a.refused(400, 1002, "name", "POST", nets, `{"comment":"c"}`)
	a.refused(400, 1002, "name", "PATCH", nets+"/"+other, `{"name":""}`)
	a.refused(400, 1002, "256", "POST", nets, `{"name":"%s"}`, long)
	a.refused(400, 1002, "256", "PATCH", nets+"/"+lan, `{"comment":"%s"}`, long)
	a.refused(400, 1002, "is_default: unknown field", "PATCH", nets+"/"+lan, `{"is_default":true}`)
	a.refused(400, 1002, "id: unknown field", "POST", nets, `{"name":"x","id":"%s"}`, lan)
	a.refused(404, 1003, "network", "GET", nets+"/7c0e8d4e-7a0e-4a8e-8a53-0d5b8f0e6c11", "")

	a.ok("POST", a.acc+"/teamnet/routes", `{"network":"10.0.0.0/24","tunnel_id":"%s","virtual_network_id":"%s"}`, home, lan)
	a.refused(409, 1005, "routes", "DELETE", nets+"/"+lan, "")
	pool := id(a.ok("POST", a.acc+"/load_balancers/pools", `{"name":"p","origins":[{"name":"o","address":"10.0.0.1","virtual_network_id":"%s"}]}`, lan))
	a.refused(409, 1005, "origins", "DELETE", nets+"/"+lan+"?force=true", "")
	a.ok("DELETE", a.acc+"/load_balancers/pools/"+pool, "")
	a.ok("DELETE", nets+"/"+lan+"?force=true", "")
	if l := a.list(a.acc + "/teamnet/routes?is_deleted=false"); len(l) != 0 {
		t.Errorf("live routes after a forced delete: %v", l)
	}
	a.refused(404, 1003, "network", "PATCH", nets+"/"+lan, `{"comment":""}`)
	a.ok("POST", nets, `{"name":"lan"}`)
}
