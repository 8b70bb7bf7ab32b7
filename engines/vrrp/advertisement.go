package vrrp

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// What RFC 9568 fixes on the wire.
const (
	Protocol          = 112 // IP protocol and IPv6 next header
	TTL               = 255 // of everything sent, and of everything accepted by multicast
	typeAdvertisement = 1
	headerLength      = 8
	authLength        = 8
	maxInterval3      = 4095 * centisecond
	maxInterval2      = 255 * time.Second
	centisecond       = 10 * time.Millisecond
	// MaxMessage is the longest message: 255 IPv6 addresses.
	MaxMessage = headerLength + 255*16
)

// Owner is the priority of the router that owns the virtual addresses.
const Owner = 255

// MulticastAddress is the group that advertisements of a family go to.
func MulticastAddress(ipv6 bool) netip.Addr {
	if ipv6 {
		return netip.AddrFrom16([16]byte{0: 0xff, 1: 0x02, 15: 0x12})
	}
	return netip.AddrFrom4([4]byte{224, 0, 0, 18})
}

// VirtualMAC is the link-layer address of a Virtual Router (RFC 9568 7.3).
func VirtualMAC(vrid uint8, ipv6 bool) [6]byte {
	if ipv6 {
		return [6]byte{0x00, 0x00, 0x5e, 0x00, 0x02, vrid}
	}
	return [6]byte{0x00, 0x00, 0x5e, 0x00, 0x01, vrid}
}

// VRID reads the Virtual Router of a message without looking at the rest, to
// find the Machine that is to judge it.
func VRID(message []byte) (vrid uint8, ok bool) {
	if len(message) < 2 {
		return 0, false
	}
	return message[1], true
}

// AppendAddresses appends the addresses in an advertisement, which need not be
// valid, before anything else is looked at.
func AppendAddresses(to []netip.Addr, message []byte, v6 bool) []netip.Addr {
	if len(message) < headerLength {
		return to
	}
	width := 4
	if v6 {
		width = 16
	}
	rest := message[headerLength:]
	for range message[3] {
		if len(rest) < width {
			break
		}
		a, _ := netip.AddrFromSlice(rest[:width])
		to, rest = append(to, a), rest[width:]
	}
	return to
}

// Authentication is the v2 authentication of RFC 2338 as keepalived speaks it.
type Authentication struct {
	Type AuthType
	Data [authLength]byte
}

// AuthType is the v2 authentication type.
type AuthType uint8

// AH (type 2) is refused by Config.Validate and dropped on receipt.
const (
	AuthNone AuthType = 0
	AuthPass AuthType = 1
)

// Password is simple-text authentication: like keepalived it uses the first
// eight bytes and fills up with zeros.
func Password(s string) Authentication {
	a := Authentication{Type: AuthPass}
	copy(a.Data[:], s)
	return a
}

// Advertisement is a VRRP message. Interval is a multiple of 10 ms in v3 and
// of 1 s in v2. Authentication exists in v2 only.
type Advertisement struct {
	Version        uint8
	Type           uint8
	VRID           uint8
	Priority       uint8
	Interval       time.Duration
	Authentication Authentication
	Addresses      []netip.Addr
}

// Append appends the message to b and returns the longer slice; it allocates
// only if b lacks room. src and dst are those of the IP packet: a checksum may
// cover them. A Type of 0 is sent as an advertisement. Values that the wire
// cannot carry are cut off; Config.Validate refuses them.
func (a *Advertisement) Append(b []byte, src, dst netip.Addr, form ChecksumForm) []byte {
	start := len(b)
	kind := a.Type
	if kind == 0 {
		kind = typeAdvertisement
	}
	b = append(b, a.Version<<4|kind&0x0f, a.VRID, a.Priority, uint8(len(a.Addresses)))
	if a.Version == 2 {
		b = append(b, uint8(a.Authentication.Type), uint8(a.Interval/time.Second))
	} else {
		b = binary.BigEndian.AppendUint16(b, uint16(a.Interval/centisecond)&0x0fff)
	}
	b = append(b, 0, 0)
	for _, addr := range a.Addresses {
		if addr.Is4() {
			v4 := addr.As4()
			b = append(b, v4[:]...)
		} else {
			v6 := addr.As16()
			b = append(b, v6[:]...)
		}
	}
	if a.Version == 2 {
		b = append(b, a.Authentication.Data[:]...)
	}
	message := b[start:]
	acc := sum(0, message)
	if src.Is6() || a.Version == 3 && form == ChecksumPseudoHeader {
		acc += pseudoHeader(src, dst, len(message))
	}
	binary.BigEndian.PutUint16(message[6:], ^fold(acc))
	return b
}

// Parse reads a message into a, reusing a.Addresses, and keeps nothing of b.
// It checks what can be checked without a configuration, in the order version,
// type, count, length, checksum, interval; a is unspecified unless it returns
// ReasonNone. Bytes behind the message are ignored (Ethernet padding, and the
// trailer of keepalived's auth_hmac). Both v3/IPv4 checksum forms are accepted.
// src and dst must be of one family; src tells which.
func (a *Advertisement) Parse(b []byte, src, dst netip.Addr) Reason {
	if len(b) < headerLength {
		return ReasonLength
	}
	a.Version, a.Type = b[0]>>4, b[0]&0x0f
	a.VRID, a.Priority = b[1], b[2]
	count := int(b[3])
	v6 := !src.Is4()
	if a.Version != 3 && (a.Version != 2 || v6) {
		return ReasonVersion
	}
	if a.Type != typeAdvertisement {
		return ReasonType
	}
	if count == 0 {
		return ReasonCount
	}
	size := 4
	if v6 {
		size = 16
	}
	length := headerLength + count*size
	if a.Version == 2 {
		length += authLength
	}
	if len(b) < length {
		return ReasonLength
	}
	b = b[:length]
	acc := sum(0, b)
	good := !v6 && fold(acc) == 0xffff
	if !good && a.Version == 3 && src.Is4() == dst.Is4() {
		good = fold(acc+pseudoHeader(src, dst, length)) == 0xffff
	}
	if !good {
		return ReasonChecksum
	}
	a.Authentication = Authentication{}
	if a.Version == 2 {
		a.Interval = time.Duration(b[5]) * time.Second
		a.Authentication.Type = AuthType(b[4])
		copy(a.Authentication.Data[:], b[length-authLength:])
	} else {
		// The upper four bits are reserved and ignored (5.2.6).
		a.Interval = time.Duration(binary.BigEndian.Uint16(b[4:])&0x0fff) * centisecond
	}
	if a.Interval == 0 {
		return ReasonInterval
	}
	a.Addresses = a.Addresses[:0]
	for rest := b[headerLength : headerLength+count*size]; len(rest) > 0; rest = rest[size:] {
		if v6 {
			a.Addresses = append(a.Addresses, netip.AddrFrom16([16]byte(rest)))
		} else {
			a.Addresses = append(a.Addresses, netip.AddrFrom4([4]byte(rest)))
		}
	}
	return ReasonNone
}
