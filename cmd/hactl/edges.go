package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hactl/hactl/engines/cloudflare"
	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/follow"
	"github.com/hactl/hactl/reconcile/loop"
	"github.com/hactl/hactl/reconcile/status"
	"github.com/hactl/hactl/schema"
)

// edges keeps the engine of each account and token over an agent's life: the
// budget of requests is one for all that it plans.
type edges struct {
	flags   *edgeFlags
	observe func(reconcile.Event)

	mu      sync.Mutex
	account string
	token   string
	loop    *loop.Loop
	engine  *cloudflare.Engine
}

var errNoToken = errors.New("no Cloudflare API token on this host: set CLOUDFLARE_API_TOKEN_FILE")

// of is the edge of a specification.
func (e *edges) of(spec *schema.Spec) (follow.Edge, error) {
	token, err := apiToken()
	if err != nil {
		return nil, err
	}
	if token == "" {
		return nil, errNoToken
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if a := account(spec); e.loop == nil || a != e.account || token != e.token {
		lp, engine, err := e.flags.loop(a, reconcile.ObserverFunc(e.observe))
		if err != nil {
			return nil, err
		}
		e.account, e.token, e.loop, e.engine = a, token, lp, engine
	}
	return e.loop, nil
}

// mostHealth bounds the requests of one reading: plans come first in each window.
const mostHealth = 150

// health is how the edge of a specification does, and how long to leave it.
func (e *edges) health(ctx context.Context, spec *schema.Spec) (*reconcile.Health, time.Duration, error) {
	if _, err := e.of(spec); err != nil {
		return nil, 0, err
	}
	e.mu.Lock()
	engine := e.engine
	e.mu.Unlock()
	h, err := engine.Health(ctx, spec, mostHealth)
	return h, engine.HealthPeriod(spec, mostHealth), err
}

// api is how much of the budget is used, nil while nothing was asked.
func (e *edges) api() *status.API {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.engine == nil {
		return nil
	}
	return &status.API{Requests: e.engine.Requests(), Left: e.engine.Left()}
}
