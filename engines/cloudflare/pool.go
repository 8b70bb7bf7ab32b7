package cloudflare

import (
	"net/netip"
	"slices"

	"github.com/hactl/hactl/schema"
)

// wirePool is a pool (API: load_balancers/pools). A nil check_regions means
// everywhere; monitor is null where there is none.
type wirePool struct {
	ID                 string            `json:"id,omitempty"`
	Name               string            `json:"name"`
	Description        string            `json:"description"`
	Enabled            *bool             `json:"enabled,omitempty"`
	Monitor            *string           `json:"monitor"`
	MonitorGroup       *string           `json:"monitor_group,omitempty"`
	MinimumOrigins     *int              `json:"minimum_origins,omitempty"`
	CheckRegions       []string          `json:"check_regions"`
	HealthSources      []string          `json:"health_sources,omitempty"`
	Latitude           *float64          `json:"latitude,omitempty"`
	Longitude          *float64          `json:"longitude,omitempty"`
	LoadShedding       *wireLoadShedding `json:"load_shedding,omitempty"`
	NotificationEmail  string            `json:"notification_email"`
	NotificationFilter *wireFilter       `json:"notification_filter,omitempty"`
	OriginSteering     *wireSteering     `json:"origin_steering,omitempty"`
	Origins            []wireOrigin      `json:"origins"`
	CreatedOn          string            `json:"created_on,omitempty"`
}

type wireLoadShedding struct {
	DefaultPercent float64 `json:"default_percent"`
	DefaultPolicy  string  `json:"default_policy,omitempty"`
	SessionPercent float64 `json:"session_percent"`
	SessionPolicy  string  `json:"session_policy,omitempty"`
}

type wireFilter struct {
	Origin *wireFilterOptions `json:"origin,omitempty"`
	Pool   *wireFilterOptions `json:"pool,omitempty"`
}

type wireFilterOptions struct {
	Disable bool  `json:"disable"`
	Healthy *bool `json:"healthy,omitempty"`
}

type wireSteering struct {
	Policy string `json:"policy,omitempty"`
}

type wireOrigin struct {
	Name             string              `json:"name"`
	Address          string              `json:"address"`
	VirtualNetworkID *string             `json:"virtual_network_id,omitempty"`
	Port             *int                `json:"port,omitempty"`
	Enabled          *bool               `json:"enabled,omitempty"`
	Weight           *float64            `json:"weight,omitempty"`
	FlattenCname     *bool               `json:"flatten_cname,omitempty"`
	Header           map[string][]string `json:"header,omitempty"`
}

func (w wirePool) object(t *translation, description string) schema.Pool {
	p := schema.Pool{Name: w.Name}.Blank().(schema.Pool)
	p.Description, p.Enabled, p.Monitor = description, or(w.Enabled, true), t.name(value(w.Monitor))
	if g := value(w.MonitorGroup); g != "" {
		p.MonitorGroup = schema.ForeignRef(g)
	}
	p.MinimumOrigins = or(w.MinimumOrigins, 1)
	p.CheckRegions, p.HealthSources = w.CheckRegions, w.HealthSources
	p.Latitude, p.Longitude = w.Latitude, w.Longitude
	p.NotificationEmail = w.NotificationEmail
	if l := w.LoadShedding; l != nil {
		p.LoadShedding.DefaultPercent, p.LoadShedding.SessionPercent = l.DefaultPercent, l.SessionPercent
		if l.DefaultPolicy != "" {
			p.LoadShedding.DefaultPolicy = l.DefaultPolicy
		}
		if l.SessionPolicy != "" {
			p.LoadShedding.SessionPolicy = l.SessionPolicy
		}
	}
	if f := w.NotificationFilter; f != nil {
		p.NotificationFilter = &schema.NotificationFilter{Origin: f.Origin.object(), Pool: f.Pool.object()}
	}
	if s := w.OriginSteering; s != nil && s.Policy != "" {
		p.OriginSteering.Policy = s.Policy
	}
	p.Origins = make(map[string]schema.Origin, len(w.Origins))
	for _, o := range w.Origins {
		p.Origins[o.Name] = o.object(t)
	}
	return normalizePool(p)
}

