package topology_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/hactl/hactl/reconcile/topology"
)

// TestWhereARecordLeads: by the names on the way, with the Host that clients
// asked for, which is what ingress rules and balancers' pools meet.
func TestWhereARecordLeads(t *testing.T) {
	const base = `
stack: "home"
hosts: lb01: address: "192.168.0.41"
tunnels: home: {connectors: ["lb01"], ingress: [{hostname: "app.example.com", service: "http://127.0.0.1"}]}
monitors: m: header: Host: ["app.example.com"]
pools: tunnel: {monitor: "m", origins: home: tunnel: "home"}
loadBalancers: "www.example.com": {zone: "example.com", defaultPools: ["tunnel"], fallbackPool: "tunnel"}
dnsRecords: alias: {zone: "example.com", name: "alias", type: "CNAME", content: "TARGET"}
`
	const rule, wildRule = `{hostname: "app.example.com", service: "http://127.0.0.1"}`, `{hostname: "*.example.com", service: "http://127.0.0.1"}`
	const unserved = "no ingress rule of tunnel home serves alias.example.com"
	for _, c := range []struct{ name, target, old, new, more, want string }{
		{"a hostname of a tunnel without a rule for the alias", "app.example.com", "", "", "", unserved},
		{"and with one", "app.example.com", rule, wildRule, "", "[host/lb01]"},
		{"a balancer whose tunnel has no rule for the alias", "www.example.com", "", "", "", unserved},
		{"one that is disabled", "www.example.com", "", "", `loadBalancers: "www.example.com": enabled: false`, "loadBalancer/www.example.com is disabled"},
		{"and has one", "www.example.com", rule, wildRule, "", "[host/lb01]"},
		{"and sets the Host", "www.example.com", `home: tunnel: "home"`, `home: {tunnel: "home", header: Host: ["app.example.com"]}`, "", "[host/lb01]"},
		{"a name that a wildcard's record has", "x.y.example.com", "", "", `dnsRecords: w: {zone: "example.com", name: "*.y", type: "A", content: "192.168.0.41"}`, "[host/lb01]"},
		{"one that a wildcard above has", "x.y.example.com", "", "", `dnsRecords: w: {zone: "example.com", name: "*", type: "A", content: "192.168.0.41"}`, "[host/lb01]"},
		{"one that a rule's wildcard has", "x.y.example.com", rule, wildRule, "", "[host/lb01]"},
		{"a name of nobody's", "x.y.example.com", "", "", "", "[address/x.y.example.com]"},
	} {
		spec := strings.Replace(strings.ReplaceAll(base, "TARGET", c.target), c.old, c.new, 1) + c.more
		entries := topology.New(specOf(t, spec)).WhatIf(nil, "").Entries
		i := slices.IndexFunc(entries, func(e topology.EntryOutcome) bool { return e.Name == "alias.example.com" })
		got := entries[i].Before.Why
		if entries[i].Before.Served {
			got = fmt.Sprint(entries[i].Before.By)
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}
