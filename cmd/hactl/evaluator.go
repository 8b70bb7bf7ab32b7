package main

import (
	"context"

	"github.com/hactl/hactl/reconcile/source"
	"github.com/hactl/hactl/schema"
	"github.com/hactl/hactl/schema/load"
)

// evaluator loads specifications for the agent, and logs what is doubtful.
func (r *runner) evaluator() func(context.Context, *source.Tree) (*schema.Spec, error) {
	limits := r.spec.limits()
	limits.Background = true // Virtual Routers come first.
	return func(ctx context.Context, tree *source.Tree) (*schema.Spec, error) {
		spec, warnings, err := load.Load(ctx, load.Files{FS: tree.FS, Dir: tree.Dir, Name: tree.Name}, limits)
		for _, w := range warnings {
			r.log.Warn(w.String(), "revision", tree.Revision)
		}
		if spec != nil && r.around.adapt != nil {
			r.around.adapt(spec)
		}
		return spec, err
	}
}
