package topology_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hactl/hactl/reconcile/topology"
	"github.com/hactl/hactl/schema"
	"github.com/hactl/hactl/schema/load/loadtest"
)

func TestMain(m *testing.M) { loadtest.Main(m) }

// example is one of examples/, with more CUE added to it.
func example(t *testing.T, name, more string) *schema.Spec {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "examples", name, "edge.cue"))
	if err != nil {
		t.Fatal(err)
	}
	return specOf(t, string(b), more)
}

func specOf(t *testing.T, sources ...string) *schema.Spec {
	t.Helper()
	return loadtest.Spec(t, sources...)
}

// verdict is each entry with the cuts that no change is needed for, in one line.
func verdict(m *topology.Model) []string {
	var lines []string
	for _, e := range m.Spof(2).Entries {
		line := e.ID() + ":"
		if !e.Served {
			line += " nobody"
		}
		for _, c := range e.Cuts {
			if !c.ByChange {
				line += " " + strings.Trim(fmt.Sprint(c.Components), "[]") + ";"
			}
		}
		lines = append(lines, strings.TrimSuffix(line, ";"))
	}
	return lines
}

// TestThePublishedSetupsGetTheirAuthorsVerdict: what the examples' READMEs and
// the documents that they reproduce say about failures.
func TestThePublishedSetupsGetTheirAuthorsVerdict(t *testing.T) {
	for _, c := range []struct {
		example, more, says string
		want                []string
	}{
		{
			"keepalived-pair", "", "if the preferred host dies, the other has the address; the tunnel runs on both",
			[]string{"hostname/www.example.com: host/lb01 host/lb02", "virtualRouter/web: host/lb01 host/lb02"},
		},
		{
			"keepalived-pair", `hosts: lb02: maintenance: true`, "without its partner the load balancer's host is the single point of failure",
			[]string{"hostname/www.example.com: host/lb01", "virtualRouter/web: host/lb01"},
		},
		{
			"keepalived-pair", `hosts: [_]: power: "a"`, "and a pair on one socket is a single host",
			[]string{"hostname/www.example.com: power/a; host/lb01 host/lb02", "virtualRouter/web: power/a; host/lb01 host/lb02"},
		},
		{
			"tunnel-replicas", "", "one host can go, or be upgraded, without anybody noticing",
			[]string{"hostname/www.example.com: host/lb01 host/lb02", "hostname/www.example.com^/api/: host/lb01 host/lb02"},
		},
		{
			"lb-public-hostnames", "", "everything to Tokyo while it is healthy and to Osaka otherwise; the sites' own names have no other site",
			[]string{"loadBalancer/www.example.com:", "hostname/osaka.example.com: host/osaka01", "hostname/tokyo.example.com: host/tokyo01 host/tokyo02"},
		},
		{
			"lb-public-hostnames", `hosts: {tokyo01: site: "tokyo", tokyo02: site: "tokyo", osaka01: site: "osaka"}`, "the two sites are what it takes",
			[]string{"loadBalancer/www.example.com: host/osaka01 site/tokyo", "hostname/osaka.example.com: host/osaka01", "hostname/tokyo.example.com: site/tokyo; host/tokyo01 host/tokyo02"},
		},
		{
			"lb-private-network", "", "either replica will do, and each server is an endpoint of its own",
			[]string{"loadBalancer/app.example.com: host/gw01 host/gw02", "route/dc-east/10.20.0.0/24: host/gw01 host/gw02"},
		},
		{
			"private-lb-warp", "", "when a host fails its address moves to the other one",
			[]string{"privateLoadBalancer/app: host/lb01 host/lb02", "route/office/10.20.0.0/24: host/lb01 host/lb02", "virtualRouter/app-a: host/lb01 host/lb02", "virtualRouter/app-b: host/lb01 host/lb02"},
		},
		{
			"multi-cloud-geo", "", "the second cloud stands in for the first; the plain record goes past the balancer",
			[]string{
				"loadBalancer/www.example.com [region EEU]:", "loadBalancer/www.example.com [region ENAM]:", "loadBalancer/www.example.com [region WEU]:",
				"loadBalancer/www.example.com [region WNAM]:", "loadBalancer/www.example.com [elsewhere]:", "dnsRecord/v6.example.com: address/2001:db8::11",
			},
		},
		{
			"edge-and-lan", "", "Tokyo is one site, which the cloud stands in for; within it either host will do",
			[]string{"loadBalancer/www.example.com: address/203.0.113.80 site/tokyo", "hostname/tokyo.example.com: site/tokyo; host/lb01 host/lb02", "virtualRouter/web: site/tokyo; host/lb01 host/lb02"},
		},
	} {
		if got := verdict(topology.New(example(t, c.example, c.more))); !slices.Equal(got, c.want) {
			t.Errorf("%s, %q: %s\n got %s\nwant %s", c.example, c.more, c.says, strings.Join(got, "\n     "), strings.Join(c.want, "\n     "))
		}
	}
	for _, e := range []string{"keepalived-pair", "tunnel-replicas", "lb-public-hostnames", "lb-private-network", "private-lb-warp", "multi-cloud-geo", "edge-and-lan"} {
		if traps := topology.New(example(t, e, "")).Spof(1).Traps; len(traps) > 0 {
			t.Errorf("%s: %v", e, traps)
		}
	}
}

