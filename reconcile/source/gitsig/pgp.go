package gitsig

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	pgperrors "github.com/ProtonMail/go-crypto/openpgp/errors"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// goodHashes are what an OpenPGP signature may be over.
var goodHashes = []crypto.Hash{
	crypto.SHA224, crypto.SHA256, crypto.SHA384, crypto.SHA512, crypto.SHA3_256, crypto.SHA3_512,
}

// skew is how far a signature's time may be ahead of ours: clocks differ, and a
// commit can be here in a second.
const skew = 5 * time.Minute

// looksOpenPGP tells keys in OpenPGP from lines of text: by armour, which may
// have text in front, or by the first bit, which every packet has set.
func looksOpenPGP(data []byte) bool {
	const begin = "-----BEGIN PGP"
	return bytes.HasPrefix(data, []byte(begin)) || bytes.Contains(data, []byte("\n"+begin)) || len(data) > 0 && data[0]&0x80 != 0 && !bytes.HasPrefix(data, []byte("\xef\xbb\xbf"))
}

func parseOpenPGP(file string, data []byte) (openpgp.EntityList, error) {
	var all openpgp.EntityList
	add := func(r io.Reader) error {
		some, err := openpgp.ReadKeyRing(r)
		if err != nil {
			return fmt.Errorf("%s: read OpenPGP keys: %w", file, err)
		}
		all = append(all, some...)
		return nil
	}
	if data[0]&0x80 != 0 {
		if err := add(bytes.NewReader(data)); err != nil {
			return nil, err
		}
	} else {
		for r := bytes.NewReader(data); ; {
			// Decode reads ahead, and so must be given one block at a time.
			block, rest := nextArmour(data)
			if block == nil {
				break
			}
			data = rest
			r.Reset(block)
			b, err := armor.Decode(r)
			if err != nil {
				return nil, fmt.Errorf("%s: read OpenPGP armour: %w", file, err)
			}
			switch b.Type {
			case openpgp.PublicKeyType:
				if err := add(b.Body); err != nil {
					return nil, err
				}
			case openpgp.PrivateKeyType:
				return nil, fmt.Errorf("%s: it holds a private OpenPGP key, and only public ones belong there: gpg --armor --export", file)
			default:
				return nil, fmt.Errorf("%s: it holds a %s, not public keys", file, shown(b.Type))
			}
		}
	}
	for _, e := range all {
		if e.PrivateKey != nil {
			return nil, fmt.Errorf("%s: it holds a private OpenPGP key, and only public ones belong there: gpg --export", file)
		}
	}
	return all, nil
}

// nextArmour cuts one armoured block off data, nil if there is none.
func nextArmour(data []byte) (block, rest []byte) {
	start := bytes.Index(data, []byte("-----BEGIN PGP"))
	if start < 0 {
		return nil, nil
	}
	end := bytes.Index(data[start:], []byte("\n-----END PGP"))
	if end < 0 {
		return data[start:], nil
	}
	end += start + 1
	if i := bytes.IndexByte(data[end:], '\n'); i >= 0 {
		return data[start : end+i+1], data[end+i+1:]
	}
	return data[start:], nil
}

func (k Keys) verifyOpenPGP(payload []byte, armoured string, now time.Time) (Signer, error) {
	raw, sig, err := pgpSignature(armoured)
	if err != nil {
		return Signer{}, err
	}
	id := fmt.Sprintf("%016X", *sig.IssuerKeyId)
	keys := k.pgp.KeysById(*sig.IssuerKeyId)
	if sig.IssuerFingerprint != nil {
		keys = slices.DeleteFunc(keys, func(key openpgp.Key) bool { return !bytes.Equal(key.PublicKey.Fingerprint, sig.IssuerFingerprint) })
	}
	if len(keys) == 0 {
		return Signer{}, refuse(ErrUnknown, "it is signed by the OpenPGP key %s, which is not among the allowed signers", id)
	}
	if !slices.Contains(goodHashes, sig.Hash) {
		return Signer{}, refuse(ErrBad, "its OpenPGP signature by %s is over a hash that is not accepted (%v): have gpg use SHA256 or more (digest-algo)", id, sig.Hash)
	}
	// One id is one key, but for collisions of 64 bits and keys given twice: any
	// copy will do, as one may have been renewed, unless one is revoked. The last
	// complaint is as good as another.
	for _, key := range keys {
		if err := checkRevoked(key, id); err != nil {
			return Signer{}, err
		}
	}
	for _, key := range keys {
		if err = checkPGPKey(key, id); err != nil {
			continue
		}
		at := now
		if ahead := sig.CreationTime.Sub(now); ahead > 0 && ahead <= skew {
			at = sig.CreationTime
		}
		config := &packet.Config{Time: func() time.Time { return at }, MinRSABits: minRSABits}
		_, err = openpgp.CheckDetachedSignature(openpgp.EntityList{key.Entity}, bytes.NewReader(payload), bytes.NewReader(raw), config)
		if err == nil {
			return Signer{Principal: pgpName(key.Entity), Key: fmt.Sprintf("%X", key.Entity.PrimaryKey.Fingerprint), Method: OpenPGP}, nil
		}
		err = pgpError(err, id, sig, now)
	}
	return Signer{}, err
}

