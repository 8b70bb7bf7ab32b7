package cloudflare

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/schema"
)

// Page sizes: the largest that the API takes, but for DNS records, whose
// pages may hold five million.
const (
	tunnelsPerPage = 1000
	routesPerPage  = 1000
	recordsPerPage = 5000
	zonesPerPage   = 50
)

// snapshot is everything that a read found, in wire form.
type snapshot struct {
	mu       sync.Mutex
	unknown  []reconcile.Unknown
	networks []wireNetwork
	tunnels  []wireTunnel
	routes   []wireRoute
	monitors []wireMonitor
	pools    []wirePool
	private  []wireBalancer
	public   map[string][]wireBalancer // by zone
	records  map[string][]wireRecord   // by zone
	configs  map[string]wireConfiguration
}

// nothing returns an error where no list of the account could be read: a
// token that may read nothing, or an API that does not answer, is one error
// and not a finding about every object.
func (s *snapshot) nothing(account string) error {
	accounts := []schema.Kind{
		schema.KindNetwork, schema.KindRoute, schema.KindMonitor, schema.KindPool, schema.KindPrivateLoadBalancer, schema.KindTunnel,
	}
	var first error
	for _, kind := range accounts {
		i := slices.IndexFunc(s.unknown, func(u reconcile.Unknown) bool { return u.Kind == kind && u.Name == "" })
		if i < 0 {
			return nil
		}
		if first == nil {
			first = s.unknown[i].Err
		}
	}
	err := fmt.Errorf("nothing in Cloudflare account %s could be read: %w", account, first)
	if reconcile.ClassOf(first) == reconcile.Denied {
		err = fmt.Errorf("%w: is the token right, of this account, and may it read Load Balancing and Cloudflare Tunnel?", err)
	}
	return err
}

func (s *snapshot) fail(kind schema.Kind, name, op string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unknown = append(s.unknown, reconcile.Unknown{Kind: kind, Name: name, Err: wrap(op, schema.ID{}, err)})
}

// Read lists everything of the engine's kinds: all lists at once, then the
// zones' lists and the configurations of the tunnels that the specification
// names. It costs one request for each list and page and for each of those
// tunnels, and about two round trips beyond the configurations.
func (e *Engine) Read(ctx context.Context, scope reconcile.Scope) (reconcile.Live, error) {
	s := &snapshot{public: map[string][]wireBalancer{}, records: map[string][]wireRecord{}, configs: map[string]wireConfiguration{}}
	var wg sync.WaitGroup
	e.readAccount(ctx, s, scope, &wg)
	e.readZoned(ctx, s, scope, &wg)
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return reconcile.Live{}, err
	}
	if err := s.nothing(e.client.account); err != nil {
		return reconcile.Live{}, err
	}
	return s.live(scope), nil
}

func (e *Engine) readAccount(ctx context.Context, s *snapshot, scope reconcile.Scope, wg *sync.WaitGroup) {
	alive := url.Values{"is_deleted": {"false"}}
	c := e.client
	wg.Go(func() {
		read(ctx, s, c, schema.KindNetwork, c.inAccount("/teamnet/virtual_networks"), alive, 0, &s.networks)
	})
	wg.Go(func() {
		read(ctx, s, c, schema.KindRoute, c.inAccount("/teamnet/routes"), alive, routesPerPage, &s.routes)
	})
	wg.Go(func() {
		read(ctx, s, c, schema.KindMonitor, c.inAccount("/load_balancers/monitors"), nil, 0, &s.monitors)
	})
	wg.Go(func() { read(ctx, s, c, schema.KindPool, c.inAccount("/load_balancers/pools"), nil, 0, &s.pools) })
	wg.Go(func() {
		read(ctx, s, c, schema.KindPrivateLoadBalancer, c.inAccount("/load_balancers"), nil, 0, &s.private)
	})
	wg.Go(func() {
		if !read(ctx, s, c, schema.KindTunnel, c.inAccount("/cfd_tunnel"), alive, tunnelsPerPage, &s.tunnels) {
			s.fail(schema.KindTunnelConfiguration, "", "list tunnels", errors.New("the tunnels are not known"))
			return
		}
		for _, t := range s.tunnels {
			id := schema.ID{Kind: schema.KindTunnelConfiguration, Name: t.Name}
			if _, wanted := scope.Objects[id]; !wanted || t.DeletedAt != nil {
				continue
			}
			wg.Go(func() {
				var config wireConfiguration
				err := c.call(ctx, http.MethodGet, c.inAccount("/cfd_tunnel/%s/configurations", t.ID), nil, &config)
				if err != nil && !isStatus(err, http.StatusNotFound) {
					s.fail(id.Kind, id.Name, "read configuration of tunnel "+t.Name, err)
					return
				}
				s.mu.Lock()
				defer s.mu.Unlock()
				s.configs[t.ID] = config
			})
		}
	})
}

// read fetches one list; it tells whether that succeeded.
func read[T any](ctx context.Context, s *snapshot, c *client, kind schema.Kind, path string, query url.Values, size int, into *[]T) bool {
	items, err := list[T](ctx, c, path, query, size)
	if err != nil {
		s.fail(kind, "", "list "+string(kind)+"s", err)
		return false
	}
	*into = items
	return true
}

func (e *Engine) readZoned(ctx context.Context, s *snapshot, scope reconcile.Scope, wg *sync.WaitGroup) {
	names := map[string]bool{}
	for _, z := range scope.Journal.Zones {
		names[z] = true
	}
	for _, o := range scope.Objects {
		switch o := o.(type) {
		case schema.LoadBalancer:
			names[o.Zone] = true
		case schema.DNSRecord:
			names[o.Zone] = true
		}
	}
	wg.Go(func() {
		// Without a journal nobody knows which zones hold what is owned.
		if scope.Journal.Revision == "" && len(scope.Journal.Zones) == 0 {
			if err := e.readZones(ctx); err != nil {
				s.fail(schema.KindZone, "", "list zones", err)
				return
			}
			for _, zone := range e.zoneNames() {
				names[zone] = true
			}
		}
		for _, zone := range slices.Sorted(maps.Keys(names)) {
			id, err := e.zone(ctx, zone)
			if err != nil {
				s.fail(schema.KindZone, zone, "find zone "+zone, err)
				continue
			}
			wg.Go(func() {
				items, err := list[wireBalancer](ctx, e.client, "/zones/"+id+"/load_balancers", nil, 0)
				if err != nil {
					s.fail(schema.KindLoadBalancer, "", "list load balancers of "+zone, err)
				}
				s.mu.Lock()
				defer s.mu.Unlock()
				s.public[zone] = items
			})
			wg.Go(func() {
				items, err := list[wireRecord](ctx, e.client, "/zones/"+id+"/dns_records", nil, recordsPerPage)
				if err != nil {
					s.fail(schema.KindDNSRecord, "", "list DNS records of "+zone, err)
				}
				s.mu.Lock()
				defer s.mu.Unlock()
				s.records[zone] = items
			})
		}
	})
}

// mostZones is how many zones are searched where no journal says which.
const mostZones = 50

func (e *Engine) zoneNames() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	names := slices.Sorted(maps.Keys(e.zones))
	return names[:min(len(names), mostZones)]
}

func (e *Engine) readZones(ctx context.Context) error {
	type wireZone struct {
		ID   string `json:"id"`
		Name string `json:"name"`
	}
	zones, err := list[wireZone](ctx, e.client, "/zones", url.Values{"account.id": {e.client.account}}, zonesPerPage)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, z := range zones {
		e.zones[strings.ToLower(z.Name)] = z.ID
	}
	return nil
}
