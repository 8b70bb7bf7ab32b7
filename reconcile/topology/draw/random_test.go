package draw

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/hactl/hactl/reconcile/topology"
)

// kinds of the nodes of random graphs; rack and site are labels.
var someKinds = []string{
	"loadBalancer", "privateLoadBalancer", "hostname", "dnsRecord", "route", "network", "pool", "origin", "tunnel", "connector",
	"virtualRouter", "host", "address", "interface", "monitor", "check", "rack", "site",
}

var hostile = []string{
	`</text><script>alert(1)</script>`, `" onload="x`, "a\x00b\x1b[31m", "%%{init: {}}%%", "`code`", `\N\G\"`, "]]>", "<!--", "&lt;", "a\nb",
	"\u202egnp.exe", "日本語のとても長い名前がここにあるので切られます", "\xff\xfe", "😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀", "#quot;", "end", "",
}

// randomGraph has any edges, circles too, and names that want to be markup.
func randomGraph(r *rand.Rand, n int) (*topology.Graph, Marks) {
	g, marks := &topology.Graph{}, Marks{}
	all := slices.Concat(markOrder, []Mark{"nonsense"})
	for i := range n {
		kind := someKinds[r.IntN(len(someKinds))]
		name := fmt.Sprintf("%s%d", strings.Repeat("x", r.IntN(40)), i)
		if r.IntN(5) == 0 {
			name = hostile[r.IntN(len(hostile))]
		}
		node := topology.Node{ID: fmt.Sprintf("%04d/%s", i, name), Kind: kind, Name: name, Foreign: r.IntN(6) == 0}
		if r.IntN(4) == 0 {
			node.Detail = hostile[r.IntN(len(hostile))]
		}
		if r.IntN(8) == 0 {
			node.Out = "disabled"
		}
		for r.IntN(4) == 0 {
			marks[node.ID] = append(marks[node.ID], all[r.IntN(len(all))])
		}
		g.Nodes = append(g.Nodes, node)
	}
	for range n + r.IntN(n+1) {
		a, b := r.IntN(n), r.IntN(n)
		if column(g.Nodes[a].Kind) > column(g.Nodes[b].Kind) && r.IntN(10) > 0 {
			a, b = b, a
		}
		label := ""
		if r.IntN(3) == 0 {
			label = hostile[r.IntN(len(hostile))]
		}
		g.Edges = append(g.Edges, topology.Edge{From: g.Nodes[a].ID, To: g.Nodes[b].ID, Kind: append(weight, "more")[r.IntN(len(weight)+1)], Label: label})
	}
	g.Edges = append(g.Edges, topology.Edge{From: "nobody", To: g.Nodes[0].ID, Kind: "serves"})
	return g, marks
}

// site is a plausible graph of about n nodes: balancers over pools, tunnels
// with connectors, Virtual Routers, hosts in racks.
func site(n int) *topology.Graph {
	g := &topology.Graph{}
	known := map[string]bool{}
	node := func(kind, name string) string {
		id := kind + "/" + name
		if !known[id] {
			known[id] = true
			g.Nodes = append(g.Nodes, topology.Node{ID: id, Kind: kind, Name: name, Entry: kind == "loadBalancer" || kind == "hostname"})
		}
		return id
	}
	edge := func(from, to, kind, label string) {
		g.Edges = append(g.Edges, topology.Edge{From: from, To: to, Kind: kind, Label: label})
	}
	hosts := max(n/6, 2)
	host := func(i int) string {
		name := fmt.Sprintf("lb%02d", i%hosts)
		id := node("host", name)
		if !known["interface/eth0@"+name] {
			edge(id, node("interface", "eth0@"+name), "on", "")
			edge(id, node("rack", fmt.Sprintf("r%d", i%hosts/6)), "label", "")
		}
		return id
	}
	for i := 0; len(g.Nodes) < n; i++ {
		pool := node("pool", fmt.Sprintf("pool-%02d", i))
		balancer := node("loadBalancer", fmt.Sprintf("www%d.example.com", i/2))
		edge(balancer, pool, "serves", fmt.Sprintf("region R%d %d", i%3, i%2+1))
		edge(balancer, node("pool", fmt.Sprintf("pool-%02d", i&^1)), "fallback", "")
		edge(node("monitor", fmt.Sprintf("https-%d", i/5)), pool, "watches", "")
		tunnel := node("tunnel", fmt.Sprintf("site-%d", i/4))
		for k := range 2 {
			connector := node("connector", fmt.Sprintf("site-%d@lb%02d", i/4, (i/4*2+k)%hosts))
			edge(tunnel, connector, "connector", "")
			edge(connector, host(i/4*2+k), "on", "")
			origin := node("origin", fmt.Sprintf("pool-%02d/%c", i, 'a'+k))
			edge(pool, origin, "serves", "")
			edge(origin, tunnel, "serves", "")
		}
		if i%3 == 0 {
			router := node("virtualRouter", fmt.Sprintf("vip%d", i/3))
			edge(tunnel, router, "serves", fmt.Sprintf("www%d.example.com", i/2))
			for k := range 2 {
				edge(router, host(i/3*2+k), "member", fmt.Sprintf("priority %d", 150-50*k))
			}
		}
		if i%2 == 0 {
			edge(node("hostname", fmt.Sprintf("app%d.example.com", i)), tunnel, "serves", "http://127.0.0.1:8080")
		}
	}
	slices.SortFunc(g.Nodes, func(a, b topology.Node) int { return strings.Compare(a.ID, b.ID) })
	return g
}
