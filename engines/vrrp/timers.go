package vrrp

import "time"

// Never is the Deadline of a Machine that waits for nothing.
const Never = time.Duration(1<<63 - 1)

// timer names one of the times a Machine waits for. They fire in this order
// when several are due.
type timer uint8

const (
	timerAwait     timer = iota // nobody else is heard with an address that is new to us
	timerDown                   // Backup: Active_Down_Timer
	timerRelease                // Releasing: nobody took over
	timerAdvertise              // Active: Adver_Timer; Releasing: priority 0 again
	timerParting                // Backup: the winner has not reacted to our last word
	timerRestore                // Active: put lost addresses back
	timerDefend                 // Active: announce what somebody else claims
	timerAnnounce               // Active: an announcement that had to wait
	timerRepeat                 // Active: the second burst
	timerRefresh                // Active: periodic announcement
	numTimers
)

const (
	// A planned hand-over says priority 0 this often in all: once for the
	// protocol, twice for losses. Not more: a Backup restarts Skew_Time for
	// each, and one that never learned our interval may have a longer one.
	releaseAdvertisements = 3
	// A loser says its last word this often in all, unless the winner reacts.
	partingAdvertisements = 3

	// The defence of an address and the putting back of a lost one are at once
	// for a few, then at most this often, for as long as it goes on; a defence
	// waits that moment.
	defenceBurst  = 5
	defencePeriod = 250 * time.Millisecond
	defenceDelay  = 5 * time.Millisecond

	// A router that starts and respects listens at least that long, so that it
	// hears who has the usual interval and version 2.
	usualInterval = time.Second
	// So does one whose link was down for longer than that: the others may have
	// moved on.
	deafAfter = 10 * time.Second

	// Announcements because of rivals; see announceSoon.
	rivalBurst   = 6
	clusterDelay = 2 * time.Millisecond
)

// limiter lets burst events through at once and one per period on average
// (GCRA). The zero value is full.
type limiter struct{ arrival time.Duration }

// allow says whether an event may happen now, or when one may next.
func (l *limiter) allow(now, period time.Duration, burst int) (next time.Duration, ok bool) {
	earliest := l.arrival - time.Duration(burst-1)*period
	if now < earliest {
		return earliest, false
	}
	l.arrival = max(l.arrival, now) + period
	return now, true
}

// skewTime is Skew_Time: RFC 9568 6.1 for v3, RFC 3768 6.1 for v2.
func skewTime(version, priority uint8, interval time.Duration) time.Duration {
	if version == 2 {
		interval = time.Second
	}
	return time.Duration(256-int(priority)) * interval / 256
}

func (m *Machine) skew() time.Duration { return skewTime(m.cfg.Version, m.priority, m.learned) }

// skewOf is the least Skew_Time of the sender of an advertisement: it has
// learned our interval, or goes by its own.
func (m *Machine) skewOf(a *Advertisement) time.Duration {
	return skewTime(a.Version, a.Priority, min(a.Interval, m.cfg.Interval))
}

// downInterval is Active_Down_Interval.
func (m *Machine) downInterval() time.Duration { return 3*m.learned + m.skew() }

// courtesy is what a Machine that joins waits by instead of three intervals, so that
// a Backup of those whom it respects takes over first, and is heard.
func courtesy(interval time.Duration) time.Duration { return 4 * interval }

// longest is the interval to wait by before one was learned: until a staged
// change is over, the Active router may use any that we accept.
func (m *Machine) longest() time.Duration {
	longest := m.cfg.Interval
	for i := range m.matchers {
		longest = max(longest, m.matchers[i].Interval)
	}
	return longest
}

// armDown starts the Active_Down_Timer, but from the end of the startup delay.
func (m *Machine) armDown(interval time.Duration) {
	m.at[timerDown] = max(m.now, m.startAt) + interval
}

// releaseLimit is how long a Backup may need to take over: by then it has done
// so even if it heard none of our priority 0.
func (m *Machine) releaseLimit() time.Duration {
	if m.cfg.ReleaseLimit > 0 {
		return m.cfg.ReleaseLimit
	}
	if m.cfg.Version == 2 {
		return 3*m.cfg.Interval + time.Second
	}
	return 4 * m.cfg.Interval
}

// Deadline is when Handle wants a Timeout, or Never. It is the only timer, and
// may move with every event.
func (m *Machine) Deadline() time.Duration {
	next := Never
	for _, at := range m.at {
		next = min(next, at)
	}
	return next
}

// due reports whether a timer has run out, and stops it.
func (m *Machine) due(t timer) (at time.Duration, ok bool) {
	at = m.at[t]
	if m.now < at {
		return 0, false
	}
	m.at[t] = Never
	return at, true
}

func (m *Machine) stop(timers ...timer) {
	for _, t := range timers {
		m.at[t] = Never
	}
}

func (m *Machine) stopAll() {
	for t := range m.at {
		m.at[t] = Never
	}
}

// timeout fires what is due, each timer at most once.
func (m *Machine) timeout() {
	if _, ok := m.due(timerAwait); ok {
		m.awaitOver()
	}
	if at, ok := m.due(timerDown); ok {
		m.down(at)
	}
	if _, ok := m.due(timerRelease); ok {
		m.note(NoteReleaseUnclaimed)
		m.letGo(CauseReleaseLimit)
	}
	if at, ok := m.due(timerAdvertise); ok {
		m.advertise(at)
	}
	if _, ok := m.due(timerParting); ok {
		m.part()
	}
	if _, ok := m.due(timerRestore); ok {
		m.do(Action{Kind: ActionAdd, Addresses: m.ours})
		m.announce(1)
	}
	if _, ok := m.due(timerDefend); ok {
		m.defend()
	}
	if _, ok := m.due(timerAnnounce); ok {
		m.announce(1)
	}
	if _, ok := m.due(timerRepeat); ok {
		m.announce(m.cfg.Announcements.Repeat)
	}
	if _, ok := m.due(timerRefresh); ok {
		m.announce(m.cfg.Announcements.RefreshRepeat)
		m.at[timerRefresh] = m.now + m.cfg.Announcements.Refresh
	}
}
