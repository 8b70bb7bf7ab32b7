package source

import (
	"context"
	"errors"
	"strings"
	"testing"
	"unicode"
)

func TestGitURLForms(t *testing.T) {
	for raw, want := range map[string]string{
		"https://example.com/o/r.git":     "https example.com /o/r.git",
		"https://example.com:8443/o/r/":   "https example.com:8443 /o/r",
		"HTTPS://example.com/a%20b":       "https example.com /a%20b",
		"https://[2001:db8::1]/r":         "https 2001:db8::1 /r",
		"ssh://git@example.com/o/r":       "ssh git@example.com /o/r",
		"ssh://example.com:2222/~me/r":    "ssh git@example.com:2222 ~me/r",
		"git@example.com:o/r.git":         "ssh git@example.com o/r.git",
		"example.com:r":                   "ssh git@example.com r",
		"me@[2001:db8::1]:/srv/r":         "ssh me@2001:db8::1 /srv/r",
		"[example.com:2222]:r":            "ssh git@example.com:2222 r",
		"file:///srv/r":                   "file /srv/r",
		"file://localhost/srv/r":          "file /srv/r",
		"/srv/with:colon/r":               "file /srv/with:colon/r",
		"/srv/@x/r":                       "file /srv/@x/r",
		"git@example.com:dir/a@b:c/r.git": "ssh git@example.com dir/a@b:c/r.git",
	} {
		r, err := parseRemote(raw)
		if err != nil {
			t.Errorf("%s: %v", raw, err)
			continue
		}
		got := r.scheme + " "
		if r.user != "" {
			got += r.user + "@"
		}
		got += r.host
		if r.port != 0 {
			got += strings.TrimPrefix(r.hostPort(0), "["+r.host+"]")[strings.LastIndex(r.hostPort(0), ":"):]
		}
		if got = strings.TrimRight(got, " ") + " " + r.path; got != want {
			t.Errorf("%s is %q, want %q", raw, got, want)
		}
	}
}

func TestGitRefusesOptions(t *testing.T) {
	const secret = "S3cretS3cret"
	token := func(context.Context) (string, error) { return secret, nil }
	for _, tt := range []struct {
		o     GitOptions
		words string
	}{
		{GitOptions{URL: ""}, "is empty"},
		{GitOptions{URL: "https://me:" + secret + "@example.com/r"}, "carries a user name or password"},
		{GitOptions{URL: "https://" + secret + "@example.com/r"}, "carries a user name or password"},
		{GitOptions{URL: "ssh://git:" + secret + "@example.com/r"}, "carries a user name or password"},
		{GitOptions{URL: "git:" + secret + "@example.com:r"}, "carries a user name or password"},
		{GitOptions{URL: "https://example.com/r?private_token=" + secret}, "query or fragment"},
		{GitOptions{URL: "https://example.com/r#" + secret}, "query or fragment"},
		{GitOptions{URL: "https://me:" + secret + "%zz@example.com/r"}, "cannot be parsed"},
		{GitOptions{URL: "https://me:" + secret + "\x7f@example.com/r"}, "control character"},
		{GitOptions{URL: "ext::sh -c " + secret}, "remote helper"},
		{GitOptions{URL: "git://example.com/r"}, "neither encrypted nor authenticated"},
		{GitOptions{URL: "ftp://example.com/r"}, `scheme "ftp" is not supported`},
		{GitOptions{URL: "https:///r"}, "host name"},
		{GitOptions{URL: "https://example.com/"}, "has no path"},
		{GitOptions{URL: "https://example.com:99999/r"}, "port"},
		{GitOptions{URL: "ssh://-oProxyCommand=x/r"}, "host name"},
		{GitOptions{URL: "-oProxyCommand=x:r"}, "host name"},
		{GitOptions{URL: "file://elsewhere/r"}, "file:///path"},
		{GitOptions{URL: "http://git.example.com/r", Token: token}, "can read the token: use https"},
		{GitOptions{URL: "ssh://example.com/r", Token: token}, "a token is for https"},
		{GitOptions{URL: "https://example.com/r", Token: token, TokenFile: "x"}, "choose one"},
		{GitOptions{URL: "https://example.com/r", SSHKeyFile: "x"}, "an SSH key is for ssh"},
		{GitOptions{URL: "ssh://example.com/r", CAFile: "x"}, "a CA file is for https"},
		{GitOptions{URL: "https://example.com/r", Path: "../x"}, "must not contain .."},
		{GitOptions{URL: "https://example.com/r", Path: "/x"}, "must be relative"},
		{GitOptions{URL: "https://example.com/r", Path: "a\x00b"}, "plain folder name"},
		{GitOptions{URL: "https://example.com/r", Ref: "-x"}, "begins with a dash"},
		{GitOptions{URL: "https://example.com/r", Ref: "main~1"}, "is an expression"},
		{GitOptions{URL: "https://example.com/r", Ref: "a b"}, "space"},
		{GitOptions{URL: "https://example.com/r", Ref: "a..b"}, "valid ref name"},
		{GitOptions{URL: "https://example.com/r", Ref: strings.Repeat("ab", 32)}, "SHA-256"},
	} {
		_, err := Git(tt.o)
		wantError(t, err, ErrInvalid, tt.words)
		noSecret(t, err, secret)
	}
	if _, err := Git(GitOptions{URL: "https://example.com/r", CAFile: "/nonexistent"}); !errors.Is(err, ErrNotFound) {
		t.Errorf("missing CA file: %v", err)
	}
	if _, err := Git(GitOptions{URL: "http://git.example.com/r", Token: token, PlainHTTP: true}); err != nil {
		t.Errorf("asked for a token over http: %v", err)
	}
}

