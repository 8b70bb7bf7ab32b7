package host

import (
	"net/netip"
	"testing"
	"time"

	"github.com/hactl/hactl/engines/vrrp"
)

// joiners is an engine without a kernel that runs so many Virtual Routers, which
// all join, and what a router of another VRID advertises for one of them.
func joiners(t testing.TB, count int) (*Engine, *link) {
	e := &Engine{links: map[string]*link{}, virtual: map[netip.Addr]bool{}, events: make(chan Event, 1)}
	l := &link{name: "eth0"}
	e.links[l.name] = l
	for i := range count {
		c := stageConfig(Parameters{Version: 3, VRID: uint8(i + 1), Interval: time.Second, Addresses: []Address{{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 1, byte(i)}), 32)}}}, 100, time.Minute).Routers[0]
		r := &router{cfg: c, carrier: l, home: l}
		r.addresses = r.prefixes()
		m, err := vrrp.New(c.MachineConfig(netip.MustParseAddr("10.0.0.1")))
		if err != nil {
			t.Fatal(err)
		}
		r.machine, r.unit = m, &unit{machine: m, members: []*router{r}}
		e.routers = append(e.routers, r)
		e.heap.push(r.unit)
		e.handle(r, vrrp.Startup{})
	}
	e.index()
	a := vrrp.Advertisement{Version: 3, VRID: 255, Priority: 100, Interval: time.Second, Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 1, 0})}}
	e.packet = vrrp.Packet{Source: netip.MustParseAddr("10.0.0.2"), Destination: vrrp.MulticastAddress(false), TTL: 255}
	e.packet.Message = a.Append(nil, e.packet.Source, e.packet.Destination, vrrp.ChecksumPseudoHeader)
	return e, l
}

// TestOnlyWhoseAddressItIsOverhears: many that join cost nothing for a packet with
// an address of one of them, and nobody is left in the list who has joined.
func TestOnlyWhoseAddressItIsOverhears(t *testing.T) {
	e, l := joiners(t, 254)
	e.overhear(l, false, nil)
	for i, r := range e.routers {
		if noted := r.machine.Status().Counters.Noted[vrrp.NoteElsewhere]; (noted == 1) != (i == 0) {
			t.Errorf("router %d noted it %d times", i, noted)
		}
	}
	if n := testing.AllocsPerRun(100, func() { e.overhear(l, false, nil) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	for _, r := range e.routers {
		r.machine.Handle(time.Minute, vrrp.Shutdown{})
		e.settle(r)
	}
	if n := len(l.overhearing[0]); n > 0 {
		t.Errorf("%d addresses are still listened for", n)
	}
}

func BenchmarkOverhear(b *testing.B) {
	e, l := joiners(b, 254)
	b.ReportAllocs()
	for b.Loop() {
		e.overhear(l, false, nil)
	}
}