const site = `
stack: "home"
hosts: {
	lb01: {address: "192.168.0.41", rack: "r1"}
	lb02: {address: "192.168.0.42", rack: "r2"}
}
virtualRouters: web: {vrid: 50, interface: "eth0", addresses: ["192.168.0.40/24"], members: lb01: priority: 150}
tunnels: home: {connectors: ["lb01"], ingress: [{hostname: "www.example.com", service: "https://192.168.0.40"}]}
monitors: web: type: "https"
pools: tokyo: {monitor: "web", origins: home: tunnel: "home"}
pools: osaka: {monitor: "web", origins: vm: address: "198.51.100.9"}
loadBalancers: "www.example.com": {zone: "example.com", defaultPools: ["tokyo"], fallbackPool: "tokyo"}
`

// TestTheShortestRepairIsNamed: each change is followed by the repair that is
// left to do.
func TestTheShortestRepairIsNamed(t *testing.T) {
	for _, c := range []struct{ entry, failed, more, want string }{
		{"loadBalancer/www.example.com", "host/lb01", "", "pool osaka is not in defaultPools: add it"},
		{"virtualRouter/web", "host/lb01", "", "add a member on lb02 to virtualRouter web"},
		{"loadBalancer/www.example.com", "host/lb01", `virtualRouters: web: members: lb02: {}`, "add a connector on lb02 to tunnel home"},
		{"loadBalancer/www.example.com", "rack/r1", `virtualRouters: web: members: lb02: {}, hosts: lb03: {address: "192.168.0.43", rack: "r1"}`, ""},
		{"loadBalancer/www.example.com", "host/lb01", `tunnels: home: dns: false, pools: osaka: enabled: false`, "enable pool osaka and add it to defaultPools"},
		{"loadBalancer/www.example.com", "connector/home@lb01", "", ""},
	} {
		more := strings.ReplaceAll(c.more, ", hosts", "\nhosts")
		more = strings.ReplaceAll(more, ", pools", "\npools")
		m := topology.New(specOf(t, site, more))
		got := ""
		for _, e := range m.Spof(1).Entries {
			for _, cut := range e.Cuts {
				if e.ID() == c.entry && cut.Components[0].String() == c.failed {
					got = cut.Repair
				}
			}
		}
		if got != c.want {
			t.Errorf("%s without %s, %s: got %q, want %q", c.entry, c.failed, c.more, got, c.want)
		}
	}
}

