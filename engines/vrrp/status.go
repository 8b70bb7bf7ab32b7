package vrrp

import (
	"net/netip"
	"time"
)

// Counters only grow.
type Counters struct {
	Received      uint64 // advertisements that passed every check
	ReceivedZero  uint64 // of those, with priority 0
	Dropped       [numReasons]uint64
	Noted         [numNotes]uint64
	Sent          uint64 // advertisements, not packets: unicast sends one to each peer
	SentZero      uint64
	Transitions   [numStates]uint64 // into that state
	Announcements uint64
}

// Status is what a Machine knows, for status pages and metrics.
type Status struct {
	State    State
	Since    time.Duration // when it came there
	Priority uint8         // effective
	// Interval is the Active router's: learned as Backup, our own as Active.
	Interval time.Duration
	// Leader is the sender of the last advertisement accepted, of
	// rivals too; invalid if none was. Whoever claims priority 255 shows here.
	Leader         netip.Addr
	LeaderPriority uint8
	LeaderHeard    time.Duration
	// Elsewhere is whom a Machine that joins waits for, since that one has an
	// address of its; invalid if it waits for nobody.
	Elsewhere netip.Addr
	// Awaited are addresses that are not held yet, whatever the state, of a Machine
	// that does not join any more; Elsewhere has one of them then, if it is valid.
	Awaited []netip.Addr
	// Ready says that a member of a Group would take over if all were ready.
	Ready    bool
	Deadline time.Duration
	Counters Counters
}

// Status returns a copy of what the Machine knows.
func (m *Machine) Status() Status {
	s := Status{
		State: m.state, Since: m.since, Priority: m.priority, Interval: m.learned,
		Leader: m.leader.address, LeaderPriority: m.leader.priority, LeaderHeard: m.leader.heard,
		Ready: m.wants, Deadline: m.Deadline(), Counters: m.counters,
	}
	if m.joining() {
		s.Elsewhere = m.elsewhere
	}
	if len(m.awaited) > 0 && !m.joining() {
		s.Awaited, s.Elsewhere = m.awaits()
	}
	if m.state == StateActive {
		s.Interval = m.cfg.Interval
	}
	return s
}
