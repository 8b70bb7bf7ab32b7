package wirecheck

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/getkin/kin-openapi/openapi3"
)

// unknown lists the fields of a body that its schema does not declare, except those that known accepts. known is
// asked with the path without list positions, such as result.origins.port.
func unknown(content openapi3.Content, body []byte, known func(path string) bool) []string {
	media := content.Get("application/json")
	if media == nil || media.Schema == nil {
		return nil
	}
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		return []string{"body is not JSON: " + err.Error()}
	}
	w := &walk{known: known}
	w.value([]*openapi3.Schema{media.Schema.Value}, v, "", "")
	return w.found
}

type walk struct {
	known func(string) bool
	found []string
}

// value walks v beside every schema that may describe it. path has list positions, plain has none.
func (w *walk) value(schemas []*openapi3.Schema, v any, path, plain string) {
	schemas = flatten(schemas)
	switch v := v.(type) {
	case []any:
		var items []*openapi3.Schema
		for _, s := range schemas {
			if s.Items != nil {
				items = append(items, s.Items.Value)
			}
		}
		for i, item := range v {
			w.value(items, item, fmt.Sprintf("%s[%d]", path, i), plain)
		}
	case map[string]any:
		w.object(schemas, v, path, plain)
	}
}

// object: a field is known when any of the schemas has it, or describes the values of an open map. Where none of
// them names a single field, the object is open.
func (w *walk) object(schemas []*openapi3.Schema, v map[string]any, path, plain string) {
	var open []*openapi3.Schema
	closed := false
	for _, s := range schemas {
		if s.AdditionalProperties.Schema != nil {
			open = append(open, s.AdditionalProperties.Schema.Value)
		}
		if is := s.AdditionalProperties.Has; is != nil && *is {
			open = append(open, openapi3.NewSchema())
		} else if is != nil {
			closed = true
		}
		closed = closed || len(s.Properties) > 0
	}
	if !closed && open == nil {
		return
	}
	var keys []string
	for key := range v {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		var fields []*openapi3.Schema
		for _, s := range schemas {
			if p := s.Properties[key]; p != nil {
				fields = append(fields, p.Value)
			}
		}
		if fields == nil {
			fields = open
		}
		at, plainAt := join(path, key), join(plain, key)
		switch {
		case fields != nil:
			w.value(fields, v[key], at, plainAt)
		case !w.known(plainAt):
			w.found = append(w.found, "field "+at+": unknown")
		}
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// flatten resolves allOf, anyOf and oneOf into the schemas they combine.
func flatten(schemas []*openapi3.Schema) []*openapi3.Schema {
	var out []*openapi3.Schema
	for _, s := range schemas {
		out = append(out, s)
		for _, group := range []openapi3.SchemaRefs{s.AllOf, s.AnyOf, s.OneOf} {
			for _, ref := range group {
				out = append(out, flatten([]*openapi3.Schema{ref.Value})...)
			}
		}
	}
	return out
}
