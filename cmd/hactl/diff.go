package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/loop"
	"github.com/hactl/hactl/reconcile/render"
)

func newDiff() *cobra.Command {
	f := &planFlags{others: true}
	var out string
	cmd := &cobra.Command{
		Use:   "diff",
		Short: "Show what would change",
		Long: `diff shows what apply would do, and what the agents of other hosts will do once
they follow: those whose agent the specification names are asked. It changes
nothing.

Exit code: 0 nothing to do, 2 something to do, 1 error.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return err
			}
			stderr := cmd.ErrOrStderr()
			progress := &render.Progress{W: stderr, Style: style(cmd, stderr)}
			_, round, err := f.plan(cmd.Context(), stderr, progress)
			if err != nil {
				return err
			}
			if out != "" {
				b, err := round.Plan.Save()
				if err == nil {
					err = loop.ReplaceFile(out, append(b, '\n'), 0o600)
				}
				if err != nil {
					return fmt.Errorf("save the plan: %w", err)
				}
			}
			if err := f.show(cmd, round.Plan); err != nil {
				return err
			}
			switch {
			case unread(round.Plan):
				return exitError
			case !round.Plan.Empty(), slices.ContainsFunc(round.Plan.Hosts, func(h reconcile.HostPlan) bool { return len(h.Steps) > 0 }):
				return exitChanges
			}
			return nil
		},
	}
	f.register(cmd)
	cmd.Flags().StringVar(&out, "out", "", "save the plan in this file, for hactl apply FILE")
	return cmd
}
