package topology_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/topology"
	"github.com/hactl/hactl/schema"
)

// house has a hostname of each sort: behind a balancer over a tunnel, over a
// Virtual Router, and by DNS alone.
const house = `
stack: "home"
hosts: {lb01: address: "192.168.0.41", lb02: address: "192.168.0.42"}
virtualRouters: web: {vrid: 50, interface: "eth0", addresses: ["192.168.0.40/24"], members: {lb01: priority: 150, lb02: priority: 100}}
networks: lan: {}
tunnels: home: {
	connectors: ["lb01", "lb02"]
	routes: [{network: "lan", cidr: "192.168.0.0/24"}]
	ingress: [{hostname: "www.example.com", service: "http://192.168.0.40"}, {hostname: "app.example.com", service: "http://192.168.0.40"}, {hostname: "wiki.example.com", service: "http://127.0.0.1:80"}, {service: "http_status:404"}]
}
monitors: web: {type: "https", header: Host: ["www.example.com"]}
pools: tunnel: {monitor: "web", origins: home: tunnel: "home"}
pools: vip: {monitor: "web", origins: web: {virtualRouter: "web", network: "lan"}}
pools: cloud: {monitor: "web", origins: {a: address: "198.51.100.7", b: address: "198.51.100.8"}}
loadBalancers: "www.example.com": {zone: "example.com", defaultPools: ["tunnel"], fallbackPool: "tunnel"}
loadBalancers: "geo.example.com": {zone: "example.com", steeringPolicy: "geo", defaultPools: ["cloud"], fallbackPool: "cloud", regionPools: WEU: ["cloud"]}
privateLoadBalancers: inner: {defaultPools: ["vip"], fallbackPool: "vip"}
dnsRecords: wiki: {zone: "example.com", name: "wiki", type: "CNAME", tunnel: "home"}
dnsRecords: alias: {zone: "example.com", name: "alias", type: "CNAME", content: "geo.example.com"}
`

// changed is the house, where "this => that" in a line replaces.
func changed(t *testing.T, more string) *schema.Spec {
	base, lines := house, ""
	for line := range strings.Lines(more) {
		if this, that, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " => "); ok {
			if !strings.Contains(base, this) {
				t.Fatalf("the house has no %q", this)
			}
			base = strings.ReplaceAll(base, this, that)
		} else {
			lines += line
		}
	}
	return specOf(t, base, lines)
}

const (
	gone   = `, {hostname: "app.example.com", service: "http://192.168.0.40"}, {hostname: "wiki.example.com", service: "http://127.0.0.1:80"} => `
	noWiki = `, {hostname: "wiki.example.com", service: "http://127.0.0.1:80"} => `
	noWWW  = `{hostname: "www.example.com", service: "http://192.168.0.40"},  => `
	// closedWild answers every name that has nothing of its own with a status.
	closedWild = `{service: "http_status:404"} => {hostname: "*.example.com", service: "http_status:503"}, {service: "http_status:404"}`

	status  = `{hostname: "www.example.com", service: "http://192.168.0.40"} => {hostname: "www.example.com", service: "http_status:503"}`
	wikiOut = `{hostname: "wiki.example.com", service: "http://127.0.0.1:80"} => {hostname: "wiki.example.com", service: "http_status:503"}`
)

