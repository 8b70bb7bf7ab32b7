package drill

import (
	"time"

	"github.com/hactl/hactl/schema"
)

// Outcome is what came of a step.
type Outcome struct {
	Step Step      `json:"step"`
	At   time.Time `json:"at"`
	// Took is until all was as it had to be, and had been for a moment.
	Took schema.Duration `json:"took"`
	// Routers are those that something was to happen to, or did.
	Routers []Switched `json:"virtualRouters,omitempty"`
	// Revision was pushed: Running on every host that is there after so long, and
	// Applied at the edge; or Refused by all of them.
	Revision string          `json:"revision,omitempty"`
	Running  schema.Duration `json:"running,omitempty"`
	Applied  schema.Duration `json:"applied,omitempty"`
	Refused  schema.Duration `json:"refused,omitempty"`
	Why      string          `json:"why,omitempty"`
	// Unread says that a push waits for Git to be reached again.
	Unread bool `json:"unread,omitempty"`
	// Corrected is how long drift lasted, and Resync how often it is looked for.
	Corrected schema.Duration `json:"corrected,omitempty"`
	Resync    schema.Duration `json:"resync,omitempty"`
	// Found is how long it took until a check that fails had the host give up an
	// address, and Within what the specification makes that at most; one that hangs
	// takes its timeout more. What is checked is no part of a lab: its client asks
	// addresses, and they answer until then.
	Found  schema.Duration `json:"found,omitempty"`
	Within schema.Duration `json:"foundWithin,omitempty"`
	// Impact is what the change does to traffic, in words.
	Impact []string `json:"impact,omitempty"`
	// Unserved are entry points that nobody answers for any more.
	Unserved []string `json:"unserved,omitempty"`
	// Deviations are where it was otherwise than predicted or expected: who is
	// Active, what is answered, what is refused.
	Deviations []string `json:"deviations,omitempty"`
	// Times are switches that took another time than predicted. What measures
	// them has no machine to itself.
	Times []string `json:"times,omitempty"`
}

// Switched is a Virtual Router with what was predicted and what was.
type Switched struct {
	Prediction
	// Now are the hosts that are Active.
	Now []string `json:"now"`
	// Took is what Switch predicts; 0 where it could not be seen.
	Took schema.Duration `json:"took,omitempty"`
	// Quiet is the longest silence of one of its addresses, and Lost how many of
	// the client's requests had no answer in it.
	Quiet schema.Duration `json:"quiet"`
	Lost  int             `json:"lost"`
	// Unasked says that its addresses answer nobody (accept: false), so that there
	// is no silence to be seen.
	Unasked bool `json:"unasked,omitempty"`
}

// Tolerances of a prediction: a tenth, or where that is less, what timers and a
// client's period may add; a busy machine adds more to a silence than that.
const (
	tolerance = 10 // percent
	slack     = 25 * time.Millisecond
	busy      = 100 * time.Millisecond
)

// near tells whether a switch took as long as predicted.
func near(predicted, was schema.Duration) bool {
	allowed := max(predicted*tolerance/100, schema.Duration(slack))
	return was <= predicted+allowed && was >= predicted-allowed
}

// within tells whether a silence was no longer than predicted.
func within(predicted, was schema.Duration) bool {
	return was <= predicted+max(predicted*tolerance/100, schema.Duration(busy))
}

// lasted is a time that was measured, as exact as it is meant: to a tenth of a
// millisecond, and not 0.
func lasted(d time.Duration) schema.Duration {
	const exact = 100 * time.Microsecond
	return schema.Duration(max(d.Round(exact), exact))
}
