package drill

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/hactl/hactl/reconcile/topology"
	"github.com/hactl/hactl/schema"
)

// world is what a drill has done to the hosts so far, and so what must be.
type world struct {
	spec      *schema.Spec
	model     *topology.Model
	dead      map[string]bool            // without hactl run
	off       map[string]bool            // and without power
	unplugged map[string]map[string]bool // interface by host; "" for all
	failing   map[string]map[string]bool // check by host
	apart     []string                   // hosts that do not hear each other

	members map[string]map[string]schema.HostRouter // of the specification: by router, by host
	former  map[string]map[string]int               // priorities before this step, like members
}

func newWorld() *world {
	return &world{dead: map[string]bool{}, off: map[string]bool{}, unplugged: map[string]map[string]bool{}, failing: map[string]map[string]bool{}}
}

// follow takes over a specification.
func (w *world) follow(spec *schema.Spec) {
	w.spec, w.model = spec, topology.New(spec)
	w.members = map[string]map[string]schema.HostRouter{}
	for host := range spec.Hosts {
		for _, o := range spec.HostObjects(host) {
			if r, ok := o.(schema.HostRouter); ok {
				if w.members[r.Name] == nil {
					w.members[r.Name] = map[string]schema.HostRouter{}
				}
				w.members[r.Name][host] = r
			}
		}
	}
}

// Cause is why a Virtual Router's addresses go elsewhere.
type Cause string

// The causes.
const (
	Death   Cause = "death"   // the Active one is heard no more: Active_Down_Interval
	Release Cause = "release" // it says that it gives up: Skew_Time, and answers meanwhile
	Yield   Cause = "yield"   // it says that others may be better now: Skew_Time, and answers meanwhile
	Preempt Cause = "preempt" // a better one takes over, when its Active_Down_Interval has passed
	First   Cause = "first"   // nobody was Active
	Parted  Cause = "parted"  // each side of a split has its own
)

// Prediction is what must become of a Virtual Router.
type Prediction struct {
	Router string `json:"virtualRouter"`
	// From are the hosts that are Active, and To those that will be; sorted. More
	// than one only in a split.
	From  []string `json:"from"`
	To    []string `json:"to"`
	Cause Cause    `json:"cause,omitempty"` // empty where nothing changes
	// Switch is from what Cause names until the new one's first advertisement; 0
	// where the specification does not say.
	Switch schema.Duration `json:"switch,omitempty"`
	// Silent is how long the addresses do not answer, at most. It counts for
	// nothing where To is empty.
	Silent schema.Duration `json:"silent"`
}

// predict says what becomes of every Virtual Router in this world, sorted.
// active is who was so; gone by itself is a host that fell silent, rather than
// giving up.
func (w *world) predict(active map[string][]string, silenced map[string]bool) []Prediction {
	var all []Prediction
	for _, name := range sorted(w.spec.VirtualRouters) {
		all = append(all, w.router(name, active[name], silenced))
	}
	w.together(all)
	return all
}

// remember keeps the priorities of now: a step follows.
func (w *world) remember() {
	w.former = map[string]map[string]int{}
	for name, members := range w.members {
		w.former[name] = map[string]int{}
		for host := range members {
			w.former[name][host] = w.priority(name, host)
		}
	}
}

// yields tells whether the Active router says that it is worse than it was, and
// the one that is better is no better than it was: nobody else is the first to
// know. In a sync group the others have to be ready as well.
func (w *world) yields(name, current, best string) bool {
	former, known := w.former[name][current]
	return known && w.members[name][current].SyncGroup == "" &&
		w.priority(name, current) < former && w.priority(name, best) <= w.former[name][best]
}

// together has the Virtual Routers of a sync group move when the last of them
// can.
func (w *world) together(all []Prediction) {
	group := func(p *Prediction) string {
		if len(p.To) != 1 || p.Switch == 0 {
			return ""
		}
		return w.members[p.Router][p.To[0]].SyncGroup
	}
	last := map[string]Prediction{}
	for i := range all {
		g := group(&all[i])
		l := last[g]
		l.Switch, l.Silent = max(l.Switch, all[i].Switch), max(l.Silent, all[i].Silent)
		last[g] = l
	}
	for i := range all {
		if g := group(&all[i]); g != "" {
			all[i].Switch = last[g].Switch
			if all[i].Silent > 0 {
				all[i].Silent = last[g].Silent
			}
		}
	}
}

func (w *world) router(name string, active []string, silenced map[string]bool) Prediction {
	v := w.spec.VirtualRouters[name]
	able := w.able(name)
	p := Prediction{Router: name, From: slices.Clone(active)}
	if apart := w.parted(name, able, active); len(apart) > 1 {
		p.To = apart
		if !slices.Equal(p.From, p.To) {
			p.Cause = Parted
		}
		return p
	}
	if len(able) == 0 {
		if len(p.From) > 0 {
			p.Cause = gone(active, silenced)
		}
		return p
	}
	best := able[0]
	current := w.current(able, active)
	if current != "" {
		best = w.successor(name, able, current)
	}
	member := w.members[name][best]
	switch {
	case current != "" && best == current: // It stays, and of two in a healed split the better one.
	case current != "":
		p.Cause = Preempt
		p.Switch = topology.ActiveDownInterval(v, w.priority(name, best))
		if w.yields(name, current, best) {
			p.Cause = Yield
			p.Switch = topology.SkewTime(v, w.priority(name, best))
		}
		if member.PreemptDelay > 0 || member.StartupDelay > 0 || member.Priority == 255 {
			p.Switch = 0 // An owner is Active as soon as it starts.
		}
	case len(active) == 0:
		p.Cause = First
	case gone(active, silenced) == Death:
		p.Cause = Death
		p.Switch = topology.ActiveDownInterval(v, w.priority(name, best))
		p.Silent = p.Switch
	default:
		p.Cause = Release
		p.Switch = topology.SkewTime(v, w.priority(name, best))
	}
	p.To = []string{best}
	return p
}