// TestWhatNoOriginRefuses has, for each way to lose the last origin, one that
// is refused and one that is not.
func TestWhatNoOriginRefuses(t *testing.T) {
	const www, geo, inner, wiki, alias = "loadBalancer/www.example.com", "loadBalancer/geo.example.com", "privateLoadBalancer/inner", "dnsRecord/wiki.example.com", "dnsRecord/alias.example.com"
	for _, c := range []struct {
		name, before, after string
		want                []string // refused
	}{
		{"nothing", "", "", nil},
		{"an origin of two", "", `pools: cloud: origins: a: enabled: false`, nil},
		{"both origins", "", `pools: cloud: origins: [_]: enabled: false`, []string{alias, geo}},
		{"both by weight", "", `pools: cloud: origins: [_]: weight: 0`, []string{alias, geo}},
		{"a pool", "", `pools: cloud: enabled: false`, []string{alias, geo}},
		{"a pool of two", "", `pools: tunnel: enabled: false
defaultPools: ["tunnel"], fallbackPool: "tunnel" => defaultPools: ["tunnel"], fallbackPool: "cloud"`, nil},
		{"it had none", `pools: cloud: enabled: false`, `pools: cloud: {enabled: false, description: "x"}`, []string{geo}},
		{"a balancer that is disabled", "", `loadBalancers: "www.example.com": enabled: false`, nil},
		{"and its pool", "", `loadBalancers: "www.example.com": enabled: false
pools: tunnel: enabled: false`, nil},
		{"a name for one that is disabled", "", `loadBalancers: "geo.example.com": enabled: false`, nil},
		{"the ingress rule of a balancer's hostname", "", noWWW, []string{www}},
		{"which answers with a status on purpose", "", status, nil},
		{"which a rule for all names answers with one", "", `{hostname: "www.example.com", service: "http://192.168.0.40"} => {hostname: "*.example.com", service: "http_status:503"}
, {hostname: "app.example.com", service: "http://192.168.0.40"}, {hostname: "wiki.example.com", service: "http://127.0.0.1:80"} => `, []string{wiki, www}},
		{"the ingress rule of a record's hostname", "", noWiki, []string{wiki}},
		{"which answers with one on purpose", "", wikiOut, nil},
		{"all but a path of a record's hostname", "", `{hostname: "wiki.example.com", service => {hostname: "wiki.example.com", path: "^/w/", service`, nil},
		{"all but a path of a balancer's hostname", "", `{hostname: "www.example.com", service => {hostname: "www.example.com", path: "^/w/", service`, nil},
		{"the only path of a record's hostname", `{hostname: "wiki.example.com", service => {hostname: "wiki.example.com", path: "^/w/", service`, noWiki, []string{wiki}},
		{"a name of a wildcard's that nobody serves", `dnsRecords: w: {zone: "example.com", name: "*", type: "A", content: "198.51.100.9"}`, `dnsRecords: w: {zone: "example.com", name: "*", type: "A", content: "198.51.100.9"}
dnsRecords: x: {zone: "example.com", name: "x.y", type: "CNAME", tunnel: "home"}`, []string{"dnsRecord/x.y.example.com"}},
		{"a wildcard that falls to one that is closed", closedWild + `
dnsRecords: w: {zone: "example.com", name: "*.w", type: "A", content: "198.51.100.9"}`, closedWild + `
dnsRecords: other: {zone: "example.com", name: "other", type: "A", content: "198.51.100.9"}`, nil},
		{"an ingress rule and its record", "", gone + `
dnsRecords: wiki => dnsRecords: elsewhere
name: "wiki", type: "CNAME", tunnel: "home" => name: "else", type: "A", content: "198.51.100.9"`, nil},
		{"a region", "", `regionPools: WEU: ["cloud"] => regionPools: WEU: ["vip"]
pools: vip: enabled: false`, []string{inner}},
		{"a region without fallback", "", `regionPools: WEU: ["cloud"] => regionPools: WEU: ["spare"]
pools: spare: origins: x: {tunnel: "home", header: Host: ["no.example.com"]}`, []string{geo}},
		{"the region, and it had nobody", `regionPools: WEU: ["cloud"] => regionPools: WEU: ["spare"]
pools: spare: origins: x: {tunnel: "home", header: Host: ["no.example.com"]}`, `regionPools: WEU: ["cloud"] => regionPools: WEU: ["spare"]
pools: spare: {description: "x", origins: x: {tunnel: "home", header: Host: ["no.example.com"]}}`, nil},
		{"a new region that nobody serves", `, regionPools: WEU: ["cloud"] => `, `regionPools: WEU: ["cloud"] => regionPools: WEU: ["spare"]
pools: spare: origins: x: {tunnel: "home", header: Host: ["no.example.com"]}`, []string{geo}},
		{"a region that goes to where nobody serves", `pools: spare: origins: x: {tunnel: "home", header: Host: ["no.example.com"]}
"geo", defaultPools: ["cloud"], fallbackPool: "cloud" => "geo", defaultPools: ["spare"], fallbackPool: "spare"`,
			`pools: spare: origins: x: {tunnel: "home", header: Host: ["no.example.com"]}
"geo", defaultPools: ["cloud"], fallbackPool: "cloud", regionPools: WEU: ["cloud"] => "off", defaultPools: ["spare"], fallbackPool: "spare"`, []string{geo}},
		{"a region that goes to where it is served", "", `"geo", defaultPools: ["cloud"], fallbackPool: "cloud", regionPools: WEU: ["cloud"] => "off", defaultPools: ["cloud"], fallbackPool: "cloud"`, nil},
		{"a new hostname that nobody serves", "", `pools: spare: origins: x: {tunnel: "home", header: Host: ["no.example.com"]}
loadBalancers: "new.example.com": {zone: "example.com", defaultPools: ["spare"], fallbackPool: "spare"}`, nil},
		{"a record that a dead balancer replaces", `dnsRecords: new: {zone: "example.com", name: "new", type: "A", content: "198.51.100.9"}`, `pools: spare: origins: x: {tunnel: "home", header: Host: ["no.example.com"]}
loadBalancers: "new.example.com": {zone: "example.com", defaultPools: ["spare"], fallbackPool: "spare"}`, []string{"loadBalancer/new.example.com"}},
		{"a record that a balancer replaces", `dnsRecords: new: {zone: "example.com", name: "new", type: "A", content: "198.51.100.9"}`,
			`loadBalancers: "new.example.com": {zone: "example.com", defaultPools: ["cloud"], fallbackPool: "cloud"}`, nil},
		{"a tunnel whose connectors become somebody else's", "", `connectors: ["lb01", "lb02"] => connectors: []`, nil},
		{"maintenance of a host", "", `hosts: lb01: maintenance: true`, nil},
		// The origins that this disables are what the rail has always refused;
		// names and Virtual Routers go with their hosts.
		{"maintenance of all", "", `hosts: [_]: maintenance: true`, []string{www}},
		{"maintenance of all members", "", `virtualRouters: web: members: [_]: maintenance: true`, nil},
		{"maintenance, and another mistake", "", noWiki + `
hosts: lb01: maintenance: true`, []string{wiki}},
		{"maintenance of all, and another mistake", "", noWWW + `
hosts: [_]: maintenance: true`, []string{www}},
	} {
		before, after := changed(t, c.before), changed(t, c.after)
		p, live := planOf(before, after)
		impact, violations := impactOf(after, p, live)
		if got := refused(violations); !slices.Equal(got, c.want) {
			t.Errorf("%s: the plan refuses %q, want %q; %v", c.name, got, c.want, impact)
		}
		// What specifications alone tell is the same, and so is a saved plan's
		// at least for what Cloudflare itself does.
		facts := append(topology.Originless(p.Objects), topology.Compare(before, after)...)
		violations = reconcile.Policy{Policy: schema.DefaultPolicy()}.Check(p, reconcile.Desired{Objects: p.Objects}, reconcile.Live{}, facts)
		if got := refused(violations); !slices.Equal(got, c.want) {
			t.Errorf("%s: specifications alone refuse %q, want %q", c.name, got, c.want)
		}
		_, violations = impactOf(nil, p, live)
		for _, id := range refused(violations) {
			if !slices.Contains(c.want, id) {
				t.Errorf("%s: the plan without its specification refuses %s too", c.name, id)
			}
		}
	}
}

