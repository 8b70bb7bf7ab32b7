package cloudflare

import (
	"reflect"

	"github.com/hactl/hactl/schema"
)

// wireConfiguration is a tunnel's configuration (API:
// cfd_tunnel/{id}/configurations). Durations are whole seconds.
type wireConfiguration struct {
	Config *wireConfig `json:"config"`
}

type wireConfig struct {
	Ingress       []wireIngress      `json:"ingress"`
	OriginRequest *wireOriginRequest `json:"originRequest,omitempty"`
}

type wireIngress struct {
	Hostname      string             `json:"hostname,omitempty"`
	Path          string             `json:"path,omitempty"`
	Service       string             `json:"service"`
	OriginRequest *wireOriginRequest `json:"originRequest,omitempty"`
}

type wireOriginRequest struct {
	Access                 *wireAccess `json:"access,omitempty"`
	CAPool                 *string     `json:"caPool,omitempty"`
	ConnectTimeout         *int        `json:"connectTimeout,omitempty"`
	DisableChunkedEncoding *bool       `json:"disableChunkedEncoding,omitempty"`
	HTTP2Origin            *bool       `json:"http2Origin,omitempty"`
	HTTPHostHeader         *string     `json:"httpHostHeader,omitempty"`
	KeepAliveConnections   *int        `json:"keepAliveConnections,omitempty"`
	KeepAliveTimeout       *int        `json:"keepAliveTimeout,omitempty"`
	MatchSNIToHost         *bool       `json:"matchSNItoHost,omitempty"`
	NoHappyEyeballs        *bool       `json:"noHappyEyeballs,omitempty"`
	NoTLSVerify            *bool       `json:"noTLSVerify,omitempty"`
	OriginServerName       *string     `json:"originServerName,omitempty"`
	ProxyType              *string     `json:"proxyType,omitempty"`
	TCPKeepAlive           *int        `json:"tcpKeepAlive,omitempty"`
	TLSTimeout             *int        `json:"tlsTimeout,omitempty"`
}

type wireAccess struct {
	Required bool     `json:"required"`
	TeamName string   `json:"teamName"`
	AudTag   []string `json:"audTag"`
}

func (w wireConfiguration) object(tunnel string) schema.TunnelConfiguration {
	c := schema.TunnelConfiguration{Tunnel: tunnel}
	if w.Config == nil {
		return c
	}
	for _, r := range w.Config.Ingress {
		c.Ingress = append(c.Ingress, schema.IngressRule{
			Hostname: r.Hostname, Path: r.Path, Service: r.Service, OriginRequest: r.OriginRequest.object(),
		})
	}
	c.OriginRequest = w.Config.OriginRequest.object()
	return normalizeConfiguration(c)
}

func configurationWire(c schema.TunnelConfiguration) wireConfiguration {
	w := &wireConfig{OriginRequest: originRequestWire(c.OriginRequest)}
	for _, r := range c.Ingress {
		w.Ingress = append(w.Ingress, wireIngress{
			Hostname: r.Hostname, Path: r.Path, Service: r.Service, OriginRequest: originRequestWire(r.OriginRequest),
		})
	}
	return wireConfiguration{w}
}

// normalizeConfiguration gives every rule the values in force for it, and
// then leaves out, of the rules' and of the tunnel's, what is Cloudflare's
// default. A rule keeps a default where the tunnel says otherwise. The API
// returns rules expanded with defaults; this form is the same for what was
// sent and for what comes back.
func normalizeConfiguration(c schema.TunnelConfiguration) schema.TunnelConfiguration {
	defaults := schema.DefaultOriginRequest()
	tunnel := schema.OriginRequest{}
	if c.OriginRequest != nil {
		tunnel = *c.OriginRequest
	}
	rules := make([]schema.IngressRule, len(c.Ingress))
	for i, r := range c.Ingress {
		r.OriginRequest = merge(r.OriginRequest, tunnel, defaults)
		rules[i] = r
	}
	c.Ingress = rules
	c.OriginRequest = merge(&tunnel, schema.OriginRequest{}, defaults)
	return c
}

