package main

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hactl/hactl/engines/host"
	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/follow"
	"github.com/hactl/hactl/reconcile/topology"
	"github.com/hactl/hactl/schema"
)

// answering is what an agent says whose host has the Virtual Router web in a
// state.
func answering(name, state string, health *reconcile.Health) answer {
	return answer{host: name, report: &agentReport{
		Version: reportVersion, Host: name, Edge: follow.EdgeState{Health: health, Leadership: follow.Leadership{Mine: health != nil}},
		Engine: &host.Status{Routers: []host.RouterStatus{{Name: "web", State: state, Priority: 90, Problem: "a problem"}}},
	}}
}

func TestLiveIsWhatIsAnswered(t *testing.T) {
	now := time.Unix(1700000000, 0)
	read := func(ago time.Duration, err string) *reconcile.Health {
		return &reconcile.Health{Read: now.Add(-ago), Err: err, Tunnels: map[string]reconcile.TunnelHealth{"home": {Status: "down"}}}
	}
	follows := answering("lb02", "backup", read(0, "of a host that does not lead"))
	follows.report.Edge.Leadership.Mine = false
	silent := answer{host: "lb03", err: errors.New("no route to host\nat all")}
	for _, c := range []struct {
		name    string
		own     *reconcile.Health
		failed  error
		answers []answer
		read    time.Duration // -1: not known
		unknown string
	}{
		{"Cloudflare", read(0, ""), nil, []answer{answering("lb01", "active", read(time.Second, ""))}, 0, "[]"},
		{"part of it", read(0, "pools: no"), nil, nil, 0, "[Cloudflare: pools: no]"},
		{"the agent that leads, without a token", nil, errNoTokenHere, []answer{answering("lb01", "active", read(time.Minute, "")), answering("lb02", "backup", nil), silent}, time.Minute, "[host lb03: no route to host]"},
		{"the newest", nil, errNoTokenHere, []answer{answering("lb01", "active", read(time.Minute, "")), answering("lb02", "backup", read(time.Second, "x"))}, time.Second, "[Cloudflare: x]"},
		{"of another time", nil, errNoTokenHere, []answer{answering("lb01", "active", read(time.Hour, ""))}, -1, "[Cloudflare: " + errNoTokenHere.Error() + "]"},
		{"still to come", nil, errNoTokenHere, []answer{answering("lb01", "active", read(-time.Hour, ""))}, -1, "[Cloudflare: " + errNoTokenHere.Error() + "]"},
		{"by who does not lead", nil, errNoTokenHere, []answer{follows}, -1, "[Cloudflare: " + errNoTokenHere.Error() + "]"},
		{"nothing to ask", nil, nil, nil, -1, "[]"},
		{"an engine that is silent", nil, nil, []answer{{host: "lb01", report: &agentReport{EngineError: "timeout"}}}, -1, "[host lb01: its VRRP engine does not answer: timeout]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := liveOf(c.own, c.failed, c.answers, now)
			if got := fmt.Sprint(l.Unknown); got != c.unknown {
				t.Errorf("unknown %s, want %s", got, c.unknown)
			}
			if (l.Health == nil) != (c.read < 0) || l.Health != nil && now.Sub(l.Health.Read) != c.read {
				t.Errorf("health %+v, want of %v ago", l.Health, c.read)
			}
			for _, a := range c.answers {
				if a.report != nil && a.report.Engine != nil {
					want := topology.RouterState{State: a.report.Engine.Routers[0].State, Priority: 90, Why: "a problem"}
					if got := l.Hosts[a.host]["web"]; got != want {
						t.Errorf("%s: %+v, want %+v", a.host, got, want)
					}
				}
			}
		})
	}
}

// TestLiveAsksTheAgents: the one that answers says who is Active, and the one
// that does not is not known.
func TestLiveAsksTheAgents(t *testing.T) {
	report, err := json.Marshal(answering("lb02", "active", nil).report)
	if err != nil {
		t.Fatal(err)
	}
	agent := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/status" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(report)
	}))
	defer agent.Close()
	gone := httptest.NewTLSServer(nil)
	gone.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: agent.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	spec := &schema.Spec{
		Hosts: map[string]schema.Host{"lb01": {Agent: gone.URL}, "lb02": {Agent: agent.URL}, "lb03": {}, "build": {}},
		VirtualRouters: map[string]schema.VirtualRouter{"web": {
			Interval: schema.Seconds(1), Version: 3,
			Members: map[string]schema.RouterMember{"lb01": {Priority: 150}, "lb02": {Priority: 100}, "lb03": {Priority: 50}},
		}},
	}
	f := &liveFlags{on: true, host: hostFlags{name: noHost}, ask: askFlags{caFile: ca}}
	m, err := f.model(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	p := m.Present()
	if got := fmt.Sprint(p.Active); got != "map[web:[lb02]]" || len(p.Down) != 0 {
		t.Errorf("active %s, down %v", got, p.Down)
	}
	if len(p.Unknown) != 2 || !strings.HasPrefix(p.Unknown[0], "host lb01: ") || p.Unknown[1] != "host lb03: "+errNoAgent.Error() {
		t.Errorf("unknown %q", p.Unknown)
	}
	moves := m.WhatIf([]topology.Component{{Kind: "host", Name: "lb02"}}, "").Moves
	if len(moves) != 1 || moves[0].From != "lb02" || moves[0].To != "lb01" {
		t.Errorf("%+v", moves)
	}
	if got := asked(spec, "build"); !slices.Equal(got, []string{"build", "lb01", "lb02", "lb03"}) {
		t.Errorf("asked %v", got)
	}
	f.on = false
	if m, err := f.model(t.Context(), spec); err != nil || m.Present() != nil {
		t.Errorf("without --live: %+v, %v", m.Present(), err)
	}
}
