package reconcile

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"

	"github.com/hactl/hactl/schema"
)

// FieldChange is one difference between two objects. Before or After is nil
// where the field is absent; both are plain JSON values.
type FieldChange struct {
	Path   string `json:"path"`
	Before any    `json:"before"`
	After  any    `json:"after"`
	// Immutable fields cannot be changed in place.
	Immutable bool `json:"immutable,omitempty"`
}

// Compare returns the differences between two objects of one type, ordered
// by path. Maps compare by key, lists of schema.Keyed elements by their key,
// fields tagged as sets without order. Where an element was added or removed,
// the change holds its fields that differ from the defaults.
func Compare(before, after schema.Object) []FieldChange {
	c := comparison{}
	c.compare("", reflect.ValueOf(before), reflect.ValueOf(after), tag{})
	slices.SortStableFunc(c.changes, func(a, b FieldChange) int { return strings.Compare(a.Path, b.Path) })
	return c.changes
}

// Fields returns what a new object sets: its differences from the defaults.
func Fields(o schema.Object) []FieldChange {
	c := comparison{creating: true}
	c.compare("", reflect.ValueOf(o.Blank()), reflect.ValueOf(o), tag{})
	// An empty text where the default is none sets nothing.
	c.changes = slices.DeleteFunc(c.changes, func(f FieldChange) bool { return f.After == nil || f.After == "" })
	for i := range c.changes {
		c.changes[i].Before, c.changes[i].Immutable = nil, false
	}
	slices.SortStableFunc(c.changes, func(a, b FieldChange) int { return strings.Compare(a.Path, b.Path) })
	return c.changes
}

type comparison struct {
	changes  []FieldChange
	creating bool
}

type tag struct{ skip, set, whole, immutable bool }

func tagOf(f reflect.StructField) tag {
	t := f.Tag.Get("diff")
	return tag{
		skip:      !f.IsExported() || t == "-" || t == "writeonly" || fieldName(f) == "-",
		set:       t == "set",
		whole:     t == "whole",
		immutable: t == "immutable",
	}
}

func fieldName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}

func (c *comparison) add(path string, before, after any, t tag) {
	c.changes = append(c.changes, FieldChange{Path: path, Before: before, After: after, Immutable: t.immutable})
}

func (c *comparison) compare(path string, before, after reflect.Value, t tag) {
	switch before.Kind() {
	case reflect.Interface:
		if before.IsValid() && !reflect.DeepEqual(before.Interface(), after.Interface()) {
			c.add(path, plain(before), plain(after), t)
		}
	case reflect.Struct:
		for i := range before.NumField() {
			f := before.Type().Field(i)
			ft := tagOf(f)
			if ft.skip {
				continue
			}
			at := path
			if !f.Anonymous {
				at = schema.Join(path, fieldName(f))
			}
			c.compare(at, before.Field(i), after.Field(i), ft)
		}
	case reflect.Pointer:
		switch {
		case before.IsNil() && after.IsNil():
		case before.IsNil() || after.IsNil():
			c.add(path, plain(before), plain(after), t)
		case t.whole:
			if !reflect.DeepEqual(before.Interface(), after.Interface()) {
				c.add(path, plain(before), plain(after), t)
			}
		default:
			c.compare(path, before.Elem(), after.Elem(), t)
		}
	case reflect.Map:
		c.compareMaps(path, before, after, t)
	case reflect.Slice:
		c.compareLists(path, before, after, t)
	case reflect.Float64:
		// The API's numbers are decimal with two places.
		if math.Abs(before.Float()-after.Float()) > 1e-9 {
			c.add(path, plain(before), plain(after), t)
		}
	default:
		if !before.Equal(after) {
			c.add(path, plain(before), plain(after), t)
		}
	}
}

func (c *comparison) compareMaps(path string, before, after reflect.Value, t tag) {
	if before.Type().Elem().Kind() == reflect.Interface {
		if before.Len()+after.Len() > 0 && !sameData(before, after) {
			c.add(path, plain(before), plain(after), t)
		}
		return
	}
	for _, key := range keys(before, after) {
		k := reflect.ValueOf(key)
		c.element(schema.Join(path, key), before.MapIndex(k), after.MapIndex(k), t)
	}
}

// sameData compares maps of scalars; numbers compare by value.
func sameData(before, after reflect.Value) bool {
	return reflect.DeepEqual(plain(before), plain(after))
}

// element compares an element that may be on one side only.
func (c *comparison) element(path string, before, after reflect.Value, t tag) {
	switch {
	case !before.IsValid():
		c.add(path, nil, plain(after), t)
	case !after.IsValid():
		c.add(path, plain(before), nil, t)
	default:
		c.compare(path, before, after, t)
	}
}

func (c *comparison) compareLists(path string, before, after reflect.Value, t tag) {
	if before.Len() == 0 && after.Len() == 0 {
		return
	}
	if before.Type().Elem().Implements(reflect.TypeFor[schema.Keyed]()) {
		if b, a, ok := byKey(before, after); ok && !c.creating {
			c.compareKeyed(path, b, a, before, after, t)
			return
		}
	}
	b, a := plain(before), plain(after)
	if t.set {
		b, a = sorted(before), sorted(after)
	}
	if !reflect.DeepEqual(b, a) {
		c.add(path, plain(before), plain(after), t)
	}
}

// compareKeyed compares lists whose elements have unique keys: element by
// element, and then the order of those that stand on both sides, which counts
// where the first match wins.
func (c *comparison) compareKeyed(path string, b, a map[string]reflect.Value, before, after reflect.Value, t tag) {
	names := map[string]bool{}
	for key := range b {
		names[key] = true
	}
	for key := range a {
		names[key] = true
	}
	all := make([]string, 0, len(names))
	for key := range names {
		all = append(all, key)
	}
	slices.Sort(all)
	for _, key := range all {
		c.element(path+"["+key+"]", b[key], a[key], t)
	}
	if from, to := order(before, a), order(after, b); !slices.Equal(from, to) {
		c.add(path+".order", from, to, t)
	}
}

func byKey(before, after reflect.Value) (b, a map[string]reflect.Value, unique bool) {
	index := func(list reflect.Value) map[string]reflect.Value {
		m := make(map[string]reflect.Value, list.Len())
		for i := range list.Len() {
			m[list.Index(i).Interface().(schema.Keyed).Key()] = list.Index(i)
		}
		return m
	}
	b, a = index(before), index(after)
	return b, a, len(b) == before.Len() && len(a) == after.Len()
}

// order lists the keys of a list that the other side has too.
func order(list reflect.Value, other map[string]reflect.Value) []string {
	var keys []string
	for i := range list.Len() {
		key := list.Index(i).Interface().(schema.Keyed).Key()
		if _, ok := other[key]; ok {
			keys = append(keys, key)
		}
	}
	return keys
}

func sorted(list reflect.Value) []string {
	texts := make([]string, 0, list.Len())
	for i := range list.Len() {
		texts = append(texts, fmt.Sprint(list.Index(i).Interface()))
	}
	slices.Sort(texts)
	return texts
}

func keys(maps ...reflect.Value) []string {
	var names []string
	for _, m := range maps {
		for _, k := range m.MapKeys() {
			names = append(names, k.String())
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
