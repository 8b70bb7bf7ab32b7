package cfsim

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"regexp"
	"time"
)

var (
	hexID  = regexp.MustCompile(`^[0-9a-f]{32}$`)
	uuidID = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
)

// digest derives bytes from the seed and the parts.
func digest(seed uint64, parts ...string) [32]byte {
	b := binary.BigEndian.AppendUint64(nil, seed)
	for _, p := range parts {
		b = append(binary.AppendUvarint(b, uint64(len(p))), p...)
	}
	return sha256.Sum256(b)
}

func derivedHex(seed uint64, parts ...string) string {
	d := digest(seed, parts...)
	return hex.EncodeToString(d[:16])
}

// derivedUUID looks like a random (version 4) UUID.
func derivedUUID(seed uint64, parts ...string) string {
	d := digest(seed, parts...)
	d[6] = d[6]&0x0f | 0x40
	d[8] = d[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", d[0:4], d[4:6], d[6:8], d[8:10], d[10:16])
}

// generation counts how often an object with this natural key has been made, so that each gets an id of its own
// that does not depend on what else is created meanwhile.
func (s *Server) generation(kind, key string) string {
	s.made[kind+" "+key]++
	return fmt.Sprint(s.made[kind+" "+key])
}

func (s *Server) newHex(kind, key string) string {
	return derivedHex(s.opt.Seed, kind, key, s.generation(kind, key))
}

func (s *Server) newUUID(kind, key string) string {
	return derivedUUID(s.opt.Seed, kind, key, s.generation(kind, key))
}

// stamp is a time as the API writes it, with microseconds.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }

func isUUID(v string) error {
	if !uuidID.MatchString(v) {
		return fmt.Errorf("%q is not a UUID", v)
	}
	return nil
}

func isHexID(v string) error {
	if !hexID.MatchString(v) {
		return fmt.Errorf("%q is not a 32 digit identifier", v)
	}
	return nil
}
