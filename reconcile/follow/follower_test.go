package follow_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/follow"
)

func story(t *testing.T, tell func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { tell(t, newWorld()) })
}

func TestAGoodRevisionRunsAndIsKept(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		a := w.branch.push(records("a", "192.0.2.1"))
		f := w.follower()
		if f.Good() != nil || f.State().Fetch.Origin != "memory" {
			t.Fatalf("before anything: %+v", f.State())
		}
		look(t, f)
		runs(t, f, a)
		s, g := f.State(), f.Good()
		if s.Signer != "alice@example.com" || !s.Committed.Equal(time.Now()) || !s.Accepted.Equal(time.Now()) || s.Restored || s.Fetch.Err != "" || !s.Fetch.Success.Equal(time.Now()) {
			t.Errorf("state %+v", s)
		}
		if g.Build != "build 1" || g.Origin != "memory" || len(g.Spec.DNSRecords) != 1 {
			t.Errorf("good %+v", g)
		}
		if w.store.has() != a || !slices.Equal(w.machine.ran(), []string{a}) || !slices.Equal(w.ran, []string{a}) {
			t.Errorf("store %s, host %v, accepted %v", w.store.has(), w.machine.ran(), w.ran)
		}
		if told := w.told(follow.EventAccepted); len(told) != 1 || told[0].Revision != a || told[0].Signer != "alice@example.com" || told[0].Time.IsZero() {
			t.Errorf("told %+v", told)
		}
	})
}

func TestAFollowerNeedsNoHostAndNoStore(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		a := w.branch.push(records("a", "192.0.2.1"))
		f := follow.New(follow.Options{Source: w.branch, Trust: w.trust, Evaluate: w.branch.evaluate})
		if f.Restore() {
			t.Error("something was restored from nowhere")
		}
		look(t, f)
		look(t, f)
		runs(t, f, a)
	})
}

// Each gate refuses in its own name, once, changes nothing, and is forgotten as
// soon as the branch has what runs again.
func TestEachGateRefuses(t *testing.T) {
	gates := map[follow.Reason]func(w *world) string{
		follow.Untrusted: func(w *world) string {
			sha := w.branch.push(records("a", "192.0.2.2"))
			w.trust.refuse(sha, errors.New("nobody signed it"))
			return sha
		},
		follow.Rewound: func(w *world) string {
			tip := w.branch.tip
			w.branch.set(func(b *branch) { b.tip = nil })
			sha := w.branch.add(records("a", "192.0.2.9"), tip.when.Add(-time.Hour))
			w.branch.set(func(b *branch) { b.tip.plain = false })
			return sha
		},
		follow.Invalid: func(w *world) string { return w.branch.pushFault(errSyntax) },
		follow.Guarded: func(w *world) string { return w.branch.push(records()) },
		follow.Unfit: func(w *world) string {
			sha := w.branch.push(records("a", "192.0.2.3"))
			w.machine.failOf(sha, errSecret)
			return sha
		},
	}
	for reason, push := range gates {
		t.Run(string(reason), func(t *testing.T) {
			story(t, func(t *testing.T, w *world) {
				a := w.branch.push(records("a", "192.0.2.1"))
				f := w.follower()
				look(t, f)
				before := w.branch.tip
				bad := push(w)
				r := refused(t, f, bad, reason)
				if r.Message == "" || !r.At.Equal(time.Now()) {
					t.Errorf("%+v", r)
				}
				for range 3 {
					time.Sleep(time.Minute)
					if again := refused(t, f, bad, reason); again != r {
						t.Errorf("first %+v, then %+v", r, again)
					}
				}
				if told := w.told(follow.EventRefused); len(told) != 1 || told[0].Reason != reason || told[0].Text != r.Message || told[0].Revision != bad {
					t.Errorf("told %+v", told)
				}
				if s := f.State(); s.Revision != a || w.store.has() != a || len(w.ran) != 1 || slices.Contains(w.machine.ran(), bad) {
					t.Errorf("something was changed: %+v, store %s, host %v", s, w.store.has(), w.machine.ran())
				}
				// The branch has what runs again.
				w.branch.set(func(b *branch) { b.tip = before })
				look(t, f)
				runs(t, f, a)
				w.machine.fail(nil) // What the host lacked is there now: too late.
				time.Sleep(time.Minute)
				look(t, f)
				runs(t, f, a)
				// And the wrong one once more is told of once more.
				w.branch.set(func(b *branch) { b.tip = &commit{sha: bad, parent: before, when: time.Now()} })
				if reason == follow.Untrusted || reason == follow.Invalid || reason == follow.Guarded {
					refused(t, f, bad, reason)
					if n := len(w.told(follow.EventRefused)); n != 2 {
						t.Errorf("told %d times", n)
					}
				}
			})
		})
	}
}

