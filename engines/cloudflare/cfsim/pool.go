package cfsim

import (
	"bytes"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
)

// pool is a named set of origins.
type pool struct {
	entry
	name string
	lbs  map[string]*loadBalancer // that refer to it, from any of their maps and rules
	// findings are by the name of an origin.
	findings map[string]Finding
}

func (s *Server) servePools() {
	const base = "/accounts/{account}/load_balancers/pools"
	s.shapes.poolCreate, s.shapes.pool = record(poolFields()), record(poolFields())
	for key, field := range map[string]*shape{
		"disabled_at":    str().ro(),
		"health_sources": list(str().oneOf("local", "regional", "global")).orNull(), // only on update
	} {
		s.shapes.pool.props[key] = field
	}
	s.shapes.poolsPatch = record(map[string]*shape{
		// The OpenAPI file's enum is a pair of quotes, a mistake for the empty string; both are accepted.
		"notification_email": str().oneOf("", `""`),
	})
	s.handle("GET "+base, s.listPools, "monitor")
	s.handle("POST "+base, s.createPool)
	s.handle("PATCH "+base, s.patchPools)
	s.handle("GET "+base+"/{id}", s.withPool(func(c *call, p *pool) (reply, error) { return one(p) }))
	s.handle("PUT "+base+"/{id}", s.withPool(s.replacePool))
	s.handle("PATCH "+base+"/{id}", s.withPool(s.updatePool))
	s.handle("DELETE "+base+"/{id}", s.withPool(s.deletePool))
	s.handle("GET "+base+"/{id}/health", s.withPool(s.poolHealth))
	s.handle("GET "+base+"/{id}/references", s.withPool(s.poolReferences))
}

func poolFields() map[string]*shape {
	notify := func() *shape {
		return record(map[string]*shape{"disable": boolean().fill(false), "healthy": boolean().orNull().fill(nothing{})}).orNull()
	}
	return map[string]*shape{
		"name":        str().need().matching(`^[A-Za-z0-9_-]+$`),
		"description": str().fill(""),
		"enabled":     boolean().fill(true),
		"check_regions": list(str().oneOf("WNAM", "ENAM", "WEU", "EEU", "NSAM", "SSAM", "OC", "ME", "NAF", "SAF", "SAS", "SEAS",
			"NEAS", "ALL_REGIONS")).orNull().fill(nothing{}),
		"latitude":  num().between(-90, 90),
		"longitude": num().between(-180, 180),
		"load_shedding": record(map[string]*shape{
			"default_percent": num().between(0, 100).fill(0.0), "default_policy": str().oneOf("random", "hash").fill("random"),
			"session_percent": num().between(0, 100).fill(0.0), "session_policy": str().oneOf("hash").fill("hash"),
		}).orNull(),
		"minimum_origins":    integer().between(0, math.MaxInt32).fill(int64(1)),
		"monitor":            str().that(isHexID).orNull(),
		"monitor_group":      str().that(isHexID).orNull(),
		"notification_email": str().fill(""),
		"notification_filter": record(map[string]*shape{
			"origin": notify(), "pool": notify(),
		}).orNull(),
		"origin_steering": record(map[string]*shape{
			"policy": str().oneOf("random", "hash", "least_outstanding_requests", "least_connections").fill("random"),
		}).orNull(),
		// That each origin must have a name is UNVERIFIED; Terraform requires it.
		"origins": list(record(map[string]*shape{
			"name":               str().need(),
			"address":            str().need(),
			"enabled":            boolean().fill(true),
			"weight":             num().between(0, 1).orNull().fill(1.0),
			"flatten_cname":      boolean().fill(true),
			"port":               integer().between(0, 65535).orNull(),
			"virtual_network_id": str().that(isUUID).orNull(),
			"header":             record(map[string]*shape{"Host": list(str())}).orNull(),
			"disabled_at":        str().ro(),
		})).need(),
	}
}

func (s *Server) withPool(h func(*call, *pool) (reply, error)) func(*call) (reply, error) {
	return func(c *call) (reply, error) {
		p := s.pools.byID[c.id()]
		if p == nil {
			return reply{}, errNoObject("pool")
		}
		return h(c, p)
	}
}

