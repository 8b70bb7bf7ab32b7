package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/hactl/hactl/engines/host"
	"github.com/hactl/hactl/engines/host/agent"
	"github.com/hactl/hactl/reconcile/audit"
	"github.com/hactl/hactl/reconcile/follow"
	"github.com/hactl/hactl/reconcile/source"
	"github.com/hactl/hactl/schema"
)

// runner is one run of hactl run.
type runner struct {
	spec   specFlags
	edge   edgeFlags
	host   hostFlags
	listen listenFlags
	trust  trustFlags
	forge  forgeFlags
	etcd   etcdFlags
	poll   time.Duration
	resync time.Duration
	allow  []string
	format string
	// agentCA is what certificate other hosts' agents are believed by.
	agentCA string

	external bool // the engine is a unit of its own

	// lab is the directory of the lab that around is of, "" for the world.
	lab    string
	around surroundings

	began    time.Time
	log      *slog.Logger
	source   source.Source
	engine   vrrpEngine // nil for --host none
	machine  *machine   // nil for --host none
	follower *follow.Follower
	keeper   *follow.Keeper
	edges    *edges
	leaders  *leaders
	peers    *peers // nil for --host none
	serving  *serving
	events   *events
	// checks find what keeps part of the agent from working, now; what they find
	// keeps nothing else from it.
	checks []func() error
}

// checked adds a check, and runs it.
func (r *runner) checked(check func() error) { r.checks = append(r.checks, check) }

// problems are what the checks find now.
func (r *runner) problems() (found []string) {
	for _, check := range r.checks {
		if err := check(); err != nil {
			found = append(found, err.Error())
		}
	}
	return found
}

