package topology_test

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/topology"
	"github.com/hactl/hactl/schema"
)

// planOf plans from one specification to another, as if every host's objects
// were this one's.
func planOf(before, after *schema.Spec) (*reconcile.Plan, reconcile.Live) {
	objects := func(s *schema.Spec) []schema.Object {
		list := s.Objects()
		for _, host := range slices.Sorted(keys(s.Hosts)) {
			list = append(list, s.HostObjects(host)...)
		}
		return list
	}
	var live reconcile.Live
	for _, o := range objects(before) {
		if t, ok := o.(schema.Tunnel); ok {
			t.Connections = 2
			o = t
		}
		live.Entries = append(live.Entries, reconcile.Entry{Object: o, Handle: reconcile.Handle("h-" + o.ID().String()), Owned: true})
	}
	d := reconcile.Desired{Stack: "home", Objects: map[schema.ID]schema.Object{}}
	for _, o := range objects(after) {
		d.Objects[o.ID()] = o
	}
	p := reconcile.Diff(d, live)
	return p, live
}

// impactOf is what people are told of a plan, and what the guard rails refuse.
func impactOf(spec *schema.Spec, p *reconcile.Plan, l reconcile.Live) ([]reconcile.Finding, []reconcile.Violation) {
	facts := topology.Facts(spec, p, l)
	violations := reconcile.Policy{Policy: schema.DefaultPolicy()}.Check(p, reconcile.Desired{Objects: p.Objects}, l, facts)
	return topology.Impact(facts, violations), violations
}

func keys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func first[A, B any](a A, _ B) A { return a }

const shop = `
stack: "home"
hosts: {lb01: address: "192.168.0.41", lb02: address: "192.168.0.42"}
virtualRouters: web: {vrid: 50, interface: "eth0", addresses: ["192.168.0.40/24"], members: {lb01: priority: 150, lb02: priority: 100}}
tunnels: home: {connectors: ["lb01", "lb02"], ingress: [{hostname: "www.example.com", service: "https://192.168.0.40"}]}
tunnels: [=~"legacy"]: ingress: [{hostname: "old.example.com", service: "http://192.168.0.40"}]
monitors: web: type: "https"
pools: tokyo: {monitor: "web", origins: {a: address: "198.51.100.7", b: address: "198.51.100.8"}}
pools: osaka: {monitor: "web", origins: c: address: "198.51.100.9"}
loadBalancers: "www.example.com": {zone: "example.com", defaultPools: ["tokyo", "osaka"], fallbackPool: "osaka", sessionAffinity: "cookie"}
`

// shopWith is the shop with more lines of CUE; "this => that" replaces.
func shopWith(t *testing.T, more string) *schema.Spec {
	base, lines := shop, ""
	for line := range strings.Lines(more) {
		if this, that, ok := strings.Cut(line, " => "); ok {
			base = strings.ReplaceAll(base, this, that)
		} else {
			lines += line
		}
	}
	return specOf(t, base, lines)
}

// beside has a pool with a Virtual Router among other origins.
const beside = `networks: lan: {}
pools: tokyo: origins: v: {virtualRouter: "web", network: "lan"}`

