package vrrp

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// FuzzParse parses anything without a panic, and what it accepts it makes
// again, bit by bit but for the reserved ones and the checksum's form.
func FuzzParse(f *testing.F) {
	for _, p := range goodPackets {
		b, _ := hex.DecodeString(strings.ReplaceAll(p.bytes, " ", ""))
		f.Add(b, p.src == "fe80::1")
	}
	f.Fuzz(func(t *testing.T, b []byte, v6 bool) {
		src, dst := netip.MustParseAddr("192.0.2.1"), MulticastAddress(v6)
		if v6 {
			src = netip.MustParseAddr("fe80::1")
		}
		// Let more than one in 65536 through: make the checksum good.
		for _, sumFirst := range []bool{false, true} {
			if sumFirst && len(b) >= headerLength {
				b = slices.Clone(b)
				b[6], b[7] = 0, 0
				acc := sum(0, b)
				if v6 {
					acc += pseudoHeader(src, dst, len(b))
				}
				b[6], b[7] = byte(^fold(acc)>>8), byte(^fold(acc))
			}
			var a, again Advertisement
			if a.Parse(b, src, dst) != ReasonNone {
				continue
			}
			for _, form := range []ChecksumForm{ChecksumPseudoHeader, ChecksumMessage} {
				made := a.Append(nil, src, dst, form)
				if r := again.Parse(made, src, dst); r != ReasonNone || !equalAdvertisements(&a, &again) {
					t.Fatalf("%x: %v: %+v became %+v", b, r, a, again)
				}
				reserved := slices.Clone(b[:len(made)])
				if a.Version == 3 {
					reserved[4] &= 0x0f
				}
				made[6], made[7], reserved[6], reserved[7] = 0, 0, 0, 0
				if !bytes.Equal(made, reserved) {
					t.Fatalf("%x became %x", reserved, made)
				}
			}
		}
	})
}

// FuzzMachine feeds a stream of events, two bytes each, to a Machine. See
// watched for what has to hold.
func FuzzMachine(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 2, 200, 1, 255, 2, 0, 1, 255})
	f.Add([]byte{9, 3, 0, 1, 1, 255, 1, 255, 3, 50, 4, 1, 5, 0, 5, 1, 6, 1, 6, 0, 7, 9, 7, 128, 8, 1})
	f.Add([]byte{0, 1, 0, 2, 10, 0, 11, 0, 12, 0, 12, 0, 13, 0, 14, 7, 15, 1, 0, 0, 16, 5, 2, 99, 2, 101})
	f.Fuzz(func(t *testing.T, stream []byte) {
		c := testConfig()
		w := newWatched(t, c)
		for len(stream) >= 2 {
			op, arg := stream[0], stream[1]
			stream = stream[2:]
			w.play(op, arg)
		}
	})
}

// watched is a Machine whose every move is checked.
type watched struct {
	t     *testing.T
	m     *Machine
	cfg   Config
	now   time.Duration
	state State
	holds []netip.Addr
}

func newWatched(t *testing.T, c Config) *watched {
	m, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return &watched{t: t, m: m, cfg: c}
}

func (w *watched) play(op, arg byte) {
	switch op % 17 {
	case 0:
		if arg&1 == 0 {
			w.handle(Startup{})
		} else {
			w.handle(Startup{Resume: &Snapshot{State: State(arg >> 1), Interval: time.Duration(arg) * centisecond}})
		}
	case 1: // to the deadline, or a part of the way
		if d := w.m.Deadline(); d != Never {
			w.now = max(w.now, w.now+(d-w.now)*time.Duration(arg)/255)
		}
		w.handle(Timeout{})
	case 2, 3:
		w.packet(arg, op%17 == 3, 0)
	case 4:
		w.packet(arg, false, 1+arg%8)
	case 5:
		w.handle(Link(arg&1 == 0))
	case 6:
		w.handle(Maintenance(arg&1 == 0))
	case 7:
		w.handle(Checks{Weight: int(int8(arg)), Fault: arg&7 == 7})
	case 8:
		w.handle(ForeignClaim{netip.AddrFrom4([4]byte{192, 0, 2, arg})})
	case 9:
		w.handle(AddressLost{w.cfg.Addresses[int(arg)%len(w.cfg.Addresses)]})
	case 10:
		w.handle(AddressesReady{})
		if arg&1 != 0 {
			w.handle(AddressLeft{w.cfg.Addresses[int(arg)%len(w.cfg.Addresses)]})
		}
	case 11:
		w.handle(Shutdown{Now: arg&1 == 0})
	case 12:
		w.now += time.Duration(arg) * 50 * time.Millisecond
	case 13:
		w.handle(groupEvent(arg % 5))
	default:
		w.reconfigure(op%17, arg)
	}
}