func (s *Server) listPools(c *call) (reply, error) {
	monitor := c.query.Get("monitor")
	parts := make([][]byte, 0, len(s.pools.order))
	for _, p := range s.pools.order {
		if monitor == "" || monitor == text(p.body, "monitor") {
			parts = append(parts, p.json())
		}
	}
	return unpaged(parts)
}

// finishPool fills the defaults in and checks what one field alone cannot tell. was is the pool as it is stored.
func (s *Server) finishPool(c *call, o, was object) error {
	s.shapes.pool.complete(o)
	o["networks"] = []any{"cloudflare"}
	for _, key := range []string{"monitor", "monitor_group"} {
		if text(o, key) == "" {
			delete(o, key)
		}
	}
	monitor, group := text(o, "monitor"), text(o, "monitor_group")
	switch {
	case monitor != "" && group != "":
		return invalid("monitor_group: a pool has a monitor or a monitor group, not both")
	case monitor != "" && s.monitors.byID[monitor] == nil:
		return invalid("monitor: monitor %s does not exist", monitor) // UNVERIFIED code
	case group != "" && s.monitorGroups.byID[group] == nil:
		return invalid("monitor_group: monitor group %s does not exist", group) // UNVERIFIED code
	case (o["latitude"] == nil) != (o["longitude"] == nil):
		return invalid("latitude and longitude: one is set without the other")
	case !s.opt.Enterprise && slices.Contains(items(o, "check_regions"), any("ALL_REGIONS")):
		return invalid("check_regions: ALL_REGIONS needs an Enterprise plan")
	case slices.Contains(items(o, "health_sources"), any("regional")) && len(items(o, "check_regions")) == 0:
		return invalid("health_sources: regional requires check_regions")
	case !s.opt.Enterprise && len(items(o, "origins")) > planLimit:
		return errPlan("origins of a pool")
	}
	stampDisabled(o, was, c.now)
	return s.finishOrigins(c, o, was)
}

// planLimit is how many load balancers, pools, and origins in a pool there are without an Enterprise plan.
const planLimit = 20

func errPlan(what string) error {
	return invalid("the plan allows %d %s (Options.Enterprise lifts the limit)", planLimit, what)
}

// stampDisabled keeps the time since when something is disabled.
func stampDisabled(o, was object, now string) {
	delete(o, "disabled_at")
	if !flag(o, "enabled") {
		if o["disabled_at"] = was["disabled_at"]; o["disabled_at"] == nil {
			o["disabled_at"] = now
		}
	}
}

// finishOrigins puts the origins into an order of the server's own: they are a set, and what comes back is not in
// the order that was sent.
func (s *Server) finishOrigins(c *call, o, was object) error {
	before := map[string]object{}
	for _, item := range items(was, "origins") {
		before[text(item.(object), "address")] = item.(object)
	}
	seen := map[string]bool{}
	for i, item := range items(o, "origins") {
		origin, at := item.(object), fmt.Sprintf("origins[%d]", i)
		address := strings.ToLower(text(origin, "address"))
		if seen[address] {
			// Also with another port or virtual network. UNVERIFIED code.
			return invalid("%s.address: %s appears more than once in the pool", at, address)
		}
		seen[address] = true
		weight, _ := origin["weight"].(float64)
		if hundredths := weight * 100; math.Abs(hundredths-math.Round(hundredths)) > 1e-9 {
			return invalid("%s.weight: must be a multiple of 0.01", at)
		}
		if whole(origin, "port") == 0 {
			delete(origin, "port")
		}
		if text(origin, "virtual_network_id") == "" {
			delete(origin, "virtual_network_id")
		}
		network := text(origin, "virtual_network_id")
		if network != "" && s.liveNetwork(network) == nil {
			return invalid("%s.virtual_network_id: virtual network %s does not exist", at, network)
		}
		if network == "" && isPrivate(address) {
			return invalid("%s.address: %s is an internal address and needs a virtual_network_id", at, address)
		}
		stampDisabled(origin, before[text(origin, "address")], c.now)
	}
	slices.SortFunc(items(o, "origins"), func(a, b any) int {
		x := digest(s.opt.Seed, "origin", text(a.(object), "name"), text(a.(object), "address"))
		y := digest(s.opt.Seed, "origin", text(b.(object), "name"), text(b.(object), "address"))
		return bytes.Compare(x[:], y[:])
	})
	return nil
}

