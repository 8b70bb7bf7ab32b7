package gitsig

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// gpg is a home of GnuPG's, with an agent of its own for as long as the test.
type gpg struct {
	t    testing.TB
	home string
}

func newGPG(t testing.TB) gpg {
	t.Helper()
	need(t, "gpg")
	home, err := os.MkdirTemp("", "gpg") // the agent's socket must have a short path
	if err != nil {
		t.Fatal(err)
	}
	g := gpg{t, home}
	t.Cleanup(func() {
		_ = exec.Command("gpgconf", "--homedir", home, "--kill", "all").Run()
		os.RemoveAll(home)
	})
	return g
}

// run is gpg as of a day, with what it reads.
func (g gpg) run(day string, in []byte, args ...string) []byte {
	g.t.Helper()
	args = append([]string{"--homedir", g.home, "--batch", "--no-tty", "--quiet", "--yes", "--pinentry-mode", "loopback",
		"--passphrase", "", "--faked-system-time", day + "T120000!", "--trust-model", "always", "--allow-weak-digest-algos"}, args...)
	cmd := exec.Command("gpg", args...)
	cmd.Stdin = bytes.NewReader(in)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		g.t.Fatalf("gpg %v: %v\n%s", args, err, &said)
	}
	return out
}

// key makes a key that can only certify, or sign, or both, and returns its fingerprint.
func (g gpg) key(day, who, algorithm, usage, expires string) string {
	g.t.Helper()
	g.run(day, nil, "--quick-generate-key", who, algorithm, usage, expires)
	return g.fingerprints("=" + who)[0]
}

// fingerprints are the primary key's and those of its subkeys.
func (g gpg) fingerprints(who string) (all []string) {
	g.t.Helper()
	for l := range strings.Lines(string(g.run("20260301", nil, "--with-colons", "--list-keys", who))) {
		if f := strings.Split(l, ":"); f[0] == "fpr" {
			all = append(all, f[9])
		}
	}
	return all
}

func (g gpg) sign(day, key string, options ...string) string {
	g.t.Helper()
	return string(g.run(day, payload, append(options, "--armor", "--local-user", key+"!", "--detach-sign")...))
}

func (g gpg) export(who ...string) []byte {
	g.t.Helper()
	return g.run("20260301", nil, append([]string{"--armor", "--export"}, who...)...)
}

// revoke imports the revocation that gpg made along with a key.
func (g gpg) revoke(fingerprint string) {
	g.t.Helper()
	file := filepath.Join(g.home, "openpgp-revocs.d", fingerprint+".rev")
	g.run("20260301", bytes.ReplaceAll(must(os.ReadFile(file)), []byte(":-----BEGIN"), []byte("-----BEGIN")), "--import")
}

