package forge_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hactl/hactl/reconcile/forge"
)

// The example of https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries.
const (
	docSecret    = "It's a Secret to Everybody"
	docBody      = "Hello, World!"
	docSignature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
)

const (
	secret  = "s3cr3t-of-the-hook"
	signing = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	toMain  = `{"ref":"refs/heads/main","before":"0","commits":[{"message":"x","ref":"y"}]}`
	toOther = `{"before":{"ref":"refs/heads/main"},"ref":"refs/heads/other"}`
)

func sum(key, text string) []byte {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

func hexSum(key, text string) string { return hex.EncodeToString(sum(key, text)) }

// hook is a Webhook and what came of it.
type hook struct {
	*forge.Webhook
	triggers int
	reports  []forge.Delivery
}

func newHook(secret string, change func(*forge.WebhookOptions)) *hook {
	h := &hook{}
	o := forge.WebhookOptions{
		Secret: func() (string, error) { return secret, nil }, Ref: "main",
		Trigger: func() { h.triggers++ }, Report: func(d forge.Delivery) { h.reports = append(h.reports, d) },
	}
	if change != nil {
		change(&o)
	}
	h.Webhook = forge.NewWebhook(o)
	return h
}

func (h *hook) send(body io.Reader, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/hook", body)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestDeliveriesOfEveryForge(t *testing.T) {
	now := strconv.FormatInt(time.Now().Unix(), 10)
	old := strconv.FormatInt(time.Now().Add(-6*time.Minute).Unix(), 10)
	early := strconv.FormatInt(time.Now().Add(6*time.Minute).Unix(), 10)
	key, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(signing, "whsec_"))
	signed := func(at, body string) string {
		return "v1," + base64.StdEncoding.EncodeToString(sum(string(key), "msg_1."+at+"."+body))
	}
	form := "payload=" + url.QueryEscape(toOther)
	for name, c := range map[string]struct {
		secret, body string
		header       []string
		code         int
		outcome      forge.Outcome
		forge        string
	}{
		"github's own example":           {docSecret, docBody, []string{"X-Hub-Signature-256", docSignature, "X-GitHub-Event", "push"}, 202, forge.Triggered, "github"},
		"github":                         {secret, toMain, []string{"X-Hub-Signature-256", "sha256=" + hexSum(secret, toMain), "X-GitHub-Event", "push"}, 202, forge.Triggered, "github"},
		"github, another ref":            {secret, toOther, []string{"X-Hub-Signature-256", "sha256=" + hexSum(secret, toOther), "X-GitHub-Event", "push"}, 202, forge.Ignored, "github"},
		"github, form":                   {secret, form, []string{"X-Hub-Signature-256", "sha256=" + hexSum(secret, form), "X-GitHub-Event", "push", "Content-Type", "application/x-www-form-urlencoded"}, 202, forge.Ignored, "github"},
		"github, ping":                   {secret, `{"zen":"x"}`, []string{"X-Hub-Signature-256", "sha256=" + hexSum(secret, `{"zen":"x"}`), "X-GitHub-Event", "ping"}, 200, forge.Pinged, "github"},
		"github, an issue":               {secret, `{}`, []string{"X-Hub-Signature-256", "sha256=" + hexSum(secret, `{}`), "X-GitHub-Event", "issues"}, 202, forge.Ignored, "github"},
		"github, the body changed":       {secret, toMain + " ", []string{"X-Hub-Signature-256", "sha256=" + hexSum(secret, toMain)}, 401, forge.Refused, "github"},
		"github, another secret":         {secret, toMain, []string{"X-Hub-Signature-256", "sha256=" + hexSum("other", toMain)}, 401, forge.Refused, "github"},
		"github, SHA-1 only":             {secret, toMain, []string{"X-Hub-Signature", "sha1=0000"}, 401, forge.Refused, ""},
		"github, no prefix":              {secret, toMain, []string{"X-Hub-Signature-256", hexSum(secret, toMain)}, 401, forge.Refused, ""},
		"gitea":                          {secret, toMain, []string{"X-Gitea-Signature", hexSum(secret, toMain), "X-Hub-Signature-256", "sha256=" + hexSum(secret, toMain), "X-Gitea-Event", "push"}, 202, forge.Triggered, "gitea"},
		"gitea, short":                   {secret, toMain, []string{"X-Gitea-Signature", "abcd"}, 401, forge.Refused, ""},
		"gitea, malformed":               {secret, toMain, []string{"X-Gitea-Signature", "zz"}, 401, forge.Refused, ""},
		"forgejo":                        {secret, toMain, []string{"X-Forgejo-Signature", hexSum(secret, toMain), "X-Forgejo-Event", "push"}, 202, forge.Triggered, "forgejo"},
		"forgejo, not rescued":           {secret, toMain, []string{"X-Forgejo-Signature", hexSum("other", toMain), "X-Gitea-Signature", hexSum(secret, toMain)}, 401, forge.Refused, "forgejo"},
		"gitlab, token":                  {secret, toMain, []string{"X-Gitlab-Token", secret, "X-Gitlab-Event", "Push Hook"}, 202, forge.Triggered, "gitlab"},
		"gitlab, another token":          {secret, toMain, []string{"X-Gitlab-Token", secret + "x"}, 401, forge.Refused, ""},
		"gitlab, merge request":          {secret, `{}`, []string{"X-Gitlab-Token", secret, "X-Gitlab-Event", "Merge Request Hook"}, 202, forge.Ignored, "gitlab"},
		"gitlab, signed":                 {signing, toMain, []string{"Webhook-Id", "msg_1", "Webhook-Timestamp", now, "Webhook-Signature", signed(now, toMain), "X-Gitlab-Event", "Push Hook", "X-Gitlab-Token", "of another kind"}, 202, forge.Triggered, "gitlab"},
		"gitlab, one of two signatures":  {signing, toMain, []string{"Webhook-Id", "msg_1", "Webhook-Timestamp", now, "Webhook-Signature", signed(now, "x") + " v1a,zz " + signed(now, toMain)}, 202, forge.Triggered, "gitlab"},
		"gitlab, signed long ago":        {signing, toMain, []string{"Webhook-Id", "msg_1", "Webhook-Timestamp", old, "Webhook-Signature", signed(old, toMain)}, 401, forge.Refused, ""},
		"gitlab, signed by a fast clock": {signing, toMain, []string{"Webhook-Id", "msg_1", "Webhook-Timestamp", early, "Webhook-Signature", signed(early, toMain)}, 401, forge.Refused, ""},
		"gitlab, signed with another id": {signing, toMain, []string{"Webhook-Id", "msg_2", "Webhook-Timestamp", now, "Webhook-Signature", signed(now, toMain)}, 401, forge.Refused, "gitlab"},
		"gitlab, signed, no v1":          {signing, toMain, []string{"Webhook-Id", "msg_1", "Webhook-Timestamp", now, "Webhook-Signature", "v1a,zz"}, 401, forge.Refused, ""},
		"gitlab, a key that is none":     {"whsec_!", toMain, []string{"Webhook-Id", "msg_1", "Webhook-Timestamp", now, "Webhook-Signature", signed(now, toMain)}, 401, forge.Refused, ""},
		"nobody":                         {secret, toMain, nil, 401, forge.Refused, ""},
		"no ref":                         {secret, `{"x":1}`, []string{"X-Gitlab-Token", secret}, 202, forge.Triggered, "gitlab"},
		"no JSON":                        {secret, `<x>`, []string{"X-Gitlab-Token", secret}, 202, forge.Triggered, "gitlab"},
	} {
		h := newHook(c.secret, nil)
		w := h.send(strings.NewReader(c.body), c.header...)
		if w.Code != c.code || len(h.reports) != 1 || h.reports[0].Outcome != c.outcome || h.reports[0].Forge != c.forge {
			t.Errorf("%s: %d %q, %+v", name, w.Code, w.Body, h.reports)
		}
		if want := c.outcome == forge.Triggered; (h.triggers == 1) != want {
			t.Errorf("%s: %d triggers", name, h.triggers)
		}
		for _, d := range h.reports {
			text := fmt.Sprintf("%+v %s", d, w.Body)
			if strings.Contains(text, c.secret) || c.code == 401 && strings.Contains(text, "refs/") {
				t.Errorf("%s: tells %s", name, text)
			}
		}
	}
}