// pgpSignature unpacks one signature, and only one: of several, programs differ
// in which they believe.
func pgpSignature(armoured string) ([]byte, *packet.Signature, error) {
	damaged := func() ([]byte, *packet.Signature, error) {
		return nil, nil, refuse(ErrBad, "its OpenPGP signature is damaged, or not one signature")
	}
	block, err := armor.Decode(strings.NewReader(armoured))
	if err != nil || block.Type != openpgp.SignatureType && block.Type != "PGP MESSAGE" {
		return damaged()
	}
	raw, err := io.ReadAll(block.Body)
	if err != nil {
		return damaged()
	}
	r := bytes.NewReader(raw)
	p, err := packet.Read(r)
	var unsupported pgperrors.UnsupportedError
	if errors.As(err, &unsupported) {
		return nil, nil, refuse(ErrBad, "its OpenPGP signature is of a kind, or over a hash, that is not accepted")
	}
	if err != nil {
		return damaged()
	}
	sig, ok := p.(*packet.Signature)
	if !ok || r.Len() > 0 || sig.IssuerKeyId == nil || sig.SigType != packet.SigTypeBinary {
		return damaged()
	}
	return raw, sig, nil
}

// checkRevoked refuses what the library would let pass: a key revoked for a
// reason that leaves older signatures good, of which the age is the signer's word.
func checkRevoked(key openpgp.Key, id string) error {
	if len(key.Revocations) > 0 || len(key.Entity.Revocations) > 0 {
		return refuse(ErrNotValid, "the OpenPGP key %s of %s is revoked", id, pgpName(key.Entity))
	}
	return nil
}

// checkPGPKey refuses what the library would call an unknown key, or let pass.
func checkPGPKey(key openpgp.Key, id string) error {
	if s := key.SelfSignature; s == nil || !s.FlagsValid || !s.FlagSign {
		return refuse(ErrNotValid, "the OpenPGP key %s of %s is not for signing", id, pgpName(key.Entity))
	}
	if bits, err := key.PublicKey.BitLength(); err == nil && isRSA(key.PublicKey.PubKeyAlgo) && bits < minRSABits {
		return refuse(ErrNotValid, "the OpenPGP key %s of %s is RSA of %d bits: %d are needed", id, pgpName(key.Entity), bits, minRSABits)
	}
	return nil
}

func isRSA(a packet.PublicKeyAlgorithm) bool {
	return a == packet.PubKeyAlgoRSA || a == packet.PubKeyAlgoRSASignOnly
}

func pgpError(err error, id string, sig *packet.Signature, now time.Time) error {
	switch {
	case errors.Is(err, pgperrors.ErrKeyRevoked):
		return refuse(ErrNotValid, "the OpenPGP key %s is revoked", id)
	case errors.Is(err, pgperrors.ErrKeyExpired):
		return refuse(ErrNotValid, "the OpenPGP key %s has expired, or is not valid yet", id)
	case errors.Is(err, pgperrors.ErrSignatureExpired) && sig.CreationTime.After(now):
		return refuse(ErrNotValid, "the OpenPGP signature by %s is of the future (%s): are the clocks right?", id, sig.CreationTime.UTC().Format(time.RFC3339))
	case errors.Is(err, pgperrors.ErrSignatureExpired):
		return refuse(ErrNotValid, "the OpenPGP signature by %s, or what binds its key, has expired", id)
	}
	return refuse(ErrBad, "its OpenPGP signature by %s is not of these bytes: they were changed, or the signature is another's", id)
}

// pgpName is the primary user id's address, or all of it where it has none.
func pgpName(e *openpgp.Entity) string {
	i := e.PrimaryIdentity()
	switch {
	case i == nil:
		return fmt.Sprintf("%X", e.PrimaryKey.Fingerprint)
	case i.UserId != nil && i.UserId.Email != "":
		return i.UserId.Email
	}
	return i.Name
}
