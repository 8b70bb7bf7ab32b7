package schema

// LoadBalancer is a public load balancer; its name is its hostname.
type LoadBalancer struct {
	Hostname string `json:"-"`
	Zone     string `json:"zone" diff:"immutable"`
	Balancing
}

// PrivateLoadBalancer answers WARP clients at a private address.
type PrivateLoadBalancer struct {
	Name string `json:"-"`
	Balancing

	// VIP is the address that Cloudflare assigned: read, never compared.
	VIP string `json:"-" diff:"-"`
}

// Balancing is what public and private load balancers share.
type Balancing struct {
	Description               string                    `json:"description,omitempty"`
	Enabled                   bool                      `json:"enabled"`
	DefaultPools              []string                  `json:"defaultPools"`
	FallbackPool              string                    `json:"fallbackPool"`
	RegionPools               map[string][]string       `json:"regionPools,omitempty"`
	CountryPools              map[string][]string       `json:"countryPools,omitempty"`
	PopPools                  map[string][]string       `json:"popPools,omitempty"`
	SteeringPolicy            string                    `json:"steeringPolicy,omitempty"`
	RandomSteering            RandomSteering            `json:"randomSteering"`
	SessionAffinity           string                    `json:"sessionAffinity"`
	SessionAffinityTTL        *Duration                 `json:"sessionAffinityTtl,omitempty"`
	SessionAffinityAttributes SessionAffinityAttributes `json:"sessionAffinityAttributes"`
	AdaptiveRouting           AdaptiveRouting           `json:"adaptiveRouting"`
	LocationStrategy          LocationStrategy          `json:"locationStrategy"`
	Proxied                   *bool                     `json:"proxied,omitempty"`
	TTL                       Duration                  `json:"ttl"`
	Networks                  []string                  `json:"networks,omitempty" diff:"set"`
	Rules                     []Rule                    `json:"rules,omitempty"`
	Protect                   bool                      `json:"protect,omitempty"`
	// HighAvailability is hactl's own; Spec.Objects leaves it out.
	HighAvailability bool `json:"highAvailability,omitempty" diff:"-"`
}

// RandomSteering weighs pools under random and least-* steering.
type RandomSteering struct {
	DefaultWeight float64            `json:"defaultWeight"`
	PoolWeights   map[string]float64 `json:"poolWeights,omitempty"`
}

// SessionAffinityAttributes tunes session affinity.
type SessionAffinityAttributes struct {
	Samesite             string   `json:"samesite"`
	Secure               string   `json:"secure"`
	DrainDuration        Duration `json:"drainDuration"`
	ZeroDowntimeFailover string   `json:"zeroDowntimeFailover"`
	Headers              []string `json:"headers,omitempty" diff:"set"`
	RequireAllHeaders    bool     `json:"requireAllHeaders"`
}

// AdaptiveRouting extends zero-downtime failover to other pools.
type AdaptiveRouting struct {
	FailoverAcrossPools bool `json:"failoverAcrossPools"`
}

// LocationStrategy says where a request of an unproxied balancer comes from.
type LocationStrategy struct {
	Mode      string `json:"mode"`
	PreferEcs string `json:"preferEcs"`
}

// Rule overrides the balancer, or answers itself, where its condition holds.
type Rule struct {
	Name          string         `json:"name"`
	Condition     string         `json:"condition,omitempty"`
	Disabled      bool           `json:"disabled"`
	Priority      *int           `json:"priority,omitempty"`
	Terminates    bool           `json:"terminates"`
	FixedResponse *FixedResponse `json:"fixedResponse,omitempty"`
	Overrides     *Overrides     `json:"overrides,omitempty"`
}

// Key is the rule's name.
func (r Rule) Key() string { return r.Name }

// FixedResponse is an answer the balancer gives itself.
type FixedResponse struct {
	ContentType string `json:"contentType,omitempty"`
	Location    string `json:"location,omitempty"`
	MessageBody string `json:"messageBody,omitempty"`
	StatusCode  int    `json:"statusCode"`
}

// Overrides replaces fields of the balancer; nil fields are left alone.
type Overrides struct {
	DefaultPools              []string                   `json:"defaultPools,omitempty"`
	FallbackPool              string                     `json:"fallbackPool,omitempty"`
	RegionPools               map[string][]string        `json:"regionPools,omitempty"`
	CountryPools              map[string][]string        `json:"countryPools,omitempty"`
	PopPools                  map[string][]string        `json:"popPools,omitempty"`
	Pools                     []string                   `json:"pools,omitempty"`
	PoolWeights               map[string]float64         `json:"poolWeights,omitempty"`
	PoolDefaultWeight         *float64                   `json:"poolDefaultWeight,omitempty"`
	SteeringPolicy            string                     `json:"steeringPolicy,omitempty"`
	RandomSteering            *RandomSteering            `json:"randomSteering,omitempty"`
	SessionAffinity           string                     `json:"sessionAffinity,omitempty"`
	SessionAffinityTTL        *Duration                  `json:"sessionAffinityTtl,omitempty"`
	SessionAffinityAttributes *SessionAffinityAttributes `json:"sessionAffinityAttributes,omitempty"`
	AdaptiveRouting           *AdaptiveRouting           `json:"adaptiveRouting,omitempty"`
	LocationStrategy          *LocationStrategy          `json:"locationStrategy,omitempty"`
	TTL                       *Duration                  `json:"ttl,omitempty"`
}

