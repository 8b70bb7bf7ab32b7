package gitsig

import (
	"strings"
	"testing"
)

func TestAllowedSignersFiles(t *testing.T) {
	s := newEd25519(t)
	key := line(s.PublicKey(), "")
	sig := made{}.by(t, s)
	for _, tt := range []struct{ text, principal string }{
		{"alice@example.com" + key, "alice@example.com"},
		{"# a comment\n\n \t# another\n  alice\t" + key, "alice"},
		{"alice" + strings.TrimRight(key, "\n"), "alice"},
		{"alice" + strings.ReplaceAll(key, "\n", "\r\n"), "alice"},
		{`"alice,two words"` + key, "alice"},
		{"*@example.com,alice@example.com" + key, "alice@example.com"},
		{"*@example.com" + key, "*@example.com"},
		{"!bob@example.com,*@example.com" + key, "!bob@example.com,*@example.com"},
		{`alice namespaces="git",valid-after="20260101Z"` + key, "alice"},
		{`alice namespaces="a \"b, git"` + strings.ReplaceAll(key, " a comment", ""), ""},
	} {
		k, err := ParseKeys("f", []byte(tt.text))
		if err != nil {
			t.Errorf("%q: %v", tt.text, err)
			continue
		}
		got, err := k.Verify(payload, sig, now)
		if tt.principal == "" {
			wantKind(t, err, ErrNamespace)
		} else if err != nil || got.Principal != tt.principal {
			t.Errorf("%q: %v, %v", tt.text, got, err)
		}
	}
}

func TestAllowedSignersMistakesAreLocated(t *testing.T) {
	good := line(newEd25519(t).PublicKey(), "alice")
	key := line(newEd25519(t).PublicKey(), "")
	short := line(newRSA(t, 1024).PublicKey(), "alice")
	for text, words := range map[string]string{
		"":                                     "f: there is no key in it",
		"# nobody\n":                           "f: there is no key in it",
		good + "alice\n":                       "f:2: there is no public key",
		good + "\nalice ssh-ed25519\n":         "f:3: there is no public key",
		"alice ssh-ed25519 AAAA????\n":         "f:1: the ssh-ed25519 key is not base64",
		"alice ssh-ed25519 AAAAC3Nz\n":         "f:1: the ssh-ed25519 key is damaged",
		"alice ssh-dss AAAAB3NzaC1kc3MAAACB\n": `a key of the type "ssh-dss" is not accepted`,
		short:                                  "1024 bits is too short",
		strings.Replace(good, "ssh-ed25519", "ssh-rsa", 1): "is called ssh-rsa, and is ssh-ed25519",
		`"alice` + key:                              "quote does not end",
		"alice,,bob" + key:                          "a principal is empty",
		`alice valid-befor="20260101"` + key:        `"valid-befor" is unknown`,
		`alice no-touch-required` + key:             `"no-touch-required" is unknown`,
		`alice valid-before=20260101` + key:         "double quotes",
		`alice valid-before="2026"` + key:           `"2026" is not a time`,
		`alice valid-before="20261301"` + key:       `"20261301" is not a time`,
		`alice valid-before` + key:                  "is not a time",
		`alice namespaces=""` + key:                 "names none",
		`alice namespaces="git` + key:               "quote does not end",
		`alice namespaces="git",` + key:             "another option",
		`alice namespaces="git"x` + key:             "comma",
		`alice cert-authority="yes"` + key:          "has no value",
		`alice namespaces="a",namespaces="b"` + key: "twice",
	} {
		if _, err := ParseKeys("f", []byte(text)); err == nil || !strings.Contains(err.Error(), words) || !strings.HasPrefix(err.Error(), "f:") {
			t.Errorf("%q: got %v, want %s", text, err, words)
		}
	}
}

func TestPatternsMatchAsInOpenSSH(t *testing.T) {
	for _, tt := range []struct {
		patterns, s string
		want        bool
	}{
		{"alice", "alice", true}, {"alice", "Alice", false}, {"alice", "alice2", false},
		{"*", "", true}, {"*", "x", true}, {"?", "", false}, {"a?c", "abc", true},
		{"*@example.com", "a@example.com", true}, {"*@example.com", "a@example.com.org", false},
		{"a*b*c", "axxbyyc", true}, {"a*b*c", "axxbyy", false}, {"**a", "ba", true},
		{"bob,al*", "alice", true}, {"!alice,al*", "alice", false}, {"al*,!alice", "alice", false},
		{"!bob", "alice", false}, {"!bob,*", "alice", true}, {"", "", true}, {"", "a", false},
		{strings.Repeat("*a", 40) + "b", strings.Repeat("a", 4000), false},
	} {
		if got := matchList(tt.patterns, tt.s); got != tt.want {
			t.Errorf("%q matches %q: %v", tt.patterns, tt.s, got)
		}
	}
}

func FuzzParseKeys(f *testing.F) {
	f.Add([]byte(line(newEd25519(f).PublicKey(), `"a b" cert-authority,namespaces="x\"y",valid-after="20260101"`)))
	f.Add([]byte("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDMEZ\n-----END PGP PUBLIC KEY BLOCK-----\n"))
	f.Add([]byte{0x99, 1, 2})
	f.Fuzz(func(t *testing.T, data []byte) {
		if k, err := ParseKeys("f", data); (err == nil) != (k.Len() > 0) {
			t.Errorf("%d keys, %v", k.Len(), err)
		}
	})
}
