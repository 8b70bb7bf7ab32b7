package cfsim_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hactl/hactl/engines/cloudflare/cfsim"
)

func TestPoolDefaults(t *testing.T) {
	a := start(t, cfsim.Options{})
	pools := a.acc + "/load_balancers/pools"
	made := a.ok("POST", pools, `{"name":"p","origins":[{"name":"o","address":"192.0.2.1"}]}`)
	a.equal(made, `{"name":"p","description":"","enabled":true,"check_regions":null,"minimum_origins":1,"notification_email":"",
		"networks":["cloudflare"],"origins":[{"name":"o","address":"192.0.2.1","enabled":true,"weight":1,"flatten_cname":true}]}`)
	a.absent(made, "load_shedding", "origin_steering", "notification_filter", "monitor", "monitor_group", "latitude", "disabled_at")

	more := a.ok("PATCH", pools+"/"+id(made), `{"load_shedding":{"default_percent":5},"origin_steering":{},"notification_filter":{"pool":{}},"enabled":false}`)
	a.equal(more, `{"load_shedding":{"default_percent":5,"default_policy":"random","session_percent":0,"session_policy":"hash"},
		"origin_steering":{"policy":"random"},"notification_filter":{"pool":{"disable":false,"healthy":null}},
		"enabled":false,"disabled_at":"2026-11-01T12:00:00.000000Z"}`)
	less := a.ok("PATCH", pools+"/"+id(made), `{"load_shedding":null,"origin_steering":null,"notification_filter":null,"enabled":true}`)
	a.absent(less, "load_shedding", "origin_steering", "notification_filter", "disabled_at")
	a.equal(less, `{"origins":[{"name":"o","address":"192.0.2.1","enabled":true,"weight":1,"flatten_cname":true}]}`)
}

func TestOriginsAreASet(t *testing.T) {
	a := start(t, cfsim.Options{})
	var parts, sent []string
	for i := range 8 {
		parts = append(parts, fmt.Sprintf(`{"name":"o%d","address":"192.0.2.%d"}`, i, i))
		sent = append(sent, fmt.Sprintf("o%d", i))
	}
	order := func(o map[string]any) (names []string) {
		for _, x := range o["origins"].([]any) {
			names = append(names, x.(map[string]any)["name"].(string))
		}
		return names
	}
	made := a.ok("POST", a.acc+"/load_balancers/pools", `{"name":"p","origins":[%s]}`, strings.Join(parts, ","))
	got := order(made)
	if fmt.Sprint(got) == fmt.Sprint(sent) {
		t.Errorf("origins come back in the order that was sent: %v", got)
	}
	if again := order(a.ok("GET", a.acc+"/load_balancers/pools/"+id(made), "")); fmt.Sprint(again) != fmt.Sprint(got) {
		t.Errorf("the order changes between answers: %v, %v", got, again)
	}
}

