package topology

import "slices"

// gate is true while at least need of its children are. A leaf is a gate that
// stands for a component and has no child; it needs 0, or 1 once that fails.
// Children have lower numbers than their parents.
type gate struct {
	need     int32
	children []int32
}

// circuit is the monotone function of every entry point at once: they share
// what they share.
type circuit struct {
	gates   []gate
	parents [][]int32 // one for each mention
	holds   []int32   // how many children are true while nothing has failed
}

func (c *circuit) add(need int, children ...int32) int32 {
	c.gates = append(c.gates, gate{int32(need), children})
	return int32(len(c.gates) - 1)
}

// all is true while every child is; without children it is always true.
func (c *circuit) all(children ...int32) int32 { return c.add(len(children), children...) }

// any is true while one child is; without children it never is.
func (c *circuit) any(children ...int32) int32 { return c.add(1, children...) }

// never is a gate that is never true.
func (c *circuit) never() int32 { return c.add(1) }

// finish computes what does not change any more.
func (c *circuit) finish() {
	c.parents = make([][]int32, len(c.gates))
	c.holds = make([]int32, len(c.gates))
	for g := range c.gates {
		for _, child := range c.gates[g].children {
			c.parents[child] = append(c.parents[child], int32(g))
			if c.holds[child] >= c.gates[child].need {
				c.holds[g]++
			}
		}
	}
}

// state is the circuit with some leaves failed.
type state struct {
	c     *circuit
	holds []int32
	down  []bool  // of leaves
	trail []int32 // the leaves that failed, in that order
}

func (c *circuit) state() *state {
	return &state{c: c, holds: slices.Clone(c.holds), down: make([]bool, len(c.gates))}
}

// up tells whether a gate is true.
func (s *state) up(g int32) bool { return !s.down[g] && s.holds[g] >= s.c.gates[g].need }

// fail makes a leaf false, and all that follows from it, until undo.
func (s *state) fail(g int32) {
	if s.down[g] {
		return
	}
	was := s.up(g)
	s.down[g] = true
	s.trail = append(s.trail, g)
	if !was {
		return
	}
	queue := []int32{g}
	for len(queue) > 0 {
		g := queue[0]
		queue = queue[1:]
		for _, p := range s.c.parents[g] {
			was := s.up(p)
			s.holds[p]--
			if was && !s.up(p) {
				queue = append(queue, p)
			}
		}
	}
}

// undo takes every failure back.
func (s *state) undo() {
	for i := len(s.trail) - 1; i >= 0; i-- {
		s.restore(s.trail[i])
	}
	s.trail = s.trail[:0]
}

func (s *state) restore(g int32) {
	s.down[g] = false
	if !s.up(g) {
		return
	}
	queue := []int32{g}
	for len(queue) > 0 {
		g := queue[0]
		queue = queue[1:]
		for _, p := range s.c.parents[g] {
			was := s.up(p)
			s.holds[p]++
			if !was && s.up(p) {
				queue = append(queue, p)
			}
		}
	}
}

// assume makes gates true as if they needed nothing, and tells whether another
// one is true then; it changes nothing.
func (s *state) assume(then int32, gates ...int32) bool {
	if s.up(then) {
		return true
	}
	gained, lit := map[int32]int32{}, map[int32]bool{}
	var queue []int32
	for _, g := range gates {
		if !s.up(g) && !lit[g] {
			lit[g] = true
			queue = append(queue, g)
		}
	}
	for ; len(queue) > 0; queue = queue[1:] {
		for _, p := range s.c.parents[queue[0]] {
			gained[p]++
			if !lit[p] && !s.up(p) && !s.down[p] && s.holds[p]+gained[p] >= s.c.gates[p].need {
				lit[p] = true
				queue = append(queue, p)
			}
		}
	}
	return lit[then]
}
