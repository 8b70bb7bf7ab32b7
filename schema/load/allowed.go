package load

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"cuelang.org/go/cue"
)

// hints say in words what a definition's pattern allows.
var hints = map[string]string{
	"#Duration":       `a number with its unit, such as "30s" or "5m"`,
	"#Name":           "up to 64 letters, digits, _ and -",
	"#ShortName":      "up to 64 letters, digits, _, . and -",
	"#Hostname":       `a DNS name in lower case, such as "www.example.com"`,
	"#Ref":            `the name of an object of this specification, or "id:" and the id of one at Cloudflare`,
	"#ForeignRef":     `"id:" and the id of an object at Cloudflare`,
	"#StackName":      "up to 20 lower-case letters, digits and -",
	"#IP":             `an IP address, such as "192.0.2.1"`,
	"#Prefix":         `an address with its prefix length, such as "192.0.2.0/24"`,
	"#Account":        "the account id of 32 hexadecimal digits",
	"#Service":        `a URL such as "https://192.0.2.1:8443" (http, https, tcp, ssh, rdp, smb, unix:/path), "http_status:404", hello_world, bastion, socks-proxy`,
	"#Codes":          `a string such as "200", "2xx" or "200-299,301"`,
	"#Path":           `a path that begins with "/"`,
	"#Interface":      `the name of a network interface, such as "eth0"`,
	"#Country":        `a country's two capital letters, such as "JP"`,
	"#Pop":            `a data center's three capital letters, such as "NRT"`,
	"#Count":          "a whole number, at least 0",
	"#Number":         "a number",
	"#WholeSeconds":   `a duration in whole seconds, such as "60s" or "1h"`,
	"#EnvName":        "the name of an environment variable",
	"#CredentialName": "the name of a systemd credential",
	"#Text":           "text, not empty",
}

// describe says what a definition allows: the members of an enumeration, a
// pattern in words, bounds; "" where there is nothing to say. It reads the
// definition as CUE prints it, since that is where references and defaults
// are resolved.
func (e *evaluation) describe(v cue.Value) string {
	if !v.Exists() {
		return ""
	}
	switch v.IncompleteKind() {
	case cue.StructKind:
		return "a struct: {…}"
	case cue.ListKind:
		return "a list: […]"
	}
	if e.hints == nil {
		e.hints = map[string]string{}
		for name, words := range hints {
			e.hints[fmt.Sprint(e.lookup(name))] = words
		}
	}
	var members []string
	for alternative := range strings.SplitSeq(fmt.Sprint(v), " | ") {
		alternative = strings.TrimPrefix(alternative, "*")
		member, ok := e.hints[alternative]
		if !ok {
			member = bounds(strings.TrimSuffix(strings.TrimPrefix(alternative, "("), ")"))
		}
		if !slices.Contains(members, member) {
			members = append(members, member)
		}
	}
	return strings.Join(withoutSubsumed(members), ", ")
}

// bounds puts a type and its limits, as CUE prints them, into words.
func bounds(source string) string {
	var what, least, most, length string
	for part := range strings.SplitSeq(source, " & ") {
		operand, number := "", false
		for _, prefix := range []string{">=", "<="} {
			if rest, ok := strings.CutPrefix(part, prefix); ok {
				operand, number = rest, true
			}
		}
		switch {
		case part == "int":
			what = "a whole number"
		case part == "uint":
			what, least = "a whole number", "0"
		case part == "uint16":
			what, least, most = "a whole number", "0", "65535"
		case part == "number":
			what = "a number"
		case part == "bool":
			return "true or false"
		case part == "string":
			what = "text"
		case part == `!=""`:
			what = "text, not empty"
		case strings.HasPrefix(part, "strings.MaxRunes("):
			what = cmp.Or(what, "text")
			length = ", up to " + strings.TrimSuffix(strings.TrimPrefix(part, "strings.MaxRunes("), ")") + " characters"
		case number && part[0] == '>':
			least = operand
		case number:
			most = operand
		default: // What it is is not known here; CUE's own words are right.
			return source
		}
	}
	what = cmp.Or(what, "a number") + length
	switch {
	case least != "" && most != "":
		return what + " from " + least + " to " + most
	case least != "":
		return what + ", at least " + least
	case most != "":
		return what + ", at most " + most
	}
	return what
}

// withoutSubsumed drops a default that the rest of a disjunction covers: in
// "true|bool" or `"60s"|#Duration` only the general one says something.
func withoutSubsumed(members []string) []string {
	general := slices.ContainsFunc(members, func(m string) bool { return !literal(m) })
	if !general {
		return members
	}
	return slices.DeleteFunc(members, func(m string) bool { return literal(m) && m != `"auto"` })
}

// literal tells whether the words are a value of CUE's.
func literal(m string) bool {
	_, err := strconv.ParseFloat(m, 64)
	_, notText := strconv.Unquote(m)
	return err == nil || notText == nil || m == "true" || m == "false"
}

// keys describes the names that a struct takes, where it takes any that fit a
// pattern.
func (e *evaluation) keys(v cue.Value) string {
	iterator, err := v.Fields(cue.Patterns(true))
	if err != nil {
		return ""
	}
	for iterator.Next() {
		if s := iterator.Selector(); s.ConstraintType() == cue.PatternConstraint {
			return e.describe(s.Pattern())
		}
	}
	return ""
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
