package gitsig

import (
	"crypto/elliptic"
	"crypto/rand"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

func TestAKeyOnFileNamesItsSigner(t *testing.T) {
	for name, s := range map[string]ssh.Signer{
		"ed25519": newEd25519(t), "p256": newECDSA(t, elliptic.P256()), "p384": newECDSA(t, elliptic.P384()),
		"p521": newECDSA(t, elliptic.P521()), "rsa": newRSA(t, 2048),
	} {
		for _, hash := range []string{"sha256", "sha512"} {
			k := keys(t, line(newEd25519(t).PublicKey(), "bob@example.com"), line(s.PublicKey(), "alice@example.com,al"))
			got, err := k.Verify(payload, made{hash: hash}.by(t, s), now)
			want := Signer{"alice@example.com", ssh.FingerprintSHA256(s.PublicKey()), SSH}
			if err != nil || got != want {
				t.Errorf("%s, %s: %v, %v", name, hash, got, err)
			}
		}
	}
	if got, want := (Signer{"alice", "SHA256:x", SSH}).String(), "alice (SSH SHA256:x)"; got != want {
		t.Errorf("%q", got)
	}
}

func TestSSHSignaturesThatNameNobody(t *testing.T) {
	alice, mallory, rsa := newEd25519(t), newEd25519(t), newRSA(t, 2048)
	k := keys(t, line(alice.PublicKey(), "alice"), line(rsa.PublicKey(), "rsa"))
	print := ssh.FingerprintSHA256(mallory.PublicKey())
	good := made{}.by(t, alice)
	body := strings.Split(good, "\n")
	for name, tt := range map[string]struct {
		sig   string
		kind  error
		words string
	}{
		"none":              {"", ErrUnsigned, "not signed"},
		"blank":             {" \n", ErrUnsigned, "not signed"},
		"a stranger's":      {made{}.by(t, mallory), ErrUnknown, print},
		"of a file":         {made{namespace: "file"}.by(t, alice), ErrNamespace, `"file"`},
		"of other bytes":    {made{over: []byte("tree of another")}.by(t, alice), ErrBad, "not of these bytes"},
		"over md5":          {made{hash: "md5"}.by(t, alice), ErrBad, "md5"},
		"over sha1, by rsa": {made{format: ssh.KeyAlgoRSA}.by(t, rsa), ErrBad, "ssh-rsa"},
		"of version 2":      {made{version: 2}.by(t, alice), ErrBad, "version"},
		"with more behind":  {made{trailing: "x"}.by(t, alice), ErrBad, "cut off"},
		"cut":               {strings.Join(append(body[:2:2], body[len(body)-2:]...), "\n"), ErrBad, "damaged"},
		"not base64":        {sshBegin + "\n????\n-----END SSH SIGNATURE-----\n", ErrBad, "armour"},
		"no end":            {sshBegin + "\n", ErrBad, "armour"},
		"two":               {good + good, ErrBad, "not one signature"},
		"half and another":  {sshBegin + "\nAAAA\n" + good, ErrBad, "not one signature"},
		"X.509":             {x509Begin + "\nAAAA\n-----END SIGNED MESSAGE-----\n", ErrUnsupported, "X.509"},
		"nonsense":          {"trust me", ErrUnsupported, "neither"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := k.Verify(payload, tt.sig, now)
			wantKind(t, err, tt.kind, tt.words)
			if err == nil || got != (Signer{}) {
				t.Errorf("signer %v", got)
			}
		})
	}
	_, err := Keys{}.Verify(payload, good, now)
	wantKind(t, err, ErrUnknown, ssh.FingerprintSHA256(alice.PublicKey()))
}

func TestASecurityKeyMustBeTouched(t *testing.T) {
	s := newSecurityKey(t)
	k := keys(t, line(s.PublicKey(), "alice"))
	if got, err := k.Verify(payload, made{touch: 1}.by(t, s), now); err != nil || got.Principal != "alice" {
		t.Errorf("touched: %v, %v", got, err)
	}
	for _, flags := range []byte{0, 4} {
		_, err := k.Verify(payload, made{touch: flags}.by(t, s), now)
		wantKind(t, err, ErrBad, "nobody touched")
	}
}

