package schema

// Pool is a set of origins that share a monitor.
type Pool struct {
	Name               string              `json:"-"`
	Description        string              `json:"description,omitempty"`
	Enabled            bool                `json:"enabled"`
	Monitor            string              `json:"monitor,omitempty"`
	MonitorGroup       string              `json:"monitorGroup,omitempty"`
	MinimumOrigins     int                 `json:"minimumOrigins"`
	CheckRegions       []string            `json:"checkRegions,omitempty" diff:"set"`
	HealthSources      []string            `json:"healthSources,omitempty"`
	Latitude           *float64            `json:"latitude,omitempty"`
	Longitude          *float64            `json:"longitude,omitempty"`
	LoadShedding       LoadShedding        `json:"loadShedding"`
	NotificationEmail  string              `json:"notificationEmail,omitempty"`
	NotificationFilter *NotificationFilter `json:"notificationFilter,omitempty"`
	OriginSteering     OriginSteering      `json:"originSteering"`
	Origins            map[string]Origin   `json:"origins"`
	Protect            bool                `json:"protect,omitempty"`

	// Routes are the routes that carry traffic to private origins, found by
	// Spec.Objects so that a pool comes after them.
	Routes []ID `json:"-" diff:"-"`
}

// LoadShedding drops a share of a pool's traffic.
type LoadShedding struct {
	DefaultPercent float64 `json:"defaultPercent"`
	DefaultPolicy  string  `json:"defaultPolicy"`
	SessionPercent float64 `json:"sessionPercent"`
	SessionPolicy  string  `json:"sessionPolicy"`
}

// NotificationFilter narrows health notifications.
type NotificationFilter struct {
	Origin *FilterOptions `json:"origin,omitempty"`
	Pool   *FilterOptions `json:"pool,omitempty"`
}

// FilterOptions narrows the notifications of one type of resource.
type FilterOptions struct {
	Disable bool  `json:"disable"`
	Healthy *bool `json:"healthy,omitempty"`
}

// OriginSteering selects among a pool's origins.
type OriginSteering struct {
	Policy string `json:"policy"`
}

// Origin is an endpoint of a pool.
type Origin struct {
	Address       string       `json:"address,omitempty"`
	Tunnel        string       `json:"tunnel,omitempty"`
	VirtualRouter string       `json:"virtualRouter,omitempty"`
	Network       string       `json:"network,omitempty"`
	Port          int          `json:"port"`
	Enabled       bool         `json:"enabled"`
	Weight        float64      `json:"weight"`
	FlattenCname  bool         `json:"flattenCname"`
	Header        OriginHeader `json:"header"`
}

// OriginHeader overrides request headers toward an origin.
type OriginHeader struct {
	Host []string `json:"Host,omitempty"`
}

// Defaults returns an origin with every default set.
func (Origin) Defaults() any { return Origin{Enabled: true, Weight: 1, FlattenCname: true} }

func (p Pool) ID() ID { return ID{KindPool, p.Name} }

// Refs are the monitor, and for each origin its network, its tunnel and that
// tunnel's configuration: traffic must not arrive before the ingress rules.
func (p Pool) Refs() []ID {
	ids := append([]ID{ref(KindMonitor, p.Monitor)}, p.Routes...)
	for _, o := range p.Origins {
		ids = append(ids, ref(KindNetwork, o.Network), ref(KindTunnel, o.Tunnel), ref(KindTunnelConfiguration, o.Tunnel))
	}
	return refs(ids...)
}
func (p Pool) Protected() bool { return p.Protect }
func (p Pool) Blank() Object {
	return Pool{
		Name:           p.Name,
		Enabled:        true,
		MinimumOrigins: 1,
		LoadShedding:   LoadShedding{DefaultPolicy: "random", SessionPolicy: "hash"},
		OriginSteering: OriginSteering{Policy: "random"},
	}
}
func (Pool) sealed() {}
