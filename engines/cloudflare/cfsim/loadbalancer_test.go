package cfsim_test

import (
	"fmt"
	"testing"

	"github.com/hactl/hactl/engines/cloudflare/cfsim"
)

// balanced is an account with a pool of public origins.
func balanced(t *testing.T, opt cfsim.Options) (a *api, pool string) {
	a = start(t, opt)
	return a, id(a.ok("POST", a.acc+"/load_balancers/pools", `{"name":"p","origins":[{"name":"o","address":"192.0.2.1"}]}`))
}

func TestLoadBalancerDefaults(t *testing.T) {
	a, p := balanced(t, cfsim.Options{})
	made := a.ok("POST", a.zone+"/load_balancers", `{"name":"WWW.example.com","default_pools":["%s"],"fallback_pool":"%s"}`, p, p)
	a.equal(made, `{"name":"www.example.com","description":"","enabled":true,"proxied":false,"ttl":30,"steering_policy":"off",
		"session_affinity":"none","session_affinity_attributes":{"drain_duration":0,"samesite":"Auto","secure":"Auto","zero_downtime_failover":"none"},
		"adaptive_routing":{"failover_across_pools":false},"location_strategy":{"mode":"pop","prefer_ecs":"proximity"},
		"random_steering":{"default_weight":1},"region_pools":{},"pop_pools":{},"networks":["cloudflare"],
		"zone_name":"example.com","default_pools":["`+p+`"],"fallback_pool":"`+p+`"}`)
	a.absent(made, "rules", "session_affinity_ttl", "country_pools")
	geo := a.ok("PATCH", a.zone+"/load_balancers/"+id(made), `{"steering_policy":"","region_pools":{"WEU":["%s"]},"location_strategy":{"mode":"resolver_ip"}}`, p)
	a.equal(geo, `{"steering_policy":"geo","location_strategy":{"mode":"resolver_ip","prefer_ecs":"proximity"}}`)
	a.equal(a.ok("PATCH", a.zone+"/load_balancers/"+id(made), `{"steering_policy":"random"}`), `{"steering_policy":"random"}`)
	if l := a.okEnvelope("GET", a.zone+"/load_balancers", ""); l.Info.PerPage != 9223372036854775807 {
		t.Errorf("result_info: %+v", l.Info)
	}
}

func TestLoadBalancerRules(t *testing.T) {
	a, p := balanced(t, cfsim.Options{})
	const rules = `"rules":[{"name":"a","condition":"true","fixed_response":{"status_code":404}},{"name":"b","condition":"true","overrides":{"ttl":60}},{"name":"c","condition":"false"}]`
	made := a.ok("POST", a.zone+"/load_balancers", `{"name":"www.example.com","default_pools":["%s"],"fallback_pool":"%s",`+rules+`}`, p, p)
	a.equal(made, `{"rules":[{"name":"a","condition":"true","fixed_response":{"status_code":404},"overrides":{},"priority":0,"terminates":true,"disabled":false},
		{"name":"b","condition":"true","overrides":{"ttl":60},"priority":10,"disabled":false},
		{"name":"c","condition":"false","overrides":{},"priority":20,"disabled":false}]}`)
	path := a.zone + "/load_balancers/" + id(made)
	turned := a.ok("PATCH", path, `{"rules":[{"name":"late","priority":7},{"name":"early","priority":3}]}`)
	if first := turned["rules"].([]any)[0].(map[string]any)["name"]; first != "early" {
		t.Errorf("first rule: %v, want the one with the lowest priority", first)
	}
	a.refused(400, 1002, "rules[1].priority", "PATCH", path, `{"rules":[{"priority":3},{"priority":3}]}`)
	a.refused(400, 1002, "rules[0].overrides.steering: unknown field", "PATCH", path, `{"rules":[{"overrides":{"steering":"off"}}]}`)
	a.refused(400, 1002, "rules[0].name", "PATCH", path, `{"rules":[{"name":"%0201d"}]}`, 1)
	a.equal(a.ok("PATCH", path, `{"rules":[]}`), `{"rules":[]}`)
}

