package schema_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/hactl/hactl/schema"
)

// lowered prints what a specification is taken apart into.
func lowered(t *testing.T, s *schema.Spec) string {
	t.Helper()
	var b strings.Builder
	for _, o := range s.Objects() {
		fields, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s %s\n", o.ID(), fields)
		for _, r := range o.Refs() {
			fmt.Fprintf(&b, "    after %s\n", r)
		}
	}
	return b.String()
}

// home has something of every kind.
func home() *schema.Spec {
	blank := func(b schema.Balancing) schema.Balancing {
		blank := schema.LoadBalancer{}.Blank().(schema.LoadBalancer).Balancing
		blank.Proxied, blank.SteeringPolicy = nil, ""
		blank.DefaultPools, blank.FallbackPool = b.DefaultPools, b.FallbackPool
		blank.RegionPools, blank.Rules = b.RegionPools, b.Rules
		return blank
	}
	origin := schema.Origin{}.Defaults().(schema.Origin)
	with := func(change func(*schema.Origin)) schema.Origin {
		o := origin
		change(&o)
		return o
	}
	return &schema.Spec{
		Stack: "home",
		VirtualRouters: map[string]schema.VirtualRouter{
			"web": {VRID: 50, Interface: "eth0", Addresses: []string{"192.168.0.40/24", "192.168.0.41/24"}},
		},
		Networks: map[string]schema.Network{"lan": {IsDefaultNetwork: true}, "dmz": {Comment: "between"}},
		Tunnels: map[string]schema.TunnelSpec{
			"home": {
				DNS: true, Protect: true,
				Ingress: []schema.IngressRule{
					{Hostname: "WWW.example.com", Service: "https://192.168.0.40"},
					{Hostname: "wiki.example.com", Service: "https://192.168.0.40"},
					{Hostname: "wiki.example.com", Path: "/api", Service: "https://192.168.0.41"},
					{Hostname: "txt.example.com", Service: "https://192.168.0.40"},
					{Hostname: "a.b.dept.example.net", Service: "https://192.168.0.40"},
					{Hostname: "*.shop.example.co.uk", Service: "https://192.168.0.40"},
					{Hostname: "x.example.org", Zone: "X.example.org", Service: "https://192.168.0.40"},
					{Hostname: "a.b.dept.example.net", Path: "/x", Service: "https://192.168.0.41"},
					{Path: "/health", Service: "http_status:200"},
				},
				Routes: []schema.Route{{CIDR: "192.168.0.0/16"}, {CIDR: "192.168.0.0/24"}, {Network: "dmz", CIDR: "2001:DB8::/32"}},
			},
			"away": {Ingress: []schema.IngressRule{{Hostname: "away.example.com", Service: "http://127.0.0.1"}, {Service: "hello_world"}}},
		},
		Monitors: map[string]schema.Monitor{"web": {Type: "https"}, "ssh": {Type: "tcp", Port: 22}},
		Pools: map[string]schema.Pool{
			"tunnel": {Monitor: "web", Origins: map[string]schema.Origin{"home": with(func(o *schema.Origin) { o.Tunnel = "home" })}},
			"private": {Origins: map[string]schema.Origin{
				"vip":  with(func(o *schema.Origin) { o.VirtualRouter, o.Network = "web", "lan" }),
				"near": with(func(o *schema.Origin) { o.Address, o.Network = "192.168.1.1", "lan" }),
				"six":  with(func(o *schema.Origin) { o.Address, o.Network = "2001:DB8:0::1", "dmz" }),
				"none": with(func(o *schema.Origin) { o.Address, o.Network = "10.0.0.1", "lan" }),
			}},
			"public": {Origins: map[string]schema.Origin{"a": with(func(o *schema.Origin) { o.Address = "a.example.com" })}},
		},
		LoadBalancers: map[string]schema.LoadBalancer{
			"www.example.com": {Zone: "Example.com", Balancing: blank(schema.Balancing{
				DefaultPools: []string{"public"}, FallbackPool: "tunnel", RegionPools: map[string][]string{"WEU": {"public"}},
				Rules: []schema.Rule{
					{Name: "a", FixedResponse: &schema.FixedResponse{StatusCode: 200}},
					{Name: "b", Overrides: &schema.Overrides{FallbackPool: "private"}},
				},
			})},
			"cdn.dept.example.net": {Zone: "dept.example.net", Balancing: blank(schema.Balancing{
				DefaultPools: []string{"public"}, FallbackPool: "id:0123456789abcdef0123456789abcdef",
				Rules: []schema.Rule{{Name: "a", Priority: new(5)}, {Name: "b"}},
			})},
		},
		PrivateLoadBalancers: map[string]schema.PrivateLoadBalancer{
			"app": {Balancing: blank(schema.Balancing{DefaultPools: []string{"private"}, FallbackPool: "private"})},
		},
		DNSRecords: map[string]schema.DNSRecord{
			"txt":  {Zone: "example.com", Name: "txt", Type: "TXT", Content: "Mixed Case.", TTL: schema.AutoTTL},
			"wiki": {Zone: "Example.com", Name: "wiki", Type: "CNAME", Tunnel: "away", TTL: schema.AutoTTL},
		},
	}
}

