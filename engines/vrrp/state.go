package vrrp

import (
	"net/netip"
	"time"
)

// startup leaves StateInitialize (RFC 9568 6.4.1).
func (m *Machine) startup(e Startup) {
	if m.state != StateInitialize {
		return
	}
	if e.Resume != nil && e.Resume.State.Holds() && m.holds == 0 {
		m.startAt = m.now
		m.awaitThese(e.Resume.Awaited, m.now+m.listenFor())
		m.takeOver(CauseResume)
		return
	}
	m.startAt, m.deaf = m.now+m.cfg.StartupDelay, true
	if m.cfg.Priority != Owner {
		m.do(Action{Kind: ActionRemove, Addresses: m.all})
	}
	m.enter(CauseStartup)
	if e.Resume != nil && e.Resume.State == StateBackup && !e.Resume.Joining && m.state == StateBackup && e.Resume.Interval >= centisecond && e.Resume.Interval <= maxInterval2 {
		m.learned, m.joined = e.Resume.Interval, true
		m.awaitThese(e.Resume.Awaited, m.now+m.listenFor())
		m.armDown(m.downInterval())
	}
}

// enter begins to take part, or to be held.
func (m *Machine) enter(cause Cause) {
	if m.holds != 0 {
		m.move(m.held(), m.heldBy())
		return
	}
	if m.priority == Owner && m.now >= m.startAt && !m.grouped {
		m.takeOver(CauseOwner)
		return
	}
	m.learned = m.longest()
	m.move(StateBackup, cause)
	m.joined = false
	if m.until <= m.now {
		m.elsewhere = netip.Addr{}
	}
	m.why = CauseActiveDown
	if m.priority == Owner {
		m.why = CauseOwner
		m.armDown(0)
		return
	}
	m.armDown(m.downInterval())
	if m.deaf && m.joining() {
		m.armDown(max(courtesy(m.learned), usualInterval) + m.skew())
	}
	m.at[timerDown] = max(m.at[timerDown], m.until)
	m.deaf = false
	if m.joining() {
		m.awaitThese(m.all, m.at[timerDown])
	}
}

// hearAsBackup is RFC 9568 6.4.2.
func (m *Machine) hearAsBackup(a *Advertisement) {
	if a.Priority == 0 {
		m.parting = 0
		m.stop(timerParting)
		m.why = CausePriorityZero
		m.armDown(m.skew())
		m.awaitAtMost(m.at[timerDown])
		return
	}
	if a.Priority < m.priority && m.preempts() {
		m.note(NoteLowerPriority)
		m.why = CausePreempt
		return
	}
	if a.Priority >= m.priority {
		m.preemptAt = Never
	}
	m.parting = 0
	m.stop(timerParting)
	m.wants, m.graced, m.taught = false, false, true
	m.why = CauseActiveDown
	m.learned = a.Interval
	m.armDown(m.downInterval())
}

// preempts decides about a lower priority heard as Backup: with a delay, it is
// respected until the delay has passed since the first of them.
func (m *Machine) preempts() bool {
	if m.priority == Owner {
		return true
	}
	if m.cfg.NoPreempt || m.now < m.startAt {
		return false
	}
	if m.cfg.PreemptDelay == 0 {
		return true
	}
	if m.preemptAt == Never {
		m.preemptAt = m.now + m.cfg.PreemptDelay
	}
	return m.now >= m.preemptAt
}

// down is the Active_Down_Timer, which ran out at at.
func (m *Machine) down(at time.Duration) {
	if m.now-at > m.learned && !m.graced && m.why != CauseOwner {
		// Woken this late, we have not listened either: the silence may be
		// ours. Listen for one interval, once.
		m.graced = true
		m.note(NoteLate)
		m.armDown(m.learned + m.skew())
		return
	}
	if m.grouped {
		m.wants, m.elsewhere = true, netip.Addr{}
		m.armDown(m.downInterval())
		return
	}
	m.takeOver(m.why)
}

