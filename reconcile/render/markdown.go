package render

import (
	"fmt"
	"io"
	"strings"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/schema"
)

// commentLimit keeps Markdown within a pull request's comment: forges take
// 65,536 characters.
const commentLimit = 60000

// Markdown writes a plan as a pull request's comment: the summary, then each
// kind's steps as a diff. What does not fit is counted.
func Markdown(w io.Writer, p *reconcile.Plan) error {
	var b strings.Builder
	fmt.Fprintf(&b, "### hactl: stack `%s` at `%s`\n\n%s\n", p.Stack, short(p.Revision), Summary(p))
	list := func(heading string, lines []string) {
		if len(lines) > 0 {
			fmt.Fprintf(&b, "\n**%s**\n\n- %s\n", heading, strings.Join(lines, "\n- "))
		}
	}
	var conflicts, violations, notices []string
	for _, f := range p.Conflicts {
		conflicts = append(conflicts, fmt.Sprintf("`%s` %s", f.ID, f.Message))
	}
	for _, v := range p.Violations {
		subject := ""
		if v.ID != (schema.ID{}) {
			subject = "`" + v.ID.String() + "` "
		}
		violations = append(violations, fmt.Sprintf("%s%s (`--allow %s`)", subject, v.Message, v.Rule))
	}
	for _, f := range p.Notices {
		notices = append(notices, fmt.Sprintf("`%s` %s", f.ID, f.Message))
	}
	list("Conflicts: nothing is done about these", conflicts)
	list("Refused by the guard rails", violations)
	list("Notices", notices)
	left := 0
	for _, kind := range schema.Kinds() {
		var steps strings.Builder
		n := 0
		for _, s := range p.Steps {
			if s.ID.Kind == kind {
				markdownStep(&steps, s)
				n++
			}
		}
		switch {
		case n == 0:
		case b.Len()+steps.Len() > commentLimit:
			left += n
		default:
			fmt.Fprintf(&b, "\n<details open><summary>%s (%d)</summary>\n\n```diff\n%s```\n\n</details>\n", headings[kind], n, steps.String())
		}
	}
	if left > 0 {
		fmt.Fprintf(&b, "\n%d more steps do not fit into a comment.\n", left)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// markdownStep writes a step so that a diff's colours fit: a line that begins
// with + or - is green or red, ! stands out.
func markdownStep(b *strings.Builder, s reconcile.Step) {
	mark := map[reconcile.Action]string{reconcile.Create: "+", reconcile.Update: "!", reconcile.Replace: "!", reconcile.Delete: "-"}[s.Action]
	fmt.Fprintf(b, "%s %s %s", mark, s.Action, fence(s.ID.Name))
	if s.Reason != "" {
		fmt.Fprintf(b, " (%s)", s.Reason)
	}
	b.WriteString("\n")
	for _, f := range s.Fields {
		if f.Before != nil {
			fmt.Fprintf(b, "-     %s: %s\n", f.Path, fence(value(f.Before)))
		}
		if f.After != nil {
			fmt.Fprintf(b, "+     %s: %s\n", f.Path, fence(value(f.After)))
		}
	}
}

// fence keeps a value from ending the code block.
func fence(s string) string { return strings.ReplaceAll(s, "```", "'''") }

func short(revision string) string {
	if len(revision) == 40 {
		return revision[:12]
	}
	return revision
}
