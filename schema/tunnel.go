package schema

import (
	"net/netip"
	"strings"
)

// TunnelSpec is a tunnel as a specification writes it: the tunnel, its
// configuration and its routes. Spec.Objects takes it apart.
type TunnelSpec struct {
	Connectors    []string       `json:"connectors,omitempty"`
	TunnelSecret  *SecretRef     `json:"tunnelSecret,omitempty"`
	Ingress       []IngressRule  `json:"ingress,omitempty"`
	OriginRequest *OriginRequest `json:"originRequest,omitempty"`
	Routes        []Route        `json:"routes,omitempty"`
	DNS           bool           `json:"dns"`
	Protect       bool           `json:"protect"`
}

// Tunnel is a remotely managed tunnel (config_src "cloudflare").
type Tunnel struct {
	Name         string     `json:"-"`
	TunnelSecret *SecretRef `json:"tunnelSecret,omitempty" diff:"writeonly"`
	Protect      bool       `json:"protect,omitempty" diff:"-"`

	// ConfigSrc is where the tunnel's configuration lives; always
	// "cloudflare" in a specification, "local" only in what is read.
	ConfigSrc string `json:"configSrc" diff:"-"`
	// Connections is how many connectors are connected: read, never compared.
	Connections int `json:"-" diff:"-"`
}

func (t Tunnel) ID() ID          { return ID{KindTunnel, t.Name} }
func (t Tunnel) Refs() []ID      { return nil }
func (t Tunnel) Protected() bool { return t.Protect }
func (t Tunnel) Blank() Object   { return Tunnel{Name: t.Name, ConfigSrc: "cloudflare"} }
func (Tunnel) sealed()           {}

// TunnelConfiguration is what a tunnel's connectors fetch: its ingress.
type TunnelConfiguration struct {
	Tunnel        string         `json:"-"`
	Ingress       []IngressRule  `json:"ingress"`
	OriginRequest *OriginRequest `json:"originRequest,omitempty"`
	Protect       bool           `json:"protect,omitempty" diff:"-"`
}

func (c TunnelConfiguration) ID() ID          { return ID{KindTunnelConfiguration, c.Tunnel} }
func (c TunnelConfiguration) Refs() []ID      { return refs(ref(KindTunnel, c.Tunnel)) }
func (c TunnelConfiguration) Protected() bool { return c.Protect }
func (c TunnelConfiguration) Blank() Object   { return TunnelConfiguration{Tunnel: c.Tunnel} }
func (TunnelConfiguration) sealed()           {}

// IngressRule sends matching requests to a service. Rules are tried in order.
type IngressRule struct {
	Hostname      string         `json:"hostname,omitempty"`
	Path          string         `json:"path,omitempty"`
	Service       string         `json:"service"`
	Zone          string         `json:"zone,omitempty" diff:"-"`
	OriginRequest *OriginRequest `json:"originRequest,omitempty"`
	// HighAvailability is hactl's own; Spec.Objects leaves it out.
	HighAvailability bool `json:"highAvailability,omitempty" diff:"-"`
}

// Key is the rule's hostname and path; "*" for the catch-all.
func (r IngressRule) Key() string {
	if r.Hostname == "" && r.Path == "" {
		return "*"
	}
	return r.Hostname + r.Path
}

// CatchAll tells whether the rule matches every request.
func (r IngressRule) CatchAll() bool { return (r.Hostname == "" || r.Hostname == "*") && r.Path == "" }

// Matches tells whether requests for that hostname can meet the rule.
func (r IngressRule) Matches(hostname string) bool {
	if r.Hostname == "" || r.Hostname == "*" || strings.EqualFold(r.Hostname, hostname) {
		return true
	}
	suffix, wild := strings.CutPrefix(r.Hostname, "*")
	return wild && strings.HasSuffix(strings.ToLower(hostname), strings.ToLower(suffix))
}

