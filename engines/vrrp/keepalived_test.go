package vrrp

import (
	"net/netip"
	"time"
)

// keepalived models what keepalived 2.x does with defaults, as far as a LAN can
// tell: it announces when it becomes master, five times and again after 5 s;
// it falls silent on a better advertisement; it answers a worse one with an
// advertisement and announcements; it lets go before anybody took over when
// stopped; and any packet at all restarts a master's advertisement timer.
type keepalived struct {
	cfg      Config
	master   bool
	stopped  bool
	learned  time.Duration
	timer    time.Duration
	repeatAt time.Duration
	adv      Advertisement
}

func newKeepalived(c Config) *keepalived {
	return &keepalived{cfg: c, stopped: true, timer: Never, repeatAt: Never}
}

func (k *keepalived) skew() time.Duration {
	unit := k.learned
	if k.cfg.Version == 2 {
		unit = time.Second
	}
	return time.Duration(256-int(k.cfg.Priority)) * unit / 256
}

func (k *keepalived) Handle(now time.Duration, ev Event) []Action {
	switch e := ev.(type) {
	case Startup:
		if !k.stopped {
			return nil
		}
		k.stopped, k.master, k.learned = false, false, k.cfg.Interval
		k.timer = now + 3*k.learned + k.skew()
		return []Action{{Kind: ActionRemove, Addresses: k.cfg.Addresses}}
	case Shutdown:
		return k.leave(true)
	case Link:
		if !bool(e) {
			return k.leave(true)
		}
		return k.Handle(now, Startup{})
	case Timeout:
		return k.timeout(now)
	case *Packet:
		if k.stopped {
			return nil
		}
		if k.adv.Parse(e.Message, e.Source, e.Destination) != ReasonNone || e.Source == k.cfg.Source {
			return nil
		}
		if k.master {
			return k.hearAsMaster(now, e.Source)
		}
		k.hearAsBackup(now)
	}
	return nil
}

func (k *keepalived) leave(stop bool) (out []Action) {
	if k.master {
		if stop {
			out = append(out, Action{Kind: ActionSend})
		}
		out = append(out, Action{Kind: ActionRemove, Addresses: k.cfg.Addresses})
	}
	k.master, k.repeatAt = false, Never
	if stop {
		k.stopped, k.timer = true, Never
	}
	return out
}

func (k *keepalived) timeout(now time.Duration) (out []Action) {
	if now >= k.timer {
		out = append(out, Action{Kind: ActionSend, Priority: k.cfg.Priority})
		if !k.master {
			k.master, k.learned = true, k.cfg.Interval
			out = append(out, Action{Kind: ActionAdd, Addresses: k.cfg.Addresses})
			out = append(out, Action{Kind: ActionAnnounce, Addresses: k.cfg.Addresses, Repeat: 5})
			k.repeatAt = now + 5*time.Second
		}
		k.timer = now + k.cfg.Interval
	}
	if now >= k.repeatAt {
		out = append(out, Action{Kind: ActionAnnounce, Addresses: k.cfg.Addresses, Repeat: 5})
		k.repeatAt = Never
	}
	return out
}

func (k *keepalived) hearAsBackup(now time.Duration) {
	switch {
	case k.adv.Priority == 0:
		k.timer = now + k.skew()
	case k.cfg.NoPreempt || k.adv.Priority >= k.cfg.Priority:
		if k.cfg.Version == 3 {
			k.learned = k.adv.Interval
		}
		k.timer = now + 3*k.learned + k.skew()
	}
}

func (k *keepalived) hearAsMaster(now time.Duration, src netip.Addr) (out []Action) {
	k.timer = now + k.cfg.Interval
	mine, theirs := k.cfg.Priority, k.adv.Priority
	switch {
	case theirs == 0:
		return []Action{{Kind: ActionSend, Priority: mine}}
	case theirs < mine || theirs == mine && src.Less(k.cfg.Source):
		return []Action{{Kind: ActionSend, Priority: mine}, {Kind: ActionAnnounce, Addresses: k.cfg.Addresses, Repeat: 5}}
	}
	k.learned = k.adv.Interval
	k.timer = now + 3*k.learned + k.skew()
	return k.leave(false)
}

func (k *keepalived) Deadline() time.Duration { return min(k.timer, k.repeatAt) }

func (k *keepalived) State() State {
	switch {
	case k.stopped:
		return StateInitialize
	case k.master:
		return StateActive
	}
	return StateBackup
}

func (k *keepalived) Append(b []byte, dst netip.Addr, priority uint8) []byte {
	a := Advertisement{
		Version: k.cfg.Version, VRID: k.cfg.VRID, Priority: priority,
		Interval: k.cfg.Interval, Authentication: k.cfg.Authentication, Addresses: k.cfg.Addresses,
	}
	return a.Append(b, k.cfg.Source, dst, ChecksumPseudoHeader)
}
