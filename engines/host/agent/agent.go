package agent

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/hactl/hactl/engines/host"
)

// Options say where and how an agent works.
type Options struct {
	Dir string // runtime directory, as /run/hactl
	Log *slog.Logger
	// Upgrade replaces the engine that is found first by this build, if it is of
	// another.
	Upgrade bool
	// OnEvent hears of every event of the engine, after it was logged, and must
	// not block; may be nil.
	OnEvent func(host.NumberedEvent)
	// Locked says that the caller has host.LockAgent's claim already.
	Locked bool
	// Behind is host.Supervisor's; may be nil.
	Behind func(router string) bool
	// Normal asks for ordinary scheduling and memory of the engine.
	Normal bool
	// External leaves starting and ending the engine to somebody else, such as a
	// service manager.
	External bool
	// Rehearse, if not nil, is asked in place of the world how a check does, and
	// no hook is run: for a lab, where a specification is drilled away from the
	// programs and addresses that it names.
	Rehearse func(check string) error
}

// Agent supervises an engine and does for it what takes time. Use New.
type Agent struct {
	log        *slog.Logger
	onEvent    func(host.NumberedEvent)
	locked     bool
	dir        string
	supervisor *host.Supervisor
	checks     *checks
	hooks      *hooks

	ctx      context.Context // of checks
	hookCtx  context.Context // outlives the former, so that what runs can end
	endHooks context.CancelFunc
	told     chan struct{} // there are results that the engine has not

	mu      sync.Mutex
	results map[string]host.Result
	present *host.Config // what the engine runs
}

// New makes an agent that does nothing before Run.
func New(o Options) *Agent {
	a := &Agent{log: o.Log, onEvent: o.OnEvent, locked: o.Locked, told: make(chan struct{}, 1), results: map[string]host.Result{}}
	a.supervisor = &host.Supervisor{
		Dir: o.Dir, Log: o.Log, Upgrade: o.Upgrade, Normal: o.Normal, External: o.External,
		Behind: o.Behind, OnEvent: a.hear, OnConfig: a.follow, OnAttach: a.attach,
	}
	a.checks = newChecks(a.found, o.Rehearse)
	a.hookCtx, a.endHooks = context.WithCancel(context.Background())
	a.dir = o.Dir
	a.hooks = newHooks(filepath.Join(o.Dir, "hooks.json"), o.Log, o.Rehearse != nil)
	return a
}

// Run works until ctx ends, which leaves the engine running, or until Stop has
// ended it. It returns when no check and no hook is under way. It is an error
// if no engine starts, or another agent works here.
func (a *Agent) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	a.ctx = ctx
	if !a.locked {
		unlock, err := host.LockAgent(a.dir)
		if err != nil {
			return err
		}
		defer unlock()
	}
	var wg sync.WaitGroup
	wg.Go(func() { a.pass(ctx) })
	err := a.supervisor.Run(ctx)
	if ctx.Err() != nil {
		err = nil
	}
	a.checks.set(ctx, "", nil, nil)
	a.hooks.wait()
	cancel()
	wg.Wait()
	return err
}

// Stop makes the engine let go of everything, make before break, and Run return;
// with now it waits neither for another router to take over nor for hooks. An
// external engine goes on.
func (a *Agent) Stop(ctx context.Context, now bool) error {
	if now {
		a.endHooks()
	}
	return a.supervisor.Stop(ctx, now)
}

// Shutdown ends whichever engine runs here, make before break, without Run.
func (a *Agent) Shutdown(ctx context.Context) error {
	client, err := host.Dial(ctx, a.dir)
	if err != nil {
		return err
	}
	defer client.Close()
	return client.Shutdown(ctx, false)
}

// Ask is how the engine is, and what it runs; an error if none answers.
func (a *Agent) Ask(ctx context.Context) (*host.Status, *host.Config, error) {
	client, err := host.Dial(ctx, a.dir)
	if err != nil {
		return nil, nil, err
	}
	defer client.Close()
	s, err := client.Status(ctx)
	if err != nil {
		return nil, nil, err
	}
	cfg, err := client.Config(ctx)
	return s, cfg, err
}

