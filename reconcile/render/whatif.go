package render

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/hactl/hactl/reconcile/topology"
	"github.com/hactl/hactl/schema"
)

// WhatIf writes what failures do: first what they change, then the rest.
func WhatIf(w io.Writer, o *topology.Outcome, style Style) error {
	var b strings.Builder
	present(&b, o.Present, style)
	fmt.Fprintf(&b, "%s %s\n", style.paint(bold, "Down:"), strings.ReplaceAll(failedText(o), " and ", ", "))
	if len(o.Moves) > 0 {
		b.WriteString("\n" + style.paint(bold, "Virtual addresses") + "\n")
		for _, m := range o.Moves {
			fmt.Fprintf(&b, "  %s %s\n", clean(m.Router), clean(MoveText(m)))
		}
	}
	same := 0
	for _, e := range o.Entries {
		if !e.Changed {
			same++
			continue
		}
		fmt.Fprintf(&b, "\n%s\n", style.paint(bold, clean(e.ID())))
		fmt.Fprintf(&b, "  before  %s\n", clean(servingText(e.Before)))
		after := clean(servingText(e.After))
		if !e.After.Served {
			after = style.paint(red, after)
		}
		fmt.Fprintf(&b, "  after   %s\n", after)
		for _, s := range e.Switches {
			fmt.Fprintf(&b, "  %s  %s\n", switchMark(s), clean(switchText(s)))
		}
	}
	b.WriteString("\n" + style.paint(bold, OutcomeSummary(o)) + "\n")
	if same > 0 && (same < len(o.Entries) || o.Present != nil) {
		for _, e := range o.Entries {
			if !e.Changed {
				color := dim
				if !e.Before.Served {
					color = red
				}
				fmt.Fprintf(&b, "  %s\n", style.paint(color, clean(e.ID()+" "+asBefore(e))))
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// asBefore is an entry that failures change nothing about, with what is in its
// way where nobody serves it anyhow.
func asBefore(e topology.EntryOutcome) string {
	return "is as before: " + servingText(e.Before)
}

// failedText is what is played as failed.
func failedText(o *topology.Outcome) string {
	if len(o.Failed) == 0 {
		return "nothing else"
	}
	return components(o.Failed)
}

// MoveText says where the addresses of a Virtual Router go, and how soon.
func MoveText(m topology.Move) string {
	addresses := strings.Join(m.Addresses, ", ")
	var text string
	switch {
	case m.To == "":
		return fmt.Sprintf("(%s): nobody has it; %s had", addresses, m.From)
	case m.From == "":
		text = fmt.Sprintf("(%s): to %s", addresses, m.To)
	default:
		text = fmt.Sprintf("(%s): %s -> %s, after %s of silence; if %s hands over, after %s and without", addresses, m.From, m.To, about(m.Death), m.From, about(m.Handover))
	}
	if m.Sticky {
		text += fmt.Sprintf(" (another member may have it now, which %s would not take it from)", m.From)
	}
	return text
}

// about is a duration to the millisecond.
func about(d schema.Duration) schema.Duration {
	return schema.Duration(time.Duration(d).Round(time.Millisecond))
}

// servingText is who answers, the way there first.
func servingText(s topology.Serving) string {
	if !s.Served && s.Why != "" {
		return "nobody: " + s.Why
	}
	if !s.Served {
		return "nobody"
	}
	var parts []string
	if len(s.Pools) > 0 {
		what := "pool "
		if s.Fallback {
			what = "fallback pool "
		}
		parts = append(parts, what+strings.Join(s.Pools, ", ")+" ("+strings.Join(s.Origins, ", ")+")")
	}
	if len(s.Origins) == 0 && len(parts) > 0 {
		parts[0] = strings.TrimSuffix(parts[0], " ()")
	}
	if len(s.Tunnels) > 0 {
		through := "tunnel " + strings.Join(s.Tunnels, ", ")
		if len(s.Connectors) > 0 {
			through += " on " + strings.Join(s.Connectors, ", ")
		}
		parts = append(parts, through)
	}
	if len(s.Routers) > 0 {
		parts = append(parts, "virtualRouter "+strings.Join(s.Routers, ", "))
	}
	by := make([]string, 0, len(s.By))
	for _, c := range s.By {
		by = append(by, c.String())
	}
	return strings.Join(append(parts, strings.Join(by, ", ")), " > ")
}

func switchMark(s topology.Switch) string {
	if s.Within == 0 {
		return "      "
	}
	return "within"
}

// SwitchText says how soon something notices a failure, and what it does then.
func SwitchText(s topology.Switch) string {
	return strings.TrimSpace(switchMark(s) + " " + switchText(s))
}

func switchText(s topology.Switch) string {
	if s.Within == 0 {
		return fmt.Sprintf("%s %s", s.By, s.Detail)
	}
	return fmt.Sprintf("%s by %s: %s", about(s.Within), s.By, s.Detail)
}

// OutcomeSummary is what failures do, in one sentence.
func OutcomeSummary(o *topology.Outcome) string {
	lost, changed, unserved := 0, 0, 0
	for _, e := range o.Entries {
		switch {
		case !e.Before.Served:
			unserved++
		case !e.After.Served:
			lost++
		case e.Changed:
			changed++
		}
	}
	text := fmt.Sprintf("%s: %d cut off, %d served otherwise, %d as before",
		count(len(o.Entries), "entry point", "entry points"), lost, changed, len(o.Entries)-lost-changed)
	if unserved > 0 {
		text += fmt.Sprintf(", %d of them served by nobody", unserved)
	}
	return text + "."
}

// WhatIfMarkdown writes the same as a table.
func WhatIfMarkdown(w io.Writer, o *topology.Outcome) error {
	var b strings.Builder
	title := "As things are now"
	if len(o.Failed) > 0 {
		title = "Without " + failedText(o)
	}
	fmt.Fprintf(&b, "### %s\n\n%s\n", prose(title), prose(OutcomeSummary(o)))
	presentMarkdown(&b, o.Present)
	if len(o.Moves) > 0 {
		b.WriteString("\n")
		for _, m := range o.Moves {
			fmt.Fprintf(&b, "- %s %s\n", code(m.Router), prose(MoveText(m)))
		}
	}
	var rows, nobody strings.Builder
	for _, e := range o.Entries {
		switch {
		case e.Changed:
			var within []string
			for _, s := range e.Switches {
				within = append(within, switchText(s))
			}
			fmt.Fprintf(&rows, "| %s | %s | %s | %s |\n", pipes(code(e.ID())), cell(servingText(e.Before)), cell(servingText(e.After)), cell(strings.Join(within, "; ")))
		case !e.Before.Served:
			fmt.Fprintf(&nobody, "- %s %s\n", code(e.ID()), prose(asBefore(e)))
		}
	}
	if rows.Len() > 0 {
		b.WriteString("\n| entry point | before | after | within |\n| --- | --- | --- | --- |\n" + rows.String())
	}
	if nobody.Len() > 0 {
		b.WriteString("\n" + nobody.String())
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// WhatIfJSON writes the outcome in full; "version" counts changes of its form.
func WhatIfJSON(w io.Writer, o *topology.Outcome) error {
	return encode(w, struct {
		Version int `json:"version"`
		*topology.Outcome
	}{1, o})
}
