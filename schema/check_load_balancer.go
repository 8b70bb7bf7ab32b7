package schema

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"
)

func (c *checker) loadBalancers() {
	s := c.spec
	for _, hostname := range sortedKeys(s.LoadBalancers) {
		l, path := s.LoadBalancers[hostname], Join("loadBalancers", hostname)
		if !inZone(hostname, l.Zone) {
			c.errorf(path+".zone", "%s does not lie in zone %s", hostname, l.Zone)
		}
		c.balancing(path, l.Balancing)
		if l.Proxied != nil && !*l.Proxied && s.ReachesTunnel(l.Balancing) {
			c.errorf(path+".proxied", "must be true, or left out: a pool of this balancer reaches a tunnel, which Cloudflare does only for proxied balancers")
		}
		c.requestHost(path, hostname, l.Balancing)
	}
	for _, name := range sortedKeys(s.PrivateLoadBalancers) {
		l, path := s.PrivateLoadBalancers[name], Join("privateLoadBalancers", name)
		c.balancing(path, l.Balancing)
		if l.SessionAffinity != "none" {
			c.errorf(path+".sessionAffinity", "private load balancers have none: set originSteering: policy: \"hash\" on the pools, which keeps a client's address on one origin")
		}
		c.privateEndpoints(path, l.Balancing)
	}
}

func (c *checker) balancing(path string, b Balancing) {
	b.PoolNames(func(at, pool string) { reference(c, path+"."+at, "pools", pool, c.spec.Pools) })
	doubled := seen{}
	for i, p := range b.DefaultPools {
		if _, twice := doubled.twice(p, p); twice {
			c.errorf(fmt.Sprintf("%s.defaultPools[%d]", path, i), "%q stands twice", p)
		}
	}
	c.seconds(path+".ttl", b.TTL, 10, 604800)
	c.affinity(path, b.SessionAffinity, b.SessionAffinityTTL, b.SessionAffinityAttributes)
	if geo := len(b.RegionPools) + len(b.CountryPools) + len(b.PopPools); geo > 0 && b.SteeringPolicy != "" && b.SteeringPolicy != "geo" {
		c.warnf(path+".steeringPolicy", "%q does not use the geo maps, which still keep their pools from being deleted: drop them, or steer by \"geo\"", b.SteeringPolicy)
	}
	if len(b.PopPools) > 0 && c.spec.Plan != "enterprise" {
		c.warnf(path+".popPools", "is for Enterprise; set plan: \"enterprise\" if the account allows it")
	}
	if b.SteeringPolicy == "proximity" {
		c.proximity(path, b)
	}
	if b.SessionAffinity != "none" {
		c.replicaAffinity(path, b)
	}
	names := seen{}
	for i, r := range b.Rules {
		at := fmt.Sprintf("%s.rules[%d]", path, i)
		if first, twice := names.twice(r.Name, at); twice {
			c.errorf(at+".name", "%q is already the name of %s", r.Name, c.at(first))
		}
		if (r.FixedResponse == nil) == (r.Overrides == nil) {
			c.errorf(at, "a rule has either fixedResponse or overrides")
		}
		if o := r.Overrides; o != nil && o.RandomSteering != nil && (o.PoolWeights != nil || o.PoolDefaultWeight != nil) {
			c.errorf(at+".overrides.randomSteering", "excludes poolWeights and poolDefaultWeight")
		}
		c.overrides(at+".overrides", b, r.Overrides)
	}
}

// overrides checks the durations that a rule sets; its kind of affinity is
// the balancer's where it names none.
func (c *checker) overrides(path string, b Balancing, o *Overrides) {
	if o == nil {
		return
	}
	if o.TTL != nil {
		c.seconds(path+".ttl", *o.TTL, 10, 604800)
	}
	if o.SessionAffinity == "" && o.SessionAffinityTTL == nil && o.SessionAffinityAttributes == nil {
		return
	}
	attributes := b.SessionAffinityAttributes
	if o.SessionAffinityAttributes != nil {
		attributes = *o.SessionAffinityAttributes
	}
	c.affinity(path, cmp.Or(o.SessionAffinity, b.SessionAffinity), o.SessionAffinityTTL, attributes)
}

