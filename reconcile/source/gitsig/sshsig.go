package gitsig

import (
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/pem"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
)

// namespace is what git signs in.
const namespace = "git"

const minRSABits = 2048

// keyTypes are the types of keys that may sign. DSA is not among them.
var keyTypes = map[string]bool{
	ssh.KeyAlgoED25519: true, ssh.KeyAlgoECDSA256: true, ssh.KeyAlgoECDSA384: true, ssh.KeyAlgoECDSA521: true,
	ssh.KeyAlgoRSA: true, ssh.KeyAlgoSKED25519: true, ssh.KeyAlgoSKECDSA256: true,
}

// signatureFormats leaves out ssh-rsa, which is over SHA-1, and webauthn.
var signatureFormats = map[string][]string{
	ssh.KeyAlgoRSA: {ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSASHA512},
}

// sshSignature is the blob of PROTOCOL.sshsig.
type sshSignature struct {
	Magic     [6]byte
	Version   uint32
	PublicKey []byte
	Namespace string
	Reserved  string
	Hash      string
	Signature []byte
}

// sshSigned is what the key signs.
type sshSigned struct {
	Magic     [6]byte
	Namespace string
	Reserved  string
	Hash      string
	Digest    []byte
}

var sshMagic = [6]byte{'S', 'S', 'H', 'S', 'I', 'G'}

// parsed is a signature that is well formed; nothing about it is verified.
type parsed struct {
	blob sshSignature
	key  ssh.PublicKey
	sig  ssh.Signature
}

func parseSSH(armoured string) (*parsed, error) {
	damaged := func(what string) (*parsed, error) {
		return nil, refuse(ErrBad, "its SSH signature is damaged: %s", what)
	}
	// pem.Decode passes over what is in front of a block, even half a block.
	if !strings.HasPrefix(armoured, sshBegin) || strings.Count(armoured, "-----BEGIN") > 1 {
		return damaged("it is not one signature")
	}
	block, rest := pem.Decode([]byte(armoured))
	if block == nil || block.Type != "SSH SIGNATURE" || len(block.Headers) > 0 || strings.TrimSpace(string(rest)) != "" {
		return damaged("its armour is broken")
	}
	p := &parsed{}
	if err := ssh.Unmarshal(block.Bytes, &p.blob); err != nil || p.blob.Magic != sshMagic {
		return damaged("it is cut off, or something else")
	}
	if p.blob.Version != 1 {
		return damaged("it has an unknown version")
	}
	var err error
	if p.key, err = ssh.ParsePublicKey(p.blob.PublicKey); err != nil {
		return damaged("its public key cannot be read")
	}
	if err := ssh.Unmarshal(p.blob.Signature, &p.sig); err != nil {
		return damaged("its end cannot be read")
	}
	return p, nil
}

func (k Keys) verifySSH(payload []byte, armoured string, now time.Time) (Signer, error) {
	p, err := parseSSH(armoured)
	if err != nil {
		return Signer{}, err
	}
	if p.blob.Namespace != namespace {
		return Signer{}, refuse(ErrNamespace, "its SSH signature was made for the namespace %s, not for git", shown(p.blob.Namespace))
	}
	signer, err := k.lookUp(p.key, now)
	if err != nil {
		return Signer{}, err
	}
	// Only now: whatever the key of a stranger signed is of no interest.
	if err := p.verify(payload); err != nil {
		return Signer{}, err
	}
	return signer, nil
}

// verify checks the signature over payload against the key that it brought.
func (p *parsed) verify(payload []byte) error {
	key := p.key
	if c, ok := key.(*ssh.Certificate); ok {
		key = c.Key
	}
	signed := sshSigned{Magic: sshMagic, Namespace: p.blob.Namespace, Reserved: p.blob.Reserved, Hash: p.blob.Hash}
	switch p.blob.Hash {
	case "sha256":
		sum := sha256.Sum256(payload)
		signed.Digest = sum[:]
	case "sha512":
		sum := sha512.Sum512(payload)
		signed.Digest = sum[:]
	default:
		return refuse(ErrBad, "its SSH signature is over the hash %s, and only sha256 and sha512 are accepted", shown(p.blob.Hash))
	}
	formats, ok := signatureFormats[key.Type()]
	if !ok {
		formats = []string{key.Type()}
	}
	if !slices.Contains(formats, p.sig.Format) {
		return refuse(ErrBad, "its SSH signature is of the kind %s, which is not accepted of a key of the type %s", shown(p.sig.Format), key.Type())
	}
	if strings.HasPrefix(key.Type(), "sk-") && (len(p.sig.Rest) == 0 || p.sig.Rest[0]&1 == 0) {
		return refuse(ErrBad, "its SSH signature is by a security key that nobody touched")
	}
	if err := key.Verify(ssh.Marshal(signed), &p.sig); err != nil {
		return refuse(ErrBad, "its SSH signature by %s is not of these bytes: they were changed, or the signature is another's", ssh.FingerprintSHA256(key))
	}
	return nil
}

