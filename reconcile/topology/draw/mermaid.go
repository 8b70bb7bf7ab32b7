package draw

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hactl/hactl/reconcile/topology"
)

// Mermaid writes the graph as a Mermaid flowchart, for Markdown.
func Mermaid(g *topology.Graph, marks Marks, o Options) []byte {
	var b bytes.Buffer
	if o.Title != "" {
		// In the front matter, which is YAML: quoted, and without what quotes end.
		fmt.Fprintf(&b, "---\ntitle: \"%s\"\n---\n", strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(clean(o.Title)))
	}
	b.WriteString("flowchart LR\n")
	used := map[string]bool{}
	for i, n := range g.Nodes {
		label := mermaidText(n.Name) + "<br>"
		if m := marks.of(n.ID); len(m) > 0 {
			label += mermaidText(badgesOf(m)) + "<br>"
		}
		label += mermaidText(detail(n))
		open, end := mermaidShape(n.Kind)
		fmt.Fprintf(&b, "  n%d%s\"%s\"%s", i, open, label, end)
		if class := mermaidClass(n, marks); class != "" {
			used[class] = true
			fmt.Fprintf(&b, ":::%s", class)
		}
		b.WriteByte('\n')
	}
	var off []string
	for i, l := range links(g, marks) {
		if l.off {
			off = append(off, strconv.Itoa(i))
		}
		arrow := "-->"
		switch styleOf(l.kind) {
		case "fallback", "watches":
			arrow = "-.->"
		case "on":
			arrow = "---"
		}
		if l.label != "" {
			arrow += `|"` + mermaidText(l.label) + `"|`
		}
		fmt.Fprintf(&b, "  n%d %s n%d\n", l.from, arrow, l.to)
	}
	for _, c := range []struct{ class, style string }{
		{"create", "stroke:#16a34a,stroke-width:3px"}, {"update", "stroke:#d97706,stroke-width:3px"},
		{"replace", "stroke:#d97706,stroke-width:3px,stroke-dasharray:2 2"}, {"delete", "stroke:#dc2626,stroke-width:3px,stroke-dasharray:7 3"},
		{"conflict", "stroke:#dc2626,stroke-width:3px,stroke-dasharray:2 2"}, {"refused", "stroke:#dc2626,stroke-width:3px,stroke-dasharray:2 2"},
		{"down", "fill:#e5e7eb,color:#4b5563,stroke:#dc2626,stroke-width:3px,stroke-dasharray:7 3"},
		{"cut", "fill:#e5e7eb,color:#4b5563,stroke:#6b7280,stroke-dasharray:3 3"},
		{"active", "stroke:#16a34a,stroke-width:2px"}, {"healthy", "stroke:#16a34a,stroke-width:2px"}, {"unhealthy", "stroke:#dc2626,stroke-width:3px"}, {"split", "stroke:#dc2626,stroke-width:3px"},
		{"out", "fill:#e5e7eb,color:#4b5563"}, {"foreign", "stroke-dasharray:4 3"},
	} {
		if used[c.class] {
			fmt.Fprintf(&b, "  classDef %s %s\n", c.class, c.style)
		}
	}
	if len(off) > 0 {
		fmt.Fprintf(&b, "  linkStyle %s stroke:#9ca3af\n", strings.Join(off, ","))
	}
	return b.Bytes()
}

// TooMuchForMermaid says which limit of its own Mermaid would refuse a flowchart
// for, "" for none. No flowchart can raise them; who configures Mermaid can.
func TooMuchForMermaid(g *topology.Graph, marks Marks, flowchart []byte) string {
	const mostEdges, mostText = 500, 50_000 // maxEdges and maxTextSize of Mermaid 11
	if n := len(links(g, marks)); n > mostEdges {
		return fmt.Sprintf("there are %d edges, and Mermaid shows %d at most where nobody raised its maxEdges", n, mostEdges)
	}
	if n := utf8.RuneCount(flowchart); n > mostText {
		return fmt.Sprintf("it has %d characters, and Mermaid reads %d at most where nobody raised its maxTextSize", n, mostText)
	}
	return ""
}

func mermaidClass(n topology.Node, marks Marks) string {
	if m := marks.of(n.ID); len(m) > 0 {
		return string(m[0])
	}
	switch {
	case n.Out != "":
		return "out"
	case n.Foreign:
		return "foreign"
	}
	return ""
}

func mermaidShape(kind string) (open, end string) {
	switch kind {
	case "loadBalancer", "privateLoadBalancer", "hostname", "dnsRecord", "route", "virtualRouter":
		return "([", "])"
	case "tunnel", "connector":
		return "{{", "}}"
	case "pool", "origin", "monitor", "check", "network", "interface":
		return "(", ")"
	case "host", "address":
		return "[", "]"
	}
	return ">", "]"
}

// mermaidText writes all but letters, digits and a few signs as entities:
// what else means something to Mermaid, inside quotes too, has grown with
// every version (backticks, %%{, #, <).
func mermaidText(s string) string {
	var b strings.Builder
	for _, r := range clean(s) {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune(" -_./:@,·", r) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, "#%d;", r)
		}
	}
	return b.String()
}
