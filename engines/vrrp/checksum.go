package vrrp

import (
	"encoding/binary"
	"net/netip"
)

// ChecksumForm chooses what a v3 checksum over IPv4 covers. v2 always covers
// the message alone, IPv6 always the pseudo header as well.
type ChecksumForm uint8

const (
	// ChecksumPseudoHeader covers the IPv4 pseudo header too: what keepalived,
	// FRR and MikroTik send, and so what we send unless told otherwise.
	ChecksumPseudoHeader ChecksumForm = iota
	// ChecksumMessage covers the message alone, as RFC 9568 5.2.8 has it.
	ChecksumMessage
)

// sum adds b to acc as big-endian 16-bit words. A message has at most 8+255*16
// bytes, so 32 bits cannot overflow.
func sum(acc uint32, b []byte) uint32 {
	for len(b) >= 2 {
		acc += uint32(binary.BigEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) == 1 {
		acc += uint32(b[0]) << 8
	}
	return acc
}

// fold reduces a sum to the one's complement 16-bit sum.
func fold(acc uint32) uint16 {
	acc = acc>>16 + acc&0xffff
	acc += acc >> 16
	return uint16(acc)
}

// pseudoHeader is the sum of the IPv4 or IPv6 pseudo header (RFC 793, RFC 8200
// 8.1) for a message of that length and protocol 112.
func pseudoHeader(src, dst netip.Addr, length int) uint32 {
	acc := uint32(Protocol) + uint32(length)
	if src.Is4() {
		s, d := src.As4(), dst.As4()
		return sum(sum(acc, s[:]), d[:])
	}
	s, d := src.As16(), dst.As16()
	return sum(sum(acc, s[:]), d[:])
}
