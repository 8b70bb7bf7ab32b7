package schema_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"

	"github.com/hactl/hactl/schema"
)

const pair = `
hosts: {lb01: address: "192.0.2.1", lb02: {address: "192.0.2.2", maintenance: true}, db01: address: "192.0.2.3"}
checks: {
	caddy: {type: "http", url: "http://127.0.0.1/"}
	disk: {type: "exec", command: ["/usr/bin/test", "-w", "/srv"], weight: -20}
	other: {type: "process", process: "x"}
}
hooks: tell: command: ["/usr/local/bin/tell"]
virtualRouters: web: {
	vrid: 50, interface: "eth0", addresses: ["192.0.2.40/24", "192.0.2.41/24"], checks: ["caddy"], hooks: ["tell"]
	members: {lb01: {priority: 150, interface: "bond0", checks: ["disk"], preempt: false}, lb02: {}}
}
virtualRouters: web6: {
	vrid: 50, interface: "eth0", addresses: ["fe80::50/64", "2001:DB8::50/64"]
	members: {lb01: {}, lb02: {}}
}
virtualRouters: db: {
	vrid: 60, interface: "eth0", unicast: true, minTTL: 250, addresses: ["192.0.2.50/32"]
	addressSettings: "192.0.2.50/32": {label: "eth0:db", scope: "link"}
	members: {lb02: {priority: 90, address: "192.0.2.20"}, db01: priority: 200}
}
syncGroups: both: members: ["web", "web6"]
`

func hostObjects(t *testing.T, source, host string) map[string]schema.Object {
	t.Helper()
	objects := map[string]schema.Object{}
	for _, o := range loaded(t, source).HostObjects(host) {
		objects[o.ID().String()] = o
	}
	return objects
}

func TestAHostHasItsPartOfEachVirtualRouter(t *testing.T) {
	first := hostObjects(t, pair, "lb01")
	var ids []string
	for id := range first {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	if want := []string{"check/disk@lb01", "hook/tell@lb01", "virtualRouter/web6@lb01", "virtualRouter/web@lb01"}; !slices.Equal(ids, want) {
		t.Fatalf("lb01 has %v, want %v", ids, want)
	}
	web := first["virtualRouter/web@lb01"].(schema.HostRouter)
	if web.Interface != "bond0" || web.Priority != 150 || web.Preempt || !slices.Equal(web.Checks, []string{"disk"}) || web.SyncGroup != "both" || web.Maintenance {
		t.Errorf("web on lb01: %+v", web)
	}
	six := first["virtualRouter/web6@lb01"].(schema.HostRouter)
	if six.Addresses[1].Address != "2001:db8::50/64" || six.Peers != nil || six.Source != "" {
		t.Errorf("web6 on lb01: %+v", six)
	}
	second := hostObjects(t, pair, "lb02")
	db := second["virtualRouter/db@lb02"].(schema.HostRouter)
	if !db.Maintenance || db.Source != "192.0.2.20" || !slices.Equal(db.Peers, []string{"192.0.2.3"}) || db.MinTTL != 250 || db.SyncGroup != "" {
		t.Errorf("db on lb02: %+v", db)
	}
	if want := (schema.VirtualAddress{Address: "192.0.2.50/32", Label: "eth0:db", Scope: "link"}); db.Addresses[0] != want {
		t.Errorf("%+v, want %+v", db.Addresses[0], want)
	}
	if third := hostObjects(t, pair, "nobody"); len(third) != 0 {
		t.Errorf("a host that is no member has %v", third)
	}
}

// TestHostObjectsHaveTheDefaultsOfTheDefinitions: what a minimal entry gives is
// what Blank says, or every plan would show it; and all survive a saved plan.
func TestHostObjectsHaveTheDefaultsOfTheDefinitions(t *testing.T) {
	const least = `
hosts: {a: address: "192.0.2.1", b: address: "192.0.2.2"}
checks: {h: {type: "http", url: "http://127.0.0.1/"}, t: {type: "tcp", address: "127.0.0.1:1"}, e: {type: "exec", command: ["/bin/true"]}, p: {type: "process", process: "x"}, i: {type: "interface", interface: "eth1"}}
hooks: h: command: ["/bin/true"]
virtualRouters: r: {vrid: 1, interface: "eth0", addresses: ["192.0.2.10/24"], checks: ["h", "t", "e", "p", "i"], hooks: ["h"], members: {a: {}, b: {}}}
`
	given := []string{"interface", "vrid", "addresses", "checks", "hooks", "type", "url", "address", "command", "process"}
	objects := hostObjects(t, least, "a")
	if len(objects) != 7 {
		t.Fatalf("%d objects", len(objects))
	}
	for id, o := range objects {
		b, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		blank, err := json.Marshal(o.Blank())
		if err != nil {
			t.Fatal(err)
		}
		var got, want map[string]any
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(blank, &want); err != nil {
			t.Fatal(err)
		}
		for name := range got {
			if !slices.Contains(given, name) && !reflect.DeepEqual(got[name], want[name]) {
				t.Errorf("%s.%s: CUE has %v, Blank %v", id, name, got[name], want[name])
			}
		}
		again, err := schema.Decode(o.ID(), b)
		if err != nil {
			t.Fatal(err)
		}
		if c, err := json.Marshal(again); err != nil || string(c) != string(b) {
			t.Errorf("%s: decoded %s, %v; want %s", id, c, err, b)
		}
	}
}

func TestStatusCodes(t *testing.T) {
	codes, err := schema.ParseCodes("204, 3xx,500-502")
	if err != nil {
		t.Fatal(err)
	}
	for code, want := range map[int]bool{200: false, 204: true, 299: false, 300: true, 399: true, 400: false, 500: true, 502: true, 503: false} {
		if codes.Contain(code) != want {
			t.Errorf("%d: %v", code, !want)
		}
	}
	for _, bad := range []string{"", "2x", "99", "600", "300-200", "a-b", "200,,201"} {
		if _, err := schema.ParseCodes(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}
