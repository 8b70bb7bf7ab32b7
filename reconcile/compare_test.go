package reconcile_test

import (
	"encoding/json"
	"testing"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/schema"
)

func changed[T any](o T, change func(*T)) T {
	change(&o)
	return o
}

// sum adds as programs do, not as constants.
func sum(a, b float64) float64 { return a + b }

func rule(name string, priority int) schema.Rule { return schema.Rule{Name: name, Priority: &priority} }

func serve(hostname, service string) schema.IngressRule {
	return schema.IngressRule{Hostname: hostname, Service: service}
}

func TestCompare(t *testing.T) {
	origin := func(address string) schema.Origin {
		return changed(schema.Origin{}.Defaults().(schema.Origin), func(o *schema.Origin) { o.Address = address })
	}
	lb := balancer("www.example.com", "p", "q")
	for name, c := range map[string]struct {
		before, after schema.Object
		want          string
	}{
		"nothing":                {lb, balancer("www.example.com", "p", "q"), `null`},
		"sets have no order":     {changed(pool("p", ""), func(p *schema.Pool) { p.CheckRegions = []string{"WEU", "EEU"} }), changed(pool("p", ""), func(p *schema.Pool) { p.CheckRegions = []string{"EEU", "WEU"} }), `null`},
		"sets have members":      {changed(pool("p", ""), func(p *schema.Pool) { p.CheckRegions = []string{"WEU", "EEU"} }), changed(pool("p", ""), func(p *schema.Pool) { p.CheckRegions = []string{"EEU"} }), `[{"path":"checkRegions","before":["WEU","EEU"],"after":["EEU"]}]`},
		"empty and absent":       {changed(pool("p", ""), func(p *schema.Pool) { p.CheckRegions = []string{} }), pool("p", ""), `null`},
		"pools have an order":    {lb, balancer("www.example.com", "q", "p"), `[{"path":"defaultPools","before":["p","q"],"after":["q","p"]},{"path":"fallbackPool","before":"p","after":"q"}]`},
		"hundredths":             {changed(pool("p", ""), func(p *schema.Pool) { p.LoadShedding.DefaultPercent = sum(0.1, 0.2) }), changed(pool("p", ""), func(p *schema.Pool) { p.LoadShedding.DefaultPercent = 0.3 }), `null`},
		"a hundredth more":       {changed(pool("p", ""), func(p *schema.Pool) { p.LoadShedding.DefaultPercent = 0.3 }), changed(pool("p", ""), func(p *schema.Pool) { p.LoadShedding.DefaultPercent = 0.31 }), `[{"path":"loadShedding.defaultPercent","before":0.3,"after":0.31}]`},
		"a pointer appears":      {pool("p", ""), changed(pool("p", ""), func(p *schema.Pool) { p.Latitude = new(1.5) }), `[{"path":"latitude","before":null,"after":1.5}]`},
		"a pointer's value":      {changed(pool("p", ""), func(p *schema.Pool) { p.Latitude = new(1.5) }), changed(pool("p", ""), func(p *schema.Pool) { p.Latitude = new(1.5) }), `null`},
		"an empty pointer":       {pool("p", ""), changed(pool("p", ""), func(p *schema.Pool) { p.NotificationFilter = &schema.NotificationFilter{} }), `[{"path":"notificationFilter","before":null,"after":{}}]`},
		"origins by name":        {changed(pool("p", ""), func(p *schema.Pool) { p.Origins = map[string]schema.Origin{"a": origin("1"), "b": origin("2")} }), changed(pool("p", ""), func(p *schema.Pool) { p.Origins = map[string]schema.Origin{"a": origin("3"), "c.d": origin("2")} }), `[{"path":"origins.\"c.d\"","before":null,"after":{"address":"2"}},{"path":"origins.a.address","before":"1","after":"3"},{"path":"origins.b","before":{"address":"2"},"after":null}]`},
		"maps of lists":          {changed(lb, func(l *schema.LoadBalancer) { l.RegionPools = map[string][]string{"WEU": {"p"}} }), changed(lb, func(l *schema.LoadBalancer) { l.RegionPools = map[string][]string{"WEU": {"q"}, "EEU": {"p"}} }), `[{"path":"regionPools.EEU","before":null,"after":["p"]},{"path":"regionPools.WEU","before":["p"],"after":["q"]}]`},
		"rules by name":          {changed(lb, func(l *schema.LoadBalancer) { l.Rules = []schema.Rule{rule("a", 0), rule("b", 10)} }), changed(lb, func(l *schema.LoadBalancer) { l.Rules = []schema.Rule{rule("b", 0), rule("a", 10), rule("c", 20)} }), `[{"path":"rules.order","before":["a","b"],"after":["b","a"]},{"path":"rules[a].priority","before":0,"after":10},{"path":"rules[b].priority","before":10,"after":0},{"path":"rules[c]","before":null,"after":{"name":"c","priority":20}}]`},
		"rules without own keys": {configuration("t", serve("a.example.com", "x"), serve("a.example.com", "y")), configuration("t", serve("a.example.com", "x")), `[{"path":"ingress","before":[{"hostname":"a.example.com","service":"x"},{"hostname":"a.example.com","service":"y"}],"after":[{"hostname":"a.example.com","service":"x"}]}]`},
		"ingress by hostname":    {configuration("t", serve("a.example.com", "x"), serve("", "y")), configuration("t", serve("b.example.com", "x"), serve("", "z")), `[{"path":"ingress[*].service","before":"y","after":"z"},{"path":"ingress[a.example.com]","before":{"hostname":"a.example.com","service":"x"},"after":null},{"path":"ingress[b.example.com]","before":null,"after":{"hostname":"b.example.com","service":"x"}}]`},
		"ingress in order":       {configuration("t", serve("*.example.com", "x"), serve("a.example.com", "y")), configuration("t", serve("a.example.com", "y"), serve("*.example.com", "x")), `[{"path":"ingress.order","before":["*.example.com","a.example.com"],"after":["a.example.com","*.example.com"]}]`},
		"durations":              {monitor("m"), changed(monitor("m"), func(m *schema.Monitor) { m.Interval = schema.Seconds(90) }), `[{"path":"interval","before":"1m","after":"90s"}]`},
		"data by value":          {changed(record("r", "a", "CAA", ""), func(r *schema.DNSRecord) { r.Data = map[string]any{"flags": float64(0), "tag": "issue"} }), changed(record("r", "a", "CAA", ""), func(r *schema.DNSRecord) { r.Data = map[string]any{"tag": "issue", "flags": float64(0)} }), `null`},
		"data":                   {changed(record("r", "a", "CAA", ""), func(r *schema.DNSRecord) { r.Data = map[string]any{"flags": float64(0)} }), changed(record("r", "a", "CAA", ""), func(r *schema.DNSRecord) { r.Data = map[string]any{"flags": float64(1)} }), `[{"path":"data","before":{"flags":0},"after":{"flags":1}}]`},
		"an immutable field":     {record("r", "a", "A", "192.0.2.1"), record("r", "a", "TXT", "192.0.2.1"), `[{"path":"type","before":"A","after":"TXT","immutable":true}]`},
		"what only hactl knows":  {changed(tunnel("t"), func(t *schema.Tunnel) { t.Connections, t.ConfigSrc = 3, "local" }), changed(tunnel("t"), func(t *schema.Tunnel) { t.Protect, t.TunnelSecret = true, &schema.SecretRef{Env: "X"} }), `null`},
		"a route's tunnel":       {schema.Route{CIDR: "10.0.0.0/8", Tunnel: "a"}, schema.Route{CIDR: "10.0.0.0/8", Tunnel: "b"}, `[{"path":"tunnel","before":"a","after":"b"}]`},
		"a network":              {schema.Network{Name: "n"}, schema.Network{Name: "n", Comment: "c", IsDefaultNetwork: true}, `[{"path":"comment","before":"","after":"c"},{"path":"isDefaultNetwork","before":false,"after":true}]`},
		"a private balancer":     {private("a", "p"), changed(private("a", "p"), func(l *schema.PrivateLoadBalancer) { l.VIP, l.Networks = "100.112.0.1", []string{"cloudflare", "x"} }), `[{"path":"networks","before":["cloudflare"],"after":["cloudflare","x"]}]`},
		"headers":                {changed(monitor("m"), func(m *schema.Monitor) { m.Header = map[string][]string{"Host": {"a"}} }), changed(monitor("m"), func(m *schema.Monitor) { m.Header = map[string][]string{"X-A": {"b"}} }), `[{"path":"header.\"X-A\"","before":null,"after":["b"]},{"path":"header.Host","before":["a"],"after":null}]`},
		"origin request":         {configuration("t"), changed(configuration("t"), func(c *schema.TunnelConfiguration) { c.OriginRequest = &schema.OriginRequest{NoTLSVerify: new(false)} }), `[{"path":"originRequest","before":null,"after":{"noTLSVerify":false}}]`},
	} {
		t.Run(name, func(t *testing.T) {
			wantJSON(t, reconcile.Compare(c.before, c.after), c.want)
		})
	}
}

