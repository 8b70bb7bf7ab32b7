package netns_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hactl/hactl/engines/host/netns"
	"github.com/hactl/hactl/schema"
	"github.com/hactl/hactl/schema/load/loadtest"
)

func specOf(t testing.TB, source string) *schema.Spec {
	t.Helper()
	if !strings.Contains(source, "stack:") {
		source = "stack: \"home\"\n" + source
	}
	return loadtest.Spec(t, source)
}

// drawn shows a layout in lines.
func drawn(l *netns.Layout) string {
	var b strings.Builder
	for _, lan := range l.LANs {
		fmt.Fprintf(&b, "%s %v %v client %v\n", lan.Name, lan.Routers, lan.Prefixes, lan.Client)
		for _, p := range lan.Ports {
			fmt.Fprintf(&b, "  %s %s %v\n", p.Host, p.Interface, p.Addresses)
		}
	}
	for _, h := range l.Hosts {
		fmt.Fprintf(&b, "%s outside %s", h, l.HostOutside(h))
		if a, ok := l.Elsewhere[h]; ok {
			fmt.Fprintf(&b, " and %s", a)
		}
		b.WriteString("\n")
	}
	return b.String()
}

func TestPlanOfTheExamples(t *testing.T) {
	for name, want := range map[string]string{
		"keepalived-pair": `lan1 [web] [192.168.0.0/24] client [192.168.0.100/24]
  lb01 eth0 [192.168.0.41/24]
  lb02 eth0 [192.168.0.42/24]
lb01 outside 198.18.1.1
lb02 outside 198.18.1.2
`,
		"private-lb-warp": `lan1 [app-a app-b] [10.20.0.0/24] client [10.20.0.100/24]
  lb01 eth0 [10.20.0.11/24]
  lb02 eth0 [10.20.0.12/24]
lb01 outside 198.18.1.1
lb02 outside 198.18.1.2
`,
		"lb-private-network": "gw01 outside 198.18.1.1 and 10.20.0.11\ngw02 outside 198.18.1.2 and 10.20.0.12\n",
		"lb-public-hostnames": `osaka01 outside 198.18.1.1 and 198.51.100.11
tokyo01 outside 198.18.1.2 and 192.0.2.11
tokyo02 outside 198.18.1.3 and 192.0.2.12
`,
		"multi-cloud-geo": "",
		"tunnel-replicas": "lb01 outside 198.18.1.1 and 192.0.2.11\nlb02 outside 198.18.1.2 and 192.0.2.12\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, err := os.ReadFile(filepath.Join("..", "..", "..", "examples", name, "edge.cue"))
			if err != nil {
				t.Fatal(err)
			}
			plans(t, string(b), want)
		})
	}
}

