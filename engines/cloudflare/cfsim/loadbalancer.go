package cfsim

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// loadBalancer is a public one (of a zone) or a private one (of the account).
type loadBalancer struct {
	entry
	name  string
	zone  *zone  // nil for a private one
	vip   *route // of a private one
	pools []*pool
}

func (s *Server) serveLoadBalancers() {
	s.shapes.zoneLB, s.shapes.accountLB = record(lbFields()), record(lbFields())
	s.shapes.zoneLB.props["name"].need()

	const account, zoned = "/accounts/{account}/load_balancers", "/zones/{zone}/load_balancers"
	for _, base := range []string{account, zoned} {
		s.handle("GET "+base, s.listLoadBalancers)
		s.handle("POST "+base, s.createLoadBalancer)
		s.handle("GET "+base+"/{id}", s.withLoadBalancer(func(c *call, lb *loadBalancer) (reply, error) { return one(lb) }))
		s.handle("PUT "+base+"/{id}", s.withLoadBalancer(s.replaceLoadBalancer))
		s.handle("PATCH "+base+"/{id}", s.withLoadBalancer(s.updateLoadBalancer))
		s.handle("DELETE "+base+"/{id}", s.withLoadBalancer(s.deleteLoadBalancer))
	}
	s.handle("GET "+account+"/usage", s.loadBalancingUsage)
}

// lbHome is where a request's load balancers live.
func (s *Server) lbHome(c *call) (*zone, *store[*loadBalancer]) {
	if z := s.zones[c.PathValue("zone")]; z != nil {
		return z, &z.lbs
	}
	return nil, &s.privateLBs
}

func (s *Server) withLoadBalancer(h func(*call, *loadBalancer) (reply, error)) func(*call) (reply, error) {
	return func(c *call) (reply, error) {
		_, home := s.lbHome(c)
		lb := home.byID[c.id()]
		if lb == nil {
			return reply{}, errNoObject("load balancer")
		}
		return h(c, lb)
	}
}

func (s *Server) listLoadBalancers(c *call) (reply, error) {
	_, home := s.lbHome(c)
	parts := make([][]byte, len(home.order))
	for i, lb := range home.order {
		parts[i] = lb.json()
	}
	return unpaged(parts)
}

func (s *Server) lbShape(z *zone) *shape {
	if z != nil {
		return s.shapes.zoneLB
	}
	return s.shapes.accountLB
}

func (s *Server) createLoadBalancer(c *call) (reply, error) {
	z, home := s.lbHome(c)
	in, err := c.read(s.lbShape(z), false)
	if err != nil {
		return reply{}, err
	}
	if !s.opt.Enterprise && len(home.order) >= planLimit {
		return reply{}, errPlan("load balancers")
	}
	lb := &loadBalancer{zone: z}
	pools, err := s.finishLoadBalancer(lb, in)
	if err != nil {
		return reply{}, err
	}
	where := "account"
	if z != nil {
		where = z.id
	}
	lb.id = s.newHex("load balancer", where+" "+text(in, "name")+" "+text(in, "description"))
	s.storeLoadBalancer(c, lb, in, pools, c.now)
	home.put(lb)
	if z == nil {
		s.addVIP(lb, c.now)
	}
	return one(lb)
}

// storeLoadBalancer makes a checked object the body. Nothing can fail any more.
func (s *Server) storeLoadBalancer(c *call, lb *loadBalancer, o object, pools []*pool, created any) {
	s.unlink(lb)
	lb.name, lb.pools = text(o, "name"), pools
	for _, p := range pools {
		p.lbs[lb.id] = lb
	}
	o["id"], o["created_on"], o["modified_on"] = lb.id, created, c.now
	if lb.zone != nil {
		o["zone_name"] = lb.zone.name
		lb.zone.lbNames[lb.name] = lb
	}
	lb.set(o)
}

func (s *Server) unlink(lb *loadBalancer) {
	for _, p := range lb.pools {
		delete(p.lbs, lb.id)
	}
	if lb.zone != nil && lb.zone.lbNames[lb.name] == lb {
		delete(lb.zone.lbNames, lb.name)
	}
}

func (s *Server) replaceLoadBalancer(c *call, lb *loadBalancer) (reply, error) {
	in, err := c.read(s.lbShape(lb.zone), false)
	if err != nil {
		return reply{}, err
	}
	return s.changeLoadBalancer(c, lb, in)
}

