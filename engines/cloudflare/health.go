package cloudflare

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/schema"
)

const (
	// healthReads are under way at a time, of the ConcurrentReads there are.
	healthReads = 4
	// healthShare is the part of the budget that reading health may use, and
	// keepShare the part that it leaves to plans, whoever used the rest.
	healthShare = 4
	keepShare   = 2
)

// errBudget says that health was not read, for the sake of plans.
var errBudget = errors.New("not read: what is left of the budget of requests is kept for plans")

// Health is how the tunnels and the pools with a monitor of a specification do,
// by name, as Cloudflare sees it. It costs two lists, one request for each pool
// and one for each tunnel that is connected. What could not be read is absent,
// and Health.Err says so; an error is returned where that is everything. Nothing
// is sent once half of the budget is used.
func (e *Engine) Health(ctx context.Context, spec *schema.Spec) (*reconcile.Health, error) {
	r := &healthReading{
		c: e.client, left: e.Left() - e.client.budget.quota/keepShare, slots: make(chan struct{}, healthReads), troubles: map[string][]error{},
		health: reconcile.Health{Read: e.client.budget.now().UTC(), Tunnels: map[string]reconcile.TunnelHealth{}, Pools: map[string]reconcile.PoolHealth{}},
	}
	pools := monitored(spec)
	var wg sync.WaitGroup
	if len(spec.Tunnels) > 0 {
		wg.Go(func() { r.tunnels(ctx, spec) })
	}
	if len(pools) > 0 {
		wg.Go(func() { r.pools(ctx, pools) })
	}
	wg.Wait()
	if err := ctx.Err(); errors.Is(err, context.Canceled) {
		return nil, err
	}
	err := r.trouble()
	if err != nil && len(r.health.Tunnels)+len(r.health.Pools) == 0 {
		return nil, err
	}
	if err != nil {
		r.health.Err = err.Error()
	}
	return &r.health, nil
}

// HealthPeriod is how often Health may be asked for that specification without
// using more than a quarter of the budget.
func (e *Engine) HealthPeriod(spec *schema.Spec) time.Duration {
	requests := 2 + len(spec.Tunnels) + len(monitored(spec))
	return time.Duration(requests) * budgetWindow * healthShare / time.Duration(max(e.client.budget.quota, 1))
}

