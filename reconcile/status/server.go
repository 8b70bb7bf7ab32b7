package status

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/hactl/hactl/reconcile"
)

// Server serves an agent's status. Its fields are set before use.
type Server struct {
	Facts   func() Facts
	Report  func(context.Context) any // for /status; must hold no secret
	Metrics *Metrics
	// Token protects the page, /status and /metrics of Reader; nil for OnlyHere
	// alone, which is for loopback. It is called for each request: it may change.
	Token func() (string, error)
	// Authority is where others reach this agent, host:port; TokenFor it is as
	// good as the token. Nil or empty for nowhere.
	Authority func() string
	// Page is for people; nil for none.
	Page *Page
	// Control is what Local's commands do; nil for none.
	Control Control
	// Webhook answers POST /webhook, whose signature protects it; nil for none.
	Webhook http.Handler
}

// Control is what an agent can be told on its own machine.
type Control interface {
	// Sync looks at the source and the edge now, and judges anew; guard rails
	// may be lifted for this once.
	Sync(ctx context.Context, allowed []reconcile.Rule) error
	Suspend(until time.Time, reason string) error
	Resume() error
}

// Reader serves what may be read from afar: /healthz and /readyz to anybody,
// the page, /metrics and /status to who has the token.
func (s *Server) Reader() http.Handler {
	guard := s.protect
	if s.Token == nil {
		guard = OnlyHere
	}
	mux := s.routes(guard)
	if s.Webhook != nil {
		mux.Handle("POST /webhook", s.Webhook)
	}
	return harden(mux)
}

// Local serves the socket on this machine: what Reader does without a token,
// and Control.
func (s *Server) Local() http.Handler {
	mux := s.routes(func(h http.Handler) http.Handler { return h })
	if s.Control != nil {
		mux.HandleFunc("POST /sync", s.sync)
		mux.HandleFunc("POST /suspend", s.suspend)
		mux.HandleFunc("POST /resume", s.resume)
	}
	return harden(mux)
}

// routes are what is read; guard is before what is not for everybody.
func (s *Server) routes(guard func(http.Handler) http.Handler) *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", s.ready)
	mux.Handle("GET /metrics", guard(s.Metrics))
	mux.Handle("GET /status", guard(http.HandlerFunc(s.report)))
	if s.Page != nil {
		mux.Handle("GET /{$}", guard(s.Page))
	}
	return mux
}

// ready tells whether this agent does what it is there for: a revision runs,
// and its engine answers.
func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	if err := s.Facts().Ready(); err != nil {
		say(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	say(w, http.StatusOK, "ok")
}

// Ready says what keeps an agent from its work; nil for nothing. A source that
// cannot be read, a refused revision and a suspension do not: what runs goes on.
func (f Facts) Ready() error {
	switch {
	case f.Follow.Revision == "":
		return errors.New("no revision runs yet")
	case f.EngineErr != nil:
		return errors.New("the VRRP engine does not answer")
	}
	return nil
}

func (s *Server) report(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	_ = e.Encode(s.Report(r.Context())) // The client may have gone.
}

// OnlyHere is before what this machine alone may read, without a token: it
// refuses who asks for another name than localhost or an address. A browser here
// that shows somebody's site does that, once the site's name leads to loopback
// (DNS rebinding), and would hand over what it reads.
func OnlyHere(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.Host
		if host, _, err := net.SplitHostPort(name); err == nil {
			name = host
		}
		name = strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(strings.TrimSuffix(name, "]"), "["), "."))
		_, err := netip.ParseAddr(name)
		if err != nil && name != "" && name != "localhost" && !strings.HasSuffix(name, ".localhost") {
			say(w, http.StatusMisdirectedRequest, "without a token this is for its own machine: ask for localhost, or for its address")
			return
		}
		h.ServeHTTP(w, r)
	})
}

// protect asks for the token, in constant time.
func (s *Server) protect(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		want, err := s.Token()
		if err != nil || want == "" {
			say(w, http.StatusServiceUnavailable, "the token of this agent cannot be read")
			return
		}
		got, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if _, password, basic := r.BasicAuth(); basic { // A browser's way to send it.
			got, bearer = password, true
		}
		good := same(got, want)
		if s.Authority != nil {
			if at := s.Authority(); at != "" {
				good |= same(got, TokenFor(want, at))
			}
		}
		if !bearer || good != 1 {
			w.Header().Add("WWW-Authenticate", `Bearer realm="hactl"`)
			w.Header().Add("WWW-Authenticate", `Basic realm="hactl: the token is the password", charset="UTF-8"`)
			say(w, http.StatusUnauthorized, "a bearer token is needed")
			return
		}
		h.ServeHTTP(w, r)
	})
}

// same compares in constant time; 1 is yes.
func same(x, y string) int {
	a, b := sha256.Sum256([]byte(x)), sha256.Sum256([]byte(y))
	return subtle.ConstantTimeCompare(a[:], b[:])
}

// command is the body of a POST to Local.
type command struct {
	Allowed []reconcile.Rule `json:"allowed,omitempty"`
	Until   time.Time        `json:"until,omitzero"`
	Reason  string           `json:"reason,omitempty"`
}

const largestCommand = 64 << 10

func (s *Server) sync(w http.ResponseWriter, r *http.Request) {
	s.command(w, r, func(c command) error { return s.Control.Sync(r.Context(), c.Allowed) })
}

func (s *Server) suspend(w http.ResponseWriter, r *http.Request) {
	s.command(w, r, func(c command) error { return s.Control.Suspend(c.Until, c.Reason) })
}

func (s *Server) resume(w http.ResponseWriter, r *http.Request) {
	s.command(w, r, func(command) error { return s.Control.Resume() })
}

func (s *Server) command(w http.ResponseWriter, r *http.Request, do func(command) error) {
	var c command
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, largestCommand))
	d.DisallowUnknownFields()
	err := d.Decode(&c)
	if err == nil && d.More() {
		err = errors.New("something follows it")
	}
	for _, rule := range c.Allowed {
		if !slices.Contains(reconcile.Rules(), rule) { // or it would lift nothing, and say so to nobody
			err = fmt.Errorf("there is no guard rail %q", rule)
		}
	}
	if err != nil {
		say(w, http.StatusBadRequest, "this is no command: "+err.Error())
		return
	}
	if err := do(c); err != nil {
		say(w, http.StatusConflict, err.Error())
		return
	}
	say(w, http.StatusOK, "done")
}

func say(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	_, _ = w.Write([]byte(text + "\n"))
}

func harden(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Cache-Control", "no-store")
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.ServeHTTP(w, r)
	})
}