// What a host has waited for is of no interest once the branch has moved on.
func TestNothingIsWaitedForThatTheBranchHasLeft(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		a := w.branch.push(records("a", "192.0.2.1"))
		f := w.follower()
		look(t, f)
		b := w.branch.push(records("a", "192.0.2.2"))
		w.machine.failOf(b, errSecret)
		refused(t, f, b, follow.Unfit)
		c := w.branch.pushFault(errSyntax)
		refused(t, f, c, follow.Invalid)
		w.machine.fail(nil)
		time.Sleep(time.Minute)
		refused(t, f, c, follow.Invalid)
		if s := f.State(); s.Revision != a {
			t.Errorf("%s runs, which the branch has left", s.Revision)
		}
	})
}

func TestAHostThatLacksASecretRunsAsSoonAsItHasIt(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		a := w.branch.push(records("a", "192.0.2.1"))
		f := w.follower()
		w.run(t, f)
		f.Trigger()
		synctest.Wait()
		b := w.branch.push(records("a", "192.0.2.2"))
		w.machine.failOf(b, errSecret)
		time.Sleep(2 * time.Minute)
		if s := f.State(); s.Revision != a || s.Refused == nil || s.Refused.Reason != follow.Unfit || !strings.Contains(s.Refused.Message, errSecret.Error()) {
			t.Fatalf("%+v", s)
		}
		evaluations := w.branch.evaluations()
		w.machine.fail(nil)
		time.Sleep(2 * time.Minute)
		runs(t, f, b)
		if w.store.has() != b || w.branch.evaluations() != evaluations {
			t.Errorf("store %s, evaluated %d times more", w.store.has(), w.branch.evaluations()-evaluations)
		}
	})
}

// Another host has what this one lacks: it may have applied the revision.
func TestWhatIsOfThisHostAloneLeavesAGap(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.branch.push(records("a", "192.0.2.1"))
		f := w.follower()
		look(t, f)
		b := w.branch.push(records("a", "192.0.2.2"))
		w.machine.failOf(b, errSecret)
		if r := refused(t, f, b, follow.Unfit); !r.Gap {
			t.Error("no gap behind a revision that this host alone cannot run")
		}
		c := w.branch.pushFault(errMemory)
		if r := refused(t, f, c, follow.Invalid); !r.Gap {
			t.Error("no gap behind a revision that could not be evaluated here")
		}
	})
	story(t, func(t *testing.T, w *world) {
		w.branch.push(records("a", "192.0.2.1"))
		f := w.follower()
		look(t, f)
		b := w.branch.pushFault(errMemory)
		if r := refused(t, f, b, follow.Invalid); !r.Gap {
			t.Error("no gap behind a revision that could not be evaluated here")
		}
		w.branch.set(func(b *branch) { b.tip = b.tip.parent })
		look(t, f)
		c := w.branch.pushFault(errSyntax)
		if r := refused(t, f, c, follow.Invalid); r.Gap {
			t.Error("a gap behind a revision that nobody can run")
		}
		d := w.branch.pushFault(errSyntax)
		if r := refused(t, f, d, follow.Invalid); !r.Gap {
			t.Error("no gap behind a revision whose parent does not run")
		}
	})
}

