package host

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// claim is what a foreign ARP packet or neighbour advertisement says.
type claim struct {
	addr netip.Addr
	mac  [6]byte
}

// watch listens on one interface for others that answer or announce themselves
// for a virtual address. The kernel filters: only ARP and neighbour
// advertisements about the addresses given get through.
//
// One socket per interface and family: the kernel then shows it incoming ARP
// or IPv6 only, and runs the filter for nothing else.
type watch struct {
	fd    int
	v6    bool
	index int
	addrs []netip.Addr
}

// openWatch attaches the filter before it binds, so that nothing else gets in.
func openWatch(index int, v6 bool, addrs []netip.Addr) (*watch, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("packet socket: %w", err)
	}
	w := &watch{fd: fd, v6: v6, index: index}
	if err := w.filter(addrs); err != nil {
		w.close()
		return nil, err
	}
	protocol := uint16(etherARP)
	if v6 {
		protocol = etherIPv6
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: protocol<<8 | protocol>>8, Ifindex: index}); err != nil {
		w.close()
		return nil, fmt.Errorf("bind packet socket: %w", err)
	}
	return w, nil
}

func (w *watch) close() { unix.Close(w.fd) }

// filter makes the kernel pass what is about these addresses.
func (w *watch) filter(addrs []netip.Addr) error {
	if w.addrs != nil && slices.Equal(w.addrs, addrs) {
		return nil
	}
	program, err := bpf.Assemble(claimFilter(w.v6, addrs))
	if err != nil {
		return fmt.Errorf("assemble filter: %w", err)
	}
	raw := make([]unix.SockFilter, len(program))
	for i, p := range program {
		raw[i] = unix.SockFilter{Code: p.Op, Jt: p.Jt, Jf: p.Jf, K: p.K}
	}
	fprog := &unix.SockFprog{Len: uint16(len(raw)), Filter: &raw[0]}
	if err := unix.SetsockoptSockFprog(w.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, fprog); err != nil {
		return fmt.Errorf("attach filter: %w", err)
	}
	w.addrs = slices.Clone(addrs)
	return nil
}

// maxFiltered keeps the program within the kernel's 4096 instructions and, for
// long lists, leaves the choice to us.
const maxFiltered = 512

// claimFilter passes ARP whose sender is one of addrs, or neighbour
// advertisements whose target ends like one of addrs.
func claimFilter(v6 bool, addrs []netip.Addr) []bpf.Instruction {
	const length = 128
	p := []bpf.Instruction{bpf.LoadAbsolute{Off: 14 + 14, Size: 4}}
	if v6 {
		p = []bpf.Instruction{
			bpf.LoadAbsolute{Off: 14 + 6, Size: 1},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.IPPROTO_ICMPV6, SkipTrue: 1}, bpf.RetConstant{Val: 0},
			bpf.LoadAbsolute{Off: 14 + 40, Size: 1},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: 136, SkipTrue: 1}, bpf.RetConstant{Val: 0},
			bpf.LoadAbsolute{Off: 14 + 40 + 8 + 12, Size: 4},
		}
	}
	if len(addrs) > maxFiltered {
		return append(p, bpf.RetConstant{Val: length})
	}
	for _, a := range addrs {
		b := a.AsSlice()
		word := binary.BigEndian.Uint32(b[len(b)-4:])
		p = append(p, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: word, SkipTrue: 1}, bpf.RetConstant{Val: length})
	}
	return append(p, bpf.RetConstant{Val: 0})
}

// parseClaim reads a frame that got through the filter.
func parseClaim(b []byte) (c claim, ok bool) {
	if len(b) < arpSize {
		return c, false
	}
	switch binary.BigEndian.Uint16(b[12:]) {
	case etherARP:
		// An ARP probe has sender 0.0.0.0 and claims nothing yet.
		c.mac, c.addr = [6]byte(b[22:28]), netip.AddrFrom4([4]byte(b[28:32]))
		return c, !c.addr.IsUnspecified()
	case etherIPv6:
		if len(b) < naSize-8 || b[20] != unix.IPPROTO_ICMPV6 || b[54] != 136 || b[21] != 255 {
			return c, false
		}
		c.mac, c.addr = [6]byte(b[6:12]), netip.AddrFrom16([16]byte(b[62:78]))
		if len(b) >= naSize && b[78] == 2 && b[79] == 1 {
			c.mac = [6]byte(b[80:86])
		}
		return c, true
	}
	return c, false
}

// receive reads frames into buf until none is left or limit is reached, and
// appends what they claim.
func (w *watch) receive(claims []claim, buf []byte, limit int) []claim {
	for range limit {
		n, _, e := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(w.fd), uintptr(unsafe.Pointer(&buf[0])), uintptr(len(buf)), unix.MSG_DONTWAIT, 0, 0)
		if e != 0 {
			break
		}
		if c, ok := parseClaim(buf[:n]); ok {
			claims = append(claims, c)
		}
	}
	return claims
}
