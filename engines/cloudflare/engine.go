package cloudflare

import (
	"context"
	"fmt"
	"sync"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/schema"
)

// Engine reads and changes one Cloudflare account. It is safe for concurrent use.
type Engine struct {
	client *client
	secret func(schema.SecretRef) (string, error)

	mu      sync.Mutex
	zones   map[string]string       // id by name, once looked up
	answers map[string]healthAnswer // about health, by path
}

// New returns an engine; it sends nothing yet.
func New(o Options) (*Engine, error) {
	c, err := newClient(o)
	if err != nil {
		return nil, err
	}
	return &Engine{client: c, secret: o.Secret, zones: map[string]string{}}, nil
}

// Kinds are the kinds that live at Cloudflare.
func (*Engine) Kinds() []schema.Kind {
	return []schema.Kind{
		schema.KindNetwork, schema.KindTunnel, schema.KindTunnelConfiguration, schema.KindRoute, schema.KindMonitor,
		schema.KindPool, schema.KindLoadBalancer, schema.KindPrivateLoadBalancer, schema.KindDNSRecord,
	}
}

// Requests is how many requests have been sent so far.
func (e *Engine) Requests() int { return e.client.budget.count() }

// Left is how many requests may still be sent in the present window.
func (e *Engine) Left() int { return e.client.budget.remaining() }

// Normalize returns the object as Read returns it.
func (*Engine) Normalize(o schema.Object) schema.Object {
	switch o := o.(type) {
	case schema.TunnelConfiguration:
		return normalizeConfiguration(o)
	case schema.Monitor:
		return normalizeMonitor(o)
	case schema.Pool:
		return normalizePool(o)
	case schema.LoadBalancer:
		o.Balancing = normalizeBalancing(o.Balancing)
		return o
	case schema.PrivateLoadBalancer:
		o.Balancing = normalizeBalancing(o.Balancing)
		return o
	case schema.DNSRecord:
		return normalizeRecord(o)
	}
	return o
}

// zone returns the id of a zone by its name.
func (e *Engine) zone(ctx context.Context, name string) (string, error) {
	e.mu.Lock()
	id, ok := e.zones[name]
	e.mu.Unlock()
	if ok {
		return id, nil
	}
	if err := e.readZones(ctx); err != nil {
		return "", err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if id, ok := e.zones[name]; ok {
		return id, nil
	}
	return "", fmt.Errorf("zone %s is not in account %s, or the token may not read it", name, e.client.account)
}

var _ reconcile.Engine = (*Engine)(nil)
