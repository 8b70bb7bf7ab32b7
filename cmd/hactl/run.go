package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/hactl/hactl/engines/host"
	"github.com/hactl/hactl/engines/host/agent"
	"github.com/hactl/hactl/engines/host/systemd"
	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/audit"
	"github.com/hactl/hactl/reconcile/follow"
	"github.com/hactl/hactl/reconcile/source"
	"github.com/hactl/hactl/schema"
)

func newRun() *cobra.Command {
	r := &runner{}
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run this host's Virtual Routers, and follow the specification",
		Long: `run starts the VRRP engine of this host, tries its health checks and runs its
hooks, as the specification has them, and follows every change of it. Where the
specification says that this host leads, it keeps Cloudflare as it is there.

A revision that is wrong, that nobody vouches for, that is older than what runs,
or that a guard rail refuses, changes nothing: all goes on as it was, and hactl
status says why. The last good one is on the disk: a host starts with it when
there is no Git, no DNS and no Cloudflare.

The engine is a process of its own. It outlives run: killed and started again,
run finds it and goes on.

SIGTERM, SIGINT   hand over, make before break, and end; a second one at once
SIGHUP            read the specification now, and judge it anew
SIGUSR2           start the binary anew, and the engine's too, without a
                  transition: after an upgrade

It needs CAP_NET_ADMIN and CAP_NET_RAW; CAP_SYS_NICE and CAP_IPC_LOCK keep its
timers exact on a busy host.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return r.run(cmd) },
	}
	r.register(cmd)
	return cmd
}

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

	began    time.Time
	log      *slog.Logger
	source   source.Source
	agent    *agent.Agent // nil for --host none
	machine  *machine     // nil for --host none
	follower *follow.Follower
	keeper   *follow.Keeper
	edges    *edges
	leaders  *leaders
	peers    *peers // nil for --host none
	serving  *serving
	events   *events
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
	allowed, err := allowedRules(r.allow)
	if err != nil {
		return err
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
	r.began = time.Now()
	r.events = newEvents(r)
	events := r.events
	if events.record, err = openAudit(state, r.host.name, func(err error) { r.log.Error("the record of changes", "err", err) }); err != nil {
		return err
	}
	o := follow.Options{
		Source: r.source, Origin: r.spec.origin(r.source), Trust: trust, Evaluate: r.evaluator(), Store: follow.File(state + "/last-good.json"),
		Pause: follow.Pause(state + "/suspended.json"), Allowed: allowed, Strict: len(r.trust.signers) > 0, Poll: r.poll, Build: host.Build(),
		Observe: events.follow, Accepted: r.accepted,
	}
	if r.host.name != noHost {
		r.peers = &peers{
			ask: askFlags{tokenFile: r.listen.tokenFile, caFile: r.agentCA}, host: r.hostName,
			good: func() *follow.Good { return r.follower.Good() }, present: func() *host.Config { return r.agent.Present() },
			tellHeld: func(router string, members []string) {
				r.log.Warn("a change that all members have to agree on waits for some that are behind", "group", router, "hosts", members)
			},
		}
		r.agent = agent.New(agent.Options{Dir: r.host.dir(), Log: r.log, Upgrade: true, External: r.external, OnEvent: events.engine, Behind: r.peers.holds})
		r.machine = &machine{flags: &r.host, agent: r.agent, log: r.log}
		o.Host = r.machine
	}
	if dir, ok := r.source.(*source.Dir); ok {
		o.Poll, o.Changes = 0, dir.Watch(ctx) // before the first look
	}
	r.edges = &edges{flags: &r.edge, observe: events.step}
	r.leaders = &leaders{host: r.hostName, dir: r.host.dir(), none: r.host.name == noHost, flags: &r.etcd, log: r.log, changes: events.leadership}
	r.follower = follow.New(o)
	r.keeper = follow.NewKeeper(follow.KeeperOptions{
		Edge: r.audited, Leader: r.leaders,
		Confirm:   func(ctx context.Context) error { return r.follower.Look(ctx, follow.Look{}) },
		Suspended: func() *follow.Suspension { return r.follower.State().Suspended },
		Changes:   events.leadership, Resync: r.resync, Allowed: allowed, Observe: events.follow,
	})
	if events.statuses, err = r.forge.outbox(r.spec.repo, r.log); err != nil {
		return err
	}
	webhook, err := r.forge.webhook(r.listen.address != "", r.spec.repo, r.spec.ref, r.follower.Trigger, r.log)
	if err != nil {
		return err
	}
	r.serving = newServing(r)
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

func (r *runner) run(cmd *cobra.Command) error {
	stderr := cmd.ErrOrStderr()
	// Signals are ours from here on: the first must not end what has to let go.
	ctx, cancel := context.WithCancel(context.WithoutCancel(cmd.Context()))
	defer cancel()
	end, look, renew := make(chan os.Signal, 4), make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(end, unix.SIGTERM, unix.SIGINT)
	signal.Notify(look, unix.SIGHUP)
	signal.Notify(renew, unix.SIGUSR2)
	if cmd.Context().Err() != nil {
		return nil // told to end before
	}
	manager := systemd.FromEnvironment()
	manager.Beat() // the first look may take its time
	working, stopWorking := context.WithCancel(ctx)
	defer stopWorking()
	if err := r.prepare(working, stderr); err != nil {
		return err
	}
	if going, err := r.first(working, end); err != nil || !going {
		return err
	}
	over := make(chan error, 1)
	var wg sync.WaitGroup
	if r.agent != nil {
		go func() { over <- r.agent.Run(ctx) }()
	}
	wg.Go(func() { r.follower.Run(working) })
	wg.Go(func() { r.keeper.Run(working); r.leaders.resign() })
	wg.Go(func() { r.watchDrift(working) })
	if r.peers != nil {
		wg.Go(func() { r.peers.run(working) })
	}
	telling, stopTelling := context.WithCancel(ctx)
	defer stopTelling()
	told := r.events.start(telling)
	if err := r.serving.start(working, &wg); err != nil {
		// What runs is more than what shows it: but a flag is wrong, and the
		// time to say so is the start.
		stopWorking()
		cancel()
		if r.agent != nil {
			<-over
		}
		return err
	}
	defer func() { stopTelling(); <-told }() // what has happened is told, to the end
	_ = manager.Tell(systemd.Ready)
	alive := manager.Ticks()
	for asked := 0; ; {
		select {
		case <-alive:
			manager.Beat()
		case <-look:
			go func() { _ = r.Sync(working, nil) }()
		case <-renew:
			if asked > 0 {
				continue
			}
			if ended, err := r.renew(ctx, func() { stopWorking(); wg.Wait(); stopTelling(); <-told; cancel() }, over); ended {
				return err
			} else if err != nil {
				r.log.Error("upgrade", "err", err)
			}
		case <-end:
			asked++
			_ = manager.Tell(systemd.Stopping)
			r.log.Info("terminating", "now", asked > 1)
			if asked == 1 {
				stopWorking()
				go r.finish(over, &wg)
			}
			r.letGo(ctx, cancel, asked > 1)
		case err := <-over:
			stopWorking()
			wg.Wait()
			return err
		}
	}
}

// finish ends a run that has no agent to wait for.
func (r *runner) finish(over chan<- error, wg *sync.WaitGroup) {
	if r.agent == nil {
		wg.Wait()
		over <- nil
	}
}

// letGo has the engine hand over.
func (r *runner) letGo(ctx context.Context, cancel func(), now bool) {
	if r.agent == nil {
		return
	}
	go func() {
		limited, done := context.WithTimeout(ctx, stopLimit)
		defer done()
		if err := r.agent.Stop(limited, now); err != nil {
			r.log.Error("the engine does not let go, and is left as it is", "err", err)
			cancel()
		}
	}()
}

// stopLimit is how long an engine may take to hear that it is to stop.
const stopLimit = 5 * time.Second

// first runs the last good specification and looks at the source once, until a
// signal ends it. What is wrong is an error only if nothing runs then: no last
// good one, and no engine. A repository that cannot be reached is waited for.
func (r *runner) first(ctx context.Context, end <-chan os.Signal) (going bool, err error) {
	if r.follower.Restore() {
		r.follower.Trigger()
		return true, nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	looked := make(chan error, 1)
	go func() { looked <- r.follower.Look(ctx, follow.Look{}) }()
	select {
	case err = <-looked:
	case <-end:
		return false, nil
	}
	if err == nil || errors.Is(err, follow.ErrSuspended) {
		return true, nil
	}
	_, directory := r.source.(*source.Dir)
	var refused *follow.RefusedError
	if !directory && !errors.As(err, &refused) {
		return true, nil
	}
	if r.agent != nil {
		if client, dial := host.Dial(ctx, r.host.dir()); dial == nil {
			client.Close()
			return true, nil
		}
	}
	if refused != nil && refused.Reason == follow.Invalid {
		return false, exitError // The problems have been printed.
	}
	return false, err
}

// Sync implements status.Control.
func (r *runner) Sync(ctx context.Context, allowed []reconcile.Rule) error {
	err := r.follower.Look(ctx, follow.Look{Anew: true, Allowed: allowed})
	r.keeper.Sync(allowed)
	return err
}

// Suspend implements status.Control.
func (r *runner) Suspend(until time.Time, reason string) error {
	if err := r.follower.Suspend(until, reason); err != nil {
		return err
	}
	r.keeper.Interrupt()
	return nil
}

// Resume implements status.Control.
func (r *runner) Resume() error {
	if err := r.follower.Resume(); err != nil {
		return err
	}
	r.keeper.Interrupt()
	return nil
}

// watchDrift looks from time to time whether the host is as it should be.
func (r *runner) watchDrift(ctx context.Context) {
	if r.machine == nil {
		return
	}
	for {
		select {
		case <-time.After(r.resync):
		case <-ctx.Done():
			return
		}
		if r.follower.State().Suspended == nil {
			r.machine.reconcile(ctx, r.follower.Good(), r.events.follow)
		}
	}
}

// renew replaces the engine's process, then our own, by what the binary is now.
// The engine goes on with its addresses and states; we find it again. It
// returns only with an error, and says whether the agent has ended.
func (r *runner) renew(ctx context.Context, finish func(), over <-chan error) (ended bool, err error) {
	path, err := os.Executable()
	if err != nil {
		return false, err
	}
	if r.agent != nil {
		if err := r.agent.UpgradeEngine(ctx, path); err != nil {
			return false, fmt.Errorf("the engine goes on as it is: %w", err)
		}
	}
	r.log.Info("start anew", "binary", path)
	finish()
	if r.agent != nil {
		<-over // hooks that run end before
	}
	// Until the next one has them in hand, these must not end it.
	signal.Ignore(unix.SIGHUP, unix.SIGUSR2)
	return true, host.Exec(path, os.Args, os.Environ())
}
