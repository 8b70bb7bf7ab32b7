package schema_test

import (
	"maps"
	"reflect"
	"strings"
	"testing"

	"github.com/hactl/hactl/schema"
)

// TestHighAvailabilityIsHactlsOwn: a mark on an entry point reaches neither
// Cloudflare nor a host, and no plan shows it.
func TestHighAvailabilityIsHactlsOwn(t *testing.T) {
	const source = `
hosts: h: address: "192.0.2.11"
virtualRouters: v: {vrid: 1, interface: "eth0", addresses: ["192.0.2.40/24"], members: h: {}}
networks: n: {}
tunnels: t: {routes: [{network: "n", cidr: "10.0.0.0/8", MARK}], ingress: [{hostname: "t.example.com", service: "hello_world", MARK}]}
pools: p: origins: o: {address: "10.0.0.1", network: "n"}
loadBalancers: "www.example.com": {zone: "example.com", defaultPools: ["p"], fallbackPool: "p", MARK}
privateLoadBalancers: a: {defaultPools: ["p"], fallbackPool: "p", MARK}
dnsRecords: r: {zone: "example.com", name: "r.example.com", type: "A", content: "192.0.2.1", MARK}
`
	marked := loaded(t, strings.ReplaceAll(source, "MARK", "highAvailability: true")+"virtualRouters: v: highAvailability: true\n")
	plain := loaded(t, strings.ReplaceAll(source, "MARK", "highAvailability: false"))
	if !reflect.DeepEqual(marked.Objects(), plain.Objects()) || !reflect.DeepEqual(marked.HostObjects("h"), plain.HostObjects("h")) {
		t.Error("the objects differ")
	}
	for what, set := range map[string]bool{
		"balancer": marked.LoadBalancers["www.example.com"].HighAvailability,
		"private":  marked.PrivateLoadBalancers["a"].HighAvailability,
		"record":   marked.DNSRecords["r"].HighAvailability,
		"router":   marked.VirtualRouters["v"].HighAvailability,
		"route":    marked.Tunnels["t"].Routes[0].HighAvailability,
		"rule":     marked.Tunnels["t"].Ingress[0].HighAvailability,
	} {
		if !set {
			t.Errorf("%s is not marked", what)
		}
	}
	if plain.LoadBalancers["www.example.com"].HighAvailability {
		t.Error("marked, unasked")
	}
}

func TestSiteRackAndPowerAreLabels(t *testing.T) {
	h := loaded(t, `hosts: h: {address: "192.0.2.11", site: "tokyo", power: "a", labels: {rack: "r1", row: "7"}}`).Hosts["h"]
	want := map[string]string{"site": "tokyo", "power": "a", "rack": "r1", "row": "7"}
	if got := h.FailureDomains(); !maps.Equal(got, want) {
		t.Errorf("%v", got)
	}
	if got := (schema.Host{}).FailureDomains(); len(got) != 0 {
		t.Errorf("%v", got)
	}
}
