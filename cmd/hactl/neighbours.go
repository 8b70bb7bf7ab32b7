package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hactl/hactl/reconcile/status"
	"github.com/hactl/hactl/schema"
)

// neighbours are the hosts of the specification, for a page: what their agents
// say, which is remembered, as no page waits long for one that is slow.
type neighbours struct {
	ask       askFlags
	spec      func() *schema.Spec // nil before one runs
	own       func() string       // this host's name
	ownReport func() *agentReport
	// patience is how long a page waits, good how long an answer is good for, and
	// limit how long a host may take to answer at all.
	patience, good, limit time.Duration

	mu     sync.Mutex
	ctx    context.Context // nil while it does not run
	known  map[neighbour]*heard
	asking sync.WaitGroup
}

// neighbour is where to ask a host.
type neighbour struct{ name, url string }

// heard is what a host said last.
type heard struct {
	host  status.Host
	at    time.Time     // zero for never
	asked chan struct{} // closed when it has answered; nil while nobody asks
}

const (
	pagePatience = 150 * time.Millisecond
	pageMemory   = 5 * time.Second
	// pageForgets is how old what a host said may be to be shown as how it is,
	// while it is asked anew.
	pageForgets   = time.Minute
	neighbourTime = 3 * time.Second
)

// start lets it ask, until ctx ends.
func (n *neighbours) start(ctx context.Context, wg *sync.WaitGroup) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.ctx = ctx
	wg.Go(func() {
		<-ctx.Done()
		n.mu.Lock()
		n.ctx = nil
		n.mu.Unlock()
		n.asking.Wait()
	})
}

// hosts are all of the specification, sorted by name. It asks those of which it
// knows nothing fresh, all at once, and shows what is known when its patience
// ends.
func (n *neighbours) hosts(ctx context.Context) []status.Host {
	spec := n.spec()
	if spec == nil {
		return nil
	}
	waiting, stop := context.WithTimeout(ctx, n.patience)
	defer stop()
	for _, asked := range n.look(spec) {
		select {
		case <-asked:
		case <-waiting.Done():
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	hosts := make([]status.Host, 0, len(spec.Hosts))
	for _, name := range slices.Sorted(maps.Keys(spec.Hosts)) {
		where := neighbour{name, spec.Hosts[name].Agent}
		switch h := n.known[where]; {
		case name == n.own():
			hosts = append(hosts, pageHost(answer{host: name, report: n.ownReport()}))
		case where.url == "":
			hosts = append(hosts, pageHost(answer{host: name, err: errNoAgent}))
		case h == nil || h.at.IsZero():
			hosts = append(hosts, status.Host{Name: name, Unknown: "it has not answered yet, and is being asked"})
		case time.Since(h.at) > pageForgets:
			ago := time.Since(h.at).Round(time.Second)
			hosts = append(hosts, status.Host{Name: name, Unknown: fmt.Sprintf("it was asked %s ago last, and is being asked", ago)})
		default:
			hosts = append(hosts, h.host)
		}
	}
	return hosts
}

// look asks who has said nothing fresh, and returns what closes when they have
// answered. It forgets who is no longer there.
func (n *neighbours) look(spec *schema.Spec) (pending []chan struct{}) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.ctx == nil {
		return nil
	}
	known := map[neighbour]*heard{}
	for name, host := range spec.Hosts {
		where := neighbour{name, host.Agent}
		if name == n.own() || where.url == "" {
			continue
		}
		h := n.known[where]
		if h == nil {
			h = &heard{}
		}
		known[where] = h
		if h.asked == nil && time.Since(h.at) > n.good {
			h.asked = make(chan struct{})
			ctx := n.ctx
			n.asking.Go(func() { n.inquire(ctx, spec, name, h) })
		}
		if h.asked != nil {
			pending = append(pending, h.asked)
		}
	}
	n.known = known
	return pending
}

// inquire asks one host and keeps what it says.
func (n *neighbours) inquire(ctx context.Context, spec *schema.Spec, name string, h *heard) {
	ctx, stop := context.WithTimeout(ctx, n.limit)
	defer stop()
	a := answer{host: name}
	if answers, err := n.ask.gather(ctx, spec, []string{name}, "", ""); err != nil {
		a.err = err
	} else {
		a = answers[0]
	}
	said := pageHost(a)
	n.mu.Lock()
	defer n.mu.Unlock()
	h.at = time.Now()
	said.Asked = h.at
	h.host = said
	close(h.asked)
	h.asked = nil
}

// pageHost is what the page shows of an answer.
func pageHost(a answer) status.Host {
	if a.err != nil {
		return status.Host{Name: a.host, Unknown: firstLine(a.err.Error()), Silent: a.unwell()}
	}
	r := a.report
	h := status.Host{
		Name: a.host, Revision: r.Follow.Revision, Accepted: r.Follow.Accepted, Note: r.note(), Leads: r.Edge.Leadership.Mine, Edge: r.Edge,
	}
	if r.Engine != nil {
		h.Routers = routers(r.Engine)
	}
	return h
}
