package follow

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/source"
	"github.com/hactl/hactl/schema"
	"github.com/hactl/hactl/schema/load"
)

// RefusedError is a revision that does not run, and why.
type RefusedError struct{ Refusal }

func (e *RefusedError) Error() string {
	return fmt.Sprintf("revision %s is refused (%s), and nothing was changed: %s", e.Revision, e.Reason, e.Message)
}

// judge takes a candidate through every gate.
func (f *Follower) judge(ctx context.Context, c *source.Candidate, l Look) error {
	allowed := slices.Concat(f.o.Allowed, l.Allowed)
	good := f.Good()
	// Former verdicts, and what was waited for, are another revision's.
	f.known, f.waiting, f.waitingFor = "", nil, nil
	f.judgeAgain(time.Time{})
	if good != nil && good.Revision == c.Revision && good.Build == f.o.Build {
		// What runs already; perhaps again, after something that was refused.
		if _, err := f.o.Trust.Check(c); err != nil {
			// It goes on, and whoever trusted it may want to know.
			return f.refuse(c, Untrusted, "it runs, and nobody vouches for it any more: "+err.Error(), false)
		}
		f.known, f.gap = c.Revision, false
		f.clear()
		return f.again()
	}
	if good != nil && good.Revision != c.Revision && !slices.Contains(allowed, reconcile.RuleRewind) {
		if err := rewound(ctx, c, good, f.o.Strict); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return f.refuse(c, Rewound, err.Error(), errors.Is(err, errUnseen))
		}
	}
	tree, err := c.Admit(f.o.Trust)
	if err != nil {
		reason := Invalid
		var failed *source.Error
		if errors.As(err, &failed) && errors.Is(failed, source.ErrDenied) {
			reason = Untrusted
		} else {
			f.known = c.Revision
		}
		return f.refuse(c, reason, err.Error(), false)
	}
	spec, err := f.o.Evaluate(ctx, tree)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	f.known = c.Revision
	if err != nil {
		var invalid *load.Invalid
		passing := !errors.As(err, &invalid)
		if passing {
			f.judgeAgain(time.Now().Add(rejudgeAfter))
		}
		return f.refuse(c, Invalid, err.Error(), passing)
	}
	var before *schema.Spec
	if good != nil {
		before = good.Spec
	}
	found, facts := Rails(before, spec, allowed)
	if len(found) > 0 {
		return f.refuse(c, Guarded, Describe(found), false)
	}
	next := &Good{Revision: c.Revision, Origin: f.o.Origin, Signer: tree.Signer, Accepted: time.Now(), Build: f.o.Build, Spec: spec}
	if c.Commit != nil {
		next.Committed = c.Commit.Committer.When
	}
	f.moves = mastership(facts)
	return f.settle(next, c)
}

// mastership is what a LAN notices.
func mastership(facts []reconcile.Fact) []reconcile.Finding {
	var moves []reconcile.Finding
	for _, f := range facts {
		if f.Kind == reconcile.Mastership {
			moves = append(moves, f.Finding)
		}
	}
	return moves
}

// Describe lists violations, a line each.
func Describe(violations []reconcile.Violation) string {
	var lines []string
	for _, v := range violations {
		line := fmt.Sprintf("%s (--allow %s)", v.Message, v.Rule)
		if v.ID != (schema.ID{}) {
			line = v.ID.String() + " " + line
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// settle runs g, unless this host cannot: then it waits for that to change.
func (f *Follower) settle(g *Good, c *source.Candidate) error {
	if f.State().Suspended != nil { // since it was fetched
		f.known, f.waiting, f.waitingFor = "", nil, nil
		return ErrSuspended
	}
	if f.o.Host != nil {
		if err := f.o.Host.Run(g); err != nil {
			f.waiting, f.waitingFor = g, c
			return f.refuse(c, Unfit, err.Error(), true)
		}
	}
	f.waiting, f.waitingFor, f.gap = nil, nil, false
	f.clear()
	f.change(func(s *State) { s.Unfit = "" })
	f.keep(g)
	f.runs(g, false)
	return nil
}

// refuse notes a refusal; it is told once for as long as it says the same. A
// reason that is of this host alone, so that another may run the revision,
// makes a gap.
func (f *Follower) refuse(c *source.Candidate, reason Reason, message string, alone bool) error {
	r := Refusal{Revision: c.Revision, Reason: reason, Message: message, At: time.Now()}
	if good := f.Good(); good != nil && c.Commit != nil && reason != Rewound && c.Revision != good.Revision {
		f.gap = f.gap || !slices.Contains(c.Commit.Parents, good.Revision)
	}
	r.Gap = f.gap || alone && c.Commit != nil
	text := c.Revision + string(reason) + message
	if text == f.lastText {
		if former := f.State().Refused; former != nil {
			return &RefusedError{*former}
		}
	}
	f.lastText = text
	f.change(func(s *State) { s.Refused = &r })
	f.tell(Event{Kind: EventRefused, Revision: c.Revision, Reason: reason, Text: message})
	return &RefusedError{r}
}

var errUnseen = errors.New("whether it is a successor cannot be seen")

// rewound says why a candidate is older than what runs; nil if it is not. Unless
// strict, a commit with a later date is taken for newer, whatever its history:
// who can push decides. One that is no later has to descend from what runs, as
// after a clock was set back.
func rewound(ctx context.Context, c *source.Candidate, good *Good, strict bool) error {
	if c.Commit == nil || good.Committed.IsZero() || !strict && c.Commit.Committer.When.After(good.Committed) {
		return nil
	}
	descends, err := c.Descends(ctx, good.Revision)
	dates := fmt.Sprintf("it is dated %s, and %s, which runs, %s", c.Commit.Committer.When.Format(time.RFC3339), short(good.Revision), good.Committed.Format(time.RFC3339))
	switch {
	case err != nil:
		return fmt.Errorf("%s; %w: %w", dates, errUnseen, err)
	case !descends:
		return fmt.Errorf("%s; it is no successor of that: revert by a new commit, or allow it once with hactl sync --allow rewind", dates)
	}
	return nil
}
