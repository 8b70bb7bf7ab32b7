package gitsig

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// The hand-made signatures here follow PROTOCOL.sshsig and PROTOCOL.u2f, so that
// what ssh-keygen would not make can be tried too.

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

var payload = []byte("tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\n\nchange\n")

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

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func sshSigner(t testing.TB, key crypto.Signer) ssh.Signer {
	t.Helper()
	s, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newEd25519(t testing.TB) ssh.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return sshSigner(t, key)
}

func newECDSA(t testing.TB, c elliptic.Curve) ssh.Signer {
	t.Helper()
	return sshSigner(t, must(ecdsa.GenerateKey(c, rand.Reader)))
}

// newRSA is a key of few bits, where a test wants one that is too short.
func newRSA(t testing.TB, bits int) ssh.Signer {
	t.Helper()
	t.Setenv("GODEBUG", "rsa1024min=0")
	return sshSigner(t, must(rsa.GenerateKey(rand.Reader, bits)))
}

// made is a signature to be: the zero value is what git makes.
type made struct {
	namespace, hash, format string
	version                 uint32
	reserved                string
	over                    []byte
	touch                   byte // flags of a security key
	trailing                string
}

// by signs, with the key that the signature shall show.
func (m made) by(t testing.TB, s ssh.Signer) string {
	t.Helper()
	if m.namespace == "" {
		m.namespace = "git"
	}
	if m.hash == "" {
		m.hash = "sha512"
	}
	if m.over == nil {
		m.over = payload
	}
	if m.version == 0 {
		m.version = 1
	}
	sum := sha512.Sum512(m.over)
	digest := sum[:]
	if m.hash == "sha256" {
		short := sha256.Sum256(m.over)
		digest = short[:]
	}
	data := ssh.Marshal(sshSigned{sshMagic, m.namespace, m.reserved, m.hash, digest})
	var (
		sig *ssh.Signature
		err error
	)
	switch key := s.(type) {
	case securityKey:
		sig = key.touch(data, m.touch)
	case ssh.AlgorithmSigner:
		format := m.format
		if format == "" && s.PublicKey().Type() == ssh.KeyAlgoRSA {
			format = ssh.KeyAlgoRSASHA512
		}
		sig, err = key.SignWithAlgorithm(rand.Reader, data, format)
	default:
		sig, err = s.Sign(rand.Reader, data)
	}
	if err != nil {
		t.Fatal(err)
	}
	blob := ssh.Marshal(sshSignature{sshMagic, m.version, s.PublicKey().Marshal(), m.namespace, m.reserved, m.hash, ssh.Marshal(sig)})
	return string(pem.EncodeToMemory(&pem.Block{Type: "SSH SIGNATURE", Bytes: append(blob, m.trailing...)}))
}

// securityKey is a sk-ssh-ed25519 token, as PROTOCOL.u2f has it.
type securityKey struct {
	key    ed25519.PrivateKey
	public ssh.PublicKey
}

func newSecurityKey(t testing.TB) securityKey {
	t.Helper()
	pub, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	blob := ssh.Marshal(struct {
		Type        string
		Key         []byte
		Application string
	}{ssh.KeyAlgoSKED25519, pub, "ssh:"})
	return securityKey{key, must(ssh.ParsePublicKey(blob))}
}

func (k securityKey) PublicKey() ssh.PublicKey { return k.public }

func (k securityKey) Sign(io.Reader, []byte) (*ssh.Signature, error) {
	return nil, errors.New("use touch")
}

func (k securityKey) touch(data []byte, flags byte) *ssh.Signature {
	app, sum := sha256.Sum256([]byte("ssh:")), sha256.Sum256(data)
	signed := append(append(app[:], flags, 0, 0, 0, 7), sum[:]...)
	return &ssh.Signature{
		Format: ssh.KeyAlgoSKED25519, Blob: ed25519.Sign(k.key, signed), Rest: []byte{flags, 0, 0, 0, 7},
	}
}

// line is an allowed_signers line. Words are principals and options.
func line(key ssh.PublicKey, words string) string {
	return words + " " + key.Type() + " " + base64.StdEncoding.EncodeToString(key.Marshal()) + " a comment\n"
}

func keys(t testing.TB, lines ...string) Keys {
	t.Helper()
	k, err := ParseKeys("allowed_signers", []byte(strings.Join(lines, "")))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// wantKind checks the kind of an error, and that it says each of the words.
func wantKind(t testing.TB, err, kind error, words ...string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || !errors.Is(err, kind) {
		t.Errorf("error is %v, want %v", err, kind)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error does not say %q: %v", w, err)
		}
	}
}
