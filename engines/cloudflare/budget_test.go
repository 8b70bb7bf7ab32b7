package cloudflare

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hactl/hactl/reconcile"
)

// answers is a server that gives one answer after the other.
type answers struct {
	times []time.Time
	next  []func(*http.Request) (*http.Response, error)
}

func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	a.times = append(a.times, time.Now())
	if len(a.next) == 0 {
		return reply(200, `{"success":true,"result":{}}`)(r)
	}
	f := a.next[0]
	a.next = a.next[1:]
	return f(r)
}

func reply(status int, body string, header ...string) func(*http.Request) (*http.Response, error) {
	return func(r *http.Request) (*http.Response, error) {
		h := http.Header{}
		for i := 0; i+1 < len(header); i += 2 {
			h.Set(header[i], header[i+1])
		}
		return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
	}
}

func lost(*http.Request) (*http.Response, error) { return nil, errors.New("connection reset") }

func testTransport(a *answers, quota int) (*transport, *[]time.Duration) {
	var waits []time.Duration
	return &transport{
		base: a, backoff: 100 * time.Millisecond,
		budget: &budget{now: time.Now, quota: quota, wait: func(d time.Duration, _ bool) { waits = append(waits, d) }},
		reads:  make(chan struct{}, ConcurrentReads), writes: make(chan struct{}, ConcurrentWrites),
	}, &waits
}

func send(t *testing.T, tr *transport, method string) error {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://api.invalid/x", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	response, err := tr.RoundTrip(r)
	if err == nil {
		err = response.Body.Close()
	}
	return err
}

func TestBudgetHoldsBackWhatDoesNotFitTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &answers{}
		tr, waits := testTransport(a, 3)
		began := time.Now()
		for range 4 {
			if err := send(t, tr, http.MethodGet); err != nil {
				t.Fatal(err)
			}
		}
		if got := a.times[3].Sub(began); got != budgetWindow {
			t.Errorf("the fourth request went out after %s, want %s", got, budgetWindow)
		}
		if len(*waits) != 1 || (*waits)[0] != budgetWindow {
			t.Errorf("waits told: %v, want one of %s", *waits, budgetWindow)
		}
		if n := tr.budget.count(); n != 4 {
			t.Errorf("counted %d requests, want 4", n)
		}
	})
}

func TestRetryAfterIsObeyedByEveryMethod(t *testing.T) {
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete} {
		synctest.Test(t, func(t *testing.T) {
			a := &answers{next: []func(*http.Request) (*http.Response, error){
				reply(429, `{"success":false,"errors":[{"code":10100,"message":"slow down"}]}`, "Retry-After", "7"),
			}}
			tr, _ := testTransport(a, 100)
			if err := send(t, tr, method); err != nil {
				t.Fatal(err)
			}
			if len(a.times) != 2 || a.times[1].Sub(a.times[0]) != 7*time.Second {
				t.Errorf("%s was sent at %v, want again after 7s", method, a.times)
			}
		})
	}
}

func TestExhaustedRatelimitHeaderHoldsBackTheNextRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &answers{next: []func(*http.Request) (*http.Response, error){
			reply(200, `{"success":true}`, "Ratelimit", `"default";r=0;t=30`),
		}}
		tr, _ := testTransport(a, 100)
		for range 2 {
			if err := send(t, tr, http.MethodGet); err != nil {
				t.Fatal(err)
			}
		}
		if got := a.times[1].Sub(a.times[0]); got != 30*time.Second {
			t.Errorf("the next request went out after %s, want 30s", got)
		}
	})
}

func TestWhatMayBeRepeated(t *testing.T) {
	server := reply(500, `{"success":false,"errors":[]}`)
	gateway := reply(502, `<html>bad gateway</html>`)
	cut := reply(200, `{"success":true,"result":{"id":"x`)
	refused := reply(400, `{"success":false,"errors":[{"code":1002,"message":"no"}]}`)
	for _, c := range []struct {
		name   string
		method string
		answer func(*http.Request) (*http.Response, error)
		sent   int
		failed bool
	}{
		{"a read after a lost connection", http.MethodGet, lost, 2, false},
		{"a read after a server error", http.MethodGet, server, 2, false},
		{"a read after half an answer", http.MethodGet, cut, 2, false},
		{"a PUT after a gateway's page", http.MethodPut, gateway, 2, false},
		{"a DELETE after a lost connection", http.MethodDelete, lost, 2, false},
		{"no POST after a lost connection", http.MethodPost, lost, 1, true},
		{"no POST after a server error", http.MethodPost, server, 1, true},
		{"no POST after half an answer", http.MethodPost, cut, 1, true},
		{"nothing that was refused", http.MethodPut, refused, 1, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := &answers{next: []func(*http.Request) (*http.Response, error){c.answer}}
				tr, _ := testTransport(a, 100)
				err := send(t, tr, c.method)
				if len(a.times) != c.sent || (err != nil) != c.failed {
					t.Errorf("sent %d times, error %v; want %d times, failed %t", len(a.times), err, c.sent, c.failed)
				}
			})
		})
	}
}

func TestServerThatKeepsPuttingOffIsGivenUp(t *testing.T) {
	for _, c := range []struct {
		after string
		sent  int
	}{{"3600", 1}, {"0", limitedTries}} {
		synctest.Test(t, func(t *testing.T) {
			a := &answers{}
			for range 20 {
				a.next = append(a.next, reply(429, `{}`, "Retry-After", c.after))
			}
			tr, _ := testTransport(a, 100)
			if err := send(t, tr, http.MethodPost); err == nil || len(a.times) != c.sent {
				t.Errorf("Retry-After %s: sent %d times, error %v; want %d times and an error", c.after, len(a.times), err, c.sent)
			}
		})
	}
}

func TestInterruptionEndsAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &answers{next: []func(*http.Request) (*http.Response, error){reply(429, `{}`, "Retry-After", "120")}}
		tr, _ := testTransport(a, 100)
		interrupt, stop := context.WithTimeout(t.Context(), 2*time.Second)
		defer stop()
		r, err := http.NewRequestWithContext(reconcile.WithInterrupt(t.Context(), interrupt), http.MethodPost, "http://api.invalid/x", nil)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		response, err := tr.RoundTrip(r)
		if err == nil {
			_ = response.Body.Close()
		}
		if !errors.Is(err, reconcile.ErrInterrupted) || time.Since(began) != 2*time.Second {
			t.Errorf("error %v after %s, want an interruption after 2s", err, time.Since(began))
		}
	})
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &answers{next: []func(*http.Request) (*http.Response, error){reply(429, `{}`, "Retry-After", "600")}}
		tr, _ := testTransport(a, 100)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://api.invalid/x", nil)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		response, err := tr.RoundTrip(r)
		if err == nil {
			_ = response.Body.Close()
		}
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("error %v after %s, want the context's after 1s", err, time.Since(began))
		}
	})
}

func TestNoMoreThanTwoHundredInASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &answers{}
		tr, waits := testTransport(a, 10000)
		for range 3*RequestsPerSecond + 1 {
			if err := send(t, tr, http.MethodGet); err != nil {
				t.Fatal(err)
			}
		}
		for i := RequestsPerSecond; i < len(a.times); i++ {
			if d := a.times[i].Sub(a.times[i-RequestsPerSecond]); d < time.Second {
				t.Fatalf("requests %d to %d went out within %s", i-RequestsPerSecond, i, d)
			}
		}
		if len(*waits) != 0 {
			t.Errorf("told of %v", *waits)
		}
	})
}
