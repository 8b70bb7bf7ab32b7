package reconcile

import (
	"errors"
	"fmt"

	"github.com/hactl/hactl/schema"
)

// Class says what can be done about an error.
type Class string

// The classes. Transient and Unavailable errors are worth another try;
// Conflict asks for a new plan; the others need a person.
const (
	Invalid     Class = "invalid"     // refused for what it says
	Denied      Class = "denied"      // refused for who asks
	Conflict    Class = "conflict"    // the state is not what the plan took it for
	Transient   Class = "transient"   // may work in a moment
	Unavailable Class = "unavailable" // nobody answers
	Internal    Class = "internal"    // an answer that makes no sense
)

// Error is what engines return: what was attempted, on which object, and why
// it did not happen.
type Error struct {
	Op    string
	ID    schema.ID
	Class Class
	Err   error
}

func (e *Error) Error() string {
	if e.ID == (schema.ID{}) {
		return fmt.Sprintf("%s: %v", e.Op, e.Err)
	}
	return fmt.Sprintf("%s %s: %v", e.Op, e.ID, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// ClassOf returns the class of the first Error in the chain, else Internal.
func ClassOf(err error) Class {
	var e *Error
	if errors.As(err, &e) {
		return e.Class
	}
	return Internal
}
