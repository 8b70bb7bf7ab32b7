package cfsim

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
)

// object is one JSON object as the simulator keeps it: decoded, checked, with its defaults filled in.
type object = map[string]any

type kind uint8

const (
	kindString kind = iota
	kindNumber
	kindInteger
	kindBool
	kindList
	kindObject
	kindScalar // a string or a number
)

func (k kind) String() string {
	return [...]string{"a string", "a number", "an integer", "a boolean", "an array", "an object", "a string or a number"}[k]
}

// nothing is the default of a field that the server returns as null when it is not set.
type nothing struct{}

// shape says what one value of a request body may look like and what the server makes of it. Shapes are built once
// per server and never change afterwards.
type shape struct {
	kind     kind
	required bool
	nullable bool
	readOnly bool
	keepNull bool // a PATCH inside a batch: null clears a field
	enum     []string
	min, max float64
	maxLen   int
	minItems int
	pattern  *regexp.Regexp
	check    func(string) error
	def      any // what the server fills in where the field is absent; nil: it stays absent
	items    *shape
	props    map[string]*shape
	rest     *shape // values of an open map; nil: the object is closed
}

func newShape(k kind) *shape { return &shape{kind: k, min: math.Inf(-1), max: math.Inf(1)} }

func str() *shape                           { return newShape(kindString) }
func num() *shape                           { return newShape(kindNumber) }
func integer() *shape                       { return newShape(kindInteger) }
func scalar() *shape                        { return newShape(kindScalar) }
func boolean() *shape                       { return newShape(kindBool) }
func list(items *shape) *shape              { s := newShape(kindList); s.items = items; return s }
func record(props map[string]*shape) *shape { s := newShape(kindObject); s.props = props; return s }
func dict(values *shape) *shape             { s := newShape(kindObject); s.rest = values; return s }

func (s *shape) need() *shape                     { s.required = true; return s }
func (s *shape) orNull() *shape                   { s.nullable = true; return s }
func (s *shape) ro() *shape                       { s.readOnly = true; return s }
func (s *shape) oneOf(v ...string) *shape         { s.enum = v; return s }
func (s *shape) between(lo, hi float64) *shape    { s.min, s.max = lo, hi; return s }
func (s *shape) upTo(n int) *shape                { s.maxLen = n; return s }
func (s *shape) atLeast(n int) *shape             { s.minItems = n; return s }
func (s *shape) matching(re string) *shape        { s.pattern = regexp.MustCompile(re); return s }
func (s *shape) that(f func(string) error) *shape { s.check = f; return s }
func (s *shape) fill(v any) *shape                { s.def = v; return s }

// fieldError is a value that does not fit its shape.
type fieldError struct{ path, why string }

func (e *fieldError) Error() string { return e.path + ": " + e.why }

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// read checks v against the shape and returns it normalised: integers as int64, other numbers as float64, nulls
// dropped. partial leaves out the top level's required fields, as a PATCH does.
func (s *shape) read(path string, v any, partial bool) (any, error) {
	bad := func(format string, args ...any) (any, error) {
		if path == "" {
			path = "body"
		}
		return nil, &fieldError{path, fmt.Sprintf(format, args...)}
	}
	switch s.kind {
	case kindScalar:
		switch v := v.(type) {
		case string:
			return v, nil
		case json.Number:
			if f, err := v.Float64(); err == nil {
				return f, nil
			}
		}
		return bad("must be %s", s.kind)
	case kindString:
		t, ok := v.(string)
		if !ok {
			return bad("must be %s", s.kind)
		}
		return t, s.readString(path, t)
	case kindBool:
		if _, ok := v.(bool); !ok {
			return bad("must be %s", s.kind)
		}
		return v, nil
	case kindNumber, kindInteger:
		n, ok := v.(json.Number)
		if !ok {
			return bad("must be %s", s.kind)
		}
		f, err := n.Float64()
		if err != nil {
			return bad("is out of range")
		}
		if f < s.min || f > s.max {
			return bad("must be between %v and %v", s.min, s.max)
		}
		if s.kind == kindNumber {
			return f, nil
		}
		i, err := strconv.ParseInt(n.String(), 10, 64)
		if err != nil {
			return bad("must be %s", s.kind)
		}
		return i, nil
	case kindList:
		in, ok := v.([]any)
		if !ok {
			return bad("must be %s", s.kind)
		}
		if len(in) < s.minItems {
			return bad("needs at least %d items", s.minItems)
		}
		out := make([]any, len(in))
		for i, item := range in {
			got, err := s.items.read(fmt.Sprintf("%s[%d]", path, i), item, false)
			if err != nil {
				return nil, err
			}
			out[i] = got
		}
		return out, nil
	default:
		in, ok := v.(object)
		if !ok {
			return bad("must be %s", s.kind)
		}
		return s.readObject(path, in, partial)
	}
}

