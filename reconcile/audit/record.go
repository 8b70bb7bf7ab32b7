package audit

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/hactl/hactl/reconcile"
)

// Origin says what changes things.
type Origin string

// The origins.
const (
	FromRun   Origin = "run"
	FromApply Origin = "apply"
)

// Run is what the records of one run have in common.
type Run struct {
	Origin Origin
	// Who signed the revision, or who ran apply.
	Who      string
	Revision string
}

// record is one line.
type record struct {
	Time     string   `json:"time"`
	Host     string   `json:"host,omitempty"`
	Origin   Origin   `json:"origin,omitempty"`
	Who      string   `json:"who,omitempty"`
	Revision string   `json:"revision,omitempty"`
	Step     string   `json:"step,omitempty"`
	Action   string   `json:"action,omitempty"`
	Fields   []string `json:"fields,omitempty"`
	Result   string   `json:"result"`
	Reason   string   `json:"reason,omitempty"`
	Error    string   `json:"error,omitempty"`
	Class    string   `json:"class,omitempty"`
	// Elapsed is in seconds.
	Elapsed float64 `json:"elapsed,omitempty"`
	Lost    int     `json:"lost,omitempty"`
}

// The limits that keep a line a line.
const (
	mostText   = 2000 // bytes
	mostFields = 200
)

// step describes an event; ok is false for events that are no result.
func step(e reconcile.Event) (r record, ok bool) {
	switch e.Kind {
	case reconcile.StepDone, reconcile.StepFailed, reconcile.StepSkipped, reconcile.StepAborted:
	default:
		return record{}, false
	}
	r = record{
		Step: e.Step.ID.String(), Action: string(e.Step.Action), Result: string(e.Kind),
		// Not Seconds, which is a digit off in the last place.
		Elapsed: float64(e.Elapsed.Round(time.Millisecond).Milliseconds()) / 1000,
	}
	for i, f := range e.Step.Fields {
		if i == mostFields {
			r.Fields = append(r.Fields, "…")
			break
		}
		r.Fields = append(r.Fields, cut(f.Path))
	}
	if e.Err != nil {
		r.Error = cut(e.Err.Error())
		if e.Kind == reconcile.StepFailed {
			r.Class = string(reconcile.ClassOf(e.Err))
		}
	}
	return r, true
}

func cut(s string) string {
	if len(s) > mostText {
		s = strings.ToValidUTF8(s[:mostText], "") + "…"
	}
	return s
}

// line is the record with its newline. JSON escapes every other one.
func (r record) line() []byte {
	b, err := json.Marshal(r)
	if err != nil {
		panic("audit: " + err.Error()) // Strings and finite numbers always marshal.
	}
	return append(b, '\n')
}
