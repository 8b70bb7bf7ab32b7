package topology

import (
	"cmp"
	"math/bits"
	"slices"
)

// pair is two leaves, the lower one first.
type pair struct{ a, b int32 }

func newPair(a, b int32) pair { return pair{min(a, b), max(a, b)} }

func comparePairs(p, q pair) int { return cmp.Or(cmp.Compare(p.a, q.a), cmp.Compare(p.b, q.b)) }

// family is the minimal sets of one and two leaves whose failure makes a gate
// false, sorted. A gate that is false anyway is broken; one that nothing makes
// false is solid.
type family struct {
	broken, solid bool
	ones          []int32
	twos          []pair
}

func (f *family) one(x int32) bool { _, ok := slices.BinarySearch(f.ones, x); return ok }

func (f *family) two(p pair) bool {
	_, ok := slices.BinarySearchFunc(f.twos, p, comparePairs)
	return ok
}

// cuts tells whether the two together make the gate false.
func (f *family) cuts(p pair) bool { return f.one(p.a) || f.one(p.b) || f.two(p) }

// analysis holds families by gate. Families are built from those of the
// children, which is exact: a set cuts "at least k of n" when it cuts n-k+1 of
// them, and the part of it that cuts one of them is among that one's.
type analysis struct {
	c     *circuit
	depth int
	known []*family
	leaf  []bool
}

func (a *analysis) family(g int32) *family {
	if f := a.known[g]; f != nil {
		return f
	}
	f := a.build(g)
	a.known[g] = f
	return f
}

func (a *analysis) build(g int32) *family {
	if a.leaf[g] {
		if a.c.gates[g].need > 0 {
			return &family{broken: true}
		}
		return &family{ones: []int32{g}}
	}
	need := int(a.c.gates[g].need)
	var children []*family
	for _, child := range a.c.gates[g].children {
		switch f := a.family(child); {
		case f.broken:
		case f.solid:
			need--
		default:
			children = append(children, f)
		}
	}
	switch {
	case need <= 0:
		return &family{solid: true}
	case need > len(children):
		return &family{broken: true}
	case need == len(children):
		return a.series(children)
	case need == 1:
		return a.parallel(children)
	}
	return a.threshold(children, len(children)-need+1)
}

// tidy sorts, and drops pairs that contain a single.
func (a *analysis) tidy(ones []int32, twos []pair) *family {
	slices.Sort(ones)
	f := &family{ones: slices.Compact(ones)}
	if a.depth < 2 {
		return f
	}
	twos = slices.DeleteFunc(twos, func(p pair) bool { return f.one(p.a) || f.one(p.b) })
	slices.SortFunc(twos, comparePairs)
	f.twos = slices.Compact(twos)
	return f
}

// series is false once one child is.
func (a *analysis) series(children []*family) *family {
	if len(children) == 1 {
		return children[0]
	}
	var ones []int32
	var twos []pair
	for _, f := range children {
		ones = append(ones, f.ones...)
		twos = append(twos, f.twos...)
	}
	return a.tidy(ones, twos)
}

// parallel is false once every child is: the smallest families first, since
// what is left of them bounds the rest.
func (a *analysis) parallel(children []*family) *family {
	children = slices.Clone(children)
	slices.SortStableFunc(children, func(f, g *family) int {
		return cmp.Or(cmp.Compare(len(f.ones), len(g.ones)), cmp.Compare(len(f.twos), len(g.twos)))
	})
	result := children[0]
	for _, f := range children[1:] {
		result = a.both(result, f)
	}
	return result
}

func (a *analysis) both(f, g *family) *family {
	if f == g {
		return f
	}
	var ones, onlyF, onlyG []int32
	for _, x := range f.ones {
		if g.one(x) {
			ones = append(ones, x)
		} else {
			onlyF = append(onlyF, x)
		}
	}
	if a.depth < 2 {
		return a.tidy(ones, nil)
	}
	for _, x := range g.ones {
		if !f.one(x) {
			onlyG = append(onlyG, x)
		}
	}
	twos := make([]pair, 0, len(onlyF)*len(onlyG))
	for _, x := range onlyF {
		for _, y := range onlyG {
			twos = append(twos, newPair(x, y))
		}
	}
	for _, p := range f.twos {
		if g.cuts(p) {
			twos = append(twos, p)
		}
	}
	for _, p := range g.twos {
		if f.cuts(p) {
			twos = append(twos, p)
		}
	}
	return a.tidy(ones, twos)
}

// members is a set of children.
type members []uint64

func (m members) add(i int) { m[i/64] |= 1 << (i % 64) }

func union(sets ...members) int {
	n := 0
	for w := range sets[0] {
		var word uint64
		for _, s := range sets {
			if s != nil {
				word |= s[w]
			}
		}
		n += bits.OnesCount64(word)
	}
	return n
}

// threshold is false once lost of the children are.
func (a *analysis) threshold(children []*family, lost int) *family {
	words := (len(children) + 63) / 64
	cutBy, cutByTwo := map[int32]members{}, map[pair]members{}
	for i, f := range children {
		for _, x := range f.ones {
			if cutBy[x] == nil {
				cutBy[x] = make(members, words)
			}
			cutBy[x].add(i)
		}
		for _, p := range f.twos {
			if cutByTwo[p] == nil {
				cutByTwo[p] = make(members, words)
			}
			cutByTwo[p].add(i)
		}
	}
	type counted struct {
		leaf int32
		n    int
		set  members
	}
	var ones []int32
	var rest []counted
	for x, set := range cutBy {
		if n := union(set); n >= lost {
			ones = append(ones, x)
		} else {
			rest = append(rest, counted{x, n, set})
		}
	}
	if a.depth < 2 {
		return a.tidy(ones, nil)
	}
	var twos []pair
	for p, set := range cutByTwo {
		if union(set, cutBy[p.a], cutBy[p.b]) >= lost {
			twos = append(twos, p)
		}
	}
	slices.SortFunc(rest, func(x, y counted) int { return cmp.Or(cmp.Compare(y.n, x.n), cmp.Compare(x.leaf, y.leaf)) })
	for i, x := range rest {
		for _, y := range rest[i+1:] {
			if x.n+y.n < lost {
				break
			}
			if union(x.set, y.set) >= lost {
				twos = append(twos, newPair(x.leaf, y.leaf))
			}
		}
	}
	return a.tidy(ones, twos)
}
