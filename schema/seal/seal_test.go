package seal_test

import (
	"crypto/ed25519"
	"encoding/pem"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/hactl/hactl/schema/seal"
)

const secret = "hunter2-hunter2"

// pair is an identity and its recipient, parsed.
func pair(t *testing.T) (seal.Identities, string) {
	t.Helper()
	identity, recipient, err := seal.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	i, err := seal.ParseIdentities("# created: now\n\n" + identity + "\n")
	if err != nil {
		t.Fatal(err)
	}
	return i, recipient
}

func open(t *testing.T, armoured string, with seal.Identities) (string, error) {
	t.Helper()
	block, _ := pem.Decode([]byte(armoured))
	if block == nil {
		t.Fatalf("no armour:\n%s", armoured)
	}
	b, err := seal.Open(block.Bytes, with)
	return string(b), err
}

func TestEachRecipientOpensWhatIsSealed(t *testing.T) {
	a, toA := pair(t)
	b, toB := pair(t)
	c, _ := pair(t)
	to, err := seal.ParseRecipients("# both hosts\n" + toA + "\n\n" + toB + "\r\n")
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := seal.Seal([]byte(secret), to)
	if err != nil || strings.Contains(sealed, secret) {
		t.Fatal(sealed, err)
	}
	for _, i := range []seal.Identities{a, b} {
		if got, err := open(t, sealed, i); got != secret {
			t.Errorf("%q, %v", got, err)
		}
	}
	if _, err := open(t, sealed, c); err == nil || err.Error() != "it was sealed for other recipients" {
		t.Error(err)
	}
}

func TestSSHKeysAreRecipientsToo(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	to, err := seal.ParseRecipients(string(ssh.MarshalAuthorizedKey(key)))
	if err != nil {
		t.Fatal(err)
	}
	i, err := seal.ParseIdentities(string(pem.EncodeToMemory(block)))
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := seal.Seal([]byte(secret), to)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := open(t, sealed, i); got != secret {
		t.Errorf("%q, %v", got, err)
	}
	locked, err := ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte("pass"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := seal.ParseIdentities(string(pem.EncodeToMemory(locked))); err == nil || !strings.Contains(err.Error(), "without a passphrase") {
		t.Error(err)
	}
}

func TestADamagedCiphertextDoesNotOpen(t *testing.T) {
	i, recipient := pair(t)
	to, _ := seal.ParseRecipients(recipient)
	sealed, err := seal.Seal([]byte(secret), to)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode([]byte(sealed))
	for at := range block.Bytes {
		damaged := append([]byte(nil), block.Bytes...)
		damaged[at] ^= 1
		if got, err := seal.Open(damaged, i); err == nil || strings.Contains(err.Error(), secret[:5]) {
			t.Fatalf("byte %d: %q, %v", at, got, err)
		}
		if got, err := seal.Open(block.Bytes[:at], i); err == nil {
			t.Fatalf("cut at %d: %q", at, got)
		}
	}
}

func TestErrorsTellNoIdentity(t *testing.T) {
	identity, recipient, err := seal.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	cut := identity[:len(identity)-3]
	for _, text := range []string{"", "# nothing", cut, "key: " + identity, strings.ToLower(identity) + "x", "AGE-SECRET-KEY-PQ-1" + cut, "-----BEGIN OPENSSH PRIVATE KEY-----\n" + cut, recipient} {
		if _, err := seal.ParseIdentities(text); err == nil || strings.Contains(err.Error(), cut[20:40]) {
			t.Errorf("%v", err)
		}
	}
	for _, text := range []string{"", "# nothing", identity, recipient[:30], recipient + "q", "ssh-ed25519 AAAA", "bob", "age1pq1zz"} {
		if _, err := seal.ParseRecipients(text); err == nil || strings.Contains(err.Error(), cut[20:40]) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestLargeSecretsAreRefused(t *testing.T) {
	_, recipient := pair(t)
	to, _ := seal.ParseRecipients(recipient)
	if _, err := seal.Seal(make([]byte, 32<<10+1), to); err == nil {
		t.Error("32 KiB and a byte are sealed")
	}
}
