package cfsim

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// fqdn makes a name absolute in the zone: lower case, "@" and relative names resolved.
func fqdn(z *zone, name string) string {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	switch {
	case name == "@" || name == z.name:
		return z.name
	case strings.HasSuffix(name, "."+z.name):
		return name
	}
	return name + "." + z.name
}

// finishContent: a record has content or data, not both, depending on its type.
func finishContent(o object) error {
	rtype, content := text(o, "type"), text(o, "content")
	if fields := dataFields(rtype); fields != nil {
		data := child(o, "data")
		if data == nil {
			return badRecord("data: is required for %s", rtype)
		}
		words := make([]string, 0, len(fields))
		for _, key := range fields {
			if v, ok := data[key]; ok {
				words = append(words, fmt.Sprint(v))
			}
		}
		for _, key := range sortedKeys(data) {
			if !slices.Contains(fields, key) {
				return badRecord("data.%s: unknown field", key)
			}
		}
		if derived := strings.Join(words, " "); content == "" || o["id"] != nil {
			o["content"] = derived
		} else if content != derived {
			return badRecord("content: is derived from data for %s", rtype)
		}
		return nil
	}
	if o["data"] != nil {
		return badRecord("data: is not used for %s", rtype)
	}
	if content == "" {
		return badRecord("content: is required for %s", rtype)
	}
	switch rtype {
	case "A", "AAAA":
		ip, err := netip.ParseAddr(content)
		if err != nil || ip.Is4() != (rtype == "A") || ip.Zone() != "" {
			return badRecord("content: %q is not an address for a record of type %s", content, rtype)
		}
		o["content"] = ip.String()
	case "CNAME", "NS", "PTR", "MX": // host names; that they are lowered too is UNVERIFIED
		o["content"] = strings.ToLower(strings.TrimSuffix(content, "."))
	}
	return nil
}

// dataFields are the record types that are written as data, and the order in which content shows it.
func dataFields(rtype string) []string {
	switch rtype {
	case "CAA":
		return []string{"flags", "tag", "value"}
	case "SRV":
		return []string{"priority", "weight", "port", "target"}
	case "TLSA", "SMIMEA":
		return []string{"usage", "selector", "matching_type", "certificate"}
	case "SSHFP":
		return []string{"algorithm", "type", "fingerprint"}
	case "DS":
		return []string{"key_tag", "algorithm", "digest_type", "digest"}
	case "DNSKEY":
		return []string{"flags", "protocol", "algorithm", "public_key"}
	case "CERT":
		return []string{"type", "key_tag", "algorithm", "certificate"}
	case "HTTPS", "SVCB":
		return []string{"priority", "target", "value"}
	case "NAPTR":
		return []string{"order", "preference", "flags", "service", "regex", "replacement"}
	case "URI":
		return []string{"weight", "target"}
	case "LOC":
		return []string{"lat_degrees", "lat_minutes", "lat_seconds", "lat_direction", "long_degrees", "long_minutes",
			"long_seconds", "long_direction", "altitude", "size", "precision_horz", "precision_vert"}
	}
	return nil
}
