package follow_test

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/follow"
	"github.com/hactl/hactl/schema"
)

// healthReader is how an edge answers who asks how it does.
type healthReader struct {
	reads []time.Time
	now   string // status of the tunnel; "" is healthy
	pause time.Duration
	slow  time.Duration
	err   error
	ended []error // of the contexts of readings that were slow
}

func (e *edge) readHealth(ctx context.Context, _ *schema.Spec) (*reconcile.Health, time.Duration, error) {
	e.mu.Lock()
	e.health.reads = append(e.health.reads, time.Now())
	h := e.health
	e.mu.Unlock()
	select {
	case <-time.After(h.slow):
	case <-ctx.Done():
		e.set(func(e *edge) { e.health.ended = append(e.health.ended, ctx.Err()) })
		return nil, h.pause, ctx.Err()
	}
	if h.err != nil {
		return nil, h.pause, h.err
	}
	return &reconcile.Health{Read: time.Now(), Tunnels: map[string]reconcile.TunnelHealth{"home": {Status: cmp.Or(h.now, "healthy")}}}, h.pause, nil
}

func (e *edge) healthReads() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.health.reads)
}

func TestHealthIsReadAfterEachLookAndInBetween(t *testing.T) {
	keeping(t, func(t *testing.T, e *edge, k *follow.Keeper) {
		if time.Sleep(time.Hour + 7*time.Second); e.healthReads() != 0 { // not when it looks anyway
			t.Error("it is read before anybody leads")
		}
		e.want("r1", records("a", "192.0.2.1"))
		if h := k.State().Health; e.healthReads() != 1 || h == nil || h.Tunnels["home"].Status != "healthy" || h.Err != "" {
			t.Fatalf("%d readings, %+v", e.healthReads(), h)
		}
		time.Sleep(28 * time.Second)
		synctest.Wait()
		if n := e.healthReads(); n != 1 {
			t.Errorf("%d readings in half a minute", n)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if n := e.healthReads(); n != 2 {
			t.Errorf("%d readings after half a minute", n)
		}
		e.want("r2", records("a", "192.0.2.2"))
		if n := e.healthReads(); n != 3 {
			t.Errorf("%d readings after a look", n)
		}
		time.Sleep(time.Hour)
		if n := e.healthReads(); n < 3+100 || n > 3+150 {
			t.Errorf("%d readings in an hour", n)
		}
	})
}

func TestHealthKeepsToItsReadersPause(t *testing.T) {
	keeping(t, func(t *testing.T, e *edge, k *follow.Keeper) {
		e.set(func(e *edge) { e.health.pause = 5 * time.Minute })
		e.want("r1", records("a", "192.0.2.1"))
		e.want("r2", records("a", "192.0.2.2"))
		if n := e.healthReads(); n != 1 {
			t.Errorf("%d readings", n)
		}
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if n := e.healthReads(); n != 2 {
			t.Errorf("%d readings after the pause", n)
		}
	})
}

// TestNothingIsAppliedLaterForHealth: a reader that hangs is ended in time, and
// a push meanwhile is applied at once.
func TestNothingIsAppliedLaterForHealth(t *testing.T) {
	keeping(t, func(t *testing.T, e *edge, k *follow.Keeper) {
		e.set(func(e *edge) { e.health.slow = time.Hour })
		e.want("r1", records("a", "192.0.2.1"))
		if k.State().Health != nil || e.healthReads() != 1 {
			t.Fatalf("%d readings, %+v", e.healthReads(), k.State().Health)
		}
		e.want("r2", records("a", "192.0.2.2"))
		e.is(t, "a", "192.0.2.2")
		time.Sleep(20 * time.Second)
		synctest.Wait()
		e.mu.Lock()
		ended := e.health.ended
		e.mu.Unlock()
		if len(ended) == 0 || !errors.Is(ended[0], context.DeadlineExceeded) || k.State().Health.Err == "" {
			t.Errorf("ended %v, %+v", ended, k.State().Health)
		}
	})
}

func TestHealthThatCannotBeReadStaysWithItsTime(t *testing.T) {
	keeping(t, func(t *testing.T, e *edge, k *follow.Keeper) {
		e.want("r1", records("a", "192.0.2.1"))
		before := k.State().Health
		e.set(func(e *edge) { e.health.err = errDown })
		time.Sleep(time.Minute)
		after := k.State().Health
		if after.Err != errDown.Error() || !after.Read.Equal(before.Read) || len(after.Tunnels) != 1 || before.Err != "" {
			t.Errorf("before %+v, after %+v", before, after)
		}
		e.set(func(e *edge) { e.health.err = nil })
		time.Sleep(time.Minute)
		if h := k.State().Health; h.Err != "" || !h.Read.After(before.Read) {
			t.Errorf("%+v", h)
		}
	})
}

// TestHealthIsWhoLeadsToSay: with leadership it goes, also if it was being read,
// and while suspended it is read all the same.
func TestHealthIsWhoLeadsToSay(t *testing.T) {
	keeping(t, func(t *testing.T, e *edge, k *follow.Keeper) {
		e.set(func(e *edge) { e.paused = &follow.Suspension{Until: time.Now().Add(24 * time.Hour)} })
		e.want("r1", records("a", "192.0.2.1"))
		time.Sleep(time.Minute)
		if k.State().Health == nil || len(e.get().reads) != 0 {
			t.Errorf("suspended: %+v, %d looks", k.State().Health, len(e.get().reads))
		}
		// It ends while health is being read: leadership is looked at more often
		// than that takes.
		e.set(func(e *edge) { e.health.slow = leaderPoll + 4*time.Second })
		for before := e.healthReads(); e.healthReads() == before; {
			time.Sleep(time.Second)
		}
		e.set(func(e *edge) { e.lead = follow.Leadership{Mode: "host", Leader: "lb02", Term: "2"} })
		time.Sleep(leaderPoll)
		synctest.Wait()
		if k.State().Health != nil {
			t.Errorf("it stays: %+v", k.State().Health)
		}
		for range 120 {
			if time.Sleep(time.Second); k.State().Health != nil {
				t.Fatal("what was being read comes after all")
			}
		}
		n := e.healthReads()
		time.Sleep(time.Hour)
		if e.healthReads() != n || k.State().Health != nil {
			t.Errorf("%d readings by a host that does not lead", e.healthReads()-n)
		}
	})
}

// TestAChangeOfHealthIsTold: once, also across readings that failed, and neither by
// the first look of who has just come to lead nor by who does not.
func TestAChangeOfHealthIsTold(t *testing.T) {
	keeping(t, func(t *testing.T, e *edge, k *follow.Keeper) {
		is := func(status string, err error) {
			e.set(func(e *edge) { e.health.now, e.health.err = status, err })
			time.Sleep(2 * time.Minute)
			synctest.Wait()
		}
		told := func(what string, want ...string) {
			t.Helper()
			var got []string
			for _, ev := range e.told(follow.EventHealth) {
				got = append(got, ev.Text)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: told %q, want %q", what, got, want)
			}
		}
		e.set(func(e *edge) { e.health.now = "degraded" })
		e.want("r1", records("a", "192.0.2.1"))
		is("degraded", nil)
		told("as it was found")
		is("", errDown)
		is("down", nil)
		told("after a failure", "tunnel/home is down")
		if ev := e.told(follow.EventHealth)[0]; !ev.Worse || ev.Time.IsZero() {
			t.Errorf("%+v", ev)
		}
		e.set(func(e *edge) { e.lead = follow.Leadership{Mode: "host", Leader: "lb02", Term: "2"} })
		is("healthy", nil)
		e.set(func(e *edge) { e.lead = follow.Leadership{Mode: "host", Leader: "lb01", Mine: true, Term: "3"} })
		is("healthy", nil)
		told("of a new leader", "tunnel/home is down")
	})
}
