package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/spf13/cobra"

	"github.com/hactl/hactl/reconcile/follow"
	"github.com/hactl/hactl/reconcile/status"
)

// localAgent does something with this machine's agent.
func localAgent(dir string, do func(*status.Client) error) error {
	err := do(status.DialLocal(agentSocket(dir)))
	switch {
	case err == nil:
		return nil
	case absent(err):
		return fmt.Errorf("no agent runs here (%s): hactl run is one", dir)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: ask as root, or as the user that hactl runs as", err)
	}
	return err
}

func newSync() *cobra.Command {
	f := &hostFlags{}
	var allow []string
	cmd := &cobra.Command{
		Use:   "sync",
		Short: "Have this machine's agent look at its specification now",
		Long: `sync has the agent read its source, judge anew what is there, and look at the
edge if it leads. It answers when the revision runs here, or why it does not.

With --allow, guard rails are lifted for this once: "rewind" lets an older
revision run.

Exit code: 0 the newest revision runs, 1 it does not.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			allowed, err := allowedRules(allow)
			if err != nil {
				return err
			}
			return localAgent(f.dir(), func(c *status.Client) error { return c.Sync(cmd.Context(), allowed) })
		},
	}
	f.registerRuntime(cmd)
	registerAllow(cmd, &allow)
	return cmd
}

func newSuspend() *cobra.Command {
	f := &hostFlags{}
	var reason string
	var span time.Duration
	cmd := &cobra.Command{
		Use:   "suspend",
		Short: "Have this machine's agent follow nothing for a while",
		Long: `suspend keeps this machine's agent from following its specification and from
changing the edge, until the time is over or hactl resume. What runs goes on:
Virtual Routers, checks and hooks. It outlasts a restart of the agent.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if span <= 0 || span > follow.LongestSuspension {
				return fmt.Errorf("--for %s: want more than 0 and at most %.0fh", span, follow.LongestSuspension.Hours())
			}
			until := time.Now().Add(span)
			err := localAgent(f.dir(), func(c *status.Client) error { return c.Suspend(cmd.Context(), until, reason) })
			if err == nil {
				fmt.Fprintf(cmd.OutOrStdout(), "Suspended until %s.\n", until.Format(time.DateTime))
			}
			return err
		},
	}
	f.registerRuntime(cmd)
	cmd.Flags().DurationVar(&span, "for", time.Hour, "how long")
	cmd.Flags().StringVar(&reason, "reason", "", "why, for others to see")
	return cmd
}

func newResume() *cobra.Command {
	f := &hostFlags{}
	cmd := &cobra.Command{
		Use:   "resume",
		Short: "End a suspension",
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return localAgent(f.dir(), func(c *status.Client) error { return c.Resume(cmd.Context()) })
		},
	}
	f.registerRuntime(cmd)
	return cmd
}

// waitFor returns when every host runs a revision, and the one that leads has
// applied it. A host that refuses it ends the wait.
func waitFor(ctx context.Context, limit time.Duration, revision string, ask func(context.Context) ([]answer, error), leads bool) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		answers, err := ask(ctx)
		if err != nil {
			return err
		}
		waits := ""
		applied := !leads
		for _, a := range answers {
			switch {
			case a.err != nil:
				waits = fmt.Sprintf("%s is unknown: %v", a.host, a.err)
			case a.report.Follow.Refused != nil && a.report.Follow.Refused.Revision == revision:
				r := a.report.Follow.Refused
				return fmt.Errorf("%s refuses the revision (%s): %s", a.host, r.Reason, r.Message)
			case a.report.Follow.Revision != revision:
				waits = fmt.Sprintf("%s runs %s", a.host, short(a.report.Follow.Revision))
			case a.report.Engine == nil || a.report.Config == nil || a.report.Engine.Revision != revision && len(a.report.Config.Routers) > 0:
				waits = fmt.Sprintf("the engine of %s is about to", a.host)
			}
			if a.err == nil {
				applied = applied || a.report.Edge.Leadership.Mine && a.report.Edge.Revision == revision
			}
		}
		switch {
		case waits == "" && applied:
			return nil
		case waits == "":
			waits = "no leader has applied it at the edge yet"
		}
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("after %s not every host runs %s: %s", limit, short(revision), waits)
		}
	}
}
