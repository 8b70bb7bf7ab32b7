package vrrp

import (
	"net/netip"
	"testing"
	"time"
)

func steady(t testing.TB, state State, priority uint8) (*Machine, *Packet) {
	c := testConfig()
	m, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	if state == StateActive {
		m.Handle(0, Startup{Resume: &Snapshot{State: StateActive}})
	} else {
		m.Handle(0, Startup{})
	}
	a := Advertisement{Version: 3, VRID: 1, Priority: priority, Interval: time.Second, Addresses: c.Addresses}
	src := netip.MustParseAddr("192.0.2.2")
	p := &Packet{Source: src, Destination: MulticastAddress(false), TTL: 255}
	p.Message = a.Append(nil, src, p.Destination, ChecksumPseudoHeader)
	return m, p
}

func TestSteadyStateDoesNotAllocate(t *testing.T) {
	for _, c := range []struct {
		name     string
		state    State
		priority uint8
		spoil    func(*Packet)
		timeout  bool
	}{
		{"backup hears its active router", StateBackup, 200, nil, false},
		{"backup is about to preempt", StateBackup, 50, nil, false},
		{"active hears a rival", StateActive, 50, nil, false},
		{"active advertises", StateActive, 50, func(p *Packet) { p.TTL = 1 }, true},
		{"backup drops a bad checksum", StateBackup, 200, func(p *Packet) { p.Message[7] ^= 1 }, false},
	} {
		m, p := steady(t, c.state, c.priority)
		if c.spoil != nil {
			c.spoil(p)
		}
		buffer := make([]byte, 0, MaxMessage)
		now := time.Duration(0)
		step := func() {
			now += time.Second
			for _, a := range m.Handle(now, p) {
				if a.Kind == ActionSend {
					buffer = m.Append(buffer[:0], MulticastAddress(false), a.Priority)
				}
			}
			if c.timeout || m.State() == StateActive {
				for _, a := range m.Handle(now, Timeout{}) {
					if a.Kind == ActionSend {
						buffer = m.Append(buffer[:0], MulticastAddress(false), a.Priority)
					}
				}
			}
		}
		step()
		if n := testing.AllocsPerRun(1000, step); n != 0 {
			t.Errorf("%s: %v allocations", c.name, n)
		}
		if m.State() != c.state && c.priority != 50 {
			t.Errorf("%s: became %v", c.name, m.State())
		}
	}
}

func benchmarkPacket(b *testing.B, state State, priority uint8, spoil func(*Packet)) {
	m, p := steady(b, state, priority)
	if spoil != nil {
		spoil(p)
	}
	b.ReportAllocs()
	now := time.Duration(0)
	for b.Loop() {
		now += time.Microsecond
		m.Handle(now, p)
	}
}

func BenchmarkPacketValid(b *testing.B) { benchmarkPacket(b, StateBackup, 200, nil) }
func BenchmarkPacketRival(b *testing.B) { benchmarkPacket(b, StateActive, 50, nil) }
func BenchmarkPacketTTL(b *testing.B) {
	benchmarkPacket(b, StateActive, 200, func(p *Packet) { p.TTL = 64 })
}
func BenchmarkPacketChecksum(b *testing.B) {
	benchmarkPacket(b, StateActive, 200, func(p *Packet) { p.Message[7] ^= 1 })
}
func BenchmarkPacketVRID(b *testing.B) {
	benchmarkPacket(b, StateActive, 200, func(p *Packet) {
		a := Advertisement{Version: 3, VRID: 9, Priority: 200, Interval: time.Second, Addresses: addresses("192.0.2.100")}
		p.Message = a.Append(nil, p.Source, p.Destination, ChecksumPseudoHeader)
	})
}

func BenchmarkAdvertise(b *testing.B) {
	m, _ := steady(b, StateActive, 0)
	buffer := make([]byte, 0, MaxMessage)
	b.ReportAllocs()
	for b.Loop() {
		now := m.Deadline()
		for _, a := range m.Handle(now, Timeout{}) {
			if a.Kind == ActionSend {
				buffer = m.Append(buffer[:0], MulticastAddress(false), a.Priority)
			}
		}
	}
}
