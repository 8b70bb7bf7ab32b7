package schema

import (
	"math"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// originAddress is an IP address or a hostname.
var originAddress = regexp.MustCompile(`^([0-9a-fA-F:.]+|([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*[A-Za-z0-9-]+\.?)$`)

func (c *checker) pools() {
	for _, name := range sortedKeys(c.spec.Pools) {
		p, path := c.spec.Pools[name], Join("pools", name)
		reference(c, path+".monitor", "monitors", p.Monitor, c.spec.Monitors)
		if p.Monitor != "" && p.MonitorGroup != "" {
			c.errorf(path+".monitorGroup", "a pool has a monitor or a monitor group, not both")
		}
		if (p.Latitude == nil) != (p.Longitude == nil) {
			c.errorf(path, "latitude and longitude go together")
		}
		if slices.Contains(p.HealthSources, "regional") && len(p.CheckRegions) == 0 {
			c.errorf(path+".healthSources", "regional health needs checkRegions")
		}
		if slices.Contains(p.CheckRegions, "ALL_REGIONS") && c.spec.Plan != "enterprise" {
			c.warnf(path+".checkRegions", "ALL_REGIONS is for Enterprise; leave checkRegions out to check from everywhere, or set plan: \"enterprise\"")
		}
		if len(p.Origins) == 0 {
			c.errorf(path+".origins", "a pool needs an origin")
		}
		if p.MinimumOrigins > len(p.Origins) && len(p.Origins) > 0 {
			c.warnf(path+".minimumOrigins", "%d healthy origins are asked for and there are %d: the pool can never be healthy", p.MinimumOrigins, len(p.Origins))
		}
		reached := seen{}
		for _, origin := range sortedKeys(p.Origins) {
			c.origin(Join(path+".origins", origin), p, p.Origins[origin], reached)
		}
	}
}

func (c *checker) origin(path string, p Pool, o Origin, reached seen) {
	var targets []string
	for _, target := range []struct{ field, value string }{
		{"address", o.Address}, {"tunnel", o.Tunnel}, {"virtualRouter", o.VirtualRouter},
	} {
		if target.value != "" {
			targets = append(targets, target.field)
		}
	}
	switch len(targets) {
	case 0:
		c.errorf(path, "what does it reach? set one of address, tunnel and virtualRouter")
		return
	case 1:
	default:
		c.errorf(path, "%s: an origin reaches one thing only", strings.Join(targets, " and "))
		return
	}
	if cents := o.Weight * 100; math.Abs(cents-math.Round(cents)) > 1e-9 {
		c.errorf(path+".weight", "%v: weights come in steps of 0.01", o.Weight)
	}
	known := reference(c, path+".network", "networks", o.Network, c.spec.Networks)
	target := o.Address
	switch {
	case o.Tunnel != "":
		reference(c, path+".tunnel", "tunnels", o.Tunnel, c.spec.Tunnels)
		target = o.Tunnel + ".cfargotunnel.com"
		if o.Network != "" {
			c.errorf(path+".network", "a tunnel origin is reached by name; only private addresses have a network")
		}
		c.monitorHost(path, p, o)
	case o.VirtualRouter != "":
		if reference(c, path+".virtualRouter", "virtualRouters", o.VirtualRouter, c.spec.VirtualRouters) {
			if a := c.spec.VirtualRouters[o.VirtualRouter].Address(); a.IsValid() {
				target = a.String()
			}
		}
	}
	if o.Address != "" && !originAddress.MatchString(o.Address) {
		c.errorf(path+".address", "%q is neither an IP address nor a hostname", o.Address)
	}
	if a, err := netip.ParseAddr(target); err == nil {
		target = a.String()
		c.privateAddress(path, p, o, a, known)
	}
	// API: an address is unique within a pool, even across ports and networks.
	if first, twice := reached.twice(strings.ToLower(target), path); twice {
		c.errorf(path, "reaches %s, as does %s: an address can stand once in a pool, whatever the port or network", target, c.at(first))
	}
}

// sharedSpace is RFC 6598's, from which Cloudflare One takes addresses too.
var sharedSpace = netip.MustParsePrefix("100.64.0.0/10")

// private tells whether the public internet does not lead to the address.
func private(a netip.Addr) bool {
	return a.IsPrivate() || a.IsLinkLocalUnicast() || a.IsLoopback() || sharedSpace.Contains(a)
}

// privateAddress checks that a private address can be reached: it needs a
// virtual network, and a route in that network to cover it. known tells
// whether the network that it names is one of the specification.
func (c *checker) privateAddress(path string, p Pool, o Origin, a netip.Addr, known bool) {
	if o.Network == "" {
		if private(a) {
			c.errorf(path+".network", "required: %s is a private address, which Cloudflare reaches only through a virtual network; name one of networks", a)
		}
		return
	}
	if !known {
		return
	}
	route, ok := c.table.covering(o.Network, a)
	if !ok && c.broken("tunnels") {
		return // The route may be one of a tunnel that did not evaluate.
	}
	if !ok {
		c.warnf(path, "no tunnel of this specification has a route in network %q that covers %s: add one to the routes of a tunnel, unless something else routes it", o.Network, a)
		return
	}
	replicas := len(c.spec.Tunnels[route.tunnel].Connectors)
	if o.VirtualRouter != "" && replicas > 1 && p.OriginSteering.Policy != "hash" {
		c.warnf(path, "the %d connectors of tunnel %q hide the clients' addresses (each sends from its own): a balancer behind virtual router %q cannot keep clients by IP; if they must stick, run one connector, or put several virtual routers into this pool with originSteering: policy: \"hash\"", replicas, route.tunnel, o.VirtualRouter)
	}
}

// monitorHost warns where health checks of a tunnel meet its catch-all: they
// carry no Host that an ingress rule matches.
func (c *checker) monitorHost(path string, p Pool, o Origin) {
	m, ok := c.spec.Monitors[p.Monitor]
	t, known := c.spec.Tunnels[o.Tunnel]
	if !ok || !known || !m.HTTP() || len(t.Ingress) == 0 {
		return
	}
	hosts := o.Header.Host
	if len(hosts) == 0 {
		for name, values := range m.Header {
			if strings.EqualFold(name, "Host") {
				hosts = values
			}
		}
	}
	for _, rule := range t.rules() {
		if strings.HasPrefix(rule.Service, "http_status:") {
			continue
		}
		if rule.Hostname == "" || len(hosts) > 0 && rule.Matches(hosts[0]) {
			return
		}
	}
	if len(hosts) == 0 {
		c.warnf(path, "health checks reach tunnel %q without a Host that its ingress rules match: set header: Host: [\"…\"] on this origin or on monitor %q", o.Tunnel, p.Monitor)
		return
	}
	c.warnf(path, "no ingress rule of tunnel %q matches Host %q: health checks and requests meet its catch-all", o.Tunnel, hosts[0])
}
