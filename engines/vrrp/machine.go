package vrrp

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// hold is a set of reasons not to take part.
type hold uint8

const (
	holdLink hold = 1 << iota
	holdFault
	holdGroup
	holdMaintenance
)

// Machine is one Virtual Router of one address family on one interface. Use
// New. It is not safe for concurrent use.
type Machine struct {
	cfg      Config
	matchers []matcher    // cfg.Shared, then cfg.Accept
	all      []netip.Addr // advertised and excluded
	ours     []netip.Addr // all but those awaited: what is ours when we hold
	changed  []netip.Addr // scratch for the Addresses of an Action

	// Of all, addresses that another Virtual Router may have; see gain.
	awaited    []awaited
	advertised []netip.Addr

	now      time.Duration
	state    State
	holds    hold
	checks   Checks
	priority uint8 // effective

	at      [numTimers]time.Duration
	startAt time.Duration // end of the startup delay

	// As Backup.
	learned   time.Duration // Active_Adver_Interval
	taught    bool          // by an advertisement, since we are Backup
	joined    bool          // Active or heard by our parameters, since we take part
	elsewhere netip.Addr    // last one respected
	until     time.Duration // and until when
	deaf      bool          // has not listened for long: started, or was cut off
	cutAt     time.Duration // when the link went down
	leader    peer          // sender of the last accepted advertisement
	preemptAt time.Duration // end of the preemption delay, or Never
	why       Cause         // what a takeover will be because of
	graced    bool          // this silence has had its one grace
	parting   int           // last words left to say
	grouped   bool
	wants     bool // grouped: has timed out, waits for the others

	// As Active and Releasing.
	rival     time.Duration // when one was heard last
	announced time.Duration // when all addresses were announced last
	asserts   limiter
	rivals    limiter
	defences  limiter
	restores  limiter
	claimed   []netip.Addr // to defend
	yielded   uint8        // our priority before we yielded; 0 if we did not
	yieldedAt time.Duration
	releases  int // priority 0 left to say
	releaseTo State

	since    time.Duration
	counters Counters
	adv      Advertisement // scratch
	out      []Action
}

type peer struct {
	address  netip.Addr
	priority uint8
	heard    time.Duration
}

// New makes a Machine in StateInitialize.
func New(c Config) (*Machine, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("virtual router %d: %w", c.VRID, err)
	}
	m := &Machine{out: make([]Action, 0, 8), rival: -maxDelay, preemptAt: Never}
	m.stopAll()
	m.take(c)
	m.learned = c.Interval
	return m, nil
}

// take makes c the configuration and derives what depends on it.
func (m *Machine) take(c Config) {
	c.Excluded = slices.Clone(c.Excluded)
	c.Source = c.Source.WithZone("")
	m.matchers = make([]matcher, 0, 1+len(c.Accept))
	m.matchers = append(m.matchers, newMatcher(c.Shared))
	for _, s := range c.Accept {
		m.matchers = append(m.matchers, newMatcher(s))
	}
	c.Shared, c.Accept, c.Present = m.matchers[0].Shared, nil, nil
	m.cfg = c
	m.all = slices.Concat(c.Addresses, c.Excluded)
	m.ours, m.advertised = m.all, c.Addresses
	m.priority = m.effective()
}

// effective is the priority that counts; a fault is a hold and not a priority.
func (m *Machine) effective() uint8 {
	if m.cfg.Priority == Owner {
		return Owner
	}
	return uint8(min(max(int(m.cfg.Priority)+min(max(m.checks.Weight, -Owner), Owner), 1), Owner-1))
}

// Handle gives an event to the Machine and returns what the host has to do
// about it, in order. The slice is valid until the next call. now is monotonic
// and from the same epoch in every call; one that goes backwards counts as the
// former one. A packet or a timeout in a steady state allocates nothing.
func (m *Machine) Handle(now time.Duration, ev Event) []Action {
	m.out = m.out[:0]
	m.now = max(m.now, now)
	switch e := ev.(type) {
	case *Packet:
		m.receive(e)
	case *Foreign:
		m.overhear((*Packet)(e))
	case Timeout:
		m.timeout()
	case Startup:
		m.startup(e)
	case Shutdown:
		m.shutdown(e)
	case Link:
		m.hold(holdLink, !bool(e))
	case Checks:
		m.check(e)
	case Maintenance:
		m.hold(holdMaintenance, bool(e))
	case AddressLost:
		m.addressLost(e.Address)
	case AddressesReady:
		if m.state == StateActive {
			m.announceSoon(m.cfg.Announcements.Repeat)
		}
	case ForeignClaim:
		m.foreignClaim(e.Address)
	case AddressLeft:
		m.lend(e.Address)
	case *Config:
		m.reconfigure(e)
	case groupEvent:
		m.group(e)
	}
	return m.out
}

func (m *Machine) do(a Action) { m.out = append(m.out, a) }

func (m *Machine) note(n Note) {
	m.counters.Noted[n]++
	m.do(Action{Kind: ActionNote, Note: n})
}

func (m *Machine) drop(r Reason) {
	m.counters.Dropped[r]++
	m.do(Action{Kind: ActionDrop, Reason: r})
}

func (m *Machine) send(priority uint8) {
	m.counters.Sent++
	if priority == 0 {
		m.counters.SentZero++
	}
	m.do(Action{Kind: ActionSend, Priority: priority})
}

// move changes the state. Every timer belongs to the state it was started in.
func (m *Machine) move(to State, cause Cause) {
	m.do(Action{Kind: ActionTransition, From: m.state, To: to, Cause: cause})
	m.counters.Transitions[to]++
	m.stopAll()
	m.state, m.since = to, m.now
	if to == StateInitialize && len(m.awaited) > 0 {
		m.await(nil)
	}
	m.armAwait()
	m.claimed, m.yielded = m.claimed[:0], 0
	m.wants, m.graced, m.taught, m.parting, m.preemptAt = false, false, false, 0, Never
}

// State returns where the Machine stands.
func (m *Machine) State() State { return m.state }

// Overhears reports whether the Machine wants to be given Foreign packets.
func (m *Machine) Overhears() bool {
	return m.respects() || len(m.awaited) > 0
}

func (m *Machine) respects() bool {
	return m.joining() || m.respectful() && m.state >= StateReleasing
}

// joining reports whether the Machine waits for whoever was here before.
func (m *Machine) joining() bool {
	return m.cfg.Respect && m.state == StateBackup && !m.joined && m.priority != Owner
}

// Append appends the advertisement of an ActionSend to b, for one destination:
// MulticastAddress, or each of the Peers in turn.
func (m *Machine) Append(b []byte, dst netip.Addr, priority uint8) []byte {
	a := Advertisement{
		Version: m.cfg.Version, VRID: m.cfg.VRID, Priority: priority,
		Interval: m.cfg.Interval, Authentication: m.cfg.Authentication, Addresses: m.advertised,
	}
	return a.Append(b, m.cfg.Source, dst.WithZone(""), m.cfg.Checksum)
}

// Snapshot is what a successor needs to go on; see Startup.
func (m *Machine) Snapshot() Snapshot {
	s := Snapshot{State: m.state, Interval: m.learned, Joining: m.joining()}
	if !s.Joining {
		s.Awaited, _ = m.awaits()
	}
	return s
}
