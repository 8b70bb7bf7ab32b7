package topology_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hactl/hactl/reconcile/topology"
)

const ruled = `
stack: "home"
monitors: web: {}
pools: a: {monitor: "web", origins: o: address: "192.0.2.1"}
pools: b: {monitor: "web", origins: o: address: "192.0.2.2"}
pools: c: {monitor: "web", origins: o: address: "192.0.2.3"}
`

// TestARuleHasItsOwnWayToFail: each entry with what cuts it off, and the repair.
func TestARuleHasItsOwnWayToFail(t *testing.T) {
	for _, c := range []struct {
		rule string
		want []string
	}{
		{`randomSteering: poolWeights: b: 0`, []string{"[rule r]: address/192.0.2.1, pool c is not in defaultPools: add it"}},
		{`poolWeights: b: 0`, []string{"[rule r]: address/192.0.2.1, pool c is not in defaultPools: add it"}},
		{`poolDefaultWeight: 0, poolWeights: a: 1`, []string{"[rule r]: address/192.0.2.1, add a pool to defaultPools that does without address/192.0.2.1"}},
		{`randomSteering: poolWeights: b: 0.5`, nil}, // Which pools get requests stays.
		{`steeringPolicy: "off", poolWeights: b: 0`, []string{"[rule r]:"}},
		{`defaultPools: ["a"]`, []string{"[rule r]: address/192.0.2.1, pool b is not in defaultPools of rule r: add it"}},
		{`pools: ["a"]`, []string{"[rule r]: address/192.0.2.1, pool b is not in pools of rule r: add it"}},
		{`steeringPolicy: "geo", regionPools: WEU: ["a"]`, []string{
			"[rule r, elsewhere]:", "[rule r, region WEU]: address/192.0.2.1, pool b is not in regionPools.WEU of rule r: add it",
		}},
		{`sessionAffinity: "cookie"`, nil},
	} {
		m := topology.New(specOf(t, ruled+`
loadBalancers: "www.example.com": {zone: "example.com", defaultPools: ["a", "b"], fallbackPool: "a", steeringPolicy: "random", rules: [{name: "r", overrides: {`+c.rule+`}}]}`))
		var got []string
		for _, e := range m.Spof(1).Entries {
			if e.Scope == "" {
				continue
			}
			line := strings.TrimPrefix(e.ID(), "loadBalancer/www.example.com ") + ":"
			for _, cut := range e.Cuts {
				line += " " + cut.Components[0].String() + ", " + cut.Repair
			}
			got = append(got, line)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s:\n got %q\nwant %q", c.rule, got, c.want)
		}
	}
}

// TestARulesGeoMapNeedsGeoSteering: a balancer without geo maps of its own steers
// by order, and Cloudflare writes that down; a rule's maps alone change nothing.
func TestARulesGeoMapNeedsGeoSteering(t *testing.T) {
	for more, want := range map[string][]string{
		`rules: [{name: "r", overrides: regionPools: WEU: ["c"]}]`:                          {"loadBalancer/www.example.com [a]", "loadBalancer/www.example.com [rule r] [a]"},
		`rules: [{name: "r", overrides: {steeringPolicy: "geo", regionPools: WEU: ["c"]}}]`: {"loadBalancer/www.example.com [a]", "loadBalancer/www.example.com [rule r, elsewhere] [a]", "loadBalancer/www.example.com [rule r, region WEU] [c]"},
		`regionPools: EEU: ["b"], rules: [{name: "r", overrides: regionPools: WEU: ["c"]}]`: {"loadBalancer/www.example.com [region EEU] [b]", "loadBalancer/www.example.com [rule r, elsewhere] [a]", "loadBalancer/www.example.com [rule r, region WEU] [c]", "loadBalancer/www.example.com [elsewhere] [a]"},
	} {
		spec := specOf(t, ruled+`
loadBalancers: "www.example.com": {zone: "example.com", defaultPools: ["a"], fallbackPool: "a", `+more+`}`)
		var got []string
		for _, e := range topology.New(spec).WhatIf(nil, "").Entries {
			got = append(got, fmt.Sprintf("%s %v", e.ID(), e.Before.Pools))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", more, got, want)
		}
		// The plan of the same specification has the steering written down.
		p, live := planOf(spec, spec)
		if facts := topology.Facts(spec, p, live); len(facts) > 0 {
			t.Errorf("%s: %v", more, facts)
		}
	}
}

