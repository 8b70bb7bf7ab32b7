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
	"reflect"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/hactl/hactl/engines/host"
	"github.com/hactl/hactl/engines/host/agent"
	"github.com/hactl/hactl/engines/host/systemd"
	"github.com/hactl/hactl/reconcile/source"
	"github.com/hactl/hactl/schema"
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
	cmd.Flags().BoolVar(&r.external, "external-engine", false, "wait for an engine that somebody else starts and ends, such as hactl-engine.service")
	cmd.Flags().DurationVar(&r.poll, "poll", time.Minute, "how often to look for a change of a repository")
	return cmd
}

// runner is one run of hactl run.
type runner struct {
	spec specFlags
	host hostFlags
	poll time.Duration

	external bool // the engine is a unit of its own

	log    *slog.Logger
	agent  *agent.Agent
	source source.Source

	// What read knows; one read at a time.
	known    string          // revision that was judged last
	objects  []schema.Object // of this host, of the revision that is wanted
	wanted   host.Config
	hostName string
}

func (r *runner) run(cmd *cobra.Command) error {
	stderr := cmd.ErrOrStderr()
	r.log = slog.New(slog.NewTextHandler(stderr, nil))
	if r.poll < time.Second {
		return fmt.Errorf("--poll %s: at least 1s", r.poll)
	}
	if r.host.name == noHost {
		return errors.New("--host none: there is nothing to run")
	}
	var err error
	if r.source, err = r.spec.source(); err != nil {
		return err
	}
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
	reading, stopReading := context.WithCancel(ctx)
	defer stopReading()
	changes := r.changes(reading) // before the first look
	r.agent = agent.New(agent.Options{Dir: r.host.dir(), Log: r.log, Upgrade: true, External: r.external})
	manager := systemd.FromEnvironment()
	manager.Beat() // the first look may take its time

	first, err := r.first(reading, stderr, end)
	if err != nil || !first {
		return err
	}
	over := make(chan error, 1)
	go func() { over <- r.agent.Run(ctx) }()
	go r.follow(reading, stderr, changes, look)
	_ = manager.Tell(systemd.Ready)
	alive := manager.Ticks()
	for asked := 0; ; {
		select {
		case <-alive:
			manager.Beat()
		case <-renew:
			if asked == 0 {
				if ended, err := r.renew(ctx, cancel, over); ended {
					return err
				} else if err != nil {
					r.log.Error("upgrade", "err", err)
				}
			}
		case <-end:
			stopReading()
			asked++
			_ = manager.Tell(systemd.Stopping)
			r.log.Info("terminating", "now", asked > 1)
			go func() {
				limited, done := context.WithTimeout(ctx, stopLimit)
				defer done()
				if err := r.agent.Stop(limited, asked > 1); err != nil {
					r.log.Error("the engine does not let go, and is left as it is", "err", err)
					cancel()
				}
			}()
		case err := <-over:
			return err
		}
	}
}

// stopLimit is how long an engine may take to hear that it is to stop.
const stopLimit = 5 * time.Second

// first reads the specification once, until a signal ends it. What is wrong with
// it is an error only while no engine runs here: one that does goes on. A
// repository that cannot be reached is waited for.
func (r *runner) first(ctx context.Context, stderr io.Writer, end <-chan os.Signal) (going bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	read := make(chan error, 1)
	go func() { read <- r.read(ctx, stderr) }()
	select {
	case err = <-read:
	case <-end:
		return false, nil
	}
	if err == nil {
		return true, nil
	}
	_, directory := r.source.(*source.Dir)
	client, dialErr := host.Dial(ctx, r.host.dir())
	if dialErr == nil {
		client.Close()
	}
	var unfetched *fetchError
	if dialErr != nil && (directory || !errors.As(err, &unfetched)) {
		return false, err
	}
	r.report(err)
	return true, nil
}

