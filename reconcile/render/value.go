package render

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/hactl/hactl/schema"
)

// width is where a value is broken into lines.
const width = 100

// value prints a plain value as CUE would write it, on one line.
func value(v any) string {
	switch v := v.(type) {
	case nil:
		return "(none)"
	case string:
		return strconv.Quote(v)
	case bool:
		return strconv.FormatBool(v)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case []string:
		list := make([]any, 0, len(v))
		for _, s := range v {
			list = append(list, s)
		}
		return value(list)
	case []any:
		parts := make([]string, 0, len(v))
		for _, element := range v {
			parts = append(parts, value(element))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case map[string]any:
		parts := make([]string, 0, len(v))
		for _, k := range slices.Sorted(maps.Keys(v)) {
			parts = append(parts, schema.Join("", k)+": "+value(v[k]))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	}
	b, err := json.Marshal(v)
	if err != nil {
		return "?"
	}
	return string(b)
}

// clean keeps control characters, which messages of servers and names may
// hold, from terminals and from breaking a line.
func clean(s string) string {
	if !strings.ContainsFunc(s, unicode.IsControl) {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		switch {
		case r == '\n' || r == '\t':
			b.WriteByte(' ')
		case unicode.IsControl(r):
			fmt.Fprintf(&b, "\\x%02x", r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// Plain is text without what moves a terminal: control characters are written
// as \x1b.
func Plain(text string) string {
	var out strings.Builder
	for _, r := range text {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			fmt.Fprintf(&out, "\\x%02x", r)
		} else {
			out.WriteRune(r)
		}
	}
	return out.String()
}

// Clean is a writer of text from elsewhere for a terminal: control characters
// but for new lines and tabs are shown, and do nothing.
type Clean struct{ W io.Writer }

// Write implements io.Writer.
func (c Clean) Write(b []byte) (int, error) {
	if _, err := io.WriteString(c.W, Plain(string(b))); err != nil {
		return 0, err
	}
	return len(b), nil
}

// lines prints a value, a list over several lines where it is long.
func lines(v any, indent string) string {
	one := value(v)
	list, ok := v.([]any)
	if !ok || len(one)+len(indent) <= width {
		return one
	}
	var b strings.Builder
	b.WriteString("[\n")
	for _, element := range list {
		b.WriteString(indent + "  " + value(element) + ",\n")
	}
	return b.String() + indent + "]"
}