// TestTrapsAreNamed: each has one, but for the first.
func TestTrapsAreNamed(t *testing.T) {
	const pools = `
tunnels: home: {connectors: ["lb01", "lb02"], ingress: [{hostname: "www.example.com", service: "http://127.0.0.1"}]}
hosts: {lb01: address: "192.168.0.41", lb02: address: "192.168.0.42"}
stack: "home"
monitors: web: {}
pools: {
	a: {monitor: "web", origins: o: tunnel: "home"}
	b: {monitor: "web", origins: o: address: "198.51.100.9"}
	n: origins: o: address: "198.51.100.8"
}
`
	for _, c := range []struct{ more, want string }{
		{`loadBalancers: "www.example.com": {zone: "example.com", defaultPools: ["a", "b"], fallbackPool: "b"}`, ""},
		{`loadBalancers: "www.example.com": {zone: "example.com", defaultPools: ["a", "b"], fallbackPool: "b", sessionAffinity: "cookie"}`, "replica-affinity loadBalancer/www.example.com"},
		{`loadBalancers: "www.example.com": {zone: "example.com", defaultPools: ["n", "b"], fallbackPool: "b"}`, "unwatched-pool loadBalancer/www.example.com"},
		{`loadBalancers: "www.example.com": {zone: "example.com", defaultPools: ["a", "c"], fallbackPool: "a"}
pools: c: {monitor: "web", origins: o: tunnel: "home"}`, "one-tunnel loadBalancer/www.example.com"},
		{`dnsRecords: x: {zone: "example.com", name: "x", type: "A", content: "198.51.100.9"}
dnsRecords: y: {zone: "example.com", name: "x", type: "A", content: "198.51.100.8"}`, "dns-of-many dnsRecord/x.example.com"},
		{`virtualRouters: v: {vrid: 1, interface: "eth0", addresses: ["192.168.0.40/24"], members: {lb01: {}, lb02: {}}}
networks: lan: {}
tunnels: home: routes: [{network: "lan", cidr: "192.168.0.0/24"}]
pools: d: {monitor: "web", origins: o: {virtualRouter: "v", network: "lan"}}
privateLoadBalancers: p: {defaultPools: ["d"], fallbackPool: "d"}`, "hidden-clients origin/d/o"},
		{groups + `virtualRouters: v: members: lb02: {}`, "half-a-peer syncGroup/g"},
		{groups + `virtualRouters: v: members: lb02: {}
virtualRouters: w: members: lb02: priority: 150`, "split-group syncGroup/g"},
	} {
		var got []string
		for _, trap := range topology.New(specOf(t, pools, c.more)).Spof(1).Traps {
			got = append(got, trap.Rule+" "+trap.Subject)
		}
		if strings.Join(got, ", ") != c.want {
			t.Errorf("%s\n got %q\nwant %q", c.more, got, c.want)
		}
	}
}

const groups = `
virtualRouters: v: {vrid: 1, interface: "eth0", addresses: ["192.168.0.40/24"], members: lb01: {priority: 120}}
virtualRouters: w: {vrid: 2, interface: "eth0", addresses: ["192.168.0.50/24"], members: lb01: {}}
syncGroups: g: members: ["v", "w"]
`

