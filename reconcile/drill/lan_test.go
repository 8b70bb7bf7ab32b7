package drill

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hactl/hactl/engines/host"
	"github.com/hactl/hactl/engines/host/memory"
	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/topology"
	"github.com/hactl/hactl/schema"
)

// TestTheRoutersDoAsPredicted plays deaths, planned stops, returns, checks and edits
// with the machines that hosts run, on virtual time: who is Active afterwards, how
// long after what the cause names, and that a plan with the edit says so too.
func TestTheRoutersDoAsPredicted(t *testing.T) {
	const seeds = 1000
	seen := map[Cause]int{}
	for seed := range uint64(seeds) {
		synctest.Test(t, func(t *testing.T) { newPlayground(t, seed).play(seen) })
		if t.Failed() {
			return
		}
	}
	t.Logf("seeds 0 to %d of PCG 29: %v", seeds-1, seen)
	for _, cause := range []Cause{Death, Release, Yield, Preempt, "edit"} {
		if seen[cause] < 20 {
			t.Errorf("hardly any %s: %d", cause, seen[cause])
		}
	}
}

type playground struct {
	t     *testing.T
	r     *rand.Rand
	w     *world
	lan   *memory.LAN
	nodes map[string]*memory.Node
	did   []string

	mu      sync.Mutex
	adverts []memory.Advert
}

func newPlayground(t *testing.T, seed uint64) *playground {
	p := &playground{t: t, r: rand.New(rand.NewPCG(seed, 29)), w: newWorld(), lan: memory.NewLAN(), nodes: map[string]*memory.Node{}}
	p.did = []string{fmt.Sprint("seed ", seed)}
	p.lan.Watch(func(a memory.Advert) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.adverts = append(p.adverts, a)
	})
	s := routers(p.r)
	s.SyncGroups = nil // not in memory
	p.w.follow(s)
	for _, name := range sorted(s.Hosts) {
		p.nodes[name] = p.lan.Join(name, netip.MustParseAddr(s.Hosts[name].Address))
		p.boot(name)
	}
	return p
}

func (p *playground) boot(name string) {
	n := p.nodes[name]
	n.Crash() // after a stop its process has ended
	n.Boot()
	p.configure(name)
	results := map[string]host.Result{}
	for check := range p.w.spec.Checks {
		results[check] = host.Result{OK: !p.w.failing[name][check]}
	}
	n.Results(results)
}

