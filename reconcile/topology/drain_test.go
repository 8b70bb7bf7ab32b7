package topology_test

import (
	"slices"
	"testing"
)

// TestADrainOfAHostWithoutRouters: a host that only runs a connector is known
// to be drained by the origins that this disables, and to have been before.
func TestADrainOfAHostWithoutRouters(t *testing.T) {
	const (
		base = `
stack: "home"
hosts: {lb01: address: "192.168.0.41", lb02: address: "192.168.0.42"}
networks: lan: {}
tunnels: a: {connectors: ["lb01"], ingress: [{hostname: "app.example.com", service: "http://127.0.0.1"}, {hostname: "www.example.com", service: "http://127.0.0.1"}]}
tunnels: b: {connectors: ["lb02"], ingress: [{hostname: "www.example.com", service: "http://127.0.0.1"}], dns: false, routes: [{network: "lan", cidr: "192.168.0.0/24"}]}
monitors: m: header: Host: ["www.example.com"]
pools: p: {monitor: "m", origins: {a: tunnel: "a", b: tunnel: "b"}}
pools: q: {monitor: "m", origins: {a: {address: "192.168.0.41", network: "lan"}, b: {address: "192.168.0.42", network: "lan"}}}
loadBalancers: "www.example.com": {zone: "example.com", defaultPools: ["p"], fallbackPool: "p"}
privateLoadBalancers: inner: {defaultPools: ["q"], fallbackPool: "q"}
`
		drained = `hosts: lb01: maintenance: true` + "\n"
	)
	for _, c := range []struct {
		name, before, after string
		want                []string
	}{
		{"a drain", "", drained, []string{
			"dnsRecord/app.example.com loses its last way to a machine that answers: nobody serves it",
			"loadBalancer/www.example.com is no longer answered by host/lb01",
			"privateLoadBalancer/inner is no longer answered by host/lb01",
			"loadBalancer/www.example.com gains a single point of failure: host/lb02",
		}},
		{"and its end", drained, "", []string{
			"loadBalancer/www.example.com is answered by host/lb01 as well",
			"privateLoadBalancer/inner is answered by host/lb01 as well",
			"loadBalancer/www.example.com no longer has a single point of failure",
		}},
		{"another change meanwhile", drained, drained + `pools: p: description: "x"`, nil},
		{"an origin that goes by itself", "", `pools: p: origins: a: enabled: false`, []string{
			"loadBalancer/www.example.com is no longer answered by host/lb01",
			"loadBalancer/www.example.com gains a single point of failure: host/lb02",
		}},
	} {
		before, after := specOf(t, base, c.before), specOf(t, base, c.after)
		p, live := planOf(before, after)
		impact, _ := impactOf(after, p, live)
		var got []string
		for _, f := range impact {
			got = append(got, f.ID.String()+" "+f.Message)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