// TestALabelIsLeftOutWhereOneOfItsHostsWillDo: site x has a1 and b2, rack r has
// both machines of the second pool.
func TestALabelIsLeftOutWhereOneOfItsHostsWillDo(t *testing.T) {
	m := topology.New(specOf(t, `
stack: "home"
hosts: {
	a1: {address: "192.0.2.1", site: "x"}
	b1: {address: "192.0.2.2", rack: "r"}
	b2: {address: "192.0.2.3", rack: "r", site: "x"}
}
monitors: web: {}
pools: a: {monitor: "web", origins: o: address: "192.0.2.1"}
pools: b: {monitor: "web", origins: {o: address: "192.0.2.2", p: address: "192.0.2.3"}}
loadBalancers: "www.example.com": {zone: "example.com", defaultPools: ["a", "b"], fallbackPool: "b"}
`))
	want := []string{"loadBalancer/www.example.com: host/a1 rack/r; host/b1 site/x"}
	if got := verdict(m); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTheGraphSaysWhatIsOut(t *testing.T) {
	g := topology.New(specOf(t, site, `
hosts: lb02: maintenance: true
pools: osaka: {enabled: false, origins: {x: {address: "198.51.100.10", weight: 0}, y: {address: "198.51.100.11", enabled: false}}}
loadBalancers: "off.example.com": {zone: "example.com", enabled: false, defaultPools: ["tokyo"], fallbackPool: "tokyo"}
`)).Graph()
	got := map[string]string{}
	for _, n := range g.Nodes {
		if n.Out != "" {
			got[n.ID] = n.Out
		}
		if entry := strings.HasPrefix(n.ID, "loadBalancer/") || strings.HasPrefix(n.ID, "virtualRouter/"); n.Entry != entry {
			t.Errorf("%s: entry %t", n.ID, n.Entry)
		}
	}
	want := map[string]string{
		"host/lb02": "maintenance", "pool/osaka": "disabled", "origin/osaka/x": "weight 0", "origin/osaka/y": "disabled", "loadBalancer/off.example.com": "disabled",
	}
	if !maps.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

// TestTheGraphSaysWhatNobodyServes: a connector goes with its host, and an entry
// point with all that could serve it.
func TestTheGraphSaysWhatNobodyServes(t *testing.T) {
	g := topology.New(specOf(t, `package edge
stack: "s"
hosts: gw: {address: "192.0.2.1", maintenance: true}
tunnels: home: {connectors: ["gw"], ingress: [{hostname: "www.example.com", service: "http://127.0.0.1:80"}]}
`)).Graph()
	got := map[string]string{}
	for _, n := range g.Nodes {
		if n.Out != "" {
			got[n.ID] = n.Out
		}
	}
	want := map[string]string{"host/gw": "maintenance", "connector/home@gw": "maintenance", "hostname/www.example.com": "nobody serves it"}
	if !maps.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

func TestWhatIfFollowsTheVirtualRouter(t *testing.T) {
	m := topology.New(example(t, "keepalived-pair", ""))
	lb01, err := m.Lookup("host/lb01")
	if err != nil {
		t.Fatal(err)
	}
	o := m.WhatIf([]topology.Component{lb01}, "")
	// Version 2: three seconds and (256-100)/256 of one.
	want := []topology.Move{{Router: "web", Addresses: []string{"192.168.0.40/24"}, From: "lb01", To: "lb02", Death: 3609375 * 1000, Handover: 609375 * 1000}}
	if !reflect.DeepEqual(o.Moves, want) {
		t.Errorf("%+v", o.Moves)
	}
	for _, e := range o.Entries {
		if !e.Changed || fmt.Sprint(e.Before.By, e.After.By) != "[host/lb01] [host/lb02]" || e.Switches[0].By != "virtualRouter/web" {
			t.Errorf("%+v", e)
		}
	}
}

// TestASyncGroupMovesTogether: when the last of its members can, and no other.
func TestASyncGroupMovesTogether(t *testing.T) {
	m := topology.New(specOf(t, `package edge
stack: "s"
hosts: {lb01: address: "192.0.2.1", lb02: address: "192.0.2.2"}
virtualRouters: [_]: members: {lb01: priority: 150, lb02: priority: 100}
virtualRouters: {
	slow: {vrid: 1, interface: "eth0", addresses: ["192.0.2.10/24"], interval: "2s"}
	fast: {vrid: 2, interface: "eth0", addresses: ["192.0.2.11/24"], interval: "1s"}
	alone: {vrid: 3, interface: "eth0", addresses: ["192.0.2.12/24"], interval: "1s"}
}
syncGroups: g: members: ["slow", "fast"]
`))
	for _, x := range m.WhatIf([]topology.Component{{Kind: "host", Name: "lb01"}}, "").Moves {
		death, handover := schema.Duration(3609375*time.Microsecond), schema.Duration(609375*time.Microsecond)
		if x.Router != "alone" {
			death, handover = 2*death, 2*handover
		}
		if x.Death != death || x.Handover != handover {
			t.Errorf("%+v", x)
		}
	}
}

func TestWhatIfInARegion(t *testing.T) {
	m := topology.New(example(t, "multi-cloud-geo", ""))
	o := m.WhatIf([]topology.Component{{Kind: "pool", Name: "alpha-eu"}}, "EEU")
	if len(o.Entries) != 2 || o.Entries[0].Scope != "region EEU" || !slices.Equal(o.Entries[0].After.Pools, []string{"alpha-us"}) || o.Entries[1].Changed {
		t.Errorf("%+v", o.Entries)
	}
	if got := o.Entries[0].Switches[0].Within; got != schema.Seconds(135) {
		t.Errorf("noticed within %s", got)
	}
}

// TestWhatIfOfSomebodyElsesPool: what watches it is not known, and there is
// something.
func TestWhatIfOfSomebodyElsesPool(t *testing.T) {
	const theirs = "id:17b5962d775c646f3f9725cbc7a53df4"
	m := topology.New(specOf(t, `
stack: "home"
monitors: web: {}
pools: a: {monitor: "web", origins: o: address: "192.0.2.1"}
loadBalancers: "www.example.com": {zone: "example.com", defaultPools: ["`+theirs+`", "a"], fallbackPool: "a"}
`))
	e := m.WhatIf([]topology.Component{{Kind: "pool", Name: theirs}}, "").Entries[0]
	want := []topology.Switch{{By: "cloudflare", Detail: "leaves pool " + theirs + " once its monitor sees that; neither is of this specification"}}
	if !slices.Equal(e.After.Pools, []string{"a"}) || !slices.Equal(e.Switches, want) {
		t.Errorf("%+v", e)
	}
}

// TestWhatIfSaysWhyNobodyServes what no failure is needed for, as spof does.
func TestWhatIfSaysWhyNobodyServes(t *testing.T) {
	m := topology.New(example(t, "keepalived-pair", `hosts: [_]: maintenance: true`))
	cuts := m.Spof(1).Entries
	for i, e := range m.WhatIf(nil, "").Entries {
		if e.Before.Served || e.Before.Why == "" || e.Before.Why != cuts[i].Why {
			t.Errorf("%s: %+v, and spof says %q", e.ID(), e.Before, cuts[i].Why)
		}
	}
}

// TestTheGraphIsClosedAndSorted: every edge has its ends, and two runs agree.
func TestTheGraphIsClosedAndSorted(t *testing.T) {
	for _, e := range []string{"keepalived-pair", "tunnel-replicas", "lb-public-hostnames", "lb-private-network", "private-lb-warp", "multi-cloud-geo"} {
		s := example(t, e, "")
		m := topology.New(s)
		g := m.Graph()
		if !reflect.DeepEqual(g, topology.New(s).Graph()) {
			t.Errorf("%s: two runs differ", e)
		}
		known := map[string]bool{}
		for _, n := range g.Nodes {
			known[n.ID] = true
		}
		for _, x := range g.Edges {
			if !known[x.From] || !known[x.To] {
				t.Errorf("%s: %+v has no node", e, x)
			}
		}
		for _, c := range m.Components() {
			if !known[c.String()] {
				t.Errorf("%s: %s is no node", e, c)
			}
		}
		for _, x := range m.Entries() {
			if !known[x.Kind+"/"+x.Name] {
				t.Errorf("%s: %s is no node", e, x.ID())
			}
		}
	}
}
