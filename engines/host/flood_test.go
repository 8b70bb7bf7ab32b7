package host

import (
	"encoding/binary"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hactl/hactl/engines/vrrp"
)

const envFlood = "HACTL_TEST_FLOOD"

// TestWrongPacketsChangeNothing sends several thousand wrong advertisements a
// second, each wrong in another way, to a pair. Every one is counted; none
// makes a transition or delays an advertisement.
func TestWrongPacketsChangeNothing(t *testing.T) {
	l := newLAN(t)
	a, b := l.pair(new(v3(150)), new(v3(100)))
	x := l.addHost("x", 66)
	p := l.probe(vip)
	event := monotonic()
	before := a.router().Counters
	begun := monotonic()
	cmd := exec.Command("ip", "netns", "exec", x, self(t))
	cmd.Env = append(os.Environ(), envFlood+"=3s")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	} else {
		t.Log(strings.TrimSpace(string(out)))
	}
	over := monotonic()
	sent := a.router().Counters.Sent - before.Sent
	took := monotonic() - event
	for _, n := range []*node{a, b} {
		r := n.router()
		t.Logf("%s: %s, transitions %v, dropped %v", n.ns, r.State, r.Counters.Transitions, r.Counters.Dropped)
		for _, reason := range []string{"ttl", "checksum", "version", "count", "interval", "type"} {
			if r.Counters.Dropped[reason] == 0 {
				t.Errorf("%s: nothing dropped for %s", n.ns, reason)
			}
		}
		if n.status().Links[0].Unknown == 0 {
			t.Errorf("%s: no packet for another VRID", n.ns)
		}
	}
	if n := a.router().Counters.Transitions["active"] + b.router().Counters.Transitions["active"]; n != 1 {
		t.Errorf("%d transitions to Active", n)
	}
	// A quarter is for a machine that stands still now and then.
	const interval = 100 * time.Millisecond
	if least, most := uint64((over-begun)/interval)*3/4, uint64(took/interval)+3; sent < least || sent > most {
		t.Errorf("%d advertisements in %v, want %d to %d", sent, took, least, most)
	}
	if r := p.report(event); r.Lost > 2 {
		t.Errorf("lost %d of %d probes: %+v", r.Lost, r.Sent, r.Silences)
	}
}

// runFlood sends wrong advertisements as fast as it can.
func runFlood(d time.Duration) (sent int, err error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW, vrrp.Protocol)
	if err != nil {
		return 0, err
	}
	src, dst := netip.MustParseAddr("10.0.0.66"), vrrp.MulticastAddress(false)
	_ = unix.SetsockoptIPMreqn(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_IF, &unix.IPMreqn{Address: src.As4()})
	ttl := func(n int) { _ = unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MULTICAST_TTL, n) }
	good := vrrp.Advertisement{Version: 3, VRID: 50, Priority: 254, Interval: 100 * time.Millisecond, Addresses: []netip.Addr{netip.MustParseAddr(vip)}}
	fix := func(b []byte) []byte {
		b[6], b[7] = 0, 0
		var sum uint32
		for i := 0; i+1 < len(b); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(b[i:]))
		}
		sum = sum>>16 + sum&0xffff
		sum += sum >> 16
		binary.BigEndian.PutUint16(b[6:], ^uint16(sum))
		return b
	}
	wrong := []func([]byte) []byte{
		func(b []byte) []byte { ttl(254); return b },
		func(b []byte) []byte { b[6] ^= 0x55; return b },
		func(b []byte) []byte { b[0] = 0x51; return fix(b) },
		func(b []byte) []byte { b[0] = 0x32; return fix(b) },
		func(b []byte) []byte { b[3] = 0; return fix(b[:8]) },
		func(b []byte) []byte { b[4], b[5] = 0, 0; return fix(b) },
		func(b []byte) []byte { b[3] = 9; return fix(b) },
		func(b []byte) []byte { b[1] = 77; return fix(b) },
		func(b []byte) []byte { return b[:1] },
		func(b []byte) []byte {
			a := vrrp.Advertisement{Version: 2, VRID: 50, Priority: 254, Interval: time.Second, Authentication: vrrp.Password("wrong"), Addresses: good.Addresses}
			return a.Append(nil, src, dst, 0)
		},
	}
	for end := time.Now().Add(d); time.Now().Before(end); sent++ {
		ttl(255)
		b := wrong[sent%len(wrong)](good.Append(nil, src, dst, 0))
		_ = unix.Sendto(fd, b, 0, &unix.SockaddrInet4{Addr: dst.As4()})
	}
	return sent, nil
}
