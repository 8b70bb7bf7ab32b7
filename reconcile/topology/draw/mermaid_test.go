package draw

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hactl/hactl/reconcile/topology"
)

func TestAFlowchartThatMermaidRefusesIsKnown(t *testing.T) {
	star := func(n, long int) *topology.Graph {
		g := &topology.Graph{Nodes: []topology.Node{{ID: "pool/a", Kind: "pool", Name: "a"}}}
		for i := range n {
			id := fmt.Sprintf("origin/%d", i)
			g.Nodes = append(g.Nodes, topology.Node{ID: id, Kind: "origin", Name: strings.Repeat("x", long)})
			g.Edges = append(g.Edges, topology.Edge{From: "pool/a", To: id, Kind: "serves"}, topology.Edge{From: "pool/a", To: id, Kind: "fallback"})
		}
		return g
	}
	for _, c := range []struct {
		n, long int
		want    string
	}{{0, 0, ""}, {500, 1, ""}, {501, 1, "there are 501 edges"}, {100, 400, ""}, {100, 500, "characters"}} {
		g := star(c.n, c.long)
		got := TooMuchForMermaid(g, nil, Mermaid(g, nil, Options{}))
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%d nodes with %d characters: %q, want %q", c.n, c.long, got, c.want)
		}
	}
}
