package cfsim

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// quota counts requests per window. The documented limit is 1200 in five minutes for a token; a client that exceeds
// it is refused for one more whole window, counted from the first refusal.
type quota struct {
	limit  int
	window time.Duration
	since  time.Time // start of the running window
	used   int
	until  time.Time // refused until then
}

// take spends one request and reports the headers' values: how many are left, the seconds until they are renewed,
// and whether this one is accepted.
func (q *quota) take(now time.Time) (left, seconds int, ok bool) {
	if now.Before(q.until) {
		return 0, wholeSeconds(q.until.Sub(now)), false
	}
	if q.since.IsZero() || !now.Before(q.since.Add(q.window)) {
		q.since, q.used = now, 0
	}
	if q.used >= q.limit {
		q.until = now.Add(q.window)
		q.since = time.Time{}
		return 0, wholeSeconds(q.window), false
	}
	q.used++
	return q.limit - q.used, wholeSeconds(q.since.Add(q.window).Sub(now)), true
}

// wholeSeconds rounds up: a client that waits this long is never early.
func wholeSeconds(d time.Duration) int { return int((d + time.Second - 1) / time.Second) }

// header writes what every answer carries while a quota is set.
func (q *quota) header(h http.Header, left, seconds int, ok bool) {
	h.Set("Ratelimit", fmt.Sprintf(`"default";r=%d;t=%d`, left, seconds))
	h.Set("Ratelimit-Policy", fmt.Sprintf(`"burst";q=%d;w=%d`, q.limit, wholeSeconds(q.window)))
	if !ok {
		h.Set("Retry-After", strconv.Itoa(seconds))
	}
}
