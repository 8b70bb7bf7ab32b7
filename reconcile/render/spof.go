package render

import (
	"fmt"
	"io"
	"strings"

	"github.com/hactl/hactl/reconcile/topology"
)

// mostCuts is how many pairs of one entry point text and Markdown show.
const mostCuts = 12

// Spof writes what can cut entry points off.
func Spof(w io.Writer, r *topology.Report, style Style) error {
	var b strings.Builder
	present(&b, r.Present, style)
	for _, e := range r.Entries {
		b.WriteString(style.paint(bold, clean(e.ID())))
		if e.HighAvailability {
			b.WriteString(style.paint(dim, "  high availability"))
		}
		b.WriteString("\n")
		if !e.Served {
			fmt.Fprintf(&b, "  %s\n", style.paint(red, "nobody serves it: "+clean(e.Why)))
			continue
		}
		cuts, left := shown(e.Cuts)
		for _, c := range cuts {
			color := yellow
			if c.SinglePoint() {
				color = red
			}
			note := cutNote(c)
			if note != "" {
				note = " " + style.paint(dim, clean(note))
			}
			fmt.Fprintf(&b, "  %s%s\n      %s\n", style.paint(color, components(c.Components)), note, clean(c.Repair))
		}
		if left > 0 {
			fmt.Fprintf(&b, "  %s\n", style.paint(dim, fmt.Sprintf("and %d more: -o json has them", left)))
		}
		if len(e.Cuts) == 0 {
			fmt.Fprintf(&b, "  %s\n", style.paint(green, survives(r.Depth)))
		}
	}
	if len(r.Traps) > 0 {
		b.WriteString("\n" + style.paint(bold, "Not what it looks like") + "\n")
		for _, t := range r.Traps {
			fmt.Fprintf(&b, "  %s %s %s\n", style.paint(cyan, "!"), clean(t.Subject), clean(t.Message))
		}
	}
	b.WriteString("\n" + style.paint(bold, SpofSummary(r)) + "\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func shown(cuts []topology.Cut) (some []topology.Cut, left int) {
	if len(cuts) > mostCuts {
		return cuts[:mostCuts], len(cuts) - mostCuts
	}
	return cuts, 0
}

func survives(depth int) string {
	if depth == 1 {
		return "survives any single failure"
	}
	return fmt.Sprintf("survives any %d failures", depth)
}

func components(list []topology.Component) string {
	names := make([]string, 0, len(list))
	for _, c := range list {
		names = append(names, clean(c.String()))
	}
	return strings.Join(names, " and ")
}

// cutNote says what sort of a cut it is, and what does the same.
func cutNote(c topology.Cut) string {
	var notes []string
	if c.ByChange {
		notes = append(notes, "only by a change")
	}
	var alike []string
	for _, list := range c.Alike {
		for _, x := range list {
			alike = append(alike, x.String())
		}
	}
	const most = 6
	if n := len(alike); n > most {
		alike = append(alike[:most:most], fmt.Sprintf("%d more", n-most))
	}
	if len(alike) > 0 {
		notes = append(notes, "as do "+strings.Join(alike, ", "))
	}
	if len(notes) == 0 {
		return ""
	}
	return "(" + strings.Join(notes, "; ") + ")"
}

// SpofSummary is the report in one sentence.
func SpofSummary(r *topology.Report) string {
	single, unserved := 0, 0
	for _, e := range r.Entries {
		switch {
		case !e.Served:
			unserved++
		case e.Broken():
			single++
		}
	}
	text := fmt.Sprintf("%s, %d with a single point of failure", count(len(r.Entries), "entry point", "entry points"), single)
	if unserved > 0 {
		text += fmt.Sprintf(", %d that nobody serves", unserved)
	}
	if n := len(r.Violations()); n > 0 {
		text += fmt.Sprintf("; highAvailability is asked for and not kept by %d", n)
	}
	return text + "."
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// SpofJSON writes the report in full; "version" counts changes of its form.
func SpofJSON(w io.Writer, r *topology.Report) error {
	return encode(w, struct {
		Version int `json:"version"`
		*topology.Report
	}{1, r})
}

// SpofMarkdown writes the same for a comment on a pull request.
func SpofMarkdown(w io.Writer, r *topology.Report) error {
	var b strings.Builder
	fmt.Fprintf(&b, "### Single points of failure\n\n%s\n", prose(SpofSummary(r)))
	presentMarkdown(&b, r.Present)
	b.WriteString("\n| entry point | cut off by | repair |\n| --- | --- | --- |\n")
	for _, e := range r.Entries {
		name := pipes(code(e.ID()))
		if e.HighAvailability {
			name += " (high availability)"
		}
		if !e.Served {
			fmt.Fprintf(&b, "| %s | **nobody serves it** | %s |\n", name, cell(e.Why))
			continue
		}
		if len(e.Cuts) == 0 {
			fmt.Fprintf(&b, "| %s | %s | |\n", name, survives(r.Depth))
		}
		cuts, left := shown(e.Cuts)
		for _, c := range cuts {
			cut := cell(components(c.Components))
			if c.SinglePoint() {
				cut = "**" + cut + "**"
			}
			fmt.Fprintf(&b, "| %s | %s %s | %s |\n", name, cut, cell(cutNote(c)), cell(c.Repair))
			name = ""
		}
		if left > 0 {
			fmt.Fprintf(&b, "| | and %d more | |\n", left)
		}
	}
	if len(r.Traps) > 0 {
		b.WriteString("\nNot what it looks like:\n\n")
		for _, t := range r.Traps {
			fmt.Fprintf(&b, "- %s %s\n", code(t.Subject), prose(t.Message))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// cell is a text in a table.
func cell(s string) string { return pipes(prose(s)) }

// pipes keeps what is in a table in its cell: a | ends that even in monospace
// (GitHub Flavored Markdown, 4.10).
func pipes(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
