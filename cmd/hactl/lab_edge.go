package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/hactl/hactl/engines/cloudflare/cfsim"
	"github.com/hactl/hactl/reconcile/follow"
	"github.com/hactl/hactl/reconcile/topology"
	"github.com/hactl/hactl/schema"
)

// edgePeriod is how often a lab's edge sees which hosts are there.
const edgePeriod = 200 * time.Millisecond

// watchEdge lets the simulated edge see what a real one would: the connectors of
// hosts that have power and a cable, and origins that can be reached through
// them. A real monitor takes its interval for that; this one sees it at once.
func (l *lab) watchEdge(ctx context.Context) {
	tick := time.NewTicker(edgePeriod)
	defer tick.Stop()
	var spec *schema.Spec
	var model *topology.Model
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		now := l.running()
		if now == nil {
			continue
		}
		if now != spec {
			spec, model = now, topology.New(now)
		}
		l.showEdge(spec, model)
	}
}

func (l *lab) showEdge(spec *schema.Spec, model *topology.Model) {
	l.mu.Lock()
	var failed []topology.Component
	for host := range l.gone {
		failed = append(failed, topology.Component{Kind: topology.KindHost, Name: host})
	}
	l.mu.Unlock()
	gone := func(host string) bool {
		return slices.Contains(failed, topology.Component{Kind: topology.KindHost, Name: host})
	}
	for name, t := range spec.Tunnels {
		var from []string
		for _, host := range t.Connectors {
			if a := spec.Hosts[host].Address; a != "" && !gone(host) {
				from = append(from, a)
			}
		}
		_ = l.sim.ConnectFrom(name, from...) // A tunnel that is not there yet has none.
	}
	lost := model.Lost(failed...)
	for name, p := range spec.Pools {
		for origin := range p.Origins {
			id := topology.Component{Kind: topology.KindOrigin, Name: name + "/" + origin}.String()
			f := cfsim.Finding{Healthy: true}
			if slices.Contains(lost, id) {
				f = cfsim.Finding{Reason: "TCP connection failed"}
			}
			_ = l.sim.SetHealth(name, origin, f) // likewise
		}
	}
}

func (l *lab) isAway(host string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.gone[host]
}

// away notes that a host cannot be reached, or can again.
func (l *lab) away(host string, is bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if is {
		l.gone[host] = true
	} else {
		delete(l.gone, host)
	}
}

// edgeTrouble is what keeps a host from having the edge as it should be, in words.
func edgeTrouble(e *follow.EdgeState) string {
	var all []string
	for _, v := range e.Violations {
		all = append(all, fmt.Sprintf("the guard rail %s: %s %s", v.Rule, v.ID, v.Message))
	}
	for _, f := range e.Failed {
		all = append(all, fmt.Sprintf("%s: %s", f.ID, f.Err))
	}
	for _, c := range e.Conflicts {
		all = append(all, strings.TrimSpace(c.ID.String()+" "+c.Message))
	}
	for _, text := range []string{e.Waits, e.Err} {
		if text != "" && len(all) == 0 {
			all = append(all, text)
		}
	}
	return strings.Join(all, "; ")
}

// object finds one of the specification's at Cloudflare: its URL and contents.
func (l *lab) object(ctx context.Context, id schema.ID) (string, map[string]any, error) {
	var urls []string
	switch id.Kind {
	case schema.KindPool:
		urls = []string{"/accounts/" + l.sim.Account() + "/load_balancers/pools"}
	case schema.KindDNSRecord:
		var zones struct{ Result []struct{ ID string } }
		if err := l.call(ctx, http.MethodGet, "/zones?per_page=50", nil, &zones); err != nil {
			return "", nil, err
		}
		for _, z := range zones.Result {
			urls = append(urls, "/zones/"+z.ID+"/dns_records?per_page=5000")
		}
	}
	for _, url := range urls {
		var list struct{ Result []map[string]any }
		if err := l.call(ctx, http.MethodGet, url, nil, &list); err != nil {
			return "", nil, err
		}
		for _, o := range list.Result {
			text, _ := o["description"].(string)
			if id.Kind == schema.KindDNSRecord {
				text, _ = o["comment"].(string)
			}
			if _, m, ok := schema.Unmark(text); ok && m.Names(l.running().Stack, id) {
				base, _, _ := strings.Cut(url, "?")
				return fmt.Sprint(base, "/", o["id"]), o, nil
			}
		}
	}
	return "", nil, nil
}

// Drift implements drill.Lab: a pool is disabled, a record deleted.
func (l *lab) Drift(ctx context.Context, id schema.ID) error {
	url, o, err := l.object(ctx, id)
	switch {
	case err != nil:
		return err
	case o == nil:
		return fmt.Errorf("%s is not at the edge", id)
	case id.Kind == schema.KindPool:
		return l.call(ctx, http.MethodPatch, url, map[string]any{"enabled": o["enabled"] == false}, nil)
	}
	return l.call(ctx, http.MethodDelete, url, nil, nil)
}

// Drifted implements drill.Lab.
func (l *lab) Drifted(ctx context.Context, id schema.ID) (bool, error) {
	_, o, err := l.object(ctx, id)
	if err != nil || o == nil {
		return o == nil, err
	}
	spec := l.running()
	return id.Kind == schema.KindPool && o["enabled"] != spec.Pools[id.Name].Enabled, nil
}

// call asks the simulator, without a network.
func (l *lab) call(ctx context.Context, method, path string, body, into any) error {
	var content io.Reader = http.NoBody
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return err
		}
		content = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://127.0.0.1"+cfsim.Prefix+path, content)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+simToken)
	r.Header.Set("Content-Type", "application/json")
	answer := &answerBuffer{header: http.Header{}, code: http.StatusOK}
	l.sim.ServeHTTP(answer, r)
	if answer.code != http.StatusOK {
		return fmt.Errorf("%s %s: %s", method, path, answer.body.Bytes())
	}
	if into == nil {
		return nil
	}
	return json.NewDecoder(&answer.body).Decode(into)
}

// answerBuffer is an http.ResponseWriter that keeps what is written.
type answerBuffer struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (a *answerBuffer) Header() http.Header { return a.header }

// WriteHeader implements http.ResponseWriter.
func (a *answerBuffer) WriteHeader(code int) { a.code = code }

func (a *answerBuffer) Write(b []byte) (int, error) { return a.body.Write(b) }

// labZones are the zones that a specification has something in.
func labZones(spec *schema.Spec) []string {
	zones := map[string]bool{}
	for _, o := range spec.Objects() {
		switch o := o.(type) {
		case schema.LoadBalancer:
			zones[o.Zone] = true
		case schema.DNSRecord:
			zones[o.Zone] = true
		}
	}
	delete(zones, "")
	return slices.Sorted(maps.Keys(zones))
}
