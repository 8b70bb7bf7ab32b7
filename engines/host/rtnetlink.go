package host

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// addressProto marks our addresses in the kernel (IFA_PROTO, since 5.18;
// `ip -d address` shows it). Older kernels ignore it, and the list on disk
// serves alone.
const addressProto = 112

const ifaProto = 11 // IFA_PROTO

// rtnl speaks rtnetlink for what has to be quick: addresses and the
// subscription, without an allocation per message. Rare things (macvlan,
// routes) use vishvananda/netlink. It belongs to the loop thread.
type rtnl struct {
	fd   int
	seq  uint32
	send []byte
	recv []byte
}

// openRTNL opens a socket in the network namespace of the calling thread; with
// groups, a subscription that never blocks.
func openRTNL(groups ...uint) (*rtnl, error) {
	kind := unix.SOCK_RAW | unix.SOCK_CLOEXEC
	if len(groups) > 0 {
		kind |= unix.SOCK_NONBLOCK
	}
	fd, err := unix.Socket(unix.AF_NETLINK, kind, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, os.NewSyscallError("socket netlink", err)
	}
	sa := &unix.SockaddrNetlink{Family: unix.AF_NETLINK}
	for _, g := range groups {
		sa.Groups |= 1 << (g - 1)
	}
	if err := unix.Bind(fd, sa); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("bind netlink", err)
	}
	if len(groups) > 0 {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 1<<20)
	}
	return &rtnl{fd: fd, recv: make([]byte, 64<<10)}, nil
}

func (n *rtnl) close() { unix.Close(n.fd) }

// kernelAddress is an address as the kernel holds it.
type kernelAddress struct {
	index  int
	prefix netip.Prefix
	flags  uint32
	scope  uint8
	proto  uint8
}

// kernelLink is a link as the kernel shows it.
type kernelLink struct {
	index int
	name  string
	flags uint32
	mac   [6]byte
	ether bool
}

func (l kernelLink) up() bool {
	return l.flags&unix.IFF_UP != 0 && l.flags&unix.IFF_RUNNING != 0
}

func (n *rtnl) begin(kind, flags uint16) {
	n.seq++
	n.send = append(n.send[:0], make([]byte, unix.SizeofNlMsghdr)...)
	binary.NativeEndian.PutUint16(n.send[4:], kind)
	binary.NativeEndian.PutUint16(n.send[6:], flags)
	binary.NativeEndian.PutUint32(n.send[8:], n.seq)
}

func (n *rtnl) attribute(kind uint16, data []byte) {
	n.send = binary.NativeEndian.AppendUint16(n.send, uint16(unix.SizeofRtAttr+len(data)))
	n.send = binary.NativeEndian.AppendUint16(n.send, kind)
	n.send = append(n.send, data...)
	for len(n.send)%4 != 0 {
		n.send = append(n.send, 0)
	}
}

// addAddress adds an address; one that is there already is fine, and not fresh.
func (n *rtnl) addAddress(index int, a Address, noPrefixRoute bool) (fresh bool, err error) {
	err = n.address(unix.RTM_NEWADDR, unix.NLM_F_CREATE|unix.NLM_F_EXCL, index, a, noPrefixRoute)
	if errors.Is(err, unix.EEXIST) {
		return false, nil
	}
	return err == nil, err
}

// removeAddress removes an address; one that is gone already is fine.
func (n *rtnl) removeAddress(index int, p netip.Prefix) error {
	err := n.address(unix.RTM_DELADDR, 0, index, Address{Prefix: p}, false)
	if errors.Is(err, unix.EADDRNOTAVAIL) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}

