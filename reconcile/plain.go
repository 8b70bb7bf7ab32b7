package reconcile

import (
	"crypto/sha256"
	"encoding"
	"fmt"
	"reflect"

	"github.com/hactl/hactl/schema"
)

// plain turns a value into nil, bool, float64, int, string, []any or
// map[string]any, leaving out fields that have their default.
func plain(v reflect.Value) any {
	if !v.IsValid() {
		return nil
	}
	if v.Type() == reflect.TypeFor[schema.SecretRef]() {
		return plainSecret(v.Interface().(schema.SecretRef))
	}
	if v.CanInterface() && v.Kind() != reflect.Pointer && v.Kind() != reflect.Interface {
		if m, ok := v.Interface().(encoding.TextMarshaler); ok {
			text, err := m.MarshalText()
			if err != nil {
				panic("reconcile: " + err.Error()) // Durations always print.
			}
			return string(text)
		}
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			return nil
		}
		return plain(v.Elem())
	case reflect.Struct:
		return plainStruct(v)
	case reflect.Map:
		m := make(map[string]any, v.Len())
		for _, k := range v.MapKeys() {
			m[k.String()] = plain(v.MapIndex(k))
		}
		return m
	case reflect.Slice:
		list := make([]any, 0, v.Len())
		for i := range v.Len() {
			list = append(list, plain(v.Index(i)))
		}
		return list
	case reflect.Int:
		return float64(v.Int())
	}
	return v.Convert(basic(v.Kind())).Interface()
}

// plainSecret names a ciphertext by its hash: it is long, and says nothing to
// a person but whether it is another one.
func plainSecret(r schema.SecretRef) map[string]any {
	m := plainStruct(reflect.ValueOf(r))
	if r.Age != "" {
		m["age"] = fmt.Sprintf("sealed, %.6x", sha256.Sum256([]byte(r.Age)))
	}
	return m
}

func basic(k reflect.Kind) reflect.Type {
	switch k {
	case reflect.Bool:
		return reflect.TypeFor[bool]()
	case reflect.Float64:
		return reflect.TypeFor[float64]()
	case reflect.String:
		return reflect.TypeFor[string]()
	}
	panic("reconcile: no plain form of " + k.String())
}

func plainStruct(v reflect.Value) map[string]any {
	blank := reflect.Zero(v.Type())
	if d, ok := v.Interface().(schema.Defaulted); ok {
		blank = reflect.ValueOf(d.Defaults())
	}
	m := map[string]any{}
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if t := tagOf(f); t.skip || reflect.DeepEqual(v.Field(i).Interface(), blank.Field(i).Interface()) {
			continue
		}
		value := plain(v.Field(i))
		switch empty := value.(type) {
		case map[string]any:
			if len(empty) == 0 && f.Type.Kind() != reflect.Pointer {
				continue
			}
		case []any:
			if len(empty) == 0 {
				continue
			}
		}
		m[fieldName(f)] = value
	}
	return m
}
