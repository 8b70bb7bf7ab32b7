package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/hactl/hactl/reconcile/render"
)

func newSpof() *cobra.Command {
	f, live := &specFlags{}, &liveFlags{}
	depth, output := 1, ""
	cmd := &cobra.Command{
		Use:   "spof",
		Short: "Show single points of failure",
		Long: `spof follows requests from every entry point (hostnames, private balancers and
networks, Virtual Routers) to the machines that answer, and shows the smallest
sets of hosts, connectors, tunnels, pools, origins, addresses and labels whose
failure cuts it off, each with the shortest repair. What fails only by a change,
such as a pool that is disabled, is marked so. It asks neither Cloudflare nor a
host, unless --live has it start from what is down now: what is cut off by one
more failure then. What cannot be asked is named, and counts as it should be.

Exit code: 2 when an entry point with highAvailability: true has a single point
of failure or is not served at all, 1 error, else 0.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkFormat(output); err != nil {
				return err
			}
			if depth < 1 || depth > 2 {
				return fmt.Errorf("--depth %d: want 1 or 2", depth)
			}
			l, err := f.load(cmd.Context(), cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			m, err := live.model(cmd.Context(), l.spec)
			if err != nil {
				return err
			}
			w, r := cmd.OutOrStdout(), m.Spof(depth)
			switch output {
			case "json":
				err = render.SpofJSON(w, r)
			case "markdown":
				err = render.SpofMarkdown(w, r)
			default:
				err = render.Spof(w, r, style(cmd, w))
			}
			if err != nil {
				return err
			}
			if len(r.Violations()) > 0 {
				return exitChanges
			}
			return nil
		},
	}
	f.register(cmd)
	live.register(cmd)
	cmd.Flags().IntVar(&depth, "depth", 1, "how many failures at a time: 1 or 2")
	registerFormat(cmd, &output)
	return cmd
}

// registerFormat adds -o to a command that has the three formats.
func registerFormat(cmd *cobra.Command, output *string) {
	cmd.Flags().StringVarP(output, "output", "o", "text", "text, json or markdown")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json", "markdown"}, cobra.ShellCompDirectiveNoFileComp))
}

func checkFormat(output string) error {
	switch output {
	case "text", "json", "markdown":
		return nil
	}
	return fmt.Errorf("-o %s: want text, json or markdown", output)
}
