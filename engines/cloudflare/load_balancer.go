package cloudflare

import (
	"math"
	"strings"

	"github.com/hactl/hactl/schema"
)

// wireBalancer is a load balancer, public or private (API:
// zones/{zone_id}/load_balancers, accounts/{account_id}/load_balancers).
type wireBalancer struct {
	ID                        string              `json:"id,omitempty"`
	Name                      string              `json:"name"`
	Description               string              `json:"description"`
	Enabled                   *bool               `json:"enabled,omitempty"`
	DefaultPools              []string            `json:"default_pools"`
	FallbackPool              string              `json:"fallback_pool"`
	RegionPools               map[string][]string `json:"region_pools"`
	CountryPools              map[string][]string `json:"country_pools"`
	PopPools                  map[string][]string `json:"pop_pools"`
	SteeringPolicy            string              `json:"steering_policy"`
	RandomSteering            *wireRandomSteering `json:"random_steering,omitempty"`
	SessionAffinity           string              `json:"session_affinity,omitempty"`
	SessionAffinityTTL        *float64            `json:"session_affinity_ttl,omitempty"`
	SessionAffinityAttributes *wireAffinity       `json:"session_affinity_attributes,omitempty"`
	AdaptiveRouting           *wireAdaptive       `json:"adaptive_routing,omitempty"`
	LocationStrategy          *wireLocation       `json:"location_strategy,omitempty"`
	Proxied                   *bool               `json:"proxied,omitempty"`
	TTL                       *float64            `json:"ttl,omitempty"`
	Networks                  []string            `json:"networks,omitempty"`
	Rules                     []wireRule          `json:"rules,omitempty"`
	CreatedOn                 string              `json:"created_on,omitempty"`
}

type wireRandomSteering struct {
	DefaultWeight *float64           `json:"default_weight,omitempty"`
	PoolWeights   map[string]float64 `json:"pool_weights,omitempty"`
}

type wireAffinity struct {
	Samesite             string   `json:"samesite,omitempty"`
	Secure               string   `json:"secure,omitempty"`
	DrainDuration        float64  `json:"drain_duration"`
	ZeroDowntimeFailover string   `json:"zero_downtime_failover,omitempty"`
	Headers              []string `json:"headers,omitempty"`
	RequireAllHeaders    *bool    `json:"require_all_headers,omitempty"`
}

type wireAdaptive struct {
	FailoverAcrossPools bool `json:"failover_across_pools"`
}

type wireLocation struct {
	Mode      string `json:"mode,omitempty"`
	PreferEcs string `json:"prefer_ecs,omitempty"`
}

type wireRule struct {
	Name          string         `json:"name"`
	Condition     string         `json:"condition"`
	Disabled      bool           `json:"disabled"`
	Priority      *int           `json:"priority,omitempty"`
	Terminates    bool           `json:"terminates"`
	FixedResponse *wireFixed     `json:"fixed_response,omitempty"`
	Overrides     *wireOverrides `json:"overrides,omitempty"`
}

type wireFixed struct {
	ContentType string `json:"content_type,omitempty"`
	Location    string `json:"location,omitempty"`
	MessageBody string `json:"message_body,omitempty"`
	StatusCode  int    `json:"status_code,omitempty"`
}

type wireOverrides struct {
	DefaultPools              []string            `json:"default_pools,omitempty"`
	FallbackPool              string              `json:"fallback_pool,omitempty"`
	RegionPools               map[string][]string `json:"region_pools,omitempty"`
	CountryPools              map[string][]string `json:"country_pools,omitempty"`
	PopPools                  map[string][]string `json:"pop_pools,omitempty"`
	Pools                     []string            `json:"pools,omitempty"`
	PoolWeights               map[string]float64  `json:"pool_weights,omitempty"`
	PoolDefaultWeight         *float64            `json:"pool_default_weight,omitempty"`
	SteeringPolicy            string              `json:"steering_policy,omitempty"`
	RandomSteering            *wireRandomSteering `json:"random_steering,omitempty"`
	SessionAffinity           string              `json:"session_affinity,omitempty"`
	SessionAffinityTTL        *float64            `json:"session_affinity_ttl,omitempty"`
	SessionAffinityAttributes *wireAffinity       `json:"session_affinity_attributes,omitempty"`
	AdaptiveRouting           *wireAdaptive       `json:"adaptive_routing,omitempty"`
	LocationStrategy          *wireLocation       `json:"location_strategy,omitempty"`
	TTL                       *float64            `json:"ttl,omitempty"`
}

