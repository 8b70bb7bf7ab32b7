package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/hactl/hactl/engines/host"
	"github.com/hactl/hactl/engines/host/systemd"
	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/follow"
	"github.com/hactl/hactl/reconcile/source"
)

func newRun() *cobra.Command {
	r := &runner{around: surroundings{secret: secret}}
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
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return r.run(cmd) },
	}
	r.register(cmd)
	return cmd
}

func (r *runner) run(cmd *cobra.Command) error {
	// Signals are ours from here on: the first must not end what has to let go.
	ctx := context.WithoutCancel(cmd.Context())
	told := commands{end: make(chan os.Signal, 4), look: make(chan os.Signal, 1), renew: make(chan os.Signal, 1)}
	signal.Notify(told.end, unix.SIGTERM, unix.SIGINT)
	signal.Notify(told.look, unix.SIGHUP)
	signal.Notify(told.renew, unix.SIGUSR2)
	if cmd.Context().Err() != nil {
		return nil // told to end before
	}
	return r.work(ctx, cmd.ErrOrStderr(), told)
}

// commands are the signals that an agent is told by.
type commands struct{ end, look, renew chan os.Signal }

// work is an agent's life, until it is told to end. Where ctx ends before, the
// engine goes on.
func (r *runner) work(ctx context.Context, stderr io.Writer, told commands) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	manager := systemd.FromEnvironment()
	manager.Beat() // the first look may take its time
	working, stopWorking := context.WithCancel(ctx)
	defer stopWorking()
	if err := r.prepare(working, stderr); err != nil {
		return err
	}
	release, err := r.claim() // before anything of what another one works with is touched
	if err != nil {
		return err
	}
	defer release()
	if going, err := r.first(working, told.end); err != nil || !going {
		return err
	}
	over := make(chan error, 1)
	var wg sync.WaitGroup
	if r.engine != nil {
		go func() { over <- r.engine.Run(ctx) }()
	}
	wg.Go(func() { r.follower.Run(working) })
	wg.Go(func() { r.keeper.Run(working); r.leaders.resign() })
	wg.Go(func() { r.watchDrift(working) })
	wg.Go(func() { r.heed(working, told.look) })
	if r.peers != nil {
		wg.Go(func() { r.peers.run(working) })
	}
	telling, stopTelling := context.WithCancel(ctx)
	defer stopTelling()
	toldAll := r.events.start(telling)
	r.serving.start(working, &wg)
	defer func() { stopTelling(); <-toldAll }() // what has happened is told, to the end
	_ = manager.Tell(systemd.Ready)
	alive := manager.Ticks()
	for asked := 0; ; {
		select {
		case <-alive:
			manager.Beat()
		case <-told.renew:
			if asked > 0 {
				continue
			}
			if ended, err := r.renew(ctx, func() { stopWorking(); wg.Wait(); stopTelling(); <-toldAll; cancel() }, over, told.end); ended {
				return err
			} else if err != nil {
				r.log.Error("upgrade", "err", err)
			}
		case <-told.end:
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
		case <-ctx.Done():
			stopWorking()
			wg.Wait()
			if r.engine != nil {
				return <-over
			}
			return nil
		}
	}
}

// heed looks anew at each SIGHUP; those that come meanwhile are one.
func (r *runner) heed(ctx context.Context, look <-chan os.Signal) {
	for {
		select {
		case <-look:
			_ = r.Sync(ctx, nil)
		case <-ctx.Done():
			return
		}
	}
}

// claim makes this the only agent of its runtime and state directories.
func (r *runner) claim() (release func(), err error) {
	unlock := func() {}
	if r.engine != nil {
		unlock, err = host.LockAgent(r.host.dir())
		switch {
		case errors.Is(err, fs.ErrPermission):
			return nil, fmt.Errorf("%w: Virtual Routers are root's to run, or the units' that hactl install makes", err)
		case err != nil:
			return nil, err
		}
	}
	state, err := r.edge.stateDir()
	if err != nil {
		return nil, err
	}
	free, busy, err := lockState(state)
	switch {
	case busy:
		unlock()
		return nil, err
	case err != nil:
		r.checked(func() error { return err })
		free = func() {}
	}
	return func() { free(); unlock() }, nil
}

// lockState claims a state directory; what cannot be written needs no claim.
func lockState(dir string) (unlock func(), busy bool, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, false, fmt.Errorf("state directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "run.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, false, fmt.Errorf("state directory: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, true, fmt.Errorf("another hactl run works with the state directory %s", dir)
	}
	return func() { _ = f.Close() }, false, nil
}

// finish ends a run that has no agent to wait for.
func (r *runner) finish(over chan<- error, wg *sync.WaitGroup) {
	if r.engine == nil {
		wg.Wait()
		over <- nil
	}
}

// letGo has the engine hand over.
func (r *runner) letGo(ctx context.Context, cancel func(), now bool) {
	if r.engine == nil {
		return
	}
	go func() {
		limited, done := context.WithTimeout(ctx, stopLimit)
		defer done()
		if err := r.engine.Stop(limited, now); err != nil {
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
	restored := r.follower.Restore()
	problems := r.problems()
	for _, p := range problems {
		r.log.Error("part of this does not work", "err", p)
	}
	if restored {
		r.follower.Trigger()
		return true, nil
	}
	if len(problems) > 0 { // Nothing depends on us yet: the time to say so.
		return false, errors.New(strings.Join(problems, "; "))
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	looked := make(chan error, 1)
	go func() { looked <- r.follower.Look(ctx, follow.Look{}) }()
	select {
	case err = <-looked:
	case <-end:
		if r.engine != nil {
			if _, _, absent := r.engine.Ask(ctx); absent == nil {
				return false, r.endEngine(ctx) // which a former agent left
			}
		}
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
	if r.engine != nil {
		if _, _, absent := r.engine.Ask(ctx); absent == nil {
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
	if err := r.follower.Look(ctx, follow.Look{Anew: true, Allowed: allowed}); err != nil {
		r.keeper.Sync(nil) // What was allowed was allowed for what has failed.
		return err
	}
	r.keeper.Sync(allowed)
	return nil
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
func (r *runner) renew(ctx context.Context, finish func(), over <-chan error, end <-chan os.Signal) (ended bool, err error) {
	path, err := os.Executable()
	if err != nil {
		return false, err
	}
	if r.engine != nil {
		if err := r.engine.UpgradeEngine(ctx, path); err != nil {
			return false, fmt.Errorf("the engine goes on as it is: %w", err)
		}
	}
	r.log.Info("start anew", "binary", path)
	finish()
	if r.engine != nil {
		<-over // hooks that run end before
	}
	select {
	case <-end: // Told to end meanwhile: the engine lets go, unless it is not ours.
		return true, r.endEngine(ctx)
	default:
	}
	// Until the next one has them in hand, these must not end it.
	signal.Ignore(unix.SIGHUP, unix.SIGUSR2)
	return true, host.Exec(path, os.Args, os.Environ())
}

// endEngine has the engine hand over, without an agent.
func (r *runner) endEngine(ctx context.Context) error {
	if r.engine == nil || r.external {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
	defer cancel()
	return r.engine.Shutdown(ctx)
}
