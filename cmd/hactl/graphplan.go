package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/follow"
	"github.com/hactl/hactl/reconcile/render"
	"github.com/hactl/hactl/reconcile/topology"
	"github.com/hactl/hactl/reconcile/topology/draw"
	"github.com/hactl/hactl/schema"
)

// planned loads the specification and, if it is wanted, what it changes: the
// same plan as diff has. What stands in its way is told on stderr, too.
func (f *planFlags) planned(cmd *cobra.Command, plan bool) (*schema.Spec, *reconcile.Plan, error) {
	stderr := cmd.ErrOrStderr()
	if !plan {
		for _, flag := range []string{"target", "allow"} {
			if cmd.Flags().Changed(flag) {
				return nil, nil, fmt.Errorf("--%s goes with --plan", flag)
			}
		}
		l, err := f.spec.load(cmd.Context(), stderr)
		if err != nil {
			return nil, nil, err
		}
		return l.spec, nil, nil
	}
	_, round, err := f.plan(cmd.Context(), stderr, &render.Progress{W: stderr, Style: style(cmd, stderr)})
	if err != nil {
		return nil, nil, err
	}
	told := render.Clean{W: stderr}
	for _, v := range round.Plan.Violations {
		fmt.Fprintf(told, "refused: %s\n", follow.Describe([]reconcile.Violation{v}))
	}
	for _, c := range round.Plan.Conflicts {
		fmt.Fprintf(told, "conflict: %s %s\n", c.ID, c.Message)
	}
	return f.loaded, round.Plan, nil
}

// changed marks what a plan changes, what of it is in conflict and what the
// guard rails refuse, and returns the graph with the nodes that
// it does not have: what is deleted, and what no request meets.
func changed(marks draw.Marks, g *topology.Graph, spec *schema.Spec, p *reconcile.Plan) *topology.Graph {
	known := map[string]bool{}
	for _, n := range g.Nodes {
		known[n.ID] = true
	}
	steps := slices.Clone(p.Steps)
	for _, h := range p.Hosts {
		steps = append(steps, h.Steps...)
	}
	actions := map[string]map[schema.ID]reconcile.Action{} // by node; each object once
	for _, s := range steps {
		id := nodeOf(known, p, s.ID)
		if actions[id] == nil {
			actions[id] = map[schema.ID]reconcile.Action{}
		}
		actions[id][s.ID] = s.Action
	}
	g = &topology.Graph{Nodes: slices.Clone(g.Nodes), Edges: g.Edges}
	add := func(id string, m draw.Mark) {
		if !known[id] && len(marks[id]) == 0 {
			kind, name, _ := strings.Cut(id, "/")
			g.Nodes = append(g.Nodes, topology.Node{ID: id, Kind: kind, Name: name})
		}
		marks[id] = append(marks[id], m)
	}
	for _, id := range slices.Sorted(maps.Keys(actions)) {
		add(id, mark(actions[id], known[id], len(spec.VirtualRouters[strings.TrimPrefix(id, "virtualRouter/")].Members)))
	}
	for _, c := range p.Conflicts {
		add(nodeOf(known, p, c.ID), draw.Conflict)
	}
	for _, v := range p.Violations {
		switch {
		case v.ID.Name == "*": // Nobody knows of which.
		case v.ID != schema.ID{}:
			add(nodeOf(known, p, v.ID), draw.Refused)
		default: // Of the deletions as a whole.
			for _, s := range steps {
				if s.Action == reconcile.Delete {
					add(nodeOf(known, p, s.ID), draw.Refused)
				}
			}
		}
	}
	slices.SortFunc(g.Nodes, func(a, b topology.Node) int { return strings.Compare(a.ID, b.ID) })
	return g
}

// nodeOf is the node that shows an object. What each host has for itself is
// one node, a hook is part of its host, ingress rules of their tunnel.
func nodeOf(known map[string]bool, p *reconcile.Plan, id schema.ID) string {
	name, host := schema.HostOf(id)
	switch id.Kind {
	case schema.KindTunnelConfiguration:
		return "tunnel/" + name
	case schema.KindHook:
		return "host/" + host
	case schema.KindDNSRecord:
		if r, ok := p.Objects[id].(schema.DNSRecord); ok {
			name = r.Name
		}
		if hostname := "hostname/" + name; known[hostname] { // An ingress rule's.
			return hostname
		}
	}
	return string(id.Kind) + "/" + name
}

// mark is what the steps of one node come to. A node of the specification that
// loses or gains a part only is updated: a router that leaves one of its
// members, a tunnel whose ingress rules are new.
func mark(actions map[schema.ID]reconcile.Action, wanted bool, members int) draw.Mark {
	whole := draw.Mark("")
	for id, a := range actions {
		_, host := schema.HostOf(id)
		switch {
		case id.Kind == schema.KindTunnelConfiguration, id.Kind == schema.KindHook:
		case host != "" && wanted && (a == reconcile.Delete || a == reconcile.Create && id.Kind == schema.KindVirtualRouter && len(actions) < members):
		case whole == "" || whole == draw.Mark(a):
			whole = draw.Mark(a)
		default:
			return draw.Update
		}
	}
	return cmp.Or(whole, draw.Update)
}
