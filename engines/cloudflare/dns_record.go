package cloudflare

import (
	"github.com/hactl/hactl/schema"
)

// wireRecord is a DNS record (API: zones/{zone_id}/dns_records).
type wireRecord struct {
	ID             string         `json:"id,omitempty"`
	Name           string         `json:"name"`
	Type           string         `json:"type"`
	Content        string         `json:"content,omitempty"`
	Data           map[string]any `json:"data,omitempty"`
	TTL            int            `json:"ttl"`
	Proxied        *bool          `json:"proxied,omitempty"`
	Priority       *float64       `json:"priority,omitempty"`
	Comment        *string        `json:"comment"`
	Tags           []string       `json:"tags,omitempty"`
	Settings       *wireSettings  `json:"settings,omitempty"`
	PrivateRouting *bool          `json:"private_routing,omitempty"`
	CreatedOn      string         `json:"created_on,omitempty"`
}

type wireSettings struct {
	IPv4Only     bool `json:"ipv4_only,omitempty"`
	IPv6Only     bool `json:"ipv6_only,omitempty"`
	FlattenCname bool `json:"flatten_cname,omitempty"`
}

func (w wireRecord) object(t *translation, key, zone, comment string) schema.DNSRecord {
	r := schema.DNSRecord{
		Key: key, Zone: zone, Name: w.Name, Type: w.Type, Content: w.Content, TTL: schema.TTL(w.TTL), Proxied: value(w.Proxied),
		Comment: comment, PrivateRouting: value(w.PrivateRouting),
	}
	if len(w.Tags) > 0 {
		r.Tags = w.Tags
	}
	if w.Settings != nil {
		r.Settings = schema.DNSSettings(*w.Settings)
	}
	if w.Priority != nil {
		r.Priority = new(int(*w.Priority))
	}
	if name, ok := t.tunnel(w.Content); ok && w.Type == "CNAME" {
		r.Tunnel, r.Content = name, ""
	}
	if schema.GivenByData(w.Type) && len(w.Data) > 0 {
		r.Data, r.Content = w.Data, ""
	}
	return normalizeRecord(r)
}

func normalizeRecord(r schema.DNSRecord) schema.DNSRecord {
	r = r.Canonical()
	if handle, ok := tunnelHandle(r.Content); ok && r.Type == "CNAME" {
		r.Tunnel, r.Content = schema.ForeignRef(handle), ""
	}
	// SRV has its priority in data; the field repeats it.
	if len(r.Data) > 0 && r.Type != "URI" {
		r.Priority = nil
	}
	return r
}

func recordWire(r schema.DNSRecord, marked string, h *handles) wireRecord {
	w := wireRecord{
		Name: r.Name, Type: r.Type, Content: r.Content, Data: r.Data, TTL: int(r.TTL), Comment: new(marked), Tags: r.Tags,
	}
	if r.Tunnel != "" {
		w.Content = h.of(schema.KindTunnel, r.Tunnel) + tunnelDomain
	}
	if r.Type == "A" || r.Type == "AAAA" || r.Type == "CNAME" {
		w.Proxied = new(r.Proxied)
	}
	if r.Priority != nil {
		w.Priority = new(float64(*r.Priority))
	}
	if r.Settings != (schema.DNSSettings{}) {
		w.Settings = new(wireSettings(r.Settings))
	}
	if r.PrivateRouting {
		w.PrivateRouting = new(true)
	}
	return w
}