// takeOver becomes Active. The addresses come first, then the advertisement
// that makes the former Active router let go, then the announcement: there is
// no moment in which nobody answers.
func (m *Machine) takeOver(cause Cause) {
	m.move(StateActive, cause)
	m.joined, m.until = true, 0
	m.learned = m.cfg.Interval
	m.rival, m.asserts, m.rivals, m.defences, m.restores = -maxDelay, limiter{}, limiter{}, limiter{}, limiter{}
	if len(m.ours) > 0 {
		m.do(Action{Kind: ActionAdd, Addresses: m.ours})
	}
	m.assert()
	m.startAnnouncing()
}

// startAnnouncing announces and plans the second burst and the refreshes.
func (m *Machine) startAnnouncing() {
	a := m.cfg.Announcements
	m.announce(a.Repeat)
	if a.Delay > 0 {
		m.at[timerRepeat] = m.now + a.Delay
	}
	if a.Refresh > 0 {
		m.at[timerRefresh] = m.now + a.Refresh
	}
}

// assert advertises now and restarts the Adver_Timer.
func (m *Machine) assert() {
	m.send(m.priority)
	m.at[timerAdvertise] = m.now + m.cfg.Interval
}

// advertise is the Adver_Timer, which ran out at at. Deadlines are absolute: a
// late wake-up does not move the next one, unless it missed that too.
func (m *Machine) advertise(at time.Duration) {
	if m.state == StateReleasing {
		m.send(0)
		if m.releases--; m.releases > 0 {
			m.at[timerAdvertise] = m.now + m.cfg.Interval
		}
		return
	}
	m.send(m.priority)
	if at += m.cfg.Interval; at <= m.now {
		at = m.now + m.cfg.Interval
	}
	m.at[timerAdvertise] = at
}

// hearAsActive is RFC 9568 6.4.3.
func (m *Machine) hearAsActive(a *Advertisement, src netip.Addr) {
	switch {
	case a.Priority == 0:
		if _, ok := m.asserts.allow(m.now, m.cfg.Interval/4, 2); ok {
			m.assert()
		}
		m.hearRival()
	case m.better(a, src):
		if a.Priority < m.yielded && m.now < m.yieldedAt+m.skewOf(a) {
			// Better only since we yielded, and too early to be because of
			// that; see takenOver.
			m.note(NoteRival)
			return
		}
		cause := CauseHigherPriority
		if a.Priority == m.priority {
			cause = CauseTie
		}
		m.stepDown(a, cause)
	default:
		// New in RFC 9568: say at once who is Active. The Adver_Timer goes on.
		if _, ok := m.asserts.allow(m.now, m.cfg.Interval/4, 2); ok {
			m.send(m.priority)
		}
		m.hearRival()
	}
}

// better reports whether the sender wins against us.
func (m *Machine) better(a *Advertisement, src netip.Addr) bool {
	return a.Priority > m.priority || a.Priority == m.priority && m.cfg.Source.Less(src)
}

// hearRival announces again, since another router has been Active and told the
// hosts so: with all repetitions for a new rival, once for each advertisement
// of one that stays.
func (m *Machine) hearRival() {
	m.note(NoteRival)
	repeat := uint8(1)
	if m.now-m.rival > 3*m.cfg.Interval {
		repeat = m.cfg.Announcements.Repeat
	}
	m.rival = m.now
	m.announceSoon(repeat)
	if d := m.cfg.Announcements.Delay; d > 0 && m.at[timerRepeat] == Never {
		m.at[timerRepeat] = m.now + d
	}
}

// stepDown becomes Backup because a better router is Active. Its last word
// tells the winner, which may not know that there was a rival, to announce
// itself; see the package documentation.
func (m *Machine) stepDown(a *Advertisement, cause Cause) {
	m.move(StateBackup, cause)
	m.do(Action{Kind: ActionRemove, Addresses: m.all})
	m.why, m.taught = CauseActiveDown, true
	m.learned = a.Interval
	m.armDown(m.downInterval())
	m.parting = partingAdvertisements
	m.part()
}

// part says the last word of a loser, and again soon unless the winner reacts.
func (m *Machine) part() {
	m.send(m.priority)
	if m.parting--; m.parting > 0 {
		m.at[timerParting] = m.now + min(m.learned, m.cfg.Interval)/4
	}
}
