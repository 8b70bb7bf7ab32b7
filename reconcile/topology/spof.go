package topology

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Report is what can cut entry points off.
type Report struct {
	// Depth is how many failures at a time were looked at.
	Depth int `json:"depth"`
	// Present is what is so now, where live state is known: cuts come on top.
	Present *Present      `json:"present,omitempty"`
	Entries []EntryReport `json:"entries"`
	// Traps are what looks like redundancy, or like affinity, and is none.
	Traps []Trap `json:"traps"`
}

// EntryReport is what can cut one entry point off.
type EntryReport struct {
	Entry
	// Served is false where nobody answers though nothing has failed; Why says
	// what is in the way then.
	Served bool   `json:"served"`
	Why    string `json:"why,omitempty"`
	Cuts   []Cut  `json:"cuts"`
}

// Cut is a smallest set of failures that cuts an entry point off.
type Cut struct {
	// Components fail together; one of them is a single point of failure.
	Components []Component `json:"components"`
	// Alike holds for each of them what does the same to this entry: what it
	// takes down, or a label that is no more to it than that.
	Alike [][]Component `json:"alike,omitempty"`
	// ByChange: one of them is no machine and fails only when it is changed.
	ByChange bool `json:"byChange,omitempty"`
	// Repair is the shortest that was found, in words. Of the pairs that cut off
	// one entry only the first hundred have one: nobody reads more.
	Repair string `json:"repair,omitempty"`
}

// SinglePoint tells whether one machine, or one label, cuts the entry off.
func (c Cut) SinglePoint() bool { return len(c.Components) == 1 && !c.ByChange }

// Broken tells whether the entry is not served, or a single failure could see
// to that.
func (e EntryReport) Broken() bool { return !e.Served || slices.ContainsFunc(e.Cuts, Cut.SinglePoint) }

// Violations are the entries marked highAvailability that have none.
func (r *Report) Violations() []EntryReport {
	var broken []EntryReport
	for _, e := range r.Entries {
		if e.HighAvailability && e.Broken() {
			broken = append(broken, e)
		}
	}
	return broken
}

// Spof looks for failures of 1, or 1 and 2, components that cut entries off.
// Of sets that do the same the most telling stands for all of them.
func (m *Model) Spof(depth int) *Report {
	r := &Report{Depth: depth, Present: m.Present(), Entries: make([]EntryReport, 0, len(m.entries)), Traps: m.traps()}
	a := m.analysis(depth)
	f := &finder{m: m, s: m.circuit.state(), down: map[Component]map[Component]bool{}, ways: map[*Entry][]seats{}}
	for _, e := range m.entries {
		report := EntryReport{Entry: *e, Served: f.s.up(e.gate), Cuts: []Cut{}}
		if !report.Served {
			report.Why = cmp.Or(e.why, m.cause(e), m.whyNot(e))
		} else {
			report.Cuts = f.cuts(e, a.family(e.gate))
		}
		r.Entries = append(r.Entries, report)
	}
	return r
}

// whyNot says why an entry is not served though nothing has failed.
func (m *Model) whyNot(e *Entry) string {
	if len(e.pools) == 0 && e.fallback == nil && e.balanced {
		var why []string
		names := append(slices.Clone(e.listed), e.last)
		slices.Sort(names)
		for _, name := range slices.Compact(names) {
			p := m.poolOf(e, name)
			switch {
			case p != nil && p.disabled:
				why = append(why, fmt.Sprintf("pool %s is disabled", name))
			case p == nil || len(p.origins) > 0:
				why = append(why, fmt.Sprintf("pool %s has weight 0", name))
			default:
				why = append(why, fmt.Sprintf("pool %s has no origin that is enabled", name))
			}
		}
		return strings.Join(why, ", ")
	}
	for _, p := range e.allPools() {
		for _, o := range p.origins {
			if o.end.why != "" {
				return o.end.why
			}
		}
	}
	return "what it leads to is in maintenance"
}

// finder turns families into cuts for people.
type finder struct {
	m     *Model
	s     *state
	down  map[Component]map[Component]bool
	ways  map[*Entry][]seats
	hosts []candidate
	// maintained are the hosts in maintenance, nil before anybody asks.
	maintained []string
}

// takesDown tells whether the failure of one takes the other with it.
func (f *finder) takesDown(c, other Component) bool {
	set, ok := f.down[c]
	if !ok {
		set = map[Component]bool{}
		f.down[c] = set
		f.m.affected(f.s, f.m.index[c], set)
	}
	return set[other]
}

// affected gathers the components that no longer serve once a leaf has failed.
func (m *Model) affected(s *state, leaf int32, set map[Component]bool) {
	before := map[int32]bool{}
	// Only what is above the leaf can change.
	queue := []int32{leaf}
	for seen := map[int32]bool{leaf: true}; len(queue) > 0; queue = queue[1:] {
		before[queue[0]] = s.up(queue[0])
		for _, p := range m.circuit.parents[queue[0]] {
			if !seen[p] && s.up(p) {
				seen[p] = true
				queue = append(queue, p)
			}
		}
	}
	s.fail(leaf)
	for g := range before {
		if s.up(g) {
			continue
		}
		for _, c := range m.byFunction[g] {
			set[c] = true
		}
	}
	s.undo()
}

