package drill

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/hactl/hactl/reconcile/topology"
	"github.com/hactl/hactl/schema"
)

// TestWhatIfAndDrillsAgree: two ways to say what becomes of a Virtual Router when
// a host dies or hands over, that share no code but the two intervals.
func TestWhatIfAndDrillsAgree(t *testing.T) {
	const seeds = 3000
	moved := 0
	for seed := range uint64(seeds) {
		r := rand.New(rand.NewPCG(seed, 23))
		s := routers(r)
		w := newWorld()
		w.follow(s)
		active := map[string][]string{}
		for name := range s.VirtualRouters {
			active[name] = w.able(name)
			active[name] = active[name][:min(1, len(active[name]))]
		}
		for _, host := range sorted(s.Hosts) {
			moves := map[string]topology.Move{}
			for _, m := range w.model.WhatIf([]topology.Component{{Kind: topology.KindHost, Name: host}}, "").Moves {
				moves[m.Router] = m
			}
			w.dead[host] = true
			for _, silenced := range []map[string]bool{{host: true}, {}} {
				for _, p := range w.predict(active, silenced) {
					m, moves := moves[p.Router]
					if moves != (p.Cause != "") {
						t.Fatalf("seed %d: %s dies, whatif %+v, drill %+v\n%+v", seed, host, m, p, s)
					}
					if !moves {
						continue
					}
					moved++
					took := m.Death
					if len(silenced) == 0 {
						took = m.Handover
					}
					if fmt.Sprint(p.From) != fmt.Sprint([]string{m.From}) || fmt.Sprint(p.To) != fmt.Sprint(slices.DeleteFunc([]string{m.To}, func(h string) bool { return h == "" })) || p.Switch != took {
						t.Fatalf("seed %d: %s dies, whatif %+v, drill %+v\n%+v", seed, host, m, p, s)
					}
				}
			}
			w.dead[host] = false
		}
	}
	t.Logf("seeds 0 to %d of PCG 23: %d moves", seeds-1, moved)
	if moved < seeds {
		t.Error("hardly anything moves")
	}
}

// routers is a specification of Virtual Routers alone; those of a sync group have
// the same members.
func routers(r *rand.Rand) *schema.Spec {
	some := func(n int) bool { return r.IntN(n) == 0 }
	s := &schema.Spec{Hosts: map[string]schema.Host{}, VirtualRouters: map[string]schema.VirtualRouter{}, Checks: map[string]schema.HealthCheck{}, SyncGroups: map[string]schema.SyncGroup{}}
	hosts := 2 + r.IntN(3)
	for i := range hosts {
		s.Hosts[fmt.Sprint("h", i)] = schema.Host{Address: fmt.Sprintf("10.0.0.%d", 1+(i*7+3)%11), Maintenance: some(8)}
	}
	for i, weight := range []int{0, -60, 40, 250} {
		s.Checks[fmt.Sprint("c", i)] = schema.HealthCheck{Type: "interface", Interface: "eth1", Weight: weight}
	}
	checks := func() []string {
		list := []string{}
		for name := range s.Checks {
			if some(4) {
				list = append(list, name)
			}
		}
		slices.Sort(list)
		return list
	}
	var group []string
	for i := range 1 + r.IntN(3) {
		v := schema.VirtualRouter{
			VRID: 1 + i, Interface: fmt.Sprint("eth", r.IntN(2)), Addresses: []string{fmt.Sprintf("10.0.0.%d/24", 50+i)}, Version: 2 + r.IntN(2),
			Interval: schema.Duration([]time.Duration{100 * time.Millisecond, time.Second}[r.IntN(2)]),
			Preempt:  !some(3), Accept: true, Checks: checks(), Members: map[string]schema.RouterMember{},
		}
		if v.Version == 2 {
			v.Interval = schema.Seconds(1)
		}
		for h := range hosts {
			if some(5) {
				continue
			}
			m := schema.RouterMember{Priority: []int{100, 100, 101, 150, 200, 254}[r.IntN(6)], Maintenance: some(8)}
			if some(3) {
				m.Checks = checks()
			}
			if some(3) {
				preempt := some(2)
				m.Preempt = &preempt
			}
			v.Members[fmt.Sprint("h", h)] = m
		}
		if some(6) && len(v.Members) > 0 {
			owner := sorted(v.Members)[0]
			m := v.Members[owner]
			m.Priority = 255
			v.Members[owner] = m
		}
		name := fmt.Sprint("r", i)
		s.VirtualRouters[name] = v
		if some(2) {
			group = append(group, name)
		}
	}
	for _, name := range group { // Members that disagree on who is better have no answer.
		v, first := s.VirtualRouters[name], s.VirtualRouters[group[0]]
		v.Members, v.Checks, v.Preempt = first.Members, first.Checks, first.Preempt
		s.VirtualRouters[name] = v
	}
	if len(group) > 1 {
		s.SyncGroups["g"] = schema.SyncGroup{Members: group}
	}
	return s
}
