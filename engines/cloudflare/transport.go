package cloudflare

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hactl/hactl/reconcile"
)

// How many requests are under way at a time. Cloudflare allows 200 a second
// from one address, which the budget keeps: six writes of 30 ms each stay just
// within that, reads come in short bursts.
const (
	ConcurrentReads  = 32
	ConcurrentWrites = 6
)

const (
	attempts       = 5                // of a request that may be repeated
	limitedTries   = 10               // of a request that the server keeps putting off
	requestTimeout = 60 * time.Second // of one attempt
	largestBody    = 256 << 20
	// permitAge is how old a permit may be when there is a connection, which can
	// take many seconds to make, and longer where the process is stopped.
	permitAge = 50 * time.Millisecond
)

// apiError is an answer that is no success.
type apiError struct {
	status  int    // 0 when there was no usable answer
	code    int    // Cloudflare's own, 0 when there was none
	message string // without secrets
	// ambiguous: the request may have been carried out.
	ambiguous bool
	// pause is what the server asks for with a 429.
	pause time.Duration
}

func (e *apiError) Error() string {
	switch {
	case e.status == 0:
		return e.message
	case e.code == 0:
		return fmt.Sprintf("%s (HTTP %d)", e.message, e.status)
	}
	return fmt.Sprintf("%s (HTTP %d, code %d)", e.message, e.status, e.code)
}

// class sorts the API's answers by their status and code.
func (e *apiError) class() reconcile.Class {
	switch {
	case e.status == 0:
		return reconcile.Unavailable
	case e.status == http.StatusUnauthorized, e.status == http.StatusForbidden, e.code == 10000:
		return reconcile.Denied
	case e.status == http.StatusTooManyRequests, e.status >= 500:
		return reconcile.Transient
	case e.status == http.StatusNotFound, e.status == http.StatusConflict, e.status == http.StatusPreconditionFailed,
		e.code == 1005, e.code == 81053, e.code == 81057:
		return reconcile.Conflict
	case e.status >= 400:
		return reconcile.Invalid
	}
	return reconcile.Internal
}

func isStatus(err error, status int) bool {
	var e *apiError
	return errors.As(err, &e) && e.status == status
}

func isAmbiguous(err error) bool {
	var e *apiError
	return errors.As(err, &e) && e.ambiguous
}

// transport is the http.RoundTripper under cloudflare-go. It answers with a
// complete, successful envelope or with an *apiError.
type transport struct {
	base   http.RoundTripper
	budget *budget
	// backoff is the first pause before a request is repeated.
	backoff time.Duration
	reads   chan struct{}
	writes  chan struct{}
}

func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
		_ = r.Body.Close()
	}
	slots := t.writes
	if r.Method == http.MethodGet {
		slots = t.reads
	}
	backoff := t.backoff
	for attempt := 1; ; attempt++ {
		response, err := t.once(r, body, slots)
		var failed *apiError
		if err == nil || !errors.As(err, &failed) {
			return response, err
		}
		limited := failed.status == http.StatusTooManyRequests
		if limited && (attempt >= limitedTries || failed.pause > longestPause) {
			return nil, err
		}
		// A POST may have been carried out: only its sender can find out.
		repeatable := limited || r.Method != http.MethodPost && failed.ambiguous
		if !repeatable || attempt >= attempts && !limited {
			return nil, err
		}
		if !limited { // The budget already holds back what was limited.
			if err := sleep(r.Context(), backoff); err != nil {
				return nil, err
			}
			backoff *= 2
		}
	}
}

func (t *transport) once(r *http.Request, body []byte, slots chan struct{}) (*http.Response, error) {
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-reconcile.Interrupted(r.Context()):
		return nil, reconcile.ErrInterrupted
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	if err := t.budget.take(r.Context()); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
	defer cancel()
	var refused atomic.Pointer[error]
	if r.Method != http.MethodGet {
		asked := time.Now()
		if err := reconcile.Permit(ctx); err != nil {
			return nil, err
		}
		ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(got httptrace.GotConnInfo) {
			if time.Since(asked) < permitAge {
				return
			}
			if err := reconcile.Permit(ctx); err != nil {
				refused.Store(&err)
				withdraw(got.Conn, cancel)
			}
		}})
	}
	attempt := r.Clone(ctx)
	attempt.Body, attempt.GetBody = http.NoBody, nil
	if body != nil {
		attempt.Body = io.NopCloser(bytes.NewReader(body))
		attempt.ContentLength = int64(len(body))
	}
	response, err := t.base.RoundTrip(attempt)
	if err != nil {
		if refusal := refused.Load(); refusal != nil {
			return nil, *refusal
		}
		if r.Context().Err() != nil {
			return nil, r.Context().Err()
		}
		return nil, &apiError{message: "no answer: " + err.Error(), ambiguous: true}
	}
	defer func() { _ = response.Body.Close() }()
	t.budget.learn(response.StatusCode, response.Header)
	content, err := io.ReadAll(io.LimitReader(response.Body, largestBody))
	if err != nil {
		return nil, &apiError{message: "the answer broke off: " + err.Error(), ambiguous: true}
	}
	if err := judge(response.StatusCode, content); err != nil {
		var failed *apiError
		if errors.As(err, &failed) && failed.status == http.StatusTooManyRequests {
			failed.pause = retryAfter(response.Header, t.budget.now())
		}
		return nil, err
	}
	response.Body = io.NopCloser(bytes.NewReader(content))
	return response, nil
}

// withdraw keeps a request that has a connection from being sent. HTTP/2 looks at
// the context before it sends, and others use the connection; HTTP/1 does not, and
// nobody else does.
func withdraw(conn net.Conn, cancel context.CancelFunc) {
	cancel()
	if t, ok := conn.(*tls.Conn); ok && t.ConnectionState().NegotiatedProtocol == "h2" {
		return
	}
	_ = conn.Close()
}

// judge returns nil for a complete answer whose status says success.
func judge(status int, content []byte) error {
	var envelope struct {
		Errors []struct {
			Code    int    `json:"code"`
			Message string `json:"message"`
		} `json:"errors"`
	}
	if status >= 200 && status < 300 {
		if !json.Valid(content) {
			return &apiError{message: "the answer is no JSON", ambiguous: true}
		}
		return nil
	}
	_ = json.Unmarshal(content, &envelope) // A gateway's answer may be HTML.
	e := &apiError{status: status, ambiguous: status >= 500}
	var messages []string
	for _, x := range envelope.Errors {
		if e.code == 0 {
			e.code = x.Code
		}
		messages = append(messages, x.Message)
	}
	e.message = strings.Join(messages, "; ")
	if e.message == "" {
		e.message = strings.ToLower(http.StatusText(status))
	}
	return e
}
