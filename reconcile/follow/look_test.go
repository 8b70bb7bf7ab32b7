package follow_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hactl/hactl/reconcile/follow"
)

func TestSuspension(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		o := w.options()
		o.Pause = follow.Pause(t.TempDir() + "/state/suspended.json")
		f := follow.New(o)
		a := w.branch.push(records("a", "192.0.2.1"))
		w.run(t, f)
		f.Trigger()
		synctest.Wait()
		for _, d := range []time.Duration{0, -time.Second, follow.LongestSuspension + time.Second} {
			if err := f.Suspend(time.Now().Add(d), "too long"); err == nil || f.State().Suspended != nil {
				t.Errorf("suspended for %s", d)
			}
		}
		until := time.Now().Add(time.Hour)
		if err := f.Suspend(until, "maintenance"); err != nil {
			t.Fatal(err)
		}
		fetches := w.branch.count()
		b := w.branch.push(records("a", "192.0.2.2"))
		f.Trigger()
		time.Sleep(30 * time.Minute)
		if err := f.Look(t.Context(), follow.Look{Anew: true}); !errors.Is(err, follow.ErrSuspended) {
			t.Errorf("look: %v", err)
		}
		if s := f.State(); s.Revision != a || s.Suspended == nil || s.Suspended.Reason != "maintenance" || w.branch.count() != fetches {
			t.Errorf("%+v", s)
		}
		// It outlasts a restart.
		again := follow.New(o)
		if !again.Restore() || again.State().Suspended == nil || !again.State().Suspended.Until.Equal(until) {
			t.Errorf("%+v", again.State())
		}
		if err := f.Resume(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		runs(t, f, b)
		third := follow.New(o)
		if third.Restore(); third.State().Suspended != nil {
			t.Errorf("%+v", third.State())
		}
		if err := f.Resume(); err != nil {
			t.Errorf("a second time: %v", err)
		}
		if told := w.told(follow.EventSuspended); len(told) != 2 {
			t.Errorf("told %+v", told)
		}
	})
}

// A directory that is watched is not polled: what changed meanwhile is looked at
// when the time is over.
func TestASuspensionEndsByItself(t *testing.T) {
	for _, restarted := range []bool{false, true} {
		story(t, func(t *testing.T, w *world) {
			o := w.options()
			o.Poll, o.Pause = 0, follow.Pause(t.TempDir()+"/suspended.json")
			changes := make(chan struct{}, 1)
			o.Changes = changes
			w.branch.push(records("a", "192.0.2.1"))
			f := follow.New(o)
			look(t, f)
			if !restarted {
				w.run(t, f)
				synctest.Wait()
			}
			if err := f.Suspend(time.Now().Add(time.Hour), ""); err != nil {
				t.Fatal(err)
			}
			if restarted {
				f = follow.New(o)
				f.Restore()
				w.run(t, f)
			}
			b := w.branch.push(records("a", "192.0.2.2"))
			changes <- struct{}{}
			time.Sleep(59 * time.Minute)
			if s := f.State(); s.Suspended == nil || s.Revision == b {
				t.Fatalf("%+v", s)
			}
			time.Sleep(2 * time.Minute)
			if s := f.State(); s.Suspended != nil {
				t.Fatalf("%+v", s)
			}
			runs(t, f, b)
		})
	}
}

func TestASuspensionThatCannotBeKeptIsAnError(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		o := w.options()
		o.Pause = follow.Pause(t.TempDir() + "/" + strings.Repeat("x", 300))
		f := follow.New(o)
		if err := f.Suspend(time.Now().Add(time.Hour), ""); err == nil || f.State().Suspended != nil {
			t.Errorf("%v, %+v", err, f.State())
		}
	})
}

func TestAWebhookMayComeBeforeTheRefHasMoved(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.branch.push(records("a", "192.0.2.1"))
		o := w.options()
		o.Poll = 0
		f := follow.New(o)
		look(t, f)
		w.run(t, f)
		f.Trigger()
		synctest.Wait()
		b := w.branch.push(records("a", "192.0.2.2"))
		time.Sleep(3 * time.Second)
		synctest.Wait()
		runs(t, f, b)
		n := w.branch.count()
		time.Sleep(time.Hour)
		if w.branch.count() != n {
			t.Error("it looks on and on")
		}
		// One that finds what it came for is enough.
		w.branch.push(records("a", "192.0.2.3"))
		f.Trigger()
		time.Sleep(time.Hour)
		if got := w.branch.count(); got != n+1 {
			t.Errorf("%d looks for one webhook", got-n)
		}
	})
}

