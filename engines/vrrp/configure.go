package vrrp

import (
	"net/netip"
	"slices"
)

// reconfigure changes a running Machine without a transition: addresses come
// and go one by one, an Active router says at once what is new about its
// advertisements, a Backup keeps waiting. Only the address family cannot
// change; that takes another Machine. With Respect, an address comes once nobody
// else is heard with it.
func (m *Machine) reconfigure(c *Config) {
	if c.Validate() != nil || c.IPv6() != m.cfg.IPv6() {
		m.note(NoteConfig)
		return
	}
	former, formerAll, formerHeld, formerPriority := m.cfg, m.all, m.ours, m.priority
	m.take(*c)
	m.gain(formerAll, c.Present)
	// reprioritize compares with the priority before.
	m.priority = formerPriority
	if m.cfg.PreemptDelay != former.PreemptDelay {
		m.preemptAt = Never
	}

	if m.state.Holds() {
		m.claimed = slices.DeleteFunc(m.claimed, func(a netip.Addr) bool { return !slices.Contains(m.ours, a) })
		if len(m.claimed) == 0 {
			m.stop(timerDefend)
		}
		m.changed = m.changed[:0]
		m.changed = appendMissing(m.changed, m.ours, formerHeld)
		added := len(m.changed)
		m.changed = appendMissing(m.changed, formerHeld, m.ours)
		if gone := m.changed[added:]; len(gone) > 0 {
			m.do(Action{Kind: ActionRemove, Addresses: gone})
		}
		if added > 0 {
			m.do(Action{Kind: ActionAdd, Addresses: m.changed[:added]})
			m.announceThese(m.changed[:added], m.cfg.Announcements.Repeat)
		}
	}

	switch m.state {
	case StateBackup:
		m.reprioritize()
		if !m.taught && m.why == CauseActiveDown {
			// Nobody taught us an interval yet, so it is still a configured
			// one. Only ever later: silence so far says nothing about an
			// interval that was not waited for.
			m.learned = m.longest()
			m.at[timerDown] = max(m.at[timerDown], max(m.since, m.startAt)+m.downInterval())
		}
	case StateActive:
		m.learned = m.cfg.Interval
		changed := !sameWire(&former.Shared, &m.cfg.Shared)
		if m.effective() != m.priority {
			m.reprioritize()
		} else if changed {
			m.assert()
		}
		m.reschedule(former.Announcements)
	default:
		m.reprioritize()
		m.learned = m.cfg.Interval
	}
}

// reschedule makes a changed refresh interval count.
func (m *Machine) reschedule(former Announcements) {
	if m.cfg.Announcements.Refresh == former.Refresh {
		return
	}
	m.stop(timerRefresh)
	if m.cfg.Announcements.Refresh > 0 {
		m.at[timerRefresh] = m.now + m.cfg.Announcements.Refresh
	}
}

// sameWire reports whether two parameter sets make the same advertisements.
func sameWire(a, b *Shared) bool {
	return a.Version == b.Version && a.VRID == b.VRID && a.Interval == b.Interval &&
		a.Authentication == b.Authentication && slices.Equal(a.Addresses, b.Addresses)
}

// appendMissing appends those of have that are not in without.
func appendMissing(to, have, without []netip.Addr) []netip.Addr {
	for _, a := range have {
		if !slices.Contains(without, a) {
			to = append(to, a)
		}
	}
	return to
}