func plans(t *testing.T, source, want string) {
	t.Helper()
	spec := specOf(t, source)
	l, err := netns.Plan(spec)
	if err != nil {
		t.Fatal(err)
	}
	sound(t, spec, l)
	if got := drawn(l); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestPlan(t *testing.T) {
	const pair = `hosts: {a: address: "10.0.0.1", b: address: "10.0.0.2"}` + "\n"
	for _, c := range []struct{ name, source, want string }{
		{"interfaces of their own names, and two LANs", pair + `
virtualRouters: {
	front: {vrid: 1, interface: "enp3s0f1np1", addresses: ["203.0.113.10/28"], members: {a: {}, b: interface: "eth0.100"}}
	back: {vrid: 1, interface: "bond0", addresses: ["10.0.0.10/24"], members: {a: {}, b: {}}}
}`, `lan1 [back] [10.0.0.0/24] client [10.0.0.100/24]
  a bond0 [10.0.0.1/24]
  b bond0 [10.0.0.2/24]
lan2 [front] [203.0.113.0/28] client [203.0.113.14/28]
  a enp3s0f1np1 [203.0.113.11/28]
  b eth0.100 [203.0.113.12/28]
a outside 198.18.1.1
b outside 198.18.1.2
`},
		{"shared interfaces join", `hosts: {a: address: "10.0.0.1", b: address: "10.0.0.2", c: address: "10.0.0.3", d: address: "10.9.0.1"}
virtualRouters: {
	x: {vrid: 1, interface: "eth0", addresses: ["10.0.0.10/24"], members: {a: {}, b: {}}}
	y: {vrid: 2, interface: "eth0", addresses: ["10.0.0.11/24"], members: {b: {}, c: {}}}
	z: {vrid: 3, interface: "eth0", addresses: ["10.0.0.12/24"], members: d: {}}
}
syncGroups: g: members: ["x", "y"]`, `lan1 [x y] [10.0.0.0/24] client [10.0.0.100/24]
  a eth0 [10.0.0.1/24]
  b eth0 [10.0.0.2/24]
  c eth0 [10.0.0.3/24]
lan2 [z] [10.0.0.0/24] client [10.0.0.101/24]
  d eth0 [10.0.0.13/24]
a outside 198.18.1.1
b outside 198.18.1.2
c outside 198.18.1.3
d outside 198.18.1.4 and 10.9.0.1
`},
		{"two interfaces in one subnet join", pair + `
virtualRouters: {
	x: {vrid: 1, interface: "eth0", addresses: ["10.0.0.10/24"], members: {a: {}, b: {}}}
	y: {vrid: 2, interface: "eth1", addresses: ["10.0.0.11/24"], members: {a: {}, b: {}}}
}`, `lan1 [x y] [10.0.0.0/24] client [10.0.0.100/24]
  a eth0 [10.0.0.1/24]
  a eth1 [10.0.0.12/24]
  b eth0 [10.0.0.2/24]
  b eth1 [10.0.0.13/24]
a outside 198.18.1.1
b outside 198.18.1.2
`},
		{"IPv6, with link-local sources and an IPv4 address on top", `hosts: {a: address: "2001:db8::1", b: address: "2001:db8::2"}
virtualRouters: six: {
	vrid: 1, interface: "eth0", addresses: ["fe80::50/64", "2001:db8::50/64"], excludedAddresses: ["192.0.2.50/24"]
	members: {a: address: "fe80::1", b: {}}
}`, `lan1 [six] [192.0.2.0/24 2001:db8::/64] client [192.0.2.100/24 2001:db8::64/64]
  a eth0 [192.0.2.11/24 2001:db8::1/64 fe80::1/64]
  b eth0 [192.0.2.12/24 2001:db8::2/64]
a outside 198.18.1.1
b outside 198.18.1.2
`},
		{"unicast peers in other subnets", `hosts: {a: address: "10.0.1.1", b: address: "10.0.2.1"}
virtualRouters: web: {vrid: 1, interface: "eth0", unicast: true, minTTL: 250, addresses: ["192.0.2.50/32"], members: {a: {}, b: address: "10.0.3.1"}}`,
			`lan1 [web] [10.0.1.0/24 10.0.3.0/24 192.0.2.0/24] client [10.0.1.100/24 10.0.3.100/24 192.0.2.100/24]
  a eth0 [10.0.1.1/24 10.0.3.11/24 192.0.2.11/24]
  b eth0 [10.0.1.11/24 10.0.3.1/24 192.0.2.12/24]
a outside 198.18.1.1
b outside 198.18.1.2 and 10.0.2.1
`},
		{"a single virtual address beside the hosts", pair + `virtualRouters: web: {vrid: 1, interface: "eth0", addresses: ["10.0.0.50/32"], members: {a: {}, b: {}}}`,
			`lan1 [web] [10.0.0.0/24] client [10.0.0.100/24]
  a eth0 [10.0.0.1/24]
  b eth0 [10.0.0.2/24]
a outside 198.18.1.1
b outside 198.18.1.2
`},
		{"no room", `hosts: {a: address: "10.9.0.1", b: address: "10.9.0.2"}
virtualRouters: web: {vrid: 1, interface: "eth0", addresses: ["10.0.0.1/30"], members: {a: {}, b: {}}}`,
			`lan1 [web] [10.0.0.0/30] client []
  a eth0 [10.0.0.2/30]
  b eth0 []
a outside 198.18.1.1 and 10.9.0.1
b outside 198.18.1.2 and 10.9.0.2
`},
		{"the owner has its address", pair + `virtualRouters: web: {vrid: 1, interface: "eth0", addresses: ["10.0.0.1/24"], members: {a: priority: 255, b: {}}}`,
			`lan1 [web] [10.0.0.0/24] client [10.0.0.100/24]
  a eth0 [10.0.0.1/24]
  b eth0 [10.0.0.2/24]
a outside 198.18.1.1
b outside 198.18.1.2
`},
		{"interfaces and gateways that checks and routes name", pair + `
checks: uplink: {type: "interface", interface: "wan0"}
virtualRouters: web: {
	vrid: 1, interface: "eth0", addresses: ["10.0.0.10/24"], members: {a: {}, b: checks: ["uplink"]}
	routes: [{cidr: "0.0.0.0/0", via: "10.0.7.1"}, {cidr: "10.5.0.0/16", interface: "tun7"}]
}`, `lan1 [web] [10.0.0.0/24 10.0.7.0/24] client [10.0.0.100/24 10.0.7.100/24]
  a eth0 [10.0.0.1/24 10.0.7.11/24]
  b eth0 [10.0.0.2/24 10.0.7.12/24]
lan2 [] [] client []
  a tun7 []
lan3 [] [] client []
  b tun7 []
lan4 [] [] client []
  b wan0 []
a outside 198.18.1.1
b outside 198.18.1.2
`},
		{"a subnet outside that the specification has", `hosts: a: address: "198.18.0.1"` + "\n" +
			`virtualRouters: web: {vrid: 1, interface: "eth0", addresses: ["100.64.0.50/10"], members: a: {}}`,
			`lan1 [web] [100.64.0.0/10] client [100.64.0.100/10]
  a eth0 [100.64.0.11/10]
a outside 10.254.1.1 and 198.18.0.1
`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			plans(t, c.source, c.want)
		})
	}
}

