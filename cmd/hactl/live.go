package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/hactl/hactl/engines/cloudflare"
	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/status"
	"github.com/hactl/hactl/reconcile/topology"
	"github.com/hactl/hactl/schema"
)

// liveFlags say whether a command that looks at a specification looks at how
// things are now, too.
type liveFlags struct {
	on   bool
	host hostFlags
	ask  askFlags
}

func (f *liveFlags) register(cmd *cobra.Command) {
	registerLive(cmd, &f.on)
	f.host.register(cmd)
	f.ask.register(cmd)
}

func registerLive(cmd *cobra.Command, on *bool) {
	cmd.Flags().BoolVar(on, "live", false, "start from how things are now: ask Cloudflare and the hosts' agents")
}

// liveTime is how long Cloudflare may take to answer.
const liveTime = 30 * time.Second

// model is a specification's, as things are now if that is asked for.
func (f *liveFlags) model(ctx context.Context, spec *schema.Spec) (*topology.Model, error) {
	m := topology.New(spec)
	if !f.on {
		return m, nil
	}
	l, err := f.read(ctx, spec)
	if err != nil {
		return nil, err
	}
	return m.Live(l), nil
}

// read asks Cloudflare and the agents of the hosts, all at once. Who does not
// answer is not known, which is no error.
func (f *liveFlags) read(ctx context.Context, spec *schema.Spec) (topology.Live, error) {
	own, err := f.host.find(spec)
	if err != nil {
		return topology.Live{}, err
	}
	var health *reconcile.Health
	var failed error
	done := make(chan struct{})
	go func() {
		defer close(done)
		health, failed = edgeHealth(ctx, spec)
	}()
	answers, err := f.ask.gather(ctx, spec, asked(spec, own), own, f.host.dir())
	<-done
	if err != nil {
		return topology.Live{}, err
	}
	if err := ctx.Err(); err != nil {
		return topology.Live{}, err
	}
	return liveOf(health, failed, answers, time.Now()), nil
}

// asked are the hosts that have an agent, and those whose Virtual Routers nobody
// knows of without one.
func asked(spec *schema.Spec, own string) []string {
	var names []string
	for name, h := range spec.Hosts {
		member := false
		for _, v := range spec.VirtualRouters {
			_, in := v.Members[name]
			member = member || in
		}
		if h.Agent != "" || name == own || member {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

var errNoTokenHere = errors.New("no API token here: set CLOUDFLARE_API_TOKEN or CLOUDFLARE_API_TOKEN_FILE")

// edgeHealth is what Cloudflare says of the edge, nil without an error where it
// has nothing to say.
func edgeHealth(ctx context.Context, spec *schema.Spec) (*reconcile.Health, error) {
	if len(spec.Tunnels)+len(spec.Pools) == 0 {
		return nil, nil
	}
	token, err := apiToken()
	if err != nil {
		return nil, err
	}
	if token == "" {
		return nil, errNoTokenHere
	}
	engine, err := newEngine(account(spec), cloudflare.DefaultBudget, token, secret, nil)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, liveTime)
	defer cancel()
	return engine.Health(ctx, spec, 0)
}

// liveOf puts together what was answered. Where Cloudflare could not be asked
// from here, it is as the agent that leads read it last.
func liveOf(health *reconcile.Health, failed error, answers []answer, now time.Time) topology.Live {
	var hosts []status.Host
	var newest *reconcile.Health
	for _, a := range answers {
		h := status.Host{Name: a.host}
		switch {
		case a.err != nil:
			h.Unknown = firstLine(a.err.Error())
		case a.report.Engine == nil && a.report.EngineError != "":
			h.Unknown = "its VRRP engine does not answer: " + firstLine(a.report.EngineError)
		case a.report.Engine != nil:
			for i := range a.report.Engine.Routers {
				r := &a.report.Engine.Routers[i]
				h.Routers = append(h.Routers, status.Router{Name: r.Name, State: r.State, Priority: int(r.Priority), Problem: r.Problem})
			}
		}
		hosts = append(hosts, h)
		if a.report == nil || a.report.Edge.Health == nil || !a.report.Edge.Leadership.Mine {
			continue
		}
		if e := a.report.Edge.Health; now.Sub(e.Read).Abs() < status.OldHealth && (newest == nil || e.Read.After(newest.Read)) {
			newest = e
		}
	}
	if health == nil && newest != nil {
		health, failed = newest, nil
	}
	l := status.Live(hosts, health)
	switch {
	case failed != nil:
		l.Unknown = append([]string{"Cloudflare: " + firstLine(failed.Error())}, l.Unknown...)
	case health != nil && health.Err != "":
		l.Unknown = append([]string{"Cloudflare: " + firstLine(health.Err)}, l.Unknown...)
	}
	return l
}

// sayUnknown tells of what is not known beside a picture, which has no words.
func sayUnknown(cmd *cobra.Command, m *topology.Model) {
	if p := m.Present(); p != nil {
		for _, u := range p.Unknown {
			fmt.Fprintf(cmd.ErrOrStderr(), "hactl: not known: %s\n", u)
		}
	}
}
