package draw

import (
	"cmp"
	"math"
	"slices"
)

// layout is where everything goes. Vertices are the nodes, then the lanes.
type layout struct {
	nodes    int
	rank     []int
	layers   [][]int // vertices by rank, from top to bottom
	up, down [][]int // neighbours to the left and right
	pos      []int   // index in its layer
	y        []float64
	// segments are what is drawn: each once.
	segments []segment
	turned   []bool // by link
}

// segment is a line between neighbouring columns.
type segment struct {
	from, to int
	link     int // the first link that goes through it
	shared   bool
	off      bool // every link through it is
}

// bundle tells lanes apart: edges of one sort to one node share theirs.
type bundle struct {
	to, rank int
	style    string
}

func arrange(kinds []string, links []link) *layout {
	edges, turned := forward(kinds, links)
	l := &layout{nodes: len(kinds), rank: ranks(kinds, edges), turned: turned}
	n := len(kinds)
	l.up, l.down = make([][]int, n), make([][]int, n)
	lanes := map[bundle]int{}
	drawn := map[[2]int]int{}
	for i, e := range edges {
		style := styleOf(links[i].kind)
		if turned[i] {
			style = "back"
		}
		at := e[0]
		for r := l.rank[e[0]] + 1; r <= l.rank[e[1]]; r++ {
			next := e[1]
			if r < l.rank[e[1]] {
				key := bundle{e[1], r, style}
				lane, ok := lanes[key]
				if !ok {
					lane = len(l.rank)
					lanes[key] = lane
					l.rank = append(l.rank, r)
					l.up, l.down = append(l.up, nil), append(l.down, nil)
				}
				next = lane
			}
			if s, ok := drawn[[2]int{at, next}]; ok && at >= n {
				l.segments[s].shared = true
				l.segments[s].off = l.segments[s].off && links[i].off
			} else {
				drawn[[2]int{at, next}] = len(l.segments)
				l.segments = append(l.segments, segment{from: at, to: next, link: i, off: links[i].off})
				l.down[at] = append(l.down[at], next)
				l.up[next] = append(l.up[next], at)
			}
			at = next
		}
	}
	l.begin()
	l.untangle()
	l.place()
	return l
}

// begin puts vertices in the order in which a search from the left meets them.
func (l *layout) begin() {
	last := 0
	for _, r := range l.rank {
		last = max(last, r)
	}
	l.layers, l.pos = make([][]int, last+1), make([]int, len(l.rank))
	start := make([]int, len(l.rank))
	for v := range start {
		start[v] = v
	}
	slices.SortStableFunc(start, func(a, b int) int { return cmp.Compare(l.rank[a], l.rank[b]) })
	met := make([]bool, len(l.rank))
	for _, s := range start {
		for stack := []int{s}; len(stack) > 0; {
			v := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			if met[v] {
				continue
			}
			met[v] = true
			l.layers[l.rank[v]] = append(l.layers[l.rank[v]], v)
			for _, list := range [][]int{l.up[v], l.down[v]} {
				for i := len(list) - 1; i >= 0; i-- {
					if !met[list[i]] {
						stack = append(stack, list[i])
					}
				}
			}
		}
	}
	l.number()
}

func (l *layout) number() {
	for _, layer := range l.layers {
		for i, v := range layer {
			l.pos[v] = i
		}
	}
}

// untangle sweeps over the layers, sorting each by the mean place of its
// neighbours in the one before, and keeps the order with the fewest crossings.
func (l *layout) untangle() {
	best := l.crossings()
	kept := copyLayers(l.layers)
	const sweeps, patience = 24, 5
	for sweep, since := 0, 0; sweep < sweeps && since < patience && best > 0; sweep++ {
		if sweep%2 == 0 {
			for r := 1; r < len(l.layers); r++ {
				l.sort(r, l.up)
			}
		} else {
			for r := len(l.layers) - 2; r >= 0; r-- {
				l.sort(r, l.down)
			}
		}
		since++
		if c := l.crossings(); c < best {
			best, since = c, 0
			kept = copyLayers(l.layers)
		}
	}
	l.layers = kept
	l.number()
}

func copyLayers(layers [][]int) [][]int {
	c := make([][]int, len(layers))
	for i := range layers {
		c[i] = slices.Clone(layers[i])
	}
	return c
}

