package main

import (
	"context"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/hactl/hactl/engines/host"
	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/follow"
	"github.com/hactl/hactl/reconcile/status"
)

// agentReport is an agent's /status. It holds no secret.
type agentReport struct {
	Version int              `json:"version"` // of this form
	Host    string           `json:"host,omitempty"`
	Build   string           `json:"build"`
	PID     int              `json:"pid"`
	Started time.Time        `json:"started"`
	Ready   string           `json:"ready"` // "yes", or what is missing
	Follow  follow.State     `json:"follow"`
	Edge    follow.EdgeState `json:"edge"`
	// Drift is what of this host is not as its specification has it.
	Drift []reconcile.Step `json:"drift,omitempty"`
	API   *status.API      `json:"api,omitempty"`
	// Engine and what it runs, without passwords; absent for an agent of no host.
	Engine      *host.Status `json:"engine,omitempty"`
	Config      *host.Config `json:"config,omitempty"`
	EngineError string       `json:"engineError,omitempty"`
	// Problems keep part of the agent from working.
	Problems []string `json:"problems,omitempty"`
}

const reportVersion = 1

// report is how this agent is.
func (r *runner) report(ctx context.Context) *agentReport {
	a := r.withoutEngine()
	s, cfg, err := r.askEngine(ctx)
	a.Engine = s
	if cfg != nil {
		shown := cfg.Redacted()
		a.Config = &shown
	}
	if err != nil {
		a.EngineError = err.Error()
	}
	if err := (status.Facts{Follow: a.Follow, EngineErr: err}).Ready(); err != nil {
		a.Ready = err.Error()
	}
	return a
}

// withoutEngine is what of it nobody has to be asked for.
func (r *runner) withoutEngine() *agentReport {
	a := &agentReport{
		Version: reportVersion, Host: r.hostName(), Build: host.Build(), PID: os.Getpid(), Started: r.began, Ready: "yes",
		Follow: r.follower.State(), Edge: r.keeper.State(), API: r.edges.api(),
	}
	if r.machine != nil {
		a.Drift = r.machine.found()
	}
	a.Problems = r.problems()
	return a
}

// facts is how this agent is, for metrics and health.
func (r *runner) facts(ctx context.Context) status.Facts {
	f := status.Facts{
		Host: r.hostName(), Build: host.Build(), Follow: r.follower.State(), Edge: r.keeper.State(), API: r.edges.api(),
	}
	if r.machine != nil {
		f.Drift = len(r.machine.found())
	}
	s, _, err := r.askEngine(ctx)
	f.EngineErr = err
	if s == nil {
		return f
	}
	f.Engine = &status.Engine{FIFO: s.Scheduling.FIFO, Late: s.Lateness.Max}
	f.Engine.Routers = routers(s)
	for _, l := range s.Links {
		f.Engine.Links = append(f.Engine.Links, status.Link{Name: l.Name, Up: l.Up})
	}
	for _, name := range slices.Sorted(maps.Keys(s.Checks)) {
		f.Engine.Checks = append(f.Engine.Checks, status.Check{Name: name, OK: s.Checks[name].OK, Tried: true})
	}
	return f
}

// routers are an engine's, as metrics and the page take them.
func routers(s *host.Status) []status.Router {
	all := make([]status.Router, 0, len(s.Routers))
	for i := range s.Routers {
		v := &s.Routers[i]
		all = append(all, status.Router{
			Name: v.Name, Interface: v.Interface, VRID: int(v.VRID), Priority: int(v.Priority), State: v.State,
			Sent: v.Counters.Sent, Received: v.Counters.Received, Transitions: v.Counters.Transitions, Dropped: v.Counters.Dropped, Problem: v.Problem,
		})
	}
	return all
}
