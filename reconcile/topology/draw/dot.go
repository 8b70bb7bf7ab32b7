package draw

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/hactl/hactl/reconcile/topology"
)

// DOT writes the graph for Graphviz.
func DOT(g *topology.Graph, marks Marks, o Options) []byte {
	var b bytes.Buffer
	b.WriteString("digraph topology {\n  rankdir=LR;\n  fontname=\"monospace\";\n  node [fontname=\"monospace\", fontsize=11];\n  edge [fontname=\"monospace\", fontsize=9];\n")
	if o.Title != "" {
		fmt.Fprintf(&b, "  label=%s;\n  labelloc=t;\n", dotText(o.Title))
	}
	for _, n := range g.Nodes {
		lines := []string{n.Name, detail(n)}
		style, more := []string{}, ""
		if n.Foreign {
			style = append(style, "dashed")
		}
		if n.Out != "" || marks.off(n.ID) {
			style = append(style, "filled")
			more += `, fillcolor="#e5e7eb", fontcolor="#4b5563"`
		}
		for i, m := range marks.of(n.ID) {
			lines = append(lines, badges[m])
			if i == 0 {
				style = append(style, "bold")
				switch m { // As in the other formats.
				case Delete, Down:
					style = append(style, "dashed")
				case Refused, Conflict:
					style = append(style, "dotted")
				}
				more += fmt.Sprintf(", color=%q", dotColor(m))
			}
		}
		if len(style) > 0 {
			more += fmt.Sprintf(", style=%q", strings.Join(style, ","))
		}
		fmt.Fprintf(&b, "  %s [label=%s, shape=%s%s];\n", dotText(n.ID), dotText(lines...), dotShape(n.Kind), more)
	}
	for _, l := range links(g, marks) {
		var attributes []string
		if l.label != "" {
			attributes = append(attributes, "label="+dotText(l.label))
		}
		switch styleOf(l.kind) {
		case "fallback":
			attributes = append(attributes, "style=dashed")
		case "watches":
			attributes = append(attributes, "style=dotted")
		}
		if l.off {
			attributes = append(attributes, `color="#9ca3af"`)
		}
		fmt.Fprintf(&b, "  %s -> %s", dotText(g.Nodes[l.from].ID), dotText(g.Nodes[l.to].ID))
		if len(attributes) > 0 {
			fmt.Fprintf(&b, " [%s]", strings.Join(attributes, ", "))
		}
		b.WriteString(";\n")
	}
	b.WriteString("}\n")
	return b.Bytes()
}

// dotText is a quoted string of lines. Backslashes are doubled, as Graphviz
// replaces \N and others in labels.
func dotText(lines ...string) string {
	escaped := make([]string, len(lines))
	for i, s := range lines {
		escaped[i] = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "&", "&amp;").Replace(clean(s)) // Graphviz resolves HTML entities, too.
	}
	return `"` + strings.Join(escaped, `\n`) + `"`
}

func dotColor(m Mark) string {
	switch m {
	case Create, Active, Healthy:
		return "#16a34a"
	case Update, Replace:
		return "#d97706"
	case Cut:
		return "#6b7280"
	}
	return "#dc2626"
}

func dotShape(kind string) string {
	switch kind {
	case "loadBalancer", "privateLoadBalancer", "hostname", "dnsRecord", "route", "virtualRouter":
		return "oval"
	case "tunnel", "connector":
		return "hexagon"
	case "host", "address":
		return "box"
	case "network", "interface":
		return "component"
	case "monitor", "check":
		return "note"
	}
	if _, ok := icons[kind]; ok {
		return "folder" // pool, origin
	}
	return "tab" // a label
}
