package follow_test

import (
	"strings"
	"testing"
	"time"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/follow"
)

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