// isPrivate tells whether an address is only reachable inside a network; a hostname is not.
func isPrivate(address string) bool {
	ip, err := netip.ParseAddr(address)
	return err == nil && (ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast() ||
		netip.MustParsePrefix("100.64.0.0/10").Contains(ip))
}

func isTunnelHost(address string) bool {
	return strings.HasSuffix(strings.ToLower(strings.TrimSuffix(address, ".")), ".cfargotunnel.com")
}

// link counts what the pool refers to, by +1 or -1.
func (s *Server) link(p *pool, by int) {
	m, g := s.monitors.byID[text(p.body, "monitor")], s.monitorGroups.byID[text(p.body, "monitor_group")]
	if m != nil {
		delete(m.pools, p.id)
	}
	if g != nil {
		delete(g.pools, p.id)
	}
	if by > 0 && m != nil {
		m.pools[p.id] = p
	}
	if by > 0 && g != nil {
		g.pools[p.id] = p
	}
	for _, item := range items(p.body, "origins") {
		if n := s.networks.byID[text(item.(object), "virtual_network_id")]; n != nil {
			n.origins += by
		}
	}
}

func (s *Server) createPool(c *call) (reply, error) {
	in, err := c.read(s.shapes.poolCreate, false)
	if err != nil {
		return reply{}, err
	}
	if !s.opt.Enterprise && len(s.pools.order) >= planLimit {
		return reply{}, errPlan("pools")
	}
	p := &pool{lbs: map[string]*loadBalancer{}}
	if err := s.storePool(c, p, in, func() string { return s.newHex("pool", text(in, "name")) }); err != nil {
		return reply{}, err
	}
	s.pools.put(p)
	return one(p)
}

// storePool checks o and makes it the pool's body; id is asked for once nothing can fail any more.
func (s *Server) storePool(c *call, p *pool, o object, id func() string) error {
	name := text(o, "name")
	if other := s.poolNames[name]; other != nil && other != p {
		return refuse(400, codeNotUnique, "name: %q is not unique", name) // UNVERIFIED: the scope is the account
	}
	if err := s.finishPool(c, o, p.body); err != nil {
		return err
	}
	for _, id := range sortedKeys(p.lbs) {
		if err := reachable(p.lbs[id], p.lbs[id].body, name, items(o, "origins")); err != nil {
			return err
		}
	}
	created := any(c.now)
	if p.body != nil {
		created = p.body["created_on"]
		s.link(p, -1)
		delete(s.poolNames, p.name)
	}
	p.id, p.name = id(), name
	o["id"], o["created_on"], o["modified_on"] = p.id, created, c.now
	p.set(o)
	s.poolNames[name] = p
	s.link(p, 1)
	return nil
}

func (s *Server) replacePool(c *call, p *pool) (reply, error) {
	in, err := c.read(s.shapes.pool, false)
	if err != nil {
		return reply{}, err
	}
	if err := s.storePool(c, p, in, func() string { return p.id }); err != nil {
		return reply{}, err
	}
	return one(p)
}

func (s *Server) updatePool(c *call, p *pool) (reply, error) {
	in, err := c.read(s.shapes.pool, true)
	if err != nil {
		return reply{}, err
	}
	if err := s.storePool(c, p, merge(p.body, in), func() string { return p.id }); err != nil {
		return reply{}, err
	}
	return one(p)
}

// patchPools changes all pools at once; the only thing it can do is to clear the address for notifications.
func (s *Server) patchPools(c *call) (reply, error) {
	in, err := c.read(s.shapes.poolsPatch, true)
	if err != nil {
		return reply{}, err
	}
	if _, ok := in["notification_email"]; ok {
		for _, p := range s.pools.order {
			p.body["notification_email"], p.body["modified_on"], p.raw = "", c.now, nil
		}
	}
	return s.listPools(c)
}

func (s *Server) deletePool(c *call, p *pool) (reply, error) {
	if len(p.lbs) > 0 {
		return reply{}, errInUse("pool", fmt.Sprintf("%d load balancers", len(p.lbs)))
	}
	s.link(p, -1)
	delete(s.poolNames, p.name)
	s.pools.drop(p.id)
	return body(object{"id": p.id})
}

func (s *Server) poolReferences(c *call, p *pool) (reply, error) {
	refs := []any{}
	for _, id := range sortedKeys(p.lbs) {
		refs = append(refs, referrer(id, p.lbs[id].name, "load_balancer"))
	}
	return body(refs)
}
