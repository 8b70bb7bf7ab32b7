package status

import (
	"slices"
	"unicode/utf8"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/follow"
	"github.com/hactl/hactl/reconcile/render"
)

// edgeView is how the edge stands, as who leads sees it.
type edgeView struct {
	follow.EdgeState
	By      string // another host that leads
	Pending stepsView
	Drift   stepsView
	// More of each sort there are, that are not shown.
	MoreFailed, MoreViolations, MoreImpact, MoreConflicts int
}

// stepsView are the first of some steps.
type stepsView struct {
	Steps []stepView
	More  int
	Open  bool // few enough to show all of each
}

// stepView is a step and the first of its fields, in words.
type stepView struct {
	Action reconcile.Action
	ID     string
	Reason string
	Fields []string
	More   int
}

// What is shown of a plan: hactl diff shows all of it.
const (
	mostSteps  = 40
	mostFields = 12
	mostField  = 240 // bytes
	openSteps  = 6
)

// edge fills in what who leads says: this host, else another that was asked.
func (v *view) edge() {
	e := &edgeView{EdgeState: v.Facts.Edge}
	if !e.Leadership.Mine {
		for i := range v.live {
			if h := &v.live[i]; h.Leads && h.Name != v.Host {
				e.EdgeState, e.By = h.Edge, h.Name
				break
			}
		}
	}
	if mode := e.Leadership.Mode; e.By == "" && (mode == "none" || mode == "" && v.Site) {
		return
	}
	e.Pending, e.Drift = steps(e.EdgeState.Pending), steps(e.EdgeState.Drift)
	e.Failed, e.MoreFailed = first(e.Failed, func(f *follow.Failure) { f.ID.Name, f.Err = cut(f.ID.Name, mostField), cut(f.Err, mostText) })
	e.Violations, e.MoreViolations = first(e.Violations, func(v *reconcile.Violation) {
		v.ID.Name, v.Message = cut(v.ID.Name, mostField), cut(v.Message, mostText)
	})
	finding := func(f *reconcile.Finding) { f.ID.Name, f.Message = cut(f.ID.Name, mostField), cut(f.Message, mostText) }
	e.Impact, e.MoreImpact = first(e.Impact, finding)
	e.Conflicts, e.MoreConflicts = first(e.Conflicts, finding)
	if alarm := e.By + ": the edge: " + e.Err; e.By != "" && e.Err != "" && !slices.Contains(v.Alarms, alarm) {
		v.Alarms = append(v.Alarms, alarm) // Who leads may have noted it.
	}
	v.Cloud = e
}

// first are those of a list that are shown, shortened, and how many are not.
func first[T any](all []T, shorten func(*T)) (shown []T, more int) {
	shown = slices.Clone(all[:min(len(all), mostList)])
	for i := range shown {
		shorten(&shown[i])
	}
	return shown, len(all) - len(shown)
}

func steps(all []reconcile.Step) stepsView {
	v := stepsView{More: max(0, len(all)-mostSteps), Open: len(all) <= openSteps}
	for i := range all[:min(len(all), mostSteps)] {
		s := &all[i]
		one := stepView{Action: reconcile.Action(cut(string(s.Action), mostWord)), ID: cut(s.ID.String(), mostField), Reason: cut(s.Reason, mostText), More: max(0, len(s.Fields)-mostFields)}
		for _, f := range s.Fields[:min(len(s.Fields), mostFields)] {
			one.Fields = append(one.Fields, cut(render.Field(s.Action, f), mostField))
		}
		v.Steps = append(v.Steps, one)
	}
	return v
}

// cut shortens a text to so many bytes.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most] + "…"
}