// FuzzGitOptions: whatever is typed, Git returns a source or a typed error; it
// keeps credentials out of both; and what it accepts is safe to hand on.
func FuzzGitOptions(f *testing.F) {
	f.Add("https://me:p4ssw0rd@example.com/r", "main", "a/b")
	f.Add("git@example.com:o/r.git", "refs/tags/v1", "")
	f.Add("[::1]:r", "@", ".")
	f.Add("ssh://[::1%25eth0]:22/~x/r", strings.Repeat("a", 40), "..")
	f.Add("me:p4ssw0rd@h:x", "x@{1}", "a//b/")
	f.Add("file:///x", "", "x/../..")
	f.Fuzz(func(t *testing.T, url, ref, dir string) {
		g, err := Git(GitOptions{URL: url, Ref: ref, Path: dir})
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || !errors.Is(err, ErrInvalid) {
				t.Fatalf("error %#v", err)
			}
			if strings.ContainsFunc(err.Error(), unicode.IsControl) {
				t.Fatalf("control character in %q", err)
			}
			if strings.Contains(err.Error(), "p4ssw0rd") && !strings.Contains(ref+dir, "p4ssw0rd") && !strings.HasPrefix(url, "p4ssw0rd") {
				t.Fatalf("secret in %q", err)
			}
			return
		}
		if strings.HasPrefix(g.at.host, "-") || strings.HasPrefix(g.at.user, "-") || g.at.scheme == "file" && !strings.HasPrefix(g.at.path, "/") {
			t.Errorf("unsafe remote %+v", g.at)
		}
		if strings.HasPrefix(g.dir, "/") || g.dir == ".." || strings.HasPrefix(g.dir, "../") || g.dir == "" {
			t.Errorf("unsafe folder %q", g.dir)
		}
		if g.at.scheme != "file" {
			again, err := parseRemote(g.at.text)
			if err != nil || again != g.at {
				t.Errorf("%q reads back as %+v, %v; was %+v", g.at.text, again, err, g.at)
			}
		}
	})
}
