package topology_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/topology"
	"github.com/hactl/hactl/schema"
)

// randomLive says anything about a specification, and things that it does not
// have.
func randomLive(r *rand.Rand, s *schema.Spec) topology.Live {
	l := topology.Live{Hosts: map[string]topology.HostState{"nobody": {"v0": {State: "fault"}}}}
	for _, host := range sorted(s.Hosts) {
		if r.IntN(3) == 0 {
			continue
		}
		l.Hosts[host] = topology.HostState{}
		for _, name := range sorted(s.VirtualRouters) {
			states := []string{"backup", "backup", "active", "active", "fault", "initialize", "maintenance", "releasing"}
			l.Hosts[host][name] = topology.RouterState{State: states[r.IntN(len(states))], Priority: r.IntN(3) * 100}
		}
	}
	if r.IntN(4) == 0 {
		return l
	}
	l.Health = &reconcile.Health{Tunnels: map[string]reconcile.TunnelHealth{"nothing": {Status: "down"}}, Pools: map[string]reconcile.PoolHealth{"nothing": {}}}
	for _, name := range sorted(s.Tunnels) {
		h := reconcile.TunnelHealth{Status: []string{"healthy", "degraded", "down", "inactive", "healthy"}[r.IntN(5)]}
		if h.Status != "down" && h.Status != "inactive" {
			for _, host := range s.Tunnels[name].Connectors {
				if r.IntN(2) == 0 {
					h.Connectors = append(h.Connectors, reconcile.ConnectorHealth{Address: s.Hosts[host].Address})
				}
			}
		}
		if r.IntN(3) > 0 {
			l.Health.Tunnels[name] = h
		}
	}
	for _, name := range sorted(s.Pools) {
		h := reconcile.PoolHealth{Healthy: r.IntN(3) > 0, Origins: map[string]reconcile.OriginHealth{"nothing": {}}}
		for _, o := range sorted(s.Pools[name].Origins) {
			if r.IntN(3) > 0 {
				h.Origins[o] = reconcile.OriginHealth{Healthy: r.IntN(3) > 0}
			}
		}
		if r.IntN(3) > 0 {
			l.Health.Pools[name] = h
		}
	}
	return l
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// TestLiveStateIsFailuresPlayedFirst: what is so now is as if what has failed
// were played on the specification, for the walker and for the model without
// live state, whatever fails on top.
func TestLiveStateIsFailuresPlayedFirst(t *testing.T) {
	down, outs, cuts, agreed, repaired := 0, 0, 0, 0, 0
	for seed := range uint64(600) {
		r := rand.New(rand.NewPCG(seed, 17))
		s := randomSpec(r)
		m, l := topology.New(s), randomLive(r, s)
		live := topology.New(s).Live(l)
		now := live.Present()
		dead := map[string]bool{}
		for _, c := range now.Down {
			dead[c.String()] = true
			down++
		}
		for host, routers := range l.Hosts {
			for name, state := range routers {
				if state.State == "fault" || state.State == "initialize" || state.State == "maintenance" {
					dead["member/"+name+"@"+host] = true
				}
			}
		}
		outs += len(now.Out)
		var played []topology.Component
		for _, c := range m.Components() {
			if r.IntN(5) == 0 {
				played = append(played, c)
			}
		}
		if !reflect.DeepEqual(live.Components(), m.Components()) || len(live.Entries()) != len(m.Entries()) {
			t.Fatalf("seed %d: there are other components or entries", seed)
		}
		both := without(dead, played)
		for _, e := range live.Entries() {
			if want := (walker{s, dead}).served(e.Kind, e.Name, e.Scope); live.Served(e) != want {
				t.Fatalf("seed %d, %s: served now %t, the walker says %t without %v", seed, e.ID(), !want, want, dead)
			}
			if want := (walker{s, both}).served(e.Kind, e.Name, e.Scope); live.Served(e, played...) != want {
				t.Fatalf("seed %d, %s without %v on top of %v: the walker says %t", seed, e.ID(), played, dead, want)
			}
			want := bruteForceOn(s, live, e, dead)
			if got := live.Cuts(e, 2); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("seed %d, %s: cuts now %v, brute force %v", seed, e.ID(), got, want)
			}
			cuts += len(want)
		}
		if len(now.Out) == 0 && len(now.Active) == 0 && !hasPriorities(l) {
			agree(t, seed, m, live, now.Down, played)
			agreed += len(now.Down)
		}
		for _, e := range live.Spof(1).Entries {
			if !e.Served && e.Why == "" {
				t.Errorf("seed %d, %s: nobody serves it, and why?", seed, e.ID())
			}
			for _, c := range e.Cuts {
				name, back := strings.CutPrefix(strings.TrimSuffix(c.Repair, " back, which is down now"), "bring ")
				if !back {
					continue
				}
				repaired++
				rest := without(dead, c.Components)
				delete(rest, name)
				if !dead[name] || !(walker{s, rest}).served(e.Kind, e.Name, e.Scope) {
					t.Fatalf("seed %d, %s without %v: %q does not help", seed, e.ID(), c.Components, c.Repair)
				}
			}
		}
	}
	t.Logf("%d down, %d of them compared with the model without live state, %d members out, %d cuts, %d repaired by bringing one back", down, agreed, outs, cuts, repaired)
	if down < 600 || agreed < 100 || outs < 100 || cuts < 600 || repaired < 50 {
		t.Error("hardly anything is down: this tests nothing")
	}
}