func TestALineEnds(t *testing.T) {
	s := newEd25519(t)
	sig := made{}.by(t, s)
	tokyo := time.FixedZone("", 9*60*60)
	for _, tt := range []struct {
		options string
		at      time.Time
		kind    error
		words   string
	}{
		{`valid-after="20260301"`, now, nil, ""},
		{`valid-after="20260302"`, now, ErrNotValid, "not valid before 2026-03-02T00:00:00Z"},
		{`valid-before="20260302"`, now, nil, ""},
		{`valid-before="20260301Z"`, now, ErrNotValid, "was valid until 2026-03-01T00:00:00Z"},
		{`valid-before="202603011200"`, now, nil, ""},
		{`valid-before="20260301120000"`, now.Add(time.Second), ErrNotValid, "until"},
		{`valid-after="20260101",valid-before="20260201"`, now, ErrNotValid, "until"},
		{`valid-before="202603012000Z"`, now.In(tokyo), nil, ""},              // 20:00 in London is later
		{`valid-before="202603012000"`, now.In(tokyo), ErrNotValid, "+09:00"}, // it is 21:00 in Tokyo
		{`namespaces="git"`, now, nil, ""},
		{`namespaces="file,g?t"`, now, nil, ""},
		{`namespaces="file"`, now, ErrNamespace, `"file"`},
		{`namespaces="*,!git"`, now, ErrNamespace, "not git's"},
		{`NAMESPACES="git",Valid-After="20260101"`, now, nil, ""},
		{`cert-authority`, now, ErrUnknown, "not among"},
	} {
		_, err := keys(t, line(s.PublicKey(), "alice "+tt.options)).Verify(payload, sig, tt.at)
		if tt.kind == nil {
			if err != nil {
				t.Errorf("%s: %v", tt.options, err)
			}
			continue
		}
		wantKind(t, err, tt.kind, tt.words, ssh.FingerprintSHA256(s.PublicKey()))
	}
	two := keys(t, line(s.PublicKey(), `old valid-before="20250101"`), line(s.PublicKey(), "new"))
	if got, err := two.Verify(payload, sig, now); err != nil || got.Principal != "new" {
		t.Errorf("one line of two is enough: %v, %v", got, err)
	}
}

// certified is s with a certificate.
func certified(t testing.TB, s, ca ssh.Signer, change func(*ssh.Certificate)) ssh.Signer {
	t.Helper()
	c := &ssh.Certificate{
		Key: s.PublicKey(), CertType: ssh.UserCert, ValidPrincipals: []string{"deploy", "alice@example.com"},
		ValidAfter: uint64(now.Add(-time.Hour).Unix()), ValidBefore: uint64(now.Add(time.Hour).Unix()),
	}
	if change != nil {
		change(c)
	}
	if err := c.SignCert(rand.Reader, ca); err != nil {
		t.Fatal(err)
	}
	return must(ssh.NewCertSigner(c, s))
}