func TestAGapBehindWhatCannotBeSeen(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.branch.push(records("a", "192.0.2.1"))
		o := w.options()
		o.Strict = true
		f := follow.New(o)
		look(t, f)
		tip := w.branch.tip
		w.branch.set(func(b *branch) { b.history, b.tip = errDown, nil })
		time.Sleep(time.Hour)
		b := w.branch.add(records("a", "192.0.2.2"), time.Now())
		if r := refused(t, f, b, follow.Rewound); !r.Gap || !strings.Contains(r.Message, errDown.Error()) {
			t.Errorf("%+v", r)
		}
		w.branch.set(func(b *branch) { b.tip = tip })
		look(t, f)
	})
}

func TestAnEvaluationThatFailedForAnotherReasonIsTriedAgain(t *testing.T) {
	for _, poll := range []time.Duration{time.Minute, 0} {
		story(t, func(t *testing.T, w *world) {
			a := w.branch.push(records("a", "192.0.2.1"))
			o := w.options()
			o.Poll = poll
			f := follow.New(o)
			w.run(t, f)
			f.Trigger()
			synctest.Wait()
			b := w.branch.pushFault(errMemory)
			w.branch.set(func(br *branch) { br.specs[b] = records("a", "192.0.2.2") })
			f.Trigger()
			synctest.Wait()
			time.Sleep(14 * time.Minute)
			if s := f.State(); s.Revision != a || s.Refused == nil || s.Refused.Reason != follow.Invalid || w.branch.evaluations() != 2 {
				t.Fatalf("poll %s: %+v after %d evaluations", poll, s, w.branch.evaluations())
			}
			w.branch.set(func(br *branch) { delete(br.faults, b) })
			time.Sleep(3 * time.Minute)
			runs(t, f, b)
			if n := w.branch.evaluations(); n != 3 {
				t.Errorf("poll %s: evaluated %d times", poll, n)
			}
			time.Sleep(time.Hour)
			if n := w.branch.evaluations(); n != 3 {
				t.Errorf("poll %s: evaluated %d times", poll, n)
			}
		})
	}
}

func TestAWrongRevisionIsEvaluatedOnce(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.branch.push(records("a", "192.0.2.1"))
		f := w.follower()
		w.run(t, f)
		f.Trigger()
		synctest.Wait()
		b := w.branch.pushFault(errSyntax)
		time.Sleep(time.Hour)
		if n := w.branch.evaluations(); n != 2 {
			t.Errorf("evaluated %d times", n)
		}
		if err := f.Look(t.Context(), follow.Look{Anew: true}); err == nil || w.branch.evaluations() != 3 {
			t.Errorf("anew: %v, %d evaluations", err, w.branch.evaluations())
		}
		_ = b
	})
}

func TestEachPollTellsTheHostAgain(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		a := w.branch.push(records("a", "192.0.2.1"))
		f := w.follower()
		for range 3 {
			look(t, f)
		}
		if got := w.machine.ran(); !slices.Equal(got, []string{a, a, a}) {
			t.Errorf("the host was told %v", got)
		}
		// A secret that is gone is told of once, and shown until it is there.
		w.machine.fail(errSecret)
		for range 3 {
			if err := f.Look(t.Context(), follow.Look{}); !errors.Is(err, errSecret) {
				t.Fatalf("look: %v", err)
			}
		}
		if s := f.State(); s.Revision != a || s.Unfit != errSecret.Error() {
			t.Errorf("%+v", s)
		}
		if told := w.told(follow.EventHost); len(told) != 1 || !errors.Is(told[0].Err, errSecret) || told[0].Revision != a {
			t.Errorf("told %+v", told)
		}
		w.machine.fail(nil)
		look(t, f)
		look(t, f)
		if told := w.told(follow.EventHost); f.State().Unfit != "" || len(told) != 2 || told[1].Err != nil {
			t.Errorf("%+v, told %+v", f.State(), told)
		}
		// Beside a refusal too.
		w.branch.pushFault(errSyntax)
		w.machine.fail(errSecret)
		_ = f.Look(t.Context(), follow.Look{})
		_ = f.Look(t.Context(), follow.Look{})
		if s := f.State(); s.Unfit == "" || s.Refused == nil {
			t.Errorf("%+v", s)
		}
		w.branch.push(records("a", "192.0.2.3"))
		w.machine.fail(nil)
		look(t, f)
		if s := f.State(); s.Unfit != "" {
			t.Errorf("%+v", s)
		}
	})
}

