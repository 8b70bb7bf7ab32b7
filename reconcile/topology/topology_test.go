package topology_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/hactl/hactl/reconcile/topology"
	"github.com/hactl/hactl/schema"
)

// TestBruteForceAgrees takes every one and every two components out of random
// specifications, and asks the walker who is served.
func TestBruteForceAgrees(t *testing.T) {
	seeds := 2000
	if testing.Short() {
		seeds = 300
	}
	cut, single := 0, 0
	for seed := range uint64(seeds) {
		r := rand.New(rand.NewPCG(seed, 5))
		s := randomSpec(r)
		m := topology.New(s)
		for _, e := range m.Entries() {
			want := bruteForce(s, m, e)
			got := m.Cuts(e, 2)
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("seed %d, %s: the model has %v, brute force %v\n%+v", seed, e.ID(), got, want, s)
			}
			ones := slices.DeleteFunc(slices.Clone(got), func(c []topology.Component) bool { return len(c) > 1 })
			if fmt.Sprint(m.Cuts(e, 1)) != fmt.Sprint(ones) {
				t.Fatalf("seed %d, %s: depth 1 has %v, depth 2 %v", seed, e.ID(), m.Cuts(e, 1), ones)
			}
			cut, single = cut+len(got), single+len(ones)
			dead := map[string]bool{}
			for _, c := range m.Components() { // Any number at a time, by the way.
				if r.IntN(3) == 0 {
					dead[c.String()] = true
				}
			}
			var failed []topology.Component
			for _, c := range m.Components() {
				if dead[c.String()] {
					failed = append(failed, c)
				}
			}
			w := walker{s, dead}.served(e.Kind, e.Name, e.Scope)
			if m.Served(e, failed...) != w {
				t.Fatalf("seed %d, %s without %v: the walker says %t", seed, e.ID(), failed, w)
			}
		}
	}
	t.Logf("seeds 0 to %d of PCG 5: %d cuts, %d of one component", seeds-1, cut, single)
	if single < seeds || cut-single < seeds {
		t.Error("the specifications have hardly anything to cut off")
	}
}

func bruteForce(s *schema.Spec, m *topology.Model, e *topology.Entry) [][]topology.Component {
	served := func(dead ...topology.Component) bool {
		names := map[string]bool{}
		for _, c := range dead {
			names[c.String()] = true
		}
		return walker{s, names}.served(e.Kind, e.Name, e.Scope)
	}
	if !served() {
		return nil
	}
	var sets [][]topology.Component
	singles := map[topology.Component]bool{}
	all := m.Components()
	for _, c := range all {
		if !served(c) {
			singles[c] = true
			sets = append(sets, []topology.Component{c})
		}
	}
	for i, a := range all {
		for _, b := range all[i+1:] {
			if !singles[a] && !singles[b] && !served(a, b) {
				sets = append(sets, []topology.Component{a, b})
			}
		}
	}
	return sets
}

// TestEveryCutIsShown: what Spof leaves out is a consequence of what it shows,
// or the other way round.
func TestEveryCutIsShown(t *testing.T) {
	for seed := range uint64(300) {
		m := topology.New(randomSpec(rand.New(rand.NewPCG(seed, 6))))
		r := m.Spof(2)
		for i, e := range m.Entries() {
			shown := map[string]bool{}
			for _, c := range r.Entries[i].Cuts {
				if m.Served(e, c.Components...) {
					t.Fatalf("seed %d, %s: %v does not cut it off", seed, e.ID(), c.Components)
				}
				if c.Repair == "" {
					t.Errorf("seed %d, %s: no repair for %v", seed, e.ID(), c.Components)
				}
				for j, x := range c.Components {
					shown[x.String()] = true
					if c.Alike != nil {
						for _, y := range c.Alike[j] {
							shown[y.String()] = true
						}
					}
				}
			}
			for _, set := range m.Cuts(e, 1) {
				own := e.Kind + "/" + e.Name
				if name := set[0].String(); !shown[name] && name != own {
					t.Errorf("seed %d, %s: %s is nowhere", seed, e.ID(), name)
				}
			}
			if served := m.Served(e); served != r.Entries[i].Served || !served && r.Entries[i].Why == "" {
				t.Errorf("seed %d, %s: served %t, %+v", seed, e.ID(), served, r.Entries[i])
			}
		}
	}
}

func TestAnUnknownComponentIsOfferedNearOnes(t *testing.T) {
	m := topology.New(&schema.Spec{Hosts: map[string]schema.Host{"lb01": {Site: "tokyo"}, "lb02": {Site: "osaka"}}})
	for name, want := range map[string]string{
		"host/lb03":          "did you mean host/lb01?",
		"site/tokio":         "did you mean site/tokyo?",
		"host/zzzzzzzzzzzzz": "there are: host/lb01, host/lb02",
		"lb01":               "want kind/name",
		"rack/":              "want kind/name",
	} {
		if c, err := m.Lookup(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v", name, c, err)
		}
	}
	if c, err := m.Lookup("host/lb01"); err != nil || c != (topology.Component{Kind: "host", Name: "lb01"}) {
		t.Errorf("%v, %v", c, err)
	}
}
