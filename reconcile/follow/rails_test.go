package follow_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/follow"
	"github.com/hactl/hactl/schema"
)

func TestRails(t *testing.T) {
	guarded := func(s *schema.Spec) *schema.Spec {
		for name, r := range s.DNSRecords {
			r.Protect = true
			s.DNSRecords[name] = r
		}
		return s
	}
	host := func(s *schema.Spec) *schema.Spec {
		s.Hosts = map[string]schema.Host{"lb01": {Address: "192.0.2.41"}}
		s.VirtualRouters = map[string]schema.VirtualRouter{}
		for i := range 12 {
			s.VirtualRouters[fmt.Sprint("v", i)] = schema.VirtualRouter{VRID: i + 1, Members: map[string]schema.RouterMember{"lb01": {Priority: 100}}}
		}
		return s
	}
	behind := func(pool schema.Pool) *schema.Spec {
		s := records("b", "192.0.2.2")
		s.Pools = map[string]schema.Pool{"p": pool}
		s.LoadBalancers = map[string]schema.LoadBalancer{"www.example.com": {Zone: "example.com", Balancing: schema.Balancing{Enabled: true, DefaultPools: []string{"p"}, FallbackPool: "p"}}}
		s.Tunnels = map[string]schema.TunnelSpec{"t": {Ingress: []schema.IngressRule{{Hostname: "www.example.com", Service: "http://192.0.2.7"}}}}
		return s
	}
	origins := func(o schema.Origin) schema.Pool {
		return schema.Pool{Enabled: true, Origins: map[string]schema.Origin{"o": o}}
	}
	served, off := origins(schema.Origin{Address: "192.0.2.8", Enabled: true, Weight: 1}), origins(schema.Origin{Address: "192.0.2.8", Weight: 1})
	astray := origins(schema.Origin{Tunnel: "t", Enabled: true, Weight: 1, Header: schema.OriginHeader{Host: []string{"no.example.com"}}})
	through := origins(schema.Origin{Tunnel: "t", Enabled: true, Weight: 1})
	anything := func(p *schema.Policy) { p.MaxDeletions, p.MaxDeletionShare = 1000, 1 }
	for name, c := range map[string]struct {
		before, after *schema.Spec
		allowed       []reconcile.Rule
		want          []reconcile.Rule
	}{
		"the first":                    {nil, many(3), nil, nil},
		"the first, empty":             {nil, many(0), nil, []reconcile.Rule{reconcile.RuleEmpty}},
		"the first, empty and allowed": {nil, many(0), []reconcile.Rule{reconcile.RuleEmpty}, nil},
		"the first, empty as it says":  {nil, policy(many(0), func(p *schema.Policy) { p.AllowEmpty = true }), nil, nil},
		"nothing new":                  {many(3), many(3), nil, nil},
		"empty":                        {many(3), many(0), nil, []reconcile.Rule{reconcile.RuleEmpty}},
		"empty to empty":               {many(0), many(0), nil, nil},
		"few go":                       {many(4), many(1), nil, nil},
		"too large a share":            {many(6), many(2), nil, []reconcile.Rule{reconcile.RuleDeletions}},
		"too many":                     {many(40), many(29), nil, []reconcile.Rule{reconcile.RuleDeletions}},
		"as many as may":               {many(40), many(30), nil, nil},
		"many, as the new one allows":  {many(40), policy(many(1), anything), nil, nil},
		"many, as the old one allowed": {policy(many(40), anything), many(1), nil, []reconcile.Rule{reconcile.RuleDeletions}},
		"many, allowed":                {many(40), many(1), []reconcile.Rule{reconcile.RuleDeletions}, nil},
		"of hosts":                     {host(many(1)), many(1), nil, []reconcile.Rule{reconcile.RuleDeletions}},
		"protected goes":               {guarded(records("a", "192.0.2.1", "b", "192.0.2.2")), records("b", "192.0.2.2"), nil, []reconcile.Rule{reconcile.RuleProtected}},
		"protected leads elsewhere":    {guarded(records("a", "192.0.2.1")), guarded(records("a", "192.0.2.9")), nil, []reconcile.Rule{reconcile.RuleProtected}},
		"protected, allowed":           {guarded(records("a", "192.0.2.1")), guarded(records("a", "192.0.2.9")), []reconcile.Rule{reconcile.RuleProtected}, nil},
		"no origin at the first":       {nil, behind(off), nil, []reconcile.Rule{reconcile.RuleNoOrigin}},
		"no origin any more":           {behind(served), behind(off), nil, []reconcile.Rule{reconcile.RuleNoOrigin}},
		"no way to one any more":       {behind(served), behind(astray), nil, []reconcile.Rule{reconcile.RuleNoOrigin}},
		"no way to one, allowed":       {behind(served), behind(astray), []reconcile.Rule{reconcile.RuleNoOrigin}, nil},
		"no way to one, at the first":  {nil, behind(astray), nil, nil},
		"another way":                  {behind(served), behind(through), nil, nil},
		"no longer protected":          {guarded(records("a", "192.0.2.1")), records("a", "192.0.2.1"), nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got []reconcile.Rule
			violations, _ := follow.Rails(c.before, c.after, c.allowed)
			for _, v := range violations {
				got = append(got, v.Rule)
				if v.Message == "" || follow.Describe([]reconcile.Violation{v}) == "" {
					t.Errorf("%+v", v)
				}
			}
			if !slices.Equal(slices.Compact(got), c.want) {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}
