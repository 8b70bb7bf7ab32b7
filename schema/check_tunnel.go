package schema

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
)

// maxReplicas is how many connectors one tunnel can have (developers.cloudflare.com,
// Cloudflare One account limits).
const maxReplicas = 25

func (c *checker) tunnels() {
	records, cidrs := map[string]served{}, seen{}
	owned := c.spec.ownedNames()
	for _, name := range sortedKeys(c.spec.Tunnels) {
		t, path := c.spec.Tunnels[name], Join("tunnels", name)
		for i, host := range t.Connectors {
			reference(c, fmt.Sprintf("%s.connectors[%d]", path, i), "hosts", host, c.spec.Hosts)
		}
		if len(t.Connectors) > maxReplicas {
			c.errorf(path+".connectors", "%d connectors: a tunnel can have %d", len(t.Connectors), maxReplicas)
		}
		if r := t.TunnelSecret; r != nil {
			c.secret(path+".tunnelSecret", *r)
		}
		c.originRequest(path+".originRequest", t.OriginRequest)
		rules := seen{}
		for i, rule := range t.Ingress {
			at := fmt.Sprintf("%s.ingress[%d]", path, i)
			c.ingressRule(at, rule, i == len(t.Ingress)-1, rules)
			if hostname := strings.ToLower(rule.Hostname); t.DNS && hostname != "" && !owned[hostname] {
				if first, ok := records[hostname]; ok && first.tunnel != name {
					c.errorf(at, "%s leads to %s already: replicas of one tunnel share a hostname; two tunnels need a load balancer, or dns: false on one of them", rule.Hostname, c.at(first.path))
				} else if !ok {
					records[hostname] = served{name, at}
				}
			}
		}
		c.tunnelRoutes(name, path, t, cidrs)
	}
}

// served is the rule that a hostname's CNAME leads to.
type served struct{ tunnel, path string }

func (c *checker) ingressRule(path string, rule IngressRule, last bool, rules seen) {
	if rule.CatchAll() && !last {
		c.errorf(path, "matches every request, so that no later rule is ever tried: move it to the end, or give it a hostname or a path")
	}
	if !rule.CatchAll() {
		if first, twice := rules.twice(strings.ToLower(rule.Hostname)+" "+rule.Path, path); twice {
			c.errorf(path, "%s is already served by %s, so that this rule is never tried", rule.Key(), c.at(first))
		}
	}
	if _, err := regexp.Compile(rule.Path); err != nil {
		c.errorf(path+".path", "%q is no regular expression: %v", rule.Path, err)
	}
	if rule.Zone != "" && rule.Hostname != "" && !inZone(rule.Hostname, rule.Zone) {
		c.errorf(path+".zone", "%s does not lie in zone %s", rule.Hostname, rule.Zone)
	}
	c.originRequest(path+".originRequest", rule.OriginRequest)
}

func inZone(hostname, zone string) bool {
	hostname, zone = strings.ToLower(hostname), strings.ToLower(zone)
	return hostname == zone || strings.HasSuffix(hostname, "."+zone)
}

func (c *checker) originRequest(path string, o *OriginRequest) {
	if o == nil {
		return
	}
	for _, d := range []struct {
		name  string
		value *Duration
	}{
		{"connectTimeout", o.ConnectTimeout}, {"keepAliveTimeout", o.KeepAliveTimeout},
		{"tcpKeepAlive", o.TCPKeepAlive}, {"tlsTimeout", o.TLSTimeout},
	} {
		if d.value != nil {
			c.seconds(path+"."+d.name, *d.value, 0, 1<<31)
		}
	}
	if a := o.Access; a != nil && a.Required && (a.TeamName == "" || len(a.AudTag) == 0) {
		c.errorf(path+".access", "required: true needs teamName and audTag")
	}
}

// seconds reports a duration that is not a whole number of seconds in range.
func (c *checker) seconds(path string, d Duration, least, most int) {
	n, whole := d.Whole()
	switch {
	case !whole:
		c.errorf(path, "%s is not a whole number of seconds", d)
	case n < least || n > most:
		c.errorf(path, "%s is out of range: from %s to %s", d, Seconds(least), Seconds(most))
	}
}

func (c *checker) tunnelRoutes(name, path string, t TunnelSpec, cidrs seen) {
	fallback := c.spec.defaultNetwork()
	for i, r := range t.Routes {
		at := fmt.Sprintf("%s.routes[%d]", path, i)
		reference(c, at+".network", "networks", r.Network, c.spec.Networks)
		p, err := netip.ParsePrefix(r.CIDR)
		if err != nil {
			c.errorf(at+".cidr", "%q is no network, such as \"192.0.2.0/24\"", r.CIDR)
			continue
		}
		if p != p.Masked() {
			c.errorf(at+".cidr", "%s has host bits set: the network is %s", p, p.Masked())
			continue
		}
		r.Tunnel, r.CIDR = name, p.String()
		if r.Network == "" {
			r.Network = fallback
		}
		if first, twice := cidrs.twice(r.ID().Name, at); twice {
			c.errorf(at+".cidr", "%s is already routed in that network by %s: a network can have one route per CIDR", p, c.at(first))
		}
		c.text(at+".comment", r.Comment, r.ID())
	}
}