func (w wireBalancer) object(t *translation, description string) schema.Balancing {
	blank := schema.LoadBalancer{}.Blank().(schema.LoadBalancer).Balancing
	b := schema.Balancing{
		Description: description, Enabled: or(w.Enabled, true), DefaultPools: t.list(w.DefaultPools), FallbackPool: t.name(w.FallbackPool),
		RegionPools: t.lists(w.RegionPools), CountryPools: t.lists(w.CountryPools), PopPools: t.lists(w.PopPools),
		SteeringPolicy: w.SteeringPolicy, RandomSteering: blank.RandomSteering, SessionAffinity: w.SessionAffinity,
		SessionAffinityTTL: fromFloat(w.SessionAffinityTTL), SessionAffinityAttributes: blank.SessionAffinityAttributes,
		LocationStrategy: blank.LocationStrategy, Proxied: new(value(w.Proxied)), TTL: blank.TTL, Networks: w.Networks,
	}
	if w.RandomSteering != nil {
		b.RandomSteering = *w.RandomSteering.object(t)
	}
	if w.SessionAffinity == "" {
		b.SessionAffinity = "none"
	}
	if w.SessionAffinityAttributes != nil {
		b.SessionAffinityAttributes = *w.SessionAffinityAttributes.object()
	}
	if w.AdaptiveRouting != nil {
		b.AdaptiveRouting = schema.AdaptiveRouting(*w.AdaptiveRouting)
	}
	if w.LocationStrategy != nil {
		b.LocationStrategy = *w.LocationStrategy.object()
	}
	if w.TTL != nil && *w.TTL > 0 {
		b.TTL = *fromFloat(w.TTL)
	}
	for _, r := range w.Rules {
		b.Rules = append(b.Rules, r.object(t))
	}
	return normalizeBalancing(b)
}

func (w *wireRandomSteering) object(t *translation) *schema.RandomSteering {
	if w == nil {
		return nil
	}
	return &schema.RandomSteering{DefaultWeight: or(w.DefaultWeight, 1), PoolWeights: t.weights(w.PoolWeights)}
}

func (w *wireAffinity) object() *schema.SessionAffinityAttributes {
	if w == nil {
		return nil
	}
	a := schema.SessionAffinityAttributes{}.Defaults().(schema.SessionAffinityAttributes)
	if w.Samesite != "" {
		a.Samesite = w.Samesite
	}
	if w.Secure != "" {
		a.Secure = w.Secure
	}
	if w.ZeroDowntimeFailover != "" {
		a.ZeroDowntimeFailover = w.ZeroDowntimeFailover
	}
	a.DrainDuration = schema.Seconds(int(w.DrainDuration))
	a.Headers, a.RequireAllHeaders = w.Headers, value(w.RequireAllHeaders)
	return &a
}

func (w *wireLocation) object() *schema.LocationStrategy {
	if w == nil {
		return nil
	}
	l := schema.LocationStrategy{}.Defaults().(schema.LocationStrategy)
	if w.Mode != "" {
		l.Mode = w.Mode
	}
	if w.PreferEcs != "" {
		l.PreferEcs = w.PreferEcs
	}
	return &l
}

func (w wireRule) object(t *translation) schema.Rule {
	r := schema.Rule{Name: w.Name, Condition: w.Condition, Disabled: w.Disabled, Priority: w.Priority, Terminates: w.Terminates}
	if f := w.FixedResponse; f != nil {
		r.FixedResponse = new(schema.FixedResponse(*f))
	}
	if o := w.Overrides; o != nil && w.FixedResponse == nil {
		r.Overrides = &schema.Overrides{
			DefaultPools: t.list(o.DefaultPools), FallbackPool: t.name(o.FallbackPool), RegionPools: t.lists(o.RegionPools),
			CountryPools: t.lists(o.CountryPools), PopPools: t.lists(o.PopPools), Pools: t.list(o.Pools),
			PoolWeights: t.weights(o.PoolWeights), PoolDefaultWeight: o.PoolDefaultWeight, SteeringPolicy: o.SteeringPolicy,
			RandomSteering: o.RandomSteering.object(t), SessionAffinity: o.SessionAffinity,
			SessionAffinityTTL: fromFloat(o.SessionAffinityTTL), SessionAffinityAttributes: o.SessionAffinityAttributes.object(),
			LocationStrategy: o.LocationStrategy.object(), TTL: fromFloat(o.TTL),
		}
		if o.AdaptiveRouting != nil {
			r.Overrides.AdaptiveRouting = new(schema.AdaptiveRouting(*o.AdaptiveRouting))
		}
	}
	return r
}

// normalizeBalancing fills in what the server does: the steering policy, the
// rules' priorities and order, and the affinity's TTL by its kind.
func normalizeBalancing(b schema.Balancing) schema.Balancing {
	b = b.WithDefaults()
	if b.SessionAffinityTTL == nil {
		// API: 82800 for cookies, 1800 for headers, where none is given.
		switch b.SessionAffinity {
		case "cookie", "ip_cookie":
			b.SessionAffinityTTL = new(schema.Seconds(82800))
		case "header":
			b.SessionAffinityTTL = new(schema.Seconds(1800))
		}
	} else if b.SessionAffinity == "none" {
		b.SessionAffinityTTL = nil
	}
	return b
}

