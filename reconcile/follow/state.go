package follow

import (
	"time"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/schema"
)

// Reason says which gate refused a revision.
type Reason string

// The reasons.
const (
	Untrusted Reason = "untrusted" // unsigned, unknown, expired
	Rewound   Reason = "rewound"   // older than what runs
	Invalid   Reason = "invalid"   // it does not evaluate, or is wrong
	Guarded   Reason = "guarded"   // a guard rail
	Unfit     Reason = "unfit"     // this host cannot run it
)

// Refusal is a revision that changed nothing.
type Refusal struct {
	Revision string    `json:"revision"`
	Reason   Reason    `json:"reason"`
	Message  string    `json:"message"` // may have several lines
	At       time.Time `json:"at"`
	// Gap: it does not follow what runs here, or something before it did not, or
	// this host alone refuses it: another may run it, or what came between.
	Gap bool `json:"gap,omitempty"`
}

// Fetching is how it goes with the source.
type Fetching struct {
	Origin  string    `json:"origin"`
	Tried   time.Time `json:"tried,omitzero"`
	Success time.Time `json:"success,omitzero"`
	// Err of the last attempt; empty if it succeeded.
	Err string `json:"error,omitempty"`
}

// State is what a Follower knows, at one moment.
type State struct {
	Fetch     Fetching  `json:"fetch"`
	Revision  string    `json:"revision,omitempty"` // what runs
	Signer    string    `json:"signer,omitempty"`
	Committed time.Time `json:"committed,omitzero"`
	Accepted  time.Time `json:"accepted,omitzero"`
	// Restored: it came from the disk, and the source has not confirmed it since.
	Restored bool `json:"restored,omitempty"`
	// Refused is what the source has instead of it.
	Refused   *Refusal    `json:"refused,omitempty"`
	Suspended *Suspension `json:"suspended,omitempty"`
	// Unsaved: the last good specification is not on the disk, for this reason.
	Unsaved string `json:"unsaved,omitempty"`
	// Damaged: the one on the disk was set aside.
	Damaged string `json:"damaged,omitempty"`
	// Unfit: the host cannot be told again what runs, for this reason, such as a
	// secret that is gone; it goes on as it was told last.
	Unfit string `json:"unfit,omitempty"`
}

// Leadership is who applies edge changes.
type Leadership struct {
	Mode   string `json:"mode"`             // "none", "host", "virtualRouter", "etcd", "alone"
	Leader string `json:"leader,omitempty"` // the host's name, where it is known
	Mine   bool   `json:"mine"`
	// Term changes whenever leadership does; a write begun in one term is not
	// sent in another.
	Term string `json:"term,omitempty"`
	// Since is when this term began, and Settle how long whoever is preferred and there
	// needs to take over: nothing is begun in a term before, nor so soon after a
	// revision that may prefer another host. Zero where leadership does not move so.
	Since  time.Time     `json:"-"`
	Settle time.Duration `json:"-"`
	// Err says why nobody knows; nobody leads then.
	Err string `json:"error,omitempty"`
}

// EdgeState is how a Keeper stands.
type EdgeState struct {
	Leadership Leadership `json:"leadership"`
	// Revision was applied whole, by this host, at that time.
	Revision string    `json:"revision,omitempty"`
	Applied  time.Time `json:"applied,omitzero"`
	// Looked is when the edge was last read.
	Looked time.Time `json:"looked,omitzero"`
	// Pending steps are a revision's that has not been applied; Drift are
	// changes behind its back. Both as of Looked, before anything was done.
	Pending    []reconcile.Step      `json:"pending,omitempty"`
	Drift      []reconcile.Step      `json:"drift,omitempty"`
	Conflicts  []reconcile.Finding   `json:"conflicts,omitempty"`
	Violations []reconcile.Violation `json:"violations,omitempty"`
	// Impact is what traffic notices of Pending and Drift.
	Impact []reconcile.Finding `json:"impact,omitempty"`
	// Health is how the edge does, as of its own time: nil unless this host
	// leads, as it is for who leads to say, and was able to look.
	Health *reconcile.Health `json:"health,omitempty"`
	// Failed steps of the last attempt.
	Failed []Failure `json:"failed,omitempty"`
	// Waits says why nothing is done although this host leads.
	Waits string `json:"waits,omitempty"`
	// Err of the last attempt as a whole.
	Err     string    `json:"error,omitempty"`
	Retry   time.Time `json:"retry,omitzero"` // when it is tried again
	Objects int       `json:"objects"`        // wanted at the edge
}

// Failure is a step that did not succeed.
type Failure struct {
	ID  schema.ID `json:"id"`
	Err string    `json:"error"`
}

// EventKind says what happened.
type EventKind string

// The events.
const (
	EventAccepted  EventKind = "accepted"  // a revision runs
	EventRefused   EventKind = "refused"   // a revision changes nothing
	EventFetch     EventKind = "fetch"     // the source failed, or works again
	EventStore     EventKind = "store"     // the last good specification could not be kept or read
	EventHost      EventKind = "host"      // the host cannot be told again what runs, or can again
	EventSuspended EventKind = "suspended" // or no longer: Text
	EventLeader    EventKind = "leader"    // leadership came or went
	EventApplied   EventKind = "applied"   // the edge is as a revision has it
	EventFailed    EventKind = "failed"    // it is not, and why
	EventWaits     EventKind = "waits"     // this host leads, and does nothing: Text; empty when it goes on
	EventHealth    EventKind = "health"    // a tunnel, a connector, a pool or an origin does otherwise than before
	EventDrift     EventKind = "drift"     // the edge or the host was changed behind our back
)

// Event is something to log, count and tell of. Events derive from the same
// decisions as State.
type Event struct {
	Kind     EventKind
	Time     time.Time
	Revision string
	Signer   string
	Reason   Reason // of a refusal
	Worse    bool   // something's health is
	Text     string
	Err      error
	// Steps of drift, or how many were applied.
	Steps []reconcile.Step
	// Impact is what traffic notices: of what was applied, or on the LAN of a
	// revision that runs.
	Impact []reconcile.Finding
}