// follow reads again whenever it may be worth it.
func (r *runner) follow(ctx context.Context, stderr io.Writer, changes <-chan struct{}, look <-chan os.Signal) {
	last := ""
	for {
		select {
		case <-look:
			r.known, last = "", ""
		case _, more := <-changes:
			if !more {
				return
			}
		case <-ctx.Done():
			return
		}
		err := r.read(ctx, stderr)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			last = ""
		case r.known+err.Error() != last: // once is enough for what is tried again and again
			last = r.known + err.Error()
			r.report(err)
		}
	}
}

// fetchError is a specification that could not be had at all.
type fetchError struct{ error }

func (e *fetchError) Unwrap() error { return e.error }

func (r *runner) report(err error) {
	log := r.log.With("runs", r.wanted.Revision)
	var code exitCode
	var unfetched *fetchError
	switch {
	case errors.As(err, &unfetched):
		log.Error("the specification cannot be read, and all goes on as it was", "err", err)
	case errors.As(err, &code):
		log.Error("the specification is refused, and nothing was changed", "revision", r.known)
	default:
		log.Error("the specification is refused, and nothing was changed", "err", err)
	}
}

// read loads the specification, unless it is the one that was judged last, and
// makes this host's part of it wanted. Secrets are looked up each time: they
// change without it.
func (r *runner) read(ctx context.Context, stderr io.Writer) error {
	candidate, err := r.source.Fetch(ctx, r.known)
	switch {
	case errors.Is(err, source.ErrUnchanged) && r.hostName == "":
		return nil
	case errors.Is(err, source.ErrUnchanged):
		return r.want(r.known)
	case err != nil:
		return &fetchError{err}
	}
	var problems bytes.Buffer
	l, err := r.spec.evaluate(ctx, candidate, &problems)
	_, _ = io.Copy(stderr, &problems)
	var code exitCode
	if err == nil || errors.As(err, &code) {
		r.known = candidate.Revision // anything else may end otherwise next time
	}
	if err != nil {
		return err
	}
	if l.spec.Empty() && (l.spec.Policy == nil || !l.spec.Policy.AllowEmpty) {
		return errors.New("it is empty, which would end everything; policy: allowEmpty: true says that it is meant")
	}
	name := r.hostName
	if _, stays := l.spec.Hosts[name]; !stays && name == "" {
		if name, err = r.host.find(l.spec); err != nil {
			return err
		}
		if name == "" {
			return fmt.Errorf("nothing says which of its hosts this machine is: pass --host; there are %s", hostNames(l.spec))
		}
	}
	// A host that was taken out of the specification has nothing to run.
	r.hostName, r.objects = name, l.spec.HostObjects(name)
	return r.want(candidate.Revision)
}

// want makes the objects of this host wanted, where that is new.
func (r *runner) want(revision string) error {
	cfg, err := host.NewConfig(r.hostName, revision, r.objects, secret)
	if err != nil || reflect.DeepEqual(cfg, r.wanted) {
		return err
	}
	if err := r.agent.Configure(cfg); err != nil {
		return err
	}
	r.wanted = cfg
	r.log.Info("specification", "revision", revision, "host", r.hostName, "groups", len(cfg.Routers), "checks", len(cfg.Checks), "hooks", len(cfg.Hooks))
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
// The engine goes on with its addresses and states; we find it again. It
// returns only with an error, and says whether the agent has ended.
func (r *runner) renew(ctx context.Context, cancel func(), over <-chan error) (ended bool, err error) {
	path, err := os.Executable()
	if err != nil {
		return false, err
	}
	if err := r.agent.UpgradeEngine(ctx, path); err != nil {
		return false, fmt.Errorf("the engine goes on as it is: %w", err)
	}
	r.log.Info("start anew", "binary", path)
	cancel()
	<-over // hooks that run end before
	// Until the next one has them in hand, these must not end it.
	signal.Ignore(unix.SIGHUP, unix.SIGUSR2)
	return true, host.Exec(path, os.Args, os.Environ())
}
