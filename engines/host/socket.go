package host

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/hactl/hactl/engines/vrrp"
)

const (
	batch      = 32   // packets per recvmmsg
	maxPacket  = 4352 // IPv4 header with options and the longest message
	maxControl = 128
)

// socket is the raw VRRP socket of one interface and family. It receives for
// all Virtual Routers there; one multicast group per socket keeps far from the
// limit of 20 memberships.
type socket struct {
	fd    int
	v6    bool
	index int
}

// openSocket opens in the network namespace of the calling thread. Without join
// it is for sending.
func openSocket(name string, index int, v6, join bool) (*socket, error) {
	domain := unix.AF_INET
	if v6 {
		domain = unix.AF_INET6
	}
	fd, err := unix.Socket(domain, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, vrrp.Protocol)
	if err != nil {
		return nil, fmt.Errorf("raw socket on %s: %w", name, err)
	}
	s := &socket{fd: fd, v6: v6, index: index}
	if err := s.setup(name, join); err != nil {
		s.close()
		return nil, fmt.Errorf("raw socket on %s: %w", name, err)
	}
	return s, nil
}

func (s *socket) close() { unix.Close(s.fd) }

// setup binds before it joins, so that nothing from elsewhere gets in.
func (s *socket) setup(name string, join bool) error {
	if err := unix.BindToDevice(s.fd, name); err != nil {
		return fmt.Errorf("bind to device: %w", err)
	}
	// Room for a flood's worth; without the privilege the default has to do.
	_ = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 1<<20)
	_ = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_PRIORITY, 6)
	type option struct {
		name              string
		level, opt, value int
	}
	var options []option
	if s.v6 {
		options = []option{
			{"multicast all", unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_ALL, 0},
			{"loop", unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_LOOP, 0},
			{"multicast interface", unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_IF, s.index},
			{"multicast hops", unix.IPPROTO_IPV6, unix.IPV6_MULTICAST_HOPS, vrrp.TTL},
			{"unicast hops", unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, vrrp.TTL},
			{"traffic class", unix.IPPROTO_IPV6, unix.IPV6_TCLASS, 0xc0},
			{"receive hop limit", unix.IPPROTO_IPV6, unix.IPV6_RECVHOPLIMIT, 1},
			{"receive packet info", unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1},
			// The machine checks; the kernel would drop without a count.
			{"checksum", unix.IPPROTO_IPV6, unix.IPV6_CHECKSUM, -1},
		}
	} else {
		options = []option{
			{"multicast all", unix.IPPROTO_IP, unix.IP_MULTICAST_ALL, 0},
			{"loop", unix.IPPROTO_IP, unix.IP_MULTICAST_LOOP, 0},
			{"multicast ttl", unix.IPPROTO_IP, unix.IP_MULTICAST_TTL, vrrp.TTL},
			{"ttl", unix.IPPROTO_IP, unix.IP_TTL, vrrp.TTL},
			{"tos", unix.IPPROTO_IP, unix.IP_TOS, 0xc0},
		}
	}
	for _, o := range options {
		if err := unix.SetsockoptInt(s.fd, o.level, o.opt, o.value); err != nil {
			return fmt.Errorf("%s: %w", o.name, err)
		}
	}
	if !s.v6 {
		if err := unix.SetsockoptIPMreqn(s.fd, unix.IPPROTO_IP, unix.IP_MULTICAST_IF, &unix.IPMreqn{Ifindex: int32(s.index)}); err != nil {
			return fmt.Errorf("multicast interface: %w", err)
		}
	}
	if !join {
		return nil
	}
	group := vrrp.MulticastAddress(s.v6)
	if s.v6 {
		m := &unix.IPv6Mreq{Multiaddr: group.As16(), Interface: uint32(s.index)}
		if err := unix.SetsockoptIPv6Mreq(s.fd, unix.IPPROTO_IPV6, unix.IPV6_JOIN_GROUP, m); err != nil {
			return fmt.Errorf("join: %w", err)
		}
		return nil
	}
	m := &unix.IPMreqn{Multiaddr: group.As4(), Ifindex: int32(s.index)}
	if err := unix.SetsockoptIPMreqn(s.fd, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP, m); err != nil {
		return fmt.Errorf("join: %w", err)
	}
	return nil
}

type mmsghdr struct {
	hdr  unix.Msghdr
	size uint32
	_    [4]byte
}

// receiver holds the buffers of recvmmsg, for one socket after the other.
type receiver struct {
	messages [batch]mmsghdr
	vectors  [batch]unix.Iovec
	names    [batch]unix.RawSockaddrInet6
	control  [batch][maxControl]byte
	data     [batch][maxPacket]byte
}

func newReceiver() *receiver {
	r := &receiver{}
	for i := range r.messages {
		r.vectors[i].Base = &r.data[i][0]
		r.vectors[i].SetLen(maxPacket)
		h := &r.messages[i].hdr
		h.Name, h.Iov, h.Control = (*byte)(unsafe.Pointer(&r.names[i])), &r.vectors[i], &r.control[i][0]
		h.SetIovlen(1)
	}
	return r
}