func (p *playground) configure(name string) {
	c, err := host.NewConfig(name, "1", p.w.spec.HostObjects(name), nil)
	if err == nil {
		err = p.nodes[name].Configure(c)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *playground) active() map[string][]string {
	active := map[string][]string{}
	for name, v := range p.w.spec.VirtualRouters {
		active[name] = p.lan.Holders(v.Address())
	}
	return active
}

func (p *playground) play(seen map[Cause]int) {
	p.settle(p.w.predict(nil, nil), time.Now(), nil)
	for range 12 {
		time.Sleep(time.Duration(p.r.Int64N(int64(2 * time.Second)))) // not in step with the advertisements
		active, at, silenced := p.active(), time.Now(), map[string]bool{}
		before, well := p.w.spec, p.well(active)
		p.w.remember()
		p.mu.Lock()
		p.adverts = slices.DeleteFunc(p.adverts, func(a memory.Advert) bool { return at.Sub(a.Time) > 5*time.Second })
		p.mu.Unlock()
		p.do(sorted(p.w.spec.Hosts)[p.r.IntN(len(p.w.spec.Hosts))], silenced)
		predictions := p.w.predict(active, silenced)
		if well && p.w.spec != before {
			p.impact(before, predictions)
			seen["edit"]++
		}
		p.settle(predictions, at, seen)
		if p.t.Failed() {
			return
		}
	}
	for _, n := range p.nodes {
		n.Crash()
	}
}

// do plays something on a host.
func (p *playground) do(name string, silenced map[string]bool) {
	w, n := p.w, p.nodes[name]
	what := ""
	switch {
	case w.dead[name]:
		what = "boot"
		w.dead[name] = false
		p.boot(name)
	case p.r.IntN(3) == 0:
		what = "kill"
		w.dead[name], silenced[name] = true, true
		n.Crash()
	case p.r.IntN(2) == 0:
		what = "stop"
		w.dead[name] = true
		n.Stop()
	case p.r.IntN(3) == 0:
		what = p.edit()
	default:
		check := sorted(w.spec.Checks)[p.r.IntN(len(w.spec.Checks))]
		if w.failing[name] == nil {
			w.failing[name] = map[string]bool{}
		}
		w.failing[name][check] = !w.failing[name][check]
		what = fmt.Sprintf("%s fails: %t", check, w.failing[name][check])
		n.Results(map[string]host.Result{check: {OK: !w.failing[name][check]}})
	}
	p.did = append(p.did, name+" "+what)
}

// well tells whether every host does what it can, and the best are Active.
func (p *playground) well(active map[string][]string) bool {
	for name, v := range p.w.spec.VirtualRouters {
		able := p.w.able(name)
		if !slices.Equal(active[name], able[:min(1, len(able))]) {
			return false
		}
		for host := range v.Members {
			for _, fails := range p.w.failing[host] {
				if fails {
					return false
				}
			}
			if p.w.dead[host] {
				return false
			}
		}
	}
	return true
}

// impact holds what a plan says of mastership against what was predicted.
func (p *playground) impact(before *schema.Spec, predictions []Prediction) {
	said := map[string]string{}
	for _, f := range topology.Compare(before, p.w.spec) {
		if f.Kind == reconcile.Mastership {
			said[f.ID.Name] = f.Message
		}
	}
	for _, x := range predictions {
		want := ""
		switch {
		case slices.Equal(x.From, x.To):
		case len(x.To) == 0:
			want = "has no member in service any more: nobody has its addresses"
		case len(x.From) == 0:
			want = "gets its addresses on " + x.To[0]
		default:
			want = "mastership moves " + x.From[0] + " -> " + x.To[0]
		}
		if got, _, _ := strings.Cut(said[x.Router], ", unless "); got != want {
			p.t.Errorf("%v: impact says %q, predicted %+v", p.did, got, x)
		}
	}
}

// edit changes a member of a Virtual Router, and has every host run that.
func (p *playground) edit() (what string) {
	w := p.w
	name := sorted(w.spec.VirtualRouters)[p.r.IntN(len(w.spec.VirtualRouters))]
	v := w.spec.VirtualRouters[name]
	if len(v.Members) == 0 {
		return "nothing"
	}
	on := sorted(v.Members)[p.r.IntN(len(v.Members))]
	m := v.Members[on]
	switch p.r.IntN(3) {
	case 0:
		m.Maintenance = !m.Maintenance
	case 1:
		m.Preempt = new(p.r.IntN(2) == 0)
	default:
		if m.Priority != 255 { // Who owns the addresses does so for good.
			m.Priority = 1 + p.r.IntN(254)
		}
	}
	s := *w.spec
	s.VirtualRouters = maps.Clone(s.VirtualRouters)
	v.Members = maps.Clone(v.Members)
	v.Members[on] = m
	s.VirtualRouters[name] = v
	w.follow(&s)
	for host := range p.nodes { // in any order
		if !w.dead[host] {
			p.configure(host)
		}
	}
	return fmt.Sprintf("as member of %s: priority %d, maintenance %t, preempt %t", name, m.Priority, m.Maintenance, w.members[name][on].Preempt)
}

// settle waits and holds what has become of all against what was predicted.
func (p *playground) settle(predictions []Prediction, at time.Time, seen map[Cause]int) {
	time.Sleep(10 * time.Second)
	synctest.Wait()
	now := p.active()
	for _, x := range predictions {
		is := now[x.Router]
		alike := len(is) == 1 && len(x.To) == 1 && slices.Contains(p.w.able(x.Router), is[0]) &&
			(p.w.priority(x.Router, is[0]) == p.w.priority(x.Router, x.To[0]) || x.Cause == First && !p.w.members[x.Router][is[0]].Preempt)
		if !slices.Equal(is, x.To) && !alike {
			p.t.Errorf("%v: %v have %s, predicted %+v", p.did, is, x.Router, x)
			continue
		}
		if x.Cause == "" || x.Switch == 0 {
			continue
		}
		took := p.took(x, is[0], at)
		if x.Cause == Preempt && took == 0 {
			continue // Nothing on the wire says since when.
		}
		if d := took - time.Duration(x.Switch); d.Abs() > time.Millisecond {
			p.t.Errorf("%v: %s took %v, predicted %+v", p.did, x.Router, took, x)
		}
		seen[x.Cause]++
	}
}

// took is how long a switch took, from what its cause names. Who is back hears
// the Active one from when it is there, which is at.
func (p *playground) took(x Prediction, to string, at time.Time) time.Duration {
	v := p.w.spec.VirtualRouters[x.Router]
	p.mu.Lock()
	defer p.mu.Unlock()
	var began, first time.Time
	for _, a := range p.adverts {
		switch {
		case int(a.VRID) != v.VRID:
		case a.Host == to && a.Priority > 0 && !a.Time.Before(at) && first.IsZero():
			first = a.Time
		case !slices.Contains(x.From, a.Host) || !first.IsZero():
		case x.Cause == Death && a.Priority > 0, (x.Cause == Release || x.Cause == Yield) && a.Priority == 0 && began.IsZero() && !a.Time.Before(at):
			began = a.Time
		}
	}
	if x.Cause == Preempt {
		if !strings.HasSuffix(p.did[len(p.did)-1], " boot") {
			return 0
		}
		began = at
	}
	if first.IsZero() || began.IsZero() {
		p.t.Errorf("%v: %s: the switch was not seen", p.did, x.Router)
		return 0
	}
	return first.Sub(began)
}