func pgpKeys(t testing.TB, data ...[]byte) Keys {
	t.Helper()
	k, err := ParseKeys("keys.asc", bytes.Join(data, nil))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestOpenPGPKeysNameTheirSigner(t *testing.T) {
	g := newGPG(t)
	alice := g.key("20250101", "Alice <alice@example.com>", "ed25519", "sign", "never")
	rsa := g.key("20250101", "Robot", "rsa2048", "sign", "never")
	carol := g.key("20250101", "Carol <carol@example.com>", "ed25519", "cert", "never")
	g.run("20250102", nil, "--quick-add-key", carol, "cv25519", "encr", "never")
	g.run("20250102", nil, "--quick-add-key", carol, "ed25519", "sign", "never")
	all := g.fingerprints("carol@example.com")
	sub := all[len(all)-1]
	binary := g.run("20260301", nil, "--export")
	for name, k := range map[string]Keys{
		"armoured":        pgpKeys(t, g.export()),
		"binary":          pgpKeys(t, binary),
		"several blocks":  pgpKeys(t, []byte("Alice's:\n"), g.export(alice), []byte("\nand\n"), g.export(rsa), g.export(carol)),
		"joined with SSH": Join(keys(t, line(newEd25519(t).PublicKey(), "x")), pgpKeys(t, g.export(alice, carol)), pgpKeys(t, g.export(rsa))),
	} {
		if want := 3; k.Len() != want && k.Len() != want+1 {
			t.Errorf("%s: %d keys", name, k.Len())
		}
		for _, tt := range []struct{ with, principal, key string }{
			{alice, "alice@example.com", alice}, {rsa, "Robot", rsa}, {sub, "carol@example.com", carol},
		} {
			got, err := k.Verify(payload, g.sign("20260201", tt.with), now)
			if err != nil || got != (Signer{tt.principal, tt.key, OpenPGP}) {
				t.Errorf("%s: %v, %v", name, got, err)
			}
		}
	}
	k := pgpKeys(t, g.export(rsa))
	_, err := k.Verify(payload, g.sign("20260201", alice), now)
	wantKind(t, err, ErrUnknown, alice[len(alice)-16:])
	sig := g.sign("20260201", rsa)
	_, err = k.Verify(append([]byte("x"), payload...), sig, now)
	wantKind(t, err, ErrBad, "not of these bytes")
	_, err = k.Verify(payload, sig+g.sign("20260201", rsa), now)
	if err != nil {
		wantKind(t, err, ErrBad)
	}
	lines := strings.Split(sig, "\n")
	_, err = k.Verify(payload, strings.Join(append(lines[:4:4], lines[5:]...), "\n"), now)
	wantKind(t, err, ErrBad, "damaged")
	for _, weak := range []string{"SHA1", "RIPEMD160"} {
		_, err = k.Verify(payload, g.sign("20260201", rsa, "--digest-algo", weak), now)
		wantKind(t, err, ErrBad, "over a hash", "not accepted")
	}
	_, err = k.Verify(payload, g.sign("20260201", rsa, "--textmode"), now)
	wantKind(t, err, ErrBad)
	_, err = Keys{}.Verify(payload, sig, now)
	wantKind(t, err, ErrUnknown)
}

func TestOpenPGPKeysEnd(t *testing.T) {
	g := newGPG(t)
	brief := g.key("20250101", "Brief <brief@example.com>", "ed25519", "sign", "2025-06-01")
	sig := g.sign("20250301", brief) // while it was good, or by a clock set back
	k := pgpKeys(t, g.export(brief))
	if _, err := k.Verify(payload, sig, time.Date(2025, 4, 1, 0, 0, 0, 0, time.UTC)); err != nil {
		t.Errorf("in time: %v", err)
	}
	_, err := k.Verify(payload, sig, now)
	wantKind(t, err, ErrNotValid, "has expired", brief[len(brief)-16:])

	ended := g.key("20250101", "Ended <ended@example.com>", "ed25519", "sign", "never")
	sig = g.sign("20250301", ended)
	before := pgpKeys(t, g.export(ended))
	if _, err := before.Verify(payload, sig, now); err != nil {
		t.Errorf("not revoked: %v", err)
	}
	short := g.sign("20250301", ended, "--default-sig-expire", "1m")
	_, err = before.Verify(payload, short, now)
	wantKind(t, err, ErrNotValid, "has expired")
	future := g.sign("20260302", ended)
	_, err = before.Verify(payload, future, now)
	wantKind(t, err, ErrNotValid, "of the future", "2026-03-02T12:00:00Z")
	if _, err = before.Verify(payload, future, now.Add(24*time.Hour-skew)); err != nil {
		t.Errorf("clocks differ: %v", err)
	}
	g.revoke(ended)
	_, err = pgpKeys(t, g.export(ended)).Verify(payload, sig, now)
	wantKind(t, err, ErrNotValid, "is revoked", "ended@example.com")
	_, err = pgpKeys(t, g.export(ended)).Verify(payload, sig, time.Date(2025, 4, 1, 0, 0, 0, 0, time.UTC))
	wantKind(t, err, ErrNotValid, "is revoked") // from the beginning
	for _, k := range []Keys{Join(before, pgpKeys(t, g.export(ended))), Join(pgpKeys(t, g.export(ended)), before)} {
		_, err = k.Verify(payload, sig, now)
		wantKind(t, err, ErrNotValid, "is revoked") // an older copy does not bring it back
	}

	owner := g.key("20250101", "Owner <owner@example.com>", "ed25519", "cert", "never")
	g.run("20250102", nil, "--quick-add-key", owner, "ed25519", "sign", "2025-06-01")
	g.run("20250103", nil, "--quick-add-key", owner, "ed25519", "sign", "never")
	subs := g.fingerprints("owner@example.com")[1:]
	sig = g.sign("20250301", subs[0])
	_, err = pgpKeys(t, g.export(owner)).Verify(payload, sig, now)
	wantKind(t, err, ErrNotValid, "has expired")
	sig = g.sign("20250301", subs[1])
	if _, err := pgpKeys(t, g.export(owner)).Verify(payload, sig, now); err != nil {
		t.Errorf("the other subkey: %v", err)
	}
	edit := exec.Command("gpg", "--homedir", g.home, "--no-tty", "--quiet", "--pinentry-mode", "loopback", "--passphrase", "",
		"--command-fd", "0", "--faked-system-time", "20260101T000000!", "--edit-key", owner)
	edit.Stdin = strings.NewReader("key 2\nrevkey\ny\n0\n\ny\nsave\n")
	if out, err := edit.CombinedOutput(); err != nil {
		t.Fatalf("gpg: %v\n%s", err, out)
	}
	_, err = pgpKeys(t, g.export(owner)).Verify(payload, sig, now)
	wantKind(t, err, ErrNotValid, "is revoked")
}

func TestOpenPGPFilesThatAreNoKeys(t *testing.T) {
	g := newGPG(t)
	alice := g.key("20250101", "Alice <alice@example.com>", "ed25519", "sign", "never")
	for name, tt := range map[string]struct {
		data  []byte
		words string
	}{
		"private, armoured": {g.run("20260301", nil, "--armor", "--export-secret-keys", alice), "private OpenPGP key"},
		"private, binary":   {g.run("20260301", nil, "--export-secret-keys", alice), "private OpenPGP key"},
		"a signature":       {[]byte(g.sign("20260201", alice)), "PGP SIGNATURE"},
		"cut":               {g.export()[:200], "read OpenPGP"},
		"binary nonsense":   {[]byte("\x99\xff\xff"), "read OpenPGP"},
	} {
		if _, err := ParseKeys("f", tt.data); err == nil || !strings.Contains(err.Error(), tt.words) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzOpenPGPSignature(f *testing.F) {
	g := newGPG(f)
	alice := g.key("20250101", "Alice <alice@example.com>", "ed25519", "sign", "never")
	k := pgpKeys(f, g.export())
	f.Add(g.sign("20260201", alice))
	f.Fuzz(func(t *testing.T, sig string) {
		if _, err := k.Verify([]byte("other bytes"), sig, now); err == nil {
			t.Error("a signature of other bytes is good")
		}
	})
}
