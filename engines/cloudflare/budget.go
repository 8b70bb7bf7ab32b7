package cloudflare

import (
	"context"
	"net/http"
	"regexp"
	"strconv"
	"sync"
	"time"
)

// Cloudflare counts 1200 requests in 5 minutes per user, and blocks for the
// next 5 minutes when there are more (developers.cloudflare.com, API rate
// limits).
const (
	DefaultBudget = 1200
	budgetWindow  = 5 * time.Minute
)

// budget makes every request wait until it fits the window. It believes the
// server's headers where they leave less than its own count.
type budget struct {
	now func() time.Time
	// wait is told of each pause once, however many requests wait; asked
	// says that the server wants it, not the budget.
	wait func(pause time.Duration, asked bool)

	mu      sync.Mutex
	quota   int
	sent    []time.Time // within the window, oldest first
	blocked time.Time   // nothing is sent before
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
		if pause <= 0 {
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
	if m := remaining.FindStringSubmatch(h.Get("Ratelimit")); m != nil && m[1] == "0" {
		if s, err := strconv.Atoi(m[2]); err == nil {
			block(time.Duration(s) * time.Second)
		}
	}
	if status == http.StatusTooManyRequests {
		block(retryAfter(h, now))
	}
}

// retryAfter reads seconds or a date (RFC 9110, 10.2.3); a minute without it.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := h.Get("Retry-After")
	if s, err := strconv.Atoi(v); err == nil && s >= 0 {
		return time.Duration(s) * time.Second
	}
	if t, err := http.ParseTime(v); err == nil {
		return max(0, t.Sub(now))
	}
	return time.Minute
}

// count returns how many requests have been sent.
func (b *budget) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.total
}
