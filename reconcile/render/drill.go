package render

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/hactl/hactl/reconcile/drill"
	"github.com/hactl/hactl/schema"
)

// DrillStep writes what came of one step, in a few lines.
func DrillStep(w io.Writer, o *drill.Outcome, s Style) error {
	var b strings.Builder
	write := func(color, format string, args ...any) {
		text := Plain(fmt.Sprintf(format, args...))
		if color != "" {
			text = s.paint(color, text)
		}
		b.WriteString("    " + text + "\n")
	}
	line := func(format string, args ...any) { write("", format, args...) }
	for _, i := range o.Impact {
		line("traffic: %s", i)
	}
	if o.Unread {
		line("it is pushed, and no host can read it yet")
	}
	if o.Running > 0 {
		at := ""
		if o.Applied > 0 {
			at = fmt.Sprintf("; the edge is as it has it after %s", span(o.Applied))
		}
		line("%.12s runs on all hosts after %s%s", o.Revision, span(o.Running), at)
	}
	if o.Refused > 0 {
		line("%.12s is refused by all hosts after %s:", o.Revision, span(o.Refused))
		for l := range strings.Lines(o.Why) {
			line("  %s", strings.TrimRight(l, "\n"))
		}
	}
	if o.Corrected > 0 {
		line("it is as the specification has it again after %s", span(o.Corrected))
	}
	if o.Found > 0 {
		line("its check found that after %s, predicted %s at most: until then requests reached what failed", span(o.Found), span(o.Within))
	}
	for i := range o.Routers {
		r := &o.Routers[i]
		line("%s: %s", r.Router, routerWords(r, o.Found > 0))
	}
	if len(o.Routers)+len(o.Unserved) == 0 && o.Refused+o.Running == 0 && o.Step.Verb.Disturbs() {
		line("no address moves")
	}
	for _, e := range o.Unserved {
		write(yellow, "nobody answers for %s now", e)
	}
	for _, t := range o.Times {
		write(yellow, "in another time: %s", t)
	}
	for _, d := range o.Deviations {
		write(red, "OTHERWISE: %s", d)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// routerWords say what became of a Virtual Router. behind tells that what is
// behind its addresses failed, which nobody asked.
func routerWords(r *drill.Switched, behind bool) string {
	words := who(r)
	if len(r.From) == 0 && len(r.Now) == 1 {
		words += " is Active"
	} else if len(r.From) == 0 && len(r.Now) > 1 {
		words += " are Active"
	}
	if r.Took > 0 {
		words += fmt.Sprintf(" %s after %s, predicted %s (%.2f)", since(r.Cause), span(r.Took), span(r.Switch), ratio(r.Switch, r.Took))
	}
	switch {
	case len(r.From) == 0 || len(r.To) != 1:
	case r.Unasked:
		words += "; its addresses answer nobody, so that nobody asks"
	case r.Quiet == 0 && behind:
		words += "; the address answered all the while"
	case r.Quiet == 0:
		words += "; no request was lost"
	default:
		words += fmt.Sprintf("; nobody answered for %s, %d requests lost", span(r.Quiet), r.Lost)
	}
	return words
}

func who(r *drill.Switched) string {
	from, to := strings.Join(r.From, " and "), strings.Join(r.Now, " and ")
	if to == "" {
		to = "nobody"
	}
	if from == "" || from == to {
		return to
	}
	return from + " -> " + to
}

// since says what a switch is counted from.
func since(c drill.Cause) string {
	switch c {
	case drill.Death:
		return "since the last advertisement,"
	case drill.Release, drill.Yield:
		return "since it said so,"
	}
	return "since it was back,"
}

func ratio(predicted, was schema.Duration) float64 { return float64(was) / float64(predicted) }

// span is a duration for people.
func span(of schema.Duration) string {
	d := time.Duration(of)
	switch {
	case d >= 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d >= time.Second:
		return d.Round(time.Millisecond).String()
	}
	return d.Round(100 * time.Microsecond).String()
}

// DrillTable writes what was predicted beside what was measured.
func DrillTable(w io.Writer, outcomes []*drill.Outcome) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "STEP\tWHAT\tPREDICTED\tMEASURED\tRATIO\tSILENCE PREDICTED\tMEASURED\tLOST")
	rows := 0
	// Where there is a Virtual Router, its addresses are asked all the time.
	asked := slices.ContainsFunc(outcomes, func(o *drill.Outcome) bool { return len(o.Routers) > 0 })
	for _, o := range outcomes {
		step := o.Step.String()
		if len([]rune(step)) > 32 {
			step = string([]rune(step)[:31]) + "…"
		}
		if o.Corrected > 0 {
			fmt.Fprintf(t, "%s\tcorrected\t%s at most\t%s\t-\t-\t-\t-\n", step, span(o.Resync), span(o.Corrected))
			rows++
		}
		if o.Found > 0 {
			fmt.Fprintf(t, "%s\tfound by its check\t%s at most\t%s\t-\t-\t-\t-\n", step, span(o.Within), span(o.Found))
			rows++
		}
		if len(o.Routers) == 0 && (o.Refused+o.Running > 0 || o.Step.Verb.Disturbs()) { // No address moved, nor was silent.
			what, after := "no address moves", "-"
			switch {
			case o.Refused > 0:
				what, after = "refused by all hosts", span(o.Refused)
			case o.Running > 0:
				what, after = "runs on all hosts", span(o.Running)
			case len(o.Unserved) > 0:
				what = "nobody answers for " + strings.Join(o.Unserved, ", ")
			}
			silence := "-\t-\t-"
			if asked {
				silence = "0s\t0s\t0"
			}
			fmt.Fprintf(t, "%s\t%s\t-\t%s\t-\t%s\n", step, what, after, silence)
			rows++
		}
		for i := range o.Routers {
			r := &o.Routers[i]
			predicted, measured, share := "-", "-", "-"
			if r.Took > 0 {
				predicted, measured, share = span(r.Switch), span(r.Took), fmt.Sprintf("%.3f", ratio(r.Switch, r.Took))
			}
			silent, quiet := span(r.Silent), span(r.Quiet)
			switch {
			case len(r.From) == 0 || r.Unasked:
				silent, quiet = "-", "-"
			case len(r.To) == 0:
				silent = "no end"
			}
			fmt.Fprintf(t, "%s\t%s: %s\t%s\t%s\t%s\t%s\t%s\t%d\n", step, r.Router, who(r), predicted, measured, share, silent, quiet, r.Lost)
			rows++
		}
	}
	if rows == 0 {
		return nil
	}
	return t.Flush()
}

// drillVersion is that of the JSON form.
const drillVersion = 1

// DrillJSON writes outcomes: {"version": 1, "steps": [...], "deviations": n}.
// Durations are as in specifications, such as "1.0242s".
func DrillJSON(w io.Writer, outcomes []*drill.Outcome) error {
	if outcomes == nil {
		outcomes = []*drill.Outcome{}
	}
	return encode(w, struct {
		Version    int              `json:"version"`
		Steps      []*drill.Outcome `json:"steps"`
		Deviations int              `json:"deviations"`
	}{drillVersion, outcomes, Deviations(outcomes, true)})
}

// Deviations counts them, with times those too.
func Deviations(outcomes []*drill.Outcome, times bool) (n int) {
	for _, o := range outcomes {
		if n += len(o.Deviations); times {
			n += len(o.Times)
		}
	}
	return n
}
