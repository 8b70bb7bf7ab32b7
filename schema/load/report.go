package load

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"cuelang.org/go/cue"
	cueerrors "cuelang.org/go/cue/errors"

	"github.com/hactl/hactl/schema"
)

// report turns CUE's errors about the value at a path into problems: one for
// each path below it, at the user's own lines, in the words of the schema.
func (e *evaluation) report(err error, at string, value, definition cue.Value) {
	type group struct {
		errors   []cueerrors.Error
		relative []string
		absolute bool
	}
	groups := map[string]*group{}
	var order []string
	for _, ce := range cueerrors.Errors(err) {
		g := group{relative: ce.Path()}
		if n := len(g.relative); n > 0 && strings.HasPrefix(g.relative[0], "#") {
			g.relative = g.relative[1:]
		} else {
			g.absolute = true
		}
		p := joinAll(at, g.relative)
		if g.absolute {
			p = joinAll("", g.relative)
		}
		if groups[p] == nil {
			groups[p] = &g
			order = append(order, p)
		}
		groups[p].errors = append(groups[p].errors, ce)
	}
	for _, p := range order {
		g := groups[p]
		if p == "" {
			p = at
		}
		message := ""
		if !g.absolute {
			message = e.explain(g.errors, find(value, g.relative), g.relative, definition)
		}
		if message == "" {
			message = e.verbatim(g.errors)
		}
		e.add(p, e.where(g.errors, p, value), message)
	}
}

// explain says what is wrong with a field in terms of what its definition
// allows; "" where CUE's own words say it better.
func (e *evaluation) explain(errs []cueerrors.Error, given cue.Value, relative []string, definition cue.Value) string {
	text := text(errs)
	allowed := e.describe(follow(definition, relative))
	switch {
	case strings.Contains(text, "field not allowed"):
		return e.notAllowed(relative, definition)
	case strings.Contains(text, "required but not present"):
		return "required: " + allowed
	case strings.Contains(text, "incompatible list lengths"):
		return "want at least one element"
	case strings.Contains(text, "incomplete value") && allowed != "":
		return "has no value of its own; want " + allowed
	case !given.Exists() || given.Err() != nil || !given.IsConcrete():
		return ""
	case allowed == "":
		return ""
	case given.IncompleteKind() == cue.StructKind || given.IncompleteKind() == cue.ListKind:
		return "want " + allowed
	}
	return fmt.Sprintf("%s is not allowed here; allowed: %s", shorten(fmt.Sprint(given), longestValue), allowed)
}

// notAllowed offers the names that the definition has.
func (e *evaluation) notAllowed(relative []string, definition cue.Value) string {
	if len(relative) == 0 {
		return ""
	}
	parent, name := follow(definition, relative[:len(relative)-1]), unquote(relative[len(relative)-1])
	var names []string
	if iterator, err := parent.Fields(cue.Optional(true)); err == nil {
		for iterator.Next() {
			names = append(names, iterator.Selector().Unquoted())
		}
	}
	slices.Sort(names)
	if len(names) == 0 {
		return noName(name, e.keys(parent))
	}
	return unknownField(name, names)
}

// unknownField says which fields there are, or which one was meant.
func unknownField(name string, names []string) string {
	if meant := schema.Nearest(name, names); meant != "" {
		return fmt.Sprintf("field not allowed; did you mean %s?", meant)
	}
	return "field not allowed; allowed are " + strings.Join(names, ", ")
}

// noName says which names there can be.
func noName(name, allowed string) string {
	if allowed == "" {
		return fmt.Sprintf("%s is no name here", strconv.Quote(name))
	}
	return fmt.Sprintf("%s is no name here; allowed: %s", strconv.Quote(name), allowed)
}

// verbatim is what CUE says, without doubles and headings.
func (e *evaluation) verbatim(errs []cueerrors.Error) string {
	var lines []string
	for _, ce := range errs {
		line := words(ce)
		if strings.Contains(line, "errors in empty disjunction") || line == "" || slices.Contains(lines, line) {
			continue
		}
		var places []string
		for _, p := range ce.InputPositions() {
			if q := pos(p); q.File != "" && !ours(q) && !slices.Contains(places, q.String()) {
				places = append(places, q.String())
			}
		}
		if len(places) > 1 {
			line += " (" + strings.Join(places, ", ") + ")"
		}
		lines = append(lines, line)
	}
	if len(lines) == 0 {
		return "cannot be evaluated"
	}
	return strings.Join(lines, "; ")
}

