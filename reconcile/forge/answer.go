package forge

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// pauseAsked is how long a server asks to be left alone, and whether it says
// so at all: Retry-After, as seconds or a date (RFC 9110, section 10.2.3), or
// GitHub's count of what remains
// (https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api).
func pauseAsked(h http.Header, now time.Time) (wait time.Duration, limited bool) {
	if after := h.Get("Retry-After"); after != "" {
		if seconds, err := strconv.ParseInt(after, 10, 32); err == nil && seconds >= 0 {
			return time.Duration(seconds) * time.Second, true
		}
		if at, err := http.ParseTime(after); err == nil {
			return max(0, at.Sub(now)), true
		}
	}
	if h.Get("X-Ratelimit-Remaining") == "0" {
		if at, err := strconv.ParseInt(h.Get("X-Ratelimit-Reset"), 10, 64); err == nil {
			return max(0, time.Unix(at, 0).Sub(now)), true
		}
		return 0, true
	}
	return 0, false
}

// message is what an answer says in words: every forge has a field "message",
// which at GitLab may be a struct.
func message(body []byte) string {
	var answer struct {
		Message json.RawMessage `json:"message"`
		Error   string          `json:"error"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return ""
	}
	var text string
	if json.Unmarshal(answer.Message, &text) != nil {
		text = string(answer.Message)
	}
	if text == "" {
		text = answer.Error
	}
	return line(text, 200)
}

// withoutURL takes off what net/http puts before an error.
func withoutURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