func TestPollsAreSpread(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.branch.push(records("a", "192.0.2.1"))
		f := w.follower()
		w.run(t, f)
		time.Sleep(2 * time.Hour)
		spans := map[time.Duration]bool{}
		w.branch.mu.Lock()
		defer w.branch.mu.Unlock()
		for i, at := range w.branch.fetches[1:] {
			d := at.Sub(w.branch.fetches[i])
			if d < 54*time.Second || d > 66*time.Second+time.Nanosecond {
				t.Errorf("a poll after %s", d)
			}
			spans[d] = true
		}
		if len(w.branch.fetches) < 100 || len(spans) < 50 {
			t.Errorf("%d polls, %d different pauses", len(w.branch.fetches), len(spans))
		}
	})
}

func TestChangesAreLookedAtUntilTheyEnd(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.branch.push(records("a", "192.0.2.1"))
		o := w.options()
		changes := make(chan struct{})
		o.Poll, o.Changes = 0, changes
		f := follow.New(o)
		w.run(t, f)
		changes <- struct{}{}
		synctest.Wait()
		if w.branch.count() != 1 {
			t.Errorf("%d looks", w.branch.count())
		}
		close(changes)
		time.Sleep(time.Hour)
		if w.branch.count() != 1 {
			t.Errorf("%d looks", w.branch.count())
		}
	})
}

func TestOneLookAtATime(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		a := w.branch.push(records("a", "192.0.2.1"))
		w.branch.set(func(b *branch) { b.slow = time.Second })
		f := w.follower()
		w.run(t, f)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				f.Trigger()
				_ = f.State()
				_ = f.Good()
				if err := f.Look(t.Context(), follow.Look{}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		runs(t, f, a)
		w.branch.mu.Lock()
		defer w.branch.mu.Unlock()
		if w.branch.peak != 1 || len(w.told(follow.EventAccepted)) != 1 {
			t.Errorf("%d fetches at a time, accepted %d times", w.branch.peak, len(w.told(follow.EventAccepted)))
		}
	})
}

func TestALookThatIsGivenUpSaysNothing(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.branch.push(records("a", "192.0.2.1"))
		w.branch.set(func(b *branch) { b.slow = time.Minute })
		f := w.follower()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := f.Look(ctx, follow.Look{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("look: %v", err)
		}
		if s := f.State(); s.Refused != nil || s.Fetch.Err != "" || len(w.events) != 0 {
			t.Errorf("%+v, told %+v", s, w.events)
		}
		// So does one that never had its turn.
		go func() { _ = f.Look(t.Context(), follow.Look{}) }()
		synctest.Wait()
		began := time.Now()
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := f.Look(short, follow.Look{}); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("look: %v after %s", err, time.Since(began))
		}
		time.Sleep(time.Minute)
	})
}

// A suspension does not wait for a server that hangs, and what was on its way
// when it came does not run.
func TestASuspensionWaitsForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		first := w.branch.push(records("a", "192.0.2.1"))
		f := w.follower()
		if err := f.Look(t.Context(), follow.Look{}); err != nil {
			t.Fatal(err)
		}
		second := w.branch.push(records("a", "192.0.2.1", "b", "192.0.2.2"))
		w.branch.set(func(b *branch) { b.slow = time.Minute })
		looked := make(chan error, 1)
		go func() { looked <- f.Look(t.Context(), follow.Look{}) }()
		synctest.Wait()
		began := time.Now()
		if err := f.Suspend(time.Now().Add(time.Hour), ""); err != nil || time.Since(began) > 0 {
			t.Errorf("after %s: %v", time.Since(began), err)
		}
		if err := <-looked; !errors.Is(err, follow.ErrSuspended) {
			t.Errorf("the look under way ends with %v", err)
		}
		if s := f.State(); s.Revision != first {
			t.Errorf("%s runs", s.Revision)
		}
		w.branch.set(func(b *branch) { b.slow = 0 })
		if err := f.Resume(); err != nil {
			t.Fatal(err)
		}
		if err := f.Look(t.Context(), follow.Look{}); err != nil || f.State().Revision != second {
			t.Errorf("after it, %s runs: %v", f.State().Revision, err)
		}
	})
}

// Who was taken out of the file of signers vouches for nothing, not even for
// what runs; that goes on.
func TestWhatRunsIsAskedForItsSignerAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		sha := w.branch.push(records("a", "192.0.2.1"))
		f := w.follower()
		if err := f.Look(t.Context(), follow.Look{}); err != nil {
			t.Fatal(err)
		}
		w.trust.refuse(sha, errors.New("unknown signer"))
		err := f.Look(t.Context(), follow.Look{Anew: true})
		var refused *follow.RefusedError
		if !errors.As(err, &refused) || refused.Reason != follow.Untrusted || f.State().Revision != sha {
			t.Errorf("it says %v, and %s runs", err, f.State().Revision)
		}
		w.trust.refuse(sha, nil)
		if err := f.Look(t.Context(), follow.Look{}); err != nil || f.State().Refused != nil {
			t.Errorf("when it is vouched for again: %v, %+v", err, f.State().Refused)
		}
	})
}