// OriginRequest tunes the connection to a service. A nil field means the
// default, at the tunnel's level Cloudflare's and in a rule the tunnel's.
type OriginRequest struct {
	Access                 *Access   `json:"access,omitempty"`
	CAPool                 *string   `json:"caPool,omitempty"`
	ConnectTimeout         *Duration `json:"connectTimeout,omitempty"`
	DisableChunkedEncoding *bool     `json:"disableChunkedEncoding,omitempty"`
	HTTP2Origin            *bool     `json:"http2Origin,omitempty"`
	HTTPHostHeader         *string   `json:"httpHostHeader,omitempty"`
	KeepAliveConnections   *int      `json:"keepAliveConnections,omitempty"`
	KeepAliveTimeout       *Duration `json:"keepAliveTimeout,omitempty"`
	MatchSNIToHost         *bool     `json:"matchSNItoHost,omitempty"`
	NoHappyEyeballs        *bool     `json:"noHappyEyeballs,omitempty"`
	NoTLSVerify            *bool     `json:"noTLSVerify,omitempty"`
	OriginServerName       *string   `json:"originServerName,omitempty"`
	ProxyType              *string   `json:"proxyType,omitempty"`
	TCPKeepAlive           *Duration `json:"tcpKeepAlive,omitempty"`
	TLSTimeout             *Duration `json:"tlsTimeout,omitempty"`
}

// Access makes the connector validate Cloudflare Access tokens.
type Access struct {
	Required bool     `json:"required"`
	TeamName string   `json:"teamName,omitempty"`
	AudTag   []string `json:"audTag,omitempty" diff:"set"`
}

// DefaultOriginRequest is what Cloudflare fills in (API: cfd_tunnel
// configurations, as of November 2026).
func DefaultOriginRequest() OriginRequest {
	return OriginRequest{
		Access:                 &Access{},
		CAPool:                 new(""),
		ConnectTimeout:         new(Seconds(10)),
		DisableChunkedEncoding: new(false),
		HTTP2Origin:            new(false),
		HTTPHostHeader:         new(""),
		KeepAliveConnections:   new(100),
		KeepAliveTimeout:       new(Seconds(90)),
		MatchSNIToHost:         new(false),
		NoHappyEyeballs:        new(false),
		NoTLSVerify:            new(false),
		OriginServerName:       new(""),
		ProxyType:              new(""),
		TCPKeepAlive:           new(Seconds(30)),
		TLSTimeout:             new(Seconds(10)),
	}
}

// Route sends a private network's traffic through a tunnel.
type Route struct {
	// Network is the virtual network; "" is the account's default one.
	Network string `json:"network,omitempty" diff:"-"`
	CIDR    string `json:"cidr" diff:"-"`
	Tunnel  string `json:"tunnel"`
	Comment string `json:"comment,omitempty"`
	Protect bool   `json:"protect,omitempty"`
	// HighAvailability is hactl's own; Spec.Objects leaves it out.
	HighAvailability bool `json:"highAvailability,omitempty" diff:"-"`
}

// ID is made of what is unique at Cloudflare: "route/lan/192.0.2.0/24", or
// "route/192.0.2.0/24" in the account's default network.
func (r Route) ID() ID {
	name := r.CIDR
	if r.Network != "" {
		name = r.Network + "/" + r.CIDR
	}
	return ID{KindRoute, name}
}
func (r Route) Refs() []ID {
	return refs(ref(KindTunnel, r.Tunnel), ref(KindNetwork, r.Network))
}
func (r Route) Protected() bool { return r.Protect }
func (r Route) Blank() Object   { return Route{Network: r.Network, CIDR: r.CIDR} }
func (Route) sealed()           {}

// Prefix returns the route's network, the zero Prefix where it does not parse.
func (r Route) Prefix() netip.Prefix {
	p, err := netip.ParsePrefix(r.CIDR)
	if err != nil {
		return netip.Prefix{}
	}
	return p.Masked()
}