func (s *Server) updateLoadBalancer(c *call, lb *loadBalancer) (reply, error) {
	in, err := c.read(s.lbShape(lb.zone), true)
	if err != nil {
		return reply{}, err
	}
	return s.changeLoadBalancer(c, lb, merge(lb.body, in))
}

func (s *Server) changeLoadBalancer(c *call, lb *loadBalancer, o object) (reply, error) {
	pools, err := s.finishLoadBalancer(lb, o)
	if err != nil {
		return reply{}, err
	}
	s.storeLoadBalancer(c, lb, o, pools, lb.body["created_on"])
	return one(lb)
}

func (s *Server) deleteLoadBalancer(c *call, lb *loadBalancer) (reply, error) {
	_, home := s.lbHome(c)
	s.unlink(lb)
	home.drop(lb.id)
	if lb.vip != nil {
		s.removeRoute(lb.vip, c.now)
	}
	return body(object{"id": lb.id})
}

func (s *Server) loadBalancingUsage(*call) (reply, error) {
	balancers, origins, largest := len(s.privateLBs.order), 0, 0
	for _, z := range s.zones {
		balancers += len(z.lbs.order)
	}
	for _, p := range s.pools.order {
		n := len(items(p.body, "origins"))
		origins += n
		largest = max(largest, n)
	}
	interval := int64(0)
	for _, m := range s.monitors.order {
		if i := whole(m.body, "interval"); interval == 0 || i < interval {
			interval = i
		}
	}
	return body(object{
		"load_balancers": balancers, "pools": len(s.pools.order), "monitors": len(s.monitors.order),
		"origins": origins, "max_origins_per_pool": largest, "minimum_monitor_interval": interval,
	})
}

// finishLoadBalancer fills the defaults in, checks what one field alone cannot tell, and returns the pools that are
// referred to. o is only stored by the caller.
func (s *Server) finishLoadBalancer(lb *loadBalancer, o object) ([]*pool, error) {
	s.lbShape(lb.zone).complete(o)
	if text(o, "steering_policy") == "" {
		o["steering_policy"] = "off"
		if len(child(o, "region_pools"))+len(child(o, "country_pools"))+len(child(o, "pop_pools")) > 0 {
			o["steering_policy"] = "geo"
		}
	}
	if err := finishRules(o); err != nil {
		return nil, err
	}
	if err := s.checkAffinity(lb, o); err != nil {
		return nil, err
	}
	if len(child(o, "pop_pools")) > 0 && !s.opt.Enterprise {
		return nil, invalid("pop_pools: needs an Enterprise plan")
	}
	if lb.zone != nil {
		name := strings.ToLower(text(o, "name"))
		if name != lb.zone.name && !strings.HasSuffix(name, "."+lb.zone.name) {
			return nil, invalid("name: %s does not belong to the zone %s", name, lb.zone.name)
		}
		if other := lb.zone.lbNames[name]; other != nil && other != lb {
			return nil, refuse(http.StatusBadRequest, codeNotUnique, "name: %q is not unique", name)
		}
		o["name"] = name
	}
	pools, err := s.poolsOf(o)
	if err != nil {
		return nil, err
	}
	for _, p := range pools {
		if err := reachable(lb, o, p.name, items(p.body, "origins")); err != nil {
			return nil, err
		}
	}
	return pools, nil
}

// reachable refuses a combination of a load balancer and a pool: an answer by DNS cannot lead into a tunnel, and a
// private load balancer only has private endpoints. UNVERIFIED: the second one's code.
func reachable(lb *loadBalancer, o object, pool string, origins []any) error {
	for _, item := range origins {
		origin := item.(object)
		address, network := text(origin, "address"), text(origin, "virtual_network_id")
		if lb.zone != nil && !flag(o, "proxied") && isTunnelHost(address) {
			return refuse(http.StatusBadRequest, 1004, "Cannot use tunnel as origin for non-proxied load balancer (pool %s, origin %s)", pool, address)
		}
		if lb.zone == nil && network == "" {
			return invalid("pool %s, origin %s: a private load balancer needs endpoints with a virtual_network_id", pool, address)
		}
	}
	return nil
}

// reference is a field that names pools.
type reference struct {
	path string
	id   any
}

