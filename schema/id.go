package schema

import (
	"cmp"
	"fmt"
	"strings"
)

// Kind is a kind of object, as it is spelled in an ID.
type Kind string

// The kinds. A zone is only ever referred to, never made.
const (
	KindHost                Kind = "host"
	KindVirtualRouter       Kind = "virtualRouter"
	KindCheck               Kind = "check"
	KindHook                Kind = "hook"
	KindZone                Kind = "zone"
	KindNetwork             Kind = "network"
	KindTunnel              Kind = "tunnel"
	KindTunnelConfiguration Kind = "tunnelConfiguration"
	KindRoute               Kind = "route"
	KindMonitor             Kind = "monitor"
	KindPool                Kind = "pool"
	KindLoadBalancer        Kind = "loadBalancer"
	KindPrivateLoadBalancer Kind = "privateLoadBalancer"
	KindDNSRecord           Kind = "dnsRecord"
)

// Kinds returns every kind, in the order in which plans are shown.
func Kinds() []Kind {
	return []Kind{
		KindHost, KindCheck, KindHook, KindVirtualRouter, KindZone, KindNetwork, KindTunnel, KindTunnelConfiguration, KindRoute,
		KindMonitor, KindPool, KindLoadBalancer, KindPrivateLoadBalancer, KindDNSRecord,
	}
}

// ID names an object of a specification. It prints as "pool/tokyo".
type ID struct {
	Kind Kind
	Name string
}

func (id ID) String() string { return string(id.Kind) + "/" + id.Name }

// MarshalText prints the ID.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText parses what String prints.
func (id *ID) UnmarshalText(b []byte) (err error) {
	*id, err = ParseID(string(b))
	return err
}

// Compare orders IDs by kind, in the order of Kinds, then by name.
func (id ID) Compare(other ID) int {
	if id.Kind != other.Kind {
		return cmp.Compare(kindRank(id.Kind), kindRank(other.Kind))
	}
	return strings.Compare(id.Name, other.Name)
}

func kindRank(k Kind) int {
	for i, other := range Kinds() {
		if k == other {
			return i
		}
	}
	return len(Kinds())
}

// ParseID parses "kind/name"; the name may contain slashes.
func ParseID(s string) (ID, error) {
	kind, name, ok := strings.Cut(s, "/")
	if !ok || name == "" {
		return ID{}, fmt.Errorf("%q is no object: want kind/name, such as pool/tokyo", s)
	}
	if kindRank(Kind(kind)) == len(Kinds()) {
		names := make([]string, 0, len(Kinds()))
		for _, k := range Kinds() {
			names = append(names, string(k))
		}
		return ID{}, fmt.Errorf("%q is no kind of object: want one of %s", kind, strings.Join(names, ", "))
	}
	return ID{Kind(kind), name}, nil
}

// foreignPrefix marks a reference to an object at Cloudflare that no
// specification describes, by its id.
const foreignPrefix = "id:"

// ForeignRef is the reference that stands for the object with that id.
func ForeignRef(handle string) string { return foreignPrefix + handle }

// ForeignHandle returns the id that a reference names directly, if it does.
func ForeignHandle(ref string) (handle string, ok bool) {
	return strings.CutPrefix(ref, foreignPrefix)
}

// Object is one thing that an engine creates, changes and deletes.
//
// The concrete types of this package are the only implementations. An Object
// is a plain value: two of them compare field by field through package
// reconcile, which reads these struct tags:
//
//	json:"name"        the field's name in specs, plans and errors
//	diff:"-"           never compared (the key, or hactl's own settings)
//	diff:"set"         a list whose order means nothing
//	diff:"whole"       a pointer whose fields mean nothing by themselves
//	diff:"immutable"   a change needs a new object
//	diff:"writeonly"   sent on creation, never read back
type Object interface {
	// ID names the object.
	ID() ID
	// Refs are the objects that must exist before this one does, sorted,
	// without duplicates; references by foreign id are left out.
	Refs() []ID
	// Protected tells whether plans may delete or replace the object.
	Protected() bool
	// Blank returns an object of the same type with every default set.
	Blank() Object

	sealed()
}

// Exclusive is implemented by objects that can stand in each other's way
// under different names.
type Exclusive interface {
	// Slot is where the object stands; only objects of one slot can collide.
	Slot() string
	// Excludes tells whether the two cannot exist at a time.
	Excludes(Object) bool
}

// Keyed is implemented by elements of lists that have a natural key.
type Keyed interface{ Key() string }

// Defaulted is implemented by nested values whose defaults are not all zero.
type Defaulted interface{ Defaults() any }