func TestASpecificationIsTakenApartIntoObjects(t *testing.T) {
	golden(t, "testdata/lowered.txt", lowered(t, home()))
}

func TestTheSameSpecificationGivesTheSameObjects(t *testing.T) {
	want := lowered(t, home())
	for range 20 {
		if got := lowered(t, home()); got != want {
			t.Fatalf("got\n%s\nwant\n%s", got, want)
		}
	}
}

func TestObjectsLeaveTheSpecificationAsItIs(t *testing.T) {
	s := home()
	before, _ := json.Marshal(s)
	s.Objects()
	s.Validate()
	if after, _ := json.Marshal(s); string(after) != string(before) {
		t.Errorf("before\n%s\nafter\n%s", before, after)
	}
}

func TestObjectsAreSortedAndUnique(t *testing.T) {
	var ids []schema.ID
	for _, o := range home().Objects() {
		ids = append(ids, o.ID())
	}
	if !slices.IsSortedFunc(ids, schema.ID.Compare) || len(slices.Compact(slices.Clone(ids))) != len(ids) {
		t.Errorf("%v", ids)
	}
}

func TestTheLongestPrefixOfTheNetworkCarriesAnOrigin(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	cidrs := []string{"0.0.0.0/0", "10.0.0.0/8", "10.0.0.0/16", "10.0.0.0/24", "10.0.0.1/32"}
	for range 20 {
		random.Shuffle(len(cidrs), func(i, j int) { cidrs[i], cidrs[j] = cidrs[j], cidrs[i] })
		s := &schema.Spec{Networks: map[string]schema.Network{"lan": {}, "dmz": {}}, Tunnels: map[string]schema.TunnelSpec{}}
		for i, cidr := range cidrs {
			s.Tunnels[fmt.Sprint("t", i)] = schema.TunnelSpec{Routes: []schema.Route{{Network: "lan", CIDR: cidr}}}
		}
		s.Pools = map[string]schema.Pool{}
		for address, want := range map[string]string{
			"10.0.0.1": "route/lan/10.0.0.1/32", "10.0.0.2": "route/lan/10.0.0.0/24", "10.0.1.1": "route/lan/10.0.0.0/16",
			"10.1.0.1": "route/lan/10.0.0.0/8", "11.0.0.1": "route/lan/0.0.0.0/0", "2001:db8::1": "",
		} {
			s.Pools[want] = schema.Pool{Origins: map[string]schema.Origin{"a": {Address: address, Network: "lan"}}}
		}
		s.Pools["elsewhere"] = schema.Pool{Origins: map[string]schema.Origin{"a": {Address: "10.0.0.1", Network: "dmz"}, "b": {Address: "10.0.0.1"}}}
		for _, o := range s.Objects() {
			p, ok := o.(schema.Pool)
			if !ok {
				continue
			}
			got := ""
			for _, r := range p.Routes {
				got += r.String()
			}
			want := p.Name
			if want == "elsewhere" {
				want = ""
			}
			if got != want {
				t.Fatalf("%v: got %q, want %q", p.Origins, got, want)
			}
		}
	}
}

func TestPathsLeadToWhereObjectsAreWritten(t *testing.T) {
	s := home()
	for id, want := range map[string]string{
		"pool/tunnel":                    "pools.tunnel",
		"loadBalancer/www.example.com":   `loadBalancers."www.example.com"`,
		"privateLoadBalancer/app":        "privateLoadBalancers.app",
		"monitor/web":                    "monitors.web",
		"network/lan":                    "networks.lan",
		"tunnel/home":                    "tunnels.home",
		"tunnelConfiguration/home":       "tunnels.home",
		"route/lan/192.168.0.0/24":       "tunnels.home.routes[1]",
		"route/dmz/2001:db8::/32":        "tunnels.home.routes[2]",
		"dnsRecord/wiki":                 "dnsRecords.wiki",
		"dnsRecord/*.shop.example.co.uk": "tunnels.home.ingress[5].hostname",
	} {
		parsed, err := schema.ParseID(id)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Path(parsed); got != want {
			t.Errorf("%s: got %s, want %s", id, got, want)
		}
	}
}

