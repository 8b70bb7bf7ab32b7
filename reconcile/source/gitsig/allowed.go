package gitsig

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// allowed is one line of an allowed_signers file.
type allowed struct {
	where      string // file:line
	principals string // comma separated patterns, as written
	key        ssh.PublicKey
	authority  bool   // the key signs certificates, not commits
	namespaces string // comma separated patterns; empty for any
	after      moment // zero for none
	before     moment
}

// moment is a time as the file gives it: without a zone it is a wall clock's,
// and the clock is the one of whoever checks.
type moment struct {
	at  time.Time
	utc bool
}

// in is the moment, where it has no zone of its own in that of now.
func (m moment) in(now time.Time) time.Time {
	if m.utc || m.at.IsZero() {
		return m.at
	}
	t := m.at
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), 0, now.Location())
}

// parseAllowedSigners reads ssh-keygen(1)'s ALLOWED SIGNERS. Where ssh-keygen
// skips a line that it does not understand, this refuses the file: a typo should
// not quietly remove a signer, or an option of one.
func parseAllowedSigners(file, text string) ([]allowed, error) {
	var all []allowed
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.Trim(line, " \t\r\n")
		if line == "" || line[0] == '#' {
			continue
		}
		a, err := parseAllowed(line)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, n, err)
		}
		a.where = fmt.Sprintf("%s:%d", file, n)
		all = append(all, a)
	}
	return all, nil
}

func parseAllowed(line string) (a allowed, err error) {
	var rest string
	if a.principals, rest, err = principals(line); err != nil {
		return a, err
	}
	var ok bool
	if a.key, ok, err = publicKey(rest); !ok {
		var options string
		if options, rest, err = pastOptions(rest); err != nil {
			return a, err
		}
		if a.key, ok, err = publicKey(rest); !ok {
			return a, errors.New("there is no public key: a line is PRINCIPALS [OPTIONS] TYPE BASE64 [COMMENT]")
		}
		if err == nil {
			err = a.options(options)
		}
	}
	return a, err
}

// principals takes the first field, which may be in quotes, off a line.
func principals(line string) (field, rest string, err error) {
	if quoted, ok := strings.CutPrefix(line, `"`); ok {
		if field, rest, ok = strings.Cut(quoted, `"`); !ok {
			return "", "", errors.New("the principals' quote does not end")
		}
	} else if i := strings.IndexAny(line, " \t"); i >= 0 {
		field, rest = line[:i], line[i:]
	} else {
		field = line
	}
	for p := range strings.SplitSeq(field, ",") {
		if strings.TrimPrefix(p, "!") == "" {
			return "", "", errors.New("a principal is empty")
		}
	}
	return field, strings.TrimLeft(rest, " \t"), nil
}

// publicKey reads a key. ok is false if text does not begin with a key's type.
func publicKey(text string) (key ssh.PublicKey, ok bool, err error) {
	fields := strings.Fields(text)
	if len(fields) < 2 || !keyTypes[fields[0]] {
		if len(fields) >= 2 && strings.HasPrefix(fields[1], "AAAA") && !strings.ContainsAny(fields[0], `="`) && fields[0] != "cert-authority" {
			return nil, true, fmt.Errorf("a key of the type %s is not accepted", shown(fields[0]))
		}
		return nil, false, nil
	}
	raw, err := base64.StdEncoding.DecodeString(fields[1])
	if err != nil {
		return nil, true, fmt.Errorf("the %s key is not base64", fields[0])
	}
	key, err = ssh.ParsePublicKey(raw)
	if err != nil {
		return nil, true, fmt.Errorf("the %s key is damaged", fields[0])
	}
	if key.Type() != fields[0] {
		return nil, true, fmt.Errorf("the key is called %s, and is %s", fields[0], key.Type())
	}
	return key, true, strong(key)
}

// pastOptions takes the options off: to the first blank outside quotes.
func pastOptions(text string) (options, rest string, err error) {
	quoted := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && i+1 < len(text) && text[i+1] == '"':
			i++
		case c == '"':
			quoted = !quoted
		case (c == ' ' || c == '\t') && !quoted:
			return text[:i], strings.TrimLeft(text[i:], " \t"), nil
		}
	}
	if quoted {
		return "", "", errors.New("an option's quote does not end")
	}
	return text, "", nil
}