func TestPoolRefusals(t *testing.T) {
	a := start(t, cfsim.Options{})
	pools := a.acc + "/load_balancers/pools"
	a.ok("POST", pools, `{"name":"taken","origins":[]}`)
	origin := func(fields string) string {
		return `{"name":"p","origins":[{"name":"o","address":"192.0.2.1",` + fields + `}]}`
	}
	const none, vnet = "00000000000000000000000000000000", "7c0e8d4e-7a0e-4a8e-8a53-0d5b8f0e6c11"
	for body, words := range map[string]string{
		`{"origins":[]}`:                                                                                             "name: is required",
		`{"name":"p"}`:                                                                                               "origins: is required",
		`{"name":"has space","origins":[]}`:                                                                          "name:",
		`{"name":"p","origins":null}`:                                                                                "origins: must not be null",
		`{"name":"p","origins":[],"latitude":1}`:                                                                     "latitude and longitude",
		`{"name":"p","origins":[],"longitude":1}`:                                                                    "latitude and longitude",
		`{"name":"p","origins":[],"latitude":91,"longitude":1}`:                                                      "latitude: must be between",
		`{"name":"p","origins":[],"monitor":"` + none + `"}`:                                                         "does not exist",
		`{"name":"p","origins":[],"monitor":"short"}`:                                                                "monitor:",
		`{"name":"p","origins":[],"monitor_group":"` + none + `"}`:                                                   "does not exist",
		`{"name":"p","origins":[],"check_regions":["MARS"]}`:                                                         "check_regions[0]",
		`{"name":"p","origins":[],"check_regions":["ALL_REGIONS"]}`:                                                  "Enterprise",
		`{"name":"p","origins":[],"origin_steering":{"policy":"geo"}}`:                                               "origin_steering.policy",
		`{"name":"p","origins":[],"load_shedding":{"default_percent":101}}`:                                          "between 0 and 100",
		`{"name":"p","origins":[],"load_shedding":{"session_policy":"random"}}`:                                      "session_policy",
		`{"name":"p","origins":[],"notification_filter":{"pool":{"disabled":true}}}`:                                 "notification_filter.pool.disabled: unknown field",
		`{"name":"p","origins":[],"health_sources":["local"]}`:                                                       "health_sources: unknown field",
		`{"name":"p","origins":[],"networks":["cloudflare"]}`:                                                        "networks: unknown field",
		`{"name":"p","origins":[{"name":"o"}]}`:                                                                      "origins[0].address: is required",
		`{"name":"p","origins":[{"name":"o","address":"10.0.0.1"}]}`:                                                 "needs a virtual_network_id",
		`{"name":"p","origins":[{"name":"a","address":"192.0.2.1"},{"name":"b","address":"192.0.2.1","port":8080}]}`: "more than once",
		origin(`"virtual_network_id":"` + vnet + `"`):                                                                "virtual network " + vnet + " does not exist",
		origin(`"weight":0.005`):                                                                                     "multiple of 0.01",
		origin(`"weight":1.01`):                                                                                      "weight: must be between",
		origin(`"port":-1`):                                                                                          "port: must be between",
		origin(`"header":{"host":["x"]}`):                                                                            "origins[0].header.host: unknown field",
		origin(`"disabled_at":"2026-11-01T12:00:00Z"`):                                                               "origins[0].disabled_at: is read-only",
		origin(`"wieght":1`):                                                                                         "origins[0].wieght: unknown field",
	} {
		a.refused(400, 1002, words, "POST", pools, "%s", body)
	}
	a.refused(400, 1003, "not unique", "POST", pools, `{"name":"taken","origins":[]}`)
	if l := a.list(pools); len(l) != 1 {
		t.Errorf("pools after refusals: %v", l)
	}
	other := id(a.ok("POST", pools, `{"name":"other","origins":[]}`))
	a.refused(400, 1003, "not unique", "PATCH", pools+"/"+other, `{"name":"taken"}`)
	a.refused(400, 1002, "regional requires", "PATCH", pools+"/"+other, `{"health_sources":["regional"]}`)
	a.refused(404, 1001, "pool", "PATCH", pools+"/"+none, `{}`)
	a.ok("PATCH", pools+"/"+other, `{"name":"renamed"}`)
	a.ok("POST", pools, `{"name":"other","origins":[]}`)
}

func TestPlanLimits(t *testing.T) {
	for _, enterprise := range []bool{false, true} {
		a := start(t, cfsim.Options{Enterprise: enterprise})
		pools := a.acc + "/load_balancers/pools"
		for i := range 20 {
			a.ok("POST", pools, `{"name":"p%d","origins":[]}`, i)
		}
		if enterprise {
			a.ok("POST", pools, `{"name":"one-more","origins":[]}`)
			a.ok("POST", pools, `{"name":"all","origins":[],"check_regions":["ALL_REGIONS"]}`)
		} else {
			a.refused(400, 1002, "plan", "POST", pools, `{"name":"one-more","origins":[]}`)
		}
	}
}

func TestPoolInUse(t *testing.T) {
	a := start(t, cfsim.Options{})
	lbs := a.zone + "/load_balancers"
	pool := func(name string) string {
		return id(a.ok("POST", a.acc+"/load_balancers/pools", `{"name":"%s","origins":[{"name":"o","address":"192.0.2.1"}]}`, name))
	}
	base, used := pool("base"), pool("used")
	for _, field := range []string{
		`"default_pools":["%[1]s","%[2]s"]`, `"fallback_pool":"%[2]s"`, `"region_pools":{"WEU":["%[2]s"]}`, `"country_pools":{"JP":["%[2]s"]}`,
		`"rules":[{"condition":"true","overrides":{"default_pools":["%[2]s"]}}]`,
		`"rules":[{"condition":"true","overrides":{"fallback_pool":"%[2]s"}}]`,
		`"rules":[{"condition":"true","overrides":{"region_pools":{"WEU":["%[2]s"]}}}]`,
	} {
		body := fmt.Sprintf(`"name":"www.example.com","steering_policy":"off",`+field, base, used)
		for key, v := range map[string]string{"default_pools": `["` + base + `"]`, "fallback_pool": `"` + base + `"`} {
			if !strings.HasPrefix(field, `"`+key) {
				body += fmt.Sprintf(`,"%s":%s`, key, v)
			}
		}
		lb := id(a.ok("POST", lbs, "%s", "{"+body+"}"))
		a.refused(412, 1005, "referenced", "DELETE", a.acc+"/load_balancers/pools/"+used, "")
		if refs := a.list(a.acc + "/load_balancers/pools/" + used + "/references"); len(refs) != 1 || refs[0]["resource_id"] != lb {
			t.Errorf("%s: references %v", field, refs)
		}
		a.ok("DELETE", lbs+"/"+lb, "")
	}
	a.ok("DELETE", a.acc+"/load_balancers/pools/"+used, "")
}