var (
	// packageSuffix is how CUE marks hidden fields: "_x(:edge)".
	packageSuffix = regexp.MustCompile(`(\b_\w+)\(:\w+\)`)
	// leadingPlace is a position that CUE repeats within a message.
	leadingPlace = regexp.MustCompile(`^[^ ]+:[0-9]+:[0-9]+: `)
)

// The most characters of a message of CUE's, and of a value in a message.
const (
	longestMessage = 300
	longestValue   = 80
)

// words is one error of CUE's without positions and inner names.
func words(ce cueerrors.Error) string {
	format, args := ce.Msg()
	line := fmt.Sprintf(format, args...)
	if line == importFailed {
		line = importFailure(ce)
	}
	switch line {
	case "":
		line = ce.Error()
	case "structural cycle":
		line += ": it contains itself without end"
	}
	return shorten(packageSuffix.ReplaceAllString(line, "$1"), longestMessage)
}

// importFailed is how CUE begins what an import has come to.
const importFailed = "import failed"

// importFailure finds the cause at the bottom of a failed import.
func importFailure(err error) string {
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	line := err.Error()
	for strings.HasPrefix(line, importFailed+": ") {
		line = strings.TrimPrefix(line, importFailed+": ")
	}
	line = leadingPlace.ReplaceAllString(line, "")
	if strings.Contains(line, "no cue.mod/module.cue") {
		line = "this tree is no CUE module (it has no cue.mod/module.cue), so there is nothing to import but CUE's standard library; " + nothingFetched
	}
	return "import: " + line
}

// shorten keeps a message readable.
func shorten(s string, most int) string {
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return s
}

// ours tells whether a position lies in the schema.
func ours(p schema.Pos) bool { return strings.HasPrefix(p.File, "/"+schemaDir+"/") }

// where finds the user's line: CUE's own position if it lies in the user's
// files, else where the field or its nearest parent was written.
func (e *evaluation) where(errs []cueerrors.Error, at string, value cue.Value) schema.Pos {
	for _, ce := range errs {
		for _, p := range append(slices.Clip(ce.InputPositions()), ce.Position()) {
			if q := pos(p); q.File != "" && !ours(q) {
				return q
			}
		}
	}
	for p := at; p != ""; p = schema.Parent(p) {
		if i, ok := e.placed[p]; ok {
			found := e.answer.Places[i]
			return schema.Pos{File: e.answer.Files[found.File], Line: found.Line, Column: found.Column}
		}
	}
	if p := pos(value.Pos()); !ours(p) {
		return p
	}
	return schema.Pos{}
}

func text(errs []cueerrors.Error) string {
	var b strings.Builder
	for _, ce := range errs {
		format, args := ce.Msg()
		fmt.Fprintf(&b, format+"\n", args...)
	}
	return b.String()
}

// unknownFields reports fields of the user's that the definition does not
// have, at any depth: CUE is silent about them where it finds another error
// in the same struct.
func (e *evaluation) unknownFields(at string, relative []string, value, definition, root cue.Value) {
	switch value.IncompleteKind() {
	case cue.StructKind:
		iterator, err := value.Fields()
		if err != nil || definition.IncompleteKind() != cue.StructKind {
			return
		}
		for iterator.Next() {
			name := iterator.Selector().Unquoted()
			below := schema.Join(at, name)
			path := append(slices.Clip(relative), name)
			if !definition.Allows(iterator.Selector()) {
				e.place(below, iterator.Value().Pos())
				e.add(below, e.where(nil, below, iterator.Value()), e.notAllowed(path, root))
				continue
			}
			e.unknownFields(below, path, iterator.Value(), follow(definition, []string{name}), root)
		}
	case cue.ListKind:
		iterator, err := value.List()
		if err != nil || definition.IncompleteKind() != cue.ListKind {
			return
		}
		element := definition.LookupPath(cue.MakePath(cue.AnyIndex))
		for i := 0; element.Exists() && iterator.Next(); i++ {
			index := strconv.Itoa(i)
			e.unknownFields(at+"["+index+"]", append(slices.Clip(relative), index), iterator.Value(), element, root)
		}
	}
}

func joinAll(path string, elements []string) string {
	for _, element := range elements {
		if _, err := strconv.Atoi(element); err == nil && path != "" {
			path += "[" + element + "]"
			continue
		}
		path = schema.Join(path, unquote(element))
	}
	return path
}

func unquote(s string) string {
	if u, err := strconv.Unquote(s); err == nil {
		return u
	}
	return s
}
