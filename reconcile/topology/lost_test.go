package topology_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/hactl/hactl/reconcile/topology"
)

// TestLostIsWhatTheWalkerCannotReach fails anything in random specifications:
// the entries, hosts and tunnels that are lost are those that the walker can
// reach before and cannot after.
func TestLostIsWhatTheWalkerCannotReach(t *testing.T) {
	gone := 0
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 11))
		s := randomSpec(r)
		m := topology.New(s)
		var failed []topology.Component
		dead := map[string]bool{}
		for _, c := range m.Components() {
			if r.IntN(4) == 0 {
				failed = append(failed, c)
				dead[c.String()] = true
			}
		}
		want := map[string]bool{}
		all, left := walker{s, map[string]bool{}}, walker{s, dead}
		scopes := map[string]bool{}
		for _, e := range m.Entries() {
			id := e.Kind + "/" + e.Name
			want[id] = want[id] || all.served(e.Kind, e.Name, e.Scope)
			scopes[id] = scopes[id] || left.served(e.Kind, e.Name, e.Scope)
		}
		for id, served := range scopes {
			want[id] = want[id] && !served
		}
		for name := range s.Hosts {
			want["host/"+name] = all.host(name) && !left.host(name)
		}
		for name := range s.Tunnels {
			want["tunnel/"+name] = all.tunnel(name) && !left.tunnel(name)
		}
		got := m.Lost(failed...)
		if !slices.IsSorted(got) {
			t.Errorf("seed %d: %v is not sorted", seed, got)
		}
		for id, lost := range want {
			if lost != slices.Contains(got, id) {
				t.Errorf("seed %d: %s is lost: %t, and the model has %v without %v", seed, id, lost, got, failed)
			}
			if lost {
				gone++
			}
		}
	}
	if gone < 400 {
		t.Errorf("only %d were lost: this tests nothing", gone)
	}
}