// Whether a ciphertext is another one is all there is to say of it.
func TestASealedSecretIsNamedByItsHash(t *testing.T) {
	router := func(ciphertext string) schema.HostRouter {
		return schema.HostRouter{Host: "lb01", Name: "web", Password: &schema.SecretRef{Age: ciphertext}}
	}
	wantJSON(t, reconcile.Compare(router("one"), router("one")), `null`)
	wantJSON(t, reconcile.Compare(router("one"), router("two")),
		`[{"path":"password","before":{"age":"sealed, 7692c3ad3540"},"after":{"age":"sealed, 3fc4ccfe7458"}}]`)
}

func wantJSON(t *testing.T, v any, want string) {
	t.Helper()
	got, err := json.Marshal(v)
	if err != nil || string(got) != want {
		t.Errorf("got  %s %v\nwant %s", got, err, want)
	}
}

func TestFieldsOfACreationAreWhatDiffersFromTheDefaults(t *testing.T) {
	for name, c := range map[string]struct {
		object schema.Object
		want   string
	}{
		"all default":  {monitor("m"), `null`},
		"pool":         {pool("p", "m", "a.example.com"), `[{"path":"monitor","before":null,"after":"m"},{"path":"origins.o0","before":null,"after":{"address":"a.example.com"}}]`},
		"record":       {record("r", "a", "A", "192.0.2.1"), `[{"path":"content","before":null,"after":"192.0.2.1"},{"path":"name","before":null,"after":"a.example.com"},{"path":"type","before":null,"after":"A"},{"path":"zone","before":null,"after":"example.com"}]`},
		"secret":       {changed(tunnel("t"), func(t *schema.Tunnel) { t.TunnelSecret = &schema.SecretRef{Env: "X"} }), `null`},
		"rules":        {configuration("t", serve("a.example.com", "x"), serve("", "y")), `[{"path":"ingress","before":null,"after":[{"hostname":"a.example.com","service":"x"},{"service":"y"}]}]`},
		"switched off": {changed(pool("p", ""), func(p *schema.Pool) { p.Enabled = false }), `[{"path":"enabled","before":null,"after":false}]`},
	} {
		t.Run(name, func(t *testing.T) { wantJSON(t, reconcile.Fields(c.object), c.want) })
	}
}
