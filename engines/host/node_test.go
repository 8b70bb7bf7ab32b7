package host

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/enginetest"
	"github.com/hactl/hactl/reconcile/loop"
	"github.com/hactl/hactl/schema"
	"github.com/hactl/hactl/schema/load/loadtest"
)

// nodeWorld is a host with an engine that is a real process.
type nodeWorld struct {
	*node
	lan *lan
}

func newNodeWorld(t *testing.T) enginetest.World {
	l := newLAN(t)
	ns := l.addHost("r1", 1)
	l.run("ip", "-n", ns, "addr", "add", "10.0.0.77/32", "dev", "eth0")
	return &nodeWorld{l.start(ns, nil), l}
}

func (w *nodeWorld) Host() string { return "lb01" }

func (w *nodeWorld) Engine(*testing.T) loop.Engine {
	return &Node{Host: "lb01", Dir: w.dir, Secret: vault}
}

// Foreign lists the addresses that are not ours.
func (w *nodeWorld) Foreign(t *testing.T) string {
	t.Helper()
	var links []struct {
		Name  string `json:"ifname"`
		Infos []struct {
			Local    string `json:"local"`
			Length   int    `json:"prefixlen"`
			Protocol string `json:"protocol"`
		} `json:"addr_info"`
	}
	if err := json.Unmarshal([]byte(w.lan.run("ip", "-n", w.ns, "-j", "addr")), &links); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, l := range links {
		for _, a := range l.Infos {
			if !strings.HasPrefix(a.Local, "10.0.0.5") && !strings.HasPrefix(a.Local, "fe80::5") {
				out = append(out, l.Name+" "+a.Local)
			}
		}
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

func (w *nodeWorld) Hang() { w.freeze() }

func specOf(t *testing.T, source string) *schema.Spec {
	t.Helper()
	return loadtest.Spec(t, "stack: \"home\"\nhosts: {lb01: address: \"10.0.0.1\", lb02: address: \"10.0.0.2\"}\n", source)
}

// TestNodeConforms leads a host from one specification to another, among them
// a password that is activated in steps and a sync group.
func TestNodeConforms(t *testing.T) {
	stages := []*schema.Spec{
		specOf(t, `virtualRouters: web: {vrid: 50, interface: "eth0", addresses: ["10.0.0.50/32"], version: 2, password: env: "A", members: {lb01: {}, lb02: {}}}`),
		specOf(t, `
checks: {alive: {type: "process", process: "x"}, link: {type: "interface", interface: "eth0", weight: -10}}
hooks: tell: command: ["/bin/true"]
virtualRouters: web: {vrid: 50, interface: "eth0", addresses: ["10.0.0.50/32"], version: 2, password: env: "B", checks: ["alive"], members: {lb01: priority: 200, lb02: {}}}
virtualRouters: six: {vrid: 50, interface: "eth0", addresses: ["fe80::50/64"], excludedAddresses: ["10.0.0.52/32"], hooks: ["tell"], checks: ["link"], members: {lb01: {}, lb02: {}}}
syncGroups: both: members: ["web", "six"]
`),
		specOf(t, `
hooks: tell: {command: ["/bin/true"], on: ["active"]}
virtualRouters: six: {vrid: 51, interface: "eth0", addresses: ["fe80::50/64", "fe80::51/64"], accept: false, preempt: false, hooks: ["tell"], members: {lb01: maintenance: true, lb02: {}}}
`),
		specOf(t, ``),
	}
	enginetest.Run(t, newNodeWorld, stages)
}

func TestNodeReadsLiveState(t *testing.T) {
	l := newLAN(t)
	n := l.start(l.addHost("r1", 1), nil)
	engine := &Node{Host: "lb01", Dir: n.dir, Secret: vault}
	spec := specOf(t, `
checks: alive: {type: "process", process: "x", weight: -10}
virtualRouters: web: {vrid: 50, interface: "eth0", interval: "100ms", addresses: ["10.0.0.50/32"], checks: ["alive"], members: {lb01: {}, lb02: {}}}
`)
	cfg, err := NewConfig("lb01", "abc", spec.HostObjects("lb01"), vault)
	if err != nil {
		t.Fatal(err)
	}
	n.configure(cfg)
	notices := func() string {
		t.Helper()
		live, err := engine.Read(t.Context(), reconcile.Scope{})
		if err != nil || len(live.Unknown) > 0 {
			t.Fatalf("%v, unknown %+v", err, live.Unknown)
		}
		var b strings.Builder
		for _, f := range live.Notices {
			b.WriteString(f.ID.String() + " " + f.Message + "\n")
		}
		return b.String()
	}
	shows := func(what string, parts ...string) {
		t.Helper()
		eventually(t, 20*time.Second, what+"; it shows\n"+notices(), func() bool {
			text := notices()
			return !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(text, p) })
		})
	}
	shows("it waits", "virtualRouter/web@lb01 is fault since", "waits for its checks", "check/alive@lb01 has had no result yet")
	if err := n.client.Results(t.Context(), map[string]Result{"alive": {OK: false, Since: time.Now(), Detail: "0 running"}}); err != nil {
		t.Fatal(err)
	}
	shows("it is Active", "virtualRouter/web@lb01 is active since", "has 10.0.0.50/32 on eth0", "check/alive@lb01 fails since", "0 running")
	l.run("ip", "-n", n.ns, "link", "set", "eth0", "down")
	shows("the link is down", "is fault since", "eth0, which is down")
	l.run("ip", "-n", n.ns, "link", "set", "eth0", "up")
	n.waitState("active")

	// A stopped engine is unknown, none is none.
	n.freeze()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := engine.Read(ctx, reconcile.Scope{}); err == nil {
		t.Error("a read that was cancelled ends well")
	}
	n.signal(syscall.SIGCONT)
	n.stop()
	live, err := engine.Read(t.Context(), reconcile.Scope{Objects: map[schema.ID]schema.Object{schema.OnHost(schema.KindVirtualRouter, "web", "lb01"): nil}})
	if err != nil || len(live.Entries)+len(live.Unknown) > 0 || len(live.Notices) != 1 {
		t.Errorf("without an engine: %+v, %v", live, err)
	}
	_, _, err = engine.Apply(t.Context(), reconcile.Change{Step: reconcile.Step{ID: schema.OnHost(schema.KindVirtualRouter, "web", "lb01"), Action: reconcile.Create}})
	if reconcile.ClassOf(err) != reconcile.Unavailable {
		t.Errorf("apply without an engine: %v", err)
	}
}
