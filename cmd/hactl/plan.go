package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hactl/hactl/engines/host"
	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/loop"
	"github.com/hactl/hactl/reconcile/render"
	"github.com/hactl/hactl/schema"
)

// planFlags say what to plan and how to show it.
type planFlags struct {
	spec    specFlags
	edge    edgeFlags
	host    hostFlags
	ask     askFlags
	targets []string
	allow   []string
	output  string

	others bool         // asks other hosts what changes there
	loaded *schema.Spec // by plan
}

func (f *planFlags) register(cmd *cobra.Command) {
	f.registerPlan(cmd)
	cmd.Flags().StringVarP(&f.output, "output", "o", "text", "text, json or markdown")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json", "markdown"}, cobra.ShellCompDirectiveNoFileComp))
}

// registerPlan adds the flags that say what to plan, without a format.
func (f *planFlags) registerPlan(cmd *cobra.Command) {
	f.spec.register(cmd)
	f.edge.register(cmd)
	f.host.register(cmd)
	f.ask.register(cmd)
	cmd.Flags().StringArrayVar(&f.targets, "target", nil, "plan only this object, such as pool/tokyo, and what it needs (repeatable)")
	registerAllow(cmd, &f.allow)
}

// registerAllow adds the flag that lifts guard rails.
func registerAllow(cmd *cobra.Command, names *[]string) {
	rules := make([]string, 0, len(reconcile.Rules()))
	for _, r := range reconcile.Rules() {
		rules = append(rules, string(r))
	}
	cmd.Flags().StringSliceVar(names, "allow", nil, "guard rails to lift for this run: "+strings.Join(rules, ", "))
	_ = cmd.RegisterFlagCompletionFunc("allow", cobra.FixedCompletions(rules, cobra.ShellCompDirectiveNoFileComp))
}

func (f *planFlags) check() error {
	switch f.output {
	case "text", "json", "markdown":
	default:
		return fmt.Errorf("-o %s: want text, json or markdown", f.output)
	}
	_, err := f.allowed()
	return err
}

func (f *planFlags) allowed() ([]reconcile.Rule, error) { return allowedRules(f.allow) }

// allowedRules are the guard rails of these names.
func allowedRules(names []string) ([]reconcile.Rule, error) {
	var rules []reconcile.Rule
	for _, name := range names {
		if !slices.Contains(reconcile.Rules(), reconcile.Rule(name)) {
			return nil, fmt.Errorf("--allow %s: there is no such guard rail; want one of %v", name, reconcile.Rules())
		}
		rules = append(rules, reconcile.Rule(name))
	}
	return rules, nil
}

func (f *planFlags) ids() ([]schema.ID, error) {
	var ids []schema.ID
	for _, t := range f.targets {
		id, err := schema.ParseID(t)
		if err != nil {
			return nil, fmt.Errorf("--target: %w", err)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// plan loads the specification and plans.
func (f *planFlags) plan(ctx context.Context, stderr io.Writer, observer reconcile.Observer) (*loop.Loop, *loop.Round, error) {
	targets, err := f.ids()
	if err != nil {
		return nil, nil, err
	}
	allowed, err := f.allowed()
	if err != nil {
		return nil, nil, err
	}
	l, err := f.spec.load(ctx, stderr)
	if err != nil {
		return nil, nil, err
	}
	node, err := f.host.node(l.spec)
	if err != nil {
		return nil, nil, err
	}
	lp, err := f.engines(account(l.spec), len(l.spec.Objects()) > 0 || len(l.spec.Hosts) == 0, node, observer)
	if err != nil {
		return nil, nil, err
	}
	f.loaded = l.spec
	request := loop.Request{Spec: l.spec, Revision: l.tree.Revision, Targets: targets, Allowed: allowed}
	if node != nil {
		request.Host = node.Host
	}
	if f.others {
		if request.Hosts, err = f.askOthers(ctx, l.spec); err != nil {
			return nil, nil, err
		}
	}
	round, err := lp.Plan(ctx, request)
	if err != nil {
		return nil, nil, err
	}
	round.Plan.Account = account(l.spec)
	if f.others {
		round.Plan.Notices = append(round.Plan.Notices, f.unasked(l.spec)...)
	}
	return lp, round, nil
}

// engines are Cloudflare's, and this host's where it is one. Without a token
// and without an object there, Cloudflare is left out: a specification may be
// of hosts alone.
func (f *planFlags) engines(account string, edge bool, node *host.Node, observer reconcile.Observer) (*loop.Loop, error) {
	var lp *loop.Loop
	token, err := apiToken()
	if err != nil {
		return nil, err
	}
	if token == "" && !edge {
		dir, err := f.edge.stateDir()
		if err != nil {
			return nil, err
		}
		lp = &loop.Loop{Journal: loop.Directory{Path: dir, Account: "none"}, Observer: observer}
	} else if lp, _, err = f.edge.loop(account, observer); err != nil {
		return nil, err
	}
	if node != nil {
		lp.Engines = append(lp.Engines, node)
	}
	return lp, nil
}

// show writes a plan in the format that was asked for.
func (f *planFlags) show(cmd *cobra.Command, p *reconcile.Plan) error {
	w := cmd.OutOrStdout()
	switch f.output {
	case "json":
		return render.JSON(w, p)
	case "markdown":
		return render.Markdown(w, p)
	}
	return render.Text(w, p, style(cmd, w))
}

// unread tells whether part of what the plan is about could not be read.
func unread(p *reconcile.Plan) bool {
	for _, v := range p.Violations {
		if v.Rule == reconcile.RuleUnread {
			return true
		}
	}
	return false
}
