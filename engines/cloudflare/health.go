package cloudflare

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
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
	// healthKept is how long what takes turns is taken for the present.
	healthKept = time.Hour
)

// errBudget says that health was not read, for the sake of plans.
var errBudget = errors.New("not read: what is left of the budget of requests is kept for plans")

// Health is how the tunnels and the pools with a monitor of a specification do,
// by name, as Cloudflare sees it. It costs two lists, one request for each pool
// and one for each tunnel that is connected. Where those are more than most (0:
// however many), they take turns; of the others is told what was read before,
// and Health.Read is when the oldest of it was.
//
// What could not be read is absent, and Health.Err says so; an error is returned
// where that is everything. Nothing is sent once half of the budget is used.
func (e *Engine) Health(ctx context.Context, spec *schema.Spec, most int) (*reconcile.Health, error) {
	now := e.client.budget.now().UTC()
	r := &healthReading{
		c: e.client, left: e.Left() - e.client.budget.quota/keepShare, troubles: map[string][]error{},
		health: reconcile.Health{Read: now, Tunnels: map[string]reconcile.TunnelHealth{}, Pools: map[string]reconcile.PoolHealth{}},
	}
	var wg sync.WaitGroup
	if len(spec.Tunnels) > 0 {
		wg.Go(func() { r.listTunnels(ctx, spec) })
	}
	if pools := monitored(spec); len(pools) > 0 {
		wg.Go(func() { r.listPools(ctx, pools) })
	}
	wg.Wait()
	first, others := e.turns(r.questions, most)
	r.ask(ctx, first)
	e.remember(r, first, others, now)
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

// HealthPeriod is how often Health may be asked for that without using more than
// a quarter of the budget.
func (e *Engine) HealthPeriod(spec *schema.Spec, most int) time.Duration {
	requests := len(spec.Tunnels) + len(monitored(spec))
	if most > 0 {
		requests = min(requests, most)
	}
	return time.Duration(requests+2) * budgetWindow * healthShare / time.Duration(max(e.client.budget.quota, 1))
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

// question is something to ask about one pool or tunnel.
type question struct {
	what string // "tunnels" or "pools"
	path string
	// read makes something of the answer; take tells the reading of it.
	read func(get func(out any) error) (healthAnswer, error)
	take func(healthAnswer)

	answer *healthAnswer
}

// healthAnswer is what is known of a pool (nil where nothing has looked at it
// yet), or a tunnel.
type healthAnswer struct {
	pool       *reconcile.PoolHealth
	connectors []reconcile.ConnectorHealth
	at         time.Time
	failed     bool // it is not known: others had their turn since
}

// turns are the questions to ask now, those that were answered longest ago first,
// and the others.
func (e *Engine) turns(all []*question, most int) (first, others []*question) {
	e.mu.Lock()
	defer e.mu.Unlock()
	slices.SortFunc(all, func(a, b *question) int {
		return cmp.Or(e.answers[a.path].at.Compare(e.answers[b.path].at), strings.Compare(a.path, b.path))
	})
	if most > 0 && len(all) > most {
		return all[:most], all[most:]
	}
	return all, nil
}

// remember keeps what was answered for the next turns, and forgets what nobody
// asks for any more; of the others it tells what it remembers.
func (e *Engine) remember(r *healthReading, first, others []*question, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	answers := make(map[string]healthAnswer, len(first)+len(others))
	for _, q := range first {
		if q.answer == nil {
			answers[q.path] = healthAnswer{at: now, failed: true}
			continue
		}
		q.answer.at = now
		answers[q.path] = *q.answer
		q.take(*q.answer)
	}
	missing := map[string]int{}
	for _, q := range others {
		a, known := e.answers[q.path]
		if known {
			answers[q.path] = a
		}
		if !known || a.failed || now.Sub(a.at) > healthKept {
			missing[q.what]++
			continue
		}
		q.take(a)
		if a.at.Before(r.health.Read) {
			r.health.Read = a.at
		}
	}
	e.answers = answers
	for what, n := range missing {
		r.fail(what, fmt.Errorf("%d not read yet, as they take turns", n))
	}
}

// healthReading is one reading under way.
type healthReading struct {
	c *client

	mu        sync.Mutex
	left      int // requests that it may send
	health    reconcile.Health
	questions []*question
	troubles  map[string][]error // by what could not be read
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
			texts = append(texts, fmt.Sprintf("%s: the token may not read how they do: it is wrong, or lacks the permission %q", what, permissions[what]))
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

// ask asks a few at a time.
func (r *healthReading) ask(ctx context.Context, questions []*question) {
	slots := make(chan struct{}, healthReads)
	var wg sync.WaitGroup
	for _, q := range questions {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			a, err := q.read(func(out any) error {
				if err := cmp.Or(ctx.Err(), r.spare()); err != nil {
					return err
				}
				return r.c.call(ctx, http.MethodGet, q.path, nil, out)
			})
			if err != nil {
				r.fail(q.what, err)
				return
			}
			q.answer = &a
		})
	}
	wg.Wait()
}

// listTunnels finds the tunnels of the specification, and has those asked about
// whose connections are not in the list: that they are there is deprecated.
func (r *healthReading) listTunnels(ctx context.Context, spec *schema.Spec) {
	all, err := listed[wireTunnel](ctx, r, "/cfd_tunnel", url.Values{"is_deleted": {"false"}}, tunnelsPerPage)
	if err != nil {
		r.fail("tunnels", err)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range all {
		if _, ours := spec.Tunnels[t.Name]; !ours || t.DeletedAt != nil {
			continue
		}
		take := func(connectors []reconcile.ConnectorHealth) {
			r.health.Tunnels[t.Name] = reconcile.TunnelHealth{Status: t.Status, Connectors: connectors}
		}
		clients := byClient(t.Connections)
		take(connected(clients))
		if t.Status != "healthy" && t.Status != "degraded" || len(clients) > 0 {
			continue
		}
		r.questions = append(r.questions, &question{
			what: "tunnels", path: r.c.inAccount("/cfd_tunnel/%s/connections", t.ID),
			read: func(get func(any) error) (healthAnswer, error) {
				var clients []wireClient
				err := get(&clients)
				return healthAnswer{connectors: connected(clients)}, err
			},
			take: func(a healthAnswer) { take(a.connectors) },
		})
	}
}

// listPools finds pools by name, and has each asked about.
func (r *healthReading) listPools(ctx context.Context, names []string) {
	all, err := listed[wirePool](ctx, r, "/load_balancers/pools", nil, 0)
	if err != nil {
		r.fail("pools", err)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range all {
		if _, ours := slices.BinarySearch(names, p.Name); !ours {
			continue
		}
		r.questions = append(r.questions, &question{
			what: "pools", path: r.c.inAccount("/load_balancers/pools/%s/health", p.ID),
			read: func(get func(any) error) (a healthAnswer, err error) {
				var found wirePoolHealth
				if err := get(&found); err != nil {
					return a, err
				}
				if h, known := found.judge(p.Origins); known {
					a.pool = &h
				}
				return a, nil
			},
			take: func(a healthAnswer) {
				if a.pool != nil {
					r.health.Pools[p.Name] = *a.pool
				}
			},
		})
	}
}

// listed is a list of the account, if the budget has room for it.
func listed[T any](ctx context.Context, r *healthReading, path string, query url.Values, size int) ([]T, error) {
	if err := r.spare(); err != nil {
		return nil, err
	}
	return list[T](ctx, r.c, r.c.inAccount("%s", path), query, size)
}