// TestARegionIsThatOfRulesToo: a rule that has its own geo map is looked at for
// the region, one that has none for all regions.
func TestARegionIsThatOfRulesToo(t *testing.T) {
	m := topology.New(specOf(t, ruled+`
loadBalancers: "www.example.com": {zone: "example.com", defaultPools: ["a"], fallbackPool: "a", regionPools: {WEU: ["b"], EEU: ["c"]}, rules: [
	{name: "map", overrides: regionPools: WEU: ["a"]},
	{name: "list", overrides: pools: ["b"]},
	{name: "one, two", overrides: pools: ["c"]},
]}`))
	for region, want := range map[string][]string{
		"WEU": {"region WEU", "rule list", "rule map, region WEU", "rule one, two"},
		"EEU": {"region EEU", "rule list", "rule map, elsewhere", "rule one, two"},
	} {
		var got []string
		for _, e := range m.WhatIf([]topology.Component{{Kind: "pool", Name: "a"}}, region).Entries {
			got = append(got, e.Scope)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", region, got, want)
		}
	}
}

// TestARegionOfAnotherBalancer: who asks for Japan gets it from a balancer that
// has it, and from one that has regions each that it may lie in. A region is not
// in any country.
func TestARegionOfAnotherBalancer(t *testing.T) {
	m := topology.New(specOf(t, ruled+`
plan: "enterprise"
loadBalancers: "a.example.com": {zone: "example.com", defaultPools: ["a"], fallbackPool: "a", countryPools: JP: ["b"]}
loadBalancers: "b.example.com": {zone: "example.com", defaultPools: ["a"], fallbackPool: "a", regionPools: {NEAS: ["b"], WEU: ["c"]}}
loadBalancers: "c.example.com": {zone: "example.com", defaultPools: ["a"], fallbackPool: "a", popPools: NRT: ["b"]}
`))
	for region, want := range map[string][]string{
		"JP":  {"a country JP", "b region NEAS", "b region WEU", "b elsewhere", "c elsewhere"},
		"WEU": {"a elsewhere", "b region WEU", "c elsewhere"},
		"NRT": {"a country JP", "a elsewhere", "b region NEAS", "b region WEU", "b elsewhere", "c pop NRT"},
	} {
		var got []string
		for _, e := range m.WhatIf([]topology.Component{{Kind: "pool", Name: "a"}}, region).Entries {
			got = append(got, e.Name[:1]+" "+e.Scope)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", region, got, want)
		}
	}
}

// TestTheGraphTellsRulesApart: a pool that is the first for a rule's requests is
// not the first for all.
func TestTheGraphTellsRulesApart(t *testing.T) {
	m := topology.New(specOf(t, ruled+`
loadBalancers: "www.example.com": {zone: "example.com", defaultPools: ["a"], fallbackPool: "a", regionPools: WEU: ["b"], rules: [{name: "r", overrides: {pools: ["c", "b"], fallbackPool: "c"}}]}`))
	var got []string
	for _, e := range m.Graph().Edges {
		if strings.HasPrefix(e.To, "pool/") && e.Kind != "watches" {
			got = append(got, e.To+" "+e.Kind+": "+e.Label)
		}
	}
	want := []string{"pool/a fallback: ", "pool/a serves: 1", "pool/b serves: WEU 1", "pool/b serves: rule r 2", "pool/c fallback: rule r", "pool/c serves: rule r 1"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestWhoIsProxiedIsSoInAllRegions: one pool with a tunnel, and clients get the
// edge's address, which never changes, wherever they are.
func TestWhoIsProxiedIsSoInAllRegions(t *testing.T) {
	const all = `
hosts: lb01: address: "192.168.0.41"
tunnels: home: {connectors: ["lb01"], ingress: [{hostname: "www.example.com", service: "http://127.0.0.1"}]}
pools: d: {monitor: "web", origins: o: tunnel: "home"}
loadBalancers: "www.example.com": {zone: "example.com", defaultPools: ["%"], fallbackPool: "a", regionPools: WEU: ["b"], rules: [{name: "r", overrides: {pools: ["b"], ttl: "60s"}}]}`
	for pool, want := range map[string][]string{
		"d": {"region WEU 1m15s", "rule r 1m15s"},
		"c": {"region WEU 1m45s", "rule r 2m15s"},
	} {
		m := topology.New(specOf(t, ruled+strings.ReplaceAll(all, "%", pool)))
		var got []string
		for _, e := range m.WhatIf([]topology.Component{{Kind: "address", Name: "192.0.2.2"}}, "").Entries {
			if e.Changed {
				got = append(got, e.Scope+" "+time.Duration(e.Switches[0].Within).String())
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", pool, got, want)
		}
	}
}