const mostRepairs = 100

// related tells whether one of the two is a consequence of the other.
func (f *finder) related(a, b Component) bool { return f.takesDown(a, b) || f.takesDown(b, a) }

func (f *finder) cuts(e *Entry, family *family) []Cut {
	cuts := f.ones(e, family)
	cuts = append(cuts, f.twos(family)...)
	slices.SortFunc(cuts, func(a, b Cut) int {
		n := cmp.Compare(len(a.Components), len(b.Components))
		byChange := 0
		if a.ByChange != b.ByChange {
			byChange = 1
			if b.ByChange {
				byChange = -1
			}
		}
		return cmp.Or(n, byChange, compareSets(a.Components, b.Components))
	})
	for i := range cuts {
		if len(cuts[i].Components) == 1 || i < mostRepairs {
			cuts[i].Repair = f.repair(e, cuts[i].Components)
		}
	}
	return cuts
}

// group is components that do the same, led by the most telling.
type group struct {
	head Component
	rest []Component
}

// join puts a component into the first group that it belongs to.
func (f *finder) join(groups []*group, c Component) []*group {
	for _, g := range groups {
		if f.related(g.head, c) {
			g.rest = append(g.rest, c)
			return groups
		}
	}
	return append(groups, &group{head: c})
}

func (f *finder) ones(e *Entry, family *family) []Cut {
	var groups []*group
	for _, c := range f.m.named(family.ones) {
		if (Component{e.Kind, e.Name}) != c { // A router without itself says nothing.
			groups = f.join(groups, c)
		}
	}
	cuts := make([]Cut, 0, len(groups))
	for _, g := range groups {
		cuts = append(cuts, f.cut(g))
	}
	return cuts
}

func (f *finder) cut(groups ...*group) Cut {
	var c Cut
	slices.SortFunc(groups, func(a, b *group) int { return a.head.Compare(b.head) })
	alike := false
	for _, g := range groups {
		c.Components = append(c.Components, g.head)
		c.Alike = append(c.Alike, g.rest)
		c.ByChange = c.ByChange || f.m.byChange(g.head)
		alike = alike || len(g.rest) > 0
	}
	if !alike {
		c.Alike = nil
	}
	return c
}

// named are the components of leaves, the most telling first.
func (m *Model) named(leaves []int32) []Component {
	list := make([]Component, 0, len(leaves))
	for _, x := range leaves {
		list = append(list, m.byLeaf[x])
	}
	slices.SortFunc(list, Component.Compare)
	return list
}

// twos shows each pair of groups once: components belong together where they
// cut the entry off with the same partners and one is a consequence of the
// other. A label is left out where a host of it does with that partner.
func (f *finder) twos(family *family) []Cut {
	if len(family.twos) == 0 {
		return nil
	}
	partners := map[int32][]int32{}
	for _, p := range family.twos {
		partners[p.a] = append(partners[p.a], p.b)
		partners[p.b] = append(partners[p.b], p.a)
	}
	signature := make(map[int32]string, len(partners))
	leaves := make([]int32, 0, len(partners))
	for x, list := range partners {
		slices.Sort(list)
		var b strings.Builder
		for _, y := range list {
			b.WriteByte(byte(y))
			b.WriteByte(byte(y >> 8))
			b.WriteByte(byte(y >> 16))
			b.WriteByte(byte(y >> 24))
		}
		signature[x] = b.String()
		leaves = append(leaves, x)
	}
	groups := map[string][]*group{}
	of := map[Component]*group{}
	for _, c := range f.m.named(leaves) {
		key := signature[f.m.index[c]]
		before := len(groups[key])
		groups[key] = f.join(groups[key], c)
		if len(groups[key]) > before {
			of[c] = groups[key][before]
			continue
		}
		for _, g := range groups[key] {
			if slices.Contains(g.rest, c) {
				of[c] = g
			}
		}
	}
	var cuts []Cut
	for _, p := range family.twos {
		a, b := f.m.byLeaf[p.a], f.m.byLeaf[p.b]
		if of[a].head != a || of[b].head != b || f.coarser(family, a, p.b) || f.coarser(family, b, p.a) {
			continue
		}
		cuts = append(cuts, f.cut(of[a], of[b]))
	}
	return cuts
}

// coarser tells whether a label needs only one of its hosts for that.
func (f *finder) coarser(family *family, label Component, partner int32) bool {
	if !label.label() {
		return false
	}
	for _, host := range f.m.members[label] {
		if family.two(newPair(f.m.index[Component{KindHost, host}], partner)) {
			return true
		}
	}
	return false
}
