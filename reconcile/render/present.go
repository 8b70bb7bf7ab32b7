package render

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hactl/hactl/reconcile/topology"
)

// presentLines are what is so now, a word and a text each; none without live
// state.
func presentLines(p *topology.Present) (lines [][2]string) {
	if p == nil {
		return nil
	}
	down := make([]string, 0, len(p.Down))
	for _, c := range p.Down {
		down = append(down, c.String())
	}
	if len(down) == 0 {
		down = []string{"nothing that is known"}
	}
	lines = append(lines, [2]string{"down", strings.Join(down, ", ")})
	for _, text := range p.Out {
		lines = append(lines, [2]string{"out", text})
	}
	for _, name := range slices.Sorted(maps.Keys(p.Active)) {
		lines = append(lines, [2]string{"active", strings.Join(p.Active[name], " and ") + " for virtualRouter/" + name})
	}
	for _, text := range p.Unknown {
		lines = append(lines, [2]string{"unknown", text})
	}
	return lines
}

// present writes what is so now before what else there is to say.
func present(b *strings.Builder, p *topology.Present, style Style) {
	lines := presentLines(p)
	if len(lines) == 0 {
		return
	}
	b.WriteString(style.paint(bold, "Now") + "\n")
	for _, l := range lines {
		text := fmt.Sprintf("%-8s", l[0]) + clean(l[1])
		switch {
		case l[0] == "unknown":
			text = style.paint(yellow, text)
		case l[0] == "out" || l[0] == "down" && len(p.Down) > 0:
			text = style.paint(red, text)
		}
		fmt.Fprintf(b, "  %s\n", text)
	}
	b.WriteString("\n")
}

// presentMarkdown writes the same as a list after an empty line.
func presentMarkdown(b *strings.Builder, p *topology.Present) {
	lines := presentLines(p)
	if len(lines) == 0 {
		return
	}
	b.WriteString("\nNow:\n\n")
	for _, l := range lines {
		fmt.Fprintf(b, "- %s: %s\n", l[0], prose(l[1]))
	}
}
