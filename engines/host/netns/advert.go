package netns

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"github.com/hactl/hactl/engines/vrrp"
)

// Advert is a VRRP advertisement as it came from a host to the switch, whether
// another host heard it or not.
type Advert struct {
	Time      time.Time // when the switch had it, by the kernel
	LAN       string
	Host      string
	Interface string // of the host, with a virtual MAC too
	VRID      uint8
	Version   uint8
	IPv6      bool
	Priority  uint8
	Source    netip.Addr
}

// maxAdverts bounds what is remembered.
const maxAdverts = 1 << 16

// hearing listens at the switch's end of every cable.
type hearing struct {
	file *os.File
	done chan struct{}

	mu    sync.Mutex
	ports map[int]*port // by index
	// ring has the last maxAdverts; next is where the next goes once it is full.
	ring []Advert
	next int
}

func newHearing() *hearing { return &hearing{done: make(chan struct{}), ports: map[int]*port{}} }

// attach makes a port known; its fields that name it do not change.
func (h *hearing) attach(p *port) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ports[p.index] = p
}

func (h *hearing) detach(p *port) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.ports, p.index)
}

// open is called in the switch's namespace. The filter stands before the socket
// is bound, so that nothing else gets in.
func (h *hearing) open() error {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("packet socket", err)
	}
	if err := setupHearing(fd); err != nil {
		unix.Close(fd)
		return fmt.Errorf("packet socket: %w", err)
	}
	h.file = os.NewFile(uintptr(fd), "packet socket")
	return nil
}

func setupHearing(fd int) error {
	program, err := bpf.Assemble([]bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtType}, // PACKET_OUTGOING is what others are sent
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.PACKET_OUTGOING, SkipTrue: 7},
		bpf.LoadExtension{Num: bpf.ExtProto},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.ETH_P_IPV6, SkipTrue: 2},
		bpf.LoadAbsolute{Off: 9, Size: 1},
		bpf.Jump{Skip: 1},
		bpf.LoadAbsolute{Off: 6, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: vrrp.Protocol, SkipTrue: 1},
		bpf.RetConstant{Val: 1 << 16},
		bpf.RetConstant{Val: 0},
	})
	if err != nil {
		return err
	}
	filter := make([]unix.SockFilter, len(program))
	for i, in := range program {
		filter[i] = unix.SockFilter{Code: in.Op, Jt: in.Jt, Jf: in.Jf, K: in.K}
	}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}); err != nil {
		return os.NewSyscallError("filter", err)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 1<<20)
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1); err != nil {
		return os.NewSyscallError("timestamps", err)
	}
	all := binary.NativeEndian.Uint16([]byte{unix.ETH_P_ALL >> 8, unix.ETH_P_ALL & 0xff})
	return os.NewSyscallError("bind", unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all}))
}

// run reads until the file is closed.
func (h *hearing) run() {
	defer close(h.done)
	raw, err := h.file.SyscallConn()
	if err != nil {
		return
	}
	packet, control := make([]byte, vrrp.MaxMessage+60), make([]byte, 128)
	var parsed vrrp.Advertisement
	for {
		var size, controls int
		var from unix.Sockaddr
		var failed error
		err := raw.Read(func(fd uintptr) bool {
			size, controls, _, from, failed = unix.Recvmsg(int(fd), packet, control, 0)
			return failed != unix.EAGAIN && failed != unix.EINTR
		})
		if err != nil {
			return
		}
		link, ok := from.(*unix.SockaddrLinklayer)
		if failed != nil || !ok {
			continue // such as ENETDOWN, which tells of an interface
		}
		a, ok := read(packet[:size], &parsed)
		if !ok {
			continue
		}
		a.Time = timestamp(control[:controls])
		h.add(link.Ifindex, a)
	}
}

func (h *hearing) add(index int, a Advert) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p, ok := h.ports[index]
	if !ok {
		return // a bridge itself, which has everything again
	}
	a.LAN, a.Host, a.Interface = p.lan, p.host, p.iface
	if len(h.ring) < maxAdverts {
		h.ring = append(h.ring, a)
		return
	}
	h.ring[h.next] = a
	h.next = (h.next + 1) % maxAdverts
}

func (h *hearing) since(t time.Time) (list []Advert) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, part := range [][]Advert{h.ring[h.next:], h.ring[:h.next]} {
		i := slices.IndexFunc(part, func(a Advert) bool { return !a.Time.Before(t) })
		if i >= 0 {
			list = append(list, part[i:]...)
		}
	}
	// The kernel stamps a packet before it queues it, on each processor by itself.
	older := func(a, b Advert) int { return a.Time.Compare(b.Time) }
	if !slices.IsSortedFunc(list, older) {
		slices.SortStableFunc(list, older)
		i, _ := slices.BinarySearchFunc(list, t, func(a Advert, t time.Time) int { return a.Time.Compare(t) })
		list = list[i:]
	}
	return list
}

func (h *hearing) close() {
	if h.file != nil {
		_ = h.file.Close()
		<-h.done
	}
}

// read reads an IP packet with an advertisement in it. What no VRRP router would
// take, such as one with a wrong checksum, is none.
func read(b []byte, parsed *vrrp.Advertisement) (a Advert, ok bool) {
	var to netip.Addr
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		header, total := int(b[0]&0x0f)*4, int(binary.BigEndian.Uint16(b[2:]))
		if header < 20 || total < header || total > len(b) {
			return a, false
		}
		a.Source, to = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
		b = b[header:total]
	case len(b) >= 40 && b[0]>>4 == 6:
		total := 40 + int(binary.BigEndian.Uint16(b[4:]))
		if total > len(b) {
			return a, false
		}
		a.IPv6 = true
		a.Source, to = netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
		b = b[40:total]
	default:
		return a, false
	}
	if parsed.Parse(b, a.Source, to) != vrrp.ReasonNone {
		return a, false
	}
	a.VRID, a.Version, a.Priority = parsed.VRID, parsed.Version, parsed.Priority
	return a, true
}

// timestamp is the kernel's, else now.
func timestamp(control []byte) time.Time {
	messages, err := syscall.ParseSocketControlMessage(control)
	if err != nil {
		return time.Now()
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SCM_TIMESTAMPNS && len(m.Data) >= int(unsafe.Sizeof(unix.Timespec{})) {
			return time.Unix((*unix.Timespec)(unsafe.Pointer(&m.Data[0])).Unix())
		}
	}
	return time.Now()
}
