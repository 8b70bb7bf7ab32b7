package cfsim

import (
	"cmp"
	"slices"
	"strings"
)

// zone is a DNS zone of the account: its records and its public load balancers. Zones exist from the start and do
// not change.
type zone struct {
	entry
	name    string
	lbs     store[*loadBalancer]
	lbNames map[string]*loadBalancer
	dns     dnsZone
}

func (s *Server) addZone(name string) {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	if s.zoneNames[name] != "" {
		return
	}
	at := stamp(s.born())
	z := &zone{name: name, lbs: newStore[*loadBalancer](), lbNames: map[string]*loadBalancer{}, dns: newDNSZone()}
	z.id = derivedHex(s.opt.Seed, "zone", name)
	z.body = object{
		"id": z.id, "name": name, "status": "active", "paused": false, "type": "full", "development_mode": 0,
		"name_servers":          []any{"ada.ns.cloudflare.com", "bob.ns.cloudflare.com"},
		"original_name_servers": nil, "original_registrar": nil, "original_dnshost": nil,
		"created_on": at, "modified_on": at, "activated_on": at,
		"account": object{"id": s.opt.Account, "name": "simulated account"},
		"owner":   object{"id": s.opt.Account, "name": "simulated account", "type": "organization"},
		"meta": object{"step": 2, "custom_certificate_quota": 0, "page_rule_quota": 3, "phishing_detected": false,
			"cdn_only": false, "dns_only": false, "foundation_dns": false},
	}
	s.zones[z.id] = z
	s.zoneNames[name] = z.id
}

// ZoneID returns the id of a zone, "" where there is none of that name.
func (s *Server) ZoneID(name string) string { return s.zoneNames[name] }

func (s *Server) serveZones() {
	s.handle("GET /zones", s.listZones, "name", "account.id", "status", "page", "per_page", "order", "direction", "match")
}

func (s *Server) listZones(c *call) (reply, error) {
	p, err := c.page(20, 5, 50)
	if err != nil {
		return reply{}, err
	}
	status, err := c.oneOf("status", "initializing", "pending", "active", "moved")
	if err != nil {
		return reply{}, err
	}
	order, err := c.oneOf("order", "name", "status", "account.id", "account.name")
	if err != nil {
		return reply{}, err
	}
	direction, err := c.oneOf("direction", "asc", "desc")
	if err != nil {
		return reply{}, err
	}
	match, err := c.oneOf("match", "any", "all")
	if err != nil {
		return reply{}, err
	}
	name, account := strings.ToLower(c.query.Get("name")), c.query.Get("account.id")
	var found []*zone
	for _, id := range sortedKeys(s.zones) {
		z := s.zones[id]
		tests := []struct{ given, matches bool }{
			{name != "", z.name == name}, {account != "", account == s.opt.Account}, {status != "", status == "active"},
		}
		if matchesAll(tests, match == "any") {
			found = append(found, z)
		}
	}
	if order == "name" {
		slices.SortFunc(found, func(a, b *zone) int { return cmp.Compare(a.name, b.name) })
	}
	if direction == "desc" {
		slices.Reverse(found)
	}
	return withTotal(paged(p, len(found), func(i int) []byte { return found[i].json() }))
}

// matchesAll combines the filters that were given: every one of them, or any.
func matchesAll(tests []struct{ given, matches bool }, any bool) bool {
	given, matched := 0, 0
	for _, t := range tests {
		if t.given {
			given++
			if t.matches {
				matched++
			}
		}
	}
	return matched == given || any && matched > 0
}
