package cloudflare

import (
	"context"
	"net/http"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/hactl/hactl/reconcile"
)

// Cloudflare counts 1200 requests in 5 minutes per user, and blocks for the
// next 5 minutes when there are more (developers.cloudflare.com, API rate
// limits).
const (
	DefaultBudget = 1200
	// RequestsPerSecond are allowed from one address.
	RequestsPerSecond = 200
	budgetWindow      = 5 * time.Minute
)

// longestPause is the longest that the server may ask for before its answer
// counts as a refusal.
const longestPause = 15 * time.Minute

// budget makes every request wait until it fits the window. Where the server's
// headers leave less than its own count, it goes by them: others may use the
// same token.
type budget struct {
	now func() time.Time
	// wait is told of each pause once, however many requests wait; asked
	// says that the server wants it, not the budget.
	wait func(pause time.Duration, asked bool)

	mu      sync.Mutex
	quota   int
	sent    []time.Time // within the window, oldest first
	blocked time.Time   // nothing is sent before
	left    int         // what the server last said is left, less what went out since
	until   time.Time   // how long that holds
	total   int
	told    time.Time // the end of the pause last told of
}

// take waits until a request may be sent.
func (b *budget) take(ctx context.Context) error {
	for {
		b.mu.Lock()
		now := b.now()
		for len(b.sent) > 0 && now.Sub(b.sent[0]) >= budgetWindow {
			b.sent = b.sent[1:]
		}
		pause, asked := b.blocked.Sub(now), true
		if len(b.sent) >= b.quota {
			if full := budgetWindow - now.Sub(b.sent[0]); full > pause {
				pause, asked = full, false
			}
		}
		if n := len(b.sent); n >= RequestsPerSecond {
			// Pauses of less than a second are nothing to tell of.
			if full := time.Second - now.Sub(b.sent[n-RequestsPerSecond]); full > 0 && full > pause {
				b.mu.Unlock()
				if err := sleep(ctx, full); err != nil {
					return err
				}
				continue
			}
		}
		if reset := b.until.Sub(now); b.left <= 0 && reset > pause {
			pause, asked = reset, true
		}
		if pause <= 0 {
			b.left--
			b.sent = append(b.sent, now)
			b.total++
			b.mu.Unlock()
			return nil
		}
		until := now.Add(pause)
		tell := b.wait != nil && until.Sub(b.told) > 100*time.Millisecond
		b.told = until
		b.mu.Unlock()
		if tell {
			b.wait(pause, asked)
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-reconcile.Interrupted(ctx):
		return reconcile.ErrInterrupted
	case <-ctx.Done():
		return ctx.Err()
	}
}

var remaining = regexp.MustCompile(`r=(\d+);\s*t=(\d+)`)

// learn reads the headers of an answer: Ratelimit, and Retry-After of a 429.
func (b *budget) learn(status int, h http.Header) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	block := func(d time.Duration) {
		if until := now.Add(d); until.After(b.blocked) {
			b.blocked = until
		}
	}
	if m := remaining.FindStringSubmatch(h.Get("Ratelimit")); m != nil {
		left, err1 := strconv.Atoi(m[1])
		s, err2 := strconv.Atoi(m[2])
		if err1 == nil && err2 == nil {
			if now.After(b.until) || left < b.left {
				b.left = left
			}
			b.until = now.Add(time.Duration(s) * time.Second)
		}
	}
	if status == http.StatusTooManyRequests {
		block(retryAfter(h, now))
	}
}

// retryAfter reads seconds or a date (RFC 9110, 10.2.3): at least one second,
// and a minute where there is none.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := h.Get("Retry-After")
	if s, err := strconv.Atoi(v); err == nil {
		return max(time.Second, time.Duration(s)*time.Second)
	}
	if t, err := http.ParseTime(v); err == nil {
		return max(time.Second, t.Sub(now))
	}
	return time.Minute
}

// count returns how many requests have been sent.
func (b *budget) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.total
}

// remaining is how many requests may still be sent in the present window.
func (b *budget) remaining() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	now, used := b.now(), 0
	for _, at := range b.sent {
		if now.Sub(at) < budgetWindow {
			used++
		}
	}
	left := b.quota - used
	if now.Before(b.until) {
		left = min(left, b.left)
	}
	if now.Before(b.blocked) {
		left = 0
	}
	return max(left, 0)
}
