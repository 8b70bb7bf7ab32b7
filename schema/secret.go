package schema

import (
	"bytes"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"strings"
)

// SecretRef says where a secret is to be found, or holds it encrypted. It
// never holds the secret itself.
type SecretRef struct {
	Env        string `json:"env,omitempty"`
	File       string `json:"file,omitempty"`
	Credential string `json:"credential,omitempty"`
	// Age is a file of age's, armoured or in base64.
	Age string `json:"age,omitempty"`
}

func (SecretRef) String() string { return "(secret)" }

// GoString keeps %#v from showing more.
func (SecretRef) GoString() string { return "schema.SecretRef{(secret)}" }

// valid tells whether exactly one place is named.
func (r SecretRef) valid() bool {
	n := 0
	for _, s := range []string{r.Env, r.File, r.Credential, r.Age} {
		if s != "" {
			n++
		}
	}
	return n == 1
}

// The parts of age's format, version 1 (https://age-encryption.org/v1).
const (
	ageIntro  = "age-encryption.org/v1\n"
	ageArmour = "AGE ENCRYPTED FILE"
	// mostCiphertext keeps files out of specifications.
	mostCiphertext = 64 << 10
)

var (
	errAgeArmour = errors.New("the armour is damaged: want all of it, from -----BEGIN AGE ENCRYPTED FILE----- to the END line")
	errAgeBase64 = errors.New("neither armour nor base64: want what hactl secret seal prints, or age --encrypt --armor")
	errAgeHeader = errors.New("no ciphertext of age's: its header is missing or cut")
	errAgeLarge  = errors.New("larger than 64 KiB: a secret in a specification is short")
)

// Ciphertext returns the binary form of Age, once its outer form is right.
// Whether anybody can decrypt it is not known here.
func (r SecretRef) Ciphertext() ([]byte, error) {
	if len(r.Age) > mostCiphertext {
		return nil, errAgeLarge
	}
	text := strings.TrimSpace(strings.ReplaceAll(r.Age, "\r\n", "\n"))
	var binary []byte
	if strings.HasPrefix(text, "-----") {
		block, rest := pem.Decode([]byte(text))
		if block == nil || block.Type != ageArmour || len(block.Headers) > 0 || len(bytes.TrimSpace(rest)) > 0 {
			return nil, errAgeArmour
		}
		binary = block.Bytes
	} else {
		var err error
		if binary, err = base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), "")); err != nil {
			return nil, errAgeBase64
		}
	}
	// A header has a stanza for each recipient and ends in a MAC of its own.
	header, _, ended := bytes.Cut(binary, []byte("\n--- "))
	if !ended || !bytes.HasPrefix(header, []byte(ageIntro+"-> ")) {
		return nil, errAgeHeader
	}
	return binary, nil
}
