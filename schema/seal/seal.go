package seal

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"filippo.io/age/armor"
)

// Recipients are those who can open what is sealed.
type Recipients struct{ list []age.Recipient }

// Identities can open what was sealed for their recipients.
type Identities struct{ list []age.Identity }

// mostPlain is the largest secret that is sealed or opened.
const mostPlain = 32 << 10

// ParseRecipients reads recipients, one a line: age1…, ssh-ed25519 … or
// ssh-rsa …. Empty lines and those that begin with # are skipped.
func ParseRecipients(text string) (Recipients, error) {
	var r Recipients
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		one, err := recipient(line)
		if err != nil {
			return Recipients{}, fmt.Errorf("recipient in line %d: %w", n, err)
		}
		r.list = append(r.list, one)
	}
	if len(r.list) == 0 {
		return Recipients{}, errors.New("there is no recipient")
	}
	return r, nil
}

func recipient(line string) (age.Recipient, error) {
	var one age.Recipient
	var err error
	switch {
	case strings.HasPrefix(line, "AGE-SECRET-KEY-"):
		return nil, errors.New("this is an identity, which has to stay secret: give its recipient, age1…")
	case strings.HasPrefix(line, "age1pq1"):
		one, err = age.ParseHybridRecipient(line)
	case strings.HasPrefix(line, "age1"):
		one, err = age.ParseX25519Recipient(line)
	case strings.HasPrefix(line, "ssh-"):
		one, err = agessh.ParseRecipient(line)
	default:
		return nil, errors.New("want age1… or an SSH public key, ssh-ed25519 … or ssh-rsa …")
	}
	if err != nil {
		return nil, errors.New("it is damaged: its checksum or length is wrong")
	}
	return one, nil
}

// ParseIdentities reads a file of identities: lines of AGE-SECRET-KEY-1… as
// age-keygen writes them, or an SSH private key without a passphrase.
func ParseIdentities(text string) (Identities, error) {
	var i Identities
	if strings.HasPrefix(strings.TrimSpace(text), "-----BEGIN") {
		one, err := agessh.ParseIdentity([]byte(text))
		if err != nil {
			return i, errors.New("the SSH private key cannot be used: want one of ed25519 or RSA, without a passphrase")
		}
		i.list = append(i.list, one)
		return i, nil
	}
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		var one age.Identity
		var err error
		if strings.HasPrefix(line, "AGE-SECRET-KEY-PQ-1") {
			one, err = age.ParseHybridIdentity(line)
		} else {
			one, err = age.ParseX25519Identity(line)
		}
		if err != nil {
			return Identities{}, fmt.Errorf("line %d is no identity (not repeated here): want AGE-SECRET-KEY-1…", n)
		}
		i.list = append(i.list, one)
	}
	if len(i.list) == 0 {
		return i, errors.New("there is no identity in it")
	}
	return i, nil
}

// Seal encrypts a secret. The result is armour with a newline at its end.
func Seal(secret []byte, to Recipients) (string, error) {
	if len(secret) > mostPlain {
		return "", fmt.Errorf("the secret is larger than %d KiB", mostPlain>>10)
	}
	var out bytes.Buffer
	a := armor.NewWriter(&out)
	w, err := age.Encrypt(a, to.list...)
	if err != nil {
		return "", fmt.Errorf("encrypt for the recipients: %w", err)
	}
	_, err1 := w.Write(secret)
	if err := errors.Join(err1, w.Close(), a.Close()); err != nil {
		return "", fmt.Errorf("encrypt: %w", err)
	}
	return out.String(), nil
}

// Open decrypts the binary form of what Seal made.
func Open(ciphertext []byte, with Identities) ([]byte, error) {
	r, err := age.Decrypt(bytes.NewReader(ciphertext), with.list...)
	var none *age.NoIdentityMatchError
	if errors.As(err, &none) {
		return nil, errors.New("it was sealed for other recipients")
	}
	if err != nil {
		return nil, errors.New("the ciphertext is damaged")
	}
	secret, err := io.ReadAll(io.LimitReader(r, mostPlain+1))
	switch {
	case err != nil:
		return nil, errors.New("the ciphertext is damaged or cut")
	case len(secret) > mostPlain:
		return nil, fmt.Errorf("the secret is larger than %d KiB", mostPlain>>10)
	}
	return secret, nil
}

// NewIdentity makes an identity and its recipient.
func NewIdentity() (identity, recipient string, err error) {
	i, err := age.GenerateX25519Identity()
	if err != nil {
		return "", "", fmt.Errorf("make an identity: %w", err)
	}
	return i.String(), i.Recipient().String(), nil
}
