package schema

import (
	"net/netip"
	"reflect"
	"strconv"
	"strings"
)

// DNSRecord is a record in a zone at Cloudflare. One made for a tunnel's
// hostname is named by that hostname.
type DNSRecord struct {
	Key      string         `json:"-"`
	Zone     string         `json:"zone" diff:"immutable"`
	Name     string         `json:"name"`
	Type     string         `json:"type" diff:"immutable"`
	Content  string         `json:"content,omitempty"`
	Tunnel   string         `json:"tunnel,omitempty"`
	Data     map[string]any `json:"data,omitempty"`
	TTL      TTL            `json:"ttl"`
	Proxied  bool           `json:"proxied"`
	Priority *int           `json:"priority,omitempty"`
	Comment  string         `json:"comment,omitempty"`
	Tags     []string       `json:"tags,omitempty" diff:"set"`
	Settings DNSSettings    `json:"settings"`

	PrivateRouting bool `json:"privateRouting"`
	Protect        bool `json:"protect,omitempty"`
	// HighAvailability is hactl's own; Spec.Objects leaves it out.
	HighAvailability bool `json:"highAvailability,omitempty" diff:"-"`
}

// DNSSettings tunes how a record is answered.
type DNSSettings struct {
	IPv4Only     bool `json:"ipv4Only"`
	IPv6Only     bool `json:"ipv6Only"`
	FlattenCname bool `json:"flattenCname"`
}

func (r DNSRecord) ID() ID { return ID{KindDNSRecord, r.Key} }
func (r DNSRecord) Refs() []ID {
	return refs(ID{KindZone, r.Zone}, ref(KindTunnel, r.Tunnel), ref(KindTunnelConfiguration, r.Tunnel))
}
func (r DNSRecord) Protected() bool { return r.Protect }
func (r DNSRecord) Blank() Object   { return DNSRecord{Key: r.Key, TTL: AutoTTL} }
func (DNSRecord) sealed()           {}

// addressType tells whether records of that type hold a name's address; at
// one name there is either one CNAME or any number of A and AAAA records.
func addressType(t string) bool { return t == "A" || t == "AAAA" || t == "CNAME" }

// AddressType tells whether the record says where its name is: A, AAAA, CNAME.
func (r DNSRecord) AddressType() bool { return addressType(r.Type) }

// Slot is the record's name.
func (r DNSRecord) Slot() string { return r.Zone + " " + r.Canonical().Name }

// Excludes tells whether the two records cannot exist side by side: a CNAME
// stands alone beside A and AAAA records (API: 81053), and no two records are
// identical (81057).
func (r DNSRecord) Excludes(other Object) bool {
	o, ok := other.(DNSRecord)
	if !ok || r.Slot() != o.Slot() || !addressType(r.Type) && r.Type != o.Type {
		return false
	}
	if addressType(r.Type) && addressType(o.Type) && (r.Type == "CNAME" || o.Type == "CNAME") {
		return true
	}
	return r.Type == o.Type && r.Canonical().Content == o.Canonical().Content && r.Tunnel == o.Tunnel && sameData(r.Data, o.Data)
}

// Canonical returns the record as the API returns it: the name in full and in
// lower case, targets without a trailing dot, addresses in their short form.
func (r DNSRecord) Canonical() DNSRecord {
	zone := strings.ToLower(r.Zone)
	name := strings.TrimSuffix(strings.ToLower(r.Name), ".")
	switch {
	case name == "@":
		name = zone
	case name != zone && !strings.HasSuffix(name, "."+zone):
		name += "." + zone
	}
	r.Zone, r.Name = zone, name
	switch r.Type {
	case "A", "AAAA":
		if a, err := netip.ParseAddr(r.Content); err == nil {
			r.Content = a.String()
		}
	case "TXT":
		r.Content = unquoteTXT(r.Content)
	case "CNAME", "MX", "NS", "PTR":
		r.Content = strings.TrimSuffix(strings.ToLower(r.Content), ".")
	}
	return r
}

// sameData compares the parts of two records; numbers are float64 in both.
func sameData(a, b map[string]any) bool {
	return len(a) == 0 && len(b) == 0 || reflect.DeepEqual(a, b)
}

// unquoteTXT joins the quoted strings that a TXT record is made of (RFC 1035,
// 3.3.14: of up to 255 bytes each), so that the text is the same whether it
// was written whole, quoted, or in pieces.
func unquoteTXT(s string) string {
	var b strings.Builder
	rest := strings.TrimSpace(s)
	for rest != "" {
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil || quoted[0] != '"' {
			return s
		}
		text, err := strconv.Unquote(quoted)
		if err != nil {
			return s
		}
		b.WriteString(text)
		rest = strings.TrimLeft(rest[len(quoted):], " ")
	}
	return b.String()
}

// ZoneOf is the DNS zone that an object lies in, "" for what lies in none.
func ZoneOf(o Object) string {
	switch o := o.(type) {
	case LoadBalancer:
		return o.Zone
	case DNSRecord:
		return o.Zone
	}
	return ""
}
