package cfsim

import (
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// route leads a private network (a CIDR in a virtual network) to a tunnel. The address of a private load balancer is
// a route too, made and removed by the server.
type route struct {
	entry
	prefix     netip.Prefix
	network    *network
	tunnel     *tunnel // nil for a load balancer's address
	tunType    string
	tunnelName string // of a load balancer's address
	listed     []byte // the body as lists show it; nil when stale
}

// routeKey is what must be unique among live routes.
type routeKey struct {
	prefix  netip.Prefix
	network *network
}

func (s *Server) serveRoutes() {
	const base = "/accounts/{account}/teamnet/routes"
	s.shapes.route = record(map[string]*shape{
		"comment":            str().upTo(100).fill(""),
		"network":            str().need().that(isNetwork),
		"tunnel_id":          str().need().that(isUUID),
		"virtual_network_id": str().that(isUUID),
	})
	s.handle("GET "+base, s.listRoutes, "comment", "is_deleted", "network_subset", "network_superset", "route_id",
		"tun_types", "tunnel_id", "virtual_network_id", "page", "per_page")
	s.handle("POST "+base, s.createRoute)
	s.handle("GET "+base+"/{id}", s.withRoute(func(c *call, r *route) (reply, error) { return one(r) }))
	s.handle("PATCH "+base+"/{id}", s.withRoute(s.updateRoute))
	s.handle("DELETE "+base+"/{id}", s.withRoute(s.deleteRoute))
	s.handle("GET "+base+"/ip/{ip}", s.routeByIP, "virtual_network_id")
}

func isNetwork(v string) error {
	p, err := netip.ParsePrefix(v)
	if err != nil {
		return fmt.Errorf("%q is not a network in CIDR notation", v)
	}
	if p != p.Masked() {
		return fmt.Errorf("%q has host bits set, want %s", v, p.Masked())
	}
	return nil
}

func errNoRoute() error { return refuse(http.StatusNotFound, 1015, "Route not found") }

// withRoute finds the path's route; a deleted one is gone except from lists.
func (s *Server) withRoute(h func(*call, *route) (reply, error)) func(*call) (reply, error) {
	return func(c *call) (reply, error) {
		r := s.routes.byID[c.id()]
		if r == nil || r.deleted() {
			return reply{}, errNoRoute()
		}
		return h(c, r)
	}
}

// renamed makes lists show the new name of a tunnel or a network.
func (s *Server) renamed() {
	for _, r := range s.routes.order {
		r.listed = nil
	}
}

// listing is the body with the fields that only lists carry.
func (r *route) listing() []byte {
	if r.listed == nil {
		o := clone(r.body).(object)
		o["tun_type"], o["tunnel_name"], o["virtual_network_name"] = r.tunType, r.tunnelName, r.network.name
		if r.tunnel != nil {
			o["tunnel_name"] = r.tunnel.name
		}
		r.listed = encode(o)
	}
	return r.listed
}

func (r *route) update(key string, v any) { r.body[key], r.raw, r.listed = v, nil, nil }

func (s *Server) listRoutes(c *call) (reply, error) {
	p, err := c.page(1000, 1, 1000) // the default is recorded
	if err != nil {
		return reply{}, err
	}
	alive, err := c.liveness()
	if err != nil {
		return reply{}, err
	}
	q := c.query
	var within, around netip.Prefix
	for _, p := range []struct {
		name string
		at   *netip.Prefix
	}{{"network_subset", &within}, {"network_superset", &around}} {
		if q.Has(p.name) {
			if *p.at, err = netip.ParsePrefix(q.Get(p.name)); err != nil {
				return reply{}, invalid("query parameter %s: %v", p.name, err)
			}
		}
	}
	types := strings.Split(q.Get("tun_types"), ",")
	var found []*route
	for _, r := range s.routes.order {
		if alive(&r.entry) && (!q.Has("comment") || q.Get("comment") == text(r.body, "comment")) &&
			(!q.Has("route_id") || q.Get("route_id") == r.id) &&
			(!q.Has("tunnel_id") || q.Get("tunnel_id") == text(r.body, "tunnel_id")) &&
			(!q.Has("virtual_network_id") || q.Get("virtual_network_id") == r.network.id) &&
			(!q.Has("tun_types") || slices.Contains(types, r.tunType)) &&
			(!within.IsValid() || contains(within, r.prefix)) && (!around.IsValid() || contains(r.prefix, around)) {
			found = append(found, r)
		}
	}
	return paged(p, len(found), func(i int) []byte { return found[i].listing() })
}

func contains(outer, inner netip.Prefix) bool {
	return outer.Bits() <= inner.Bits() && outer.Contains(inner.Addr())
}

// place resolves what a route refers to and refuses a second one for the same network.
// UNVERIFIED: the codes of a tunnel or a virtual network that does not exist.
func (s *Server) place(in object, self *route) (*tunnel, routeKey, error) {
	key := routeKey{netip.MustParsePrefix(text(in, "network")), s.defaultNet}
	t := s.tunnels.byID[text(in, "tunnel_id")]
	if t == nil || t.deleted() {
		return nil, key, refuse(http.StatusNotFound, codeNotUnique, "Tunnel not found")
	}
	if id := text(in, "virtual_network_id"); id != "" {
		if key.network = s.liveNetwork(id); key.network == nil {
			return nil, key, refuse(http.StatusNotFound, codeNotUnique, "Virtual network not found")
		}
	}
	if other := s.routeKeys[key]; other != nil && other != self {
		return nil, key, refuse(http.StatusConflict, 1014, "You already have a route defined for this exact IP subnet")
	}
	return t, key, nil
}

func (s *Server) createRoute(c *call) (reply, error) {
	in, err := c.read(s.shapes.route, false)
	if err != nil {
		return reply{}, err
	}
	s.shapes.route.complete(in)
	t, key, err := s.place(in, nil)
	if err != nil {
		return reply{}, err
	}
	return one(s.addRoute(&route{tunnel: t, tunType: "cfd_tunnel"}, key, t.id, text(in, "comment"), c.now))
}

func (s *Server) addRoute(r *route, key routeKey, tunnelID, comment, now string) *route {
	r.prefix, r.network = key.prefix, key.network
	r.id = s.newUUID("route", key.prefix.String()+" "+key.network.id)
	r.set(object{
		"id": r.id, "network": key.prefix.String(), "virtual_network_id": key.network.id, "tunnel_id": tunnelID,
		"comment": comment, "created_at": now, "deleted_at": nil,
	})
	s.routes.put(r)
	s.routeKeys[key] = r
	s.count(r, 1)
	return r
}

func (s *Server) count(r *route, by int) {
	r.network.routes += by
	if r.tunnel != nil {
		r.tunnel.routes += by
	}
}

// removeRoute marks a route deleted.
func (s *Server) removeRoute(r *route, now string) {
	delete(s.routeKeys, routeKey{r.prefix, r.network})
	s.count(r, -1)
	r.update("deleted_at", now)
}

// errGenerated: UNVERIFIED code; the dashboard does not offer it.
func errGenerated() error {
	return refuse(http.StatusForbidden, 1016, "The route of a load balancer cannot be changed or deleted")
}

func (s *Server) updateRoute(c *call, r *route) (reply, error) {
	in, err := c.read(s.shapes.route, true)
	if err != nil {
		return reply{}, err
	}
	if r.tunnel == nil {
		return reply{}, errGenerated()
	}
	want := merge(r.body, in)
	t, key, err := s.place(want, r)
	if err != nil {
		return reply{}, err
	}
	delete(s.routeKeys, routeKey{r.prefix, r.network})
	s.count(r, -1)
	r.tunnel, r.prefix, r.network = t, key.prefix, key.network
	s.routeKeys[key] = r
	s.count(r, 1)
	r.set(want)
	r.listed = nil
	return one(r)
}

func (s *Server) deleteRoute(c *call, r *route) (reply, error) {
	if r.tunnel == nil {
		return reply{}, errGenerated()
	}
	s.removeRoute(r, c.now)
	return one(r)
}

// routeByIP answers the narrowest route that covers an address.
func (s *Server) routeByIP(c *call) (reply, error) {
	ip, err := netip.ParseAddr(c.PathValue("ip"))
	if err != nil {
		return reply{}, invalid("ip: %v", err)
	}
	in := s.defaultNet
	if id := c.query.Get("virtual_network_id"); id != "" {
		if in = s.liveNetwork(id); in == nil {
			return reply{}, refuse(http.StatusNotFound, codeNotUnique, "Virtual network not found")
		}
	}
	var best *route
	for _, r := range s.routes.order {
		if !r.deleted() && r.network == in && r.prefix.Contains(ip) && (best == nil || r.prefix.Bits() > best.prefix.Bits()) {
			best = r
		}
	}
	if best == nil {
		return reply{}, errNoRoute()
	}
	return reply{result: best.listing()}, nil
}

// addVIP gives a private load balancer an address in the default network: the next of 100.112.0.0/12 that is free.
func (s *Server) addVIP(lb *loadBalancer, now string) {
	key := routeKey{network: s.defaultNet}
	for taken := true; taken; taken = s.routeKeys[key] != nil {
		n := s.vips
		s.vips++
		key.prefix = netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 112 | byte(n>>16)&0x0f, byte(n >> 8), byte(n)}), 32)
	}
	r := &route{tunType: "load_balancer", tunnelName: "load-balancing-tunnel-for-" + lb.id}
	lb.vip = s.addRoute(r, key, derivedUUID(s.opt.Seed, "vip", lb.id), "automatically generated route for load balancer", now)
}
