package forge_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hactl/hactl/reconcile/forge"
)

// box runs an Outbox in a bubble; post and reports are what came of it.
func box(t *testing.T, answer func(*http.Request) (*http.Response, error), story func(o *forge.Outbox, end func(), posts, reports func() string)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var posted, reported []string
		began := time.Now()
		p := poster(t, "github", "https://github.com/a/b", func(r *http.Request) (*http.Response, error) {
			b, _ := io.ReadAll(r.Body)
			state, _, _ := strings.Cut(strings.TrimPrefix(string(b), `{"state":"`), `"`)
			mu.Lock()
			posted = append(posted, fmt.Sprintf("%s %.2s %s", time.Since(began), r.URL.Path[len("/repos/a/b/statuses/"):], state))
			mu.Unlock()
			return answer(r)
		})
		o := forge.NewOutbox(p, func(s forge.Status, err error) {
			mu.Lock()
			defer mu.Unlock()
			reported = append(reported, fmt.Sprintf("%.2s %s %v", s.SHA, s.State, err))
		})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { o.Run(ctx); close(ended) }()
		take := func(list *[]string) func() string {
			return func() string {
				synctest.Wait()
				mu.Lock()
				defer mu.Unlock()
				got := strings.Join(*list, ", ")
				*list = nil
				return got
			}
		}
		story(o, func() { cancel(); <-ended }, take(&posted), take(&reported))
		cancel()
		<-ended
	})
}

func put(o *forge.Outbox, first string, s forge.State) {
	o.Put(forge.Status{SHA: first + sha[2:], State: s, Context: "hactl/lb01"})
}

func TestTheLatestStatusIsPostedAndNobodyWaits(t *testing.T) {
	var down atomic.Bool
	down.Store(true)
	answer := func(*http.Request) (*http.Response, error) {
		if down.Load() {
			return response(503, ""), nil
		}
		return response(201, ""), nil
	}
	box(t, answer, func(o *forge.Outbox, _ func(), posts, reports func() string) {
		put(o, "aa", forge.Pending)
		if got := posts(); got != "0s aa pending" {
			t.Error(got)
		}
		put(o, "bb", forge.Pending)
		put(o, "cc", forge.Pending)
		put(o, "bb", forge.Success)
		down.Store(false)
		time.Sleep(10 * time.Second)
		if got := posts(); got != "1s aa pending, 1s bb success, 1s cc pending" {
			t.Error(got)
		}
		if got := reports(); got != "aa pending <nil>, bb success <nil>, cc pending <nil>" {
			t.Error(got)
		}
	})
}

func TestTheOldestStatusGivesWay(t *testing.T) {
	hangs := func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() }
	box(t, hangs, func(o *forge.Outbox, _ func(), posts, reports func() string) {
		put(o, "aa", forge.Success)
		posts()
		for i := range 33 {
			put(o, fmt.Sprint(10+i), forge.Success)
		}
		if got := reports(); got != "10 success post a status: too many wait" {
			t.Error(got)
		}
	})
}

func TestWhatWaitsAtTheEndIsTriedOnce(t *testing.T) {
	var down atomic.Bool
	down.Store(true)
	answer := func(*http.Request) (*http.Response, error) {
		if down.Load() {
			return response(503, "", "Retry-After", "30"), nil
		}
		return response(201, ""), nil
	}
	box(t, answer, func(o *forge.Outbox, end func(), posts, reports func() string) {
		put(o, "aa", forge.Pending)
		posts()
		put(o, "bb", forge.Success)
		down.Store(false)
		end()
		if got := posts(); got != "0s aa pending, 0s bb success" {
			t.Error(got)
		}
	})
	hangs := func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() }
	box(t, hangs, func(o *forge.Outbox, end func(), posts, reports func() string) {
		put(o, "aa", forge.Pending)
		posts()
		put(o, "bb", forge.Success)
		began := time.Now()
		end()
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("it took %s", took)
		}
		if got := reports(); got != "aa pending "+context.DeadlineExceeded.Error()+", bb success "+context.DeadlineExceeded.Error() {
			t.Error(got)
		}
	})
}
