package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/hactl/hactl/schema"
)

// payload is what a webhook gets; schema's #Notification documents it.
type payload struct {
	Version  int    `json:"version"`
	Kind     string `json:"kind"`
	Host     string `json:"host"`
	Subject  string `json:"subject"`
	Text     string `json:"text"`
	Revision string `json:"revision,omitempty"`
	Time     string `json:"time"`
	Bundled  int    `json:"bundled,omitempty"`
}

// SignatureHeader is "sha256=" and the HMAC-SHA256 of the body, in
// hexadecimal, of a webhook that has a secret.
const SignatureHeader = "X-Hactl-Signature-256"

// body is what the target gets.
func (t *target) body(m Message) ([]byte, error) {
	if t.to.Type == schema.NotifySlack {
		return json.Marshal(map[string]string{"text": slackText(m)})
	}
	return json.Marshal(payload{
		Version: 1, Kind: m.Kind, Host: m.Host, Subject: m.Subject, Text: m.Text, Revision: m.Revision,
		Time: m.Time.UTC().Format(time.RFC3339), Bundled: m.Bundled,
	})
}

// slackEscapes keeps a text from mentioning people or making links
// (https://docs.slack.dev/messaging/formatting-message-text/#escaping).
var slackEscapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

func slackText(m Message) string {
	text := oneLine(m.Text, 3000)
	if m.Host != "" {
		text = m.Host + ": " + text
	}
	if m.Revision != "" {
		text += fmt.Sprintf(" (revision %.12s)", m.Revision)
	}
	return slackEscapes.Replace(text)
}

// oneLine keeps what servers and users write from breaking lines.
func oneLine(s string, most int) string {
	words := strings.FieldsFunc(strings.ToValidUTF8(s, "?"), func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) })
	if runes := []rune(strings.Join(words, " ")); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return strings.Join(words, " ")
}

// try sends a message once. Where that failed, retry tells whether it may work
// later, and wait how long the server asks to be left alone. The error holds
// no part of a URL that is a secret.
func (t *target) try(ctx context.Context, m Message) (retry bool, wait time.Duration, err error) {
	at, hide, err := t.url()
	if err != nil {
		return false, 0, err
	}
	body, err := t.body(m)
	if err != nil {
		return false, 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, at, bytes.NewReader(body))
	if err != nil {
		return false, 0, errURL
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", t.n.o.UserAgent)
	if t.to.Secret != nil {
		secret, err := t.n.o.Secret(*t.to.Secret)
		if err != nil {
			return false, 0, fmt.Errorf("the secret of %s: %w", t.name, err)
		}
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write(body)
		r.Header.Set(SignatureHeader, "sha256="+hex.EncodeToString(mac.Sum(nil)))
	}
	response, err := t.n.client.Do(r)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // Without the URL.
		}
		return true, 0, errors.New(hide.Replace(oneLine(err.Error(), 300)))
	}
	defer response.Body.Close()
	if response.StatusCode/100 == 2 {
		return false, 0, nil
	}
	said, _ := io.ReadAll(io.LimitReader(response.Body, 300)) // Slack says why in a word.
	err = fmt.Errorf("the answer is %d: %s", response.StatusCode, hide.Replace(oneLine(string(said), 100)))
	switch code := response.StatusCode; {
	case code == http.StatusTooManyRequests || code == http.StatusRequestTimeout || code >= 500:
		return true, retryAfter(response.Header, time.Now()), err
	}
	return false, 0, err
}

var errURL = errors.New("the URL is not https://host/path (not repeated here, as it may hold a secret)")

// url returns where to send, and what takes it out of a text where it is
// secret.
func (t *target) url() (string, *strings.Replacer, error) {
	if t.to.URLFrom == nil {
		return t.to.URL, strings.NewReplacer(), nil
	}
	at, err := t.n.o.Secret(*t.to.URLFrom)
	if err != nil {
		return "", nil, fmt.Errorf("the URL of %s: %w", t.name, err)
	}
	at = strings.TrimSpace(at)
	u, err := url.Parse(at)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return "", nil, errURL
	}
	var secrets []string
	password, _ := u.User.Password()
	for _, s := range []string{at, u.RequestURI(), u.Path, u.RawQuery, password} {
		if len(s) > 1 {
			secrets = append(secrets, s, "(secret)")
		}
	}
	return at, strings.NewReplacer(secrets...), nil
}

// retryAfter reads the header of RFC 9110, section 10.2.3; 0 where there is none.
func retryAfter(h http.Header, now time.Time) time.Duration {
	value := h.Get("Retry-After")
	if seconds, err := strconv.ParseInt(value, 10, 32); err == nil {
		return max(0, time.Duration(seconds)*time.Second)
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}