func (r *runner) register(cmd *cobra.Command) {
	r.spec.register(cmd)
	r.edge.register(cmd)
	r.host.register(cmd)
	r.listen.register(cmd)
	r.trust.register(cmd)
	r.forge.register(cmd)
	r.etcd.register(cmd)
	registerAllow(cmd, &r.allow)
	cmd.Flags().BoolVar(&r.external, "external-engine", false, "wait for an engine that somebody else starts and ends, such as hactl-engine.service")
	cmd.Flags().DurationVar(&r.poll, "poll", time.Minute, "how often to look for a change of a repository, give or take a tenth")
	cmd.Flags().DurationVar(&r.resync, "resync", 5*time.Minute, "how often to look for drift, at the edge and on this host")
	cmd.Flags().StringVar(&r.agentCA, "agent-ca-file", os.Getenv("HACTL_AGENT_CA_FILE"), "certificate authority of the other hosts' agents, in PEM, which are asked before what all have to agree on changes (default: HACTL_AGENT_CA_FILE, else the system's)")
	cmd.Flags().StringVar(&r.format, "log", "text", "log as text or json")
	cmd.Flags().StringVar(&r.lab, "lab", "", "directory of the lab that this is an agent of (hactl demo)")
	_ = cmd.Flags().MarkHidden("lab")
	_ = cmd.RegisterFlagCompletionFunc("log", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
}

// prepare checks the flags and builds everything; but for the watch of a
// directory, until ctx ends, nothing runs yet.
func (r *runner) prepare(ctx context.Context, stderr io.Writer) error {
	switch r.format {
	case "text":
		r.log = slog.New(slog.NewTextHandler(stderr, nil))
	case "json":
		r.log = slog.New(slog.NewJSONHandler(stderr, nil))
	default:
		return fmt.Errorf("--log %s: want text or json", r.format)
	}
	for name, d := range map[string]time.Duration{"poll": r.poll, "resync": r.resync} {
		if d < time.Second {
			return fmt.Errorf("--%s %s: at least 1s", name, d)
		}
	}
	if r.lab != "" {
		engine := r.around.engine
		r.around = labSurroundings(r.lab)
		r.around.engine = engine
	}
	allowed, err := allowedRules(r.allow)
	if err != nil {
		return err
	}
	if r.edge.budget < 1 {
		return fmt.Errorf("--budget %d: at least 1", r.edge.budget)
	}
	if r.source, err = r.spec.source(); err != nil {
		return err
	}
	trust, err := r.trust.trust(r.source)
	if err != nil {
		return err
	}
	state, err := r.edge.stateDir()
	if err != nil {
		return err
	}
	if err := r.listen.check(); err != nil {
		return err
	}
	r.checked(r.listen.files)
	if s, ok := trust.(*signedBy); ok {
		r.checked(func() error { _, err := s.keys(); return err })
	}
	r.edge.secret = r.around.secret
	r.began = time.Now()
	r.events = newEvents(r)
	events := r.events
	record, recordErr := openAudit(state, r.host.name, func(err error) { r.log.Error("the record of changes", "err", err) })
	events.record = record
	r.checked(func() error { return recordErr })
	o := follow.Options{
		Source: r.source, Origin: r.spec.origin(r.source), Trust: trust, Evaluate: r.evaluator(), Store: follow.File(state + "/last-good.json"),
		Pause: follow.Pause(state + "/suspended.json"), Allowed: allowed, Strict: len(r.trust.signers) > 0, Poll: r.poll, Build: host.Build(),
		Observe: events.follow, Accepted: r.accepted,
	}
	if r.host.name != noHost {
		r.peers = &peers{
			ask: askFlags{tokenFile: r.listen.tokenFile, caFile: r.agentCA}, host: r.hostName,
			good: func() *follow.Good { return r.follower.Good() }, present: func() *host.Config { return r.engine.Present() },
			tellHeld: func(router string, members []string) {
				r.log.Warn("a change that all members have to agree on waits for some that are behind", "group", router, "hosts", members)
			},
		}
		r.engine = r.around.engine
		if r.engine == nil {
			r.engine = agent.New(agent.Options{
				Dir: r.host.dir(), Log: r.log, Upgrade: true, External: r.external, Locked: true, OnEvent: events.engine, Behind: r.peers.holds,
				Rehearse: r.around.check,
			})
		}
		r.machine = newMachine(&r.host, r.engine, r.around.secret, filepath.Join(state, "host"), r.log)
		r.checked(r.machine.problem)
		o.Host = r.machine
	}
	if dir, ok := r.source.(*source.Dir); ok {
		o.Changes = dir.Watch(ctx) // before the first look; polled too, for secrets
	}
	r.edges = &edges{flags: &r.edge, observe: events.step}
	r.leaders = &leaders{host: r.hostName, ask: r.askEngine, none: r.host.name == noHost, flags: &r.etcd, log: r.log, changes: events.leadership}
	r.follower = follow.New(o)
	r.keeper = follow.NewKeeper(follow.KeeperOptions{
		Edge: r.audited, Leader: r.leaders,
		Confirm:   func(ctx context.Context) error { return r.follower.Look(ctx, follow.Look{}) },
		Suspended: func() *follow.Suspension { return r.follower.State().Suspended },
		Changes:   events.leadership, Resync: r.resync, Allowed: allowed, Health: r.edges.health, Observe: events.follow,
	})
	if events.statuses, err = r.forge.outbox(r.spec.repo, r.log); err != nil {
		return err
	}
	r.checked(r.forge.files)
	webhook, err := r.forge.webhook(r.listen.address != "", r.spec.repo, r.spec.ref, r.follower.Trigger, r.log)
	if err != nil {
		return err
	}
	r.serving = newServing(r)
	r.checked(r.serving.problem)
	if webhook != nil {
		r.serving.server.Webhook = webhook
	}
	events.metrics = r.serving.metrics
	return nil
}

// audited is the edge of a specification, with a record of what is done there.
func (r *runner) audited(spec *schema.Spec) (follow.Edge, error) {
	edge, err := r.edges.of(spec)
	if err != nil {
		return nil, err
	}
	return audited{Edge: edge, log: r.events.record, run: audit.Run{Origin: audit.FromRun, Who: r.follower.State().Signer}}, nil
}

// accepted hears of every revision that runs.
func (r *runner) accepted(g *follow.Good) {
	r.events.notifier.Configure(g.Spec.Notifications)
	r.keeper.Want(g)
}

// hostName is this machine in the specification that runs, "" before one does.
func (r *runner) hostName() string {
	if r.machine == nil {
		return ""
	}
	return r.machine.name()
}
