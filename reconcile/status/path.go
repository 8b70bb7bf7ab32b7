package status

import (
	"cmp"
	"fmt"
	"html/template"
	"net/url"
	"slices"
	"strings"

	"github.com/hactl/hactl/reconcile/render"
	"github.com/hactl/hactl/reconcile/topology"
	"github.com/hactl/hactl/reconcile/topology/draw"
)

// pathView is how requests go, and what becomes of that when some things fail.
type pathView struct {
	Entries  []entryView
	Sound    []entryView // more of them, where there are many
	Changes  []entryView // those of the what-if
	Traps    []topology.Trap
	Failures []failureView
	Many     bool     // of those
	Down     []string // what is played as failed
	Unknown  []string
	Outcome  *topology.Outcome
	Summary  string        // of the outcome
	Picture  template.HTML // an SVG of ours, in which every name is escaped
}

// entryView is an entry point in the page's words.
type entryView struct {
	ID, By, Why  string
	Served       bool
	Changed      bool   // in a what-if
	Was, After   string // who answers before and then, and on what way if those are the same
	Lost         bool
	Soon         []string // what notices, and how soon
	Single       []string
	Availability bool
}

// failureView is a component that may be played as failed.
type failureView struct {
	Name   string
	Query  string // with it turned over; empty where it cannot be
	Failed bool
}

const (
	// mostDown bounds what is played at a time.
	mostDown = 8
	// fewFailures are listed in the open; more have the picture first.
	fewFailures = 40
)

// play fills in how requests go while some things have failed.
func (v *view) play(k *known, down []string) {
	p := &pathView{Traps: k.report.Traps}
	v.Path = p
	var failed []topology.Component
	// To look for what is not there takes time, which anybody could ask for.
	for _, name := range down[:min(len(down), 2*mostDown)] {
		c, err := k.model.Lookup(cut(name, mostField))
		switch {
		case err != nil:
			if len(p.Unknown) < mostDown {
				p.Unknown = append(p.Unknown, err.Error())
			}
		case slices.Contains(failed, c):
		case len(failed) == mostDown:
			if len(p.Unknown) < mostDown {
				p.Unknown = append(p.Unknown, fmt.Sprintf("no more than %d fail at a time here, and %s does not", mostDown, c))
			}
		default:
			failed = append(failed, c)
			p.Down = append(p.Down, c.String())
		}
	}
	now := v.present(k)
	outcome := now.WhatIf(failed, "")
	for i := range outcome.Entries {
		e := entry(&outcome.Entries[i])
		if i < len(k.report.Entries) && k.report.Entries[i].ID() == e.ID {
			e.Single = single(k.report.Entries[i])
		}
		p.Entries = append(p.Entries, e)
		if e.Changed {
			p.Changes = append(p.Changes, e)
		}
	}
	v.alarmUnserved(k, outcome)
	p.Entries, p.Sound = fold(p.Entries, func(e *entryView) bool { return e.Served && len(e.Single) == 0 })
	if len(failed) > 0 {
		p.Outcome, p.Summary = outcome, render.OutcomeSummary(outcome)
	}
	fails := map[string]failureView{}
	for _, c := range k.model.Components() {
		f := p.turned(c.String(), k)
		fails[f.Name] = f
		p.Failures = append(p.Failures, f)
	}
	p.Many = len(p.Failures) > fewFailures
	s := v.signs(k.spec)
	var lost []string
	if len(failed) > 0 {
		lost = now.Lost(failed...)
	}
	for _, move := range outcome.Moves { // Who is Active now is not who would be.
		id := topology.Component{Kind: topology.KindVirtualRouter, Name: move.Router}.String()
		delete(s.marks, id)
		if s.notes[id] = "goes to " + move.To; move.To == "" {
			delete(s.notes, id)
		}
	}
	for _, id := range lost {
		s.marks[id] = []draw.Mark{draw.Cut}
		delete(s.notes, id)
	}
	for _, id := range p.Down {
		s.marks[id] = []draw.Mark{draw.Down}
		delete(s.notes, id)
	}
	p.Picture = template.HTML(draw.SVG(k.graph, s.marks, draw.Options{ //nolint:gosec // Package draw escapes.
		Title: "How requests go", Notes: s.notes,
		Link: func(id string) (href, does string) {
			f, ok := fails[id]
			switch {
			case !ok || f.Query == "":
				return "", ""
			case f.Failed:
				return f.Query, "let it work again"
			}
			return f.Query, "let it fail"
		},
	}))
}