func balancerWire(b schema.Balancing, name, marked string, h *handles) wireBalancer {
	w := wireBalancer{
		Name: name, Description: marked, Enabled: new(b.Enabled), DefaultPools: h.pools(b.DefaultPools),
		FallbackPool: h.of(schema.KindPool, b.FallbackPool), RegionPools: h.poolLists(b.RegionPools),
		CountryPools: h.poolLists(b.CountryPools), PopPools: h.poolLists(b.PopPools), SteeringPolicy: b.SteeringPolicy,
		RandomSteering:  &wireRandomSteering{new(b.RandomSteering.DefaultWeight), h.poolWeights(b.RandomSteering.PoolWeights)},
		SessionAffinity: b.SessionAffinity, SessionAffinityTTL: toFloat(b.SessionAffinityTTL),
		SessionAffinityAttributes: affinityWire(&b.SessionAffinityAttributes),
		AdaptiveRouting:           &wireAdaptive{b.AdaptiveRouting.FailoverAcrossPools},
		LocationStrategy:          &wireLocation{b.LocationStrategy.Mode, b.LocationStrategy.PreferEcs},
		Proxied:                   b.Proxied,
	}
	for _, m := range []*map[string][]string{&w.RegionPools, &w.CountryPools, &w.PopPools} {
		if *m == nil {
			*m = map[string][]string{}
		}
	}
	if !value(b.Proxied) {
		w.TTL = toFloat(&b.TTL) // The API takes a TTL for unproxied balancers only.
	}
	if len(b.Networks) != 1 || b.Networks[0] != "cloudflare" {
		w.Networks = b.Networks
	}
	for _, r := range b.Rules {
		w.Rules = append(w.Rules, ruleWire(r, h))
	}
	return w
}

func affinityWire(a *schema.SessionAffinityAttributes) *wireAffinity {
	if a == nil {
		return nil
	}
	drain, _ := a.DrainDuration.Whole()
	w := &wireAffinity{
		Samesite: a.Samesite, Secure: a.Secure, DrainDuration: float64(drain), ZeroDowntimeFailover: a.ZeroDowntimeFailover, Headers: a.Headers,
	}
	if len(a.Headers) > 0 {
		w.RequireAllHeaders = new(a.RequireAllHeaders)
	}
	return w
}

func ruleWire(r schema.Rule, h *handles) wireRule {
	w := wireRule{Name: r.Name, Condition: r.Condition, Disabled: r.Disabled, Priority: r.Priority, Terminates: r.Terminates}
	if r.FixedResponse != nil {
		w.FixedResponse = new(wireFixed(*r.FixedResponse))
	}
	if o := r.Overrides; o != nil {
		w.Overrides = &wireOverrides{
			DefaultPools: h.pools(o.DefaultPools), FallbackPool: h.of(schema.KindPool, o.FallbackPool), RegionPools: h.poolLists(o.RegionPools),
			CountryPools: h.poolLists(o.CountryPools), PopPools: h.poolLists(o.PopPools), Pools: h.pools(o.Pools),
			PoolWeights: h.poolWeights(o.PoolWeights), PoolDefaultWeight: o.PoolDefaultWeight, SteeringPolicy: o.SteeringPolicy,
			SessionAffinity: o.SessionAffinity, SessionAffinityTTL: toFloat(o.SessionAffinityTTL),
			SessionAffinityAttributes: affinityWire(o.SessionAffinityAttributes), TTL: toFloat(o.TTL),
		}
		if s := o.RandomSteering; s != nil {
			w.Overrides.RandomSteering = &wireRandomSteering{new(s.DefaultWeight), h.poolWeights(s.PoolWeights)}
		}
		if o.AdaptiveRouting != nil {
			w.Overrides.AdaptiveRouting = new(wireAdaptive(*o.AdaptiveRouting))
		}
		if l := o.LocationStrategy; l != nil {
			w.Overrides.LocationStrategy = &wireLocation{l.Mode, l.PreferEcs}
		}
	}
	return w
}

func fromFloat(n *float64) *schema.Duration {
	if n == nil || *n == 0 {
		return nil
	}
	return new(schema.Seconds(int(math.Round(*n))))
}

func toFloat(d *schema.Duration) *float64 {
	if d == nil {
		return nil
	}
	n, _ := d.Whole()
	return new(float64(n))
}

// publicBalancer is a public balancer as read in a zone.
func (w wireBalancer) public(t *translation, zone, description string) schema.LoadBalancer {
	return schema.LoadBalancer{Hostname: strings.ToLower(w.Name), Zone: zone, Balancing: w.object(t, description)}
}
