package schema_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/hactl/hactl/schema"
	"github.com/hactl/hactl/schema/load"
)

func loaded(t *testing.T, source string) *schema.Spec {
	t.Helper()
	files := fstest.MapFS{"a.cue": {Data: []byte("package edge\nstack: \"home\"\n" + source)}}
	s, _, err := load.Load(t.Context(), load.Files{FS: files, Dir: "."}, load.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// least has an object of every kind that says no more than it must.
const least = `
networks: n: {}
tunnels: t: routes: [{network: "n", cidr: "10.0.0.0/8"}]
monitors: m: {}
pools: p: origins: o: {address: "10.0.0.1", network: "n"}
loadBalancers: "www.example.com": {zone: "example.com", defaultPools: ["p"], fallbackPool: "p"}
privateLoadBalancers: a: {defaultPools: ["p"], fallbackPool: "p"}
dnsRecords: r: {zone: "example.com", name: "r.example.com", type: "A", content: "192.0.2.1"}
`

// TestTheDefinitionsAndTheTypesHaveTheSameDefaults compares what CUE fills in
// with Blank: were they to differ, every plan would show it.
func TestTheDefinitionsAndTheTypesHaveTheSameDefaults(t *testing.T) {
	given := map[schema.Kind][]string{
		schema.KindTunnelConfiguration: {"ingress"}, // The catch-all.
		schema.KindRoute:               {"tunnel"},
		schema.KindPool:                {"origins"},
		schema.KindLoadBalancer:        {"zone", "defaultPools", "fallbackPool"},
		schema.KindPrivateLoadBalancer: {"defaultPools", "fallbackPool"},
		schema.KindDNSRecord:           {"zone", "name", "type", "content"},
	}
	fields := func(o schema.Object) map[string]any {
		b, err := json.Marshal(o)
		m := map[string]any{}
		if err == nil {
			err = json.Unmarshal(b, &m)
		}
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	s := loaded(t, least)
	kinds := map[schema.Kind]bool{}
	for _, o := range s.Objects() {
		kind := o.ID().Kind
		kinds[kind] = true
		if o.Blank().ID() != o.ID() {
			t.Errorf("%s: blank it is %s", o.ID(), o.Blank().ID())
		}
		got, blank := fields(o), fields(o.Blank())
		for name := range got {
			if !slices.Contains(given[kind], name) && !reflect.DeepEqual(got[name], blank[name]) {
				t.Errorf("%s.%s: CUE has %v, Blank %v", o.ID(), name, got[name], blank[name])
			}
		}
		for name := range blank {
			if _, ok := got[name]; !ok {
				t.Errorf("%s.%s: Blank has %v, CUE nothing", o.ID(), name, blank[name])
			}
		}
	}
	if len(kinds) != 9 {
		t.Errorf("not every kind was there: %v", kinds)
	}
	want := schema.Origin{}.Defaults().(schema.Origin)
	want.Address, want.Network = "10.0.0.1", "n"
	if o := s.Pools["p"].Origins["o"]; !reflect.DeepEqual(o, want) {
		t.Errorf("origin: CUE has %+v, Defaults %+v", o, want)
	}
	if p := loaded(t, "policy: {}").Policy; *p != schema.DefaultPolicy() {
		t.Errorf("policy: CUE has %+v, DefaultPolicy %+v", *p, schema.DefaultPolicy())
	}
}

func TestObjectsOfEveryKindCanBeProtected(t *testing.T) {
	for _, o := range loaded(t, least).Objects() {
		if o.Protected() {
			t.Errorf("%s is, unasked", o.ID())
		}
	}
	protected := loaded(t, least+`
networks: [_]: protect: true
tunnels: [_]: protect: true
monitors: [_]: protect: true
pools: [_]: protect: true
loadBalancers: [_]: protect: true
privateLoadBalancers: [_]: protect: true
dnsRecords: [_]: protect: true
`)
	for _, o := range protected.Objects() {
		if !o.Protected() {
			t.Errorf("%s is not", o.ID())
		}
	}
}

func TestASpecificationOfNothingIsEmpty(t *testing.T) {
	if !loaded(t, "").Empty() {
		t.Error("it is not")
	}
	for _, one := range []string{`hosts: a: address: "192.0.2.1"`, `networks: n: {}`, `monitors: m: {}`, `tunnels: t: {}`} {
		if loaded(t, one).Empty() {
			t.Errorf("%s is empty", one)
		}
	}
}

func TestReferencesByIDAreNoReferencesWithin(t *testing.T) {
	ref := schema.ForeignRef("0123456789abcdef0123456789abcdef")
	if h, ok := schema.ForeignHandle(ref); !ok || h != "0123456789abcdef0123456789abcdef" {
		t.Errorf("%s, %t", h, ok)
	}
	s := loaded(t, `pools: p: {monitor: "`+ref+`", origins: o: address: "a.example.com"}`)
	if refs := s.Objects()[0].Refs(); len(refs) != 0 {
		t.Errorf("%v", refs)
	}
}

func TestTheKindsWithoutATextAreOwnedThroughTheJournal(t *testing.T) {
	for _, o := range loaded(t, least).Objects() {
		kind := o.ID().Kind
		if without := kind == schema.KindTunnel || kind == schema.KindTunnelConfiguration; schema.Marked(kind) == without {
			t.Errorf("%s: %t", kind, schema.Marked(kind))
		}
	}
}

func TestEveryFieldOfTheDefaultOriginRequestIsSet(t *testing.T) {
	v := reflect.ValueOf(schema.DefaultOriginRequest())
	for i := range v.NumField() {
		if v.Field(i).IsNil() {
			t.Errorf("%s is not", v.Type().Field(i).Name)
		}
	}
}
