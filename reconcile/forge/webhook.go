package forge

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Outcome says what became of a delivery.
type Outcome string

// The outcomes.
const (
	Triggered Outcome = "triggered" // Trigger was, or is about to be, called
	Ignored   Outcome = "ignored"   // authentic, and about something else
	Pinged    Outcome = "pinged"    // authentic, and only a try
	Refused   Outcome = "refused"   // not authentic, or not readable
	Limited   Outcome = "limited"   // too many; the first of a row only
)

// Delivery is what a Webhook reports. Of one that was refused it holds nothing
// that its sender chose, apart from the address it came from.
type Delivery struct {
	Outcome Outcome
	Forge   string // github, gitlab, gitea or forgejo; "" where unknown
	Remote  string // address as net/http gives it
	Reason  string // of every outcome but Triggered
	Event   string // as the forge calls it
	Ref     string // full name; "" where the payload has none
}

// WebhookOptions are the parts of a Webhook. Secret and Trigger are required;
// the zero value of every other field has a default.
type WebhookOptions struct {
	// Secret is what the forge was given as the hook's secret (at GitLab: the
	// secret token, or the signing token). It is asked for every delivery.
	Secret func() (string, error)
	// Ref is the one that is followed: a branch or tag by its short or full
	// name. Empty, HEAD or a commit: every push triggers.
	Ref string
	// Trigger must return at once. Calls are at least Pause apart, and never
	// concurrent; the last push of a flood is always followed by one, which
	// may come from another goroutine up to Pause after the answer.
	Trigger func()
	// Report is told about deliveries, from the request's goroutine.
	Report func(Delivery)

	// Burst deliveries are looked at in a row (20), then one per Every (500ms).
	// Of the others, those of more than 64 KiB are answered 429, and the small
	// ones that are not authentic are not reported.
	Burst int
	Every time.Duration
	// Pause is the least time between two triggers (2s).
	Pause time.Duration
	// MaxBody is the most bytes that are read of a delivery (8 MiB); a push
	// too large for it is left to polling.
	MaxBody int64
}

// Webhook is the http.Handler of a repository's webhook. It answers 202 to a
// push, 200 to a ping, 401 to what is not authentic.
type Webhook struct {
	o WebhookOptions

	mu      sync.Mutex
	tokens  float64
	filled  time.Time
	limited bool // the last one was

	fired   time.Time // when Trigger was last called
	waiting bool      // a call is due
}

// readTime is how long a body may take.
const readTime = 10 * time.Second

// keptBody is how much of a body is kept to find the ref in: it stands at the
// beginning of every forge's payload.
const keptBody = 256 << 10

// smallBody is what is read of a delivery even in a flood.
const smallBody = 64 << 10

// NewWebhook returns the handler.
func NewWebhook(o WebhookOptions) *Webhook {
	if o.Burst <= 0 {
		o.Burst = 20
	}
	if o.Every <= 0 {
		o.Every = 500 * time.Millisecond
	}
	if o.Pause <= 0 {
		o.Pause = 2 * time.Second
	}
	if o.MaxBody <= 0 {
		o.MaxBody = 8 << 20
	}
	if o.Report == nil {
		o.Report = func(Delivery) {}
	}
	return &Webhook{o: o, tokens: float64(o.Burst), filled: time.Now()}
}

// ServeHTTP checks a delivery and answers it.
func (h *Webhook) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		answer(w, http.StatusMethodNotAllowed, "POST only")
		return
	}
	d := Delivery{Remote: r.RemoteAddr}
	// A small one costs nothing to check, and may be the real one in a flood.
	small := r.ContentLength >= 0 && r.ContentLength <= smallBody
	allowed, first := h.take(time.Now())
	if !allowed && !small {
		if first {
			d.Outcome, d.Reason = Limited, "too many deliveries"
			h.o.Report(d)
		}
		w.Header().Set("Retry-After", strconv.Itoa(int(h.o.Every/time.Second)+1))
		answer(w, http.StatusTooManyRequests, "too many deliveries")
		return
	}
	code, text := h.handle(w, r, &d)
	switch {
	case allowed || d.Outcome != Refused:
		h.o.Report(d)
	case first:
		d.Outcome, d.Reason = Limited, "too many deliveries, none of the last authentic"
		h.o.Report(d)
	}
	answer(w, code, text)
	if d.Outcome == Triggered {
		h.trigger(time.Now())
	}
}

func answer(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	_, _ = io.WriteString(w, text+"\n") // The sender may be gone.
}

