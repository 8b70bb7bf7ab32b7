package draw

import (
	"cmp"
	"slices"
)

// columns is the least column of a kind; any other kind is a label, and last.
var columns = map[string]int{
	"dnsRecord": 0, "hostname": 0, "loadBalancer": 0, "privateLoadBalancer": 0, "route": 0, "monitor": 0, "check": 0,
	"network": 1, "pool": 2, "origin": 3, "tunnel": 4, "connector": 5, "virtualRouter": 5, "host": 6, "address": 6,
}

const lastColumn = 7

func column(kind string) int {
	if c, ok := columns[kind]; ok {
		return c
	}
	return lastColumn
}

// forward turns edges round that close a circle, and tells which: what is left
// has none. Searches begin at the left, so that the usual direction wins.
func forward(kinds []string, links []link) (edges [][2]int, turned []bool) {
	out := make([][]int, len(kinds))
	edges, turned = make([][2]int, len(links)), make([]bool, len(links))
	for i, l := range links {
		edges[i] = [2]int{l.from, l.to}
		out[l.from] = append(out[l.from], i)
	}
	start := make([]int, len(kinds))
	for i := range start {
		start[i] = i
	}
	slices.SortStableFunc(start, func(a, b int) int { return cmp.Compare(column(kinds[a]), column(kinds[b])) })
	const entered, left = 1, 2
	state := make([]int, len(kinds))
	type frame struct{ v, next int }
	for _, s := range start {
		if state[s] != 0 {
			continue
		}
		state[s] = entered
		for stack := []frame{{v: s}}; len(stack) > 0; {
			top := &stack[len(stack)-1]
			if top.next == len(out[top.v]) {
				state[top.v] = left
				stack = stack[:len(stack)-1]
				continue
			}
			e := out[top.v][top.next]
			top.next++
			switch w := links[e].to; state[w] {
			case entered:
				edges[e], turned[e] = [2]int{w, links[e].from}, true
			case 0:
				state[w] = entered
				stack = append(stack, frame{v: w})
			}
		}
	}
	return edges, turned
}

// ranks are the columns of the nodes, from 0 and with none left out.
func ranks(kinds []string, edges [][2]int) []int {
	n := len(kinds)
	rank, degree, out := make([]int, n), make([]int, n), make([][]int, n)
	for _, e := range edges {
		out[e[0]] = append(out[e[0]], e[1])
		degree[e[1]]++
	}
	var order []int
	for v := range n {
		rank[v] = column(kinds[v])
		if degree[v] == 0 {
			order = append(order, v)
		}
	}
	sources := slices.Clone(order)
	for i := 0; i < len(order); i++ {
		v := order[i]
		for _, w := range out[v] {
			rank[w] = max(rank[w], rank[v]+1)
			if degree[w]--; degree[w] == 0 {
				order = append(order, w)
			}
		}
	}
	for _, v := range sources { // What watches stands beside what it watches.
		if (kinds[v] == "monitor" || kinds[v] == "check") && len(out[v]) > 0 {
			next := rank[out[v][0]]
			for _, w := range out[v] {
				next = min(next, rank[w])
			}
			rank[v] = next - 1
		}
	}
	used := slices.Clone(rank)
	slices.Sort(used)
	used = slices.Compact(used)
	for v := range rank {
		rank[v], _ = slices.BinarySearch(used, rank[v])
	}
	return rank
}
