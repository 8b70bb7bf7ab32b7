package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/hactl/hactl/engines/host"
	"github.com/hactl/hactl/engines/host/agent"
	"github.com/hactl/hactl/reconcile/source"
)

func newRun() *cobra.Command {
	r := &runner{}
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run this host's Virtual Routers, and follow the specification",
		Long: `run starts the VRRP engine of this host, tries its health checks and runs its
hooks, as the specification has them, and follows every change of it. One that
is wrong changes nothing: what is wrong is logged, and all goes on as it was.

The engine is a process of its own. It outlives run: killed and started again,
run finds it and goes on.

SIGTERM, SIGINT   hand over, make before break, and end; a second one at once
SIGHUP            read the specification now
SIGUSR2           start the binary anew, and the engine's too, without a
                  transition: after an upgrade

It needs CAP_NET_ADMIN and CAP_NET_RAW; CAP_SYS_NICE and CAP_IPC_LOCK keep its
timers exact on a busy host.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return r.run(cmd) },
	}
	r.spec.register(cmd)
	r.host.register(cmd)
	cmd.Flags().DurationVar(&r.poll, "poll", time.Minute, "how often to look for a change of a repository")
	return cmd
}

// runner is one run of hactl run.
type runner struct {
	spec specFlags
	host hostFlags
	poll time.Duration

	log      *slog.Logger
	agent    *agent.Agent
	source   source.Source
	known    string // revision that was looked at last
	running  string // revision that runs
	hostName string
}

func (r *runner) run(cmd *cobra.Command) error {
	stderr := cmd.ErrOrStderr()
	r.log = slog.New(slog.NewTextHandler(stderr, nil))
	if r.poll < time.Second {
		return fmt.Errorf("--poll %s: at least 1s", r.poll)
	}
	var err error
	if r.source, err = r.spec.source(); err != nil {
		return err
	}
	// Signals are ours here: the first must not end what has to let go.
	ctx, cancel := context.WithCancel(context.WithoutCancel(cmd.Context()))
	defer cancel()
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGUSR2)
	defer signal.Stop(signals)

	changes := r.changes(ctx) // before the first look
	r.agent = agent.New(agent.Options{Dir: r.host.dir(), Log: r.log, Upgrade: true})
	if err := r.first(ctx, stderr); err != nil {
		return err
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		r.agent.Run(ctx)
	}()
	stopping := false
	for {
		select {
		case _, more := <-changes:
			switch {
			case !more:
				changes = nil
			case !stopping:
				r.follow(ctx, stderr)
			}
		case s := <-signals:
			switch s {
			case unix.SIGHUP:
				r.known = ""
				r.follow(ctx, stderr)
			case unix.SIGUSR2:
				if err := r.renew(ctx); err != nil {
					r.log.Error("upgrade", "err", err)
				}
			default:
				r.log.Info("terminating", "now", stopping)
				if err := r.agent.Stop(ctx, stopping); err != nil {
					r.log.Warn("stop", "err", err)
					cancel()
				}
				stopping = true
			}
		case <-over:
			return nil
		}
	}
}

// first reads the specification once. What is wrong with it is an error only
// while no engine runs here: one that does goes on.
func (r *runner) first(ctx context.Context, stderr io.Writer) error {
	err := r.read(ctx, stderr)
	if err == nil {
		return nil
	}
	client, dialErr := host.Dial(ctx, r.host.dir())
	if dialErr != nil {
		return err
	}
	client.Close()
	r.report(err)
	return nil
}

// follow takes over a change; what is wrong with it is logged.
func (r *runner) follow(ctx context.Context, stderr io.Writer) {
	if err := r.read(ctx, stderr); err != nil {
		r.report(err)
	}
}

func (r *runner) report(err error) {
	var code exitCode
	if errors.As(err, &code) {
		r.log.Error("the specification is refused, and nothing was changed", "revision", r.known, "runs", r.running)
		return
	}
	r.log.Error("the specification is refused, and nothing was changed", "err", err, "revision", r.known, "runs", r.running)
}

// read loads the specification, unless it is the one that was looked at last,
// and makes this host's part of it wanted.
func (r *runner) read(ctx context.Context, stderr io.Writer) error {
	candidate, err := r.source.Fetch(ctx, r.known)
	if errors.Is(err, source.ErrUnchanged) {
		return nil
	}
	if err != nil {
		return err
	}
	r.known = candidate.Revision
	var problems bytes.Buffer
	l, err := r.spec.evaluate(ctx, candidate, &problems)
	for line := range strings.Lines(problems.String()) {
		fmt.Fprint(stderr, line)
	}
	if err != nil {
		return err
	}
	if l.spec.Empty() && (l.spec.Policy == nil || !l.spec.Policy.AllowEmpty) {
		return errors.New("it is empty, which would end everything; policy: allowEmpty: true says that it is meant")
	}
	name, err := r.host.find(l.spec)
	if err != nil {
		return err
	}
	switch {
	case name == "" && r.hostName == "":
		return fmt.Errorf("nothing says which of its hosts this machine is: pass --host; there are %s", hostNames(l.spec))
	case name == "": // Taken out of the specification: it lets go.
		name = r.hostName
	}
	cfg, err := host.NewConfig(name, candidate.Revision, l.spec.HostObjects(name), secret)
	if err != nil {
		return err
	}
	if err := r.agent.Configure(cfg); err != nil {
		return err
	}
	r.hostName, r.running = name, candidate.Revision
	r.log.Info("specification", "revision", candidate.Revision, "host", name, "groups", len(cfg.Routers), "checks", len(cfg.Checks), "hooks", len(cfg.Hooks))
	return nil
}

// changes says when to look: for a directory when it changes, for a repository
// from time to time, each host at its own.
func (r *runner) changes(ctx context.Context) <-chan struct{} {
	if dir, ok := r.source.(*source.Dir); ok {
		return dir.Watch(ctx)
	}
	c := make(chan struct{})
	go func() {
		for {
			select {
			case <-time.After(r.poll*9/10 + rand.N(r.poll/5)):
			case <-ctx.Done():
				return
			}
			select {
			case c <- struct{}{}:
			case <-ctx.Done():
				return
			}
		}
	}()
	return c
}

// renew replaces the engine's process, then our own, by what the binary is now.
// The engine goes on with its addresses and states; we find it again.
func (r *runner) renew(ctx context.Context) error {
	path, err := os.Executable()
	if err != nil {
		return err
	}
	if err := r.agent.UpgradeEngine(ctx, path); err != nil {
		return fmt.Errorf("the engine goes on as it is: %w", err)
	}
	r.log.Info("start anew", "binary", path)
	return syscall.Exec(path, os.Args, os.Environ())
}