// agree compares outcomes with those of the model without live state.
func agree(t *testing.T, seed uint64, m, live *topology.Model, down, played []topology.Component) {
	t.Helper()
	now, want, then := live.WhatIf(played, ""), m.WhatIf(down, ""), m.WhatIf(slices.Concat(down, played), "")
	for i, e := range now.Entries {
		before, after := e.Before, e.After
		before.Why, want.Entries[i].After.Why = "", ""
		if !reflect.DeepEqual(before, want.Entries[i].After) {
			t.Fatalf("seed %d, %s: before %+v, want %+v", seed, e.ID(), before, want.Entries[i].After)
		}
		if !reflect.DeepEqual(after, then.Entries[i].After) {
			t.Fatalf("seed %d, %s: after %+v, want %+v", seed, e.ID(), after, then.Entries[i].After)
		}
	}
	if got, want := live.Lost(played...), m.Lost(slices.Concat(down, played)...); !slices.Equal(got, want) {
		t.Fatalf("seed %d: lost %v, want %v", seed, got, want)
	}
}

func hasPriorities(l topology.Live) bool {
	for _, routers := range l.Hosts {
		for _, r := range routers {
			if r.Priority > 0 {
				return true
			}
		}
	}
	return false
}

func without(dead map[string]bool, more []topology.Component) map[string]bool {
	all := map[string]bool{}
	for name := range dead {
		all[name] = true
	}
	for _, c := range more {
		all[c.String()] = true
	}
	return all
}

// bruteForceOn is bruteForce where these are dead already.
func bruteForceOn(s *schema.Spec, m *topology.Model, e *topology.Entry, dead map[string]bool) [][]topology.Component {
	served := func(more ...topology.Component) bool {
		return walker{s, without(dead, more)}.served(e.Kind, e.Name, e.Scope)
	}
	if !served() {
		return nil
	}
	var sets [][]topology.Component
	var rest []topology.Component
	for _, c := range m.Components() {
		if dead[c.String()] {
			continue
		}
		if !served(c) {
			sets = append(sets, []topology.Component{c})
		} else {
			rest = append(rest, c)
		}
	}
	for i, a := range rest {
		for _, b := range rest[i+1:] {
			if !served(a, b) {
				sets = append(sets, []topology.Component{a, b})
			}
		}
	}
	return sets
}