func TestFollowedRefs(t *testing.T) {
	for _, c := range []struct {
		followed, pushed string
		triggers         int
	}{
		{"main", "refs/heads/main", 1}, {"main", "refs/tags/main", 1}, {"main", "main", 1}, {"main", "refs/heads/mai", 0},
		{"refs/heads/main", "refs/heads/main", 1}, {"refs/heads/main", "refs/tags/main", 0}, {"refs/heads/main", "main", 1},
		{"", "refs/heads/x", 1}, {"HEAD", "refs/heads/x", 1}, {strings.Repeat("a", 40), "refs/heads/x", 1}, {"a/b", "refs/heads/a/b", 1},
	} {
		h := newHook(secret, func(o *forge.WebhookOptions) { o.Ref = c.followed })
		h.send(strings.NewReader(`{"ref":"`+c.pushed+`"}`), "X-Gitlab-Token", secret)
		if h.triggers != c.triggers {
			t.Errorf("%s after a push to %s: %d triggers", c.followed, c.pushed, h.triggers)
		}
	}
}

func TestOnlyPOSTIsTaken(t *testing.T) {
	h := newHook(secret, nil)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/hook", nil))
	if w.Code != 405 || w.Header().Get("Allow") != "POST" || len(h.reports) != 0 {
		t.Errorf("%d %v %v", w.Code, w.Header(), h.reports)
	}
}