// TestImpactIsSaidInPlainWords: what is added to the shop, before or after.
func TestImpactIsSaidInPlainWords(t *testing.T) {
	for _, c := range []struct {
		name, before, after string
		want                []string
	}{
		{"nothing", "", "", nil},
		{"a word", "", `pools: tokyo: description: "x"`, nil},
		{"priority", "", `priority: 150 => priority: 50`, []string{"virtualRouter/web mastership moves lb01 -> lb02"}},
		// lb02 has the higher address, and so is preferred; it takes nothing from its equal.
		{"the same priority", "", `priority: 150 => priority: 100`, nil},
		{"maintenance", "", `hosts: lb01: maintenance: true`, []string{
			"virtualRouter/web mastership moves lb01 -> lb02", "virtualRouter/web gains a single point of failure: host/lb02",
		}},
		{"back from it", `hosts: lb01: maintenance: true`, "", []string{
			"virtualRouter/web mastership moves lb02 -> lb01", "virtualRouter/web no longer has a single point of failure",
		}},
		{"maintenance of one of equals", "priority: 150 => priority: 100", "priority: 150 => priority: 100\nhosts: lb02: maintenance: true", []string{
			"virtualRouter/web mastership moves lb02 -> lb01, unless lb01 has it: they have the same priority", "virtualRouter/web gains a single point of failure: host/lb01",
		}},
		{"back from it, to an equal", "priority: 150 => priority: 100\nhosts: lb02: maintenance: true", "priority: 150 => priority: 100", []string{
			"virtualRouter/web no longer has a single point of failure",
		}},
		{"back, not preempting", `hosts: lb01: maintenance: true
virtualRouters: web: preempt: false`, `virtualRouters: web: preempt: false`, []string{"virtualRouter/web no longer has a single point of failure"}},
		{"back, and only that member does not preempt", `hosts: lb01: maintenance: true
virtualRouters: web: members: lb01: preempt: false`, `virtualRouters: web: members: lb01: preempt: false`, []string{"virtualRouter/web no longer has a single point of failure"}},
		{"back, and only that member preempts", `hosts: lb01: maintenance: true
virtualRouters: web: {preempt: false, members: lb01: preempt: true}`, `virtualRouters: web: {preempt: false, members: lb01: preempt: true}`, []string{
			"virtualRouter/web mastership moves lb02 -> lb01", "virtualRouter/web no longer has a single point of failure",
		}},
		{"the best does not preempt, and the next does", "", `hosts: lb03: address: "192.168.0.43"
hosts: lb04: address: "192.168.0.44"
virtualRouters: web: members: {lb03: {priority: 200, preempt: false}, lb04: priority: 180}`, []string{"virtualRouter/web mastership moves lb01 -> lb04"}},
		{"an origin", "", `pools: tokyo: origins: b: enabled: false`, []string{
			"loadBalancer/www.example.com sessions pinned to origin b of pool tokyo are lost",
			"loadBalancer/www.example.com is no longer answered by address/198.51.100.8",
		}},
		{"an origin beside a Virtual Router", beside, beside + `
pools: tokyo: origins: b: enabled: false`, []string{
			"loadBalancer/www.example.com sessions pinned to origin b of pool tokyo are lost",
			"loadBalancer/www.example.com is no longer answered by address/198.51.100.8",
		}},
		{"while that moves", beside, beside + `
priority: 150 => priority: 50
pools: tokyo: origins: b: enabled: false`, []string{
			"virtualRouter/web mastership moves lb01 -> lb02",
			"loadBalancer/www.example.com sessions pinned to origin b of pool tokyo are lost",
			"loadBalancer/www.example.com is no longer answered by address/198.51.100.8",
		}},
		{"only that moves", beside, beside + `
priority: 150 => priority: 50
`, []string{"virtualRouter/web mastership moves lb01 -> lb02"}},
		{"an origin that drains", "", `loadBalancers: "www.example.com": sessionAffinityAttributes: drainDuration: "600s"
pools: tokyo: origins: b: enabled: false`, []string{
			"loadBalancer/www.example.com sessions pinned to origin b of pool tokyo stay with it for 10m, and are lost then",
			"loadBalancer/www.example.com is no longer answered by address/198.51.100.8",
		}},
		{"one that goes does not drain", `loadBalancers: "www.example.com": sessionAffinityAttributes: drainDuration: "600s"`, `loadBalancers: "www.example.com": sessionAffinityAttributes: drainDuration: "600s"
, b: address: "198.51.100.8" => `, []string{
			"loadBalancer/www.example.com sessions pinned to origin b of pool tokyo are lost",
			"loadBalancer/www.example.com is no longer answered by address/198.51.100.8",
		}},
		{"a pool", "", `pools: osaka: enabled: false
pools: tokyo: origins: b: enabled: false`, []string{
			"loadBalancer/www.example.com sessions pinned to origin b of pool tokyo are lost",
			"loadBalancer/www.example.com sessions pinned to origin c of pool osaka are lost",
			"loadBalancer/www.example.com is no longer answered by address/198.51.100.8",
			"loadBalancer/www.example.com gains a single point of failure: address/198.51.100.7",
		}},
		{"all origins", "", `pools: [_]: enabled: false`, []string{
			"loadBalancer/www.example.com loses its last enabled origin: nobody serves it (refused)",
			"loadBalancer/www.example.com sessions pinned to origin a of pool tokyo are lost",
			"loadBalancer/www.example.com sessions pinned to origin b of pool tokyo are lost",
			"loadBalancer/www.example.com sessions pinned to origin c of pool osaka are lost",
		}},
		{"another order", "", `"tokyo", "osaka"] => "osaka", "tokyo"]`, []string{"loadBalancer/www.example.com goes to pool osaka in place of tokyo"}},
		{"a geo map", "", `"cookie"} => "cookie", regionPools: WEU: ["osaka"]}`, []string{
			"loadBalancer/www.example.com goes to pool osaka in place of tokyo (region WEU)",
			"loadBalancer/www.example.com gains a single point of failure: address/198.51.100.9 (region WEU)",
		}},
		{"a geo map that goes", `"cookie"} => "cookie", regionPools: WEU: ["osaka"]}`, "", []string{
			"loadBalancer/www.example.com goes to pool tokyo in place of osaka (region WEU)",
			"loadBalancer/www.example.com no longer has a single point of failure (region WEU)",
		}},
		{"a geo map that is not used", `"cookie"} => "cookie", regionPools: WEU: ["osaka"]}`, `"cookie"} => "cookie", steeringPolicy: "off", regionPools: WEU: ["osaka"]}`, []string{
			"loadBalancer/www.example.com goes to pool tokyo in place of osaka (region WEU)",
			"loadBalancer/www.example.com no longer has a single point of failure (region WEU)",
		}},
		{"a rule", "", `"cookie"} => "cookie", rules: [{name: "r", condition: "true", overrides: defaultPools: ["osaka"]}]}`, []string{
			"loadBalancer/www.example.com goes to pool osaka in place of tokyo (rule r)",
			"loadBalancer/www.example.com gains a single point of failure: address/198.51.100.9 (rule r)",
		}},
		{"a balancer in place of a record", `dnsRecords: r: {zone: "example.com", name: "r", type: "A", content: "198.51.100.7"}`,
			`loadBalancers: "r.example.com": {zone: "example.com", defaultPools: ["osaka"], fallbackPool: "osaka"}`, []string{
				"loadBalancer/r.example.com is answered by address/198.51.100.9 in place of address/198.51.100.7",
				"loadBalancer/r.example.com gains a single point of failure: address/198.51.100.9",
			}},
		{"a wildcard in place of a record", `dnsRecords: r: {zone: "example.com", name: "r", type: "A", content: "198.51.100.7"}`, `dnsRecords: w: {zone: "example.com", name: "*", type: "A", content: "198.51.100.8"}`, []string{
			"dnsRecord/r.example.com is answered by address/198.51.100.8 in place of address/198.51.100.7",
			"dnsRecord/r.example.com gains a single point of failure: address/198.51.100.8",
		}},
		{"the same as the wildcard has", `dnsRecords: [=~"r|w"]: {zone: "example.com", type: "A", content: "198.51.100.7"}
dnsRecords: {r: name: "r", w: name: "*"}`, `dnsRecords: w: {zone: "example.com", name: "*", type: "A", content: "198.51.100.7"}`, nil},
		{"one more", "", `pools: tokyo: origins: d: address: "198.51.100.10"`, []string{"loadBalancer/www.example.com is answered by address/198.51.100.10 as well"}},
		{"a record's type", `dnsRecords: r: {zone: "example.com", name: "r", type: "A", content: "198.51.100.7"}`, `dnsRecords: s: {zone: "example.com", name: "r", type: "CNAME", content: "www.example.com"}`, []string{
			"dnsRecord/r.example.com is answered by address/198.51.100.8 as well", "dnsRecord/r.example.com no longer has a single point of failure",
		}},
		{"a tunnel", `tunnels: legacy: {}`, "", []string{
			"dnsRecord/old.example.com is taken away: nothing answers there any more",
			"tunnel/legacy has 2 live connections, which it ends (refused)",
		}},
	} {
		before, after := shopWith(t, c.before), shopWith(t, c.after)
		p, live := planOf(before, after)
		var got []string
		impact, _ := impactOf(after, p, live)
		for _, f := range impact {
			got = append(got, f.ID.String()+" "+f.Message)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s:\n got %s\nwant %s", c.name, strings.Join(got, "\n     "), strings.Join(c.want, "\n     "))
		}
		// A plan alone says of the edge what it says with its specification.
		for _, f := range first(impactOf(nil, p, live)) {
			if !slices.Contains(c.want, f.ID.String()+" "+f.Message) {
				t.Errorf("%s, by the plan alone: %s %s", c.name, f.ID, f.Message)
			}
		}
	}
}

