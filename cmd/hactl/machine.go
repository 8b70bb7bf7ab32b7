package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/hactl/hactl/engines/host"
	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/follow"
	"github.com/hactl/hactl/reconcile/loop"
	"github.com/hactl/hactl/schema"
)

// machine is this host as a follow.Host: it has the agent run what a
// specification wants here.
type machine struct {
	flags  *hostFlags
	engine vrrpEngine
	secret func(schema.SecretRef) (string, error)
	file   string // keeps the name over restarts
	log    *slog.Logger

	mu     sync.Mutex
	host   string // its name, once it is known
	kept   string // the name in the file
	absent error  // why it is none of the specification's hosts any more
	short  error  // why not all that it should run does
	wanted host.Config
	drift  []reconcile.Step
	told   string // drift told of last
}

// newMachine knows the name that this machine had before.
func newMachine(flags *hostFlags, engine vrrpEngine, secret func(schema.SecretRef) (string, error), file string, log *slog.Logger) *machine {
	m := &machine{flags: flags, engine: engine, secret: secret, file: file, log: log}
	if b, err := os.ReadFile(file); err == nil {
		m.host = strings.TrimSpace(string(b))
		m.kept = m.host
	}
	return m
}

func (m *machine) name() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.host
}

// problem says what this host lacks.
func (m *machine) problem() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return errors.Join(m.absent, m.short)
}

// identify finds out which host of a specification this machine is. One that was
// a host and is none any more keeps its name, and has nothing to run; absent says
// why.
func (m *machine) identify(spec *schema.Spec) (name string, absent, err error) {
	if _, stays := spec.Hosts[m.host]; stays && (m.flags.name == "" || m.flags.name == m.host) {
		return m.host, nil, nil
	}
	name, err = m.flags.find(spec)
	if err == nil && name == "" {
		err = fmt.Errorf("nothing says which of its hosts this machine is: pass --host; there are %s", hostNames(spec))
	}
	if err != nil && m.host != "" {
		return m.host, fmt.Errorf("this machine was %s, which the specification has no more, and runs nothing: %w", m.host, err), nil
	}
	return name, nil, err
}

// Run implements follow.Host. Secrets are looked up each time.
func (m *machine) Run(g *follow.Good) error { return m.run(g, false) }

// Restore implements follow.Host: where no engine runs, a router whose password
// cannot be found is left out, and the others are not.
func (m *machine) Restore(g *follow.Good) error {
	err := m.run(g, false)
	if err == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), askLimit)
	defer cancel()
	if _, _, absent := m.engine.Ask(ctx); absent == nil {
		return err // It goes on as it is.
	}
	return m.run(g, true)
}

func (m *machine) run(g *follow.Good, part bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	name, absent, err := m.identify(g.Spec)
	if err != nil {
		return err
	}
	cfg, short := host.NewConfig(name, g.Revision, g.Spec.HostObjects(name), m.secret)
	if short != nil && (!part || len(cfg.Routers) == 0 || cfg.Validate() != nil) {
		return short
	}
	if absent != nil && m.absent == nil {
		m.log.Warn(absent.Error(), "revision", g.Revision)
	}
	if name != m.host && m.host != "" {
		m.log.Warn("this machine is another host now", "was", m.host, "host", name)
	}
	if name != m.kept && loop.ReplaceFile(m.file, []byte(name+"\n"), 0o600) == nil {
		m.kept = name // A disk that takes nothing is the Follower's to report.
	}
	m.host, m.absent, m.short = name, absent, short
	if reflect.DeepEqual(cfg, m.wanted) {
		return nil
	}
	if err := m.engine.Configure(cfg); err != nil {
		return err
	}
	m.wanted = cfg
	m.log.Info("specification", "revision", g.Revision, "host", name, "groups", len(cfg.Routers), "checks", len(cfg.Checks), "hooks", len(cfg.Hooks))
	return nil
}

// found is what of this host was not as its specification has it when that was
// looked at last.
func (m *machine) found() []reconcile.Step {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.drift
}

// reconcile looks whether somebody else has configured the engine, and undoes
// it, unless the specification wants that reported only.
func (m *machine) reconcile(ctx context.Context, g *follow.Good, tell func(follow.Event)) {
	m.mu.Lock()
	wanted := m.wanted
	m.mu.Unlock()
	if g == nil || wanted.Host == "" {
		return
	}
	var drift []reconcile.Step
	if has := m.engine.Wanted(); has != nil && !has.Same(&wanted) {
		drift = m.steps(ctx, g.Spec, wanted.Host)
	}
	text := fmt.Sprint(drift)
	m.mu.Lock()
	known := text == m.told
	m.drift, m.told = drift, text
	m.mu.Unlock()
	if len(drift) == 0 {
		return
	}
	report := g.Spec.Policy != nil && g.Spec.Policy.Drift == "report"
	if !known {
		what := "corrected"
		if report {
			what = "only reported"
		}
		tell(follow.Event{Kind: follow.EventDrift, Time: time.Now(), Revision: g.Revision, Steps: drift, Text: fmt.Sprintf("this host was configured by somebody else: %s; it is %s", drift[0].ID, what)})
	}
	if !report {
		if err := m.engine.Configure(wanted); err != nil {
			m.log.Error("correct drift", "err", err)
		}
	}
}

// steps are those from what this host runs to what a specification wants there.
func (m *machine) steps(ctx context.Context, spec *schema.Spec, name string) []reconcile.Step {
	d := reconcile.Desired{Stack: spec.Stack, Objects: map[schema.ID]schema.Object{}}
	for _, o := range spec.HostObjects(name) {
		d.Objects[o.ID()] = o
	}
	s, cfg, err := m.engine.Ask(ctx)
	if err != nil {
		return nil
	}
	node := &host.Node{Host: name, Secret: m.secret}
	return reconcile.Diff(d, node.Live(cfg, s, reconcile.Scope{Stack: spec.Stack, Objects: d.Objects})).Steps
}