func (s *shape) readString(path, v string) error {
	switch {
	case s.enum != nil && !slices.Contains(s.enum, v):
		return &fieldError{path, fmt.Sprintf("%q is not one of %q", v, s.enum)}
	case s.maxLen > 0 && len([]rune(v)) > s.maxLen:
		return &fieldError{path, fmt.Sprintf("is longer than %d characters", s.maxLen)}
	case s.required && v == "":
		return &fieldError{path, "must not be empty"}
	case s.pattern != nil && !s.pattern.MatchString(v):
		return &fieldError{path, fmt.Sprintf("%q does not match %s", v, s.pattern)}
	case s.check != nil && v != "":
		if err := s.check(v); err != nil {
			return &fieldError{path, err.Error()}
		}
	}
	return nil
}

// readObject checks fields in the order of their names, so that the first error is always the same one.
func (s *shape) readObject(path string, in object, partial bool) (any, error) {
	out := make(object, len(in))
	for _, key := range sortedKeys(in) {
		field := s.props[key]
		if field == nil {
			field = s.rest
		}
		at := join(path, key)
		switch {
		case field == nil:
			return nil, &fieldError{at, "unknown field"}
		case field.readOnly:
			return nil, &fieldError{at, "is read-only"}
		case in[key] == nil && !field.nullable:
			return nil, &fieldError{at, "must not be null"}
		case in[key] == nil && (partial || s.keepNull):
			out[key] = nil // a PATCH clears the field: merge needs to see it
			continue
		case in[key] == nil:
			continue
		}
		got, err := field.read(at, in[key], false)
		if err != nil {
			return nil, err
		}
		out[key] = got
	}
	if !partial {
		for _, key := range sortedKeys(s.props) {
			if _, ok := out[key]; s.props[key].required && !ok {
				return nil, &fieldError{join(path, key), "is required"}
			}
		}
	}
	return out, nil
}

// complete fills in the defaults of o and of the objects inside it. o is changed in place.
func (s *shape) complete(o object) {
	for key, field := range s.props {
		v, ok := o[key]
		if !ok {
			switch field.def.(type) {
			case nil:
				continue
			case nothing:
				o[key] = nil
				continue
			}
			v = clone(field.def)
			o[key] = v
		}
		switch v := v.(type) {
		case object:
			field.complete(v)
		case []any:
			for _, item := range v {
				if child, ok := item.(object); ok {
					field.items.complete(child)
				}
			}
		}
	}
}

// merge puts a PATCH over an object: the top level's fields are replaced whole, null clears one.
func merge(base, patch object) object {
	out := clone(base).(object)
	for key, v := range patch {
		if v == nil {
			delete(out, key)
			continue
		}
		out[key] = v
	}
	return out
}

// clone copies objects and lists at any depth.
func clone(v any) any {
	switch v := v.(type) {
	case object:
		out := make(object, len(v))
		for key, item := range v {
			out[key] = clone(item)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = clone(item)
		}
		return out
	}
	return v
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// text, whole and flag read a field that has already been checked; an absent one is the zero value.
func text(o object, key string) string { v, _ := o[key].(string); return v }
func whole(o object, key string) int64 { v, _ := o[key].(int64); return v }
func flag(o object, key string) bool   { v, _ := o[key].(bool); return v }
func items(o object, key string) []any { v, _ := o[key].([]any); return v }
func child(o object, key string) object {
	v, _ := o[key].(object)
	return v
}