// TestABalancerForAPath: specifications have an entry for each path of a
// tunnel's hostname, and a balancer takes the requests of all.
func TestABalancerForAPath(t *testing.T) {
	before := shopWith(t, `"https://192.168.0.40"}] => "https://192.168.0.40"}, {hostname: "app.example.com", path: "^/api/", service: "http://127.0.0.1"}]`)
	after := shopWith(t, `"https://192.168.0.40"}] => "https://192.168.0.40"}, {hostname: "app.example.com", path: "^/api/", service: "http://127.0.0.1"}]
loadBalancers: "app.example.com": {zone: "example.com", defaultPools: ["tokyo"], fallbackPool: "tokyo"}`)
	var got []string
	for _, f := range topology.Compare(before, after) {
		got = append(got, f.ID.String()+" "+f.Message)
	}
	if want := []string{"loadBalancer/app.example.com is answered by address/198.51.100.7, address/198.51.100.8 in place of host/lb01, host/lb02"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestImpactOfOtherHosts: what their agents will change comes as steps with
// fields alone.
func TestImpactOfOtherHosts(t *testing.T) {
	after := shopWith(t, `priority: 150 => priority: 50`)
	p := &reconcile.Plan{Hosts: []reconcile.HostPlan{{Host: "lb01", Steps: []reconcile.Step{{
		ID: schema.OnHost(schema.KindVirtualRouter, "web", "lb01"), Action: reconcile.Update,
		Fields: []reconcile.FieldChange{{Path: "priority", Before: 150.0, After: 50.0}},
	}}}}}
	got, _ := impactOf(after, p, reconcile.Live{})
	if len(got) != 1 || got[0].Message != "mastership moves lb01 -> lb02" {
		t.Errorf("%v", got)
	}
}

func BenchmarkImpact(b *testing.B) {
	before, after := large(2000), large(2000)
	pool := after.Pools["p7"]
	pool.Enabled = false
	after.Pools["p7"] = pool
	p, live := planOf(before, after)
	for b.Loop() {
		topology.Impact(topology.Facts(after, p, live), nil)
	}
}

// TestImpactIsTrue: of random changes it says just which entries are lost.
func TestImpactIsTrue(t *testing.T) {
	lost := 0
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 7))
		before, after := randomSpec(r), randomSpec(r)
		if len(topology.Compare(before, before)) > 0 {
			t.Fatalf("seed %d: nothing changes, and %v", seed, topology.Compare(before, before))
		}
		said := map[string]bool{}
		for _, f := range topology.Compare(before, after) {
			if f.Kind == reconcile.Unserved || f.Kind == reconcile.Closed {
				said[f.ID.String()] = true
			}
		}
		m, n := topology.New(before), topology.New(after)
		want := map[string]bool{}
		for _, e := range m.Entries() {
			for _, x := range n.Entries() {
				if meets(e, x, m, n) && e.Kind != "virtualRouter" && m.Served(e) && !n.Served(x) {
					want[strings.Replace(x.Kind, "hostname", "dnsRecord", 1)+"/"+x.Name] = true
				}
			}
		}
		if !maps.Equal(said, want) {
			t.Fatalf("seed %d: says %v, and is %v", seed, said, want)
		}
		lost += len(want)
	}
	if lost < 50 {
		t.Errorf("only %d entries were lost", lost)
	}
}

// meets tells whether requests that met e meet x after the change: of one name,
// in one scope, or in the widest where one has no such scope.
func meets(e, x *topology.Entry, m, n *topology.Model) bool {
	name := func(e *topology.Entry) string {
		if e.Kind == "loadBalancer" || e.Kind == "hostname" || e.Kind == "dnsRecord" {
			return e.Name
		}
		return e.Kind + " " + e.Name
	}
	has := func(m *topology.Model, scope string) bool {
		return slices.ContainsFunc(m.Entries(), func(o *topology.Entry) bool { return name(o) == name(e) && o.Scope == scope })
	}
	wide := func(scope string) bool { return scope == "" || scope == "elsewhere" }
	path := func(e, x *topology.Entry) bool { // A balancer or record has all paths of its hostname.
		return e.Kind == "hostname" && (x.Kind == "loadBalancer" || x.Kind == "dnsRecord") && e.Name == x.Name+"/api" && wide(x.Scope)
	}
	if path(e, x) || path(x, e) {
		return true
	}
	return name(e) == name(x) && (e.Scope == x.Scope || wide(x.Scope) && !has(n, e.Scope) || wide(e.Scope) && !has(m, x.Scope))
}
