package vrrp

import (
	"net/netip"
	"slices"
)

// receive judges a packet and hands a good one to the state. Nothing before
// the switch touches a timer, but for respect: that is what keeps one bad packet
// per interval from silencing us.
func (m *Machine) receive(p *Packet) {
	src := p.Source.Unmap().WithZone("")
	dst := p.Destination.Unmap().WithZone("")
	if r := m.verify(p, src, dst); r != ReasonNone {
		m.drop(r)
		return
	}
	used, r := m.match(src, dst)
	if r != ReasonNone {
		m.drop(r)
		m.respect(p, src)
		return
	}
	if m.state == StateInitialize {
		m.drop(ReasonIdle)
		return
	}
	a := &m.adv
	m.counters.Received++
	if a.Priority == 0 {
		m.counters.ReceivedZero++
	}
	m.leader = peer{address: src, priority: a.Priority, heard: m.now}
	if a.Priority > 0 {
		m.join(a)
	}
	if len(m.awaited) > 0 && m.state != StateReleasing {
		m.hearOurs(a, src)
	}
	if m.state >= StateFault {
		return // held: it is good to know who is Active, and no more
	}
	if used > 0 {
		m.note(NoteAlternative)
	} else if a.Interval != m.cfg.Interval {
		m.note(NoteInterval)
	}
	if !m.matchers[used].sameAddresses(a.Addresses) {
		m.note(NoteAddressList)
	}
	if m.cfg.Priority == Owner {
		m.note(NoteOwner)
	}
	switch m.state {
	case StateBackup:
		m.hearAsBackup(a)
	case StateActive:
		m.hearAsActive(a, src)
	case StateReleasing:
		if m.takenOver(a, src) {
			m.letGo(CauseHandedOver)
		}
	}
}

// overhear judges a packet of another Virtual Router.
func (m *Machine) overhear(p *Packet) {
	src := p.Source.Unmap().WithZone("")
	if m.Overhears() && m.verify(p, src, p.Destination.Unmap().WithZone("")) == ReasonNone {
		m.respect(p, src)
	}
}

// respect waits for as long as whoever was here before is heard with an address
// of ours, by whatever VRID, version or password. While Releasing, one with all of
// them has taken over; while held, it is good to know. MinTTL is for peers: nobody
// else from beyond the link is minded.
func (m *Machine) respect(p *Packet, src netip.Addr) {
	if p.TTL != TTL && !slices.ContainsFunc(m.matchers, func(w matcher) bool { return slices.Contains(w.Peers, src) }) {
		return
	}
	a := &m.adv
	if len(m.awaited) > 0 {
		m.keepOff(a, src)
	}
	if !m.respects() || !slices.ContainsFunc(a.Addresses, func(x netip.Addr) bool { return slices.Contains(m.all, x) }) {
		return
	}
	switch {
	case a.Priority == 0:
		// A Backup of theirs takes over within an interval, if there is one, and
		// is heard then or an interval later.
		soon := max(m.now+2*a.Interval, m.startAt) + m.skew()
		if src == m.elsewhere {
			m.until = min(m.until, soon)
		} else {
			m.until = max(m.until, soon)
		}
		if m.joining() && src == m.elsewhere {
			m.at[timerDown] = m.until
		} else if m.joining() {
			m.at[timerDown] = max(m.at[timerDown], m.until)
		}
		return
	case m.state == StateReleasing:
		if slices.ContainsFunc(m.cfg.Addresses, func(x netip.Addr) bool { return !slices.Contains(a.Addresses, x) }) {
			return
		}
		m.letGo(CauseHandedOver)
		m.joined = false // by those who are there now
	}
	m.elsewhere = src
	m.until = max(m.until, m.now+courtesy(m.learned)+m.skew(), m.now+courtesy(a.Interval)+m.skew())
	if m.joining() {
		m.note(NoteElsewhere)
		m.wants, m.graced = false, false
		m.at[timerDown] = max(m.at[timerDown], m.until)
	}
}

// join ends the listening of a start: one of ours is there. Until it would be
// missed, who else has an address of ours is heard as well.
func (m *Machine) join(a *Advertisement) {
	if m.joining() {
		if !m.elsewhere.IsValid() {
			m.at[timerDown] = min(m.at[timerDown], max(m.now, max(m.since, m.startAt)+m.downInterval()))
		}
		m.awaitAtMost(min(m.at[timerDown], m.now+2*a.Interval))
	}
	m.joined, m.elsewhere, m.until = true, netip.Addr{}, 0
}

// verify makes the checks that are the same for all parameter sets.
func (m *Machine) verify(p *Packet, src, dst netip.Addr) Reason {
	if src.Is4() == m.cfg.IPv6() || !src.IsValid() {
		return ReasonSource
	}
	if p.TTL != TTL && !(m.unicast() && !dst.IsMulticast() && m.cfg.MinTTL > 0 && p.TTL >= m.cfg.MinTTL) {
		return ReasonTTL
	}
	if r := m.adv.Parse(p.Message, src, dst); r != ReasonNone {
		return r
	}
	if src == m.cfg.Source {
		return ReasonOwn
	}
	return ReasonNone
}

func (m *Machine) unicast() bool {
	for i := range m.matchers {
		if len(m.matchers[i].Peers) > 0 {
			return true
		}
	}
	return false
}

// match finds the parameter set that accepts the advertisement. If none does,
// the reason is that of the first, the one we send ourselves.
func (m *Machine) match(src, dst netip.Addr) (used int, first Reason) {
	for i := range m.matchers {
		r := m.accepts(&m.matchers[i], src, dst)
		if r == ReasonNone {
			return i, ReasonNone
		}
		if i == 0 {
			first = r
		}
	}
	return 0, first
}

func (m *Machine) accepts(want *matcher, src, dst netip.Addr) Reason {
	a := &m.adv
	switch {
	case a.Version != want.Version:
		return ReasonVersion
	case a.VRID != want.VRID:
		return ReasonVRID
	}
	if len(want.Peers) > 0 {
		found := false
		for _, p := range want.Peers {
			found = found || p == src
		}
		if !found {
			return ReasonSource
		}
	}
	if dst.IsValid() && dst.IsMulticast() == (len(want.Peers) > 0) {
		return ReasonDestination
	}
	if a.Addresses[0].Is6() && !m.cfg.GlobalFirst && !a.Addresses[0].IsLinkLocalUnicast() {
		return ReasonFirstAddress
	}
	if want.Version == 3 {
		return ReasonNone
	}
	switch {
	case a.Authentication.Type != want.Authentication.Type:
		return ReasonAuthType
	case want.Authentication.Type == AuthPass && a.Authentication.Data != want.Authentication.Data:
		return ReasonAuthData
	case a.Interval != want.Interval:
		return ReasonInterval
	case a.Priority != Owner && !m.cfg.LooseAddresses && !want.sameAddresses(a.Addresses):
		return ReasonAddressList
	}
	return ReasonNone
}