func (n *rtnl) address(kind, flags uint16, index int, a Address, noPrefixRoute bool) error {
	n.begin(kind, flags|unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	addr, family := a.Prefix.Addr(), byte(unix.AF_INET)
	if addr.Is6() {
		family = unix.AF_INET6
	}
	n.send = append(n.send, family, byte(a.Prefix.Bits()), 0, scopes[a.Scope])
	n.send = binary.NativeEndian.AppendUint32(n.send, uint32(index))
	raw, size := addr.As16(), 16
	bytes := raw[:]
	if addr.Is4() {
		v4 := addr.As4()
		size = copy(raw[:], v4[:])
		bytes = raw[:size]
	}
	n.attribute(unix.IFA_LOCAL, bytes)
	n.attribute(unix.IFA_ADDRESS, bytes)
	if kind == unix.RTM_NEWADDR {
		var bits uint32
		if noPrefixRoute {
			bits |= unix.IFA_F_NOPREFIXROUTE
		}
		if addr.Is6() {
			bits |= unix.IFA_F_NODAD
		}
		var word [4]byte
		binary.NativeEndian.PutUint32(word[:], bits)
		n.attribute(unix.IFA_FLAGS, word[:])
		if a.Label != "" {
			n.attribute(unix.IFA_LABEL, append([]byte(a.Label), 0))
		}
		n.attribute(ifaProto, []byte{addressProto})
		if addr.Is6() && a.Prefix.IsSingleIP() {
			// Deprecated, as keepalived does: no source of our own traffic.
			var info [16]byte
			binary.NativeEndian.PutUint32(info[4:], 0xffffffff)
			n.attribute(unix.IFA_CACHEINFO, info[:])
		}
	}
	return n.exchange(nil)
}

// exchange sends what begin and attribute have built and reads the answer:
// every message to visit, until the acknowledgement or the end of a dump.
func (n *rtnl) exchange(visit func(kind uint16, body []byte)) error {
	binary.NativeEndian.PutUint32(n.send, uint32(len(n.send)))
	if err := unix.Sendto(n.fd, n.send, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return os.NewSyscallError("send netlink", err)
	}
	for {
		size, _, err := unix.Recvfrom(n.fd, n.recv, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return os.NewSyscallError("receive netlink", err)
		}
		done, err := false, error(nil)
		walk(n.recv[:size], func(kind uint16, seq uint32, body []byte) {
			if seq != n.seq || done {
				return
			}
			switch {
			case kind == unix.NLMSG_DONE:
				done = true
			case kind == unix.NLMSG_ERROR && len(body) >= 4:
				done = true
				if e := int32(binary.NativeEndian.Uint32(body)); e != 0 {
					err = unix.Errno(-e)
				}
			case visit != nil:
				visit(kind, body)
			}
		})
		if done {
			return err
		}
	}
}

// dump asks for everything of a kind (RTM_GETLINK or RTM_GETADDR).
func (n *rtnl) dump(kind uint16, visit func(kind uint16, body []byte)) error {
	n.begin(kind, unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	n.send = append(n.send, make([]byte, unix.SizeofIfInfomsg)...)
	if err := n.exchange(visit); err != nil {
		return fmt.Errorf("dump %d: %w", kind, err)
	}
	return nil
}

// walk visits the netlink messages in b.
func walk(b []byte, visit func(kind uint16, seq uint32, body []byte)) {
	for len(b) >= unix.SizeofNlMsghdr {
		size := int(binary.NativeEndian.Uint32(b))
		if size < unix.SizeofNlMsghdr || size > len(b) {
			return
		}
		visit(binary.NativeEndian.Uint16(b[4:]), binary.NativeEndian.Uint32(b[8:]), b[unix.SizeofNlMsghdr:size])
		b = b[min((size+3)&^3, len(b)):]
	}
}

func attributes(b []byte, visit func(kind uint16, data []byte)) {
	for len(b) >= unix.SizeofRtAttr {
		size := int(binary.NativeEndian.Uint16(b))
		if size < unix.SizeofRtAttr || size > len(b) {
			return
		}
		visit(binary.NativeEndian.Uint16(b[2:])&0x3fff, b[unix.SizeofRtAttr:size])
		b = b[min((size+3)&^3, len(b)):]
	}
}

// parseAddress reads the body of RTM_NEWADDR or RTM_DELADDR.
func parseAddress(body []byte) (a kernelAddress, ok bool) {
	if len(body) < unix.SizeofIfAddrmsg {
		return a, false
	}
	a.index, a.flags, a.scope = int(binary.NativeEndian.Uint32(body[4:])), uint32(body[2]), body[3]
	bits := int(body[1])
	var local, address netip.Addr
	attributes(body[unix.SizeofIfAddrmsg:], func(kind uint16, data []byte) {
		switch kind {
		case unix.IFA_LOCAL:
			local, _ = netip.AddrFromSlice(data)
		case unix.IFA_ADDRESS:
			address, _ = netip.AddrFromSlice(data)
		case unix.IFA_FLAGS:
			if len(data) == 4 {
				a.flags = binary.NativeEndian.Uint32(data)
			}
		case ifaProto:
			if len(data) == 1 {
				a.proto = data[0]
			}
		}
	})
	if !local.IsValid() {
		local = address
	}
	a.prefix = netip.PrefixFrom(local, bits)
	return a, a.prefix.IsValid()
}

// parseLink reads the body of RTM_NEWLINK or RTM_DELLINK. What bridges say
// about their ports has another family and is no link.
func parseLink(body []byte) (l kernelLink, ok bool) {
	if len(body) < unix.SizeofIfInfomsg || body[0] != unix.AF_UNSPEC {
		return l, false
	}
	l.ether = binary.NativeEndian.Uint16(body[2:]) == unix.ARPHRD_ETHER
	l.index, l.flags = int(binary.NativeEndian.Uint32(body[4:])), binary.NativeEndian.Uint32(body[8:])
	attributes(body[unix.SizeofIfInfomsg:], func(kind uint16, data []byte) {
		switch kind {
		case unix.IFLA_IFNAME:
			l.name = unix.ByteSliceToString(data)
		case unix.IFLA_ADDRESS:
			if len(data) == 6 {
				l.mac = [6]byte(data)
			}
		}
	})
	return l, l.name != ""
}
