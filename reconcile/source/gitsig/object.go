package gitsig

import (
	"bytes"
	"errors"
	"strings"
)

// How signatures begin in a tag.
const (
	sshBegin  = "-----BEGIN SSH SIGNATURE-----"
	pgpBegin  = "-----BEGIN PGP SIGNATURE-----"
	x509Begin = "-----BEGIN SIGNED MESSAGE-----"
)

// Commit is a commit object taken apart as git verify-commit does.
type Commit struct {
	Tree      string // what the payload says, 40 hex digits
	Payload   []byte // what was signed: the object without its signature
	Signature string // armoured, empty if there is none
}

// Tag is an annotated tag taken apart as git verify-tag does.
type Tag struct {
	Object    string // what the payload points to, 40 hex digits
	Type      string // of that: "commit", or "tag" for a tag of a tag
	Name      string // what the payload calls itself
	Payload   []byte
	Signature string
}

// ParseCommit takes a commit apart. object is the bytes whose hash is its name,
// without Git's "commit SIZE" in front.
func ParseCommit(object []byte) (Commit, error) {
	payload, sigs, err := withoutSignatures(object)
	if err != nil {
		return Commit{}, err
	}
	// Of several, git checks the first and others the last.
	if len(sigs["gpgsig"]) > 1 {
		return Commit{}, errors.New("the commit has two signatures")
	}
	c := Commit{Payload: payload}
	if len(sigs["gpgsig"]) == 1 {
		c.Signature = sigs["gpgsig"][0]
	}
	head, _, _ := bytes.Cut(payload, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	var ok bool
	if c.Tree, ok = strings.CutPrefix(lines[0], "tree "); !ok || !isHash(c.Tree) {
		return Commit{}, errors.New("the commit does not begin with its tree")
	}
	for _, line := range lines[1:] {
		if strings.HasPrefix(line, "tree ") {
			return Commit{}, errors.New("the commit has two trees")
		}
	}
	return c, nil
}

// ParseTag takes an annotated tag apart. object is as for ParseCommit.
func ParseTag(object []byte) (Tag, error) {
	// The signature is the message's end, from the last line that begins one.
	end := len(object)
	for at := 0; at < len(object); {
		line := object[at:]
		for _, begin := range []string{sshBegin, pgpBegin, x509Begin, "-----BEGIN PGP MESSAGE-----"} {
			if bytes.HasPrefix(line, []byte(begin)) {
				end = at
			}
		}
		next := bytes.IndexByte(line, '\n')
		if next < 0 {
			break
		}
		at += next + 1
	}
	payload, _, err := withoutSignatures(object[:end])
	if err != nil {
		return Tag{}, err
	}
	t := Tag{Payload: payload, Signature: string(object[end:])}
	lines := strings.SplitN(string(payload), "\n", 4)
	if len(lines) < 4 {
		return Tag{}, errors.New("the tag is incomplete")
	}
	for i, field := range []struct {
		name string
		to   *string
	}{{"object ", &t.Object}, {"type ", &t.Type}, {"tag ", &t.Name}} {
		var ok bool
		if *field.to, ok = strings.CutPrefix(lines[i], field.name); !ok {
			return Tag{}, errors.New("the tag does not begin with object, type and name")
		}
	}
	if !isHash(t.Object) {
		return Tag{}, errors.New("the tag names no object")
	}
	return t, nil
}

// withoutSignatures takes the signature headers out, with their continuation
// lines, and returns their values: gpgsig for the SHA-1 form of an object,
// gpgsig-sha256 for the other form, which the first does not cover.
func withoutSignatures(object []byte) (payload []byte, values map[string][]string, err error) {
	values = map[string][]string{}
	payload = make([]byte, 0, len(object))
	in := ""
	for rest := object; len(rest) > 0; {
		line, more := rest, []byte(nil)
		if i := bytes.IndexByte(rest, '\n'); i >= 0 {
			line, more = rest[:i+1], rest[i+1:]
		}
		if string(line) == "\n" { // the message begins
			return append(payload, rest...), values, nil
		}
		rest = more
		if line[0] == ' ' {
			if in != "" {
				values[in][len(values[in])-1] += string(line[1:])
				continue
			}
		} else if name, value, _ := strings.Cut(string(line), " "); name == "gpgsig" || name == "gpgsig-sha256" {
			in = name
			values[in] = append(values[in], value)
			continue
		} else {
			in = ""
		}
		payload = append(payload, line...)
	}
	return payload, values, nil
}

func isHash(s string) bool {
	return len(s) == 40 && strings.Trim(s, "0123456789abcdef") == ""
}
