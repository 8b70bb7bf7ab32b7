package reconcile

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/hactl/hactl/schema"
)

// Handle is what the owner of an object calls it: an id at Cloudflare.
type Handle string

// Desired is what a specification wants.
type Desired struct {
	Stack    string
	Revision string
	// Objects by ID, normalized by their engines.
	Objects map[schema.ID]schema.Object
}

// Live is what there is.
type Live struct {
	// Entries in any order; Sort orders them.
	Entries []Entry
	// Unknown is what could not be read.
	Unknown []Unknown
	// Notices say how it is with things that no step can change.
	Notices []Finding
}

// Entry is one object that exists.
type Entry struct {
	// Object in the form a specification has, with names for references.
	Object schema.Object
	Handle Handle
	// Refers are the handles of the objects that this one refers to.
	Refers []Handle
	// Owned objects carry this stack's marker or stand in the journal.
	Owned bool
	// Stack is the other stack that the object belongs to, if one is known.
	Stack string
	// Created orders objects by age where the server tells (RFC 3339).
	Created string
	// ReadOnly entries serve only to resolve references and are never planned.
	ReadOnly bool
}

// Unknown is a kind, or one object, that could not be read. Nothing is done
// about it, nor about what refers to it.
type Unknown struct {
	Kind schema.Kind
	// Name is empty for the whole kind.
	Name string
	Err  error
}

// Covers tells whether the object is among what could not be read.
func (u Unknown) Covers(id schema.ID) bool {
	return u.Kind == id.Kind && (u.Name == "" || u.Name == id.Name)
}

// Sort orders entries by ID, and those of one ID by age and handle.
func (l *Live) Sort() {
	slices.SortStableFunc(l.Entries, func(a, b Entry) int {
		if c := a.Object.ID().Compare(b.Object.ID()); c != 0 {
			return c
		}
		return cmp.Or(strings.Compare(a.Created, b.Created), cmp.Compare(a.Handle, b.Handle))
	})
}

// Handles maps the ID of every entry to its handle; of two with one ID the
// owned one, then the older, wins.
func (l *Live) Handles() map[schema.ID]Handle {
	handles := make(map[schema.ID]Handle, len(l.Entries))
	owned := map[schema.ID]bool{}
	for _, e := range l.Entries {
		id := e.Object.ID()
		if _, ok := handles[id]; ok && (owned[id] || !e.Owned) {
			continue
		}
		handles[id], owned[id] = e.Handle, e.Owned
	}
	return handles
}

// Journal remembers what the server cannot: which objects without a free text
// are owned, which zones were written to, and what was protected.
type Journal struct {
	// Revision is the last one applied.
	Revision string `json:"revision"`
	// Owned are objects whose kind has no marker.
	Owned map[schema.ID]Handle `json:"owned,omitempty"`
	// Pending are such objects whose creation has begun, and when: an answer
	// that was lost, or a run that was killed.
	Pending map[schema.ID]time.Time `json:"pending,omitempty"`
	// Zones that hold, or held, owned objects.
	Zones []string `json:"zones,omitempty"`
	// Applied holds the fingerprint of every object as it was applied, or found
	// to be as wanted, last: what differs from the world and not from this was
	// changed behind the specification's back.
	Applied map[schema.ID]string `json:"applied,omitempty"`
	// Protected are such objects that the last revision applied protects.
	Protected []schema.ID `json:"protected,omitempty"`
}

// clockSkew is how far our clock and the server's may be apart.
const clockSkew = 2 * time.Minute

// Owns tells whether the journal has the object under that handle. An object
// that is wanted, and that came to exist after its creation had begun, is the
// one whose answer was lost; created is the server's time (RFC 3339).
func (j Journal) Owns(id schema.ID, h Handle, wanted bool, created string) bool {
	if owned, ok := j.Owned[id]; ok {
		return owned == h
	}
	since, ok := j.Pending[id]
	if !ok || !wanted {
		return false
	}
	t, err := time.Parse(time.RFC3339, created)
	return err == nil && t.After(since.Add(-clockSkew))
}

// Scope is what an engine needs to know in order to read.
type Scope struct {
	Stack   string
	Objects map[schema.ID]schema.Object
	Journal Journal
}

// Change is one request to an engine: bring the object into being, change it
// or end it.
type Change struct {
	Step
	Stack string
	// Object is what is wanted; nil for a deletion.
	Object schema.Object
	// Before is the live object with the step's handle; nil for a creation.
	Before schema.Object
	// Resolve finds the handle of an object that this one refers to.
	Resolve func(schema.ID) (Handle, bool)
}

// Engine reads and changes one kind of system. Its methods may be called
// concurrently.
type Engine interface {
	// Kinds are the kinds it is responsible for; no two engines share one.
	Kinds() []schema.Kind
	// Normalize returns the object as Read would return it: defaults filled
	// as the server does. It is pure.
	Normalize(schema.Object) schema.Object
	// Read returns everything of its kinds, owned or not. What cannot be read
	// is Unknown; an error means that nothing could be.
	Read(context.Context, Scope) (Live, error)
	// Apply carries out one change and returns the object's handle. It does
	// not repeat what may have happened already. Replacements are asked for
	// as a creation with the old handle; an engine that swaps the two at once
	// says so with swapped, otherwise the old one is deleted later.
	Apply(context.Context, Change) (h Handle, swapped bool, err error)
}

// Fingerprint identifies what is wanted of an object.
func Fingerprint(o schema.Object) string {
	b, err := json.Marshal(o)
	if err != nil {
		panic("reconcile: " + err.Error()) // Objects are plain values.
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

// hash identifies the state of a live object in a plan's basis.
func hash(e Entry) string {
	b, err := json.Marshal(struct {
		Handle Handle
		Owned  bool
		Object schema.Object
	}{e.Handle, e.Owned, e.Object})
	if err != nil {
		panic("reconcile: " + err.Error()) // Objects are plain values.
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}
