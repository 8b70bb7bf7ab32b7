package cfsim

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

// entry is what every stored object has: its id, its body as GET answers it, and the body's marshalled form.
type entry struct {
	id   string
	body object
	raw  []byte // nil when stale
}

func (e *entry) base() *entry { return e }

// json returns the marshalled body; it is kept until the next call of set or touch.
func (e *entry) json() []byte {
	if e.raw == nil {
		e.raw = encode(e.body)
	}
	return e.raw
}

func (e *entry) set(body object) { e.body, e.raw = body, nil }

// deleted tells whether a soft-deleted object is only remembered for lists.
func (e *entry) deleted() bool { return e.body["deleted_at"] != nil }

// store keeps the objects of one kind by id. Lists come in the order of the ids, which derive from the seed: a
// client that expects creation order finds out.
type store[T interface{ base() *entry }] struct {
	byID  map[string]T
	order []T
}

func newStore[T interface{ base() *entry }]() store[T] { return store[T]{byID: map[string]T{}} }

func (s *store[T]) find(id string) (int, bool) {
	return slices.BinarySearchFunc(s.order, id, func(x T, id string) int { return strings.Compare(x.base().id, id) })
}

func (s *store[T]) put(x T) {
	id := x.base().id
	s.byID[id] = x
	if i, ok := s.find(id); ok {
		s.order[i] = x
	} else {
		s.order = slices.Insert(s.order, i, x)
	}
}

func (s *store[T]) drop(id string) {
	delete(s.byID, id)
	if i, ok := s.find(id); ok {
		s.order = slices.Delete(s.order, i, i+1)
	}
}

// encode marshals without escaping HTML, as the API does. Bodies hold only JSON values, so it cannot fail.
func encode(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic("cfsim: a stored body is not JSON: " + err.Error())
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
