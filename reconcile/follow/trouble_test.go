package follow_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/follow"
	"github.com/hactl/hactl/schema"
)

func TestAConflictIsPlannedAgainAtOnce(t *testing.T) {
	keeping(t, func(t *testing.T, e *edge, k *follow.Keeper) {
		tries := 0
		e.refuse = func(c reconcile.Change) error {
			if tries++; tries < 3 {
				return classed(reconcile.Conflict, "")(c)
			}
			return nil
		}
		e.want("r1", records("a", "192.0.2.1"))
		e.is(t, "a", "192.0.2.1")
		if s := k.State(); s.Err != "" || len(s.Failed) != 0 || s.Revision != "r1" || len(e.told(follow.EventFailed)) != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestWhatDiffersEachTimeIsGivenUpForAWhile(t *testing.T) {
	keeping(t, func(t *testing.T, e *edge, k *follow.Keeper) {
		e.revert = true
		e.want("r1", records("a", "192.0.2.1"))
		if s := k.State(); !strings.Contains(s.Err, "differs again each time") || s.Retry.IsZero() || s.Revision != "" {
			t.Errorf("%+v", s)
		}
		if n := len(e.get().applied); n != 4 {
			t.Errorf("applied %d times", n)
		}
		e.set(func(e *edge) { e.revert = false })
		time.Sleep(time.Minute)
		e.is(t, "a", "192.0.2.1")
		if s := k.State(); s.Err != "" || !s.Retry.IsZero() {
			t.Errorf("%+v", s)
		}
	})
}

func TestWhatMayPassIsTriedLessAndLessOften(t *testing.T) {
	keeping(t, func(t *testing.T, e *edge, k *follow.Keeper) {
		e.unread = errDown
		e.want("r1", records("a", "192.0.2.1"))
		time.Sleep(30 * time.Minute)
		var pauses []time.Duration
		reads := e.get().reads
		for i, at := range reads[1:] {
			pauses = append(pauses, at.Sub(reads[i]))
		}
		want := []time.Duration{10, 20, 40, 80, 160, 300, 300, 300, 300}
		for i := range want {
			want[i] *= time.Second
		}
		if !slices.Equal(pauses, want) {
			t.Errorf("pauses %v", pauses)
		}
		if s := k.State(); !strings.Contains(s.Err, errDown.Error()) || !s.Retry.After(time.Now()) {
			t.Errorf("%+v", s)
		}
		if n := len(e.told(follow.EventFailed)); n != 1 {
			t.Errorf("told %d times", n)
		}
		e.set(func(e *edge) { e.unread = nil })
		k.Sync(nil)
		synctest.Wait()
		e.is(t, "a", "192.0.2.1")
		e.set(func(e *edge) { e.refuse = classed(reconcile.Transient, "a") })
		at := len(e.get().reads)
		e.want("r2", records("a", "192.0.2.2"))
		time.Sleep(12 * time.Second)
		if got := e.get().reads[at:]; len(got) != 2 || got[1].Sub(got[0]) != 10*time.Second {
			t.Errorf("the first pause of another failure: %v", got)
		}
	})
}

func TestWhatIsDeniedWaitsForAnotherRevisionOrAPerson(t *testing.T) {
	keeping(t, func(t *testing.T, e *edge, k *follow.Keeper) {
		tries := 0
		e.refuse = func(c reconcile.Change) error {
			if c.ID.Name == "a" {
				tries++
			}
			return classed(reconcile.Denied, "a")(c)
		}
		e.want("r1", records("a", "192.0.2.1", "b", "192.0.2.2"))
		time.Sleep(3 * resync)
		e.is(t, "b", "192.0.2.2")
		s := k.State()
		if tries != 1 || len(s.Failed) != 1 || s.Err == "" || s.Revision != "" || len(s.Pending) != 1 || !s.Retry.IsZero() {
			t.Errorf("%d tries, %+v", tries, s)
		}
		failure := s.Err
		// Drift beside it is corrected all the same.
		e.meddle("b", "203.0.113.9")
		time.Sleep(2 * resync)
		e.is(t, "b", "192.0.2.2")
		// And what has passed meanwhile is not what is shown.
		e.set(func(e *edge) { e.unread = errDown })
		time.Sleep(resync)
		e.set(func(e *edge) { e.unread = nil })
		time.Sleep(resync)
		if s := k.State(); s.Err != failure || !s.Retry.IsZero() || len(s.Failed) != 1 {
			t.Errorf("%+v", s)
		}
		if n := len(e.told(follow.EventApplied)); n != 0 {
			t.Errorf("told %d times that all is applied", n)
		}
		k.Sync(nil)
		synctest.Wait()
		if tries != 2 {
			t.Errorf("%d tries", tries)
		}
		e.want("r2", records("a", "192.0.2.1", "b", "192.0.2.2"))
		if tries != 3 {
			t.Errorf("%d tries", tries)
		}
		e.set(func(e *edge) { e.refuse = nil })
		k.Sync(nil)
		synctest.Wait()
		if s := k.State(); s.Err != "" || len(s.Failed) != 0 || s.Revision != "r2" {
			t.Errorf("%+v", s)
		}
	})
}

func TestAForeignObjectInTheWayIsNotSuccess(t *testing.T) {
	keeping(t, func(t *testing.T, e *edge, k *follow.Keeper) {
		e.plant("a", "203.0.113.1", false)
		e.want("r1", records("a", "192.0.2.1", "b", "192.0.2.2"))
		e.is(t, "a", "203.0.113.1", "b", "192.0.2.2")
		if s := k.State(); s.Revision != "" || len(s.Conflicts) != 1 || s.Err == "" || len(e.told(follow.EventApplied)) != 0 {
			t.Errorf("%+v, told %+v", s, e.told(follow.EventApplied))
		}
	})
}

// What a plan is narrowed to must not change what the state shows.
func TestConflictsAreShownWhole(t *testing.T) {
	keeping(t, func(t *testing.T, e *edge, k *follow.Keeper) {
		e.plant("a", "203.0.113.1", false)
		e.plant("c", "203.0.113.1", false)
		e.set(func(e *edge) { e.slow = time.Minute })
		e.want("r1", policy(records("a", "192.0.2.1", "b", "192.0.2.2", "c", "192.0.2.2"), func(p *schema.Policy) { p.Drift = "report" }))
		for _, c := range k.State().Conflicts {
			if c.Message == "" {
				t.Errorf("%+v", k.State().Conflicts)
			}
		}
		if len(k.State().Conflicts) != 2 {
			t.Errorf("%+v", k.State().Conflicts)
		}
	})
}

func TestGuardRailsOfTheEdge(t *testing.T) {
	keeping(t, func(t *testing.T, e *edge, k *follow.Keeper) {
		for i := range 20 {
			e.plant(fmt.Sprint("old", i), "192.0.2.1", true)
		}
		e.want("r1", records("a", "192.0.2.1"))
		time.Sleep(2 * resync)
		if s := k.State(); len(s.Violations) == 0 || s.Err == "" || len(e.get().applied) != 0 || len(e.told(follow.EventFailed)) != 1 {
			t.Errorf("%+v", s)
		}
		// A failure that passes does not use up what was allowed; another revision does.
		began := time.Now()
		e.set(func(e *edge) {
			e.refuse = func(c reconcile.Change) error {
				if time.Since(began) < 5*time.Second && c.Action == reconcile.Delete {
					return classed(reconcile.Transient, "")(c)
				}
				return nil
			}
		})
		k.Sync([]reconcile.Rule{reconcile.RuleDeletions})
		time.Sleep(time.Minute)
		e.is(t, "a", "192.0.2.1")
		for i := range 20 {
			e.plant(fmt.Sprint("old", i), "192.0.2.1", true)
		}
		time.Sleep(2 * resync)
		if len(k.State().Violations) == 0 {
			t.Errorf("allowed once, and again: %+v", k.State())
		}
		e.set(func(e *edge) { e.paused = &follow.Suspension{Until: time.Now().Add(time.Hour)} })
		k.Sync([]reconcile.Rule{reconcile.RuleDeletions})
		time.Sleep(time.Minute)
		e.set(func(e *edge) { e.paused = nil })
		e.want("r2", records("a", "192.0.2.2"))
		time.Sleep(time.Minute)
		if len(k.State().Violations) == 0 || e.contents()["old1"] == "" {
			t.Errorf("what was allowed for one revision is for the next one too: %+v", k.State())
		}
	})
}

func TestANewRevisionInterruptsTheOldOne(t *testing.T) {
	keeping(t, func(t *testing.T, e *edge, k *follow.Keeper) {
		e.loop.Concurrency, e.slow = 1, 10*time.Second
		var pairs []string
		for i := range 10 {
			pairs = append(pairs, fmt.Sprint("r", i), "192.0.2.1")
		}
		e.want("r1", records(pairs...))
		time.Sleep(15 * time.Second)
		e.set(func(e *edge) { e.slow = 0 })
		for i := 1; i < len(pairs); i += 2 {
			pairs[i] = "192.0.2.2"
		}
		e.want("r2", records(pairs...))
		time.Sleep(20 * time.Second)
		e.is(t, pairs...)
		if n := len(e.get().applied); n > 13 {
			t.Errorf("%d steps: the old revision was carried on with", n)
		}
		for _, ev := range append(e.told(follow.EventApplied), e.told(follow.EventFailed)...) {
			if ev.Revision != "r2" {
				t.Errorf("told %+v", ev)
			}
		}
	})
}

// Who may write is decided elsewhere: a refusal there stops the turn, says
// nothing of the revision, and is not asked about without a pause.
func TestNothingIsWrittenWithoutAPermit(t *testing.T) {
	keeping(t, func(t *testing.T, e *edge, k *follow.Keeper) {
		e.permit = errors.New("the lease may have ended")
		e.want("r1", records("a", "192.0.2.1", "b", "192.0.2.2"))
		time.Sleep(time.Minute)
		if got := e.get(); len(got.applied) != 0 || len(got.reads) > 8 || len(e.told(follow.EventFailed)) != 0 {
			t.Errorf("%d reads, %v applied, told %+v", len(got.reads), got.applied, e.told(follow.EventFailed))
		}
		e.set(func(e *edge) { e.permit, e.lead.Term = nil, "2" })
		time.Sleep(leaderPoll)
		e.is(t, "a", "192.0.2.1", "b", "192.0.2.2")
		if k.State().Err != "" {
			t.Errorf("%+v", k.State())
		}
	})
}

func TestAnInterruptionIsNoLossOfLeadership(t *testing.T) {
	keeping(t, func(t *testing.T, e *edge, k *follow.Keeper) {
		e.want("r1", records("a", "192.0.2.1"))
		e.set(func(e *edge) { e.hangs = true })
		time.Sleep(leaderPoll)
		e.set(func(e *edge) { e.hangs = false })
		e.want("r2", records("a", "192.0.2.2"))
		e.is(t, "a", "192.0.2.2")
		if told := e.told(follow.EventLeader); len(told) != 1 || e.get().looks != 1 {
			t.Errorf("told %+v, the source was read %d times", told, e.get().looks)
		}
	})
}

func TestAnInterruptedSyncIsNotForgotten(t *testing.T) {
	keeping(t, func(t *testing.T, e *edge, k *follow.Keeper) {
		e.want("r1", records("a", "192.0.2.1"))
		e.loop.Concurrency = 1
		e.set(func(e *edge) { e.slow = 10 * time.Second })
		e.meddle("a", "203.0.113.9")
		e.plant("b", "192.0.2.1", true)
		k.Sync(nil)
		time.Sleep(time.Second)
		k.Interrupt()
		time.Sleep(time.Minute)
		e.is(t, "a", "192.0.2.1")
	})
}

func TestTheEndIsNotTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 20 {
			e := newEdge()
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			wg.Go(func() { e.keeper.Run(ctx) })
			e.want("r1", records("a", "192.0.2.1"))
			e.set(func(e *edge) { e.hangs = true })
			time.Sleep(leaderPoll)
			cancel()
			wg.Wait()
			if n := len(e.told(follow.EventLeader)); n != 1 {
				t.Fatalf("told %d times: %+v", n, e.told(follow.EventLeader))
			}
		}
	})
}