// sort orders one layer; who has no neighbour there keeps its place.
func (l *layout) sort(r int, neighbours [][]int) {
	layer := l.layers[r]
	mean := make(map[int]float64, len(layer))
	var movable, slots []int
	for i, v := range layer {
		if len(neighbours[v]) == 0 {
			continue
		}
		sum := 0
		for _, w := range neighbours[v] {
			sum += l.pos[w]
		}
		mean[v] = float64(sum) / float64(len(neighbours[v]))
		movable, slots = append(movable, v), append(slots, i)
	}
	slices.SortStableFunc(movable, func(a, b int) int { return cmp.Compare(mean[a], mean[b]) })
	for i, v := range movable {
		layer[slots[i]] = v
		l.pos[v] = slots[i]
	}
}

// crossings counts pairs of segments that cross, with a Fenwick tree.
func (l *layout) crossings() int {
	total := 0
	for r := 0; r+1 < len(l.layers); r++ {
		tree := make([]int, len(l.layers[r+1])+1)
		seen := 0
		var ends []int
		for _, v := range l.layers[r] {
			ends = ends[:0]
			for _, w := range l.down[v] {
				ends = append(ends, l.pos[w])
			}
			for _, p := range ends {
				total += seen
				for i := p + 1; i > 0; i -= i & -i {
					total -= tree[i]
				}
			}
			for _, p := range ends {
				seen++
				for i := p + 1; i < len(tree); i += i & -i {
					tree[i]++
				}
			}
		}
	}
	return total
}

const (
	boxHeight = 36
	boxGap    = 10 // between boxes
	laneGap   = 7  // beside a lane
)

func (l *layout) lane(v int) bool { return v >= l.nodes }

// apart is the least distance between the middles of two that follow.
func (l *layout) apart(a, b int) float64 {
	switch {
	case l.lane(a) && l.lane(b):
		return laneGap
	case l.lane(a) || l.lane(b):
		return boxHeight/2 + laneGap
	}
	return boxHeight + boxGap
}

// place gives heights, in sweeps to and fro.
func (l *layout) place() {
	l.y = make([]float64, len(l.rank))
	for _, layer := range l.layers {
		for i := 1; i < len(layer); i++ {
			l.y[layer[i]] = l.y[layer[i-1]] + l.apart(layer[i-1], layer[i])
		}
	}
	const sweeps = 10
	for range sweeps {
		for r := 1; r < len(l.layers); r++ {
			l.level(r, l.up)
		}
		for r := len(l.layers) - 2; r >= 0; r-- {
			l.level(r, l.down)
		}
	}
	for r := 1; r < len(l.layers); r++ {
		l.level(r, l.up, l.down)
	}
	top := math.Inf(1)
	for _, y := range l.y {
		top = min(top, y)
	}
	for v := range l.y {
		l.y[v] = math.Round(l.y[v] - top) // The distances are whole, so rounding keeps them.
	}
}

// level moves a layer to where its neighbours are, as near as its order and
// distances allow (least squares; pool adjacent violators).
func (l *layout) level(r int, sides ...[][]int) {
	type block struct {
		sum, weight float64
		n           int
	}
	layer := l.layers[r]
	blocks := make([]block, 0, len(layer))
	offset := 0.0
	for i, v := range layer {
		if i > 0 {
			offset += l.apart(layer[i-1], v)
		}
		sum, n := 0.0, 0.0
		for _, side := range sides {
			for _, w := range side[v] {
				k := 1.0
				if l.lane(v) && l.lane(w) {
					k = 4 // Lanes are straight.
				}
				sum, n = sum+float64(k*l.y[w]), n+k // Not fused: the same on every machine.
			}
		}
		at, weight := l.y[v], 0.05
		if n > 0 {
			at, weight = sum/n, 1+math.Sqrt(n)/4
		}
		blocks = append(blocks, block{(at - offset) * weight, weight, 1})
		for len(blocks) > 1 {
			a, b := blocks[len(blocks)-2], blocks[len(blocks)-1]
			if a.sum/a.weight <= b.sum/b.weight {
				break
			}
			blocks = append(blocks[:len(blocks)-2], block{a.sum + b.sum, a.weight + b.weight, a.n + b.n})
		}
	}
	i := 0
	offset = 0
	for _, b := range blocks {
		for range b.n {
			if i > 0 {
				offset += l.apart(layer[i-1], layer[i])
			}
			l.y[layer[i]] = b.sum/b.weight + offset
			i++
		}
	}
}
