package render

import (
	"fmt"
	"io"
	"strings"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/schema"
)

// Forges take 65,536 characters in a pull request's comment. The findings
// leave room for the steps.
const (
	commentLimit = 60000
	listLimit    = 10000
)

// Markdown writes a plan as a pull request's comment: the summary, then each
// kind's steps as a diff. What does not fit is counted.
func Markdown(w io.Writer, p *reconcile.Plan) error {
	var b strings.Builder
	fmt.Fprintf(&b, "### hactl: stack `%s` at `%s`\n\n%s\n", p.Stack, short(p.Revision), Summary(p))
	list := func(heading string, lines []string) {
		if len(lines) == 0 {
			return
		}
		fmt.Fprintf(&b, "\n**%s**\n\n", heading)
		size := 0
		for i, line := range lines {
			if size += len(line); size > listLimit {
				fmt.Fprintf(&b, "- and %d more\n", len(lines)-i)
				return
			}
			fmt.Fprintf(&b, "- %s\n", line)
		}
	}
	var impact, conflicts, violations, notices []string
	for _, f := range p.Impact {
		impact = append(impact, code(f.ID.String())+" "+prose(f.Message))
	}
	for _, f := range p.Conflicts {
		conflicts = append(conflicts, code(f.ID.String())+" "+prose(f.Message))
	}
	for _, v := range p.Violations {
		subject := ""
		if v.ID != (schema.ID{}) {
			subject = code(v.ID.String()) + " "
		}
		violations = append(violations, fmt.Sprintf("%s%s (`--allow %s`)", subject, prose(v.Message), v.Rule))
	}
	for _, f := range p.Notices {
		notices = append(notices, code(f.ID.String())+" "+prose(f.Message))
	}
	list("What traffic notices", impact)
	list("Conflicts: nothing is done about these", conflicts)
	list("Refused by the guard rails", violations)
	list("Notices", notices)
	var others []string
	for _, h := range p.Hosts {
		line := code(h.Host) + " " + prose(hostState(h))
		for _, s := range h.Steps {
			line += ", " + string(s.Action) + " " + code(s.ID.String())
		}
		others = append(others, line)
	}
	list("Other hosts: their agents make these changes themselves", others)
	byKind := map[schema.Kind][]reconcile.Step{}
	for _, s := range p.Steps {
		byKind[s.ID.Kind] = append(byKind[s.ID.Kind], s)
	}
	left := 0
	for _, kind := range schema.Kinds() {
		if len(byKind[kind]) == 0 {
			continue
		}
		// What one kind leaves of its share goes to the kinds after it.
		share := (commentLimit - b.Len()) / len(byKind)
		var steps strings.Builder
		n := 0
		for _, s := range byKind[kind] {
			step := markdownStep(s)
			if steps.Len()+len(step) > share {
				left++
				continue
			}
			steps.WriteString(step)
			n++
		}
		delete(byKind, kind)
		if n > 0 {
			fmt.Fprintf(&b, "\n<details open><summary>%s (%d)</summary>\n\n```diff\n%s```\n\n</details>\n", headings[kind], n, steps.String())
		}
	}
	if left > 0 {
		fmt.Fprintf(&b, "\n%d more steps do not fit into a comment: hactl diff shows them.\n", left)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// markdownStep writes a step so that a diff's colours fit: a line that begins
// with + or - is green or red, ! stands out.
func markdownStep(s reconcile.Step) string {
	var b strings.Builder
	mark := map[reconcile.Action]string{reconcile.Create: "+", reconcile.Update: "!", reconcile.Replace: "!", reconcile.Delete: "-"}[s.Action]
	fmt.Fprintf(&b, "%s %s %s", mark, s.Action, clean(s.ID.Name))
	if s.Reason != "" {
		fmt.Fprintf(&b, " (%s)", clean(s.Reason))
	}
	if s.Drift {
		b.WriteString(" (drift)")
	}
	b.WriteString("\n")
	for _, f := range s.Fields {
		if f.Before != nil {
			fmt.Fprintf(&b, "-     %s: %s\n", clean(f.Path), lines(f.Before, "-     "))
		}
		if f.After != nil {
			fmt.Fprintf(&b, "+     %s: %s\n", clean(f.Path), lines(f.After, "+     "))
		}
	}
	return fence(b.String())
}

// fence keeps a text from ending its code block.
func fence(s string) string { return strings.ReplaceAll(s, "```", "'''") }

// code is a text in monospace.
func code(s string) string { return "`" + strings.ReplaceAll(clean(s), "`", "'") + "`" }

// prose is a text that is no markup of its own.
func prose(s string) string { return strings.ReplaceAll(clean(s), "<", "&lt;") }

func short(revision string) string {
	if len(revision) == 40 {
		return revision[:12]
	}
	return revision
}