// monitored are the pools that something watches, sorted.
func monitored(spec *schema.Spec) []string {
	var names []string
	for name, p := range spec.Pools {
		if p.Monitor != "" || p.MonitorGroup != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// healthReading is one reading under way.
type healthReading struct {
	c     *client
	slots chan struct{}

	mu       sync.Mutex
	left     int // requests that it may send
	health   reconcile.Health
	troubles map[string][]error // by what could not be read
}

func (r *healthReading) fail(what string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.troubles[what] = append(r.troubles[what], err)
}

// permissions are what a token needs, as the dashboard calls it (API:
// x-api-token-group).
var permissions = map[string]string{
	"tunnels": "Cloudflare Tunnel Read", "pools": "Load Balancing: Monitors and Pools Read",
}

// trouble is all that went wrong, in a sentence each.
func (r *healthReading) trouble() error {
	var texts []string
	for _, what := range slices.Sorted(maps.Keys(r.troubles)) {
		errs := r.troubles[what]
		first, n := errs[0], ""
		for _, err := range errs { // What a person can do something about comes first.
			if reconcile.ClassOf(wrap("", schema.ID{}, err)) == reconcile.Denied {
				first = err
			}
		}
		if len(errs) > 1 {
			n = fmt.Sprintf(" (and %d more)", len(errs)-1)
		}
		switch {
		case errors.Is(first, errBudget):
			texts = append(texts, what+": "+errBudget.Error())
		case reconcile.ClassOf(wrap("", schema.ID{}, first)) == reconcile.Denied:
			texts = append(texts, fmt.Sprintf("%s: the token may not read how they do; it needs the permission %q", what, permissions[what]))
		case errors.Is(first, context.DeadlineExceeded):
			texts = append(texts, what+": no answer in time"+n)
		default:
			texts = append(texts, what+": "+first.Error()+n)
		}
	}
	if len(texts) == 0 {
		return nil
	}
	return errors.New(strings.Join(texts, "; "))
}

// spare takes one request of those that are not kept for plans: of what there
// was in the beginning, and of what there is now, as others use it too.
func (r *healthReading) spare() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.left <= 0 || r.c.budget.remaining() <= r.c.budget.quota/keepShare {
		return errBudget
	}
	r.left--
	return nil
}

// get sends one request for what is about one object, a few at a time.
func (r *healthReading) get(ctx context.Context, path string, out any) error {
	select {
	case r.slots <- struct{}{}:
		defer func() { <-r.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := r.spare(); err != nil {
		return err
	}
	return r.c.call(ctx, http.MethodGet, path, nil, out)
}

// wireClient is a cloudflared that is connected (API: cfd_tunnel/{id}/connections).
type wireClient struct {
	ID      string           `json:"id"`
	Version string           `json:"version"`
	Conns   []wireConnection `json:"conns"`
}

func (r *healthReading) tunnels(ctx context.Context, spec *schema.Spec) {
	const what = "tunnels"
	if err := r.spare(); err != nil {
		r.fail(what, err)
		return
	}
	all, err := list[wireTunnel](ctx, r.c, r.c.inAccount("/cfd_tunnel"), url.Values{"is_deleted": {"false"}}, tunnelsPerPage)
	if err != nil {
		r.fail(what, err)
		return
	}
	var wg sync.WaitGroup
	for _, t := range all {
		if _, ours := spec.Tunnels[t.Name]; !ours || t.DeletedAt != nil {
			continue
		}
		wg.Go(func() {
			connected := t.Status == "healthy" || t.Status == "degraded"
			clients := byClient(t.Connections) // They may be left out of the list.
			if connected && len(clients) == 0 {
				if err := r.get(ctx, r.c.inAccount("/cfd_tunnel/%s/connections", t.ID), &clients); err != nil {
					r.fail(what, err)
				}
			}
			h := reconcile.TunnelHealth{Status: t.Status}
			for _, c := range clients {
				if k := c.health(); k.Connections > 0 {
					h.Connectors = append(h.Connectors, k)
				}
			}
			slices.SortFunc(h.Connectors, func(a, b reconcile.ConnectorHealth) int { return strings.Compare(a.ID, b.ID) })
			r.mu.Lock()
			defer r.mu.Unlock()
			r.health.Tunnels[t.Name] = h
		})
	}
	wg.Wait()
}

func byClient(conns []wireConnection) []wireClient {
	by := map[string]*wireClient{}
	for _, c := range conns {
		if by[c.ClientID] == nil {
			by[c.ClientID] = &wireClient{ID: c.ClientID}
		}
		by[c.ClientID].Conns = append(by[c.ClientID].Conns, c)
	}
	var clients []wireClient
	for _, id := range slices.Sorted(maps.Keys(by)) {
		clients = append(clients, *by[id])
	}
	return clients
}

func (c wireClient) health() reconcile.ConnectorHealth {
	h := reconcile.ConnectorHealth{ID: c.ID, Version: c.Version}
	for _, conn := range c.Conns {
		if conn.IsPendingReconnect {
			continue
		}
		h.Connections++
		h.Address, h.Version = cmp.Or(h.Address, conn.OriginIP), cmp.Or(h.Version, conn.ClientVersion)
		if at, err := time.Parse(time.RFC3339Nano, conn.OpenedAt); err == nil && (h.Since.IsZero() || at.Before(h.Since)) {
			h.Since = at.UTC()
		}
	}
	return h
}

// wirePoolHealth is what data centers find of a pool (API: pools/{id}/health).
// Origins are maps of one key, the address, in a list.
type wirePoolHealth struct {
	PopHealth map[string]struct {
		Healthy *bool                         `json:"healthy"`
		Origins []map[string]wireOriginHealth `json:"origins"`
	} `json:"pop_health"`
}

type wireOriginHealth struct {
	Healthy       bool   `json:"healthy"`
	FailureReason string `json:"failure_reason"`
	ResponseCode  int    `json:"response_code"`
}

func (r *healthReading) pools(ctx context.Context, names []string) {
	const what = "pools"
	if err := r.spare(); err != nil {
		r.fail(what, err)
		return
	}
	all, err := list[wirePool](ctx, r.c, r.c.inAccount("/load_balancers/pools"), nil, 0)
	if err != nil {
		r.fail(what, err)
		return
	}
	var wg sync.WaitGroup
	for _, p := range all {
		if _, ours := slices.BinarySearch(names, p.Name); !ours {
			continue
		}
		wg.Go(func() {
			var found wirePoolHealth
			if err := r.get(ctx, r.c.inAccount("/load_balancers/pools/%s/health", p.ID), &found); err != nil {
				r.fail(what, err)
				return
			}
			if h, known := found.judge(p.Origins); known {
				r.mu.Lock()
				defer r.mu.Unlock()
				r.health.Pools[p.Name] = h
			}
		})
	}
	wg.Wait()
}

// judge is what most data centers find; not known where none has looked yet.
func (w wirePoolHealth) judge(origins []wireOrigin) (h reconcile.PoolHealth, known bool) {
	names := make(map[string]string, 2*len(origins)) // by key of an answer
	for _, o := range origins {
		names[o.Name] = o.Name
	}
	for _, o := range origins {
		names[addressKey(o.Address)] = o.Name
	}
	votes, looked := 0, 0
	found := map[string][]wireOriginHealth{}
	for _, center := range slices.Sorted(maps.Keys(w.PopHealth)) {
		pop := w.PopHealth[center]
		if pop.Healthy != nil {
			looked++
			if *pop.Healthy {
				votes++
			}
		}
		for _, entry := range pop.Origins {
			for key, o := range entry {
				name, ours := names[addressKey(key)]
				if !ours {
					name, ours = names[key]
				}
				if ours {
					found[name] = append(found[name], o)
				}
			}
		}
	}
	if looked == 0 && len(found) == 0 {
		return h, false
	}
	h.Origins = make(map[string]reconcile.OriginHealth, len(found))
	sick := false
	for name, all := range found {
		h.Origins[name] = majority(all)
		sick = sick || !h.Origins[name].Healthy
	}
	h.Healthy = 2*votes > looked || looked == 0 && !sick
	return h, true
}

// majority is healthy if more than half are, else it has the reason that is
// given most often.
func majority(found []wireOriginHealth) reconcile.OriginHealth {
	healthy, times := 0, map[reconcile.OriginHealth]int{}
	for _, o := range found {
		if o.Healthy {
			healthy++
			continue
		}
		times[reconcile.OriginHealth{Reason: o.FailureReason, Code: o.ResponseCode}]++
	}
	if 2*healthy > len(found) {
		return reconcile.OriginHealth{Healthy: true}
	}
	return slices.MaxFunc(slices.SortedFunc(maps.Keys(times), func(a, b reconcile.OriginHealth) int {
		return cmp.Or(strings.Compare(a.Reason, b.Reason), cmp.Compare(a.Code, b.Code))
	}), func(a, b reconcile.OriginHealth) int { return cmp.Compare(times[a], times[b]) })
}

// addressKey is one form for an address or hostname.
func addressKey(s string) string {
	if a, err := netip.ParseAddr(s); err == nil {
		return a.Unmap().String()
	}
	return strings.ToLower(strings.TrimSuffix(s, "."))
}
