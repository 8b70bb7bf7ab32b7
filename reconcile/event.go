package reconcile

import "time"

// EventKind says what happened.
type EventKind string

// The events of a run, in the order in which they can come.
const (
	StepStarted  EventKind = "started"
	StepDone     EventKind = "done"
	StepFailed   EventKind = "failed"
	StepSkipped  EventKind = "skipped" // a step that it needs did not succeed
	StepAborted  EventKind = "aborted" // the run was interrupted before it began
	WaitForQuota EventKind = "waiting" // the server, or the budget, asks for a pause
)

// Event is something an observer may show, count or log.
type Event struct {
	Kind EventKind
	Step Step
	// Err of StepFailed; for StepSkipped what is missing.
	Err error
	// Elapsed since the step began; for WaitForQuota how long the pause is.
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