// sound checks what every layout has to hold.
func sound(t testing.TB, spec *schema.Spec, l *netns.Layout) {
	t.Helper()
	used := map[netip.Addr]string{}
	take := func(who string, a netip.Addr) {
		if other, taken := used[a]; taken {
			t.Errorf("%s and %s both have %s", other, who, a)
		}
		used[a] = who
	}
	owned := map[netip.Addr]string{}
	for _, v := range spec.VirtualRouters {
		for host, m := range v.Members {
			if m.Priority == 255 {
				owned[v.Address()] = host
			}
		}
	}
	virtual := map[netip.Addr]bool{}
	for _, lan := range l.LANs {
		for _, a := range lan.Virtual {
			virtual[a] = true
		}
	}
	where := map[string]string{}
	for _, lan := range l.LANs {
		for _, p := range lan.Ports {
			if on, twice := where[p.Host+" "+p.Interface]; twice {
				t.Errorf("%s of %s is on %s and %s", p.Interface, p.Host, on, lan.Name)
			}
			where[p.Host+" "+p.Interface] = lan.Name
			for _, a := range p.Addresses {
				take(p.Host, a.Addr())
				if virtual[a.Addr()] && owned[a.Addr()] != p.Host {
					t.Errorf("%s has the virtual address %s", p.Host, a)
				}
			}
		}
		for _, a := range lan.Client {
			take("the client of "+lan.Name, a.Addr())
			if virtual[a.Addr()] {
				t.Errorf("the client of %s has the virtual address %s", lan.Name, a)
			}
		}
	}
	take("services", l.Services())
	for _, h := range l.Hosts {
		take(h, l.HostOutside(h))
		if a, ok := l.Elsewhere[h]; ok {
			take(h, a)
		}
	}
	// All members of a router are on its LAN, and each can reach it there.
	for name, v := range spec.VirtualRouters {
		for host, m := range v.Members {
			iface := v.Interface
			if m.Interface != "" {
				iface = m.Interface
			}
			i := slices.IndexFunc(l.LANs, func(lan netns.LAN) bool { return slices.Contains(lan.Routers, name) })
			if i < 0 || where[host+" "+iface] != l.LANs[i].Name {
				t.Errorf("%s of %s is not on the LAN of %s", iface, host, name)
			}
		}
	}
}

