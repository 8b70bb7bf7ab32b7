package host

import (
	"encoding/binary"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// What a comparison sees is not asked from the routers: addresses come from
// their kernels, packets from the bridge's ports.

// inside runs f in a network namespace. Sockets made there belong to it.
func inside(t testing.TB, ns string, f func() error) {
	t.Helper()
	result := make(chan error)
	go func() {
		// Never unlocked: a thread that has changed its namespace ends.
		runtime.LockOSThread()
		fd, err := os.Open(filepath.Join("/run/netns", ns))
		if err == nil {
			defer fd.Close()
			err = unix.Setns(int(fd.Fd()), unix.CLONE_NEWNET)
		}
		if err == nil {
			err = f()
		}
		result <- err
	}()
	if err := <-result; err != nil {
		t.Fatalf("in namespace %s: %v", ns, err)
	}
}

// hand changes links and addresses of a namespace at once: ip(8) takes as long
// as some of what is measured.
func (l *lan) hand(host string) *netlink.Handle {
	l.t.Helper()
	var h *netlink.Handle
	inside(l.t, l.ns(host), func() (err error) { h, err = netlink.NewHandle(unix.NETLINK_ROUTE); return err })
	l.t.Cleanup(h.Close)
	return h
}

// eye follows the addresses that the kernel of a namespace holds.
type eye struct {
	mu   sync.Mutex
	held map[string]bool // "index prefix"
	on   map[netip.Addr]int
	seen []sighting
}

// sighting is an address that came or went.
type sighting struct {
	at   time.Duration
	addr netip.Addr
	on   bool
}

func (l *lan) watch(host string) *eye {
	l.t.Helper()
	e := &eye{held: map[string]bool{}, on: map[netip.Addr]int{}}
	updates, done := make(chan netlink.AddrUpdate, 1024), make(chan struct{})
	inside(l.t, l.ns(host), func() error {
		return netlink.AddrSubscribeWithOptions(updates, done, netlink.AddrSubscribeOptions{
			ListExisting: true, ReceiveBufferSize: 4 << 20, ReceiveBufferForceSize: true,
		})
	})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for u := range updates {
			e.hear(monotonic(), u)
		}
	}()
	l.t.Cleanup(func() { close(done); <-ended })
	return e
}

func (e *eye) hear(at time.Duration, u netlink.AddrUpdate) {
	addr, ok := netip.AddrFromSlice(u.LinkAddress.IP)
	if !ok {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	addr = addr.Unmap()
	key := string(rune(u.LinkIndex)) + u.LinkAddress.String()
	if e.held[key] == u.NewAddr {
		return
	}
	e.held[key] = u.NewAddr
	former := e.on[addr]
	if u.NewAddr {
		e.on[addr]++
	} else {
		e.on[addr]--
	}
	if (former > 0) != (e.on[addr] > 0) {
		e.seen = append(e.seen, sighting{at, addr, u.NewAddr})
	}
}

func (e *eye) has(addr string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.on[netip.MustParseAddr(addr)] > 0
}

// among counts how many of some addresses are there.
func (e *eye) among(addrs []netip.Addr) (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, a := range addrs {
		n += min(1, e.on[a])
	}
	return n
}

// since lists what became of an address since a time; one that was there
// already comes first, as of that time.
func (e *eye) since(at time.Duration, addr string) (out []sighting) {
	e.mu.Lock()
	defer e.mu.Unlock()
	a := netip.MustParseAddr(addr)
	before := sighting{at: at, addr: a}
	for _, s := range e.seen {
		if s.addr == a && s.at < at {
			before.on = s.on
		} else if s.addr == a {
			out = append(out, s)
		}
	}
	if before.on {
		out = slices.Insert(out, 0, before)
	}
	return out
}

// both is how long two hosts have held an address at the same time, since a
// time and until now.
func both(a, b *eye, addr string, since time.Duration) (sum time.Duration) {
	now := monotonic()
	spans := func(e *eye) (out [][2]time.Duration) {
		for _, s := range e.since(since, addr) {
			if s.on {
				out = append(out, [2]time.Duration{s.at, now})
			} else if len(out) > 0 {
				out[len(out)-1][1] = s.at
			}
		}
		return out
	}
	for _, x := range spans(a) {
		for _, y := range spans(b) {
			sum += max(0, min(x[1], y[1])-max(x[0], y[0]))
		}
	}
	return sum
}

// tap sees the advertisements and ARP of one port of the bridge with the
// kernel's time stamps: what is out has reached that host, what is not it sent.
type tap struct {
	file *os.File
	mu   sync.Mutex
	seen []sight
}

type sight struct {
	at             time.Duration
	out            bool
	vrid, priority uint8
	arp            bool
	source         netip.Addr // of the advertisement, or the ARP sender's
	mac            [6]byte
}

// tapFilter passes VRRP (over IPv4 and IPv6) and ARP.
var tapFilter = []bpf.Instruction{
	bpf.LoadAbsolute{Off: 12, Size: 2},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.ETH_P_ARP, SkipTrue: 6},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.ETH_P_IP, SkipFalse: 1},
	bpf.LoadAbsolute{Off: 23, Size: 1},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.ETH_P_IPV6, SkipFalse: 1},
	bpf.LoadAbsolute{Off: 20, Size: 1},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: 112, SkipTrue: 1},
	bpf.RetConstant{Val: 0},
	bpf.RetConstant{Val: 256},
}