func TestTheSecretIsAskedEachTime(t *testing.T) {
	current, err := "old", error(nil)
	h := newHook("", func(o *forge.WebhookOptions) { o.Secret = func() (string, error) { return current, err } })
	push := func(token string) int { return h.send(strings.NewReader(toMain), "X-Gitlab-Token", token).Code }
	if a := push("old"); a != 202 {
		t.Error(a)
	}
	current = "new"
	if a, b := push("old"), push("new"); a != 401 || b != 202 {
		t.Error(a, b)
	}
	current = ""
	if a := push(""); a != 503 {
		t.Error(a)
	}
	err = errors.New("no such file")
	if a := push("new"); a != 503 {
		t.Error(a)
	}
}

type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) { e.read += len(p); return len(p), nil }

func TestALargeBodyIsNotRead(t *testing.T) {
	h := newHook(secret, func(o *forge.WebhookOptions) { o.MaxBody = 1 << 20 })
	body := &endless{}
	if w := h.send(body, "X-Gitlab-Token", secret); w.Code != 413 || body.read > 2<<20 {
		t.Errorf("%d after %d bytes", w.Code, body.read)
	}
	body = &endless{}
	if w := h.send(body, "X-Gitlab-Token", "wrong"); w.Code != 401 || body.read > 0 {
		t.Errorf("%d after %d bytes", w.Code, body.read)
	}
	announced := &endless{}
	r := httptest.NewRequest(http.MethodPost, "/hook", announced)
	r.ContentLength = 2 << 20
	r.Header.Set("X-Gitlab-Token", secret)
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, r); w.Code != 413 || announced.read > 0 {
		t.Errorf("announced: %d after %d bytes", w.Code, announced.read)
	}
	// What is within the limit may be longer than what is kept of it.
	long := `{"ref":"refs/heads/other","x":"` + strings.Repeat("y", 900<<10) + `"}`
	if w := h.send(strings.NewReader(long), "X-Hub-Signature-256", "sha256="+hexSum(secret, long)); w.Code != 202 || h.triggers != 0 {
		t.Errorf("%d, %d triggers", w.Code, h.triggers)
	}
	// A ref too far behind is not seen, and the push is taken for one of ours.
	long = `{"x":"` + strings.Repeat("y", 300<<10) + `","ref":"refs/heads/other"}`
	if w := h.send(strings.NewReader(long), "X-Gitlab-Token", secret); w.Code != 202 || h.triggers != 1 {
		t.Errorf("%d, %d triggers", w.Code, h.triggers)
	}
}

