package follow_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

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
