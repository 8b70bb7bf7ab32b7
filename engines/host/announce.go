package host

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	etherARP  = 0x0806
	etherIPv6 = 0x86dd
	arpSize   = 14 + 28
	naSize    = 14 + 40 + 24 + 8
)

// appendARP appends a gratuitous ARP frame in the request form, as keepalived
// sends it and RFC 5227 recommends.
func appendARP(b []byte, mac [6]byte, addr netip.Addr) []byte {
	return appendRequest(b, mac, addr, addr)
}

// appendRequest appends an ARP request by sender for target.
func appendRequest(b []byte, mac [6]byte, sender, target netip.Addr) []byte {
	from, to := sender.As4(), target.As4()
	b = append(b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
	b = append(b, mac[:]...)
	b = append(b, 0x08, 0x06, 0, 1, 0x08, 0x00, 6, 4, 0, 1)
	b = append(b, mac[:]...)
	b = append(b, from[:]...)
	b = append(b, 0, 0, 0, 0, 0, 0)
	return append(b, to[:]...)
}

// appendNA appends an unsolicited neighbour advertisement to all nodes, with
// the O flag and, if we forward, R (RFC 9568 6.4.2 (155), RFC 4861 7.2.6).
func appendNA(b []byte, mac [6]byte, addr netip.Addr, router bool) []byte {
	ip, all := addr.As16(), [16]byte{0: 0xff, 1: 0x02, 15: 1}
	b = append(b, 0x33, 0x33, 0, 0, 0, 1)
	b = append(b, mac[:]...)
	b = append(b, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 32, unix.IPPROTO_ICMPV6, 255)
	b = append(b, ip[:]...)
	b = append(b, all[:]...)
	flags := byte(0x20)
	if router {
		flags |= 0x80
	}
	message := len(b)
	b = append(b, 136, 0, 0, 0, flags, 0, 0, 0)
	b = append(b, ip[:]...)
	b = append(b, 2, 1)
	b = append(b, mac[:]...)
	sum := uint32(unix.IPPROTO_ICMPV6 + 32)
	for _, part := range [][]byte{ip[:], all[:], b[message:]} {
		for i := 0; i < len(part); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(part[i:]))
		}
	}
	for sum>>16 != 0 {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(b[message+2:], ^uint16(sum))
	return b
}

// greet makes us known to IPv4 unicast peers that begin to hear from us only as
// Active: a kernel that has asked in vain for our MAC holds its advertisements
// back for up to a second, and we would not know that somebody is Active.
func (e *Engine) greet(r *router) {
	for _, p := range r.cfg.Peers {
		if p.Is4() && r.source.Is4() && r.carrier.kernel.ether {
			e.frame = appendRequest(e.frame[:0], r.carrier.kernel.mac, r.source, p)
			_ = e.announcer.send(r.carrier.kernel.index, e.frame)
		}
	}
}

// announcer sends frames. One AF_PACKET socket without a protocol, which
// receives nothing, serves every interface.
type announcer struct {
	fd int
	to unix.RawSockaddrLinklayer
}

func newAnnouncer() (*announcer, error) {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		err = os.NewSyscallError("socket packet", err)
		if errors.Is(err, fs.ErrPermission) {
			err = fmt.Errorf("%w: an engine needs CAP_NET_ADMIN and CAP_NET_RAW, which root has", err)
		}
		return nil, err
	}
	// A takeover of 255 groups announces in one go.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, 4<<20)
	return &announcer{fd: fd}, nil
}

func (a *announcer) send(index int, frame []byte) unix.Errno {
	a.to = unix.RawSockaddrLinklayer{Family: unix.AF_PACKET, Ifindex: int32(index), Halen: 6}
	copy(a.to.Addr[:], frame[:6])
	_, _, e := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(a.fd), uintptr(unsafe.Pointer(&frame[0])), uintptr(len(frame)),
		unix.MSG_DONTWAIT, uintptr(unsafe.Pointer(&a.to)), unix.SizeofSockaddrLinklayer)
	return e
}