// poolsOf finds every pool that o refers to, also from maps that the steering policy does not use.
// UNVERIFIED: the code where one does not exist.
func (s *Server) poolsOf(o object) ([]*pool, error) {
	refs := poolRefs("", o)
	for i, item := range items(o, "rules") {
		if overrides := child(item.(object), "overrides"); overrides != nil {
			refs = append(refs, poolRefs(fmt.Sprintf("rules[%d].overrides.", i), overrides)...)
		}
	}
	var pools []*pool
	seen := map[string]bool{}
	for _, ref := range refs {
		id, _ := ref.id.(string)
		p := s.pools.byID[id]
		if p == nil {
			return nil, invalid("%s: pool %q does not exist", ref.path, id)
		}
		if !seen[id] {
			seen[id] = true
			pools = append(pools, p)
		}
	}
	return pools, nil
}

func poolRefs(path string, o object) []reference {
	var refs []reference
	for _, key := range []string{"default_pools", "pools"} {
		for i, id := range items(o, key) {
			refs = append(refs, reference{fmt.Sprintf("%s%s[%d]", path, key, i), id})
		}
	}
	if id := text(o, "fallback_pool"); id != "" {
		refs = append(refs, reference{path + "fallback_pool", id})
	}
	for _, key := range []string{"region_pools", "country_pools", "pop_pools"} {
		places := child(o, key)
		for _, place := range sortedKeys(places) {
			ids, _ := places[place].([]any)
			for i, id := range ids {
				refs = append(refs, reference{fmt.Sprintf("%s%s.%s[%d]", path, key, place, i), id})
			}
		}
	}
	for _, weights := range []object{child(child(o, "random_steering"), "pool_weights"), child(o, "pool_weights")} {
		for _, id := range sortedKeys(weights) {
			refs = append(refs, reference{path + "pool_weights", id})
		}
	}
	return refs
}

// finishRules gives rules without a priority the recorded 0, 10, 20 by position, and orders them by it. disabled and
// overrides are always there; terminates only where it is true, as it is with a fixed response (all recorded).
// UNVERIFIED: that equal priorities are refused, as users report, and what the server adds inside overrides.
func finishRules(o object) error {
	rules := items(o, "rules")
	seen := map[int64]bool{}
	for i, item := range rules {
		rule := item.(object)
		if rule["priority"] == nil {
			rule["priority"] = int64(i * 10)
		}
		if rule["fixed_response"] != nil {
			rule["terminates"] = true
		}
		if !flag(rule, "terminates") {
			delete(rule, "terminates")
		}
		rule["disabled"] = flag(rule, "disabled")
		if rule["overrides"] == nil {
			rule["overrides"] = object{}
		}
		if seen[whole(rule, "priority")] {
			return invalid("rules[%d].priority: %d appears more than once", i, whole(rule, "priority"))
		}
		seen[whole(rule, "priority")] = true
	}
	slices.SortFunc(rules, func(a, b any) int {
		return int(whole(a.(object), "priority") - whole(b.(object), "priority"))
	})
	return nil
}

// checkAffinity checks the session affinity of the load balancer and of its rules.
func (s *Server) checkAffinity(lb *loadBalancer, o object) error {
	check := func(path string, o object) error {
		affinity := text(o, "session_affinity")
		ttl, set := o["session_affinity_ttl"].(float64)
		headers := items(child(o, "session_affinity_attributes"), "headers")
		switch {
		case affinity != "" && affinity != "none" && lb.zone == nil:
			return invalid("%ssession_affinity: a private load balancer has none", path)
		case set && (affinity == "cookie" || affinity == "ip_cookie") && (ttl < 1800 || ttl > 604800):
			return invalid("%ssession_affinity_ttl: must be between 1800 and 604800 with %s", path, affinity)
		case set && affinity == "header" && (ttl < 30 || ttl > 3600):
			return invalid("%ssession_affinity_ttl: must be between 30 and 3600 with header", path)
		case len(headers) > 5 || !s.opt.Enterprise && len(headers) > 1:
			return invalid("%ssession_affinity_attributes.headers: too many", path)
		}
		return nil
	}
	if err := check("", o); err != nil {
		return err
	}
	for i, item := range items(o, "rules") {
		if err := check(fmt.Sprintf("rules[%d].overrides.", i), child(item.(object), "overrides")); err != nil {
			return err
		}
	}
	return nil
}
