package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hactl/hactl/reconcile/loop"
	"github.com/hactl/hactl/reconcile/topology"
	"github.com/hactl/hactl/reconcile/topology/draw"
)

var graphFormats = []string{"svg", "mermaid", "dot"}

func newGraph() *cobra.Command {
	f := &planFlags{others: true}
	var down []string
	var output, out string
	var plan, live bool
	cmd := &cobra.Command{
		Use:   "graph",
		Short: "Draw how requests go",
		Long: `graph draws the way of requests from every entry point (hostnames, balancers,
private networks, Virtual Routers) over pools, origins, tunnels and connectors to
the hosts that answer, and what watches them.

--down marks what fails, and greys what nobody serves then: what can fail is as
in hactl whatif.

--plan marks what hactl diff would show: what changes, what is in conflict and
what the guard rails refuse, and adds what is deleted. --live marks
how things are now: what is down and cut off by that, what is healthy and what is
not, and who is the Active router; what cannot be asked is told on standard error.
Only with those are Cloudflare and the hosts asked; nothing is changed.

Exit code: 1 error, or with --plan when part of it could not be read, else 0.`,
		Example: `  hactl graph --out topology.svg
  hactl graph --down site/tokyo -o mermaid
  hactl graph --plan --out change.svg
  hactl graph --live --out now.svg`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !slices.Contains(graphFormats, output) {
				return fmt.Errorf("-o %s: want svg, mermaid or dot", output)
			}
			spec, p, err := f.planned(cmd, plan)
			if err != nil {
				return err
			}
			m, err := (&liveFlags{on: live, host: f.host, ask: f.ask}).model(cmd.Context(), spec)
			if err != nil {
				return err
			}
			sayUnknown(cmd, m)
			failed, err := lookup(m, down)
			if err != nil {
				return err
			}
			g, marks := m.Graph(), draw.Marks{}
			lost(marks, m, failed)
			marks.AddConditions(m.Conditions())
			if p != nil {
				g = changed(marks, g, spec, p)
			}
			if err := writeGraph(cmd, output, out, g, marks, spec.Stack); err != nil {
				return err
			}
			if p != nil && unread(p) {
				return exitError
			}
			return nil
		},
	}
	f.registerPlan(cmd)
	flags := cmd.Flags()
	registerLive(cmd, &live)
	flags.BoolVar(&plan, "plan", false, "mark what would change, as hactl diff finds it")
	flags.StringArrayVar(&down, "down", nil, "what fails, such as host/lb01, pool/osaka or site/tokyo (repeatable)")
	flags.StringVarP(&output, "output", "o", "svg", "svg, mermaid or dot")
	flags.StringVar(&out, "out", "", "write to this file")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(graphFormats, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("down", completeComponents(&f.spec))
	return cmd
}

// lookup finds what --down names.
func lookup(m *topology.Model, names []string) ([]topology.Component, error) {
	failed := make([]topology.Component, 0, len(names))
	for _, name := range names {
		c, err := m.Lookup(name)
		if err != nil {
			return nil, fmt.Errorf("--down: %w", err)
		}
		failed = append(failed, c)
	}
	return failed, nil
}

// completeComponents offers what can fail, as far as the specification can be
// read.
func completeComponents(f *specFlags) cobra.CompletionFunc {
	return func(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
		l, err := f.load(cmd.Context(), cmd.ErrOrStderr())
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		var names []string
		for _, c := range topology.New(l.spec).Components() {
			if s := c.String(); strings.HasPrefix(s, typed) {
				names = append(names, s)
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// lost marks what failed and what it cuts off.
func lost(marks draw.Marks, m *topology.Model, failed []topology.Component) {
	if p := m.Present(); p != nil {
		failed = slices.Concat(failed, p.Down)
	}
	for _, c := range failed {
		marks[c.String()] = append(marks[c.String()], draw.Down)
	}
	for _, id := range m.Lost(failed...) {
		if !slices.Contains(marks[id], draw.Down) {
			marks[id] = append(marks[id], draw.Cut)
		}
	}
}

func writeGraph(cmd *cobra.Command, format, out string, g *topology.Graph, marks draw.Marks, stack string) error {
	o := draw.Options{Title: "Topology of " + cmp.Or(stack, "the specification"), Standalone: true}
	var b []byte
	switch format {
	case "mermaid":
		b = draw.Mermaid(g, marks, o)
		if much := draw.TooMuchForMermaid(g, marks, b); much != "" {
			fmt.Fprintf(cmd.ErrOrStderr(), "hactl: %s: -o svg and -o dot have no limit\n", much)
		}
	case "dot":
		b = draw.DOT(g, marks, o)
	default:
		b = draw.SVG(g, marks, o)
	}
	if out == "" {
		_, err := cmd.OutOrStdout().Write(b)
		return err
	}
	if err := loop.ReplaceFile(out, b, 0o644); err != nil {
		return fmt.Errorf("write the graph: %w", err)
	}
	return nil
}