// A Follower accepts a revision while the Keeper has it look at the source:
// neither may wait for the other.
func TestFollowerAndKeeperDoNotWaitForEachOther(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		e := newEdge()
		var k *follow.Keeper
		o := w.options()
		o.Accepted = func(g *follow.Good) { k.Want(g) }
		f := follow.New(o)
		k = follow.NewKeeper(follow.KeeperOptions{
			Edge: func(*schema.Spec) (follow.Edge, error) { _ = f.State(); return e.loop, nil }, Leader: leader{e},
			Confirm:   func(ctx context.Context) error { return f.Look(ctx, follow.Look{}) },
			Suspended: func() *follow.Suspension { return f.State().Suspended },
			Resync:    resync,
		})
		w.branch.push(records("a", "192.0.2.1"))
		w.branch.set(func(b *branch) { b.slow = time.Second })
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { f.Run(ctx) })
		wg.Go(func() { k.Run(ctx) })
		for i := range 50 {
			w.branch.push(records("a", fmt.Sprint("192.0.2.", i+2)))
			e.set(func(e *edge) { e.lead.Term, e.lead.Mine = fmt.Sprint(i), i%7 != 0 })
			f.Trigger()
			k.Sync(nil)
			time.Sleep(time.Duration(i*137) * time.Millisecond)
		}
		e.set(func(e *edge) { e.lead.Mine = true })
		time.Sleep(10 * time.Minute)
		runs(t, f, w.branch.tip.sha)
		e.is(t, "a", "192.0.2.51")
		if k.State().Revision != w.branch.tip.sha {
			t.Errorf("%+v", k.State())
		}
		cancel()
		wg.Wait()
	})
}