func (l LoadBalancer) ID() ID          { return ID{KindLoadBalancer, l.Hostname} }
func (l LoadBalancer) Refs() []ID      { return refs(append(l.poolRefs(), ID{KindZone, l.Zone})...) }
func (l LoadBalancer) Protected() bool { return l.Protect }
func (l LoadBalancer) Blank() Object {
	return LoadBalancer{Hostname: l.Hostname, Balancing: blankBalancing()}
}
func (LoadBalancer) sealed() {}

func (l PrivateLoadBalancer) ID() ID          { return ID{KindPrivateLoadBalancer, l.Name} }
func (l PrivateLoadBalancer) Refs() []ID      { return refs(l.poolRefs()...) }
func (l PrivateLoadBalancer) Protected() bool { return l.Protect }
func (l PrivateLoadBalancer) Blank() Object {
	return PrivateLoadBalancer{Name: l.Name, Balancing: blankBalancing()}
}
func (PrivateLoadBalancer) sealed() {}

func blankBalancing() Balancing {
	return Balancing{
		Enabled:                   true,
		RandomSteering:            RandomSteering{DefaultWeight: 1},
		SessionAffinity:           "none",
		SessionAffinityAttributes: SessionAffinityAttributes{}.Defaults().(SessionAffinityAttributes),
		LocationStrategy:          LocationStrategy{}.Defaults().(LocationStrategy),
		Proxied:                   new(false),
		TTL:                       Seconds(30),
		Networks:                  []string{"cloudflare"},
		SteeringPolicy:            "off",
	}
}

// Defaults returns Cloudflare's.
func (SessionAffinityAttributes) Defaults() any {
	return SessionAffinityAttributes{Samesite: "Auto", Secure: "Auto", ZeroDowntimeFailover: "none"}
}

// Defaults returns Cloudflare's.
func (LocationStrategy) Defaults() any { return LocationStrategy{Mode: "pop", PreferEcs: "proximity"} }

// WithDefaults fills in what depends on other fields: the steering policy
// ("geo" where there are geo maps), and the rules' priorities (0, 10, 20 in
// the order given, where no rule has one).
func (b Balancing) WithDefaults() Balancing {
	if b.SteeringPolicy == "" {
		b.SteeringPolicy = "off"
		if len(b.RegionPools)+len(b.CountryPools)+len(b.PopPools) > 0 {
			b.SteeringPolicy = "geo"
		}
	}
	if b.Proxied == nil {
		b.Proxied = new(false)
	}
	if b.Networks == nil {
		b.Networks = []string{"cloudflare"}
	}
	given := false
	for _, r := range b.Rules {
		given = given || r.Priority != nil
	}
	rules := make([]Rule, len(b.Rules))
	for i, r := range b.Rules {
		if r.Priority == nil && given {
			r.Priority = new(0)
		} else if r.Priority == nil {
			r.Priority = new(10 * i)
		}
		// The API ends the evaluation at a fixed response, said or not.
		r.Terminates = r.Terminates || r.FixedResponse != nil
		rules[i] = r
	}
	if len(rules) > 0 {
		b.Rules = rules
	}
	return b
}

// PoolNames calls yield with every mention of a pool and its path in the
// balancer, in the order of the fields; the rules' too.
func (b Balancing) PoolNames(yield func(path, pool string)) {
	topology(b.DefaultPools, b.FallbackPool, b.RegionPools, b.CountryPools, b.PopPools, "", yield)
	weights(b.RandomSteering.PoolWeights, "randomSteering.poolWeights", yield)
	for i, r := range b.Rules {
		o := r.Overrides
		if o == nil {
			continue
		}
		prefix := "rules[" + itoa(i) + "].overrides."
		topology(o.DefaultPools, o.FallbackPool, o.RegionPools, o.CountryPools, o.PopPools, prefix, yield)
		list(o.Pools, prefix+"pools", yield)
		weights(o.PoolWeights, prefix+"poolWeights", yield)
		if o.RandomSteering != nil {
			weights(o.RandomSteering.PoolWeights, prefix+"randomSteering.poolWeights", yield)
		}
	}
}

func topology(defaults []string, fallback string, regions, countries, pops map[string][]string, prefix string, yield func(path, pool string)) {
	list(defaults, prefix+"defaultPools", yield)
	if fallback != "" {
		yield(prefix+"fallbackPool", fallback)
	}
	for _, m := range []struct {
		name  string
		pools map[string][]string
	}{{"regionPools", regions}, {"countryPools", countries}, {"popPools", pops}} {
		for _, key := range sortedKeys(m.pools) {
			list(m.pools[key], prefix+m.name+"."+key, yield)
		}
	}
}

func list(pools []string, path string, yield func(path, pool string)) {
	for i, p := range pools {
		yield(path+"["+itoa(i)+"]", p)
	}
}

func weights(pools map[string]float64, path string, yield func(path, pool string)) {
	for _, p := range sortedKeys(pools) {
		yield(Join(path, p), p)
	}
}

func (b Balancing) poolRefs() []ID {
	var ids []ID
	b.PoolNames(func(_, pool string) { ids = append(ids, ref(KindPool, pool)) })
	return ids
}
