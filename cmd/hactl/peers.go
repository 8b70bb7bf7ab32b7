package main

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/hactl/hactl/engines/host"
	"github.com/hactl/hactl/reconcile/follow"
)

// peers knows which members of this host's Virtual Routers have not learned of
// the revision that runs here, while a change waits for them: those that answer
// and run another one. Who does not answer may be dead, and holds nobody up.
type peers struct {
	ask      askFlags
	host     func() string
	good     func() *follow.Good
	present  func() *host.Config // what the engine of this host runs
	tellHeld func(router string, members []string)

	mu     sync.Mutex
	behind map[string][]string // by router
}

// peerPeriod is how often others are asked, while there is something to ask.
const peerPeriod = 2 * time.Second

// run asks until ctx ends.
func (p *peers) run(ctx context.Context) {
	for {
		p.set(p.look(ctx))
		select {
		case <-time.After(peerPeriod):
		case <-ctx.Done():
			return
		}
	}
}

// holds tells whether a member of a Virtual Router is behind.
func (p *peers) holds(router string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.behind[router]) > 0
}

// look finds out who is behind.
func (p *peers) look(ctx context.Context) map[string][]string {
	good := p.good()
	if good == nil {
		return nil
	}
	asked := map[string]bool{}
	for _, router := range p.changing() {
		for member := range good.Spec.VirtualRouters[router].Members {
			if member != p.host() && good.Spec.Hosts[member].Agent != "" {
				asked[member] = true
			}
		}
	}
	if len(asked) == 0 {
		return nil
	}
	answers, err := p.ask.gather(ctx, good.Spec, slices.Sorted(maps.Keys(asked)), "", "")
	if err != nil {
		return nil
	}
	behind := map[string][]string{}
	for _, a := range answers {
		if a.err != nil || a.report.Follow.Revision == good.Revision {
			continue
		}
		for name, r := range good.Spec.VirtualRouters {
			if _, member := r.Members[a.host]; member {
				behind[name] = append(behind[name], a.host)
			}
		}
	}
	return behind
}

// changing are the Virtual Routers whose members have to agree on something new
// that has not begun.
func (p *peers) changing() (names []string) {
	cfg := p.present()
	if cfg == nil {
		return nil
	}
	for i := range cfg.Routers {
		if s := cfg.Routers[i].Staging; s != nil && !s.Settling {
			names = append(names, cfg.Routers[i].Name)
		}
	}
	return names
}

func (p *peers) set(behind map[string][]string) {
	p.mu.Lock()
	former := p.behind
	p.behind = behind
	p.mu.Unlock()
	for _, router := range slices.Sorted(maps.Keys(behind)) {
		if !slices.Equal(former[router], behind[router]) {
			p.tellHeld(router, behind[router])
		}
	}
}
