package host

import (
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/net/bpf"

	"github.com/hactl/hactl/engines/vrrp"
)

var mac = [6]byte{2, 0, 0, 0, 0, 1}

func TestAnnouncementFrames(t *testing.T) {
	for _, c := range []struct{ name, got, want string }{
		{"arp", hex.EncodeToString(appendARP(nil, mac, netip.MustParseAddr(vip))),
			"ffffffffffff" + "020000000001" + "0806" + "0001080006040001" + "020000000001" + "0a000032" + "000000000000" + "0a000032"},
		{"na", hex.EncodeToString(appendNA(nil, mac, netip.MustParseAddr(vip6), true)),
			"333300000001" + "020000000001" + "86dd" + "6000000000203aff" + "fd000000000000000000000000000050" + "ff020000000000000000000000000001" +
				"8800" + "d9fc" + "a0000000" + "fd000000000000000000000000000050" + "0201020000000001"},
	} {
		if c.got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, c.got, c.want)
		}
	}
	na := appendNA(nil, mac, netip.MustParseAddr(vip6), false)
	sum := uint32(58 + 32)
	for b := na[22:]; len(b) > 0; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if sum = sum>>16 + sum&0xffff; sum != 0xffff {
		t.Errorf("checksum does not add up: %x", sum)
	}
	if na[58]&0x80 != 0 {
		t.Error("R flag of a host that does not forward")
	}
}

func TestClaimFilterPassesOurAddressesOnly(t *testing.T) {
	ours, others := netip.MustParseAddr(vip), netip.MustParseAddr("10.0.0.51")
	ours6, others6 := netip.MustParseAddr(vip6), netip.MustParseAddr("fd00::51")
	for _, c := range []struct {
		name  string
		v6    bool
		addrs []netip.Addr
		frame []byte
		pass  bool
	}{
		{"our address", false, []netip.Addr{ours}, appendARP(nil, mac, ours), true},
		{"another address", false, []netip.Addr{ours}, appendARP(nil, mac, others), false},
		{"a question for ours", false, []netip.Addr{ours}, appendRequest(nil, mac, others, ours), false},
		{"second of two", false, []netip.Addr{others, ours}, appendARP(nil, mac, ours), true},
		{"our IPv6 address", true, []netip.Addr{ours6}, appendNA(nil, mac, ours6, true), true},
		{"another IPv6 address", true, []netip.Addr{ours6}, appendNA(nil, mac, others6, true), false},
		{"none of ours", false, nil, appendARP(nil, mac, ours), false},
	} {
		vm, err := bpf.NewVM(claimFilter(c.v6, c.addrs))
		if err != nil {
			t.Fatal(err)
		}
		n, err := vm.Run(c.frame)
		if err != nil || n > 0 != c.pass {
			t.Errorf("%s: %d, %v", c.name, n, err)
		}
		if got, ok := parseClaim(c.frame); c.pass && (!ok || got.mac != mac || !slices.Contains(c.addrs, got.addr)) {
			t.Errorf("%s: parsed as %+v", c.name, got)
		}
	}
}

func FuzzParsers(f *testing.F) {
	f.Add(appendARP(nil, mac, netip.MustParseAddr(vip)))
	f.Add(appendNA(nil, mac, netip.MustParseAddr(vip6), true))
	f.Add([]byte{20, 0, 0, 0, 16, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 32, 0, 0})
	f.Fuzz(func(_ *testing.T, b []byte) {
		parseClaim(b)
		parseAddress(b)
		parseLink(b)
		walk(b, func(_ uint16, _ uint32, body []byte) { parseAddress(body); parseLink(body) })
	})
}

func TestDeadlinesComeInOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var h deadlines
	units := make([]*unit, 100)
	for i := range units {
		units[i] = &unit{deadline: time.Duration(r.IntN(1000))}
		h.push(units[i])
	}
	for range 10000 {
		u := units[r.IntN(len(units))]
		u.deadline = time.Duration(r.IntN(1000))
		h.fix(u)
		least := slices.MinFunc(units, func(a, b *unit) int { return int(a.deadline - b.deadline) })
		if h[0].deadline != least.deadline {
			t.Fatalf("first is %v, earliest %v", h[0].deadline, least.deadline)
		}
	}
	for len(units) > 0 {
		h.remove(units[0])
		units = units[1:]
		for i, u := range h {
			if u.heap != i || i > 0 && h[(i-1)/2].deadline > u.deadline {
				t.Fatal("not a heap")
			}
		}
	}
}

// TestSteadyStateAllocatesNothing drives a Backup's turn, packet by packet, and
// an Active's, without sockets.
func TestSteadyStateAllocatesNothing(t *testing.T) {
	l := &link{name: "eth0"}
	e := &Engine{started: time.Now(), sender: newSender(), events: make(chan Event, 16), virtual: map[netip.Addr]bool{}}
	r := &router{cfg: v3(100).Routers[0], carrier: l, home: l, source: netip.MustParseAddr("10.0.0.2")}
	r.addresses = r.prefixes()
	e.begin("", []*router{r}, nil)
	c := v3(150).Routers[0].MachineConfig(netip.MustParseAddr("10.0.0.1"))
	peer, err := vrrp.New(c)
	if err != nil {
		t.Fatal(err)
	}
	dst := vrrp.MulticastAddress(false)
	e.packet = vrrp.Packet{Source: c.Source, Destination: dst, TTL: 255, Message: peer.Append(nil, dst, 150)}
	e.handle(r, vrrp.Link(true))
	if n := testing.AllocsPerRun(1000, func() {
		e.now += 100 * time.Millisecond
		e.handle(r, &e.packet)
		e.handle(r, vrrp.Timeout{})
	}); n > 0 {
		t.Errorf("%v allocations for a good packet", n)
	}
	if r.machine.State() != vrrp.StateBackup {
		t.Fatalf("state %v", r.machine.State())
	}
	e.packet.TTL = 1
	e.handle(r, &e.packet)
	if n := testing.AllocsPerRun(1000, func() { e.handle(r, &e.packet) }); n > 0 {
		t.Errorf("%v allocations for a bad packet", n)
	}
}