func TestRestore(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		a := w.branch.push(records("a", "192.0.2.1"))
		look(t, w.follower())
		w.branch.set(func(b *branch) { b.down = errDown })
		f := w.follower()
		if !f.Restore() {
			t.Fatal("nothing is restored")
		}
		if s := f.State(); s.Revision != a || !s.Restored || s.Signer != "alice@example.com" || s.Committed.IsZero() || s.Accepted.IsZero() {
			t.Errorf("%+v", s)
		}
		for range 3 {
			if err := f.Look(t.Context(), follow.Look{}); !errors.Is(err, errDown) {
				t.Fatal(err)
			}
		}
		if s := f.State(); !s.Restored || s.Fetch.Err != errDown.Error() || !s.Fetch.Success.IsZero() || !s.Fetch.Tried.Equal(time.Now()) {
			t.Errorf("%+v", s)
		}
		w.branch.set(func(b *branch) { b.down = nil })
		look(t, f)
		if s := f.State(); s.Restored || s.Fetch.Err != "" {
			t.Errorf("%+v", s)
		}
		if told := w.told(follow.EventFetch); len(told) != 2 || !errors.Is(told[0].Err, errDown) || told[1].Err != nil {
			t.Errorf("told %+v", told)
		}
		if n := w.branch.evaluations(); n != 1 {
			t.Errorf("evaluated %d times", n)
		}
	})
	story(t, func(t *testing.T, w *world) { // Another origin's is left alone.
		w.branch.push(records("a", "192.0.2.1"))
		look(t, w.follower())
		w.branch.origin = "elsewhere"
		f := w.follower()
		if f.Restore() || f.Good() != nil || len(w.told(follow.EventStore)) != 1 || len(w.machine.ran()) != 1 {
			t.Errorf("%+v", f.State())
		}
	})
	story(t, func(t *testing.T, w *world) { // The host does not run it any more.
		w.branch.push(records("a", "192.0.2.1"))
		look(t, w.follower())
		w.machine.fail(errSecret)
		f := w.follower()
		if told := w.told; f.Restore() || f.Good() != nil || len(told(follow.EventStore)) != 1 || !errors.Is(told(follow.EventStore)[0].Err, errSecret) {
			t.Errorf("%+v", f.State())
		}
	})
	story(t, func(t *testing.T, w *world) { // A damaged file is told of until there is another.
		w.branch.push(records("a", "192.0.2.1"))
		w.store.load = &follow.DamagedError{Aside: "aside", Err: errors.New("its checksum is another")}
		f := w.follower()
		if f.Restore() || f.State().Damaged == "" || len(w.told(follow.EventStore)) != 1 {
			t.Errorf("%+v", f.State())
		}
		look(t, f)
		if f.State().Damaged != "" {
			t.Errorf("%+v", f.State())
		}
	})
	story(t, func(t *testing.T, w *world) { // As is one that cannot be read.
		w.store.load = errors.New("permission denied")
		f := w.follower()
		if f.Restore() || f.State().Damaged != "" || len(w.told(follow.EventStore)) != 1 {
			t.Errorf("%+v", f.State())
		}
	})
}

func TestADiskThatIsFullKeepsNothingFromRunning(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.store.fill(errors.New("no space left on device"))
		a := w.branch.push(records("a", "192.0.2.1"))
		f := w.follower()
		for range 3 {
			look(t, f)
			runs(t, f, a)
		}
		if s := f.State(); s.Unsaved != "no space left on device" || w.store.has() != "" {
			t.Errorf("%+v", s)
		}
		if told := w.told(follow.EventStore); len(told) != 1 {
			t.Errorf("told %+v", told)
		}
		// A refusal must not keep it from the disk once there is room.
		w.branch.pushFault(errSyntax)
		w.store.fill(nil)
		_ = f.Look(t.Context(), follow.Look{})
		_ = f.Look(t.Context(), follow.Look{})
		if s := f.State(); s.Unsaved != "" || w.store.has() != a {
			t.Errorf("%+v, and the disk has %q", s, w.store.has())
		}
		saves := w.store.saves
		_ = f.Look(t.Context(), follow.Look{})
		if w.store.saves != saves {
			t.Error("what is on the disk is written again")
		}
	})
}