func (w wireOrigin) object(t *translation) schema.Origin {
	o := schema.Origin{
		Port: value(w.Port), Enabled: or(w.Enabled, true), Weight: or(w.Weight, 1), FlattenCname: or(w.FlattenCname, true),
		Header: schema.OriginHeader{Host: headers(w.Header)["Host"]},
	}
	if name, ok := t.tunnel(w.Address); ok {
		o.Tunnel = name
		return o
	}
	o.Address = w.Address
	if network := value(w.VirtualNetworkID); network != "" {
		o.Network = t.name(network)
	}
	return o
}

func (w *wireFilterOptions) object() *schema.FilterOptions {
	if w == nil || !w.Disable && w.Healthy == nil {
		return nil
	}
	return &schema.FilterOptions{Disable: w.Disable, Healthy: w.Healthy}
}

// normalizePool puts addresses into their short form and drops filters that
// filter nothing.
func normalizePool(p schema.Pool) schema.Pool {
	origins := make(map[string]schema.Origin, len(p.Origins))
	for name, o := range p.Origins {
		if a, err := netip.ParseAddr(o.Address); err == nil {
			o.Address = a.String()
		} else if handle, ok := tunnelHandle(o.Address); ok {
			o.Address, o.Tunnel = "", schema.ForeignRef(handle)
		}
		origins[name] = o
	}
	p.Origins = origins
	if f := p.NotificationFilter; f != nil {
		keep := func(o *schema.FilterOptions) *schema.FilterOptions {
			if o == nil || *o == (schema.FilterOptions{}) {
				return nil
			}
			return o
		}
		p.NotificationFilter = &schema.NotificationFilter{Origin: keep(f.Origin), Pool: keep(f.Pool)}
		if *p.NotificationFilter == (schema.NotificationFilter{}) {
			p.NotificationFilter = nil
		}
	}
	return p
}

func poolWire(p schema.Pool, marked string, h *handles) wirePool {
	w := wirePool{
		Name: p.Name, Description: marked, Enabled: new(p.Enabled), MinimumOrigins: new(p.MinimumOrigins),
		CheckRegions: p.CheckRegions, HealthSources: p.HealthSources, Latitude: p.Latitude, Longitude: p.Longitude,
		LoadShedding: &wireLoadShedding{
			p.LoadShedding.DefaultPercent, p.LoadShedding.DefaultPolicy, p.LoadShedding.SessionPercent, p.LoadShedding.SessionPolicy,
		},
		NotificationEmail: p.NotificationEmail, OriginSteering: &wireSteering{p.OriginSteering.Policy}, Origins: []wireOrigin{},
	}
	if p.Monitor != "" {
		w.Monitor = new(h.of(schema.KindMonitor, p.Monitor))
	}
	if p.MonitorGroup != "" {
		w.MonitorGroup = new(h.of("", p.MonitorGroup))
	}
	if f := p.NotificationFilter; f != nil {
		w.NotificationFilter = &wireFilter{filterWire(f.Origin), filterWire(f.Pool)}
	}
	names := make([]string, 0, len(p.Origins))
	for name := range p.Origins {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		w.Origins = append(w.Origins, originWire(name, p.Origins[name], h))
	}
	return w
}

func filterWire(o *schema.FilterOptions) *wireFilterOptions {
	if o == nil {
		return nil
	}
	return &wireFilterOptions{o.Disable, o.Healthy}
}

func originWire(name string, o schema.Origin, h *handles) wireOrigin {
	w := wireOrigin{Name: name, Address: o.Address, Enabled: new(o.Enabled), Weight: new(o.Weight), FlattenCname: new(o.FlattenCname)}
	if o.Tunnel != "" {
		w.Address = h.of(schema.KindTunnel, o.Tunnel) + tunnelDomain
	}
	if o.Network != "" {
		w.VirtualNetworkID = new(h.of(schema.KindNetwork, o.Network))
	}
	if o.Port != 0 {
		w.Port = new(o.Port)
	}
	if len(o.Header.Host) > 0 {
		w.Header = map[string][]string{"Host": o.Header.Host}
	}
	return w
}