func (a *allowed) options(text string) error {
	seen := map[string]bool{}
	for rest := text; ; {
		end := strings.IndexAny(rest, "=,")
		if end < 0 {
			end = len(rest)
		}
		name := strings.ToLower(rest[:end])
		if seen[name] {
			return fmt.Errorf("the option %s is given twice", shown(name))
		}
		seen[name] = true
		rest = rest[end:]
		value, valued := "", false
		if after, ok := strings.CutPrefix(rest, "="); ok {
			var err error
			if value, rest, err = unquote(after); err != nil {
				return fmt.Errorf("the option %s: %w", shown(name), err)
			}
			valued = true
		}
		if err := a.option(name, value, valued); err != nil {
			return err
		}
		if rest == "" {
			return nil
		}
		var ok bool
		if rest, ok = strings.CutPrefix(rest, ","); !ok || rest == "" {
			return fmt.Errorf("a comma and another option are expected after the option %s", shown(name))
		}
	}
}

func (a *allowed) option(name, value string, valued bool) (err error) {
	switch name {
	case "cert-authority":
		if valued {
			return errors.New("the option cert-authority has no value")
		}
		a.authority = true
		return nil
	case "namespaces":
		if value == "" {
			return errors.New("the option namespaces names none")
		}
		a.namespaces = value
		return nil
	case "valid-after":
		a.after, err = parseMoment(value)
	case "valid-before":
		a.before, err = parseMoment(value)
	default:
		return fmt.Errorf("the option %s is unknown: there are cert-authority, namespaces, valid-after and valid-before", shown(name))
	}
	if err != nil {
		return fmt.Errorf("the option %s: %w", name, err)
	}
	return nil
}

// unquote reads a value in double quotes, in which \" is a quote.
func unquote(s string) (value, rest string, err error) {
	s, ok := strings.CutPrefix(s, `"`)
	if !ok {
		return "", "", errors.New("its value belongs in double quotes")
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s) && s[i+1] == '"':
			i++
			b.WriteByte('"')
		case s[i] == '"':
			return b.String(), s[i+1:], nil
		default:
			b.WriteByte(s[i])
		}
	}
	return "", "", errors.New("its quote does not end")
}

// parseMoment reads YYYYMMDD[HHMM[SS]][Z].
func parseMoment(s string) (moment, error) {
	digits, utc := strings.CutSuffix(s, "Z")
	layouts := map[int]string{8: "20060102", 12: "200601021504", 14: "20060102150405"}
	t, err := time.Parse(layouts[len(digits)], digits)
	if err != nil || len(digits) < 8 {
		return moment{}, fmt.Errorf("%s is not a time: write YYYYMMDD, YYYYMMDDHHMM or YYYYMMDDHHMMSS, with Z for UTC", shown(s))
	}
	return moment{t, utc}, nil
}

// holds reports if the line is for key itself.
func (a *allowed) holds(key ssh.PublicKey) bool {
	return bytes.Equal(a.key.Marshal(), key.Marshal())
}

// permits checks the line's options.
func (a *allowed) permits(now time.Time, who string) error {
	after, before := a.after.in(now), a.before.in(now)
	switch {
	case a.namespaces != "" && !matchList(a.namespaces, namespace):
		return refuse(ErrNamespace, "%s may sign %s only, not git's objects (%s)", who, shown(a.namespaces), a.where)
	case !after.IsZero() && now.Before(after):
		return refuse(ErrNotValid, "%s is not valid before %s (%s)", who, after.Format(time.RFC3339), a.where)
	case !before.IsZero() && now.After(before):
		return refuse(ErrNotValid, "%s was valid until %s (%s)", who, before.Format(time.RFC3339), a.where)
	}
	return nil
}

// name is what to call the holder of the line's key.
func (a *allowed) name() string {
	for p := range strings.SplitSeq(a.principals, ",") {
		if !strings.HasPrefix(p, "!") && !strings.ContainsAny(p, "*?") {
			return p
		}
	}
	return a.principals
}

// shown makes a word of the input fit for an error.
func shown(s string) string {
	if len(s) > 64 {
		s = s[:64] + "…"
	}
	return fmt.Sprintf("%q", s)
}
