package topology

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/schema"
)

// gravest orders what people are told: what is lost comes first.
var gravest = []reconcile.FactKind{
	reconcile.Unserved, reconcile.Closed, reconcile.Removed, reconcile.Disconnects, reconcile.Mastership, reconcile.Sessions, reconcile.Moved, reconcile.Resilience,
}

// Impact is what people are told of facts: findings, the gravest first, then by
// object. What guard rails refuse is said to be.
func Impact(facts []reconcile.Fact, violations []reconcile.Violation) []reconcile.Finding {
	facts = slices.Clone(facts)
	slices.SortStableFunc(facts, func(a, b reconcile.Fact) int {
		return cmp.Or(slices.Index(gravest, a.Kind)-slices.Index(gravest, b.Kind), a.ID.Compare(b.ID), strings.Compare(a.Message, b.Message))
	})
	findings := []reconcile.Finding{}
	for _, f := range facts {
		if f.Kind == reconcile.Originless {
			continue // How it would be, which is nothing that changes.
		}
		if f.Refused(violations) {
			f.Message += " (refused)"
		}
		findings = append(findings, f.Finding)
	}
	return findings
}

func sortFacts(facts []reconcile.Fact) {
	slices.SortStableFunc(facts, func(a, b reconcile.Fact) int {
		return cmp.Or(a.ID.Compare(b.ID), strings.Compare(a.Message, b.Message))
	})
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// Compare are the facts of a change from one specification to another, sorted
// by object. Live connections are not known of either.
func Compare(before, after *schema.Spec) []reconcile.Fact { return compare(before, after, after, nil) }

// compare is Compare of what specifications come to at Cloudflare: wanted is
// the one that after comes from. A record that is not among those named is
// somebody else's; nil are all.
func compare(before, after, wanted *schema.Spec, records map[string]bool) []reconcile.Fact {
	now, _ := build(before, nil, false, false)
	then, _ := build(after, nil, false, false)
	c := comparison{before: now, after: then, wanted: wanted, records: records, told: map[reconcile.Fact][]string{}, scopes: map[schema.ID]int{}, passes: map[string]move{}}
	c.routers()
	c.entries()
	c.sessions()
	facts := make([]reconcile.Fact, 0, len(c.told))
	for f, scopes := range c.told {
		slices.Sort(scopes)
		scopes = slices.Compact(scopes)
		if all := c.scopes[f.ID]; len(scopes) < all && scopes[0] != everywhere {
			f.Message += " (" + strings.Join(scopes, "; ") + ")"
		}
		facts = append(facts, f)
	}
	sortFacts(facts)
	return facts
}

const everywhere = "everywhere"

type comparison struct {
	before, after *Model
	wanted        *schema.Spec
	records       map[string]bool
	told          map[reconcile.Fact][]string // with the scopes that it is true for
	scopes        map[schema.ID]int
	passes        map[string]move // mastership of Virtual Routers, by name
	willing       map[string]bool // entries that would be served, by ID; see meant
}

// move is from one host to another.
type move struct{ from, to string }

func (c *comparison) tell(kind reconcile.FactKind, id schema.ID, scope, format string, args ...any) {
	f := reconcile.Fact{Finding: reconcile.Finding{ID: id, Message: fmt.Sprintf(format, args...)}, Kind: kind}
	c.told[f] = append(c.told[f], cmp.Or(scope, everywhere))
}

func (c *comparison) routers() {
	then := c.after.circuit.state()
	now := c.before.circuit.state()
	for _, name := range sortedKeys(c.before.routers) {
		id := schema.ID{Kind: schema.KindVirtualRouter, Name: name}
		if _, ours := c.before.spec.VirtualRouters[name]; !ours {
			continue
		}
		from := c.before.active(c.before.routers[name], now).host
		r, stays := c.after.routers[name]
		if _, ours := c.after.spec.VirtualRouters[name]; !stays || !ours {
			c.tell(reconcile.Mastership, id, "", "goes, and its addresses with it: %s", strings.Join(c.before.spec.VirtualRouters[name].Addresses, ", "))
			continue
		}
		to := c.after.successor(r, from, then).host
		c.passes[name] = move{from, to}
		switch {
		case from == to:
		case to == "":
			c.tell(reconcile.Mastership, id, "", "has no member in service any more: nobody has its addresses")
		case from == "":
			c.tell(reconcile.Mastership, id, "", "gets its addresses on %s", to)
		case c.before.equals(c.before.routers[name], from, to, now):
			c.tell(reconcile.Mastership, id, "", "mastership moves %s -> %s, unless %s has it: they have the same priority", from, to, to)
		default:
			c.tell(reconcile.Mastership, id, "", "mastership moves %s -> %s", from, to)
		}
	}
}

// successor is who is Active where one is: the best of those that take over from
// it, from a lower priority only and if they preempt, which need not be the best of
// all; itself, if it goes on; else the best.
func (m *Model) successor(r *router, active string, s *state) member {
	i := slices.IndexFunc(r.members, func(x member) bool { return x.host == active && s.up(x.gate) })
	if i < 0 || !s.up(r.gate) {
		return m.active(r, s)
	}
	for _, x := range r.members {
		if s.up(x.gate) && x.priority > r.members[i].priority && m.preempts(r.name, x.host) {
			return x
		}
	}
	return r.members[i]
}

// equals tells whether another member has the priority of the preferred one, and
// may be the Active router in its place.
func (m *Model) equals(r *router, preferred, other string, s *state) bool {
	return slices.ContainsFunc(r.members, func(x member) bool {
		return x.host == other && s.up(x.gate) && slices.ContainsFunc(r.members, func(y member) bool { return y.host == preferred && x.priority == y.priority })
	})
}

// objectOf is the object that findings about an entry name.
func (e *Entry) objectOf() schema.ID {
	kind := schema.Kind(e.Kind)
	if e.Kind == "hostname" {
		kind = schema.KindDNSRecord
	}
	return schema.ID{Kind: kind, Name: e.Name}
}

func (c *comparison) entries() {
	now, then := c.before.circuit.state(), c.after.circuit.state()
	cutsNow, cutsThen := c.before.analysis(1), c.after.analysis(1)
	was, is := byScope(c.before.entries), byScope(c.after.entries)
	change := func(e, x *Entry, scope string) {
		c.moves(e, x, scope, c.before.serving(e, now), c.after.serving(x, then))
		c.points(subject(e, x), scope, c.before.points(cutsNow, e), c.after.points(cutsThen, x), then)
	}
	for _, x := range c.after.entries {
		c.scopes[x.objectOf()]++
		e := was.find(x)
		switch {
		case e == nil || same(e, x) || !now.up(e.gate):
		case !then.up(x.gate):
			c.loses(subject(e, x), x)
		default: // A region that is new, or another kind of object.
			change(e, x, cmp.Or(x.Scope, e.Scope))
		}
	}
	for _, e := range c.before.entries {
		id, x := e.objectOf(), is.find(e)
		if x != nil && falls(e, x) && !then.up(x.gate) {
			x = nil // It goes; that the wildcard has no answer either is no loss of its own.
		}
		if x != nil && is[e.of()][e.Scope] == nil {
			c.scopes[subject(e, x)]++ // A region, or rule, that is gone.
		}
		switch {
		case e.Kind == "virtualRouter":
			if x != nil {
				c.points(id, "", c.before.points(cutsNow, e), c.after.points(cutsThen, x), then)
			}
		case x == nil:
			paths := e.Kind != "hostname" && is[pathsOf+e.Name] != nil // Of those something is said.
			if now.up(e.gate) && !paths {
				c.tell(reconcile.Removed, id, "", "is taken away: nothing answers there any more")
			}
		case now.up(e.gate) && !then.up(x.gate):
			c.loses(subject(e, x), x)
		case now.up(e.gate):
			change(e, x, cmp.Or(e.Scope, x.Scope))
		case same(e, x) && then.up(x.gate):
			c.tell(reconcile.Moved, id, x.Scope, "is served again")
		}
	}
}

// scoped are entries by what they are the entries of, and by scope.
type scoped map[string]map[string]*Entry

func byScope(entries []*Entry) scoped {
	all := scoped{}
	for _, e := range entries {
		if all[e.of()] == nil {
			all[e.of()] = map[string]*Entry{}
		}
		all[e.of()][e.Scope] = e
		if e.hostname != "" {
			all[pathsOf+e.hostname] = map[string]*Entry{}
		}
	}
	return all
}

// pathsOf is before a hostname that rules of a tunnel, be it for paths alone,
// make a name of: no wildcard answers for that.
const pathsOf = "paths of "

// of is the hostname, whoever answers for it, or the object that is none.
func (e *Entry) of() string {
	if e.named() {
		return e.Name
	}
	return e.Kind + "/" + e.Name
}

// named tells whether the entry is a hostname.
func (e *Entry) named() bool {
	return e.Kind == "loadBalancer" || e.Kind == "hostname" || e.Kind == "dnsRecord"
}

func same(e, x *Entry) bool { return e.objectOf() == x.objectOf() && e.Scope == x.Scope }

// find is the entry that takes the requests of another specification's: that
// of the same scope, or else of the next wider one, such as everywhere else
// for a region that is not named any more, a balancer for a record or for a
// path of its hostname, or a wildcard for a name; nil for none.
func (s scoped) find(e *Entry) *Entry {
	scopes := []string{e.Scope, elsewhere, ""}
	if e.rule != "" {
		place := strings.TrimPrefix(strings.TrimPrefix(e.Scope, e.rule), ", ")
		scopes = []string{e.Scope, e.rule + ", " + elsewhere, e.rule, place, elsewhere, ""}
	}
	names := []string{e.of()}
	if e.named() {
		names = append(names, e.hostname)
		for rest := cmp.Or(e.hostname, e.Name); s[pathsOf+cmp.Or(e.hostname, e.Name)] == nil; {
			i := strings.IndexByte(rest, '.')
			if i < 0 {
				break
			}
			names = append(names, "*"+rest[i:]) // An answer of DNS, at any depth (RFC 4592, 2.2.1).
			rest = rest[i+1:]
		}
	}
	for _, name := range names {
		for _, scope := range scopes {
			if x := s[name][scope]; x != nil && (name != e.hostname || x.Kind != "hostname" || name == e.of()) {
				return x
			}
		}
	}
	return nil
}

// subject is what findings about requests are of that met e and meet x: the
// object that has them, but a name rather than the wildcard that it falls to.
func subject(e, x *Entry) schema.ID {
	if falls(e, x) {
		return e.objectOf()
	}
	return x.objectOf()
}

// falls tells whether a name, or a wildcard, falls to a wider wildcard.
func falls(e, x *Entry) bool {
	return strings.HasPrefix(x.Name, "*.") && cmp.Or(e.hostname, e.Name) != cmp.Or(x.hostname, x.Name)
}

// loses says that an entry is not served any more.
func (c *comparison) loses(id schema.ID, x *Entry) {
	if x.off {
		c.tell(reconcile.Closed, id, x.Scope, "is disabled: nobody serves it")
		return
	}
	what := "way to a machine that answers"
	if x.balanced {
		what = "enabled origin"
	}
	kind := reconcile.Unserved
	if !x.balanced && c.records != nil && !c.records[x.Name] || c.meant(x) {
		kind = reconcile.Closed
	}
	c.tell(kind, id, x.Scope, "loses its last %s: nobody serves it", what)
}

// moves says where the requests of that scope that met e, and meet x, go now.
func (c *comparison) moves(e, x *Entry, scope string, was, is Serving) {
	id := subject(e, x)
	switch {
	case x.balanced && is.Fallback && !was.Fallback:
		c.tell(reconcile.Moved, id, scope, "is left with its fallback pool, %s", strings.Join(is.Pools, ", "))
	case !slices.Equal(was.Pools, is.Pools) && len(was.Pools) > 0 && len(is.Pools) > 0:
		gone, come := without(was.Pools, is.Pools), without(is.Pools, was.Pools)
		switch {
		case len(gone) == 0 && len(come) == 0: // In another order.
		case len(come) == 0:
			c.tell(reconcile.Moved, id, scope, "no longer goes to pool %s", strings.Join(gone, ", "))
		case len(gone) == 0:
			c.tell(reconcile.Moved, id, scope, "goes to pool %s as well", strings.Join(come, ", "))
		default:
			c.tell(reconcile.Moved, id, scope, "goes to pool %s in place of %s", strings.Join(come, ", "), strings.Join(gone, ", "))
		}
	case !slices.Equal(was.By, is.By):
		gone, come := without(was.By, is.By), without(is.By, was.By)
		for _, router := range is.Routers {
			if pass := c.passes[router]; slices.Contains(was.Routers, router) { // The Virtual Router has said it.
				gone = without(gone, []Component{{KindHost, pass.from}})
				come = without(come, []Component{{KindHost, pass.to}})
			}
		}
		switch {
		case len(gone) == 0 && len(come) == 0:
		case len(come) == 0:
			c.tell(reconcile.Moved, id, scope, "is no longer answered by %s", few(gone))
		case len(gone) == 0:
			c.tell(reconcile.Moved, id, scope, "is answered by %s as well", few(come))
		default:
			c.tell(reconcile.Moved, id, scope, "is answered by %s in place of %s", few(come), few(gone))
		}
	}
}

// without is what the first list has and the second has not.
func without[T comparable](list, other []T) []T {
	return slices.DeleteFunc(slices.Clone(list), func(x T) bool { return slices.Contains(other, x) })
}

// few names the first of many.
func few(components []Component) string {
	const most = 4
	var names []string
	for i, x := range components {
		if i == most {
			names = append(names, fmt.Sprintf("%d more", len(components)-most))
			break
		}
		names = append(names, x.String())
	}
	return cmp.Or(strings.Join(names, ", "), "nobody")
}

// points are the machines and labels that cut an entry off by themselves.
func (m *Model) points(a *analysis, e *Entry) []Component {
	f := a.family(e.gate)
	return slices.DeleteFunc(m.named(f.ones), m.byChange)
}

// points says which single points of failure an entry gains, and that it has
// lost the last. Of those only the most telling count: a connector is no news
// beside its host.
func (c *comparison) points(id schema.ID, scope string, was, is []Component, then *state) {
	if len(is) == 0 && len(was) > 0 {
		c.tell(reconcile.Resilience, id, scope, "no longer has a single point of failure")
		return
	}
	f := &finder{m: c.after, s: then, down: map[Component]map[Component]bool{}}
	var groups []*group
	for _, x := range is {
		groups = f.join(groups, x)
	}
	var gained []Component
	for _, g := range groups {
		if !slices.Contains(was, g.head) && !slices.ContainsFunc(g.rest, func(x Component) bool { return slices.Contains(was, x) }) {
			gained = append(gained, g.head)
		}
	}
	if len(gained) > 0 {
		c.tell(reconcile.Resilience, id, scope, "gains %s of failure: %s", plural(len(gained), "a single point", "single points"), few(gained))
	}
}

// sessions says which clients with affinity lose their origin.
func (c *comparison) sessions() {
	type balancer struct {
		id schema.ID
		schema.Balancing
	}
	var list []balancer
	for _, name := range sortedKeys(c.before.spec.LoadBalancers) {
		list = append(list, balancer{schema.ID{Kind: schema.KindLoadBalancer, Name: name}, c.before.spec.LoadBalancers[name].Balancing})
	}
	for _, b := range list {
		l, stays := c.after.spec.LoadBalancers[b.id.Name]
		if b.SessionAffinity == "" || b.SessionAffinity == "none" || !stays || !b.Enabled {
			continue
		}
		if l.SessionAffinity == "" || l.SessionAffinity == "none" {
			c.tell(reconcile.Sessions, b.id, "", "session affinity ends: clients no longer stay with an origin")
			continue
		}
		used, still := map[string]bool{}, map[string]bool{}
		b.PoolNames(func(_, pool string) { used[pool] = true })
		l.PoolNames(func(_, pool string) { still[pool] = true })
		for _, pool := range sortedKeys(used) {
			was, ours := c.before.spec.Pools[pool]
			if !ours || !was.Enabled {
				continue
			}
			is := c.after.spec.Pools[pool]
			for _, name := range sortedKeys(was.Origins) {
				o := was.Origins[name]
				x, kept := is.Origins[name]
				stays := kept && still[pool] && is.Enabled && x.Address == o.Address && x.Tunnel == o.Tunnel && x.VirtualRouter == o.VirtualRouter
				drain := l.SessionAffinityAttributes.DrainDuration
				switch {
				case originOut(o) != "" || stays && x.Enabled:
				case stays && drain > 0:
					c.tell(reconcile.Sessions, b.id, "", "sessions pinned to origin %s of pool %s stay with it for %s, and are lost then", name, pool, drain)
				default:
					c.tell(reconcile.Sessions, b.id, "", "sessions pinned to origin %s of pool %s are lost", name, pool)
				}
			}
		}
	}
}
