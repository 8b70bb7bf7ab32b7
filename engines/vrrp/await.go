package vrrp

import (
	"net/netip"
	"slices"
	"time"
)

// awaited is one of our addresses that we do not hold yet, whatever the state,
// since another Virtual Router may have it.
type awaited struct {
	address netip.Addr
	until   time.Duration
	keeper  netip.Addr // who was heard with it, by which VRID and when; may be nobody
	vrid    uint8
	heard   time.Duration
}

// listenFor is how long a running Machine listens for who has an address that it
// is given.
func (m *Machine) listenFor() time.Duration { return max(2*m.longest(), usualInterval) + m.skew() }

// gain has new addresses wait, but for those that this host has anyway.
func (m *Machine) gain(former, present []netip.Addr) {
	if !m.respectful() || m.state == StateInitialize {
		m.await(nil)
		return
	}
	waits := slices.DeleteFunc(slices.Clone(m.awaited), func(w awaited) bool {
		return !slices.Contains(m.all, w.address) || slices.Contains(present, w.address)
	})
	for _, a := range m.all {
		if !slices.Contains(former, a) && !slices.Contains(present, a) {
			waits = append(waits, awaited{address: a, until: m.now + m.listenFor()})
		}
	}
	m.await(waits)
}

// respectful reports whether we mind who else has our addresses.
func (m *Machine) respectful() bool { return m.cfg.Respect && m.priority != Owner }

// awaitThese has some of our addresses wait until then.
func (m *Machine) awaitThese(addrs []netip.Addr, until time.Duration) {
	var waits []awaited
	for _, a := range addrs {
		if m.respectful() && slices.Contains(m.all, a) {
			waits = append(waits, awaited{address: a, until: until})
		}
	}
	m.await(waits)
}

// lend awaits an address again that had come with another Virtual Router of this
// host.
func (m *Machine) lend(addr netip.Addr) {
	if !m.respectful() || m.state == StateInitialize || !slices.Contains(m.ours, addr) {
		return
	}
	m.await(append(m.awaited, awaited{address: addr, until: m.now + m.listenFor()}))
	m.claimed = slices.DeleteFunc(m.claimed, func(a netip.Addr) bool { return a == addr })
	if m.state.Holds() {
		m.changed = append(m.changed[:0], addr)
		m.do(Action{Kind: ActionRemove, Addresses: m.changed})
	}
}

// await makes these the addresses that are not held yet.
func (m *Machine) await(waits []awaited) {
	m.awaited = waits
	m.ours, m.advertised = m.all, m.cfg.Addresses
	if len(waits) > 0 {
		m.ours = slices.DeleteFunc(slices.Clone(m.all), m.Awaits)
		// In version 2 the others would refuse another list; and the first
		// address tells the family, and is link-local.
		if m.cfg.Version == 3 && !m.Awaits(m.cfg.Addresses[0]) {
			m.advertised = slices.DeleteFunc(slices.Clone(m.cfg.Addresses), m.Awaits)
		}
	}
	m.armAwait()
}

func (m *Machine) armAwait() {
	m.stop(timerAwait)
	if m.state != StateBackup && !m.state.Holds() {
		return
	}
	for i := range m.awaited {
		m.at[timerAwait] = min(m.at[timerAwait], m.awaited[i].until)
	}
}

// keepOff goes on waiting while another Virtual Router advertises an awaited
// address, and no longer than until it does not any more.
func (m *Machine) keepOff(a *Advertisement, src netip.Addr) {
	kept := false
	for i := range m.awaited {
		w := &m.awaited[i]
		has, known := slices.Contains(a.Addresses, w.address), src == w.keeper && a.VRID == w.vrid
		switch {
		case has && a.Priority > 0:
			kept = true
			w.keeper, w.vrid, w.heard = src, a.VRID, m.now
			w.until = max(w.until, m.now+courtesy(a.Interval)+m.skew())
		case has && known: // as in respect
			w.until = min(w.until, m.now+2*a.Interval+m.skew())
		case known:
			w.until = m.now
		}
	}
	if kept && !m.joining() { // respect does
		m.note(NoteElsewhere)
	}
	m.armAwait()
}

// hearOurs is told of an advertisement of our own Virtual Router. Its Active router
// has an address, and not only since that host has both.
func (m *Machine) hearOurs(a *Advertisement, src netip.Addr) {
	m.obtain(func(w *awaited) bool {
		return w.keeper.IsValid() && (src != w.keeper || m.now-w.heard > 2*a.Interval) && slices.Contains(a.Addresses, w.address)
	})
}

// awaitAtMost ends the waiting for what nobody was heard with.
func (m *Machine) awaitAtMost(until time.Duration) {
	for i := range m.awaited {
		if w := &m.awaited[i]; !w.keeper.IsValid() {
			w.until = min(w.until, until)
		}
	}
	m.armAwait()
}

// awaitOver takes what has been waited for long enough.
func (m *Machine) awaitOver() { m.obtain(func(w *awaited) bool { return w.until <= m.now }) }

// obtain ends the waiting for some.
func (m *Machine) obtain(these func(*awaited) bool) {
	var fresh []netip.Addr
	var rest []awaited
	for i := range m.awaited {
		if w := &m.awaited[i]; these(w) {
			fresh = append(fresh, w.address)
		} else {
			rest = append(rest, *w)
		}
	}
	if len(fresh) == 0 {
		m.armAwait()
		return
	}
	m.await(rest)
	if m.state.Holds() {
		m.do(Action{Kind: ActionAdd, Addresses: fresh})
		m.announceThese(fresh, m.cfg.Announcements.Repeat)
	}
}

// Awaiting reports whether there is an address that is not held yet.
func (m *Machine) Awaiting() bool { return len(m.awaited) > 0 }

// KeptBy reports whether one is awaited that was heard by that VRID: that it is not
// in a packet of its any more matters as well.
func (m *Machine) KeptBy(vrid uint8) bool {
	for i := range m.awaited {
		if w := &m.awaited[i]; w.vrid == vrid && w.keeper.IsValid() {
			return true
		}
	}
	return false
}

// Awaits reports whether an address is not held yet, whatever the state, since
// another Virtual Router may have it.
func (m *Machine) Awaits(addr netip.Addr) bool {
	return slices.ContainsFunc(m.awaited, func(w awaited) bool { return w.address == addr })
}

// awaits lists them, and names one who has one.
func (m *Machine) awaits() (addrs []netip.Addr, keeper netip.Addr) {
	for _, w := range m.awaited {
		addrs = append(addrs, w.address)
		if w.keeper.IsValid() {
			keeper = w.keeper
		}
	}
	return addrs, keeper
}
