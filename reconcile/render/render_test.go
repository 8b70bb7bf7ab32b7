package render_test

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/render"
	"github.com/hactl/hactl/schema"
)

var update = flag.Bool("update", false, "write what the tests see into testdata")

// golden compares with a file, or writes it under -update.
func golden(t *testing.T, name, got string) {
	t.Helper()
	name = "testdata/" + name
	if *update {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}

func oid(s string) schema.ID {
	id, err := schema.ParseID(s)
	if err != nil {
		panic(err)
	}
	return id
}

// full has every kind of step, change and finding.
func full() *reconcile.Plan {
	old := oid("dnsRecord/apex")
	return &reconcile.Plan{
		Version: 1, Stack: "home", Revision: "0123456789abcdef0123456789abcdef01234567",
		Steps: []reconcile.Step{
			{ID: oid("network/lan"), Action: reconcile.Create},
			{ID: oid("tunnel/home"), Action: reconcile.Create},
			{ID: oid("tunnelConfiguration/home"), Action: reconcile.Create, Needs: []schema.ID{oid("tunnel/home")}, Fields: []reconcile.FieldChange{
				{Path: "ingress", After: []any{
					map[string]any{"hostname": "www.example.com", "service": "https://192.168.0.40", "originRequest": map[string]any{"noTLSVerify": true}},
					map[string]any{"hostname": "wiki.example.com", "path": "/api", "service": "https://192.168.0.41"},
					map[string]any{"service": "http_status:404"},
				}},
			}},
			{ID: oid("route/lan/192.168.0.0/24"), Action: reconcile.Create, Fields: []reconcile.FieldChange{{Path: "tunnel", After: "home"}}},
			{ID: oid("monitor/web"), Action: reconcile.Create, Fields: []reconcile.FieldChange{
				{Path: "description", After: "says ```hello``` and `x`"}, {Path: `header."X-A"`, After: []any{"b"}}, {Path: "type", After: "https"},
			}},
			{ID: oid("pool/tokyo"), Action: reconcile.Update, Handle: "17b5962d775c646f3f9725cbc7a53df4", Fields: []reconcile.FieldChange{
				{Path: "description", Before: "one\ntwo", After: ""},
				{Path: "latitude", Before: nil, After: 35.6},
				{Path: "notificationFilter", Before: map[string]any{"pool": map[string]any{"disable": true}}, After: nil},
				{Path: "origins.home.weight", Before: 1.0, After: 0.5},
				{Path: "origins.new", Before: nil, After: map[string]any{"address": "192.0.2.1", "header": map[string]any{"Host": []any{"www.example.com"}}}},
				{Path: "origins.old", Before: map[string]any{"address": "192.0.2.2"}, After: nil},
			}},
			{ID: oid("loadBalancer/www.example.com"), Action: reconcile.Update, Reason: "repoint to the new pool/tokyo"},
			{ID: oid("loadBalancer/app.example.com"), Action: reconcile.Update, Fields: []reconcile.FieldChange{
				{Path: "defaultPools", Before: []any{"tokyo", "osaka", "nagoya", "sapporo", "fukuoka", "sendai"}, After: []any{"osaka", "tokyo", "nagoya", "sapporo", "fukuoka", "kobe"}},
				{Path: "rules.order", Before: []string{"a", "b"}, After: []string{"b", "a"}},
				{Path: "rules[a].disabled", Before: true, After: false},
			}},
			{ID: oid("loadBalancer/api.example.com"), Action: reconcile.Replace, Reason: "zone cannot be changed in place", Fields: []reconcile.FieldChange{
				{Path: "zone", Before: "example.com", After: "api.example.com", Immutable: true},
			}},
			{ID: oid("dnsRecord/root"), Action: reconcile.Replace, Replaces: &old, Reason: "takes the place of dnsRecord/apex", Fields: []reconcile.FieldChange{
				{Path: "content", Before: "192.0.2.1", After: "a.example.net"}, {Path: "type", Before: "A", After: "CNAME", Immutable: true},
			}},
			{ID: oid("monitor/old"), Action: reconcile.Delete, Handle: "f1aba936b94213e5b8dca0c0dbf1f9cc"},
			{ID: oid("monitor/web#h2"), Action: reconcile.Delete, Handle: "h2", Reason: "a second object with one marker: a creation whose answer was lost"},
		},
		Conflicts:  []reconcile.Finding{{ID: oid("pool/osaka"), Handle: "h3", Message: "exists and is not hactl's: take it over with hactl adopt pool/osaka h3, or name yours otherwise"}},
		Violations: []reconcile.Violation{{Rule: reconcile.RuleDeletions, Message: "12 deletions; the policy's maxDeletions is 10"}, {Rule: reconcile.RuleProtected, ID: oid("monitor/old"), Message: "is protected and would be deleted"}},
		Notices:    []reconcile.Finding{{ID: oid("privateLoadBalancer/app"), Message: "answers at 100.112.0.1"}},
		Summary:    reconcile.Summary{Create: 5, Update: 3, Replace: 2, Delete: 2, Requests: 9},
	}
}

func written(t *testing.T, write func(io.Writer) error) string {
	t.Helper()
	var b strings.Builder
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestPlansAreShown(t *testing.T) {
	for name, p := range map[string]*reconcile.Plan{
		"full":    full(),
		"empty":   {Version: 1, Stack: "home", Revision: "r1", Summary: reconcile.Summary{Requests: 9}},
		"blocked": {Version: 1, Stack: "home", Revision: "r1", Conflicts: full().Conflicts, Violations: full().Violations[:1]},
	} {
		golden(t, name+".txt", written(t, func(w io.Writer) error { return render.Text(w, p, render.Style{}) }))
		golden(t, name+".color.txt", written(t, func(w io.Writer) error { return render.Text(w, p, render.Style{Color: true}) }))
		golden(t, name+".md", written(t, func(w io.Writer) error { return render.Markdown(w, p) }))
		golden(t, name+".json", written(t, func(w io.Writer) error { return render.JSON(w, p) }))
	}
}

func TestColourIsTheOnlyDifferenceColourMakes(t *testing.T) {
	coloured := written(t, func(w io.Writer) error { return render.Text(w, full(), render.Style{Color: true}) })
	for _, code := range []string{"1", "2", "31", "32", "33", "36", "0"} {
		coloured = strings.ReplaceAll(coloured, "\x1b["+code+"m", "")
	}
	if plain := written(t, func(w io.Writer) error { return render.Text(w, full(), render.Style{}) }); coloured != plain {
		t.Errorf("got\n%s\nwant\n%s", coloured, plain)
	}
}

// sections are the stretches of a comment outside and inside code blocks.
func sections(t *testing.T, comment string) {
	t.Helper()
	if strings.Count(comment, "```")%2 != 0 {
		t.Errorf("a code block stays open")
	}
	if strings.Count(comment, "<details") != strings.Count(comment, "</details>") {
		t.Errorf("a section stays open")
	}
}

func TestACommentFitsIntoAPullRequest(t *testing.T) {
	p := &reconcile.Plan{Stack: "home", Revision: "r1"}
	for i := range 3000 {
		p.Steps = append(p.Steps, reconcile.Step{ID: oid(fmt.Sprint("pool/p", i)), Action: reconcile.Create, Fields: []reconcile.FieldChange{{Path: "monitor", After: "a monitor of some name"}}})
		p.Notices = append(p.Notices, reconcile.Finding{ID: oid(fmt.Sprint("pool/p", i)), Message: "waits for a monitor of some name: it is in conflict"})
	}
	p.Steps = append(p.Steps, reconcile.Step{ID: oid("monitor/m"), Action: reconcile.Create}, reconcile.Step{ID: oid("dnsRecord/r"), Action: reconcile.Delete})
	comment := written(t, func(w io.Writer) error { return render.Markdown(w, p) })
	if n := len([]rune(comment)); n > 65536 {
		t.Errorf("%d characters", n)
	}
	sections(t, comment)
	for _, want := range []string{"create m\n", "create p0\n", "delete r\n", "more"} {
		if !strings.Contains(comment, want) {
			t.Errorf("%q is missing", want)
		}
	}
}

func TestNoValueEndsACodeBlock(t *testing.T) {
	comment := written(t, func(w io.Writer) error { return render.Markdown(w, full()) })
	sections(t, comment)
	p := &reconcile.Plan{Stack: "home", Revision: "r1", Steps: []reconcile.Step{{
		ID: oid("pool/p```"), Action: reconcile.Create, Reason: "a ``` b", Fields: []reconcile.FieldChange{{Path: "origins.\"```\"", After: "````\n```\n"}},
	}}, Notices: []reconcile.Finding{{ID: oid("pool/``p``"), Message: "line\nbreak"}}}
	comment = written(t, func(w io.Writer) error { return render.Markdown(w, p) })
	if strings.Count(comment, "```") != 2 {
		t.Errorf("got\n%s", comment)
	}
	if strings.Contains(comment, "line\nbreak") {
		t.Errorf("a message breaks its line:\n%s", comment)
	}
}

func TestNoValueWritesToTheTerminal(t *testing.T) {
	p := &reconcile.Plan{Steps: []reconcile.Step{{ID: oid("pool/p"), Action: reconcile.Update, Fields: []reconcile.FieldChange{{Path: "description", Before: "\x1b[2J", After: "\r\n\a"}}}},
		Notices: []reconcile.Finding{{ID: oid("pool/p"), Message: "says \x1b[2J\nand more"}}}
	text := written(t, func(w io.Writer) error { return render.Text(w, p, render.Style{}) })
	if strings.ContainsAny(text, "\x1b\r\a") {
		t.Errorf("%q", text)
	}
}

func events() []reconcile.Event {
	tunnel := reconcile.Step{ID: oid("tunnel/home"), Action: reconcile.Create}
	pool := reconcile.Step{ID: oid("pool/tokyo"), Action: reconcile.Update}
	balancer := reconcile.Step{ID: oid("loadBalancer/www.example.com"), Action: reconcile.Replace}
	record := reconcile.Step{ID: oid("dnsRecord/www"), Action: reconcile.Delete}
	return []reconcile.Event{
		{Kind: reconcile.StepStarted, Step: tunnel, Total: 4},
		{Kind: reconcile.StepDone, Step: tunnel, Done: 1, Total: 4, Elapsed: 1234 * time.Millisecond},
		{Kind: reconcile.StepStarted, Step: pool, Done: 1, Total: 4},
		{Kind: reconcile.WaitForBudget, Elapsed: 12345 * time.Millisecond, Done: 1, Total: 4},
		{Kind: reconcile.StepFailed, Step: pool, Done: 2, Total: 4, Err: &reconcile.Error{Op: "update", ID: pool.ID, Class: reconcile.Denied, Err: errors.New("10000: Authentication error")}},
		{Kind: reconcile.StepSkipped, Step: balancer, Done: 3, Total: 4, Err: errors.New("it needs pool/tokyo")},
		{Kind: reconcile.StepAborted, Step: record, Done: 3, Total: 4},
	}
}

func TestProgressIsShown(t *testing.T) {
	for name, p := range map[string]*render.Progress{
		"progress.txt":          {},
		"progress.terminal.txt": {Terminal: true, Style: render.Style{Color: true}},
	} {
		var b strings.Builder
		p.W = &b
		for _, e := range events() {
			p.Observe(e)
		}
		p.Observe(events()[0])
		p.Close()
		p.Close()
		golden(t, name, b.String())
	}
}

func TestSummaries(t *testing.T) {
	for _, c := range []struct {
		plan reconcile.Plan
		want string
	}{
		{reconcile.Plan{}, "Nothing to do."},
		{reconcile.Plan{Summary: reconcile.Summary{Requests: 1}}, "Nothing to do (read with 1 request)."},
		{reconcile.Plan{Summary: reconcile.Summary{Create: 1, Delete: 2, Requests: 6}}, "1 to create, 2 to delete (read with 6 requests)."},
		{reconcile.Plan{Conflicts: make([]reconcile.Finding, 2), Violations: make([]reconcile.Violation, 1)}, "Nothing else to do; 2 in conflict; 1 refused."},
	} {
		if got := render.Summary(&c.plan); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

// broken is a writer that is full.
type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func TestAFullDiskIsAnError(t *testing.T) {
	for name, write := range map[string]func(io.Writer) error{
		"text":     func(w io.Writer) error { return render.Text(w, full(), render.Style{}) },
		"markdown": func(w io.Writer) error { return render.Markdown(w, full()) },
		"json":     func(w io.Writer) error { return render.JSON(w, full()) },
	} {
		if err := write(broken{}); !errors.Is(err, io.ErrShortWrite) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