func refused(violations []reconcile.Violation) []string {
	var ids []string
	for _, v := range violations {
		if v.Rule == reconcile.RuleNoOrigin {
			ids = append(ids, v.ID.String())
		}
	}
	slices.Sort(ids)
	return ids
}

// TestWhatIsSomebodyElsesIsToldOf: a record that nobody wrote into the
// specification keeps no hostname from being retired; a balancer that uses our
// pool is protected like ours.
func TestWhatIsSomebodyElsesIsToldOf(t *testing.T) {
	before := changed(t, "")
	after := changed(t, noWiki+`
dnsRecords: wiki => dnsRecords: other
name: "wiki", type: "CNAME", tunnel: "home" => name: "other", type: "A", content: "198.51.100.9"
pools: cloud: enabled: false
loadBalancers: "geo.example.com" => loadBalancers: "www2.example.com"
content: "geo.example.com" => content: "www.example.com"
pools: tunnel: origins: home: header: Host: ["www.example.com"]
"geo", defaultPools: ["cloud"], fallbackPool: "cloud", regionPools: WEU: ["cloud"] => "off", defaultPools: ["tunnel"], fallbackPool: "tunnel"
header: Host: ["www.example.com"] => header: Host: ["www.example.com"], path: "/"`)
	_, live := planOf(before, after)
	for i, e := range live.Entries {
		switch id := e.Object.ID(); {
		case id.Kind == schema.KindLoadBalancer && id.Name == "geo.example.com", id.Kind == schema.KindDNSRecord && id.Name == "wiki":
			live.Entries[i].Owned = false
		}
	}
	d := reconcile.Desired{Stack: "home", Objects: map[schema.ID]schema.Object{}}
	for _, o := range after.Objects() {
		d.Objects[o.ID()] = o
	}
	impact, violations := impactOf(after, reconcile.Diff(d, live), live)
	if got, want := refused(violations), []string{"loadBalancer/geo.example.com"}; !slices.Equal(got, want) {
		t.Errorf("refused are %q, want %q", got, want)
	}
	told := false
	for _, f := range impact {
		told = told || f.ID.String() == "dnsRecord/wiki.example.com" && f.Message == "loses its last way to a machine that answers: nobody serves it"
	}
	if !told {
		t.Errorf("of the record, nothing is said: %v", impact)
	}
}