// gone is why the Active hosts are so no more: one fell silent, or all said so.
func gone(active []string, silenced map[string]bool) Cause {
	if slices.ContainsFunc(active, func(h string) bool { return silenced[h] }) {
		return Death
	}
	return Release
}

// successor is who is Active where one is that goes on: the best of those that
// take over from it, which need not be the best of all, or itself.
func (w *world) successor(name string, able []string, current string) string {
	for _, host := range able {
		if w.takes(name, host, current) {
			return host
		}
	}
	return current
}

// takes tells whether a member takes over from another one that goes on.
func (w *world) takes(name, host, from string) bool {
	m := w.members[name][host]
	return (m.Preempt || m.Priority == 255) && w.priority(name, host) > w.priority(name, from)
}

// current is the Active host that may go on, the better one of several; "" for
// none.
func (w *world) current(able, active []string) string {
	for _, host := range able {
		if slices.Contains(active, host) {
			return host
		}
	}
	return ""
}

// able are the members that can be Active, the best first.
func (w *world) able(name string) []string {
	var hosts []string
	for host := range w.members[name] {
		if w.fit(name, host) && w.grouped(name, host) {
			hosts = append(hosts, host)
		}
	}
	slices.SortFunc(hosts, func(a, b string) int {
		return cmp.Or(cmp.Compare(w.priority(name, b), w.priority(name, a)), address(w.spec, b).Compare(address(w.spec, a)), cmp.Compare(a, b))
	})
	return hosts
}

func address(s *schema.Spec, host string) netip.Addr {
	a, _ := netip.ParseAddr(s.Hosts[host].Address)
	return a
}

// fit tells whether nothing keeps a member from being Active.
func (w *world) fit(name, host string) bool {
	m := w.members[name][host]
	if out := w.unplugged[host]; w.dead[host] || m.Maintenance || out[""] || out[m.Interface] {
		return false
	}
	for _, check := range m.Checks {
		if w.failing[host][check] && w.spec.Checks[check].Weight == 0 {
			return false
		}
	}
	return true
}

// grouped tells whether a member may be Active as far as its sync groups go:
// all of them or none.
func (w *world) grouped(name, host string) bool {
	group := w.members[name][host].SyncGroup
	for other := range w.members {
		if m, member := w.members[other][host]; member && group != "" && m.SyncGroup == group && !w.fit(other, host) {
			return false
		}
	}
	return true
}

// priority is what a member advertises, with what its checks cost.
func (w *world) priority(name, host string) int {
	m := w.members[name][host]
	p := m.Priority
	if p == 255 {
		return p
	}
	for _, check := range m.Checks {
		if weight := w.spec.Checks[check].Weight; w.failing[host][check] == (weight < 0) {
			p += weight
		}
	}
	return min(max(p, 1), 254)
}

// parted are the hosts that are Active in a split: each that hears no better
// one that is, nor one that it leaves the addresses to. Both sides hear a host
// that is not in the split.
func (w *world) parted(name string, able, active []string) (hosts []string) {
	for _, host := range able {
		hears := func(other string) bool {
			return other != host && (!slices.Contains(w.apart, host) || !slices.Contains(w.apart, other))
		}
		m := w.members[name][host]
		stays := !m.Preempt && m.Priority != 255 && !slices.Contains(active, host) &&
			slices.ContainsFunc(active, func(other string) bool { return hears(other) && slices.Contains(able, other) })
		if !stays && !slices.ContainsFunc(hosts, hears) {
			hosts = append(hosts, host)
		}
	}
	if len(hosts) < 2 {
		return nil
	}
	slices.Sort(hosts)
	return hosts
}

// canCable says why a cable cannot be plugged in, or pulled: it is so already.
func (w *world) canCable(host, iface string, plug bool) error {
	out := w.unplugged[host]
	any := false
	for _, is := range out {
		any = any || is
	}
	switch {
	case !plug && (out[""] || out[iface]), plug && iface != "" && !out[""] && !out[iface], plug && !any:
		return fmt.Errorf("it is %sged already", map[bool]string{true: "plug", false: "unplug"}[plug])
	case plug && iface != "" && out[""]:
		return fmt.Errorf("all of its cables are out: plug %s", host)
	}
	return nil
}

// failed are the hosts that serve nothing, and the Virtual Routers that nobody
// can be Active for, as components.
func (w *world) failed() []topology.Component {
	var all []topology.Component
	for _, host := range sorted(w.spec.Hosts) {
		if w.off[host] || w.unplugged[host][""] {
			all = append(all, topology.Component{Kind: topology.KindHost, Name: host})
		}
	}
	for _, router := range sorted(w.spec.VirtualRouters) {
		if len(w.able(router)) == 0 {
			all = append(all, topology.Component{Kind: topology.KindVirtualRouter, Name: router})
		}
	}
	return all
}

// unserved are the entry points that nobody answers for.
func (w *world) unserved() []string {
	var all []string
	for _, e := range w.model.Entries() {
		if !w.model.Served(e, w.failed()...) {
			all = append(all, e.ID())
		}
	}
	return all
}
