package vrrp

import "net/netip"

// held and heldBy tell the state and cause of the present holds.
func (m *Machine) held() State {
	if m.holds == holdMaintenance {
		return StateMaintenance
	}
	return StateFault
}

func (m *Machine) heldBy() Cause {
	switch {
	case m.holds&holdLink != 0:
		return CauseLink
	case m.holds&holdFault != 0:
		return CauseFault
	case m.holds&holdMaintenance != 0:
		return CauseMaintenance
	}
	return CauseGroup
}

// hold adds or lifts a reason not to take part.
func (m *Machine) hold(h hold, on bool) {
	if on == (m.holds&h != 0) {
		return
	}
	m.holds ^= h
	if h == holdLink && on {
		m.cutAt = m.now
	} else if h == holdLink && m.now-m.cutAt > deafAfter {
		m.deaf = true
	}
	if m.state == StateInitialize {
		return
	}
	if m.holds == 0 {
		m.unheld()
		return
	}
	switch {
	case m.state == StateActive && m.holds&holdLink != 0:
		// Nobody to hand over to. The advertisement is for interfaces that
		// can still send although we were told otherwise.
		m.send(0)
		m.leave(m.held(), CauseLink)
	case m.state == StateActive:
		m.release(m.held(), m.heldBy())
	case m.state == StateReleasing:
		if m.releaseTo >= StateFault {
			m.releaseTo = m.held()
		}
		if m.holds&holdLink != 0 {
			m.letGo(CauseLink)
		}
	case m.state != m.held():
		m.move(m.held(), m.heldBy())
	}
}

func (m *Machine) unheld() {
	switch m.state {
	case StateReleasing:
		if m.releaseTo < StateFault {
			return
		}
		if m.grouped {
			// The others may be gone already; come back together.
			m.releaseTo = StateBackup
			return
		}
		m.move(StateActive, CauseReclaim)
		m.priority = m.effective()
		m.assert()
		m.startAnnouncing()
	case StateFault, StateMaintenance:
		m.enter(CauseStartup)
	}
}

// release begins a planned hand-over, make before break: priority 0 makes a
// Backup take over after its Skew_Time, and we go on holding the addresses
// until that one is heard.
func (m *Machine) release(to State, cause Cause) {
	if m.at[timerAnnounce] != Never || m.at[timerDefend] != Never {
		m.announce(1) // the last chance to be believed until somebody took over
	}
	m.move(StateReleasing, cause)
	m.releaseTo = to
	m.send(0)
	m.releases = releaseAdvertisements - 1
	m.at[timerAdvertise] = m.now + m.cfg.Interval
	m.at[timerRelease] = m.now + m.releaseLimit()
}

// takenOver reports whether an advertisement heard while Releasing is that of
// the next Active router. A better one is. A worse one can only be if its
// Skew_Time has passed since our priority 0; before, it is the last word of a
// router that stepped down because of us, or a rival that will be heard again.
func (m *Machine) takenOver(a *Advertisement, src netip.Addr) bool {
	if a.Priority == 0 {
		return false
	}
	return m.better(a, src) || m.now >= m.since+m.skewOf(a)
}

// letGo ends a planned hand-over.
func (m *Machine) letGo(cause Cause) {
	to := m.releaseTo
	if to == StateBackup && m.holds != 0 {
		to = m.held()
	}
	m.leave(to, cause)
}

// leave gives up the addresses.
func (m *Machine) leave(to State, cause Cause) {
	m.move(to, cause)
	m.do(Action{Kind: ActionRemove, Addresses: m.all})
	m.priority = m.effective()
	if to == StateBackup {
		if cause == CauseHandedOver {
			m.learned = m.adv.Interval
		} else {
			m.learned = m.cfg.Interval
			m.joined = false // none of ours is there
		}
		m.why = CauseActiveDown
		m.armDown(m.downInterval())
	}
}

func (m *Machine) shutdown(e Shutdown) {
	switch m.state {
	case StateInitialize:
	case StateActive:
		if e.Now {
			m.send(0)
			m.leave(StateInitialize, CauseShutdown)
			return
		}
		m.release(StateInitialize, CauseShutdown)
	case StateReleasing:
		m.releaseTo = StateInitialize
		if e.Now {
			m.leave(StateInitialize, CauseShutdown)
		}
	default:
		m.move(StateInitialize, CauseShutdown)
	}
}

// check takes what the checks say.
func (m *Machine) check(e Checks) {
	m.checks = e
	if e.Fault {
		m.hold(holdFault, true) // first: to release is more than to yield
	}
	m.reprioritize()
	if !e.Fault {
		m.hold(holdFault, false)
	}
}

// reprioritize makes a changed priority count. A Backup keeps its timer but for
// the difference of the Skew_Times. While Releasing, the priority that others
// have heard goes on to count.
func (m *Machine) reprioritize() {
	if m.state == StateReleasing {
		return
	}
	former, skew := m.priority, m.skew()
	m.priority = m.effective()
	if m.priority == former {
		return
	}
	switch m.state {
	case StateBackup:
		// A last word with another priority could be taken for a better router.
		m.parting = 0
		m.stop(timerParting)
		if m.at[timerDown] != Never {
			m.at[timerDown] += m.skew() - skew
			m.awaitAtMost(m.at[timerDown])
		}
	case StateActive:
		if m.priority < former {
			// Yield: priority 0 starts the Skew_Time of everybody, the
			// advertisement behind it stops that of all who are not better.
			// A better one takes over after a Skew_Time instead of an
			// Active_Down_Interval; if there is none, nothing happens.
			m.note(NoteYield)
			m.send(0)
			if m.yielded == 0 || m.now >= m.yieldedAt+skewTime(m.cfg.Version, 0, m.cfg.Interval) {
				// Of several in a row the first counts: what follows may
				// already be because of it.
				m.yielded, m.yieldedAt = former, m.now
			}
		}
		m.assert()
	}
}

// group is what a Group tells its members.
func (m *Machine) group(e groupEvent) {
	switch {
	case e == groupHold:
		m.hold(holdGroup, true)
	case e == groupUnhold:
		m.hold(holdGroup, false)
	case e == groupRelease && m.state == StateActive:
		m.release(StateBackup, CauseGroup)
	case e == groupTakeOver && m.state == StateBackup:
		m.takeOver(m.why)
	}
}