// TestADrainIsMeant: an origin that is off because of maintenance is no mistake,
// though another pool, which serves nobody, has one that is not.
func TestADrainIsMeant(t *testing.T) {
	const spare = `defaultPools: ["tunnel"], fallbackPool: "tunnel" => defaultPools: ["tunnel", "spare"], fallbackPool: "tunnel"
tunnels: far: {}
pools: spare: {monitor: "web", origins: x: tunnel: "far"}
`
	for more, want := range map[string][]string{
		"hosts: [_]: maintenance: true":                                           nil,
		"hosts: [_]: maintenance: true\npools: tunnel: enabled: false":            {"loadBalancer/www.example.com"},
		"hosts: lb01: maintenance: true\npools: tunnel: origins: home: weight: 0": {"loadBalancer/www.example.com"},
	} {
		before, after := changed(t, spare), changed(t, spare+more)
		p, live := planOf(before, after)
		if impact, violations := impactOf(after, p, live); !slices.Equal(refused(violations), want) {
			t.Errorf("%s: refused are %q, want %q; %v", more, refused(violations), want, impact)
		}
	}
}

// TestASyncGroupMovesAsOne: a member in maintenance holds the others there.
func TestASyncGroupMovesAsOne(t *testing.T) {
	const group = `virtualRouters: db: {vrid: 51, interface: "eth1", addresses: ["192.168.1.40/24"], members: {lb01: priority: 150, lb02: priority: 100}}
syncGroups: both: members: ["web", "db"]
`
	before, after := changed(t, group), changed(t, group+`virtualRouters: web: members: lb01: maintenance: true`)
	p, live := planOf(before, after)
	for _, facts := range [][]reconcile.Fact{topology.Compare(before, after), topology.Facts(after, p, live)} {
		var moves []string
		for _, f := range facts {
			if f.Kind == reconcile.Mastership {
				moves = append(moves, f.ID.String()+" "+f.Message)
			}
		}
		if want := []string{"virtualRouter/db mastership moves lb01 -> lb02", "virtualRouter/web mastership moves lb01 -> lb02"}; !slices.Equal(moves, want) {
			t.Errorf("%q", moves)
		}
	}
}

// TestAPartOfAPlanIsJudgedByItself: what the rest of the specification comes to
// does not stand in the way of a target, and what the target leaves does.
func TestAPartOfAPlanIsJudgedByItself(t *testing.T) {
	const lan = `
pools: one: {monitor: "web", origins: o: address: "198.51.100.1"}
pools: two: {monitor: "web", origins: o: address: "198.51.100.2"}
pools: three: {monitor: "web", origins: o: address: "198.51.100.3"}
loadBalancers: "both.example.com": {zone: "example.com", defaultPools: ["one", "two"], fallbackPool: "two"}
loadBalancers: "one.example.com": {zone: "example.com", defaultPools: ["one"], fallbackPool: "one"}
`
	for _, c := range []struct {
		targets []string
		want    []string
	}{
		{nil, []string{"loadBalancer/both.example.com", "loadBalancer/one.example.com"}},
		{[]string{"one"}, []string{"loadBalancer/one.example.com"}},
		{[]string{"two"}, nil},
		{[]string{"three"}, nil},
		{[]string{"one", "two"}, []string{"loadBalancer/both.example.com", "loadBalancer/one.example.com"}},
	} {
		before := changed(t, lan)
		after := changed(t, strings.ReplaceAll(lan, `{monitor: "web"`, `{enabled: false, monitor: "web"`))
		p, live := planOf(before, after)
		if c.targets != nil {
			var ids []schema.ID
			for _, name := range c.targets {
				ids = append(ids, schema.ID{Kind: schema.KindPool, Name: name})
			}
			if err := p.Restrict(ids, reconcile.Desired{Objects: p.Objects}, live); err != nil {
				t.Fatal(err)
			}
		}
		if _, violations := impactOf(after, p, live); !slices.Equal(refused(violations), c.want) {
			t.Errorf("%q: refuses %q, want %q", c.targets, refused(violations), c.want)
		}
	}
}

