package render

import (
	"encoding/json"
	"io"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/schema"
)

// Outcome is how the steps of a plan ended, in JSON.
type Outcome struct {
	Done     []schema.ID  `json:"done,omitempty"`
	Failed   []Unfinished `json:"failed,omitempty"`
	Skipped  []Unfinished `json:"skipped,omitempty"`
	Left     []schema.ID  `json:"left,omitempty"`
	Requests int          `json:"requests"`
	Seconds  float64      `json:"seconds"`
}

// Unfinished is a step that did not succeed, and why.
type Unfinished struct {
	ID     schema.ID       `json:"id"`
	Class  reconcile.Class `json:"class,omitempty"`
	Reason string          `json:"reason"`
}

// JSON writes a plan as the contract has it.
func JSON(w io.Writer, p *reconcile.Plan) error { return encode(w, p) }

// JSONOutcome writes a plan with what became of it in the field "outcome".
func JSONOutcome(w io.Writer, p *reconcile.Plan, o Outcome) error {
	return encode(w, struct {
		*reconcile.Plan
		Outcome Outcome `json:"outcome"`
	}{p, o})
}

func encode(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