func TestCertificatesOfAnAllowedAuthority(t *testing.T) {
	alice, ca, rsa := newEd25519(t), newEd25519(t), newRSA(t, 2048)
	for name, tt := range map[string]struct {
		ca      ssh.Signer
		options string
		change  func(*ssh.Certificate)
		kind    error
		words   string
	}{
		"good":                {ca, "*@example.com cert-authority", nil, nil, ""},
		"for ever":            {ca, "* cert-authority", func(c *ssh.Certificate) { c.ValidAfter, c.ValidBefore = 0, ssh.CertTimeInfinity }, nil, ""},
		"by an rsa authority": {rsa, "alice@example.com cert-authority", nil, nil, ""},
		"no authority":        {ca, "*@example.com", nil, ErrUnknown, "no allowed cert-authority"},
		"another authority":   {newEd25519(t), "* cert-authority", nil, ErrUnknown, "no allowed cert-authority"},
		"other principals":    {ca, "*@example.org cert-authority", nil, ErrUnknown, "no principal"},
		"excluded principal":  {ca, "!alice@example.com,*@example.com cert-authority", nil, ErrUnknown, "no principal"},
		"no principals":       {ca, "* cert-authority", func(c *ssh.Certificate) { c.ValidPrincipals = nil }, ErrUnknown, "no principal"},
		"expired":             {ca, "* cert-authority", func(c *ssh.Certificate) { c.ValidBefore = uint64(now.Unix()) }, ErrNotValid, "until 2026-03-01T12:00:00Z"},
		"not yet":             {ca, "* cert-authority", func(c *ssh.Certificate) { c.ValidAfter = uint64(now.Unix()) + 1 }, ErrNotValid, "not valid yet"},
		"a host's":            {ca, "* cert-authority", func(c *ssh.Certificate) { c.CertType = ssh.HostCert }, ErrUnknown, "a host's"},
		"for a command only":  {ca, "* cert-authority", func(c *ssh.Certificate) { c.CriticalOptions = map[string]string{"force-command": "x"} }, ErrUnknown, "force-command"},
		"authority expired":   {ca, `* cert-authority,valid-before="20260101"`, nil, ErrNotValid, "the cert-authority"},
		"authority for files": {ca, `* cert-authority,namespaces="file"`, nil, ErrNamespace, "the cert-authority"},
	} {
		t.Run(name, func(t *testing.T) {
			authority := ca
			if tt.ca == rsa {
				authority = rsa
			}
			issuer := tt.ca
			k := keys(t, line(authority.PublicKey(), tt.options))
			got, err := k.Verify(payload, made{}.by(t, certified(t, alice, issuer, tt.change)), now)
			if tt.kind != nil {
				wantKind(t, err, tt.kind, tt.words)
				return
			}
			if err != nil || got.Method != SSHCert || got.Key != ssh.FingerprintSHA256(alice.PublicKey()) {
				t.Errorf("%v, %v", got, err)
			}
		})
	}
	forged := certified(t, alice, ca, nil)
	forged.PublicKey().(*ssh.Certificate).ValidPrincipals = []string{"root@example.com"}
	_, err := keys(t, line(ca.PublicKey(), "* cert-authority")).Verify(payload, made{}.by(t, forged), now)
	wantKind(t, err, ErrBad, "not by its issuer")
	_, err = keys(t, line(alice.PublicKey(), "alice")).Verify(payload, made{}.by(t, certified(t, alice, newEd25519(t), nil)), now)
	wantKind(t, err, ErrUnknown, "cert-authority")
}

// TestWhatSSHKeygenSigns is the same with signatures that are not ours.
func TestWhatSSHKeygenSigns(t *testing.T) {
	need(t, "ssh-keygen")
	dir := t.TempDir()
	run := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("ssh-keygen", args...).CombinedOutput(); err != nil {
			t.Fatalf("ssh-keygen %v: %v\n%s", args, err, out)
		}
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	public := func(name string) string { return string(must(os.ReadFile(at(name + ".pub")))) }
	if err := os.WriteFile(at("payload"), payload, 0o600); err != nil {
		t.Fatal(err)
	}
	sign := func(key string, options ...string) string {
		_ = os.Remove(at("payload.sig"))
		run(append([]string{"-q", "-Y", "sign", "-n", "git", "-f", at(key)}, append(options, at("payload"))...)...)
		return string(must(os.ReadFile(at("payload.sig"))))
	}
	run("-q", "-t", "ed25519", "-N", "", "-f", at("ca"))
	for _, kind := range []string{"ed25519", "ecdsa", "rsa"} {
		run("-q", "-t", kind, "-N", "", "-f", at(kind))
		k := keys(t, "alice@example.com "+public(kind))
		for _, hash := range []string{"sha256", "sha512"} {
			if got, err := k.Verify(payload, sign(kind, "-O", "hashalg="+hash), now); err != nil || got.Principal != "alice@example.com" {
				t.Errorf("%s: %v, %v", kind, got, err)
			}
		}
		run("-q", "-s", at("ca"), "-I", "id", "-n", "alice@example.com", at(kind+".pub"))
		k = keys(t, "*@example.com cert-authority "+public("ca"))
		got, err := k.Verify(payload, sign(kind+"-cert.pub"), now)
		if err != nil || got.Principal != "alice@example.com" || got.Method != SSHCert {
			t.Errorf("%s, certified: %v, %v", kind, got, err)
		}
	}
}

func FuzzSSHSignature(f *testing.F) {
	alice := newEd25519(f)
	ca := newEd25519(f)
	k := keys(f, line(alice.PublicKey(), "alice"), line(ca.PublicKey(), "* cert-authority"))
	f.Add(made{}.by(f, alice))
	f.Add(made{touch: 1}.by(f, newSecurityKey(f)))
	f.Add(made{}.by(f, certified(f, alice, ca, nil)))
	f.Fuzz(func(t *testing.T, sig string) {
		if _, err := k.Verify([]byte("other bytes"), sig, now); err == nil {
			t.Error("a signature of other bytes is good")
		}
	})
}