// receive fills the buffers. Raw system calls: they do not block, so that the
// scheduler need not know, and the thread keeps its P.
func (r *receiver) receive(fd int) (int, unix.Errno) {
	for i := range r.messages {
		h := &r.messages[i].hdr
		h.Namelen = unix.SizeofSockaddrInet6
		h.SetControllen(maxControl)
	}
	n, _, e := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&r.messages[0])), batch, unix.MSG_DONTWAIT, 0, 0)
	if e != 0 {
		return 0, e
	}
	return int(n), 0
}

// packet4 reads the i-th packet, which begins with its IPv4 header.
func (r *receiver) packet4(i int, p *vrrp.Packet) bool {
	b := r.data[i][:min(int(r.messages[i].size), maxPacket)]
	if len(b) < 20 || b[0]>>4 != 4 {
		return false
	}
	header := int(b[0]&0x0f) * 4
	total := int(binary.BigEndian.Uint16(b[2:]))
	if header < 20 || total < header || total > len(b) {
		return false
	}
	p.TTL = b[8]
	p.Source, p.Destination = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	p.Message = b[header:total]
	return true
}

// packet6 reads the i-th packet; the kernel keeps the IPv6 header and tells
// the rest in control messages.
func (r *receiver) packet6(i int, p *vrrp.Packet) bool {
	h := &r.messages[i].hdr
	p.Source, p.Destination, p.TTL = netip.AddrFrom16(r.names[i].Addr), netip.Addr{}, 0
	p.Message = r.data[i][:min(int(r.messages[i].size), maxPacket)]
	for c := r.control[i][:min(int(h.Controllen), maxControl)]; len(c) >= unix.SizeofCmsghdr; {
		m := (*unix.Cmsghdr)(unsafe.Pointer(&c[0]))
		size := int(m.Len)
		if size < unix.SizeofCmsghdr || size > len(c) {
			break
		}
		body := c[unix.SizeofCmsghdr:size]
		if m.Level == unix.IPPROTO_IPV6 {
			switch {
			case m.Type == unix.IPV6_HOPLIMIT && len(body) >= 4:
				p.TTL = uint8(binary.NativeEndian.Uint32(body))
			case m.Type == unix.IPV6_PKTINFO && len(body) >= 16:
				p.Destination = netip.AddrFrom16([16]byte(body))
			}
		}
		c = c[min(unix.CmsgSpace(size-unix.SizeofCmsghdr), len(c)):]
	}
	return p.Destination.IsValid()
}

// sender holds the buffers of sendmsg.
type sender struct {
	hdr     unix.Msghdr
	vector  unix.Iovec
	name    unix.RawSockaddrInet6
	control [64]byte
	message []byte
}

func newSender() *sender { return &sender{message: make([]byte, 0, vrrp.MaxMessage+16)} }

// send sends s.message with the given source; the kernel makes the header.
func (s *sender) send(k *socket, src, dst netip.Addr) unix.Errno {
	s.vector.Base = &s.message[0]
	s.vector.SetLen(len(s.message))
	s.hdr = unix.Msghdr{Name: (*byte)(unsafe.Pointer(&s.name)), Iov: &s.vector, Control: &s.control[0]}
	s.hdr.SetIovlen(1)
	c := (*unix.Cmsghdr)(unsafe.Pointer(&s.control[0]))
	body := s.control[unix.SizeofCmsghdr:]
	if k.v6 {
		s.name = unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: dst.As16()}
		if dst.IsLinkLocalUnicast() || dst.IsMulticast() {
			s.name.Scope_id = uint32(k.index)
		}
		s.hdr.Namelen = unix.SizeofSockaddrInet6
		c.Level, c.Type = unix.IPPROTO_IPV6, unix.IPV6_PKTINFO
		from := src.As16()
		copy(body, from[:])
		binary.NativeEndian.PutUint32(body[16:], uint32(k.index))
		c.SetLen(unix.CmsgLen(20))
		s.hdr.SetControllen(unix.CmsgSpace(20))
	} else {
		n := (*unix.RawSockaddrInet4)(unsafe.Pointer(&s.name))
		*n = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: dst.As4()}
		s.hdr.Namelen = unix.SizeofSockaddrInet4
		c.Level, c.Type = unix.IPPROTO_IP, unix.IP_PKTINFO
		from := src.As4()
		binary.NativeEndian.PutUint32(body, uint32(k.index))
		copy(body[4:], from[:])
		clear(body[8:12])
		c.SetLen(unix.CmsgLen(12))
		s.hdr.SetControllen(unix.CmsgSpace(12))
	}
	_, _, e := unix.RawSyscall(unix.SYS_SENDMSG, uintptr(k.fd), uintptr(unsafe.Pointer(&s.hdr)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
	return e
}
