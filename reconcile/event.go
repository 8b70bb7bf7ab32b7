package reconcile

import "time"

// EventKind says what happened.
type EventKind string

// The events of a run, in the order in which they can come.
const (
	StepStarted EventKind = "started"
	StepDone    EventKind = "done"
	StepFailed  EventKind = "failed"
	StepSkipped EventKind = "skipped" // a step that it needs did not succeed
	StepAborted EventKind = "aborted" // the run was interrupted before it began
	// A pause before the next request: the budget is used up, or the server
	// asked for it.
	WaitForBudget EventKind = "waiting for budget"
	WaitForServer EventKind = "waiting for server"
)

// Event is something an observer may show, count or log.
type Event struct {
	Kind EventKind
	Step Step
	// Err of StepFailed; for StepSkipped what is missing.
	Err error
	// Elapsed since the step began; when waiting, how long the pause is.
	Elapsed time.Duration
	// Done and Total count steps.
	Done, Total int
}

// Observer is told about events, one at a time.
type Observer interface{ Observe(Event) }

// ObserverFunc is a function as an Observer.
type ObserverFunc func(Event)

// Observe calls the function.
func (f ObserverFunc) Observe(e Event) { f(e) }