func TestAFloodCostsLittleAndLosesNoPush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var triggers atomic.Int32
		limited, refused := 0, 0
		h := forge.NewWebhook(forge.WebhookOptions{
			Secret: func() (string, error) { return secret, nil }, Trigger: func() { triggers.Add(1) },
			Report: func(d forge.Delivery) {
				switch d.Outcome {
				case forge.Limited:
					limited++
				case forge.Refused:
					refused++
				}
			},
			Burst: 5, Every: time.Second, Pause: 3 * time.Second,
		})
		push := func(token string) int {
			r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(toMain))
			r.Header.Set("X-Gitlab-Token", token)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			return w.Code
		}
		for i := range 100 {
			if code := push(secret); code != 202 {
				t.Fatalf("delivery %d: %d", i, code)
			}
		}
		large := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(toMain+strings.Repeat(" ", 65<<10)))
		large.Header.Set("X-Gitlab-Token", secret)
		answer := httptest.NewRecorder()
		if h.ServeHTTP(answer, large); answer.Code != 429 {
			t.Errorf("a large one is answered %d", answer.Code)
		}
		if triggers.Load() != 1 || limited > 1 {
			t.Errorf("%d triggers, %d reports of the limit", triggers.Load(), limited)
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if triggers.Load() != 2 {
			t.Errorf("%d triggers after the pause", triggers.Load())
		}
		time.Sleep(time.Minute)
		limited = 0
		for range 100 {
			push("wrong")
		}
		if code := push(secret); code != 202 {
			t.Errorf("the real one is answered %d", code)
		}
		if triggers.Load() != 3 || refused != 5 || limited > 1 {
			t.Errorf("%d triggers, %d refused, %d limited", triggers.Load(), refused, limited)
		}
		time.Sleep(time.Second)
		if code := push(secret); code != 202 {
			t.Errorf("%d, %d triggers", code, triggers.Load())
		}
	})
}

func FuzzDelivery(f *testing.F) {
	for _, body := range []string{toMain, toOther, "", "{", `{"ref":1}`, `{"a":[{"b":[]}],"ref":"x"}`, `["ref"]`, `{"ref":"\u0000\n"}`, "payload=%7B%22ref", "payload=%7B%22ref%22%3A%22x%22%7D&x=%"} {
		f.Add(body, "application/json")
		f.Add(body, "application/x-www-form-urlencoded")
	}
	f.Add(strings.Repeat("[", 5000), "")
	f.Fuzz(func(t *testing.T, body, contentType string) {
		h := newHook(secret, nil)
		w := h.send(strings.NewReader(body), "X-Gitlab-Token", secret, "Content-Type", contentType)
		if w.Code != 202 || len(h.reports) != 1 {
			t.Errorf("%d %+v", w.Code, h.reports)
		}
		d := h.reports[0]
		if strings.ContainsFunc(d.Ref, func(r rune) bool { return r < ' ' || r > '~' }) || len(d.Ref) > 200 {
			t.Errorf("%q", d.Ref)
		}
		if d.Outcome == forge.Ignored && d.Ref == "" {
			t.Error("ignored for no ref")
		}
		if w := h.send(strings.NewReader(body), "X-Hub-Signature-256", "sha256="+hexSum(secret, body+"x")); w.Code != 401 {
			t.Errorf("not authentic, and the answer is %d", w.Code)
		}
	})
}