// alarmUnserved says which entry points nobody answers for now, though the
// specification has somebody do so.
func (v *view) alarmUnserved(k *known, now *topology.Outcome) {
	if !slices.ContainsFunc(now.Entries, func(e topology.EntryOutcome) bool { return !e.Before.Served }) {
		return
	}
	meant := map[string]bool{}
	for _, e := range k.model.WhatIf(nil, "").Entries {
		meant[e.ID()] = meant[e.ID()] || e.Before.Served
	}
	for i := range now.Entries {
		e := &now.Entries[i]
		if e.Kind != topology.KindVirtualRouter && !e.Before.Served && meant[e.ID()] { // Those have a word of their own.
			v.Alarms = append(v.Alarms, e.ID()+": nobody answers")
		}
	}
}

// present is the model of what goes as far as anybody knows: failures that are
// played come on top of those that are so.
func (v *view) present(k *known) *topology.Model {
	l := v.now()
	for _, host := range v.off {
		h := topology.HostState{}
		for name, r := range k.spec.VirtualRouters {
			if _, member := r.Members[host]; member {
				h[name] = topology.RouterState{State: "fault"}
			}
		}
		l.Hosts[host] = h
	}
	if len(l.Hosts) == 0 && l.Health == nil {
		return k.model
	}
	return k.model.Live(l)
}

// turned is a component with the link that plays it as failed, or no longer.
func (p *pathView) turned(name string, k *known) failureView {
	f := failureView{Name: name, Failed: slices.Contains(p.Down, name)}
	var rest []string
	for _, d := range p.Down {
		if d != name {
			rest = append(rest, d)
		}
	}
	if !f.Failed {
		rest = append(rest, name)
	}
	if len(rest) <= mostDown {
		f.Query = query(rest, place(name, k))
	}
	return f
}

// entry puts an entry point into words.
func entry(e *topology.EntryOutcome) entryView {
	v := entryView{ID: e.ID(), Served: e.Before.Served, Why: e.Before.Why, By: by(e.Before), Availability: e.HighAvailability, Changed: e.Changed}
	if e.Changed {
		v.Was, v.After, v.Lost = v.By, by(e.After), !e.After.Served
		if v.Was == v.After {
			v.Was, v.After = v.Was+way(e.Before, e.After), v.After+way(e.After, e.Before)
		}
		for _, s := range e.Switches {
			v.Soon = append(v.Soon, render.SwitchText(s))
		}
	}
	return v
}

// way is what of the way to who answers is not as in another case.
func way(s, other topology.Serving) (text string) {
	for _, part := range []struct {
		name  string
		is, t []string
	}{
		{"pool", s.Pools, other.Pools}, {"origin", s.Origins, other.Origins}, {"tunnel", s.Tunnels, other.Tunnels}, {"a connector on", s.Connectors, other.Connectors}, {"Virtual Router", s.Routers, other.Routers},
	} {
		if !slices.Equal(part.is, part.t) {
			text += " over " + part.name + " " + cmp.Or(strings.Join(part.is, ", "), "none")
		}
	}
	return text
}

// single are the single points of failure of an entry point, with their repair.
func single(r topology.EntryReport) (points []string) {
	for _, cut := range r.Cuts {
		if !cut.SinglePoint() {
			continue
		}
		text := cut.Components[0].String()
		if cut.Repair != "" {
			text += ": " + cut.Repair
		}
		points = append(points, text)
	}
	return points
}

// plainly keeps what a query may have as it is, for people and for size.
var plainly = strings.NewReplacer("%2F", "/", "%40", "@", "%3A", ":")

// place is where a component is on the page: it comes into view, and has the
// focus, when the page is there again.
func place(name string, k *known) string {
	if i, ok := k.at[name]; ok {
		return fmt.Sprintf("#n%d", i)
	}
	return "#picture"
}

// query is the page with these failures.
func query(down []string, place string) string {
	var b strings.Builder
	for i, d := range down {
		b.WriteString([]string{"?", "&"}[min(i, 1)])
		b.WriteString("down=" + plainly.Replace(url.QueryEscape(d)))
	}
	if b.Len() == 0 {
		return "./" + place
	}
	return b.String() + place
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
