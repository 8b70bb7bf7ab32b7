package source

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hactl/hactl/reconcile/source/gitsig"
)

// need skips where a program is missing, except where CI has promised it.
func need(t testing.TB, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		if os.Getenv("HACTL_NETNS") == "required" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

// notary makes signatures with the programs that git runs for them.
type notary struct {
	*repo
	dir string
}

func newNotary(t *testing.T) notary {
	t.Helper()
	need(t, "ssh-keygen")
	r, _ := standard(t)
	return notary{r, t.TempDir()}
}

// sshKey makes a key, and returns its private file and its allowed_signers line.
func (n notary) sshKey(name, kind, words string) (file, line string) {
	n.t.Helper()
	file = filepath.Join(n.dir, name)
	if out, err := exec.Command("ssh-keygen", "-q", "-t", kind, "-N", "", "-f", file).CombinedOutput(); err != nil {
		n.t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
	public, err := os.ReadFile(file + ".pub")
	if err != nil {
		n.t.Fatal(err)
	}
	return file, words + " " + string(public)
}

// signed is git with an SSH key to sign with.
func (n notary) signed(key string, args ...string) string {
	n.t.Helper()
	return n.git(append([]string{"-c", "gpg.format=ssh", "-c", "user.signingkey=" + key}, args...)...)
}

// object stores a commit or tag of any text, and returns its name.
func (n notary) object(kind, text string) string {
	n.t.Helper()
	cmd := gitCommand(n.repo.dir, "hash-object", "-t", kind, "-w", "--stdin", "--literally")
	cmd.Stdin = strings.NewReader(text)
	out, err := cmd.Output()
	if err != nil {
		n.t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func (n notary) raw(kind, name string) string {
	n.t.Helper()
	out, err := gitCommand(n.repo.dir, "cat-file", kind, name).Output()
	if err != nil {
		n.t.Fatal(err)
	}
	return string(out)
}

func signers(t *testing.T, lines ...string) gitsig.Keys {
	t.Helper()
	k, err := gitsig.ParseKeys("allowed_signers", []byte(strings.Join(lines, "")))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// admit fetches ref and asks v.
func (n notary) admit(ref string, v Verified) (*Tree, error) {
	n.t.Helper()
	return mustFetch(n.t, mustGit(n.t, GitOptions{URL: n.repo.dir, Ref: ref}), "").Admit(v)
}

func (n notary) wantSigner(ref string, v Verified, signer string) {
	n.t.Helper()
	tree, err := n.admit(ref, v)
	if err != nil {
		n.t.Errorf("%s: %v", ref, err)
	} else if !strings.HasPrefix(tree.Signer, signer+" (") || len(names(n.t, tree)) == 0 {
		n.t.Errorf("%s: signer %q, want %s", ref, tree.Signer, signer)
	}
}

func (n notary) wantRefusal(ref string, v Verified, kind error, words ...string) {
	n.t.Helper()
	tree, err := n.admit(ref, v)
	wantError(n.t, err, ErrDenied, append(words, "revision "+n.git("rev-parse", ref+"^{commit}"))...)
	if tree != nil || kind != nil && !errors.Is(err, kind) {
		n.t.Errorf("%s: %v is not %v", ref, err, kind)
	}
}

func TestSignedCommitsNameTheirSigner(t *testing.T) {
	n := newNotary(t)
	for _, kind := range []string{"ed25519", "ecdsa", "rsa"} {
		key, line := n.sshKey(kind, kind, "*@example.com,"+kind+"@example.com")
		n.signed(key, "commit", "-q", "-S", "--allow-empty", "-m", "signed\n\nby "+kind)
		v := Verified{Keys: signers(t, line)}
		n.wantSigner("main", v, kind+"@example.com")
		n.wantSigner(n.git("rev-parse", "main"), v, kind+"@example.com")
		v.Require = RequireEither
		n.wantSigner("main", v, kind+"@example.com")
		v.Require = RequireTag
		n.wantRefusal("main", v, nil, "refs/heads/main is not a tag")
		v.Require = "sometimes"
		n.wantRefusal("main", v, nil, "commit, tag or either")
	}
	if tree := mustTree(t, mustGit(t, GitOptions{URL: n.repo.dir})); tree.Signer != "" {
		t.Errorf("nobody checked, and %q signed", tree.Signer)
	}
}

func TestCommitsThatNobodyVouchesFor(t *testing.T) {
	n := newNotary(t)
	alice, aliceLine := n.sshKey("alice", "ed25519", "alice@example.com")
	_, bobLine := n.sshKey("bob", "ed25519", "bob@example.com")
	v := Verified{Keys: signers(t, aliceLine, bobLine)}
	n.wantRefusal("main", v, gitsig.ErrUnsigned, "it is not signed; --require-signature wants a signed commit")

	n.signed(alice, "commit", "-q", "-S", "--allow-empty", "-m", "signed")
	n.wantSigner("main", v, "alice@example.com")
	n.wantSigner("main", Verified{Keys: signers(t, strings.Replace(aliceLine, "alice@example.com", "*@example.com", 1))}, "*@example.com")
	n.wantRefusal("main", Verified{Keys: signers(t, bobLine)}, gitsig.ErrUnknown, "SHA256:", "not among the allowed signers") // removed
	n.wantRefusal("main", Verified{}, gitsig.ErrUnknown, "not among the allowed signers")
	n.wantRefusal("main", Verified{Keys: signers(t, strings.Replace(aliceLine, " ", ` valid-before="20250101" `, 1))}, gitsig.ErrNotValid, "was valid until 2025")
	n.wantRefusal("main", Verified{Keys: signers(t, strings.Replace(aliceLine, " ", ` namespaces="file" `, 1))}, gitsig.ErrNamespace, "not git's objects")

	// The commit is of January; whoever held the key then holds it no longer.
	ends := Verified{Keys: signers(t, strings.Replace(aliceLine, " ", ` valid-before="20260201Z" `, 1))}
	ends.Now = func() time.Time { return time.Date(2026, 1, 15, 0, 0, 0, 0, time.UTC) }
	n.wantSigner("main", ends, "alice@example.com")
	ends.Now = func() time.Time { return time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC) }
	n.wantRefusal("main", ends, gitsig.ErrNotValid, "was valid until 2026-02-01T00:00:00Z")

	raw := n.raw("commit", "main")
	for name, text := range map[string]string{
		"another message": strings.Replace(raw, "\n\nsigned", "\n\nSigned", 1),
		"another tree":    strings.Replace(raw, n.git("rev-parse", "main^{tree}"), n.git("rev-parse", "main:sites"), 1),
		"another parent":  strings.Replace(raw, n.git("rev-parse", "main^"), n.git("rev-parse", "main"), 1),
		"another header":  strings.Replace(raw, "\n\nsigned", "\nencoding x\n\nsigned", 1),
	} {
		if text == raw {
			t.Fatal(name)
		}
		n.git("update-ref", "refs/heads/tampered", n.object("commit", text))
		n.wantRefusal("tampered", v, gitsig.ErrBad, "not of these bytes")
	}
	head, message, _ := strings.Cut(raw, "\n\n")
	_, sig, _ := strings.Cut(head, "\ngpgsig ")
	n.git("update-ref", "refs/heads/tampered", n.object("commit", head+"\ngpgsig "+sig+"\n\n"+message))
	n.wantRefusal("tampered", v, nil, "the commit has two signatures")
	n.git("update-ref", "refs/heads/tampered", n.object("commit", strings.ReplaceAll(raw, "SSH SIGNATURE", "SIGNED MESSAGE")))
	n.wantRefusal("tampered", v, gitsig.ErrUnsupported, "X.509")

	// The same bytes, signed as a file.
	unsigned := strings.Replace(raw, "\ngpgsig "+sig, "", 1)
	cmd := exec.Command("ssh-keygen", "-q", "-Y", "sign", "-n", "file", "-f", alice)
	cmd.Stdin = strings.NewReader(unsigned)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	folded := strings.ReplaceAll(strings.TrimSpace(string(out)), "\n", "\n ")
	n.git("update-ref", "refs/heads/tampered", n.object("commit", strings.Replace(unsigned, "\n\n", "\ngpgsig "+folded+"\n\n", 1)))
	n.wantRefusal("tampered", v, gitsig.ErrNamespace, `the namespace "file"`)
}

func TestSignedTagsVouchForTheirCommit(t *testing.T) {
	n := newNotary(t)
	alice, line := n.sshKey("alice", "ed25519", "alice@example.com")
	v := Verified{Keys: signers(t, line), Require: RequireTag}
	n.signed(alice, "tag", "-s", "-m", "notes", "v1")
	n.git("tag", "-a", "-m", "notes", "unsigned")
	n.git("tag", "light")
	n.signed(alice, "tag", "-s", "-m", "tag of a tag", "nested", "v1")
	n.git("update-ref", "refs/tags/v2", n.git("rev-parse", "v1"))
	n.git("update-ref", "refs/deploy/v1", n.git("rev-parse", "v1"))

	n.wantSigner("v1", v, "alice@example.com")
	n.wantSigner("refs/tags/v1", v, "alice@example.com")
	n.wantSigner("v1", Verified{Keys: v.Keys, Require: RequireEither}, "alice@example.com")
	n.wantRefusal("v1", Verified{Keys: v.Keys}, gitsig.ErrUnsigned, "wants a signed commit")
	n.wantRefusal("v2", v, nil, "the tag v2", `it was signed as the tag "v1"`)
	n.wantRefusal("unsigned", v, gitsig.ErrUnsigned, "the tag unsigned: it is not signed; --require-signature wants a signed tag")
	n.wantRefusal("unsigned", Verified{Keys: v.Keys, Require: RequireEither}, gitsig.ErrUnsigned, "neither its commit nor its tag")
	n.wantRefusal("main", Verified{Keys: v.Keys, Require: RequireEither}, gitsig.ErrUnsigned, "or a signed tag")
	n.wantRefusal("light", v, nil, "lightweight")
	n.wantRefusal("nested", v, nil, "it is the tag of a tag")
	n.wantRefusal("refs/deploy/v1", v, nil, "refs/deploy/v1 is not a tag")
	n.wantRefusal(n.git("rev-parse", "v1^{commit}"), v, nil, "a pinned SHA goes by no tag")

	// A good signature, moved to another commit.
	raw := n.raw("tag", "v1")
	was := n.git("rev-parse", "v1^{commit}")
	other := n.write("edge.cue", "package edge // another\n").commit()
	n.git("update-ref", "refs/tags/v1", n.object("tag", strings.Replace(raw, was, other, 1)))
	n.wantRefusal("v1", v, gitsig.ErrBad, "the tag v1", "not of these bytes")

	// A signed commit needs no signed tag where either will do.
	n.signed(alice, "commit", "-q", "-S", "--allow-empty", "-m", "signed")
	n.git("tag", "-a", "-m", "notes", "plain")
	n.wantSigner("plain", Verified{Keys: v.Keys, Require: RequireEither}, "alice@example.com")
	n.wantSigner("plain", Verified{Keys: v.Keys}, "alice@example.com")
	n.wantRefusal("plain", v, gitsig.ErrUnsigned, "wants a signed tag")
}

// TestGPGSignsToo is the short version: gitsig has the long one.
func TestGPGSignsToo(t *testing.T) {
	need(t, "gpg")
	n := newNotary(t)
	home, err := os.MkdirTemp("", "gpg") // the agent's socket must have a short path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = exec.Command("gpgconf", "--homedir", home, "--kill", "all").Run()
		os.RemoveAll(home)
	})
	gpg := func(in []byte, args ...string) []byte {
		t.Helper()
		cmd := exec.Command("gpg", append([]string{"--homedir", home, "--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""}, args...)...)
		cmd.Stdin = bytes.NewReader(in)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("gpg %v: %v", args, err)
		}
		return out
	}
	gpg(nil, "--quick-generate-key", "Alice <alice@example.com>", "ed25519", "sign", "never")
	program := filepath.Join(n.dir, "gpg")
	write(t, program, "#!/bin/sh\nexec gpg --homedir "+home+" --batch --pinentry-mode loopback --passphrase '' \"$@\"\n")
	if err := os.Chmod(program, 0o755); err != nil {
		t.Fatal(err)
	}
	with := []string{"-c", "gpg.program=" + program, "-c", "user.signingkey=alice@example.com"}
	n.git(append(with, "commit", "-q", "-S", "--allow-empty", "-m", "signed")...)
	n.git(append(with, "tag", "-s", "-m", "notes", "v1")...)
	keys := func() gitsig.Keys {
		k, err := gitsig.ParseKeys("keys.asc", gpg(nil, "--armor", "--export"))
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	n.wantSigner("main", Verified{Keys: keys()}, "alice@example.com")
	n.wantSigner("v1", Verified{Keys: keys(), Require: RequireTag}, "alice@example.com")
	n.wantRefusal("main", Verified{}, gitsig.ErrUnknown, "the OpenPGP key")
	n.git("update-ref", "refs/heads/tampered", n.object("commit", strings.Replace(n.raw("commit", "main"), "\n\nsigned", "\n\nSigned", 1)))
	n.wantRefusal("tampered", Verified{Keys: keys()}, gitsig.ErrBad, "not of these bytes")

	revs, err := filepath.Glob(filepath.Join(home, "openpgp-revocs.d", "*.rev"))
	if err != nil || len(revs) != 1 {
		t.Fatal(revs, err)
	}
	rev, err := os.ReadFile(revs[0])
	if err != nil {
		t.Fatal(err)
	}
	gpg(bytes.ReplaceAll(rev, []byte(":-----BEGIN"), []byte("-----BEGIN")), "--import")
	n.wantRefusal("main", Verified{Keys: keys()}, gitsig.ErrNotValid, "is revoked")
}

func TestADirectoryHasNoSignature(t *testing.T) {
	r, _ := standard(t)
	_, err := mustFetch(t, Directory(r.dir), "").Admit(Verified{})
	wantError(t, err, ErrDenied, "a directory has no signature")
}

// TestTheCommitCheckedIsTheOneRead changes a candidate after it was fetched,
// which nobody outside this package can do to its files.
func TestTheCommitCheckedIsTheOneRead(t *testing.T) {
	n := newNotary(t)
	alice, line := n.sshKey("alice", "ed25519", "alice@example.com")
	n.signed(alice, "commit", "-q", "-S", "--allow-empty", "-m", "signed")
	n.signed(alice, "tag", "-s", "-m", "notes", "v1")
	for words, change := range map[string]func(*Candidate){
		"its commit is":       func(c *Candidate) { c.Commit.Object = append(c.Commit.Object, '\n') },
		"its files are those": func(c *Candidate) { c.root = strings.Repeat("ab", 20) },
		"its object is":       func(c *Candidate) { c.Tag.Object = append(c.Tag.Object, '\n') },
	} {
		c := mustFetch(t, mustGit(t, GitOptions{URL: n.repo.dir, Ref: "v1"}), "")
		change(c)
		_, err := c.Admit(Verified{Keys: signers(t, line), Require: RequireTag})
		wantError(t, err, ErrDenied, words)
	}
}