func (l *lan) tap(host string) *tap {
	l.t.Helper()
	x := &tap{file: os.NewFile(uintptr(l.port(host, tapFilter)), "tap")}
	ended := make(chan struct{})
	go func() { defer close(ended); x.read() }()
	l.t.Cleanup(func() { _ = x.file.Close(); <-ended })
	return x
}

// port opens a socket that does not block for what goes through a host's port of
// the bridge, all of it without a filter.
func (l *lan) port(host string, filter []bpf.Instruction) (fd int) {
	l.t.Helper()
	link, err := l.hand("sw").LinkByName("p" + host)
	if err != nil {
		l.t.Fatal(err)
	}
	if filter == nil {
		filter = []bpf.Instruction{bpf.RetConstant{Val: 1 << 16}}
	}
	raw, err := bpf.Assemble(filter)
	if err != nil {
		l.t.Fatal(err)
	}
	program := make([]unix.SockFilter, 0, len(raw))
	for _, i := range raw {
		program = append(program, unix.SockFilter{Code: i.Op, Jt: i.Jt, Jf: i.Jf, K: i.K})
	}
	inside(l.t, l.ns("sw"), func() (err error) {
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		all := binary.NativeEndian.Uint16([]byte{unix.ETH_P_ALL >> 8, unix.ETH_P_ALL & 255})
		return firstError(
			unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}),
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
			unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20),
			unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: link.Attrs().Index}))
	})
	return fd
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (x *tap) read() {
	raw, err := x.file.SyscallConn()
	if err != nil {
		return
	}
	buf, control := make([]byte, 256), make([]byte, 64)
	_ = raw.Read(func(fd uintptr) bool {
		for {
			n, k, _, from, err := unix.Recvmsg(int(fd), buf, control, 0)
			if err == unix.EINTR {
				continue
			}
			if err != nil {
				return err != unix.EAGAIN // then wait for more
			}
			if s, ok := parseSight(buf[:n]); ok {
				if ll, isLL := from.(*unix.SockaddrLinklayer); isLL {
					s.out = ll.Pkttype == unix.PACKET_OUTGOING
				}
				s.at = stamp(control[:k])
				x.mu.Lock()
				x.seen = append(x.seen, s)
				x.mu.Unlock()
			}
		}
	})
}

// stamp turns a packet's wall clock into the monotonic one.
func stamp(control []byte) time.Duration {
	messages, _ := syscall.ParseSocketControlMessage(control)
	for _, m := range messages {
		if m.Header.Type == unix.SO_TIMESTAMPNS && len(m.Data) >= int(unsafe.Sizeof(unix.Timespec{})) {
			sec, nsec := binary.NativeEndian.Uint64(m.Data), binary.NativeEndian.Uint64(m.Data[8:])
			return time.Duration(int64(sec)*int64(time.Second)+int64(nsec)) - clockOffset()
		}
	}
	return monotonic()
}

// clockOffset is how far the wall clock is ahead of the monotonic one. Who
// loses the processor between the two reads again.
func clockOffset() (offset time.Duration) {
	for range 10 {
		before := monotonic()
		wall := time.Duration(time.Now().UnixNano())
		after := monotonic()
		if offset = wall - before; after-before < 20*time.Microsecond {
			break
		}
	}
	return offset
}

func parseSight(b []byte) (s sight, ok bool) {
	if len(b) < 42 {
		return s, false
	}
	s.mac = [6]byte(b[6:])
	switch binary.BigEndian.Uint16(b[12:]) {
	case unix.ETH_P_ARP:
		s.arp, s.source = true, netip.AddrFrom4([4]byte(b[28:]))
		return s, true
	case unix.ETH_P_IP:
		s.source = netip.AddrFrom4([4]byte(b[26:]))
		b = b[14+int(b[14]&15)*4:]
	case unix.ETH_P_IPV6:
		s.source = netip.AddrFrom16([16]byte(b[22:]))
		b = b[54:]
	}
	if len(b) < 8 {
		return s, false
	}
	s.vrid, s.priority = b[1], b[2]
	return s, true
}

// sights lists what was seen since a time and suits.
func (x *tap) sights(since time.Duration, suits func(*sight) bool) (out []sight) {
	x.mu.Lock()
	defer x.mu.Unlock()
	first, _ := slices.BinarySearchFunc(x.seen, since, func(s sight, t time.Duration) int { return int(s.at - t) })
	for i := first; i < len(x.seen); i++ {
		if suits(&x.seen[i]) {
			out = append(out, x.seen[i])
		}
	}
	return out
}

// clear forgets, so that a crowd does not fill memory.
func (x *tap) clear() {
	x.mu.Lock()
	x.seen = x.seen[:0]
	x.mu.Unlock()
}

func advertisementOf(source string, vrid uint8) func(*sight) bool {
	addr := netip.MustParseAddr(source)
	return func(s *sight) bool { return !s.arp && s.source == addr && s.vrid == vrid }
}