func TestAPathWithoutAPositionHasItsParents(t *testing.T) {
	s := &schema.Spec{Positions: map[string]schema.Pos{
		"": {File: "a.cue", Line: 1, Column: 1}, "pools.tokyo": {File: "a.cue", Line: 2, Column: 1},
		`pools."a.b\"c"`: {File: "a.cue", Line: 3, Column: 1}, "tunnels.t.ingress[1]": {File: "a.cue", Line: 4, Column: 1},
	}}
	for path, want := range map[string]string{
		"":                                "a.cue:1:1",
		"stack":                           "a.cue:1:1",
		"pools.tokyo":                     "a.cue:2:1",
		"pools.tokyo.origins.a.weight":    "a.cue:2:1",
		`pools.tokyo.origins."a.b".port`:  "a.cue:2:1",
		`pools."a.b\"c".origins`:          "a.cue:3:1",
		`pools."a.b"`:                     "a.cue:1:1",
		"tunnels.t.ingress[1].service":    "a.cue:4:1",
		"tunnels.t.ingress[0].service[3]": "a.cue:1:1",
	} {
		if got := s.Pos(path).String(); got != want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
}

func FuzzParentUndoesJoin(f *testing.F) {
	for _, name := range []string{"a", "a.b", `a"b`, `a\`, "", "[0]", "über", `".`, "a\nb"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		for _, path := range []string{"pools", `pools."a.b"`, "x.y[3]"} {
			if got := schema.Parent(schema.Join(path, name)); got != path {
				t.Errorf("%q under %s: parent is %q", name, path, got)
			}
		}
	})
}

func TestProblemsAreSortedWithoutDoubles(t *testing.T) {
	p := func(file string, line int, path, message string, warning bool) schema.Problem {
		return schema.Problem{Pos: schema.Pos{File: file, Line: line, Column: 1}, Path: path, Message: message, Warning: warning}
	}
	got := schema.SortProblems([]schema.Problem{
		p("b", 1, "x", "m", false), p("a", 10, "x", "m", false), p("a", 9, "y", "m", false), p("a", 9, "x", "n", false),
		p("a", 9, "x", "m", true), p("a", 9, "x", "m", false),
	})
	var lines []string
	for _, g := range got {
		lines = append(lines, g.String())
	}
	want := []string{"a:9:1: x: m", "a:9:1: x: n", "a:9:1: y: m", "a:10:1: x: m", "b:1:1: x: m"}
	if !slices.Equal(lines, want) {
		t.Errorf("got %q, want %q", lines, want)
	}
}

func TestNearestOffersOnlyWhatIsNear(t *testing.T) {
	names := []string{"kyoto", "osaka", "tokyo"}
	for name, want := range map[string]string{"tokio": "tokyo", "Tokyo": "tokyo", "tkyo": "tokyo", "nara": "", "": "", "q": "", "kyotoo": "kyoto"} {
		if got := schema.Nearest(name, names); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}

// golden compares with a file, or writes it under -update.
func golden(t *testing.T, name, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}

func BenchmarkObjects(b *testing.B) {
	s := large()
	for b.Loop() {
		if n := len(s.Objects()); n < 1000+300+200 {
			b.Fatal(n)
		}
	}
}

func BenchmarkValidate(b *testing.B) {
	s := large()
	for b.Loop() {
		s.Validate()
	}
}

// large has 1000 pools with 3 origins, 300 routes and 100 tunnels.
func large() *schema.Spec {
	s := &schema.Spec{
		Stack: "large", Plan: "enterprise", Networks: map[string]schema.Network{"lan": {}},
		Tunnels: map[string]schema.TunnelSpec{}, Pools: map[string]schema.Pool{}, LoadBalancers: map[string]schema.LoadBalancer{},
	}
	for i := range 100 {
		t := schema.TunnelSpec{DNS: true, Ingress: []schema.IngressRule{{Hostname: fmt.Sprintf("t%d.example.com", i), Service: "http://127.0.0.1"}}}
		for j := range 3 {
			t.Routes = append(t.Routes, schema.Route{Network: "lan", CIDR: fmt.Sprintf("10.%d.%d.0/24", i, j)})
		}
		s.Tunnels[fmt.Sprint("t", i)] = t
	}
	for i := range 1000 {
		origins := map[string]schema.Origin{}
		for j := range 3 {
			origins[fmt.Sprint("o", j)] = schema.Origin{Address: fmt.Sprintf("10.%d.%d.%d", i%100, j, i/100), Network: "lan", Weight: 1}
		}
		s.Pools[fmt.Sprint("p", i)] = schema.Pool{Origins: origins}
		s.LoadBalancers[fmt.Sprintf("l%d.example.com", i)] = schema.LoadBalancer{Zone: "example.com", Balancing: schema.Balancing{
			DefaultPools: []string{fmt.Sprint("p", i)}, FallbackPool: fmt.Sprint("p", i), SessionAffinity: "none",
		}}
	}
	return s
}
