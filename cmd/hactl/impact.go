package main

import (
	"fmt"
	"strings"

	"github.com/hactl/hactl/reconcile/follow"
)

// brief is the first of several lines, cut to so many characters with the
// number of the others: "loadBalancer/a loses its last enabled… +2 more".
func brief(lines []string, most int) string {
	if len(lines) == 0 {
		return ""
	}
	more := ""
	if n := len(lines) - 1; n > 0 {
		more = fmt.Sprintf(" +%d more", n)
	}
	first := []rune(strings.TrimSpace(lines[0]))
	if room := most - len(more); len(first) > room {
		first = append(first[:max(room-1, 0)], '…')
	}
	return string(first) + more
}

// impactLines are what traffic notices, a line each.
func impactLines(ev follow.Event) []string {
	var lines []string
	for _, f := range ev.Impact {
		lines = append(lines, f.ID.String()+" "+f.Message)
	}
	return lines
}

// withImpact is an event's text, with what traffic notices in brief.
func withImpact(ev follow.Event, most int) string {
	if len(ev.Impact) == 0 {
		return ev.Text
	}
	return ev.Text + "; " + brief(impactLines(ev), most-len(ev.Text)-2)
}
