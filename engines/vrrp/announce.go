package vrrp

import (
	"net/netip"
	"slices"
	"time"
)

// announce announces all addresses now.
func (m *Machine) announce(repeat uint8) {
	m.announceThese(m.ours, repeat)
	m.announced = m.now
	m.stop(timerAnnounce)
}

// announceThese announces some. Only an Active router announces: a releasing one
// would take the hosts back.
func (m *Machine) announceThese(addrs []netip.Addr, repeat uint8) {
	if m.state != StateActive || len(addrs) == 0 {
		return
	}
	m.counters.Announcements++
	m.do(Action{Kind: ActionAnnounce, Addresses: addrs, Repeat: max(repeat, 1)})
}

// announceSoon announces because of rivals. They come in clusters, when several
// took over at once or last words cross: the first of a cluster is answered at
// once, the rest together when it is over. Beyond a burst of those, a period
// of half an interval limits a flood, and what has to wait for it is not late.
func (m *Machine) announceSoon(repeat uint8) {
	if m.at[timerAnnounce] != Never {
		return
	}
	period := min(m.cfg.Interval/2, 500*time.Millisecond)
	next, ok := m.rivals.allow(m.now, period, rivalBurst)
	if ok {
		next = m.announced + min(clusterDelay, m.cfg.Interval/16)
		if m.now >= next {
			m.announce(repeat)
			return
		}
	}
	m.at[timerAnnounce] = next
}

// foreignClaim defends an address: the first few times after a moment, then
// within the defence period for as long as the other goes on (RFC 5227 2.4 (c),
// which leaves it to hosts like us to defend indefinitely). The moment is for a
// better router that takes over: its announcement may be seen before its
// advertisement, and defending then would take the hosts back from it.
func (m *Machine) foreignClaim(addr netip.Addr) {
	if m.state != StateActive || !slices.Contains(m.ours, addr) {
		return
	}
	m.note(NoteForeignClaim)
	if !slices.Contains(m.claimed, addr) {
		m.claimed = append(m.claimed, addr)
	}
	if m.at[timerDefend] != Never {
		return
	}
	next, ok := m.defences.allow(m.now, defencePeriod, defenceBurst)
	if ok {
		next = m.now + min(defenceDelay, m.cfg.Interval/4)
	}
	m.at[timerDefend] = next
}

// defend announces what was claimed; it is at most as long as our addresses.
func (m *Machine) defend() {
	m.announceThese(m.claimed, 1)
	m.claimed = m.claimed[:0]
}

// addressLost puts an address back, with the same limits.
func (m *Machine) addressLost(addr netip.Addr) {
	i := slices.Index(m.ours, addr)
	if !m.state.Holds() || i < 0 {
		return
	}
	m.note(NoteAddressLost)
	next, ok := m.restores.allow(m.now, defencePeriod, defenceBurst)
	if !ok {
		m.at[timerRestore] = min(m.at[timerRestore], next)
		return
	}
	m.do(Action{Kind: ActionAdd, Addresses: m.ours[i : i+1]})
	m.announceThese(m.ours[i:i+1], 1)
}