func (w *watched) reconfigure(op, arg byte) {
	c := w.cfg
	switch op {
	case 14:
		c.Priority = arg
		c.NoPreempt = arg&1 != 0
		c.Respect = arg&2 != 0
	case 15:
		c.Addresses = nil
		for i := range arg % 5 {
			c.Addresses = append(c.Addresses, netip.AddrFrom4([4]byte{192, 0, 2, 100 + i + arg&1}))
		}
	case 16:
		c.Interval = time.Duration(arg) * centisecond
		c.Announcements.Refresh = time.Duration(arg) * time.Second
		c.PreemptDelay = time.Duration(arg&3) * time.Second
		c.Accept = []Shared{w.cfg.Shared}
	}
	w.handle(&c)
	if c.Validate() == nil {
		w.cfg = c
	}
}

// packet is an advertisement, with one thing wrong about it if bad.
func (w *watched) packet(priority byte, greater bool, bad byte) {
	a := Advertisement{Version: 3, VRID: 1, Priority: priority, Interval: w.cfg.Interval, Addresses: w.cfg.Addresses}
	p := Packet{Source: netip.AddrFrom4([4]byte{192, 0, 2, 0}), Destination: MulticastAddress(false), TTL: 255}
	if greater {
		p.Source = netip.AddrFrom4([4]byte{192, 0, 2, 2})
	}
	switch bad {
	case 1:
		p.TTL = priority | 1 ^ 0x80
		p.TTL &^= 2
	case 2:
		a.Version = 2
	case 3:
		a.Type = 2
	case 4:
		a.VRID = 2
	case 5:
		a.Addresses = nil
	case 6:
		p.Source = w.cfg.Source
	case 7:
		p.Destination = w.cfg.Source
	}
	p.Message = a.Append(nil, p.Source, p.Destination, ChecksumPseudoHeader)
	if bad == 8 {
		p.Message[7] ^= 0x10
	}
	if (bad == 2 || bad == 4 || bad == 7) && (w.m.Overhears() && w.state == StateReleasing || len(w.m.awaited) > 0) {
		w.handle(&p)
		return
	}
	before, joining := w.m.Deadline(), w.m.Overhears()
	if bad == 4 && priority&4 == 0 {
		if actions := w.handle((*Foreign)(&p)); len(actions) > 0 && !joining || w.m.Deadline() < before && !(joining && priority == 0) {
			w.t.Fatalf("a foreign packet did %v, and the deadline went from %v to %v", actions, before, w.m.Deadline())
		}
		return
	}
	actions := w.handle(&p)
	dropped := len(actions) > 0 && actions[0].Kind == ActionDrop
	if bad > 0 && !dropped {
		w.t.Fatalf("bad packet %d was not dropped: %v", bad, actions)
	}
	respected := len(actions) == 2 && joining && actions[1].Kind == ActionNote && actions[1].Note == NoteElsewhere
	if dropped && len(actions) > 1 && !respected {
		w.t.Fatalf("more than a drop: %v", actions)
	}
	goes := dropped && joining && priority == 0
	if dropped && w.m.Deadline() != before && !goes && (!respected || w.m.Deadline() < before) {
		w.t.Fatalf("%v moved the deadline from %v to %v", actions, before, w.m.Deadline())
	}
}

func (w *watched) handle(ev Event) []Action {
	early := w.now < w.m.Deadline()
	fail := func(format string, args ...any) {
		w.t.Fatalf("at %v %T %v: %s", w.now, ev, ev, fmt.Sprintf(format, args...))
	}
	actions := w.m.Handle(w.now, ev)
	for _, a := range actions {
		switch a.Kind {
		case ActionTransition:
			if a.From != w.state {
				fail("transition from %v in %v", a.From, w.state)
			}
			w.state = a.To
		case ActionAdd:
			for _, v := range a.Addresses {
				if !slices.Contains(w.holds, v) {
					w.holds = append(w.holds, v)
				}
			}
		case ActionRemove:
			w.holds = slices.DeleteFunc(w.holds, func(v netip.Addr) bool { return slices.Contains(a.Addresses, v) })
		case ActionAnnounce:
			if w.state != StateActive || len(a.Addresses) == 0 || a.Repeat == 0 {
				fail("%v in %v", a, w.state)
			}
			for _, v := range a.Addresses {
				if !slices.Contains(w.holds, v) {
					fail("%v, but it is not there", a)
				}
			}
		}
	}
	if w.state != w.m.State() {
		fail("state is %v, transitions say %v", w.m.State(), w.state)
	}
	if w.state.Holds() {
		if len(w.holds) != len(w.m.ours) {
			fail("%v holds %v of %v", w.state, w.holds, w.m.ours)
		}
	} else if len(w.holds) > 0 {
		fail("%v holds %v", w.state, w.holds)
	}
	deadline := w.m.Deadline()
	if waits := w.state == StateBackup || w.state.Holds(); waits != (deadline != Never) {
		fail("%v has deadline %v", w.state, deadline)
	}
	if _, ok := ev.(Timeout); ok {
		if early && len(actions) > 0 {
			fail("a stale timeout did %v", actions)
		}
		if deadline <= w.now {
			fail("the deadline %v does not move", deadline)
		}
	}
	return actions
}
