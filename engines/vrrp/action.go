package vrrp

import (
	"fmt"
	"net/netip"
	"strings"
)

// State is where a Machine stands.
type State uint8

const (
	StateInitialize  State = iota // not started, or stopped
	StateBackup                   // listening
	StateActive                   // holds the addresses, advertises
	StateReleasing                // has sent priority 0, still holds the addresses
	StateFault                    // cannot take part: link, check or sync group
	StateMaintenance              // may not take part
	numStates
)

var stateNames = [numStates]string{"initialize", "backup", "active", "releasing", "fault", "maintenance"}

// String returns the operator's word.
func (s State) String() string { return name(stateNames[:], int(s)) }

// Holds reports whether the addresses are ours in this state.
func (s State) Holds() bool { return s == StateActive || s == StateReleasing }

// ActionKind says which fields of an Action mean something.
type ActionKind uint8

const (
	// ActionSend: send an advertisement with Priority, as Machine.Append
	// makes it, to the group or to every peer.
	ActionSend ActionKind = iota
	// ActionAdd: add Addresses; those already there are fine.
	ActionAdd
	// ActionRemove: remove Addresses; those already gone are fine.
	ActionRemove
	// ActionAnnounce: send Repeat gratuitous ARP requests or unsolicited
	// neighbour advertisements (O set, S clear, R if we forward) for each of
	// Addresses, at once.
	ActionAnnounce
	// ActionTransition: the state went From To because of Cause.
	ActionTransition
	// ActionDrop: the packet just handled was dropped for Reason.
	ActionDrop
	// ActionNote: Note happened; worth a rate-limited log line.
	ActionNote
	numActions
)

var actionNames = [numActions]string{"send", "add", "remove", "announce", "transition", "drop", "note"}

// String returns a stable label.
func (k ActionKind) String() string { return name(actionNames[:], int(k)) }

// Action is something the host has to do, in the order given and before the
// next event. Addresses belongs to the Machine, is read-only and valid until
// the next event.
type Action struct {
	Kind      ActionKind
	Priority  uint8
	Repeat    uint8
	From, To  State
	Cause     Cause
	Reason    Reason
	Note      Note
	Addresses []netip.Addr
}

// String renders the action as transcripts show it.
func (a Action) String() string {
	switch a.Kind {
	case ActionSend:
		return fmt.Sprintf("send priority=%d", a.Priority)
	case ActionAdd, ActionRemove:
		return a.Kind.String() + " " + joinAddresses(a.Addresses)
	case ActionAnnounce:
		return fmt.Sprintf("announce %s repeat=%d", joinAddresses(a.Addresses), a.Repeat)
	case ActionTransition:
		return fmt.Sprintf("transition %v -> %v (%v)", a.From, a.To, a.Cause)
	case ActionDrop:
		return "drop " + a.Reason.String()
	case ActionNote:
		return "note " + a.Note.String()
	}
	return a.Kind.String()
}

func joinAddresses(addrs []netip.Addr) string {
	var b strings.Builder
	for i, a := range addrs {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(a.String())
	}
	return b.String()
}
