package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hactl/hactl/engines/host"
	"github.com/hactl/hactl/reconcile/follow"
	"github.com/hactl/hactl/reconcile/status"
	"github.com/hactl/hactl/schema"
)

// agents are two other hosts: lb02 answers at once, lb03 when it is let.
type agents struct {
	spec     *schema.Spec
	revision atomic.Pointer[string]
	let      chan struct{}
	asked    atomic.Int32 // lb02
	slow     atomic.Bool  // lb02, too, waits
	n        *neighbours
}

func newAgents(t *testing.T, good time.Duration) *agents {
	t.Helper()
	const token = "the hosts' token"
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	a := &agents{let: make(chan struct{})}
	a.run("one")
	serve := func(name string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "Bearer "+status.TokenFor(token, r.Host) {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			if name == "lb02" {
				a.asked.Add(1)
			}
			runs := *a.revision.Load() // before it is slow, if it is not
			if name == "lb03" || a.slow.Load() {
				select {
				case <-a.let:
				case <-r.Context().Done():
					return
				}
			}
			_ = json.NewEncoder(w).Encode(agentReport{
				Version: reportVersion, Host: name, Ready: "yes", Follow: follow.State{Revision: runs},
				Edge: follow.EdgeState{Leadership: follow.Leadership{Mine: name == "lb02"}}, Engine: &host.Status{Routers: []host.RouterStatus{{Name: "web", State: "active"}}},
			})
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	a.spec = &schema.Spec{Hosts: map[string]schema.Host{"lb01": {}, "lb02": {Agent: serve("lb02")}, "lb03": {Agent: serve("lb03")}, "lb04": {}}}
	a.n = &neighbours{
		ask: askFlags{tokenFile: file}, spec: func() *schema.Spec { return a.spec }, own: func() string { return "lb01" },
		ownReport: func() *agentReport { return &agentReport{Ready: "yes", Follow: follow.State{Revision: "own"}} }, patience: 200 * time.Millisecond, good: good, limit: time.Minute,
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	a.n.start(ctx, &wg)
	t.Cleanup(func() { cancel(); wg.Wait() })
	return a
}

func (a *agents) run(revision string) { a.revision.Store(&revision) }

// until looks until a host is as it should be.
func (a *agents) until(t *testing.T, i int, good func(status.Host) bool) status.Host {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		if h := a.n.hosts(t.Context())[i]; good(h) {
			return h
		}
	}
	t.Fatalf("it does not come: %+v", a.n.hosts(t.Context())[i])
	return status.Host{}
}

func TestAPageDoesNotWaitForASlowHost(t *testing.T) {
	a := newAgents(t, time.Hour)
	a.until(t, 1, func(h status.Host) bool { return h.Unknown == "" }) // while lb03 keeps silent
	hosts := a.n.hosts(t.Context())
	if len(hosts) != 4 || hosts[0].Name != "lb01" || hosts[0].Revision != "own" || !hosts[0].Asked.IsZero() {
		t.Errorf("this host is %+v", hosts)
	}
	if h := hosts[1]; h.Revision != "one" || !h.Leads || len(h.Routers) != 1 || h.Routers[0].State != "active" || h.Asked.IsZero() {
		t.Errorf("lb02 is %+v", h)
	}
	if h := hosts[2]; !strings.Contains(h.Unknown, "is being asked") {
		t.Errorf("lb03 is %+v", h)
	}
	if h := hosts[3]; h.Unknown != errNoAgent.Error() || h.Silent { // Nobody asks it.
		t.Errorf("lb04 is %+v", h)
	}
	close(a.let)
	a.until(t, 2, func(h status.Host) bool { return h.Revision == "one" })
	// What is fresh is not asked for again.
	a.run("two")
	for range 5 {
		if h := a.n.hosts(t.Context())[1]; h.Revision != "one" {
			t.Errorf("lb02 is %+v", h)
		}
	}
	if n := a.asked.Load(); n != 1 {
		t.Errorf("lb02 was asked %d times", n)
	}
	// What is no longer in the specification is forgotten.
	a.spec = &schema.Spec{Hosts: map[string]schema.Host{"lb01": {}}}
	if hosts := a.n.hosts(t.Context()); len(hosts) != 1 || len(a.n.known) != 0 {
		t.Errorf("there are %+v, known are %v", hosts, a.n.known)
	}
}

func TestAPageShowsWhatItKnewWhileItAsks(t *testing.T) {
	a := newAgents(t, 0)
	first := a.until(t, 1, func(h status.Host) bool { return h.Revision == "one" })
	a.slow.Store(true)
	a.run("two")
	if h := a.until(t, 1, func(h status.Host) bool { return h.Revision == "one" }); h.Asked.Before(first.Asked) {
		t.Errorf("it said %+v, then %+v", first, h)
	}
	// Nobody has looked for an hour: what was so then is not how it is.
	a.n.mu.Lock()
	for _, h := range a.n.known {
		h.at = h.at.Add(-time.Hour)
	}
	a.n.mu.Unlock()
	if h := a.n.hosts(t.Context())[1]; h.Revision != "" || !strings.HasPrefix(h.Unknown, "it was asked 1h0m") || h.Silent {
		t.Errorf("after an hour it is %+v", h)
	}
	close(a.let)
	a.until(t, 1, func(h status.Host) bool { return h.Revision == "two" })
}

func TestAPageSaysWhyAHostDoesNotAnswer(t *testing.T) {
	a := newAgents(t, time.Hour)
	close(a.let)
	gone := httptest.NewServer(nil)
	gone.Close()
	a.spec.Hosts["lb04"] = schema.Host{Agent: gone.URL}
	u, err := url.Parse(gone.URL)
	if err != nil {
		t.Fatal(err)
	}
	a.until(t, 3, func(h status.Host) bool {
		return h.Silent && strings.Contains(h.Unknown, u.Host) && strings.Contains(h.Unknown, "refused")
	})
	// Nobody is asked any more once it has ended.
	b := newAgents(t, 0)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	b.n.start(ctx, &wg)
	cancel()
	wg.Wait()
	if hosts := b.n.hosts(t.Context()); b.asked.Load() != 0 || hosts[1].Unknown == "" {
		t.Errorf("lb02 was asked %d times: %+v", b.asked.Load(), hosts[1])
	}
}
