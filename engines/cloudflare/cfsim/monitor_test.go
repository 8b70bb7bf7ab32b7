package cfsim_test

import (
	"testing"

	"github.com/hactl/hactl/engines/cloudflare/cfsim"
)

func TestMonitorDefaults(t *testing.T) {
	a := start(t, cfsim.Options{})
	monitors := a.acc + "/load_balancers/monitors"
	const common = `"allow_insecure":false,"description":"","follow_redirects":false,"header":{},"interval":60,"probe_zone":"","retries":2,"timeout":5`
	made := a.ok("POST", monitors, `{"consecutive_up":0,"port":0}`)
	a.equal(made, `{"type":"http","method":"GET","path":"/","expected_codes":"200",`+common+`}`)
	a.absent(made, "port", "consecutive_up", "consecutive_down", "expected_body")

	tcp := a.ok("POST", monitors, `{"type":"tcp","port":22}`)
	a.equal(tcp, `{"type":"tcp","method":"connection_established","port":22,`+common+`}`)
	a.absent(tcp, "path", "expected_codes")
	if id(made) == id(tcp) {
		t.Error("two monitors without a description have one id")
	}

	a.equal(a.ok("POST", monitors, `{"header":{"host":["www.example.com"],"X-App-ID":["a"]}}`),
		`{"header":{"Host":["www.example.com"],"X-App-ID":["a"]}}`)
	a.equal(a.ok("PATCH", monitors+"/"+id(made), `{"expected_codes":"2xx","port":8080}`), `{"expected_codes":"2xx","port":8080,"path":"/"}`)
	put := a.ok("PUT", monitors+"/"+id(made), `{"path":"/healthz"}`)
	a.equal(put, `{"path":"/healthz","expected_codes":"200","id":"`+id(made)+`"}`)
	a.absent(put, "port")
	if l := a.okEnvelope("GET", monitors, ""); l.Info.PerPage != 9223372036854775807 || l.Info.Count != 3 {
		t.Errorf("result_info: %+v", l.Info)
	}
}

func TestMonitorRefusals(t *testing.T) {
	a := start(t, cfsim.Options{})
	monitors := a.acc + "/load_balancers/monitors"
	made := id(a.ok("POST", monitors, `{}`))
	for body, words := range map[string]string{
		`{"interval":14}`:                       "interval: is not in range [15, 3600]",
		`{"interval":3601}`:                     "interval: is not in range",
		`{"interval":20,"timeout":7}`:           "too short",
		`{"type":"tcp"}`:                        "port: is required",
		`{"type":"grpc"}`:                       "type:",
		`{"port":65536}`:                        "port: must be between",
		`{"retries":"2"}`:                       "retries: must be an integer",
		`{"name":"m"}`:                          "name: unknown field",
		`{"header":{"Host":"www.example.com"}}`: "header.Host: must be an array",
		`{"header":{"Host":[1]}}`:               "header.Host[0]: must be a string",
		`{"path":null}`:                         "path: must not be null",
		`{"created_on":"2026-11-01T12:00:00Z"}`: "created_on: unknown field",
		`[]`:                                    "body: must be an object",
	} {
		a.refused(400, 1002, words, "POST", monitors, "%s", body)
	}
	a.refused(400, 1002, "expected_codes: is required", "PATCH", monitors+"/"+made, `{"interval":30}`)
	a.refused(404, 1001, "monitor", "GET", monitors+"/00000000000000000000000000000000", "")

	pool := id(a.ok("POST", a.acc+"/load_balancers/pools", `{"name":"p","monitor":"%s","origins":[]}`, made))
	a.refused(412, 1005, "referenced", "DELETE", monitors+"/"+made, "")
	refs := a.list(monitors + "/" + made + "/references")
	if len(refs) != 1 {
		t.Fatalf("references: %v", refs)
	}
	a.equal(refs[0], `{"reference_type":"referrer","resource_id":"`+pool+`","resource_name":"p","resource_type":"pool"}`)
	a.ok("PATCH", a.acc+"/load_balancers/pools/"+pool, `{"monitor":null}`)
	a.equal(a.ok("DELETE", monitors+"/"+made, ""), `{"id":"`+made+`"}`)
	a.refused(404, 1001, "monitor", "DELETE", monitors+"/"+made, "")
}

func TestEnterpriseMonitorInterval(t *testing.T) {
	a := start(t, cfsim.Options{Enterprise: true})
	a.ok("POST", a.acc+"/load_balancers/monitors", `{"interval":10,"timeout":3}`)
	a.refused(400, 1002, "[10, 3600]", "POST", a.acc+"/load_balancers/monitors", `{"interval":9,"timeout":1}`)
}

func TestMonitorGroup(t *testing.T) {
	a := start(t, cfsim.Options{})
	lb := a.acc + "/load_balancers"
	m := id(a.ok("POST", lb+"/monitors", `{}`))
	member := `{"monitor_id":"` + m + `","enabled":true,"monitoring_only":false,"must_be_healthy":true}`
	made := a.ok("POST", lb+"/monitor_groups", `{"description":"g","members":[%s]}`, member)
	g := id(made)
	a.equal(made["members"].([]any)[0].(map[string]any), `{"monitor_id":"`+m+`","created_at":"2026-11-01T12:00:00.000000Z"}`)
	a.refused(412, 1005, "", "DELETE", lb+"/monitors/"+m, "")
	a.refused(400, 1002, "id: is read-only", "POST", lb+"/monitor_groups", `{"id":"%s","description":"g","members":[]}`, g)
	a.refused(400, 1002, "members: is required", "PATCH", lb+"/monitor_groups/"+g, `{"description":"g"}`)
	a.refused(400, 1002, "must_be_healthy: is required", "POST", lb+"/monitor_groups",
		`{"description":"g","members":[{"monitor_id":"%s","enabled":true,"monitoring_only":false}]}`, m)
	a.refused(400, 1002, "already", "POST", lb+"/monitor_groups", `{"description":"g","members":[%[1]s,%[1]s]}`, member)
	a.refused(412, 1001, "does not exist", "POST", lb+"/monitor_groups",
		`{"description":"g","members":[{"monitor_id":"00000000000000000000000000000000","enabled":true,"monitoring_only":false,"must_be_healthy":true}]}`)

	a.refused(400, 1002, "not both", "POST", lb+"/pools", `{"name":"p","monitor":"%s","monitor_group":"%s","origins":[]}`, m, g)
	p := id(a.ok("POST", lb+"/pools", `{"name":"p","monitor_group":"%s","origins":[]}`, g))
	a.refused(412, 1005, "", "DELETE", lb+"/monitor_groups/"+g, "")
	if refs := a.list(lb + "/monitor_groups/" + g + "/references"); len(refs) != 1 || refs[0]["resource_id"] != p {
		t.Errorf("references: %v", refs)
	}
	a.ok("DELETE", lb+"/pools/"+p, "")
	a.ok("PUT", lb+"/monitor_groups/"+g, `{"description":"g","members":[]}`)
	a.ok("DELETE", lb+"/monitors/"+m, "")
	a.ok("DELETE", lb+"/monitor_groups/"+g, "")
	a.refused(404, 1001, "", "GET", lb+"/monitor_groups/"+g, "")
}
