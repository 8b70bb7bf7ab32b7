package reconcile_test

import (
	"testing"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/schema"
)

func TestTargets(t *testing.T) {
	cname := record("www.example.com", "www", "CNAME", "")
	cname.Tunnel = "t"
	route := schema.Route{CIDR: "10.0.0.0/8", Tunnel: "t"}
	double := entry(monitor("twice"))
	double.Handle = "h2"
	l := live(balancer("old.example.com", "gone"), pool("gone", ""), record("a", "w", "A", "192.0.2.1"), monitor("twice"))
	l.Entries = append(l.Entries, double, foreign(monitor("theirs")))
	d := desired(balancer("www.example.com", "p"), pool("p", "m"), monitor("m"), monitor("other"), monitor("theirs"), pool("waits", "theirs"),
		tunnel("t"), configuration("t"), route, cname, tunnel("u"), record("b", "w", "CNAME", "x.example.net"), monitor("twice"))
	const (
		conflict = "conflict monitor/theirs at h-monitor/theirs: exists and is not hactl's: take it over with hactl adopt monitor/theirs h-monitor/theirs, or name yours otherwise"
		waits    = "notice pool/waits: waits for monitor/theirs: it is in conflict"
		replace  = "replace dnsRecord/b at h-dnsRecord/a for dnsRecord/a (takes the place of dnsRecord/a) content: 192.0.2.1 -> x.example.net type: A -> CNAME"
	)
	for name, c := range map[string]struct {
		targets, want []string
	}{
		"one":               {[]string{"monitor/other"}, []string{"create monitor/other"}},
		"with its closure":  {[]string{"loadBalancer/www.example.com"}, []string{"create monitor/m", "create pool/p after [monitor/m]", "create loadBalancer/www.example.com after [pool/p]"}},
		"a deletion":        {[]string{"pool/gone"}, []string{"delete loadBalancer/old.example.com at h-loadBalancer/old.example.com", "delete pool/gone at h-pool/gone after [loadBalancer/old.example.com]"}},
		"a tunnel's parts":  {[]string{"tunnel/t"}, []string{"create tunnel/t", "create tunnelConfiguration/t after [tunnel/t]", "create route/10.0.0.0/8 after [tunnel/t]", "create dnsRecord/www.example.com after [tunnel/t tunnelConfiguration/t]"}},
		"two":               {[]string{"monitor/other", "tunnel/u"}, []string{"create tunnel/u", "create monitor/other"}},
		"a conflict":        {[]string{"monitor/theirs"}, []string{conflict}},
		"what waits":        {[]string{"pool/waits"}, []string{waits}},
		"what takes over":   {[]string{"dnsRecord/b"}, []string{replace}},
		"what is replaced":  {[]string{"dnsRecord/a"}, []string{replace}},
		"one that is there": {[]string{"monitor/twice"}, []string{"delete monitor/twice#h2 at h2 (a second object with one marker: a creation whose answer was lost)"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := reconcile.Diff(d, l)
			var targets []schema.ID
			for _, target := range c.targets {
				targets = append(targets, id(t, target))
			}
			if err := p.Restrict(targets, d, l); err != nil {
				t.Fatal(err)
			}
			wantPlan(t, p, c.want...)
			if n := p.Summary.Create + p.Summary.Replace + p.Summary.Delete; n != len(p.Steps) {
				t.Errorf("%d steps and %+v", len(p.Steps), p.Summary)
			}
			for _, s := range p.Steps {
				if p.Basis[s.ID] == "" && s.ID.String() != "monitor/twice#h2" {
					t.Errorf("%s has no basis", s.ID)
				}
			}
		})
	}
}

func TestATargetThatIsNowhereIsAnError(t *testing.T) {
	d, l := desired(monitor("m")), live(pool("p", ""))
	err := reconcile.Diff(d, l).Restrict([]schema.ID{id(t, "pool/q")}, d, l)
	if err == nil || err.Error() != "target pool/q: there is no such object, neither in the specification nor live" {
		t.Error(err)
	}
}