func TestPlanRefuses(t *testing.T) {
	host := func(n int) map[string]schema.Host {
		hosts := map[string]schema.Host{}
		for i := range n {
			hosts[fmt.Sprintf("h%d", i)] = schema.Host{Address: fmt.Sprintf("10.0.%d.1", i)}
		}
		return hosts
	}
	router := func(change func(*schema.VirtualRouter)) *schema.Spec {
		v := schema.VirtualRouter{VRID: 1, Interface: "eth0", Addresses: []string{"10.0.0.50/24"}, Members: map[string]schema.RouterMember{"h0": {}, "h1": {}}}
		change(&v)
		return &schema.Spec{Hosts: host(2), VirtualRouters: map[string]schema.VirtualRouter{"web": v}}
	}
	for want, spec := range map[string]*schema.Spec{
		"65 hosts: at most 64 can be built":              {Hosts: host(65)},
		"hosts a and b have the same address 10.0.0.1":   {Hosts: map[string]schema.Host{"a": {Address: "10.0.0.1"}, "b": {Address: "10.0.0.1"}}},
		"hosts h1 and h0 have the same address 10.0.1.1": router(func(v *schema.VirtualRouter) { v.Members["h0"] = schema.RouterMember{Address: "10.0.1.1"} }),
		"host a: ParseAddr":                              {Hosts: map[string]schema.Host{"a": {Address: "ten"}}},
		"interface hactl0 of host h0: the name is taken": router(func(v *schema.VirtualRouter) { v.Interface = "hactl0" }),
		"interface lo of host h0 is on no LAN":           router(func(v *schema.VirtualRouter) { v.Interface = "lo" }),
		"interface eth%d of host h0: no interface can":   router(func(v *schema.VirtualRouter) { v.Interface = "eth%d" }),
		"interface Schnittstellenä of host h0":           router(func(v *schema.VirtualRouter) { v.Interface = "Schnittstellenä" }),
		"virtual router web: member nobody is no host":   router(func(v *schema.VirtualRouter) { v.Members["nobody"] = schema.RouterMember{} }),
		"virtual router web: netip.ParsePrefix":          router(func(v *schema.VirtualRouter) { v.Addresses = []string{"10.0.0.50"} }),
		"the specification has addresses in all subnets": router(func(v *schema.VirtualRouter) { v.Addresses = []string{"10.0.0.50/1", "192.0.0.1/1"} }),
	} {
		if _, err := netns.Plan(spec); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if l, err := netns.Plan(&schema.Spec{Hosts: host(64)}); err != nil || len(l.Hosts) != 64 {
		t.Errorf("64 hosts: %v", err)
	} else {
		sound(t, &schema.Spec{Hosts: host(64)}, l)
	}
}

// TestPlanIsSound plans specifications that nobody would write.
func TestPlanIsSound(t *testing.T) {
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 1))
		spec := &schema.Spec{Hosts: map[string]schema.Host{}, VirtualRouters: map[string]schema.VirtualRouter{}}
		address := func() string {
			if r.IntN(4) == 0 {
				return fmt.Sprintf("2001:db8:%x::%x", r.IntN(2), 1+r.IntN(40))
			}
			return fmt.Sprintf("10.0.%d.%d", r.IntN(2), 1+r.IntN(40))
		}
		taken := map[string]bool{}
		fresh := func() string {
			for {
				if a := address(); !taken[a] {
					taken[a] = true
					return a
				}
			}
		}
		for i := range 1 + r.IntN(8) {
			spec.Hosts[fmt.Sprintf("h%d", i)] = schema.Host{Address: fresh()}
		}
		for i := range r.IntN(6) {
			v := schema.VirtualRouter{VRID: i + 1, Interface: fmt.Sprintf("eth%d", r.IntN(2)), Unicast: r.IntN(3) == 0, Members: map[string]schema.RouterMember{}}
			for range 1 + r.IntN(3) {
				a := netip.MustParseAddr(fresh())
				bits := []int{20, 24, 27, 30, 32}[r.IntN(5)]
				if a.Is6() {
					bits = []int{48, 64, 120, 128}[r.IntN(4)]
				}
				v.Addresses = append(v.Addresses, netip.PrefixFrom(a, bits).String())
			}
			for host := range spec.Hosts {
				m := schema.RouterMember{Priority: 100}
				switch r.IntN(6) {
				case 0:
					m.Interface = "bond0"
				case 1:
					m.Address = fresh()
				case 2, 3:
					continue
				}
				v.Members[host] = m
			}
			if len(v.Members) > 0 {
				spec.VirtualRouters[fmt.Sprintf("r%d", i)] = v
			}
		}
		l, err := netns.Plan(spec)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		sound(t, spec, l)
		again, err := netns.Plan(spec)
		if err != nil || drawn(again) != drawn(l) {
			t.Errorf("seed %d: another plan the second time: %v", seed, err)
		}
		if t.Failed() {
			t.Fatalf("seed %d:\n%s", seed, drawn(l))
		}
	}
}