// TestARouteThatGoesTakesItsOriginsAlong: a private network that no route leads
// to any more is told of, whoever else has routes there.
func TestARouteThatGoesTakesItsOriginsAlong(t *testing.T) {
	const message = "pool/vip origin web is out of reach: no route of network lan leads to 192.168.0.40 any more"
	for _, c := range []struct {
		name, after string
		others      []string // routes of somebody else's tunnel
		want        bool
	}{
		{"it stays", "", nil, false},
		{"it goes", `routes: [{network: "lan", cidr: "192.168.0.0/24"}] => routes: []`, nil, true},
		{"a narrower one stays", `routes: [{network: "lan", cidr: "192.168.0.0/24"}] => routes: [{network: "lan", cidr: "192.168.0.40/32"}]`, nil, false},
		{"one for others", `routes: [{network: "lan", cidr: "192.168.0.0/24"}] => routes: [{network: "lan", cidr: "192.168.0.41/32"}]`, nil, true},
		{"somebody else has a wider one", `routes: [{network: "lan", cidr: "192.168.0.0/24"}] => routes: []`, []string{"192.168.0.0/16"}, false},
	} {
		before, after := changed(t, ""), changed(t, c.after)
		p, live := planOf(before, after)
		for _, cidr := range c.others {
			live.Entries = append(live.Entries, reconcile.Entry{Object: schema.Route{Network: "lan", CIDR: cidr, Tunnel: "id:00000000-0000-4000-8000-000000000000"}})
		}
		impact, _ := impactOf(after, p, live)
		got := slices.ContainsFunc(impact, func(f reconcile.Finding) bool { return f.ID.String()+" "+f.Message == message })
		if got != c.want {
			t.Errorf("%s: told %t, want %t; %v", c.name, got, c.want, impact)
		}
	}
}

// TestAnAddressThatChangesIsTheSameRouters: what an origin that names a Virtual
// Router has now is that router's address.
func TestAnAddressThatChangesIsTheSameRouters(t *testing.T) {
	before := changed(t, "")
	for _, c := range []struct{ after, want string }{
		{`virtualRouters: web: {vrid: 50, interface: "eth0", addresses: ["192.168.0.40/24"] => virtualRouters: web: {vrid: 50, interface: "eth0", addresses: ["192.168.0.44/24"]`, ""},
		{`pools: vip: {monitor: "web", origins: web: {virtualRouter: "web", network: "lan"}} => pools: vip: {monitor: "web", origins: web: {virtualRouter: "db", network: "lan"}}
virtualRouters: db: {vrid: 51, interface: "eth0", addresses: ["192.168.0.50/24"], members: lb02: {}}`, "privateLoadBalancer/inner is answered by host/lb02 in place of host/lb01; privateLoadBalancer/inner gains a single point of failure: host/lb02"},
	} {
		after := changed(t, c.after)
		p, live := planOf(before, after)
		live.Entries = slices.DeleteFunc(live.Entries, func(e reconcile.Entry) bool { return e.Object.ID().Kind == schema.KindVirtualRouter })
		p.Steps = slices.DeleteFunc(p.Steps, func(s reconcile.Step) bool { return s.ID.Kind == schema.KindVirtualRouter })
		var got []string
		for _, f := range first(impactOf(after, p, live)) {
			if f.ID.Kind == schema.KindPrivateLoadBalancer {
				got = append(got, f.ID.String()+" "+f.Message)
			}
		}
		if strings.Join(got, "; ") != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}
