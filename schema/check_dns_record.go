package schema

import (
	"net/netip"
	"regexp"
	"strings"
)

func (c *checker) dnsRecords() {
	balancers := map[string]string{}
	for hostname := range c.spec.LoadBalancers {
		balancers[strings.ToLower(hostname)] = hostname
	}
	made := map[string]bool{}
	for _, r := range c.spec.tunnelRecords() {
		made[r.Key] = true
	}
	identical, cnames, addresses := seen{}, seen{}, seen{}
	for _, key := range sortedKeys(c.spec.DNSRecords) {
		r, path := c.spec.DNSRecords[key].Canonical(), Join("dnsRecords", key)
		r.Key = key
		if made[key] {
			c.errorf(path, "is the name of the CNAME that %s gets: give this record another one", c.at(c.spec.ingressPath(key)))
		}
		c.recordContent(path, r)
		c.text(path+".comment", r.Comment, r.ID())
		if first, twice := identical.twice(strings.Join([]string{r.Name, r.Type, r.Content, r.Tunnel}, " "), path); twice && len(r.Data) == 0 {
			c.errorf(path, "is the same record as %s", c.at(first))
			continue
		}
		if !addressType(r.Type) {
			continue
		}
		if hostname, ok := balancers[r.Name]; ok {
			c.errorf(path+".name", "%s belongs to %s: a hostname is either a DNS record's or a load balancer's; drop one", r.Name, c.at(Join("loadBalancers", hostname)))
		}
		// API: 81053, a CNAME stands alone beside A and AAAA records.
		if r.Type == "CNAME" {
			if first, twice := cnames.twice(r.Name, path); twice {
				c.errorf(path+".name", "%s already has a CNAME, %s", r.Name, c.at(first))
			}
		} else {
			addresses[r.Name] = path
		}
	}
	for name, path := range cnames {
		if other, ok := addresses[name]; ok {
			c.errorf(path+".name", "%s has an address record too, %s: a CNAME stands alone", name, c.at(other))
		}
	}
}

// dataFields are the API's names of the parts that a type is given by.
var (
	dataFields = map[string]string{
		"CAA":    "flags, tag, value",
		"CERT":   "type, key_tag, algorithm, certificate",
		"DNSKEY": "flags, protocol, algorithm, public_key",
		"DS":     "key_tag, algorithm, digest_type, digest",
		"HTTPS":  "priority, target, value",
		"LOC":    "lat_degrees, lat_minutes, lat_seconds, lat_direction, long_degrees, long_minutes, long_seconds, long_direction, altitude, size, precision_horz, precision_vert",
		"NAPTR":  "order, preference, flags, service, regex, replacement",
		"SMIMEA": "usage, selector, matching_type, certificate",
		"SRV":    "priority, weight, port, target",
		"SSHFP":  "algorithm, type, fingerprint",
		"SVCB":   "priority, target, value",
		"TLSA":   "usage, selector, matching_type, certificate",
		"URI":    "target, weight",
	}
	recordName = regexp.MustCompile(`^(\*\.)?([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9-]+$`)
)

// GivenByData tells whether records of that type consist of parts.
func GivenByData(recordType string) bool { return dataFields[recordType] != "" }

func (c *checker) recordContent(path string, r DNSRecord) {
	given := 0
	for _, set := range []bool{r.Content != "", r.Tunnel != "", len(r.Data) > 0} {
		if set {
			given++
		}
	}
	if given != 1 {
		c.errorf(path, "exactly one of content, tunnel and data says what the record holds")
	}
	if GivenByData(r.Type) && len(r.Data) == 0 && given == 1 {
		c.errorf(path, "a record of type %s is given by its data, in the API's names: %s", r.Type, dataFields[r.Type])
	}
	if len(r.Data) > 0 && !GivenByData(r.Type) {
		c.errorf(path+".data", "a record of type %s has content, no data", r.Type)
	}
	if !recordName.MatchString(r.Name) {
		c.errorf(path+".name", "%q is no DNS name", r.Name)
	}
	if r.Type == "CNAME" && r.Content == r.Name {
		c.errorf(path+".content", "a CNAME that leads to itself")
	}
	if addressType(r.Type) || r.Type == "MX" || r.Type == "NS" || r.Type == "PTR" {
		if r.Content != "" && (strings.ContainsAny(r.Content, " \t") || addressType(r.Type) && r.Priority != nil) {
			c.errorf(path+".content", "%q is no target for a record of type %s", r.Content, r.Type)
		}
	}
	if r.Tunnel != "" {
		reference(c, path+".tunnel", "tunnels", r.Tunnel, c.spec.Tunnels)
		if r.Type != "CNAME" {
			c.errorf(path+".tunnel", "only a CNAME can lead to a tunnel; this is %s", r.Type)
		}
	}
	a, err := netip.ParseAddr(r.Content)
	if r.Type == "A" && (err != nil || !a.Is4()) {
		c.errorf(path+".content", "%q is no IPv4 address", r.Content)
	}
	if r.Type == "AAAA" && (err != nil || !a.Is6()) {
		c.errorf(path+".content", "%q is no IPv6 address", r.Content)
	}
	if r.Proxied && !addressType(r.Type) {
		c.errorf(path+".proxied", "only A, AAAA and CNAME records can be proxied; this is %s", r.Type)
	}
	if r.TTL != AutoTTL {
		if r.Proxied {
			c.errorf(path+".ttl", "must be \"auto\" for a proxied record")
		}
		c.seconds(path+".ttl", Seconds(int(r.TTL)), 30, 86400)
	}
	if (r.Type == "MX" || r.Type == "URI") && r.Priority == nil {
		c.errorf(path+".priority", "required for a record of type %s", r.Type)
	}
}
