package reconcile_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/schema"
)

// model is a server that plans are applied to.
type model struct {
	t       *testing.T
	entries map[reconcile.Handle]reconcile.Entry
	last    int
}

func (m *model) live() reconcile.Live {
	l := reconcile.Live{}
	for _, e := range m.entries {
		l.Entries = append(l.Entries, e)
	}
	l.Sort()
	return l
}

// put creates or changes an object; what it refers to has to be there.
func (m *model) put(h reconcile.Handle, o schema.Object) {
	m.t.Helper()
	if h == "" {
		m.last++
		h = reconcile.Handle(fmt.Sprint("h", m.last))
	}
	e := reconcile.Entry{Object: o, Handle: h, Owned: true, Created: fmt.Sprintf("%06d", m.last)}
	l := m.live()
	handles := l.Handles()
	for _, r := range o.Refs() {
		if r.Kind == schema.KindZone {
			continue
		}
		to, ok := handles[r]
		if !ok {
			m.t.Fatalf("%s refers to %s, which is not there", o.ID(), r)
		}
		e.Refers = append(e.Refers, to)
	}
	for other, there := range m.entries {
		if x, ok := o.(schema.Exclusive); ok && other != h && x.Excludes(there.Object) {
			m.t.Fatalf("%s and %s exclude each other", o.ID(), there.Object.ID())
		}
	}
	m.entries[h] = e
}

// remove deletes an object; nothing may refer to it but parts of it.
func (m *model) remove(h reconcile.Handle) {
	m.t.Helper()
	for _, e := range m.entries {
		if slices.Contains(e.Refers, h) && e.Object.ID().Kind != schema.KindTunnelConfiguration {
			m.t.Fatalf("%s is deleted while %s refers to it", h, e.Object.ID())
		}
	}
	removed := m.entries[h].Object.ID()
	delete(m.entries, h)
	for part, e := range m.entries {
		if c, ok := e.Object.(schema.TunnelConfiguration); ok && removed == c.Refs()[0] {
			delete(m.entries, part)
		}
	}
}

// apply carries a plan out in its order. What is replaced goes before the
// first deletion: it may refer to what is deleted.
func (m *model) apply(p *reconcile.Plan, d reconcile.Desired) {
	m.t.Helper()
	var retired []reconcile.Handle
	retire := func() {
		for _, h := range retired {
			m.remove(h)
		}
		retired = nil
	}
	for _, s := range p.Steps {
		if s.Action == reconcile.Delete {
			retire()
		}
		switch s.Action {
		case reconcile.Create:
			m.put("", d.Objects[s.ID])
		case reconcile.Update:
			m.put(s.Handle, d.Objects[s.ID])
		case reconcile.Replace:
			if s.ID.Kind == schema.KindDNSRecord { // The two are swapped at once.
				m.remove(s.Handle)
			} else {
				e := m.entries[s.Handle]
				e.Owned = false // Its successor stands for the ID from now on.
				m.entries[s.Handle] = e
				retired = append(retired, s.Handle)
			}
			m.put("", d.Objects[s.ID])
		case reconcile.Delete:
			m.remove(s.Handle)
		}
	}
	retire()
}

// random makes a specification whose references all hold.
func random(r *rand.Rand) reconcile.Desired {
	name := func(prefix string, n int) string { return fmt.Sprint(prefix, r.IntN(n)) }
	var objects []schema.Object
	monitorNames, poolNames, tunnelNames := map[string]bool{}, map[string]bool{}, map[string]bool{}
	pick := func(names map[string]bool) string {
		var all []string
		for n := range names {
			all = append(all, n)
		}
		slices.Sort(all)
		if len(all) == 0 || r.IntN(4) == 0 {
			return ""
		}
		return all[r.IntN(len(all))]
	}
	for range r.IntN(4) {
		m := monitor(name("m", 4))
		m.Retries = r.IntN(3)
		monitorNames[m.Name] = true
		objects = append(objects, m)
	}
	for range r.IntN(3) {
		n := name("t", 3)
		tunnelNames[n] = true
		objects = append(objects, tunnel(n), configuration(n, serve("", name("service", 3))))
	}
	for range r.IntN(5) {
		p := pool(name("p", 5), pick(monitorNames), name("a", 3))
		if t := pick(tunnelNames); t != "" {
			p.Origins["t"] = schema.Origin{Tunnel: t}
		}
		poolNames[p.Name] = true
		objects = append(objects, p)
	}
	for range r.IntN(4) {
		if p := pick(poolNames); p != "" {
			l := balancer(name("l", 4)+".example.com", p)
			l.Zone = name("z", 2) + ".com"
			if q := pick(poolNames); q != "" {
				l.DefaultPools = []string{q}
			}
			objects = append(objects, l)
		}
	}
	for i := range r.IntN(4) {
		rec := record(fmt.Sprint("r", i), name("n", 5), []string{"A", "CNAME", "TXT"}[r.IntN(3)], name("c", 3))
		exclusive := func(o schema.Object) bool { return rec.Excludes(o) }
		if !slices.ContainsFunc(objects, exclusive) {
			objects = append(objects, rec)
		}
	}
	return desired(objects...)
}

// TestAnyPlanAppliedLeavesNothingToDo goes from one random specification to
// the next and checks on the way that no step comes too early.
func TestAnyPlanAppliedLeavesNothingToDo(t *testing.T) {
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 1))
		m := &model{t: t, entries: map[reconcile.Handle]reconcile.Entry{}}
		for round := range 3 {
			d := random(r)
			before := m.live()
			p := reconcile.Diff(d, before)
			wantOrder(t, p)
			if again := summarize(reconcile.Diff(d, m.live())); again != summarize(p) {
				t.Fatalf("seed %d: two plans for one thing:\n%s\n%s", seed, again, summarize(p))
			}
			if tradesNames(p) {
				break // One of the two has to be moved aside by hand.
			}
			m.apply(p, d)
			left := reconcile.Diff(d, m.live())
			if t.Failed() || len(left.Steps) > 0 {
				t.Fatalf("seed %d, round %d: plan\n%sleft\n%s", seed, round, summarize(p), summarize(left))
			}
		}
	}
}

// tradesNames tells whether records move into each other's places, which no
// order of single changes allows.
func tradesNames(p *reconcile.Plan) bool {
	moving := 0
	for _, s := range p.Steps {
		if s.ID.Kind == schema.KindDNSRecord && s.Action != reconcile.Create && s.Action != reconcile.Delete {
			moving++
		}
	}
	return moving > 1
}