// UpgradeEngine replaces the engine's process by one of the binary at path,
// which goes on where it was.
func (a *Agent) UpgradeEngine(ctx context.Context, path string) error {
	client := a.supervisor.Client()
	if client == nil {
		return errors.New("there is no engine to upgrade")
	}
	return client.Upgrade(ctx, path)
}

// Configure makes a configuration wanted. An error is for one that no engine
// would take.
func (a *Agent) Configure(c host.Config) error { return a.supervisor.Configure(c) }

// Wanted is what the engine is to run: what Configure was given last, or what
// somebody else has configured since. Nil before either.
func (a *Agent) Wanted() *host.Config { return a.supervisor.Wanted() }

// Present is what the engine runs, as far as it was told or asked; nil before.
func (a *Agent) Present() *host.Config {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.present
}

// follow begins and ends checks as the engine's configuration has them.
func (a *Agent) follow(c host.Config) {
	a.mu.Lock()
	a.present = &c
	known := make(map[string]bool, len(a.results))
	for name, r := range a.results {
		if _, wanted := c.Checks[name]; !wanted {
			delete(a.results, name)
			continue
		}
		known[name] = r.OK
	}
	a.mu.Unlock()
	a.hooks.follow(a.hookCtx, c)
	a.checks.set(a.ctx, c.Host, c.Checks, known)
}

// attach takes over what an engine knows: results that a former agent found,
// and states that no hook has been told of.
func (a *Agent) attach(s host.Status) {
	a.mu.Lock()
	for name, r := range s.Checks {
		if _, newer := a.results[name]; !newer {
			a.results[name] = r
		}
	}
	a.mu.Unlock()
	for i := range s.Routers {
		if r := &s.Routers[i]; !r.Retiring {
			a.hooks.tell(a.hookCtx, transition{router: r.Name, to: r.State, cause: r.Cause, at: r.Since})
		}
	}
}

// found takes a check's result that is new.
func (a *Agent) found(name string, ok bool, detail string) {
	a.mu.Lock()
	a.results[name] = host.Result{OK: ok, Since: time.Now(), Detail: detail}
	a.mu.Unlock()
	if ok {
		a.log.Info("check passes", "check", name)
	} else {
		a.log.Warn("check fails", "check", name, "detail", detail)
	}
	select {
	case a.told <- struct{}{}:
	default:
	}
}

// pass gives results to the engine, all that are new in one go.
func (a *Agent) pass(ctx context.Context) {
	for {
		select {
		case <-a.told:
		case <-ctx.Done():
			return
		}
		a.mu.Lock()
		results := make(map[string]host.Result, len(a.results))
		for name, r := range a.results {
			results[name] = r
		}
		a.mu.Unlock()
		if err := a.supervisor.Results(ctx, results); err != nil && ctx.Err() == nil {
			// The supervisor tells them again once it has an engine.
			a.log.Debug("results", "err", err)
		}
	}
}

// hear logs an event and tells hooks of transitions.
func (a *Agent) hear(ev host.NumberedEvent) {
	var args []any
	for _, field := range []struct{ key, value string }{
		{"group", ev.Router}, {"link", ev.Link}, {"from", ev.From}, {"to", ev.To}, {"cause", ev.Cause},
		{"reason", ev.Reason}, {"note", ev.Note}, {"detail", ev.Detail},
	} {
		if field.value != "" {
			args = append(args, field.key, field.value)
		}
	}
	if ev.Source.IsValid() {
		args = append(args, "source", ev.Source)
	}
	if ev.Repeated > 0 {
		args = append(args, "repeated", ev.Repeated)
	}
	level := slog.LevelInfo
	if ev.Kind == "problem" || ev.Kind == "drop" {
		level = slog.LevelWarn
	}
	a.log.Log(context.Background(), level, ev.Kind, args...)
	if a.onEvent != nil {
		a.onEvent(ev)
	}
	if ev.Kind == "transition" {
		a.hooks.tell(a.hookCtx, transition{router: ev.Router, to: ev.To, cause: ev.Cause, at: ev.Time, retiring: ev.Retiring})
	}
}