// lookUp finds a line that allows key now. With several lines for one key, one
// that allows it is enough.
func (k Keys) lookUp(key ssh.PublicKey, now time.Time) (Signer, error) {
	if c, ok := key.(*ssh.Certificate); ok {
		return k.lookUpCertificate(c, now)
	}
	print := ssh.FingerprintSHA256(key)
	why := refuse(ErrUnknown, "it is signed by the SSH key %s, which is not among the allowed signers", print)
	for i := range k.ssh {
		a := &k.ssh[i]
		if a.authority || !a.holds(key) {
			continue
		}
		err := a.permits(now, "the SSH key "+print+" of "+a.name())
		if err == nil {
			return Signer{Principal: a.name(), Key: print, Method: SSH}, nil
		}
		why = err
	}
	return Signer{}, why
}

func (k Keys) lookUpCertificate(c *ssh.Certificate, now time.Time) (Signer, error) {
	print := ssh.FingerprintSHA256(c.Key)
	what := "the SSH certificate of the key " + print
	why := refuse(ErrUnknown, "it is signed with %s, issued by %s, which is no allowed cert-authority", what, ssh.FingerprintSHA256(c.SignatureKey))
	for i := range k.ssh {
		a := &k.ssh[i]
		if !a.authority || !a.holds(c.SignatureKey) {
			continue
		}
		principal, err := a.certified(c, now, what)
		if err == nil {
			return Signer{Principal: principal, Key: print, Method: SSHCert}, nil
		}
		why = err
	}
	return Signer{}, why
}

// certified checks c, which names the line's key as its issuer, and returns the
// first of its principals that the line allows.
func (a *allowed) certified(c *ssh.Certificate, now time.Time, what string) (string, error) {
	if err := a.permits(now, "the cert-authority "+ssh.FingerprintSHA256(a.key)); err != nil {
		return "", err
	}
	i := slices.IndexFunc(c.ValidPrincipals, func(p string) bool { return matchList(a.principals, p) })
	at := now.Unix()
	switch {
	case c.CertType != ssh.UserCert:
		return "", refuse(ErrUnknown, "%s is a host's", what)
	case i < 0:
		return "", refuse(ErrUnknown, "%s has no principal that %s allows (%s)", what, shown(a.principals), a.where)
	case uint64(max(at, 0)) < c.ValidAfter:
		return "", refuse(ErrNotValid, "%s is not valid yet", what)
	case c.ValidBefore != ssh.CertTimeInfinity && uint64(max(at, 0)) >= c.ValidBefore:
		return "", refuse(ErrNotValid, "%s was valid until %s", what, time.Unix(int64(min(c.ValidBefore, 1<<40)), 0).UTC().Format(time.RFC3339))
	case c.Signature == nil || c.Signature.Format == ssh.KeyAlgoRSA:
		return "", refuse(ErrBad, "%s is issued over SHA-1", what)
	}
	if err := strong(c.Key); err != nil {
		return "", refuse(ErrNotValid, "%s: %v", what, err)
	}
	for option := range c.CriticalOptions {
		return "", refuse(ErrUnknown, "%s is limited by the option %s, which says nothing of signatures", what, shown(option))
	}
	principal := c.ValidPrincipals[i]
	check := ssh.CertChecker{Clock: func() time.Time { return now }}
	if err := check.CheckCert(principal, c); err != nil {
		return "", refuse(ErrBad, "%s is not by its issuer", what)
	}
	return principal, nil
}

// strong refuses keys of a type or size that is no longer good.
func strong(key ssh.PublicKey) error {
	if !keyTypes[key.Type()] {
		return refuse(ErrNotValid, "a key of the type %s is not accepted", shown(key.Type()))
	}
	c, ok := key.(ssh.CryptoPublicKey)
	if !ok {
		return nil
	}
	if r, ok := c.CryptoPublicKey().(*rsa.PublicKey); ok && r.N.BitLen() < minRSABits {
		return refuse(ErrNotValid, "an RSA key of %d bits is too short: %d are needed", r.N.BitLen(), minRSABits)
	}
	return nil
}
