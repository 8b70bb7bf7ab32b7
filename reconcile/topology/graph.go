package topology

import (
	"cmp"
	"slices"
	"strings"
)

// Graph is how requests go, as nodes and directed edges. Both are sorted.
type Graph struct {
	Nodes []Node `json:"nodes"`
	Edges []Edge `json:"edges"`
}

// Node is a thing on the way, or one that watches it.
type Node struct {
	// ID is unique: an entry's ID without its scope, a component's name,
	// "interface/eth0@lb01", "monitor/web", "check/caddy", "network/lan".
	ID   string `json:"id"`
	Kind string `json:"kind"`
	Name string `json:"name"`
	// Entry: requests come in here.
	Entry bool `json:"entry,omitempty"`
	// Detail is what is worth knowing, in a few words.
	Detail string `json:"detail,omitempty"`
	// Out says why it does not serve: "disabled", "maintenance", "weight 0",
	// "nobody serves it" of an entry.
	Out string `json:"out,omitempty"`
	// Foreign: no part of the specification.
	Foreign bool `json:"foreign,omitempty"`
}

// Edge leads from where a request is to where it goes on, or to what decides
// about that.
type Edge struct {
	From string `json:"from"`
	To   string `json:"to"`
	// Kind is "serves", "fallback", "member", "connector", "on", "label",
	// "route" or "watches" (a monitor or check on the way).
	Kind string `json:"kind"`
	// Label is the order, region, priority or rule, for people.
	Label string `json:"label,omitempty"`
}

// Graph returns the path graph, which is the caller's. Only this draws it: what
// fails is found without.
func (m *Model) Graph() *Graph {
	_, g := build(m.spec, m.now, true, true)
	well := cmp.Or(m.well, m)
	served := map[string]bool{}
	for _, e := range well.entries {
		id := e.Kind + "/" + e.Name
		served[id] = served[id] || well.Served(e)
	}
	for i := range g.Nodes {
		if n := &g.Nodes[i]; n.Out == "" {
			if up, entry := served[n.ID]; entry && !up {
				n.Out = "nobody serves it"
			}
		}
	}
	return g
}

func (b *builder) node(n Node) string {
	if n.ID == "" {
		n.ID = n.Kind + "/" + n.Name
	}
	if b.plain {
		return n.ID
	}
	if _, ok := b.nodes[n.ID]; !ok {
		b.nodes[n.ID] = n
	} else if n.Entry && !b.nodes[n.ID].Entry {
		known := b.nodes[n.ID]
		known.Entry = true
		b.nodes[n.ID] = known
	}
	return n.ID
}

func (b *builder) edge(from, to, kind, label string) {
	if !b.plain {
		b.edges[Edge{from, to, kind, label}] = true
	}
}

func (b *builder) finishGraph() *Graph {
	g := &Graph{Nodes: make([]Node, 0, len(b.nodes)), Edges: make([]Edge, 0, len(b.edges))}
	for _, n := range b.nodes {
		g.Nodes = append(g.Nodes, n)
	}
	for e := range b.edges {
		g.Edges = append(g.Edges, e)
	}
	slices.SortFunc(g.Nodes, func(a, b Node) int { return strings.Compare(a.ID, b.ID) })
	slices.SortFunc(g.Edges, func(a, b Edge) int {
		return cmp.Or(strings.Compare(a.From, b.From), strings.Compare(a.To, b.To), strings.Compare(a.Kind, b.Kind), strings.Compare(a.Label, b.Label))
	})
	return g
}
