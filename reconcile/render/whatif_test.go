package render_test

import (
	"strings"
	"testing"

	"github.com/hactl/hactl/reconcile/render"
	"github.com/hactl/hactl/reconcile/topology"
)

// TestWhatNobodyServesAnyhowIsSaid: what is down now is no news to a failure
// that is played, and the first thing that who asks wants to know.
func TestWhatNobodyServesAnyhowIsSaid(t *testing.T) {
	up := topology.Serving{Served: true, By: []topology.Component{{Kind: "host", Name: "lb01"}}}
	o := &topology.Outcome{
		Present: &topology.Present{Down: []topology.Component{{Kind: "host", Name: "lb02"}}},
		Entries: []topology.EntryOutcome{
			{Entry: topology.Entry{Kind: "hostname", Name: "a.example.com"}, Before: topology.Serving{Why: "now host/lb02 is down"}},
			{Entry: topology.Entry{Kind: "hostname", Name: "b.example.com"}, Before: up, After: up},
		},
	}
	var text, markdown strings.Builder
	if err := render.WhatIf(&text, o, render.Style{}); err != nil {
		t.Fatal(err)
	}
	if err := render.WhatIfMarkdown(&markdown, o); err != nil {
		t.Fatal(err)
	}
	const summary = "2 entry points: 0 cut off, 0 served otherwise, 2 as before, 1 of them served by nobody."
	for _, want := range []string{summary, "hostname/a.example.com is as before: nobody: now host/lb02 is down\n", "hostname/b.example.com is as before: host/lb01\n"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, text.String())
		}
	}
	for _, want := range []string{"### As things are now\n", summary, "- `hostname/a.example.com` is as before: nobody: now host/lb02 is down\n"} {
		if !strings.Contains(markdown.String(), want) {
			t.Errorf("no %q in\n%s", want, markdown.String())
		}
	}
	if strings.Contains(markdown.String(), "| --- |") {
		t.Errorf("a table of nothing:\n%s", markdown.String())
	}
	o.Entries, o.Present = nil, nil
	if got := render.OutcomeSummary(o); got != "0 entry points: 0 cut off, 0 served otherwise, 0 as before." {
		t.Error(got)
	}
}

// TestAPathStaysInItsCell: alternatives in an ingress rule's path are common.
func TestAPathStaysInItsCell(t *testing.T) {
	e := topology.Entry{Kind: "hostname", Name: "a.example.com^/(a|b)"}
	up := topology.Serving{Served: true, By: []topology.Component{{Kind: "host", Name: "lb01"}}}
	var b strings.Builder
	if err := render.WhatIfMarkdown(&b, &topology.Outcome{Entries: []topology.EntryOutcome{{Entry: e, Before: up, Changed: true}}}); err != nil {
		t.Fatal(err)
	}
	if err := render.SpofMarkdown(&b, &topology.Report{Entries: []topology.EntryReport{{Entry: e, Served: true}}}); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(b.String(), "| `hostname/a.example.com^/(a\\|b)` |"); n != 2 {
		t.Errorf("%d of 2 rows are whole:\n%s", n, b.String())
	}
}
