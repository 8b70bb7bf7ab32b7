package forge

import (
	"bytes"
	"encoding/json"
	"mime"
	"net/url"
	"strings"
)

// payloadRef finds the field "ref" of a payload, or of as much of it as there
// is: "" where it is none of ours. GitHub sends the JSON as the form value
// "payload" where the hook's content type is application/x-www-form-urlencoded
// (https://docs.github.com/en/webhooks/using-webhooks/creating-webhooks).
func payloadRef(contentType string, body []byte) string {
	body = bytes.TrimLeft(body, " \t\r\n")
	if kind, _, _ := mime.ParseMediaType(contentType); kind == "application/x-www-form-urlencoded" && !bytes.HasPrefix(body, []byte("{")) {
		body = formPayload(body)
	}
	return topLevelRef(body)
}

// formPayload is the value of "payload", as far as it goes.
func formPayload(body []byte) []byte {
	for pair := range strings.SplitSeq(string(body), "&") {
		value, ok := strings.CutPrefix(pair, "payload=")
		if !ok {
			continue
		}
		// The end may have been cut within an escape.
		if i := strings.LastIndexByte(value, '%'); i >= 0 && i > len(value)-3 {
			value = value[:i]
		}
		if plain, err := url.QueryUnescape(value); err == nil {
			return []byte(plain)
		}
	}
	return nil
}

// topLevelRef reads tokens up to the field: what follows may be missing.
func topLevelRef(body []byte) string {
	d := json.NewDecoder(bytes.NewReader(body))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return ""
	}
	for {
		key, err := d.Token()
		if err != nil || key == json.Delim('}') {
			return ""
		}
		value, err := d.Token()
		if err != nil {
			return ""
		}
		if text, ok := value.(string); key == "ref" {
			if ok {
				return text
			}
			return ""
		}
		// Nested values are skipped without recursion.
		for nested := delta(value); nested > 0; {
			t, err := d.Token()
			if err != nil {
				return ""
			}
			nested += delta(t)
		}
	}
}

// delta is what a token adds to the depth.
func delta(t json.Token) int {
	switch t {
	case json.Delim('{'), json.Delim('['):
		return 1
	case json.Delim('}'), json.Delim(']'):
		return -1
	}
	return 0
}