func TestLoadBalancerRefusals(t *testing.T) {
	a, p := balanced(t, cfsim.Options{})
	lbs := a.zone + "/load_balancers"
	a.ok("POST", lbs, `{"name":"taken.example.com","default_pools":["%s"],"fallback_pool":"%s"}`, p, p)
	const none = "00000000000000000000000000000000"
	with := func(fields string) string {
		return fmt.Sprintf(`{"name":"www.example.com","default_pools":["%s"],"fallback_pool":"%s",%s}`, p, p, fields)
	}
	for body, words := range map[string]string{
		fmt.Sprintf(`{"default_pools":["%s"],"fallback_pool":"%s"}`, p, p):                             "name: is required",
		fmt.Sprintf(`{"name":"www.example.com","fallback_pool":"%s"}`, p):                              "default_pools: is required",
		fmt.Sprintf(`{"name":"www.example.com","default_pools":["%s"]}`, p):                            "fallback_pool: is required",
		fmt.Sprintf(`{"name":"www.example.com","default_pools":[],"fallback_pool":"%s"}`, p):           "default_pools: needs at least 1",
		fmt.Sprintf(`{"name":"www.example.com","default_pools":["%s"],"fallback_pool":"%s"}`, p, none): "fallback_pool: pool",
		fmt.Sprintf(`{"name":"www.example.com","default_pools":["%s"],"fallback_pool":"%s"}`, none, p): "default_pools[0]: pool",
		fmt.Sprintf(`{"name":"www.example.net","default_pools":["%s"],"fallback_pool":"%s"}`, p, p):    "does not belong to the zone",
		fmt.Sprintf(`{"name":"badexample.com","default_pools":["%s"],"fallback_pool":"%s"}`, p, p):     "does not belong to the zone",
		with(`"region_pools":{"WEU":["` + none + `"]}`):                                                "region_pools.WEU[0]: pool",
		with(`"rules":[{"overrides":{"pools":["` + none + `"]}}]`):                                     "rules[0].overrides.pools[0]: pool",
		with(`"region_pools":{"MARS":[]}`):                                                             "region_pools.MARS: unknown field",
		with(`"pop_pools":{"NRT":["` + p + `"]}`):                                                      "Enterprise",
		with(`"steering_policy":"nearest"`):                                                            "steering_policy",
		with(`"session_affinity":"cookie","session_affinity_ttl":1799`):                                "between 1800 and 604800",
		with(`"session_affinity":"header","session_affinity_ttl":3601`):                                "between 30 and 3600",
		with(`"session_affinity_attributes":{"headers":["a","b"]}`):                                    "headers: too many",
		with(`"session_affinity_attributes":{"headers":["a b"]}`):                                      "headers[0]",
		with(`"random_steering":{"default_weight":2}`):                                                 "default_weight: must be between",
		with(`"random_steering":{"pool_weights":{"` + none + `":1}}`):                                  "pool_weights: pool",
		with(`"session_affinity":null`):                                                                "must not be null",
		with(`"zone_name":"example.com"`):                                                              "zone_name: unknown field",
		with(`"proxied":"true"`):                                                                       "proxied: must be a boolean",
	} {
		a.refused(400, 1002, words, "POST", lbs, "%s", body)
	}
	a.refused(400, 1003, "not unique", "POST", lbs, `{"name":"taken.example.com","default_pools":["%s"],"fallback_pool":"%s"}`, p, p)
	a.refused(404, 1001, "", "DELETE", lbs+"/"+none, "")
	a.refused(404, 1001, "", "GET", "/zones/"+a.sim.ZoneID("example.net")+"/load_balancers/"+id(a.list(lbs)[0]), "")
}

func TestTunnelOriginsNeedAProxiedLoadBalancer(t *testing.T) {
	a, plain := balanced(t, cfsim.Options{})
	pools, lbs := a.acc+"/load_balancers/pools", a.zone+"/load_balancers"
	p := id(a.ok("POST", pools, `{"name":"t","origins":[{"name":"t","address":"7c0e8d4e-7a0e-4a8e-8a53-0d5b8f0e6c11.cfargotunnel.com"}]}`))
	body := fmt.Sprintf(`{"name":"www.example.com","default_pools":["%s"],"fallback_pool":"%s","proxied":`, p, p)
	a.refused(400, 1004, "Cannot use tunnel as origin", "POST", lbs, "%s", body+"false}")
	lb := id(a.ok("POST", lbs, "%s", body+"true}"))
	a.refused(400, 1004, "", "PATCH", lbs+"/"+lb, `{"proxied":false}`)

	a.ok("POST", lbs, `{"name":"plain.example.com","default_pools":["%s"],"fallback_pool":"%s"}`, plain, plain)
	a.refused(400, 1004, "", "PATCH", pools+"/"+plain, `{"origins":[{"name":"t","address":"7c0e8d4e-7a0e-4a8e-8a53-0d5b8f0e6c11.cfargotunnel.com"}]}`)
	a.equal(a.ok("GET", pools+"/"+plain, ""), `{"origins":[{"name":"o","address":"192.0.2.1","enabled":true,"weight":1,"flatten_cname":true}]}`)
}

func TestPrivateLoadBalancer(t *testing.T) {
	a, public := balanced(t, cfsim.Options{})
	lbs := a.acc + "/load_balancers"
	vnet := id(a.list(a.acc + "/teamnet/virtual_networks")[0])
	p := id(a.ok("POST", lbs+"/pools", `{"name":"lan","origins":[{"name":"o","address":"10.0.0.1","virtual_network_id":"%s"}]}`, vnet))
	made := a.ok("POST", lbs, `{"default_pools":["%s"],"fallback_pool":"%s","description":"app"}`, p, p)
	a.equal(made, `{"description":"app","ttl":30,"steering_policy":"off","session_affinity":"none"}`)
	a.absent(made, "zone_name", "name")
	a.refused(400, 1002, "session_affinity", "PATCH", lbs+"/"+id(made), `{"session_affinity":"ip_cookie"}`)
	a.refused(400, 1002, "rules[0].overrides.session_affinity", "PATCH", lbs+"/"+id(made), `{"rules":[{"overrides":{"session_affinity":"cookie"}}]}`)
	a.refused(400, 1002, "virtual_network_id", "PATCH", lbs+"/"+id(made), `{"fallback_pool":"%s"}`, public)
	a.equal(a.ok("GET", lbs+"/usage", ""), `{"load_balancers":1,"pools":2,"origins":2,"monitors":0,"max_origins_per_pool":1}`)
}
