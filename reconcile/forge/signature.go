package forge

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"hash"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// verifier is told a body and then knows whether its sender has the secret.
//
// The first of these headers that is there decides, whatever the others say:
//
//	X-Forgejo-Signature   hex of HMAC-SHA256(secret, body)
//	X-Gitea-Signature     the same
//	X-Hub-Signature-256   "sha256=" and the same
//	webhook-signature     "v1," and base64 of HMAC-SHA256(key, id.time.body)
//	X-Gitlab-Token        the secret itself
//
// Forgejo and Gitea send the third beside their own, and an older Forgejo the
// second: https://forgejo.org/docs/latest/user/webhooks/,
// https://docs.gitea.com/usage/repository/webhooks. It is
// GitHub's: https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries.
// The fourth is GitLab's signing token, after Standard Webhooks, the last its
// older secret token, which may come along with another value:
// https://gitlab.com/gitlab-org/gitlab/-/merge_requests/230944,
// https://docs.gitlab.com/user/project/integrations/webhooks/.
type verifier struct {
	forge string
	mac   hash.Hash
	want  [][]byte // any of them; none where the token has been compared already
}

// The errors name what is missing, and repeat nothing of the request.
var (
	errUnsigned = errors.New("it has no signature")
	errShape    = errors.New("the signature's header is malformed")
	errToken    = errors.New("the token is not the secret")
	errStale    = errors.New("the signature's time is more than 5 minutes away from this clock")
	errKey      = errors.New("the secret begins with whsec_ and is not in base64 after that")
)

// staleAfter is the tolerance that Standard Webhooks recommends.
const staleAfter = 5 * time.Minute

func newVerifier(h http.Header, secret string, now time.Time) (*verifier, error) {
	for _, s := range []struct{ forge, header string }{
		{"forgejo", "X-Forgejo-Signature"}, {"gitea", "X-Gitea-Signature"}, {"github", "X-Hub-Signature-256"},
	} {
		value := h.Get(s.header)
		if value == "" {
			continue
		}
		if s.forge == "github" {
			var ok bool
			if value, ok = strings.CutPrefix(value, "sha256="); !ok {
				return nil, errShape
			}
		}
		sum, err := hex.DecodeString(value)
		if err != nil || len(sum) != sha256.Size {
			return nil, errShape
		}
		return &verifier{forge: s.forge, mac: hmac.New(sha256.New, []byte(secret)), want: [][]byte{sum}}, nil
	}
	if signatures := h.Get("Webhook-Signature"); signatures != "" {
		return newSigned(h, signatures, secret, now)
	}
	if token := h.Get("X-Gitlab-Token"); token != "" {
		// Hashed, so that the comparison does not tell the length either.
		a, b := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(secret))
		if subtle.ConstantTimeCompare(a[:], b[:]) != 1 {
			return nil, errToken
		}
		return &verifier{forge: "gitlab"}, nil
	}
	return nil, errUnsigned
}

// newSigned reads the headers of Standard Webhooks
// (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md):
// a list of signatures, since the sender may be changing its key.
func newSigned(h http.Header, signatures, secret string, now time.Time) (*verifier, error) {
	id, at := h.Get("Webhook-Id"), h.Get("Webhook-Timestamp")
	seconds, err := strconv.ParseInt(at, 10, 64)
	if err != nil || id == "" || len(id) > 512 || len(signatures) > 2048 {
		return nil, errShape
	}
	if age := now.Sub(time.Unix(seconds, 0)); age > staleAfter || age < -staleAfter {
		return nil, errStale
	}
	key := []byte(secret)
	if encoded, ok := strings.CutPrefix(secret, "whsec_"); ok {
		if key, err = base64.StdEncoding.DecodeString(encoded); err != nil || len(key) == 0 {
			return nil, errKey
		}
	}
	v := &verifier{forge: "gitlab", mac: hmac.New(sha256.New, key)}
	for signature := range strings.FieldsSeq(signatures) {
		encoded, ok := strings.CutPrefix(signature, "v1,")
		if !ok {
			continue // Another version: v1a is asymmetric.
		}
		sum, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil || len(sum) != sha256.Size {
			return nil, errShape
		}
		v.want = append(v.want, sum)
	}
	if len(v.want) == 0 {
		return nil, errShape
	}
	v.mac.Write([]byte(id + "." + at + "."))
	return v, nil
}

// Write takes a part of the body.
func (v *verifier) Write(p []byte) (int, error) {
	if v.mac != nil {
		v.mac.Write(p)
	}
	return len(p), nil
}

// authentic says it once the body is complete.
func (v *verifier) authentic() bool {
	if v.mac == nil {
		return true
	}
	sum, found := v.mac.Sum(nil), 0
	for _, want := range v.want {
		found |= subtle.ConstantTimeCompare(sum, want)
	}
	return found == 1
}