func TestTheActiveRouterIsWhoIsActiveNow(t *testing.T) {
	lb01, lb02 := topology.Component{Kind: "host", Name: "lb01"}, topology.Component{Kind: "host", Name: "lb02"}
	state := func(one, two topology.RouterState) topology.Live {
		return topology.Live{Hosts: map[string]topology.HostState{"lb01": {"web": one}, "lb02": {"web": two}}}
	}
	backup, active, fault := topology.RouterState{State: "backup"}, topology.RouterState{State: "active"}, topology.RouterState{State: "fault"}
	for _, c := range []struct {
		name string
		live topology.Live
		down topology.Component
		want string
	}{
		{"not known", topology.Live{}, lb01, "lb01 -> lb02 sticky"},
		{"the lower one, and the other fails", state(backup, active), lb01, ""},
		{"the lower one, and it fails", state(backup, active), lb02, "lb02 -> lb01"},
		{"the only one that says so", topology.Live{Hosts: map[string]topology.HostState{"lb02": {"web": active}}}, lb02, "lb02 -> lb01"},
		{"the other is in fault", state(fault, active), lb02, "lb02 -> "},
		{"nobody knows, and one is in fault", topology.Live{Hosts: map[string]topology.HostState{"lb01": {"web": fault}}}, lb02, "lb02 -> "},
		{"both", state(active, active), lb01, "lb01 -> lb02"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := ""
			for _, move := range topology.New(pair()).Live(c.live).WhatIf([]topology.Component{c.down}, "").Moves {
				got += move.From + " -> " + move.To
				if move.Sticky {
					got += " sticky"
				}
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// TestWhoDoesNotPreempt may have left the addresses to another member, which
// their owner never does.
func TestWhoDoesNotPreempt(t *testing.T) {
	yes, no := true, false
	for _, c := range []struct {
		name   string
		router bool
		member schema.RouterMember
		sticky bool
	}{
		{"none", true, schema.RouterMember{Priority: 150}, false},
		{"the Virtual Router", false, schema.RouterMember{Priority: 150}, true},
		{"the member", true, schema.RouterMember{Priority: 150, Preempt: &no}, true},
		{"all but the member", false, schema.RouterMember{Priority: 150, Preempt: &yes}, false},
		{"the owner", false, schema.RouterMember{Priority: 255}, false},
		{"none, with the priority of the other", true, schema.RouterMember{Priority: 100, Address: "192.0.2.99"}, true},
	} {
		s := pair()
		v := s.VirtualRouters["web"]
		v.Preempt, v.Members["lb01"] = c.router, c.member
		s.VirtualRouters["web"] = v
		moves := topology.New(s).WhatIf([]topology.Component{{Kind: "host", Name: "lb01"}}, "").Moves
		if len(moves) != 1 || moves[0].Sticky != c.sticky {
			t.Errorf("%s: got %+v, want sticky %t", c.name, moves, c.sticky)
		}
	}
}

// TestAPriorityThatIsLowerNow: of three, the next one is by what they have now,
// and its time by that, too.
func TestAPriorityThatIsLowerNow(t *testing.T) {
	s := pair()
	s.Hosts["lb03"] = schema.Host{Address: "192.0.2.13"}
	s.VirtualRouters["web"].Members["lb03"] = schema.RouterMember{Priority: 90}
	live := topology.New(s).Live(topology.Live{Hosts: map[string]topology.HostState{
		"lb01": {"web": {State: "active", Priority: 150}}, "lb02": {"web": {State: "backup", Priority: 40}}, "lb03": {"web": {State: "backup", Priority: 90}},
	}})
	moves := live.WhatIf([]topology.Component{{Kind: "host", Name: "lb01"}}, "").Moves
	if len(moves) != 1 || moves[0].To != "lb03" || moves[0].Death != topology.ActiveDownInterval(s.VirtualRouters["web"], 90) {
		t.Errorf("%+v", moves)
	}
	labels := ""
	for _, e := range live.Graph().Edges {
		if e.Kind == "member" {
			labels += e.To + ": " + e.Label + "\n"
		}
	}
	if labels != "host/lb01: priority 150\nhost/lb02: priority 100, now 40\nhost/lb03: priority 90\n" {
		t.Error(labels)
	}
}

// TestAPriorityByChecks: one that passes adds what it weighs, where that is more
// than 0, as all do when all is well.
func TestAPriorityByChecks(t *testing.T) {
	s := pair()
	s.Checks = map[string]schema.HealthCheck{"more": {Weight: 60}, "less": {Weight: -200}, "fault": {}, "most": {Weight: 250}}
	s.Hosts["lb03"], s.Hosts["lb04"] = schema.Host{Address: "192.0.2.13"}, schema.Host{Address: "192.0.2.14"}
	web := s.VirtualRouters["web"]
	web.Checks = []string{"less", "fault"}
	web.Members["lb02"] = schema.RouterMember{Priority: 100, Checks: []string{"more", "fault"}}
	web.Members["lb03"] = schema.RouterMember{Priority: 120}
	web.Members["lb04"] = schema.RouterMember{Priority: 80, Checks: []string{"most"}, Maintenance: true}
	s.VirtualRouters["web"] = web
	m := topology.New(s)
	moves := m.WhatIf([]topology.Component{{Kind: "host", Name: "lb02"}}, "").Moves
	if len(moves) != 1 || moves[0].From != "lb02" || moves[0].To != "lb01" || moves[0].Death != topology.ActiveDownInterval(web, 150) {
		t.Errorf("%+v", moves)
	}
	moves = m.WhatIf([]topology.Component{{Kind: "host", Name: "lb01"}}, "").Moves
	if len(moves) != 0 {
		t.Errorf("lb01 is not the Active one, and yet: %+v", moves)
	}
	labels := ""
	live := topology.New(s).Live(topology.Live{Hosts: map[string]topology.HostState{"lb02": {"web": {State: "backup", Priority: 100}}, "lb01": {"web": {State: "active", Priority: 150}}}})
	for _, e := range live.Graph().Edges {
		if e.Kind == "member" {
			labels += e.To + ": " + e.Label + "\n"
		}
	}
	if labels != "host/lb01: priority 150\nhost/lb02: priority 100, 160 by its checks, now 100\nhost/lb03: priority 120\nhost/lb04: priority 80, 254 by its checks, maintenance\n" {
		t.Error(labels)
	}
	moves = live.WhatIf([]topology.Component{{Kind: "host", Name: "lb01"}}, "").Moves
	if len(moves) != 1 || moves[0].To != "lb03" {
		t.Errorf("with what its checks cost now: %+v", moves)
	}
}

// TestAnUnhealthyPoolIsDown only where its origins do not explain it: requests
// go to an unhealthy fallback pool all the same.
func TestAnUnhealthyPoolIsDown(t *testing.T) {
	sick := reconcile.OriginHealth{Reason: "HTTP timeout"}
	for _, c := range []struct {
		origins map[string]reconcile.OriginHealth
		minimum int
		want    string
	}{
		{nil, 1, "[pool/main]"},
		{map[string]reconcile.OriginHealth{"home": {Healthy: true}, "away": {Healthy: true}}, 1, "[pool/main]"},
		{map[string]reconcile.OriginHealth{"home": sick, "away": {Healthy: true}}, 1, "[origin/main/home pool/main]"},
		{map[string]reconcile.OriginHealth{"home": sick, "away": {Healthy: true}}, 2, "[origin/main/home]"},
		{map[string]reconcile.OriginHealth{"home": sick, "away": sick}, 1, "[origin/main/away origin/main/home]"},
	} {
		s := pair()
		p := s.Pools["main"]
		p.MinimumOrigins = c.minimum
		s.Pools["main"] = p
		live := topology.New(s).Live(topology.Live{Health: &reconcile.Health{Pools: map[string]reconcile.PoolHealth{"main": {Origins: c.origins}}}})
		if got := fmt.Sprint(live.Present().Down); got != c.want {
			t.Errorf("%v, at least %d: down are %s, want %s", c.origins, c.minimum, got, c.want)
		}
	}
}

func TestWhyNobodyServesItNow(t *testing.T) {
	live := topology.New(pair()).Live(topology.Live{
		Health: &reconcile.Health{
			Tunnels: map[string]reconcile.TunnelHealth{"home": {Status: "down"}},
			Pools:   map[string]reconcile.PoolHealth{"main": {Origins: map[string]reconcile.OriginHealth{"away": {}}}},
		},
		Hosts:   map[string]topology.HostState{"lb01": {"web": {State: "fault"}}, "lb02": {"web": {State: "backup"}}},
		Unknown: []string{"host lb03: no answer"},
	})
	r := live.Spof(1)
	const want = "now connector/home@lb01 is down, connector/home@lb02 is down, origin/main/away is down, lb01 of virtualRouter/web is in fault"
	var why []string
	for _, e := range r.Entries {
		if !e.Served {
			why = append(why, e.ID()+": "+e.Why)
		}
	}
	if got := strings.Join(why, "\n"); !strings.Contains(got, "loadBalancer/www.example.com: "+want) {
		t.Errorf("got %s", got)
	}
	if len(r.Violations()) != 0 {
		t.Error("nothing is marked highAvailability")
	}
	for _, e := range live.WhatIf(nil, "").Entries {
		if e.ID() == "loadBalancer/www.example.com" && e.Before.Why != want {
			t.Errorf("before: %s", e.Before.Why)
		}
	}
	for _, e := range r.Entries { // The Virtual Router has one member left.
		if e.Kind == "virtualRouter" && (!e.Served || fmt.Sprint(e.Cuts[0].Components) != "[host/lb02]") {
			t.Errorf("%+v", e)
		}
	}
	if p := r.Present; fmt.Sprint(p.Unknown, p.Out) != "[host lb03: no answer] [lb01 of virtualRouter/web is in fault]" {
		t.Errorf("%+v", p)
	}
	if topology.New(pair()).Spof(1).Present != nil {
		t.Error("without live state something is said of the present")
	}
}
