package main

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"sync"
	"time"

	"github.com/hactl/hactl/engines/host"
	"github.com/hactl/hactl/engines/host/agent"
	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/follow"
	"github.com/hactl/hactl/schema"
)

// machine is this host as a follow.Host: it has the agent run what a
// specification wants here.
type machine struct {
	flags *hostFlags
	agent *agent.Agent
	log   *slog.Logger

	mu     sync.Mutex
	host   string // its name, once it is known
	wanted host.Config
	drift  []reconcile.Step
	told   string // drift told of last
}

func (m *machine) name() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.host
}

// Run implements follow.Host. Secrets are looked up each time. A host that was
// taken out of the specification has nothing to run.
func (m *machine) Run(g *follow.Good) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	name := m.host
	if _, stays := g.Spec.Hosts[name]; !stays && name == "" {
		var err error
		if name, err = m.flags.find(g.Spec); err != nil {
			return err
		}
		if name == "" {
			return fmt.Errorf("nothing says which of its hosts this machine is: pass --host; there are %s", hostNames(g.Spec))
		}
	}
	cfg, err := host.NewConfig(name, g.Revision, g.Spec.HostObjects(name), secret)
	if err != nil {
		return err
	}
	m.host = name
	if reflect.DeepEqual(cfg, m.wanted) {
		return nil
	}
	if err := m.agent.Configure(cfg); err != nil {
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
	if has := m.agent.Wanted(); has != nil && !has.Same(&wanted) {
		drift = hostSteps(ctx, g.Spec, wanted.Host, &host.Node{Host: wanted.Host, Dir: m.flags.dir(), Secret: secret})
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
		if err := m.agent.Configure(wanted); err != nil {
			m.log.Error("correct drift", "err", err)
		}
	}
}

// hostSteps are those from what a host runs to what a specification wants there.
func hostSteps(ctx context.Context, spec *schema.Spec, name string, engine reconcile.Engine) []reconcile.Step {
	d := reconcile.Desired{Stack: spec.Stack, Objects: map[schema.ID]schema.Object{}}
	for _, o := range spec.HostObjects(name) {
		d.Objects[o.ID()] = o
	}
	live, err := engine.Read(ctx, reconcile.Scope{Stack: spec.Stack, Objects: d.Objects})
	if err != nil {
		return nil
	}
	return reconcile.Diff(d, live).Steps
}