// affinity checks what each kind of session affinity needs (API: create a
// load balancer, session_affinity_ttl and session_affinity_attributes).
func (c *checker) affinity(path, affinity string, ttl *Duration, a SessionAffinityAttributes) {
	c.seconds(path+".sessionAffinityAttributes.drainDuration", a.DrainDuration, 0, 3600)
	switch affinity {
	case "cookie", "ip_cookie":
		if ttl != nil {
			c.seconds(path+".sessionAffinityTtl", *ttl, 1800, 604800)
		}
	case "header":
		if ttl != nil {
			c.seconds(path+".sessionAffinityTtl", *ttl, 30, 3600)
		}
		if len(a.Headers) == 0 {
			c.errorf(path+".sessionAffinityAttributes.headers", "required: the headers that tell clients apart")
		}
	default:
		if ttl != nil {
			c.errorf(path+".sessionAffinityTtl", "has no meaning without sessionAffinity")
		}
	}
}

// proximity warns about pools that proximity steering cannot place.
func (c *checker) proximity(path string, b Balancing) {
	b.PoolNames(func(at, pool string) {
		if p, ok := c.spec.Pools[pool]; ok && p.Latitude == nil {
			c.warnf(path+"."+at, "proximity steering needs latitude and longitude on pool %q", pool)
		}
	})
}

// replicaAffinity warns where affinity is asked for and every origin is one
// tunnel: replicas of a tunnel are one endpoint to a load balancer.
func (c *checker) replicaAffinity(path string, b Balancing) {
	warned := map[string]bool{}
	b.PoolNames(func(_, pool string) {
		for _, name := range sortedKeys(c.spec.Pools[pool].Origins) {
			tunnel := c.spec.Pools[pool].Origins[name].Tunnel
			if n := len(c.spec.Tunnels[tunnel].Connectors); n > 1 && !warned[tunnel] {
				warned[tunnel] = true
				c.warnf(path+".sessionAffinity", "does not choose among the %d connectors of tunnel %q, which are one endpoint: for affinity to a host give each host a tunnel of its own", n, tunnel)
			}
		}
	})
}

// requestHost warns where the balancer's own hostname, which requests carry,
// meets no ingress rule of a tunnel behind it.
func (c *checker) requestHost(path, hostname string, b Balancing) {
	warned := map[string]bool{}
	b.PoolNames(func(_, pool string) {
		for _, name := range sortedKeys(c.spec.Pools[pool].Origins) {
			o := c.spec.Pools[pool].Origins[name]
			t, ok := c.spec.Tunnels[o.Tunnel]
			if !ok || len(o.Header.Host) > 0 || warned[o.Tunnel] {
				continue
			}
			matched := false
			for _, rule := range t.rules() {
				matched = matched || rule.Matches(hostname) && !strings.HasPrefix(rule.Service, "http_status:")
			}
			if !matched {
				warned[o.Tunnel] = true
				c.warnf(Join(Join("pools", pool)+".origins", name), "no ingress rule of tunnel %q serves %s, so that requests of that load balancer meet the tunnel's catch-all: add a rule, or set header: Host", o.Tunnel, hostname)
			}
		}
	})
}

// privateEndpoints reports origins that a private load balancer cannot have:
// only private addresses in a virtual network (API: private load balancing).
func (c *checker) privateEndpoints(path string, b Balancing) {
	reported := map[string]bool{}
	b.PoolNames(func(_, pool string) {
		for _, name := range sortedKeys(c.spec.Pools[pool].Origins) {
			at := Join(Join("pools", pool)+".origins", name)
			o := c.spec.Pools[pool].Origins[name]
			a, err := netip.ParseAddr(o.Address)
			if v, ok := c.spec.VirtualRouters[o.VirtualRouter]; ok {
				a, err = v.Address(), nil
			}
			// A private address without a network is reported with its pool.
			public := o.Tunnel != "" || o.Network == "" && (err != nil || !private(a))
			if public && !reported[at] {
				reported[at] = true
				c.errorf(at, "%s is private and reaches only private endpoints: give the origin a private address or a virtualRouter, and its network", path)
			}
		}
		if m, ok := c.spec.Monitors[c.spec.Pools[pool].Monitor]; ok && !reported[pool] {
			if m.Type == "icmp_ping" || m.Type == "udp_icmp" || m.Type == "smtp" {
				reported[pool] = true
				c.errorf(Join("pools", pool)+".monitor", "%s monitors reach public endpoints only; %s is private: use http, https or tcp", m.Type, path)
			}
		}
	})
}
