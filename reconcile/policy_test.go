package reconcile_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/topology"
	"github.com/hactl/hactl/schema"
)

// violations plans and checks, and prints what was violated.
func violations(policy reconcile.Policy, d reconcile.Desired, l reconcile.Live) []string {
	lines := []string{}
	p := reconcile.Diff(d, l)
	for _, v := range policy.Check(p, d, l, topology.Facts(nil, p, l)) {
		line := string(v.Rule) + ": "
		if v.ID != (schema.ID{}) {
			line += v.ID.String() + " "
		}
		lines = append(lines, line+v.Message)
	}
	return lines
}

func usual(protected ...schema.ID) reconcile.Policy {
	return reconcile.Policy{Policy: schema.DefaultPolicy(), Journal: reconcile.Journal{Protected: protected}}
}

func monitors(n int) []schema.Object {
	var objects []schema.Object
	for i := range n {
		objects = append(objects, monitor(fmt.Sprint("m", i)))
	}
	return objects
}

func TestTheGuardRails(t *testing.T) {
	protectedPool := changed(pool("p", "", "a.example.com"), func(p *schema.Pool) { p.Protect = true })
	elsewhere := func(address string) schema.Pool {
		return changed(pool("p", "", address), func(p *schema.Pool) { p.Protect = true })
	}
	twoRoutes := func(services ...string) schema.TunnelConfiguration {
		c := configuration("t")
		c.Protect = true
		for i, s := range services {
			c.Ingress = append(c.Ingress, serve(fmt.Sprintf("h%d.example.com", i), s))
		}
		return c
	}
	connected := changed(tunnel("t"), func(t *schema.Tunnel) { t.Connections = 2 })
	off := changed(pool("p", "", "a.example.com"), func(p *schema.Pool) {
		o := p.Origins["o0"]
		o.Enabled = false
		p.Origins = map[string]schema.Origin{"o0": o}
	})
	weightless := changed(pool("q", "", "a.example.com"), func(p *schema.Pool) {
		o := p.Origins["o0"]
		o.Weight = 0
		p.Origins = map[string]schema.Origin{"o0": o}
	})
	unread := func(kind schema.Kind, name string) reconcile.Live {
		return reconcile.Live{Unknown: []reconcile.Unknown{{Kind: kind, Name: name, Err: errUnread}}}
	}
	lb := balancer("www.example.com", "p")
	moved := changed(lb, func(l *schema.LoadBalancer) { l.Zone, l.Protect = "www.example.com", true })
	for name, c := range map[string]struct {
		policy  reconcile.Policy
		desired reconcile.Desired
		live    reconcile.Live
		want    []string
	}{
		"an empty specification":               {usual(), desired(), live(monitors(2)...), []string{"empty: the specification is empty and 2 objects are owned: all of them would go"}},
		"empty, and nothing is owned":          {usual(), desired(), reconcile.Live{Entries: []reconcile.Entry{foreign(monitor("m"))}}, nil},
		"empty on purpose":                     {reconcile.Policy{Policy: schema.Policy{MaxDeletions: 9, MaxDeletionShare: 1, AllowEmpty: true}}, desired(), live(monitors(9)...), nil},
		"more deletions than allowed":          {usual(), desired(monitors(19)...), live(monitors(30)...), []string{"deletions: 11 deletions; the policy's maxDeletions is 10"}},
		"as many deletions as allowed":         {usual(), desired(monitors(20)...), live(monitors(30)...), nil},
		"too large a share":                    {usual(), desired(monitors(3)...), live(monitors(7)...), []string{"deletions: 4 of 7 owned objects would be deleted; the policy's maxDeletionShare is 0.5"}},
		"a share that is allowed":              {usual(), desired(monitors(4)...), live(monitors(8)...), nil},
		"few deletions are no share":           {usual(), desired(monitors(1)...), live(monitors(4)...), nil},
		"deleting what was protected":          {usual(schema.ID{Kind: schema.KindPool, Name: "p"}), desired(monitor("m")), live(pool("p", ""), monitor("m")), []string{"protected: pool/p is protected and would be deleted"}},
		"deleting what was not":                {usual(), desired(monitor("m")), live(pool("p", ""), monitor("m")), nil},
		"replacing what is protected":          {usual(), desired(moved, pool("p", "", "a")), live(lb, pool("p", "", "a")), []string{"protected: loadBalancer/www.example.com is protected and would be replaced"}},
		"taking a protected record's place":    {usual(schema.ID{Kind: schema.KindDNSRecord, Name: "old"}), desired(record("new", "w", "CNAME", "a.example.net")), live(record("old", "w", "A", "192.0.2.1")), []string{"protected: dnsRecord/new is protected and would be replaced"}},
		"retargeting an origin":                {usual(), desired(elsewhere("b.example.com")), live(protectedPool), []string{"protected: pool/p is protected and would lead elsewhere: origins.o0.address"}},
		"losing an origin":                     {usual(), desired(protectedPool), live(changed(pool("p", "", "a.example.com", "b.example.com"), func(p *schema.Pool) { p.Protect = true })), []string{"protected: pool/p is protected and would lead elsewhere: origins.o1"}},
		"an origin more":                       {usual(), desired(changed(pool("p", "", "a.example.com", "b.example.com"), func(p *schema.Pool) { p.Protect = true })), live(protectedPool), nil},
		"another weight":                       {usual(), desired(changed(weightless, func(p *schema.Pool) { p.Protect = true })), live(pool("q", "", "a.example.com")), nil},
		"an origin called tunnel":              {usual(), desired(changed(pool("p", ""), func(p *schema.Pool) { p.Protect, p.Origins = true, map[string]schema.Origin{"tunnel": {Port: 1}} })), live(changed(pool("p", ""), func(p *schema.Pool) { p.Origins = map[string]schema.Origin{"tunnel": {Port: 2}} })), nil},
		"another service":                      {usual(), desired(twoRoutes("x", "z")), live(twoRoutes("x", "y")), []string{"protected: tunnelConfiguration/t is protected and would lead elsewhere: ingress[h1.example.com].service"}},
		"a hostname less":                      {usual(), desired(twoRoutes("x")), live(twoRoutes("x", "y")), []string{"protected: tunnelConfiguration/t is protected and would lead elsewhere: ingress[h1.example.com]"}},
		"a hostname more":                      {usual(), desired(twoRoutes("x", "y")), live(twoRoutes("x")), nil},
		"no enabled origin":                    {usual(), desired(lb, off), live(), []string{"no-origin: loadBalancer/www.example.com would have no enabled origin"}},
		"no enabled pool":                      {usual(), desired(private("app", "p"), changed(pool("p", "", "a"), func(p *schema.Pool) { p.Enabled = false })), live(), []string{"no-origin: privateLoadBalancer/app would have no enabled origin"}},
		"only origins of no weight":            {usual(), desired(balancer("www.example.com", "q"), weightless), live(), []string{"no-origin: loadBalancer/www.example.com would have no enabled origin"}},
		"an enabled origin in another pool":    {usual(), desired(balancer("www.example.com", "p", "q"), off, pool("q", "", "b")), live(), nil},
		"a pool of somebody else's":            {usual(), desired(balancer("www.example.com", "id:0123456789abcdef0123456789abcdef")), live(), nil},
		"a balancer that is off":               {usual(), desired(changed(lb, func(l *schema.LoadBalancer) { l.Enabled = false }), off), live(), nil},
		"a tunnel with connections":            {usual(), desired(monitor("m")), live(connected, monitor("m")), []string{"live-tunnel: tunnel/t has 2 live connections: stop its connectors first"}},
		"a tunnel without":                     {usual(), desired(monitor("m")), live(tunnel("t"), monitor("m")), nil},
		"a tunnel with connections that stays": {usual(), desired(tunnel("t")), live(connected), nil},
		"what could not be read is needed":     {usual(), desired(monitor("m"), pool("p", "m", "a")), unread(schema.KindMonitor, ""), []string{"unread: monitor/m needs what could not be read: timeout", "unread: pool/p needs what could not be read: timeout"}},
		"what could not be read is not needed": {usual(), desired(monitor("m")), unread(schema.KindMonitor, "x"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			if got := violations(c.policy, c.desired, c.live); !slices.Equal(got, c.want) {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
			c.policy.Allowed = reconcile.Rules()
			if got := violations(c.policy, c.desired, c.live); len(got) > 0 {
				t.Errorf("allowed, and yet %q", got)
			}
		})
	}
}

func TestAllowingOneRuleAllowsNoOther(t *testing.T) {
	d, l := desired(), live(append(monitors(20), changed(tunnel("t"), func(t *schema.Tunnel) { t.Connections = 1 }))...)
	policy := usual(schema.ID{Kind: schema.KindTunnel, Name: "t"})
	all := violations(policy, d, l)
	if len(all) != 4 {
		t.Fatalf("%q", all)
	}
	for _, rule := range []reconcile.Rule{reconcile.RuleEmpty, reconcile.RuleDeletions, reconcile.RuleProtected, reconcile.RuleConnected} {
		policy.Allowed = []reconcile.Rule{rule}
		if got := violations(policy, d, l); len(got) != 3 {
			t.Errorf("%s allowed: %q", rule, got)
		}
	}
}

func TestADoubleWithConnectionsIsALiveTunnel(t *testing.T) {
	first, second := entry(tunnel("t")), entry(changed(tunnel("t"), func(t *schema.Tunnel) { t.Connections = 4 }))
	first.Handle, second.Handle = "h1", "h2"
	got := violations(usual(), desired(tunnel("t")), reconcile.Live{Entries: []reconcile.Entry{first, second}})
	if want := []string{"live-tunnel: tunnel/t#h2 has 4 live connections: stop its connectors first"}; !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

// TestRailsStandOnFacts: which kind of fact is refused, and how it is said.
func TestRailsStandOnFacts(t *testing.T) {
	www, home := schema.ID{Kind: schema.KindLoadBalancer, Name: "www.example.com"}, schema.ID{Kind: schema.KindTunnel, Name: "home"}
	fact := func(id schema.ID, kind reconcile.FactKind, message string) reconcile.Fact {
		return reconcile.Fact{Finding: reconcile.Finding{ID: id, Message: message}, Kind: kind, Count: 1}
	}
	for _, c := range []struct {
		facts []reconcile.Fact
		want  []string
	}{
		{[]reconcile.Fact{fact(www, reconcile.Unserved, "is lost")}, []string{"no-origin: is lost"}},
		{[]reconcile.Fact{fact(www, reconcile.Unserved, "is lost"), fact(www, reconcile.Originless, "would have none")}, []string{"no-origin: would have none"}},
		{[]reconcile.Fact{fact(www, reconcile.Originless, "would have none"), fact(home, reconcile.Disconnects, "ends")}, []string{"no-origin: would have none", "live-tunnel: has 1 live connection: stop its connectors first"}},
		{[]reconcile.Fact{
			fact(www, reconcile.Closed, ""), fact(www, reconcile.Removed, ""), fact(www, reconcile.Moved, ""), fact(www, reconcile.Sessions, ""),
			fact(www, reconcile.Resilience, ""), fact(www, reconcile.Mastership, ""),
		}, nil},
	} {
		p := &reconcile.Plan{}
		violations := usual().Check(p, desired(), reconcile.Live{}, c.facts)
		var got []string
		for _, v := range violations {
			got = append(got, string(v.Rule)+": "+v.Message)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%v: %q, want %q", c.facts, got, c.want)
		}
		for _, f := range c.facts {
			other := []reconcile.Violation{{Rule: reconcile.RuleProtected, ID: f.ID}, {Rule: reconcile.RuleNoOrigin, ID: schema.ID{Kind: f.ID.Kind, Name: "other"}}}
			if f.Refused(violations) != (c.want != nil) || f.Refused(nil) || f.Refused(other) {
				t.Errorf("%v: refused is %t", f, f.Refused(violations))
			}
		}
	}
}
