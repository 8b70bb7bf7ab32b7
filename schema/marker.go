package schema

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"unicode/utf8"
)

// Ownership is a marker in an object's own free text: the user's text, a
// space, and "hactl:<stack>/<kind>/<name>". Where the field is too short for
// that, the name becomes "#" and 12 hexadecimal digits of its SHA-256. A
// protected object's marker ends with "!", so that any clone knows.
const markerPrefix = "hactl:"

// TextLimit is how many characters the free text of a kind may have, 0 where
// there is no such limit.
func TextLimit(kind Kind) int {
	switch kind {
	case KindRoute, KindDNSRecord:
		return 100
	case KindNetwork:
		return 256
	}
	return 0
}

// Marked tells whether objects of that kind have a free text for the marker.
// The others are owned through the journal.
func Marked(kind Kind) bool { return kind != KindTunnel && kind != KindTunnelConfiguration }

// Mark appends the marker to the user's text. Names hold neither "hactl:" nor
// a "!" at the end; no name that a specification can have does (#Name and its
// kin). It is an error when even the short marker does not fit.
func Mark(text string, m Marker) (string, error) {
	limit := TextLimit(m.ID.Kind)
	for _, name := range []string{m.ID.Name, hashedName(m.ID.Name)} {
		marked := markerPrefix + m.Stack + "/" + string(m.ID.Kind) + "/" + name
		if m.Protected {
			marked += protectedSuffix
		}
		if text != "" {
			marked = text + " " + marked
		}
		if limit == 0 || utf8.RuneCountInString(marked) <= limit {
			return marked, nil
		}
	}
	return "", errors.New("no room for the marker")
}

// Unmark splits a free text into the user's part and the marker's. The name
// in the ID may be a hash (see Marker.Names). ok is false where there is no
// marker; the whole is then the user's.
func Unmark(text string) (user string, m Marker, ok bool) {
	i := strings.LastIndex(text, markerPrefix)
	if i < 0 || i > 0 && text[i-1] != ' ' {
		return text, Marker{}, false
	}
	stack, rest, ok := strings.Cut(text[i+len(markerPrefix):], "/")
	rest, protected := strings.CutSuffix(rest, protectedSuffix)
	id, err := ParseID(rest)
	if !ok || err != nil {
		return text, Marker{}, false
	}
	return strings.TrimSuffix(text[:i], " "), Marker{stack, id, protected}, true
}

// Marker names the owner of an object.
type Marker struct {
	Stack string
	ID    ID
	// Protected objects are neither deleted nor replaced.
	Protected bool
}

const protectedSuffix = "!"

// Names tells whether the marker is that of an object of that ID, by its
// name or by its hash.
func (m Marker) Names(stack string, id ID) bool {
	return m.Stack == stack && m.ID.Kind == id.Kind && (m.ID.Name == id.Name || m.ID.Name == hashedName(id.Name))
}

// Hashed tells whether the name in the marker is a hash.
func (m Marker) Hashed() bool { return strings.HasPrefix(m.ID.Name, "#") }

func hashedName(name string) string {
	sum := sha256.Sum256([]byte(name))
	return "#" + hex.EncodeToString(sum[:6])
}
