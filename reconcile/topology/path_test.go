package topology_test

import (
	"fmt"
	"testing"

	"github.com/hactl/hactl/reconcile/topology"
)

// TestTheFirstIngressRuleAnswers: who answers, of rules in their order.
func TestTheFirstIngressRuleAnswers(t *testing.T) {
	const (
		rest   = `{hostname: "www.example.com", service: "http://192.0.2.1"}`
		api    = `{hostname: "www.example.com", path: "^/api/", service: "http://192.0.2.2"}`
		nobody = `{hostname: "www.example.com", service: "http_status:404"}`
		wild   = `{hostname: "*.example.com", service: "http://192.0.2.3"}`
		none   = `{hostname: "*.example.com", service: "http_status:404"}`
	)
	for _, c := range []struct{ name, rules, dns, balanced string }{
		{"a path of its own", api + "," + rest, "hostname/www.example.com [address/192.0.2.1] hostname/www.example.com^/api/ [address/192.0.2.2]", "[address/192.0.2.1]"},
		{"a path behind a rule for all", rest + "," + api, "hostname/www.example.com [address/192.0.2.1] hostname/www.example.com^/api/ [address/192.0.2.1]", "[address/192.0.2.1]"},
		{"a path behind a wildcard", wild + "," + api, "hostname/*.example.com [address/192.0.2.3] hostname/www.example.com^/api/ [address/192.0.2.3]", "[address/192.0.2.3]"},
		{"a path behind a status", nobody + "," + api, "hostname/www.example.com [] hostname/www.example.com^/api/ []", "[]"},
		{"only a path, and a status for the rest", api + "," + nobody, "hostname/www.example.com [] hostname/www.example.com^/api/ [address/192.0.2.2]", "[address/192.0.2.2]"},
		{"only a path, and a wildcard's status", api + "," + none, "hostname/*.example.com [] hostname/www.example.com^/api/ [address/192.0.2.2]", "[address/192.0.2.2]"},
		{"a path that a wildcard closes", `{hostname: "*.example.com", path: "^/api/", service: "http_status:403"},` + api, "hostname/*.example.com^/api/ [] hostname/www.example.com^/api/ []", "[]"},
	} {
		tunnel := `stack: "home"
tunnels: home: ingress: [` + c.rules + `, {service: "http_status:404"}]
`
		got := ""
		for _, e := range topology.New(specOf(t, tunnel)).WhatIf(nil, "").Entries {
			got += fmt.Sprintf(" %s %v", e.ID(), e.Before.By)
		}
		if got[1:] != c.dns {
			t.Errorf("%s: %s, want %s", c.name, got[1:], c.dns)
		}
		m := topology.New(specOf(t, tunnel, `pools: p: {monitor: "m", origins: o: tunnel: "home"}
monitors: m: header: Host: ["www.example.com"]
loadBalancers: "www.example.com": {zone: "example.com", defaultPools: ["p"], fallbackPool: "p"}`))
		if got := fmt.Sprint(m.WhatIf(nil, "").Entries[0].Before.By); got != c.balanced {
			t.Errorf("%s, behind a balancer: %s, want %s", c.name, got, c.balanced)
		}
	}
}

// TestANameThatKeepsAPath: it does not fall to a wildcard, nor is it gone.
func TestANameThatKeepsAPath(t *testing.T) {
	const (
		api    = `{hostname: "www.example.com", path: "^/api/", service: "http://192.0.2.2"}`
		end    = `, {service: "http_status:404"}]`
		wild   = `dnsRecords: w: {zone: "example.com", name: "*", type: "A", content: "192.0.2.9"}` + "\n"
		record = `dnsRecords: www: {zone: "example.com", name: "www", type: "CNAME", tunnel: "home"}` + "\n"
	)
	for _, c := range []struct{ name, before, after, want string }{
		{"the rest goes", `tunnels: home: ingress: [` + api + `, {hostname: "www.example.com", service: "http://192.0.2.1"}` + end, `tunnels: home: ingress: [` + api + end,
			"[{dnsRecord/www.example.com is taken away: nothing answers there any more } removed]"},
		{"a record of its own goes", record + `tunnels: home: ingress: [` + api + end, `tunnels: home: ingress: [` + api + end, "[]"},
	} {
		var got []string
		for _, f := range topology.Compare(specOf(t, `stack: "home"`, wild+c.before), specOf(t, `stack: "home"`, wild+c.after)) {
			got = append(got, fmt.Sprint(f.Finding, " ", f.Kind))
		}
		if fmt.Sprint(got) != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
