package render

import (
	"fmt"
	"io"
	"strings"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/schema"
)

// Style says how text is to look.
type Style struct{ Color bool }

const (
	green  = "32"
	yellow = "33"
	red    = "31"
	cyan   = "36"
	bold   = "1"
	dim    = "2"
)

func (s Style) paint(code, text string) string {
	if !s.Color || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// Emphasis and Faint style text of the caller's.
func (s Style) Emphasis(text string) string { return s.paint(bold, text) }

// Faint is for what can be passed over.
func (s Style) Faint(text string) string { return s.paint(dim, text) }

// headings are the kinds as people call them.
var headings = map[schema.Kind]string{
	schema.KindCheck:               "Health checks of this host",
	schema.KindHook:                "Hooks of this host",
	schema.KindVirtualRouter:       "Virtual Routers on this host",
	schema.KindNetwork:             "Virtual networks",
	schema.KindTunnel:              "Tunnels",
	schema.KindTunnelConfiguration: "Tunnel configurations",
	schema.KindRoute:               "Routes",
	schema.KindMonitor:             "Monitors",
	schema.KindPool:                "Pools",
	schema.KindLoadBalancer:        "Load balancers",
	schema.KindPrivateLoadBalancer: "Private load balancers",
	schema.KindDNSRecord:           "DNS records",
}

func sign(a reconcile.Action) (mark, color string) {
	switch a {
	case reconcile.Create:
		return "+", green
	case reconcile.Update:
		return "~", yellow
	case reconcile.Replace:
		return "±", yellow
	}
	return "-", red
}

// Text writes a plan for people: steps grouped by kind, then what stands in
// the way, then the summary.
func Text(w io.Writer, p *reconcile.Plan, style Style) error {
	var b strings.Builder
	for _, kind := range schema.Kinds() {
		first := true
		for _, s := range p.Steps {
			if s.ID.Kind != kind {
				continue
			}
			if first {
				b.WriteString(style.paint(bold, headings[kind]) + "\n")
				first = false
			}
			step(&b, s, style)
		}
		if !first {
			b.WriteString("\n")
		}
	}
	findings(&b, "What traffic notices", yellow, p.Impact, style)
	findings(&b, "Conflicts: nothing is done about these", red, p.Conflicts, style)
	if len(p.Violations) > 0 {
		b.WriteString(style.paint(bold, "Refused by the guard rails") + "\n")
		for _, v := range p.Violations {
			subject := ""
			if v.ID != (schema.ID{}) {
				subject = clean(v.ID.String()) + " "
			}
			fmt.Fprintf(&b, "  %s %s%s (--allow %s)\n", style.paint(red, "!"), subject, clean(v.Message), v.Rule)
		}
		b.WriteString("\n")
	}
	findings(&b, "Notices", cyan, p.Notices, style)
	hosts(&b, p.Hosts, style)
	b.WriteString(style.paint(bold, Summary(p)) + "\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// hosts writes what other machines will change, and what is known of them.
func hosts(b *strings.Builder, list []reconcile.HostPlan, style Style) {
	if len(list) == 0 {
		return
	}
	b.WriteString(style.paint(bold, "Other hosts: their agents make these changes themselves") + "\n")
	for _, h := range list {
		fmt.Fprintf(b, "  %s %s\n", style.paint(bold, clean(h.Host)), style.paint(dim, clean(hostState(h))))
		for _, s := range h.Steps {
			var one strings.Builder
			step(&one, s, style)
			for line := range strings.Lines(one.String()) {
				b.WriteString("  " + line)
			}
		}
		for _, f := range h.Notices {
			fmt.Fprintf(b, "    %s %s %s\n", style.paint(cyan, "!"), clean(f.ID.String()), clean(f.Message))
		}
	}
	b.WriteString("\n")
}

// hostState says how it stands with a host, in a few words.
func hostState(h reconcile.HostPlan) string {
	switch {
	case h.Unknown != "":
		return "is unknown: " + h.Unknown
	case len(h.Steps) == 0:
		return "runs " + short(h.Revision) + ", nothing to do"
	}
	return "runs " + short(h.Revision)
}

func findings(b *strings.Builder, heading, color string, list []reconcile.Finding, style Style) {
	if len(list) == 0 {
		return
	}
	b.WriteString(style.paint(bold, heading) + "\n")
	for _, f := range list {
		fmt.Fprintf(b, "  %s %s %s\n", style.paint(color, "!"), clean(f.ID.String()), clean(f.Message))
	}
	b.WriteString("\n")
}

func step(b *strings.Builder, s reconcile.Step, style Style) {
	mark, color := sign(s.Action)
	fmt.Fprintf(b, "  %s %s", style.paint(color, mark), style.paint(color, clean(s.ID.Name)))
	if s.Reason != "" {
		b.WriteString(style.paint(dim, "  ("+clean(s.Reason)+")"))
	}
	if s.Drift {
		b.WriteString(style.paint(dim, "  (drift)"))
	}
	b.WriteString("\n")
	for _, f := range s.Fields {
		field(b, s.Action, f, style)
	}
}

func field(b *strings.Builder, a reconcile.Action, f reconcile.FieldChange, style Style) {
	const indent = "      "
	f.Path = clean(f.Path)
	switch {
	case a == reconcile.Create:
		fmt.Fprintf(b, "%s%s: %s\n", indent, f.Path, lines(f.After, indent))
	case f.Before == nil:
		fmt.Fprintf(b, "%s%s %s: %s\n", indent, style.paint(green, "+"), f.Path, lines(f.After, indent))
	case f.After == nil:
		fmt.Fprintf(b, "%s%s %s: %s\n", indent, style.paint(red, "-"), f.Path, lines(f.Before, indent))
	case len(indent)+len(f.Path)+len(value(f.Before))+len(value(f.After)) > width:
		fmt.Fprintf(b, "%s%s %s:\n%s    %s %s\n%s    %s %s\n", indent, style.paint(yellow, "~"), f.Path,
			indent, style.paint(red, "-"), lines(f.Before, indent+"    "), indent, style.paint(green, "+"), lines(f.After, indent+"    "))
	default:
		fmt.Fprintf(b, "%s%s %s: %s %s %s\n", indent, style.paint(yellow, "~"), f.Path,
			lines(f.Before, indent), style.paint(dim, "→"), lines(f.After, indent))
	}
}

// Field is a field's change on one line, without a style.
func Field(a reconcile.Action, f reconcile.FieldChange) string {
	path := clean(f.Path)
	switch {
	case a == reconcile.Create:
		return path + ": " + value(f.After)
	case f.Before == nil:
		return "+ " + path + ": " + value(f.After)
	case f.After == nil:
		return "- " + path + ": " + value(f.Before)
	}
	return "~ " + path + ": " + value(f.Before) + " → " + value(f.After)
}

// Summary is the plan in one sentence.
func Summary(p *reconcile.Plan) string {
	text := Counts(p)
	if n := p.Summary.Requests; n > 0 {
		plural := "s"
		if n == 1 {
			plural = ""
		}
		text += fmt.Sprintf(" (read with %d request%s)", n, plural)
	}
	return text + "."
}

// Counts says what the plan does in numbers: "2 to update, 1 to delete".
func Counts(p *reconcile.Plan) string {
	s := p.Summary
	var parts []string
	for _, c := range []struct {
		n    int
		what string
	}{{s.Create, "to create"}, {s.Update, "to update"}, {s.Replace, "to replace"}, {s.Delete, "to delete"}} {
		if c.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", c.n, c.what))
		}
	}
	text := "Nothing to do"
	switch {
	case len(parts) > 0:
		text = strings.Join(parts, ", ")
	case len(p.Conflicts) > 0:
		text = "Nothing else to do"
	}
	if n := len(p.Conflicts); n > 0 {
		text += fmt.Sprintf("; %d in conflict", n)
	}
	if n := len(p.Violations); n > 0 {
		text += fmt.Sprintf("; %d refused", n)
	}
	return text
}
