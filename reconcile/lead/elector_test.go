package lead

import (
	"testing"
	"time"
)

// TestLeadsReadsTheClockItself is without Run: nothing else can have noticed that
// the lease is over.
func TestLeadsReadsTheClockItself(t *testing.T) {
	e, err := Etcd(options("lb01", "http://127.0.0.1:1"))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for _, tt := range []struct {
		sent time.Time
		want bool
	}{
		{now, true},
		{now.Add(-time.Hour + time.Minute), true},
		{now.Add(-time.Hour), false},
		{now.Add(-2 * time.Hour), false},
		{now.Round(0).Add(-2 * time.Hour), false}, // without a monotonic reading
	} {
		e.held.Store(&tenure{term: 7, sent: tt.sent, good: time.Hour})
		if term, ok := e.Leads(); ok != tt.want || ok != (term == 7) {
			t.Errorf("renewed at %v: term %d, %v", tt.sent, term, ok)
		}
		if err := e.Confirm(t.Context(), 7); err != ErrLost {
			t.Errorf("renewed at %v, without a connection: %v", tt.sent, err)
		}
	}
}

func TestALeaseIsReliedOnForLessThanItLasts(t *testing.T) {
	s := &session{Elector: &Elector{opts: Options{TTL: 10 * time.Second}}}
	for seconds, want := range map[int64]time.Duration{10: 9500 * time.Millisecond, 30: 9500 * time.Millisecond, 5: 4750 * time.Millisecond, 0: 0} {
		if got := s.good(seconds); got != want {
			t.Errorf("of %d seconds: %v", seconds, got)
		}
	}
}
