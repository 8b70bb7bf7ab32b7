package status

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hactl/hactl/reconcile/topology"
	"github.com/hactl/hactl/reconcile/topology/draw"
	"github.com/hactl/hactl/schema"
)

//go:embed page.html page.css
var pageFiles embed.FS

var pageTemplate = template.Must(template.New("page.html").Funcs(template.FuncMap{
	"short": short,
	"ago":   func(now, t time.Time) string { return now.Sub(t).Round(time.Second).String() },
	"list":  func(parts []string) string { return strings.Join(parts, ", ") },
}).ParseFS(pageFiles, "page.html"))

// Page is what a person sees of an agent: what is wrong, who has which Virtual
// Router, what is pending, how requests go, and what happens if something
// fails. It has no script, and changes nothing: what-if is a link.
type Page struct {
	Facts    func() Facts
	Problems func() []string
	// Spec is what runs; nil before something does.
	Spec   func() *schema.Spec
	Recent *Recent

	mu    sync.Mutex
	spec  *schema.Spec
	model *topology.Model
}

// mostDown bounds what is played at a time.
const mostDown = 8

// view is what the template shows.
type view struct {
	Facts
	Now      time.Time
	NotReady string
	Problems []string
	Entries  []entryView
	Traps    []topology.Trap
	Failures []failure
	Down     []string
	Unknown  []string
	Outcome  *topology.Outcome
	Recent   []Line
	HasSpec  bool
	Picture  template.HTML // an SVG of ours, in which every name is escaped
}

// entryView is an entry point in the page's words.
type entryView struct {
	ID, By, Why  string
	Served       bool
	After        string // in a what-if, where it is another
	Lost         bool
	Single       []string
	Availability bool
}

// failure is a component that may be played as failed.
type failure struct {
	Name   string
	Query  string // with it turned over
	Failed bool
}

// ServeHTTP writes the page.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v := &view{Facts: p.Facts(), Now: time.Now(), Problems: p.Problems(), Recent: p.Recent.Lines()}
	if err := v.Ready(); err != nil {
		v.NotReady = err.Error()
	}
	if m := p.topology(); m != nil {
		v.HasSpec = true
		v.play(m, r.URL.Query()["down"])
	}
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, v); err != nil {
		say(w, http.StatusInternalServerError, "the page cannot be shown")
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	w.Header().Set("Referrer-Policy", "no-referrer")
	_, _ = w.Write(b.Bytes())
}

// topology is the model of what runs.
func (p *Page) topology() *topology.Model {
	spec := p.Spec()
	p.mu.Lock()
	defer p.mu.Unlock()
	if spec == nil {
		return nil
	}
	if p.spec != spec {
		p.spec, p.model = spec, topology.New(spec)
	}
	return p.model
}

// play fills in how requests go, and what becomes of that when some things fail.
func (v *view) play(m *topology.Model, down []string) {
	var failed []topology.Component
	for _, name := range down[:min(len(down), mostDown)] {
		c, err := m.Lookup(name)
		if err != nil {
			v.Unknown = append(v.Unknown, err.Error())
			continue
		}
		failed = append(failed, c)
		v.Down = append(v.Down, c.String())
	}
	v.Picture = template.HTML(draw.SVG(m.Graph(), v.marks(m, failed), draw.Options{Title: "How requests go"})) //nolint:gosec // Package draw escapes.
	outcome := m.WhatIf(failed, "")
	report := m.Spof(1)
	v.Traps = report.Traps
	for i, e := range outcome.Entries {
		shown := entryView{ID: e.ID(), Served: e.Before.Served, Why: e.Before.Why, By: by(e.Before), Availability: e.HighAvailability}
		if e.Changed {
			shown.After, shown.Lost = by(e.After), !e.After.Served
			if shown.Lost {
				shown.After = "nobody"
			}
		}
		if i < len(report.Entries) && report.Entries[i].ID() == e.ID() {
			for _, cut := range report.Entries[i].Cuts {
				if cut.SinglePoint() {
					text := cut.Components[0].String()
					if cut.Repair != "" {
						text += ": " + cut.Repair
					}
					shown.Single = append(shown.Single, text)
				}
			}
		}
		v.Entries = append(v.Entries, shown)
	}
	if len(failed) > 0 {
		v.Outcome = outcome
	}
	for _, c := range m.Components() {
		name := c.String()
		f := failure{Name: name, Failed: slices.Contains(v.Down, name)}
		var rest []string
		for _, d := range v.Down {
			if d != name {
				rest = append(rest, d)
			}
		}
		if !f.Failed {
			rest = append(rest, name)
		}
		f.Query = query(rest)
		v.Failures = append(v.Failures, f)
	}
}

// marks are what the picture says of its nodes: what is played as failed and cut
// off by that, and how this host's Virtual Routers are.
func (v *view) marks(m *topology.Model, failed []topology.Component) draw.Marks {
	marks := draw.Marks{}
	for _, id := range m.Lost(failed...) {
		marks[id] = append(marks[id], draw.Cut)
	}
	for _, c := range failed {
		marks[c.String()] = []draw.Mark{draw.Down}
	}
	if v.Engine == nil {
		return marks
	}
	for _, r := range v.Engine.Routers {
		id := topology.Component{Kind: topology.KindVirtualRouter, Name: r.Name}.String()
		switch {
		case r.State == "active":
			marks[id] = append(marks[id], draw.Active)
		case r.State == "fault" || r.Problem != "":
			marks[id] = append(marks[id], draw.Unhealthy)
		}
	}
	return marks
}

func query(down []string) string {
	var b strings.Builder
	for i, d := range down {
		b.WriteString([]string{"?", "&"}[min(i, 1)])
		b.WriteString("down=" + template.URLQueryEscaper(d))
	}
	if b.Len() == 0 {
		return "./"
	}
	return b.String() + "#what-if"
}

// by says who answers.
func by(s topology.Serving) string {
	var names []string
	for _, c := range s.By {
		names = append(names, c.String())
	}
	text := strings.Join(names, ", ")
	if s.Fallback {
		text += " (fallback)"
	}
	return text
}

// serveStyle writes the page's style sheet.
func serveStyle(w http.ResponseWriter, _ *http.Request) {
	b, err := pageFiles.ReadFile("page.css")
	if err != nil {
		say(w, http.StatusInternalServerError, "the style sheet cannot be read")
		return
	}
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	_, _ = w.Write(append(b, draw.Stylesheet()...))
}
