package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hactl/hactl/reconcile/render"
	"github.com/hactl/hactl/reconcile/topology"
)

func newWhatIf() *cobra.Command {
	f, live := &specFlags{}, &liveFlags{}
	var down []string
	var region, output string
	cmd := &cobra.Command{
		Use:   "whatif --down COMPONENT...",
		Short: "Play a failure on the specification",
		Long: `whatif shows who serves each entry point before and after something fails, where
virtual addresses go, and how long it takes until that is noticed, as far as the
specification says. It asks neither Cloudflare nor a host, and breaks nothing.

With --live "before" is how things are now, as far as Cloudflare and the hosts'
agents say: what is down, and who is the Active router. --down comes on top, or
is left out. What cannot be asked is named, and counts as it should be.

What can fail is host/NAME, connector/TUNNEL@HOST, tunnel/NAME, pool/NAME,
origin/POOL/NAME, virtualRouter/NAME, address/ADDRESS (one outside the
specification), and LABEL/VALUE, such as site/tokyo.

--region is a key of a geo map. Countries and data centers that have a list of
their own are not part of their region's; where a balancer has no list for a
country or data center, all lists that it may fall under are shown.`,
		Example: `  hactl whatif --down host/lb01
  hactl whatif --down site/tokyo --down pool/osaka --region EEU
  hactl whatif --live --down host/lb02`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkFormat(output); err != nil {
				return err
			}
			if len(down) == 0 && !live.on {
				return errors.New("what fails? pass --down, such as --down host/lb01, or --live for what has")
			}
			l, err := f.load(cmd.Context(), cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			m, err := live.model(cmd.Context(), l.spec)
			if err != nil {
				return err
			}
			failed, err := lookup(m, down)
			if err != nil {
				return err
			}
			if regions := m.Regions(); region != "" && !slices.Contains(regions, region) {
				if len(regions) == 0 {
					return fmt.Errorf("--region %s: no load balancer has a geo map", region)
				}
				return fmt.Errorf("--region %s: no geo map names it; there are: %s", region, strings.Join(regions, ", "))
			}
			w, o := cmd.OutOrStdout(), m.WhatIf(failed, region)
			switch output {
			case "json":
				return render.WhatIfJSON(w, o)
			case "markdown":
				return render.WhatIfMarkdown(w, o)
			}
			return render.WhatIf(w, o, style(cmd, w))
		},
	}
	f.register(cmd)
	live.register(cmd)
	cmd.Flags().StringArrayVar(&down, "down", nil, "what fails, such as host/lb01, pool/osaka or site/tokyo (repeatable)")
	cmd.Flags().StringVar(&region, "region", "", "only for requests from there: a region, country or data center of a geo map")
	registerFormat(cmd, &output)
	_ = cmd.RegisterFlagCompletionFunc("down", completeComponents(f))
	_ = cmd.RegisterFlagCompletionFunc("region", completeRegions(f))
	return cmd
}

// completeRegions offers the keys of geo maps, as far as the specification can
// be read.
func completeRegions(f *specFlags) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		l, err := f.load(cmd.Context(), cmd.ErrOrStderr())
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		return topology.New(l.spec).Regions(), cobra.ShellCompDirectiveNoFileComp
	}
}
