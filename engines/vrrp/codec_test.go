package vrrp

import (
	"bytes"
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

func addresses(list ...string) (all []netip.Addr) {
	for _, s := range list {
		all = append(all, netip.MustParseAddr(s))
	}
	return all
}

// goodPackets were laid out after the figures of RFC 9568 5.1 and RFC 3768 5.1;
// the sums behind each checksum are written out, so that nothing here is what
// the code under test said.
var goodPackets = []struct {
	name     string
	bytes    string
	src, dst string
	form     ChecksumForm
	want     Advertisement
}{
	{
		// 2132+9601+0001+c0a8+010a = 178e6 -> 78e7 -> 8718
		name:  "v2 without authentication: the published pair's VRID 50, priority 150",
		bytes: "2132 9601 0001 8718 c0a8010a 0000000000000000",
		src:   "192.168.1.2", dst: "224.0.0.18",
		want: Advertisement{Version: 2, Type: 1, VRID: 50, Priority: 150, Interval: time.Second, Addresses: addresses("192.168.1.10")},
	}, {
		// 2132+9601+0101+c0a8+010a+7365+6372+6574 = 2b631 -> b633 -> 49cc
		name:  "v2 with password secret",
		bytes: "2132 9601 0101 49cc c0a8010a 7365637265740000",
		src:   "192.168.1.2", dst: "224.0.0.18",
		want: Advertisement{Version: 2, Type: 1, VRID: 50, Priority: 150, Interval: time.Second,
			Authentication: Password("secret"), Addresses: addresses("192.168.1.10")},
	}, {
		// 3101+6401+0064+c000+0264 = 157ca
		// pseudo: c000+0201+e000+0012+0070+000c = 1a28f; together 2fa59 -> fa5b -> 05a4
		name:  "v3 IPv4 with pseudo header, as keepalived sends it",
		bytes: "3101 6401 0064 05a4 c0000264",
		src:   "192.0.2.1", dst: "224.0.0.18",
		want: Advertisement{Version: 3, Type: 1, VRID: 1, Priority: 100, Interval: time.Second, Addresses: addresses("192.0.2.100")},
	}, {
		// 157ca -> 57cb -> a834
		name:  "v3 IPv4 without, as RFC 9568 has it",
		bytes: "3101 6401 0064 a834 c0000264",
		src:   "192.0.2.1", dst: "224.0.0.18", form: ChecksumMessage,
		want: Advertisement{Version: 3, Type: 1, VRID: 1, Priority: 100, Interval: time.Second, Addresses: addresses("192.0.2.100")},
	}, {
		// pseudo with destination 192.0.2.2: c000+0201+c000+0202+007c = 1847f; +157ca = 2dc49 -> dc4b -> 23b4
		name:  "v3 IPv4 unicast: the real destination counts",
		bytes: "3101 6401 0064 23b4 c0000264",
		src:   "192.0.2.1", dst: "192.0.2.2",
		want: Advertisement{Version: 3, Type: 1, VRID: 1, Priority: 100, Interval: time.Second, Addresses: addresses("192.0.2.100")},
	}, {
		// 3101+6401+0064+fe80+0100 = 194e6
		// pseudo: fe80+0001+ff02+0012+0070+0018 = 1fe1d; together 39303 -> 9306 -> 6cf9
		name:  "v3 IPv6",
		bytes: "3101 6401 0064 6cf9 fe800000000000000000000000000100",
		src:   "fe80::1", dst: "ff02::12",
		want: Advertisement{Version: 3, Type: 1, VRID: 1, Priority: 100, Interval: time.Second, Addresses: addresses("fe80::100")},
	}, {
		// 31ff+0002+0fff+c000+0264+c000+0265 = 1c6c9 -> c6ca -> 3935
		name:  "v3 priority 0, longest interval, two addresses",
		bytes: "31ff 0002 0fff 3935 c0000264 c0000265",
		src:   "192.0.2.1", dst: "224.0.0.18", form: ChecksumMessage,
		want: Advertisement{Version: 3, Type: 1, VRID: 255, Interval: 4095 * centisecond, Addresses: addresses("192.0.2.100", "192.0.2.101")},
	},
}

func unhex(t *testing.T, s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func equalAdvertisements(a, b *Advertisement) bool {
	return a.Version == b.Version && a.Type == b.Type && a.VRID == b.VRID && a.Priority == b.Priority &&
		a.Interval == b.Interval && a.Authentication == b.Authentication && slices.Equal(a.Addresses, b.Addresses)
}

func TestGoodPacketsBothWays(t *testing.T) {
	for _, p := range goodPackets {
		t.Run(p.name, func(t *testing.T) {
			src, dst := netip.MustParseAddr(p.src), netip.MustParseAddr(p.dst)
			wire := unhex(t, p.bytes)
			var got Advertisement
			if r := got.Parse(wire, src, dst); r != ReasonNone {
				t.Fatalf("dropped for %v", r)
			}
			if !equalAdvertisements(&got, &p.want) {
				t.Errorf("got %+v, want %+v", got, p.want)
			}
			if made := p.want.Append(nil, src, dst, p.form); !bytes.Equal(made, wire) {
				t.Errorf("made %x, want %x", made, wire)
			}
		})
	}
}

// TestEveryBitCounts flips each bit of the good packets: none goes unnoticed, not
// even the reserved ones, since the checksum covers them.
func TestEveryBitCounts(t *testing.T) {
	for _, p := range goodPackets {
		src, dst := netip.MustParseAddr(p.src), netip.MustParseAddr(p.dst)
		wire := unhex(t, p.bytes)
		for bit := range len(wire) * 8 {
			wire[bit/8] ^= 1 << (bit % 8)
			var a Advertisement
			if r := a.Parse(wire, src, dst); r == ReasonNone {
				t.Errorf("%s: bit %d of byte %d went unnoticed", p.name, bit%8, bit/8)
			}
			wire[bit/8] ^= 1 << (bit % 8)
		}
	}
}

func TestParseIgnoresWhatFollowsTheMessage(t *testing.T) {
	for _, p := range goodPackets {
		var a Advertisement
		wire := append(unhex(t, p.bytes), 0xaa, 0xbb, 0xcc)
		if r := a.Parse(wire, netip.MustParseAddr(p.src), netip.MustParseAddr(p.dst)); r != ReasonNone {
			t.Errorf("%s: dropped for %v", p.name, r)
		}
	}
}

func TestPasswordIsEightBytes(t *testing.T) {
	if Password("12345678") != Password("123456789") || Password("1234567") == Password("12345678") {
		t.Error("want the first eight bytes")
	}
}

func TestVirtualMAC(t *testing.T) {
	if got := VirtualMAC(50, false); got != [6]byte{0, 0, 0x5e, 0, 1, 50} {
		t.Errorf("IPv4: %x", got)
	}
	if got := VirtualMAC(50, true); got != [6]byte{0, 0, 0x5e, 0, 2, 50} {
		t.Errorf("IPv6: %x", got)
	}
	if MulticastAddress(false).String() != "224.0.0.18" || MulticastAddress(true).String() != "ff02::12" {
		t.Error("wrong groups")
	}
}

func TestLargestMessage(t *testing.T) {
	a := Advertisement{Version: 3, VRID: 1, Priority: 1, Interval: centisecond}
	for i := range 255 {
		a.Addresses = append(a.Addresses, netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 15: byte(i)}))
	}
	src, dst := a.Addresses[0], MulticastAddress(true)
	wire := a.Append(nil, src, dst, ChecksumPseudoHeader)
	var got Advertisement
	if r := got.Parse(wire, src, dst); len(wire) != MaxMessage || r != ReasonNone || len(got.Addresses) != 255 {
		t.Errorf("%d bytes, %v, %d addresses", len(wire), r, len(got.Addresses))
	}
}

func TestLabelsAreDistinct(t *testing.T) {
	for _, names := range [][]string{reasonNames[:], noteNames[:], causeNames[:], stateNames[:], actionNames[:]} {
		for i, n := range names {
			if n == "" || slices.Index(names, n) != i {
				t.Errorf("%d: label %q", i, n)
			}
		}
	}
	if Reason(200).String() != "unknown" || len(Reasons()) != int(numReasons)-1 {
		t.Error("an unknown reason has to print, and Reasons to list all")
	}
}
