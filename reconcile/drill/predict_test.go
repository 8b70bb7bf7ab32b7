package drill

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hactl/hactl/reconcile/topology"
	"github.com/hactl/hactl/schema"
	"github.com/hactl/hactl/schema/load/loadtest"
)

func TestMain(m *testing.M) { loadtest.Main(m) }

// pair is two hosts that share an address, with checks that cost the place and
// priority.
const pair = `package edge
stack: "pair"
hosts: lb01: address: "192.168.0.41"
hosts: lb02: address: "192.168.0.42"
virtualRouters: web: {
	vrid: 50, interface: "eth0", addresses: ["192.168.0.40/24"], interval: "1s", checks: ["caddy", "proxy"]
	members: {lb01: priority: 150, lb02: priority: 100}
}
checks: caddy: {type: "tcp", address: "127.0.0.1:80"}
checks: proxy: {type: "tcp", address: "127.0.0.1:81", weight: -60}
`

func specOf(t *testing.T, sources ...string) *schema.Spec {
	t.Helper()
	return loadtest.Spec(t, sources...)
}

func TestWhatBecomesOfAnAddress(t *testing.T) {
	const sticky = "package edge\nvirtualRouters: web: preempt: false\n"
	died, fell := map[string]bool{"lb01": true}, map[string]bool{}
	adi := 3*time.Second + time.Second*156/256 // of lb02
	for _, c := range []struct {
		name     string
		more     string
		do       func(*world)
		active   []string
		silenced map[string]bool
		to       []string
		cause    Cause
		took     time.Duration
		silent   time.Duration
	}{
		{"nothing happens", "", func(*world) {}, []string{"lb01"}, fell, []string{"lb01"}, "", 0, 0},
		{"all start", "", func(*world) {}, nil, fell, []string{"lb01"}, First, 0, 0},
		{"the Active dies", "", func(w *world) { w.dead["lb01"] = true }, []string{"lb01"}, died, []string{"lb02"}, Death, adi, adi},
		{"the Backup dies", "", func(w *world) { w.dead["lb02"] = true }, []string{"lb01"}, map[string]bool{"lb02": true}, []string{"lb01"}, "", 0, 0},
		{"the Active stops", "", func(w *world) { w.dead["lb01"] = true }, []string{"lb01"}, fell, []string{"lb02"}, Release, time.Second * 156 / 256, 0},
		{"both die", "", func(w *world) { w.dead["lb01"], w.dead["lb02"] = true, true }, []string{"lb01"}, died, nil, Death, 0, 0},
		{"both stop", "", func(w *world) { w.dead["lb01"], w.dead["lb02"] = true, true }, []string{"lb01"}, fell, nil, Release, 0, 0},
		{"the better one comes back", "", func(*world) {}, []string{"lb02"}, fell, []string{"lb01"}, Preempt, 3*time.Second + time.Second*106/256, 0},
		{"and may not", sticky, func(*world) {}, []string{"lb02"}, fell, []string{"lb02"}, "", 0, 0},
		{"and may not, but the next one may", "package edge\nhosts: lb03: address: \"192.168.0.43\"\nvirtualRouters: web: members: {lb01: preempt: false, lb03: priority: 120}\n", func(*world) {}, []string{"lb02"}, fell, []string{"lb03"}, Preempt, 3*time.Second + time.Second*136/256, 0},
		{"but an owner always may, and at once", sticky + "virtualRouters: db: {vrid: 51, interface: \"eth0\", addresses: [\"192.168.0.50/24\"], preempt: false, members: {lb01: priority: 255, lb02: {}}}\n", func(*world) {}, []string{"lb02"}, fell, []string{"lb01"}, Preempt, 0, 0},
		{"a fault", "", func(w *world) { w.failing["lb01"] = map[string]bool{"caddy": true} }, []string{"lb01"}, fell, []string{"lb02"}, Release, time.Second * 156 / 256, 0},
		{"a check that costs enough", "", func(w *world) { w.failing["lb01"] = map[string]bool{"proxy": true} }, []string{"lb01"}, fell, []string{"lb02"}, Yield, time.Second * 156 / 256, 0},
		{"a check that costs enough, and another one that is better by itself", "", func(w *world) {
			w.failing["lb01"] = map[string]bool{"proxy": true}
			w.former["web"]["lb02"] = 99
		}, []string{"lb01"}, fell, []string{"lb02"}, Preempt, adi, 0},
		{"on both it costs nobody", "", func(w *world) {
			w.failing["lb01"], w.failing["lb02"] = map[string]bool{"proxy": true}, map[string]bool{"proxy": true}
		}, []string{"lb01"}, fell, []string{"lb01"}, "", 0, 0},
		{"a cable", "", func(w *world) { w.unplugged["lb01"] = map[string]bool{"eth0": true} }, []string{"lb01"}, died, []string{"lb02"}, Death, adi, adi},
		{"another cable", "", func(w *world) { w.unplugged["lb01"] = map[string]bool{"eth1": true} }, []string{"lb01"}, fell, []string{"lb01"}, "", 0, 0},
		{"maintenance", "package edge\nhosts: lb01: maintenance: true\n", func(*world) {}, []string{"lb01"}, fell, []string{"lb02"}, Release, time.Second * 156 / 256, 0},
		{"a split", "", func(w *world) { w.apart = []string{"lb02", "lb01"} }, []string{"lb01"}, fell, []string{"lb01", "lb02"}, Parted, 0, 0},
		{"it heals", "", func(*world) {}, []string{"lb01", "lb02"}, fell, []string{"lb01"}, "", 0, 0},
		{"a delay nobody has a figure for", "package edge\nvirtualRouters: web: preemptDelay: \"5s\"\n", func(*world) {}, []string{"lb02"}, fell, []string{"lb01"}, Preempt, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			sources := []string{pair}
			if c.more != "" {
				sources = append(sources, c.more)
			}
			w := newWorld()
			w.follow(specOf(t, sources...))
			w.remember()
			c.do(w)
			name := "web"
			if _, owner := w.spec.VirtualRouters["db"]; owner {
				name = "db"
			}
			got := w.router(name, c.active, c.silenced)
			if !slices.Equal(got.To, c.to) || got.Cause != c.cause || time.Duration(got.Switch) != c.took || time.Duration(got.Silent) != c.silent {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// TestASyncGroupWaitsForItsSlowest: and another router waits for nobody.
func TestASyncGroupWaitsForItsSlowest(t *testing.T) {
	w := newWorld()
	w.follow(specOf(t, pair, `package edge
virtualRouters: {
	wan: {vrid: 60, interface: "eth1", addresses: ["10.0.0.1/24"], interval: "2s", members: {lb01: priority: 150, lb02: {}}}
	alone: {vrid: 61, interface: "eth1", addresses: ["10.0.0.2/24"], interval: "1s", members: {lb01: priority: 150, lb02: {}}}
}
syncGroups: gw: members: ["web", "wan"]
`))
	w.dead["lb01"] = true
	was := []string{"lb01"}
	active := map[string][]string{"web": was, "wan": was, "alone": was}
	fast := schema.Duration(3*time.Second + time.Second*156/256)
	for cause, silenced := range map[Cause]map[string]bool{Death: {"lb01": true}, Release: nil} {
		for _, p := range w.predict(active, silenced) {
			want := fast
			if cause == Release {
				want -= schema.Seconds(3)
			}
			if p.Router != "alone" {
				want *= 2
			}
			silent := want
			if cause == Release {
				silent = 0
			}
			if p.Cause != cause || p.Switch != want || p.Silent != silent {
				t.Errorf("%s: %+v, want %s", cause, p, want)
			}
		}
	}
}

// TestASplitOfThree: who is not in it is heard by both sides.
func TestASplitOfThree(t *testing.T) {
	for apart, want := range map[string]string{"lb01 lb02": "lb01,lb02", "lb02 lb03": "", "lb01 lb03": "lb01,lb03", "lb01 lb02 lb03": "lb01,lb02,lb03"} {
		w := newWorld()
		w.follow(specOf(t, pair, "package edge\nhosts: lb03: address: \"192.168.0.43\"\nvirtualRouters: web: members: lb03: priority: 50\n"))
		w.apart = strings.Fields(apart)
		if got := strings.Join(w.parted("web", w.able("web"), []string{"lb01"}), ","); got != want {
			t.Errorf("split %s: %s, want %s", apart, got, want)
		}
	}
}

// TestASplitLeavesWhoMayStay: without preemption, a better one on a side that
// hears the Active one leaves the addresses to it.
func TestASplitLeavesWhoMayStay(t *testing.T) {
	w := newWorld()
	w.follow(specOf(t, pair, "package edge\nhosts: lb03: address: \"192.168.0.43\"\nvirtualRouters: web: {members: lb03: priority: 50, preempt: false}\n"))
	w.apart = []string{"lb01", "lb02"}
	if got := w.router("web", []string{"lb03"}, nil); !slices.Equal(got.To, []string{"lb03"}) || got.Cause != "" {
		t.Errorf("got %+v", got)
	}
}

// TestSyncGroupsAreAllOrNothing: what keeps a host from one keeps it from all.
func TestSyncGroupsAreAllOrNothing(t *testing.T) {
	w := newWorld()
	w.follow(specOf(t, pair, `package edge
virtualRouters: lan: {vrid: 60, interface: "eth1", addresses: ["10.0.0.1/24"], members: {lb01: priority: 150, lb02: {}}}
syncGroups: gw: members: ["web", "lan"]
`))
	w.unplugged["lb01"] = map[string]bool{"eth1": true}
	for _, name := range []string{"web", "lan"} {
		if able := w.able(name); !slices.Equal(able, []string{"lb02"}) {
			t.Errorf("%s: %v may be Active", name, able)
		}
	}
}

// TestPredictionsAgreeWithWhatIf: for every example and host, who is Active
// after its death and how soon is what hactl whatif says.
func TestPredictionsAgreeWithWhatIf(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "..", "examples", "*", "edge.cue"))
	if err != nil || len(files) == 0 {
		t.Fatal("no examples: ", err)
	}
	moves := 0
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		spec := specOf(t, string(b))
		for host := range spec.Hosts {
			w := newWorld()
			w.follow(spec)
			before := map[string][]string{}
			for _, p := range w.predict(nil, nil) {
				before[p.Router] = p.To
			}
			w.dead[host] = true
			after := map[string]Prediction{}
			for _, p := range w.predict(before, map[string]bool{host: true}) {
				if p.Cause != "" {
					after[p.Router] = p
				}
			}
			for _, m := range topology.New(spec).WhatIf([]topology.Component{{Kind: topology.KindHost, Name: host}}, "").Moves {
				p, ok := after[m.Router]
				to := slices.DeleteFunc([]string{m.To}, func(h string) bool { return h == "" })
				if !ok || !slices.Equal(p.To, to) || !slices.Equal(p.From, []string{m.From}) || p.Switch != m.Death || m.To != "" && w.router(m.Router, []string{m.From}, nil).Switch != m.Handover {
					t.Errorf("%s without %s: the drill says %+v, whatif %+v", file, host, p, m)
				}
				delete(after, m.Router)
				moves++
			}
			if len(after) > 0 {
				t.Errorf("%s without %s: whatif knows nothing of %v", file, host, slices.Sorted(maps.Keys(after)))
			}
		}
	}
	if moves == 0 {
		t.Error("nothing moved")
	}
}

// TestACableIsInOrOut: to pull one that is out is a mistake of the script, and one
// by itself does not go back in where all are out.
func TestACableIsInOrOut(t *testing.T) {
	for _, c := range []struct {
		out   []string
		iface string
		plug  bool
		says  string
	}{
		{nil, "", false, ""},
		{nil, "", true, "it is plugged already"},
		{nil, "eth0", true, "it is plugged already"},
		{[]string{"eth0"}, "eth0", false, "it is unplugged already"},
		{[]string{"eth0"}, "eth1", false, ""},
		{[]string{"eth0"}, "", false, ""},
		{[]string{"eth0"}, "", true, ""},
		{[]string{"eth0"}, "eth0", true, ""},
		{[]string{"eth0"}, "eth1", true, "it is plugged already"},
		{[]string{""}, "", false, "it is unplugged already"},
		{[]string{""}, "eth0", false, "it is unplugged already"},
		{[]string{""}, "eth0", true, "all of its cables are out: plug lb01"},
		{[]string{""}, "", true, ""},
	} {
		w := newWorld()
		w.unplugged["lb01"] = map[string]bool{"eth9": false}
		for _, iface := range c.out {
			w.unplugged["lb01"][iface] = true
		}
		says := ""
		if err := w.canCable("lb01", c.iface, c.plug); err != nil {
			says = err.Error()
		}
		if says != c.says {
			t.Errorf("%q are out, plug %v of %q: %q, want %q", c.out, c.plug, c.iface, says, c.says)
		}
	}
}

// TestOneSplitAtATime: what hears what is for one to say.
func TestOneSplitAtATime(t *testing.T) {
	p := &Player{world: newWorld()}
	p.world.apart = []string{"lb01", "lb02"}
	err := p.act(t.Context(), Step{Verb: Split, Args: []string{"lb02", "lb03"}}, &Outcome{}, nil, nil)
	if err == nil || err.Error() != "there is a split already: heal it first" {
		t.Error(err)
	}
}
