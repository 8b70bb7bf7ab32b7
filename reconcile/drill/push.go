package drill

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hactl/hactl/reconcile/topology"
	"github.com/hactl/hactl/schema"
)

// unseen is a revision that was pushed while Git could not be reached.
type unseen struct {
	revision string
	spec     *schema.Spec // nil where it does not evaluate
}

// push pushes what a step changes in the specification.
func (p *Player) push(ctx context.Context, s Step, o *Outcome) error {
	before := p.world.spec
	var former folder
	edit := func(dir string) (err error) {
		if former, err = readFolder(dir); err != nil {
			return err
		}
		switch s.Verb {
		case Push:
			path := s.Args[0]
			switch {
			case before == nil:
				path = p.start
			case !filepath.IsAbs(path):
				path = filepath.Join(p.Dir, path)
			}
			err = take(path, dir)
		case Edit:
			err = replace(dir, s.Args[0], s.Args[1], s.Args[2])
		case Revert:
			if p.pushed == nil {
				return errors.New("there is no push to take back")
			}
			err = p.pushed.write(dir)
		case Mistake:
			err = blunder(dir)
		case Maintenance:
			drained := slices.DeleteFunc(drainedIn(former), func(h string) bool { return h == s.Args[0] })
			if s.Args[1] == "on" {
				drained = append(drained, s.Args[0])
			}
			err = drain(dir, drained)
		}
		return err
	}
	revision, spec, err := p.Lab.Push(ctx, s.String(), edit)
	var invalid *InvalidError
	if err != nil && !errors.As(err, &invalid) {
		return err
	}
	if o.Revision = revision; before != nil { // The first one leaves nothing to go back to.
		p.pushed = former
	}
	if invalid != nil {
		o.Why = invalid.Error()
		if s.Verb == Maintenance {
			o.deviates("the specification does not evaluate with that")
		}
		p.hide(o, revision, nil, before)
		return nil
	}
	if s.Verb == Maintenance && spec.Hosts[s.Args[0]].Maintenance != (s.Args[1] == "on") {
		o.deviates("%s is in maintenance as before: the specification itself says so", s.Args[0])
	}
	if p.hide(o, revision, spec, before) {
		return nil
	}
	p.head = revision
	p.world.follow(spec)
	if before != nil {
		o.Impact = impact(before, spec)
	}
	return nil
}

// hide keeps what was pushed for later where Git cannot be reached: nobody can
// know of it yet.
func (p *Player) hide(o *Outcome, revision string, spec, before *schema.Spec) bool {
	if o.Unread = p.down["git"] && before != nil; o.Unread {
		p.unseen, o.Revision, o.Why = &unseen{revision, spec}, "", ""
	}
	return o.Unread
}

func impact(before, after *schema.Spec) (words []string) {
	for _, f := range topology.Compare(before, after) {
		words = append(words, strings.TrimSpace(f.ID.String()+" "+f.Message))
	}
	return words
}

// InvalidError is that of a Lab's Push for a specification that was pushed, and
// does not evaluate.
type InvalidError struct{ Problems string }

func (e *InvalidError) Error() string { return e.Problems }