// handle fills in the delivery and returns the answer.
func (h *Webhook) handle(w http.ResponseWriter, r *http.Request, d *Delivery) (code int, text string) {
	refuse := func(code int, text, reason string) (int, string) {
		d.Outcome, d.Reason = Refused, reason
		return code, text
	}
	secret, err := h.o.Secret()
	if err == nil && secret == "" {
		err = errors.New("it is empty")
	}
	if err != nil {
		return refuse(http.StatusServiceUnavailable, "not ready", "the webhook's secret: "+err.Error())
	}
	v, err := newVerifier(r.Header, secret, time.Now())
	if err != nil {
		return refuse(http.StatusUnauthorized, "not authentic", err.Error())
	}
	d.Forge = v.forge
	if r.ContentLength > h.o.MaxBody {
		return refuse(http.StatusRequestEntityTooLarge, "too large", "the body is too large")
	}
	// Not every ResponseWriter can; the server's own limits hold then.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(readTime))
	kept := &head{most: keptBody}
	if _, err := io.Copy(io.MultiWriter(v, kept), http.MaxBytesReader(w, r.Body, h.o.MaxBody)); err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return refuse(http.StatusRequestEntityTooLarge, "too large", "the body is too large")
		}
		return refuse(http.StatusBadRequest, "unreadable", "the body ended early")
	}
	if !v.authentic() {
		return refuse(http.StatusUnauthorized, "not authentic", "the signature is not that of the secret")
	}
	h.decide(r.Header, kept.Bytes(), d)
	switch d.Outcome {
	case Pinged:
		return http.StatusOK, "pong"
	case Ignored:
		return http.StatusAccepted, "ignored"
	}
	return http.StatusAccepted, "accepted"
}

// decide reads what an authentic delivery says.
func (h *Webhook) decide(header http.Header, body []byte, d *Delivery) {
	d.Event = printable(eventOf(header))
	d.Ref = printable(payloadRef(header.Get("Content-Type"), body))
	switch {
	case d.Event == "ping":
		d.Outcome, d.Reason = Pinged, "a ping"
	case !pushes(d.Event):
		d.Outcome, d.Reason = Ignored, "not a push"
	case !follows(h.o.Ref, d.Ref):
		d.Outcome, d.Reason = Ignored, "another ref"
	default:
		d.Outcome = Triggered
	}
}

// eventOf is the event's name as the forge spells it.
func eventOf(h http.Header) string {
	// Gitea and Forgejo send GitHub's header too; all of them say the same.
	for _, name := range []string{"X-GitHub-Event", "X-Forgejo-Event", "X-Gitea-Event", "X-Gitlab-Event"} {
		if e := h.Get(name); e != "" {
			return e
		}
	}
	return ""
}

// pushes tells whether an event may have moved a ref. One without a name, or
// GitLab's system hooks, which say it in the body, may.
func pushes(event string) bool {
	switch event {
	case "", "push", "create", "Push Hook", "Tag Push Hook", "System Hook":
		return true
	}
	return false
}

// follows tells whether the pushed ref may be the followed one.
func follows(followed, pushed string) bool {
	switch {
	case followed == "" || followed == "HEAD" || followed == "@" || pushed == "" || commit(followed):
		return true
	case strings.HasPrefix(followed, "refs/") && strings.HasPrefix(pushed, "refs/"):
		return followed == pushed
	}
	return short(followed) == short(pushed)
}

func short(ref string) string {
	for _, prefix := range []string{"refs/heads/", "refs/tags/"} {
		if name, ok := strings.CutPrefix(ref, prefix); ok {
			return name
		}
	}
	return ref
}

func commit(s string) bool {
	return (len(s) == 40 || len(s) == 64) && strings.Trim(s, "0123456789abcdefABCDEF") == ""
}

// printable keeps a name from bringing lines or escapes into a log.
func printable(s string) string {
	var b strings.Builder
	for _, r := range s {
		if b.Len() >= 200 {
			break
		}
		if r < ' ' || r > '~' {
			r = '?'
		}
		b.WriteRune(r)
	}
	return b.String()
}

// take takes a token from the bucket; first is the first refusal in a row.
func (h *Webhook) take(now time.Time) (allowed, first bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tokens = min(float64(h.o.Burst), h.tokens+float64(now.Sub(h.filled))/float64(h.o.Every))
	h.filled = now
	if h.tokens < 1 {
		first, h.limited = !h.limited, true
		return false, first
	}
	h.tokens--
	h.limited = false
	return true, false
}

// trigger calls Trigger now or, where it was called just now, once for all
// that come within the pause.
func (h *Webhook) trigger(now time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	wait := h.o.Pause - now.Sub(h.fired)
	switch {
	case h.waiting:
	case wait <= 0 || h.fired.IsZero():
		h.fired = now
		h.o.Trigger()
	default:
		h.waiting = true
		time.AfterFunc(wait, func() {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.waiting, h.fired = false, time.Now()
			h.o.Trigger()
		})
	}
}

// head keeps the beginning of what is written to it.
type head struct {
	bytes.Buffer
	most int
}

func (h *head) Write(p []byte) (int, error) {
	h.Buffer.Write(p[:min(len(p), h.most-h.Len())])
	return len(p), nil
}
