package gitsig

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
)

// The kinds of Error, for errors.Is.
var (
	ErrUnsigned    = errors.New("gitsig: unsigned")           // there is no signature
	ErrUnknown     = errors.New("gitsig: unknown signer")     // no key in Keys made it
	ErrBad         = errors.New("gitsig: bad signature")      // it is damaged, weak, or of other bytes
	ErrNotValid    = errors.New("gitsig: key not valid")      // expired, not valid yet, revoked, or not for signing
	ErrNamespace   = errors.New("gitsig: not for git")        // the signature or the key is for another purpose
	ErrUnsupported = errors.New("gitsig: unsupported format") // X.509, or nothing known
)

// Error says why nobody can be named as the signer. Its text holds no bytes of
// the input but fingerprints, key ids, and names that Keys has.
type Error struct {
	Kind error // one of the above
	Text string
}

func (e *Error) Error() string { return e.Text }

// Unwrap gives the kind to errors.Is.
func (e *Error) Unwrap() error { return e.Kind }

func refuse(kind error, format string, a ...any) error {
	return &Error{Kind: kind, Text: fmt.Sprintf(format, a...)}
}

// Signer is who signed, as far as the Keys know.
type Signer struct {
	// Principal is the name in the Keys: the first literal principal of an
	// allowed_signers line (or its pattern as written, if it has no other), the
	// certificate's principal, or the OpenPGP key's primary address.
	Principal string
	// Key is SHA256:... for SSH, as ssh-keygen -l prints it; a certificate's is
	// that of the key in it. For OpenPGP it is the primary key's fingerprint in
	// upper case, as gpg prints it without blanks.
	Key    string
	Method Method
}

// Method is how a signature was made.
type Method string

// The methods.
const (
	SSH     Method = "SSH"
	SSHCert Method = "SSH certificate"
	OpenPGP Method = "OpenPGP"
)

// String is one line for people: "alice@example.com (SSH SHA256:...)".
func (s Signer) String() string {
	if s == (Signer{}) {
		return ""
	}
	return fmt.Sprintf("%s (%s %s)", s.Principal, s.Method, s.Key)
}

// Keys are the keys whose signatures count. The zero Keys allow nobody. A Keys
// is immutable, and may be used concurrently.
type Keys struct {
	ssh []allowed
	pgp openpgp.EntityList
}

// ParseKeys reads what a file of keys holds: OpenPGP public keys, armoured or
// binary, or else lines in the format of allowed_signers, ssh-keygen(1). file is
// its name, for errors; nothing is opened. A file without any key is an error.
func ParseKeys(file string, data []byte) (Keys, error) {
	var (
		k   Keys
		err error
	)
	if looksOpenPGP(data) {
		k.pgp, err = parseOpenPGP(file, data)
	} else {
		k.ssh, err = parseAllowedSigners(file, string(data))
	}
	if err == nil && k.Len() == 0 {
		err = fmt.Errorf("%s: there is no key in it", file)
	}
	if err != nil {
		return Keys{}, err
	}
	return k, nil
}

// Join allows whom any of all allow.
func Join(all ...Keys) Keys {
	var k Keys
	for _, more := range all {
		k.ssh = append(k.ssh, more.ssh...)
		k.pgp = append(k.pgp, more.pgp...)
	}
	return k
}

// Len is the number of lines and OpenPGP keys.
func (k Keys) Len() int { return len(k.ssh) + len(k.pgp) }

// Verify names who made the armoured signature over payload, if Keys allow them
// at the time now: the time of the check, see the package's documentation. Any
// error is an *Error.
func (k Keys) Verify(payload []byte, signature string, now time.Time) (Signer, error) {
	signature = strings.TrimSpace(signature)
	switch {
	case signature == "":
		return Signer{}, refuse(ErrUnsigned, "it is not signed")
	case strings.HasPrefix(signature, sshBegin):
		return k.verifySSH(payload, signature, now)
	case strings.HasPrefix(signature, pgpBegin), strings.HasPrefix(signature, "-----BEGIN PGP MESSAGE-----"):
		return k.verifyOpenPGP(payload, signature, now)
	case strings.HasPrefix(signature, x509Begin):
		return Signer{}, refuse(ErrUnsupported, "it is signed with X.509, and only SSH and OpenPGP signatures are checked: git config gpg.format ssh (or openpgp)")
	}
	return Signer{}, refuse(ErrUnsupported, "it has a signature that is neither SSH nor OpenPGP")
}
