package load

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"cuelang.org/go/cue"
	cueerrors "cuelang.org/go/cue/errors"

	"github.com/hactl/hactl/schema"
)

// hints say in words what a definition's pattern allows.
var hints = map[string]string{
	"#Duration":  `a number with its unit, such as "30s" or "5m"`,
	"#Name":      "up to 64 letters, digits, _ and -",
	"#ShortName": "up to 64 letters, digits, _, . and -",
	"#Hostname":  `a DNS name, such as "www.example.com"`,
	"#Ref":       `the name of an object of this specification, or "id:" and the id of one at Cloudflare`,
	"#StackName": "up to 20 lower-case letters, digits and -",
	"#IP":        `an IP address, such as "192.0.2.1"`,
	"#Prefix":    `an address with its prefix length, such as "192.0.2.0/24"`,
	"#Account":   "the account id of 32 hexadecimal digits",
	"#Service":   `a URL such as "https://192.0.2.1:8443" (http, https, tcp, ssh, rdp, smb, unix:/path), "http_status:404", hello_world, bastion, socks-proxy`,
	"#Codes":     `a string such as "200", "2xx" or "200-299,301"`,
}

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
	case !given.Exists() || given.Err() != nil || !given.IsConcrete():
		return ""
	case allowed == "":
		return ""
	case given.IncompleteKind() == cue.StructKind || given.IncompleteKind() == cue.ListKind:
		return "want " + allowed
	}
	return fmt.Sprintf("%v is not allowed here; allowed: %s", given, allowed)
}

// notAllowed offers the names that the definition has.
func (e *evaluation) notAllowed(relative []string, definition cue.Value) string {
	if len(relative) == 0 {
		return ""
	}
	var names []string
	if iterator, err := follow(definition, relative[:len(relative)-1]).Fields(cue.Optional(true)); err == nil {
		for iterator.Next() {
			names = append(names, iterator.Selector().Unquoted())
		}
	}
	slices.Sort(names)
	if len(names) == 0 {
		return "not a valid name here"
	}
	return "field not allowed; allowed are " + strings.Join(names, ", ")
}

// verbatim is what CUE says, without doubles and headings.
func (e *evaluation) verbatim(errs []cueerrors.Error) string {
	var lines []string
	for _, ce := range errs {
		format, args := ce.Msg()
		line := fmt.Sprintf(format, args...)
		if strings.Contains(line, "errors in empty disjunction") || slices.Contains(lines, line) {
			continue
		}
		if len(line) > 300 {
			line = line[:300] + "…"
		}
		var places []string
		for _, p := range ce.InputPositions() {
			if q := pos(p); q.File != "" && !strings.HasPrefix(q.File, "/"+schemaDir+"/") && !slices.Contains(places, q.String()) {
				places = append(places, q.String())
			}
		}
		if len(places) > 1 {
			line += " (" + strings.Join(places, ", ") + ")"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "; ")
}

// where finds the user's line: CUE's own position if it lies in the user's
// files, else where the field or its nearest parent was written.
func (e *evaluation) where(errs []cueerrors.Error, at string, value cue.Value) schema.Pos {
	for _, ce := range errs {
		for _, p := range append(slices.Clip(ce.InputPositions()), ce.Position()) {
			if q := pos(p); q.File != "" && !strings.HasPrefix(q.File, "/"+schemaDir+"/") {
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
	return pos(value.Pos())
}

func text(errs []cueerrors.Error) string {
	var b strings.Builder
	for _, ce := range errs {
		format, args := ce.Msg()
		fmt.Fprintf(&b, format+"\n", args...)
	}
	return b.String()
}

// describe lists what a definition allows: the members of an enumeration, a
// pattern in words, bounds as CUE writes them.
func (e *evaluation) describe(v cue.Value) string {
	if !v.Exists() {
		return ""
	}
	source := fmt.Sprint(v)
	for name, hint := range hints {
		if source == fmt.Sprint(e.lookup(name)) {
			return hint
		}
	}
	switch v.IncompleteKind() {
	case cue.StructKind:
		return "a struct: {…}"
	case cue.ListKind:
		return "a list: […]"
	}
	if op, args := v.Expr(); op == cue.OrOp {
		var members []string
		for _, arg := range args {
			if m := e.describe(arg); m != "" && !slices.Contains(members, m) {
				members = append(members, m)
			}
		}
		return withoutSubsumed(members)
	}
	_, bounds, found := strings.Cut(source, " | ")
	if found && strings.HasPrefix(source, "*") {
		return bounds
	}
	return strings.ReplaceAll(source, " | ", ", ")
}

// withoutSubsumed drops a default that the rest of a disjunction covers: in
// "true|bool" or `"60s"|#Duration` only the general one says something.
func withoutSubsumed(members []string) string {
	general := slices.ContainsFunc(members, func(m string) bool { return !strings.HasPrefix(m, `"`) })
	if general && len(members) == 2 {
		for i, m := range members {
			_, err := strconv.ParseFloat(m, 64)
			if strings.HasPrefix(m, `"`) && m != `"auto"` || err == nil || m == "true" || m == "false" {
				return members[1-i]
			}
		}
	}
	return strings.Join(members, ", ")
}

// find looks a path up in the user's value.
func find(v cue.Value, elements []string) cue.Value {
	for _, element := range elements {
		if i, err := strconv.Atoi(element); err == nil && v.IncompleteKind() == cue.ListKind {
			v = v.LookupPath(cue.MakePath(cue.Index(i)))
			continue
		}
		v = v.LookupPath(cue.MakePath(cue.Str(unquote(element))))
	}
	return v
}

// follow looks a path up in a definition, through optional fields, patterns
// and lists.
func follow(v cue.Value, elements []string) cue.Value {
	for _, element := range elements {
		var next cue.Value
		selectors := []cue.Selector{cue.Str(unquote(element)), cue.Str(unquote(element)).Optional(), cue.AnyString}
		if _, err := strconv.Atoi(element); err == nil && v.IncompleteKind() == cue.ListKind {
			selectors = []cue.Selector{cue.AnyIndex}
		}
		for _, s := range selectors {
			if next = v.LookupPath(cue.MakePath(s)); next.Exists() {
				break
			}
		}
		v = next
	}
	return v
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
