package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/hactl/hactl/engines/host"
	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/audit"
	"github.com/hactl/hactl/reconcile/loop"
	"github.com/hactl/hactl/reconcile/render"
	"github.com/hactl/hactl/schema"
)

// grace is how long requests may go on after an interruption.
const grace = 30 * time.Second

func newApply() *cobra.Command {
	f := &planFlags{}
	var yes bool
	var wait time.Duration
	cmd := &cobra.Command{
		Use:   "apply [PLAN]",
		Short: "Make it so",
		Long: `apply shows the plan, asks, and carries it out: each step as soon as what it
needs is done. At the end it reads again; nothing must be left to do.

Given a file that diff --out saved, it carries out exactly that plan, or
nothing where the world has moved since.

Exit code: 0 done, 1 otherwise.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(); err != nil {
				return err
			}
			if wait == 0 {
				return apply(cmd, f, args, yes)
			}
			return applyAndWait(cmd, f, args, yes, wait)
		},
	}
	f.register(cmd)
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask")
	cmd.Flags().DurationVar(&wait, "wait", 0, "then wait, for so long at most, until every host runs the revision")
	cmd.Flags().Lookup("wait").NoOptDefVal = "10m"
	return cmd
}

// applyAndWait applies, and returns when every host runs the revision, and the
// one that leads has applied it.
func applyAndWait(cmd *cobra.Command, f *planFlags, args []string, yes bool, limit time.Duration) error {
	if len(args) > 0 {
		return errors.New("--wait is for a specification; a saved plan is about objects alone")
	}
	if f.spec.repo == "" {
		return errors.New("--wait goes with --repo: a directory is no revision that hosts follow")
	}
	ctx := cmd.Context()
	l, err := f.spec.load(ctx, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	own, err := f.host.find(l.spec)
	if err != nil {
		return err
	}
	names := slices.Sorted(maps.Keys(l.spec.Hosts))
	for _, name := range names {
		if name != own && l.spec.Hosts[name].Agent == "" {
			return fmt.Errorf("--wait: %s cannot be asked: hosts.%s.agent is not set; nothing was changed", name, name)
		}
	}
	f.spec.ref = l.tree.Revision // What is applied is what is waited for.
	if err := apply(cmd, f, args, yes); err != nil {
		return err
	}
	ask := func(ctx context.Context) ([]answer, error) {
		return f.ask.gather(ctx, l.spec, names, own, f.host.dir())
	}
	if err := waitFor(ctx, limit, l.tree.Revision, ask, l.spec.Leader != nil); err != nil {
		return err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%d hosts run %s.\n", len(names), short(l.tree.Revision))
	return nil
}

func apply(cmd *cobra.Command, f *planFlags, args []string, yes bool) error {
	ctx, stderr := cmd.Context(), cmd.ErrOrStderr()
	progress := &render.Progress{W: stderr, Terminal: isTerminal(stderr), Style: style(cmd, stderr)}
	defer progress.Close()
	state, err := f.edge.stateDir()
	if err != nil {
		return err
	}
	record, observer, err := applyAudit(state, stderr, progress)
	if err != nil {
		return err
	}
	defer func() { _ = record.Close() }()
	var lp *loop.Loop
	var round *loop.Round
	if len(args) == 1 {
		lp, round, err = f.saved(ctx, args[0], observer)
	} else {
		lp, round, err = f.plan(ctx, stderr, observer)
	}
	if err != nil {
		return err
	}
	switch {
	case f.output != "text":
	case len(args) == 1 && yes && len(round.Plan.Violations) == 0: // It has been seen.
		fmt.Fprintln(cmd.OutOrStdout(), render.Summary(round.Plan))
	default:
		if err := f.show(cmd, round.Plan); err != nil {
			return err
		}
	}
	if len(round.Plan.Violations) > 0 {
		if f.output != "text" {
			_ = f.show(cmd, round.Plan)
		}
		return errors.New("refused by the guard rails; nothing was changed")
	}
	if len(round.Plan.Steps) > 0 {
		if err := confirm(cmd, round.Plan, yes); err != nil {
			return err
		}
	}
	outcome, err := audited{Edge: lp, log: record, run: audit.Run{Origin: audit.FromApply, Who: localUser()}}.Execute(ctx, round, grace)
	progress.Close()
	switch f.output {
	case "json":
		if err := render.JSONOutcome(cmd.OutOrStdout(), round.Plan, told(outcome)); err != nil {
			return err
		}
	case "markdown":
		if err := f.show(cmd, round.Plan); err != nil {
			return err
		}
	}
	targets, idErr := f.ids()
	if err := errors.Join(err, idErr); err != nil {
		fmt.Fprintf(stderr, "%d of %d steps done.\n", len(outcome.Done), len(round.Plan.Steps))
		return err
	}
	return report(ctx, cmd, lp, round, outcome, targets, len(args) == 1)
}

// remaining is what to look at after a run, nil for everything: the targets, or
// what a saved plan is about, which may be a part only. What the plan deletes
// is gone.
func remaining(p *reconcile.Plan, targets []schema.ID, saved bool) []schema.ID {
	deleted := map[schema.ID]bool{}
	for _, s := range p.Steps {
		deleted[s.ID] = s.Action == reconcile.Delete
		if saved {
			targets = append(targets, s.ID)
		}
	}
	if targets == nil {
		return nil
	}
	return slices.DeleteFunc(targets, func(id schema.ID) bool { return deleted[id] })
}

// saved reads a plan that diff saved and checks that it still fits.
func (f *planFlags) saved(ctx context.Context, name string, observer reconcile.Observer) (*loop.Loop, *loop.Round, error) {
	if f.spec.repo != "" || f.spec.dir != "." || len(f.targets) > 0 {
		return nil, nil, errors.New("a saved plan says itself what it is about: leave out -C, --repo and --target")
	}
	b, err := os.ReadFile(name)
	if errors.Is(err, syscall.EISDIR) {
		return nil, nil, fmt.Errorf("%s is a directory, and no plan that hactl diff --out saved; that of a specification goes with -C", name)
	}
	if err != nil {
		return nil, nil, err
	}
	p, err := reconcile.Open(b)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	allowed, err := f.allowed()
	if err != nil {
		return nil, nil, err
	}
	node := f.savedNode(p)
	edge := slices.ContainsFunc(slices.Collect(maps.Keys(p.Objects)), func(id schema.ID) bool { _, host := schema.HostOf(id); return host == "" })
	lp, err := f.engines(p.Account, edge, node, observer)
	if err != nil {
		return nil, nil, err
	}
	round, err := lp.Revisit(ctx, p, allowed)
	return lp, round, err
}

// savedNode is the host that a saved plan is about, nil for none.
func (f *planFlags) savedNode(p *reconcile.Plan) *host.Node {
	for id := range p.Objects {
		if _, name := schema.HostOf(id); name != "" {
			return &host.Node{Host: name, Dir: f.host.dir(), Secret: secret}
		}
	}
	return nil
}

// confirm asks on a terminal.
func confirm(cmd *cobra.Command, p *reconcile.Plan, yes bool) error {
	if yes {
		return nil
	}
	in := cmd.InOrStdin()
	if !isTerminal(in) {
		return errNoTerminal
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s. Go ahead? [y/N] ", render.Counts(p))
	answer, err := readLine(cmd.Context(), in)
	if err != nil {
		return fmt.Errorf("%w; nothing was changed", err)
	}
	if a := strings.ToLower(strings.TrimSpace(answer)); a != "y" && a != "yes" {
		return errors.New("not confirmed; nothing was changed")
	}
	return nil
}

// readLine reads a line; an interruption does not wait for it.
func readLine(ctx context.Context, in io.Reader) (string, error) {
	type line struct {
		text string
		err  error
	}
	lines := make(chan line, 1)
	go func() {
		text, err := bufio.NewReader(in).ReadString('\n')
		lines <- line{text, err}
	}()
	select {
	case l := <-lines:
		if errors.Is(l.err, io.EOF) {
			l.err = nil
		}
		return l.text, l.err
	case <-ctx.Done():
		return "", errors.New("interrupted")
	}
}

// report says how it went, and reads again to see that nothing is left of the
// targets, of what a saved plan is about, or at all.
func report(ctx context.Context, cmd *cobra.Command, lp *loop.Loop, round *loop.Round, o loop.Outcome, targets []schema.ID, saved bool) error {
	stderr := cmd.ErrOrStderr()
	if len(round.Plan.Steps) > 0 {
		// A replacement may have ended in a deletion, which is no step of the plan.
		total := len(o.Done) + len(o.Failed) + len(o.Skipped) + len(o.Left)
		fmt.Fprintf(stderr, "%d of %d steps done in %s; requests: %d.\n",
			len(o.Done), total, o.Elapsed.Round(time.Millisecond), o.Requests)
	}
	if !o.Complete() {
		return unfinished(stderr, o)
	}
	if len(round.Plan.Conflicts) > 0 {
		return errors.New("all but the conflicts is done")
	}
	if len(o.Done) == 0 {
		return nil
	}
	targets = remaining(round.Plan, targets, saved)
	if targets != nil && len(targets) == 0 {
		return nil
	}
	left, err := lp.Left(ctx, round, targets)
	if err != nil {
		return fmt.Errorf("done, but reading again: %w", err)
	}
	if saved { // What its steps are about stands for its parts, too.
		left.Only(round.Plan)
	}
	for _, n := range left.Notices {
		fmt.Fprintf(stderr, "%s %s\n", n.ID, n.Message)
	}
	if !left.Empty() {
		_ = render.Text(stderr, left, style(cmd, stderr))
		return errors.New("done, but this differs again: somebody else may be changing it")
	}
	return nil
}

// told puts an outcome into the form of the JSON contract.
func told(o loop.Outcome) render.Outcome {
	r := render.Outcome{Done: o.Done, Left: o.Left, Requests: o.Requests, Seconds: o.Elapsed.Seconds()}
	for _, f := range o.Failed {
		r.Failed = append(r.Failed, render.Unfinished{ID: f.ID, Class: reconcile.ClassOf(f.Err), Reason: f.Err.Error()})
	}
	for _, f := range o.Skipped {
		r.Skipped = append(r.Skipped, render.Unfinished{ID: f.ID, Reason: f.Err.Error()})
	}
	return r
}

// unfinished lists what is left, with why, and says what would help.
func unfinished(w io.Writer, o loop.Outcome) error {
	n, mend := 0, false
	left := func(why string, id schema.ID) {
		n++
		fmt.Fprintf(w, "  left: %s (%s)\n", id, why)
	}
	for _, f := range o.Failed {
		class := reconcile.ClassOf(f.Err)
		mend = mend || class == reconcile.Invalid || class == reconcile.Denied
		left("failed: "+string(class), f.ID)
	}
	for _, f := range o.Skipped {
		left(f.Err.Error(), f.ID)
	}
	for _, id := range o.Left {
		left("interrupted", id)
	}
	if mend {
		return fmt.Errorf("left to do: %d; what was refused needs a change of the specification, the token or the account, then apply again", n)
	}
	return fmt.Errorf("left to do: %d; run apply again", n)
}