// merge returns the fields of a rule: its own, else the tunnel's, without
// those that both have by default. It is nil where none is left.
func merge(own *schema.OriginRequest, tunnel, defaults schema.OriginRequest) *schema.OriginRequest {
	if own == nil {
		own = &schema.OriginRequest{}
	}
	var out schema.OriginRequest
	left := false
	for i := range reflect.TypeFor[schema.OriginRequest]().NumField() {
		value := reflect.ValueOf(*own).Field(i)
		inherited := reflect.ValueOf(tunnel).Field(i)
		fallback := reflect.ValueOf(defaults).Field(i)
		if value.IsNil() {
			value = inherited
		}
		same := func(v reflect.Value) bool {
			return v.IsNil() || reflect.DeepEqual(v.Elem().Interface(), fallback.Elem().Interface())
		}
		if same(value) && same(inherited) {
			continue
		}
		reflect.ValueOf(&out).Elem().Field(i).Set(value)
		left = true
	}
	if !left {
		return nil
	}
	return &out
}

func (w *wireOriginRequest) object() *schema.OriginRequest {
	if w == nil {
		return nil
	}
	o := &schema.OriginRequest{
		CAPool: w.CAPool, ConnectTimeout: fromSeconds(w.ConnectTimeout), DisableChunkedEncoding: w.DisableChunkedEncoding,
		HTTP2Origin: w.HTTP2Origin, HTTPHostHeader: w.HTTPHostHeader, KeepAliveConnections: w.KeepAliveConnections,
		KeepAliveTimeout: fromSeconds(w.KeepAliveTimeout), MatchSNIToHost: w.MatchSNIToHost, NoHappyEyeballs: w.NoHappyEyeballs,
		NoTLSVerify: w.NoTLSVerify, OriginServerName: w.OriginServerName, ProxyType: w.ProxyType,
		TCPKeepAlive: fromSeconds(w.TCPKeepAlive), TLSTimeout: fromSeconds(w.TLSTimeout),
	}
	if w.Access != nil {
		o.Access = &schema.Access{Required: w.Access.Required, TeamName: w.Access.TeamName}
		if len(w.Access.AudTag) > 0 {
			o.Access.AudTag = w.Access.AudTag
		}
	}
	return o
}

func originRequestWire(o *schema.OriginRequest) *wireOriginRequest {
	if o == nil {
		return nil
	}
	w := &wireOriginRequest{
		CAPool: o.CAPool, ConnectTimeout: toSeconds(o.ConnectTimeout), DisableChunkedEncoding: o.DisableChunkedEncoding,
		HTTP2Origin: o.HTTP2Origin, HTTPHostHeader: o.HTTPHostHeader, KeepAliveConnections: o.KeepAliveConnections,
		KeepAliveTimeout: toSeconds(o.KeepAliveTimeout), MatchSNIToHost: o.MatchSNIToHost, NoHappyEyeballs: o.NoHappyEyeballs,
		NoTLSVerify: o.NoTLSVerify, OriginServerName: o.OriginServerName, ProxyType: o.ProxyType,
		TCPKeepAlive: toSeconds(o.TCPKeepAlive), TLSTimeout: toSeconds(o.TLSTimeout),
	}
	if a := o.Access; a != nil {
		w.Access = &wireAccess{Required: a.Required, TeamName: a.TeamName, AudTag: append([]string{}, a.AudTag...)}
	}
	return w
}

func fromSeconds(n *int) *schema.Duration {
	if n == nil {
		return nil
	}
	return new(schema.Seconds(*n))
}

func toSeconds(d *schema.Duration) *int {
	if d == nil {
		return nil
	}
	n, _ := d.Whole()
	return new(n)
}