func TestRewind(t *testing.T) {
	story(t, func(t *testing.T, w *world) { // Not strict: a later date is newer, whatever its history.
		w.branch.push(records("a", "192.0.2.1"))
		f := w.follower()
		look(t, f)
		w.branch.set(func(b *branch) { b.tip = nil })
		b := w.branch.push(records("a", "192.0.2.2"))
		look(t, f)
		runs(t, f, b)
		// One of the same date that descends is newer; as after a clock was set back.
		c := w.branch.add(records("a", "192.0.2.3"), time.Now().Add(-time.Hour))
		look(t, f)
		runs(t, f, c)
	})
	story(t, func(t *testing.T, w *world) { // Strict: it has to descend.
		a := w.branch.push(records("a", "192.0.2.1"))
		o := w.options()
		o.Strict = true
		f := follow.New(o)
		look(t, f)
		b := w.branch.push(records("a", "192.0.2.2"))
		c := w.branch.push(records("a", "192.0.2.3"))
		look(t, f)
		runs(t, f, c)
		w.branch.point(b)
		refused(t, f, b, follow.Rewound)
		w.branch.point(a)
		w.branch.set(func(b *branch) { b.tip = nil })
		d := w.branch.push(records("a", "192.0.2.4"))
		if r := refused(t, f, d, follow.Rewound); !strings.Contains(r.Message, "--allow rewind") {
			t.Error(r.Message)
		}
	})
	story(t, func(t *testing.T, w *world) { // Allowed once.
		a := w.branch.push(records("a", "192.0.2.1"))
		f := w.follower()
		look(t, f)
		b := w.branch.push(records("a", "192.0.2.2"))
		look(t, f)
		w.branch.point(a)
		refused(t, f, a, follow.Rewound)
		if err := f.Look(t.Context(), follow.Look{Anew: true, Allowed: []reconcile.Rule{reconcile.RuleRewind}}); err != nil {
			t.Fatal(err)
		}
		runs(t, f, a)
		look(t, f)
		w.branch.set(func(br *branch) { br.tip = &commit{sha: b, parent: br.tip, when: time.Now()} })
		look(t, f)
		runs(t, f, b)
		w.branch.point(a)
		refused(t, f, a, follow.Rewound)
	})
}

func TestARailIsLiftedOnce(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		w.branch.push(many(20))
		f := w.follower()
		look(t, f)
		b := w.branch.push(many(1))
		refused(t, f, b, follow.Guarded)
		if err := f.Look(t.Context(), follow.Look{Anew: true, Allowed: []reconcile.Rule{reconcile.RuleDeletions}}); err != nil {
			t.Fatal(err)
		}
		runs(t, f, b)
		w.branch.push(many(20))
		look(t, f)
		refused(t, f, w.branch.push(many(1)), follow.Guarded)
	})
}

func TestAnotherBuildEvaluatesAgain(t *testing.T) {
	story(t, func(t *testing.T, w *world) {
		a := w.branch.push(records("a", "192.0.2.1"))
		look(t, w.follower())
		o := w.options()
		o.Build = "build 2"
		f := follow.New(o)
		if !f.Restore() {
			t.Fatal("not restored")
		}
		w.branch.set(func(b *branch) { b.specs[a] = records("a", "192.0.2.2") }) // another default
		look(t, f)
		runs(t, f, a)
		if g := f.Good(); g.Build != "build 2" || g.Spec.DNSRecords["a"].Content != "192.0.2.2" || w.branch.evaluations() != 2 {
			t.Errorf("%+v after %d evaluations", g, w.branch.evaluations())
		}
		look(t, f)
		if w.branch.evaluations() != 2 {
			t.Error("evaluated again")
		}
		// One that refuses what ran goes on with it.
		o.Build = "build 3"
		f = follow.New(o)
		f.Restore()
		w.branch.set(func(b *branch) { b.faults[a] = errSyntax })
		if r := refused(t, f, a, follow.Invalid); r.Gap || f.State().Revision != a {
			t.Errorf("%+v", f.State())
		}
	})
}

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
