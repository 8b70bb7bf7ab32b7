package host

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/schema"
)

func vault(r schema.SecretRef) (string, error) {
	if r.Env == "UNSET" {
		return "", errors.New("environment variable UNSET is not set")
	}
	return "value of " + r.Env, nil
}

// randomObjects are what a host could have, valid or nearly.
func randomObjects(r *rand.Rand) []schema.Object {
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	flip := func() bool { return r.IntN(2) == 0 }
	objects := []schema.Object{
		schema.HostCheck{Host: "lb01", Name: "caddy", HealthCheck: schema.HealthCheck{Type: "tcp", Address: "127.0.0.1:80", Weight: r.IntN(3) - 1}.WithDefaults()},
		schema.HostHook{Host: "lb01", Name: "tell", Hook: schema.Hook{Command: []string{"/bin/true"}, User: "nobody", Timeout: schema.Seconds(1 + r.IntN(9))}},
	}
	for i, name := range []string{"web", "db", "six"}[:1+r.IntN(3)] {
		o := schema.HostRouter{Host: "lb01", Name: name}.Blank().(schema.HostRouter)
		o.Interface, o.VRID, o.Priority = pick("eth0", "bond0.5"), 1+i, 1+r.IntN(254)
		o.Preempt, o.Accept, o.Strict, o.UseVMAC, o.Maintenance = flip(), flip(), flip(), flip(), flip()
		o.Checksum = pick("keepalived", "rfc9568")
		o.PreemptDelay, o.ReleaseLimit = schema.Seconds(r.IntN(5)), schema.Seconds(r.IntN(5))
		o.Announcements.Refresh = schema.Seconds(r.IntN(90))
		o.Addresses = []schema.VirtualAddress{{Address: "192.0.2.10/24", Label: pick("", "eth0:w"), Scope: pick("global", "link")}}
		if flip() {
			o.ExcludedAddresses = []schema.VirtualAddress{{Address: "2001:db8::10/64", Scope: "global"}}
		}
		if flip() {
			o.Peers, o.Source, o.MinTTL = []string{"192.0.2.2", "192.0.2.3"}, "192.0.2.1", 200
		}
		if flip() {
			o.Version, o.Password = 2, &schema.SecretRef{Env: pick("A", "B")}
		}
		if flip() {
			o.Routes = []schema.VirtualRoute{{CIDR: "198.51.100.0/24", Via: "192.0.2.254", Source: "192.0.2.10", Interface: pick("", "eth1"), Table: r.IntN(2) * 100, Metric: r.IntN(9)}}
		}
		if flip() {
			o.Checks = []string{"caddy"}
		}
		if flip() {
			o.Hooks = []string{"tell"}
		}
		if flip() {
			o.SyncGroup = "both"
		}
		objects = append(objects, o)
	}
	return objects
}

// TestObjectsComeBackFromTheConfiguration: what an engine was told is read back
// as the specification says it, or a plan would never be empty.
func TestObjectsComeBackFromTheConfiguration(t *testing.T) {
	for seed := range uint64(500) {
		r := rand.New(rand.NewPCG(seed, 1))
		objects := randomObjects(r)
		cfg, err := NewConfig("lb01", "abc", objects, vault)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		b, err := json.Marshal(cfg)
		if err != nil {
			t.Fatal(err)
		}
		var told Config
		if err := json.Unmarshal(b, &told); err != nil {
			t.Fatal(err)
		}
		wanted := map[schema.ID]schema.Object{}
		for _, o := range objects {
			wanted[o.ID()] = o
		}
		back := map[schema.ID]schema.Object{}
		for _, o := range told.Objects(wanted, vault) {
			back[o.ID()] = o
		}
		if len(back) != len(wanted) {
			t.Errorf("seed %d: %d objects of %d", seed, len(back), len(wanted))
		}
		for id, o := range wanted {
			if back[id] == nil {
				t.Errorf("seed %d: %s is lost", seed, id)
			} else if changes := reconcile.Compare(back[id], o); len(changes) > 0 {
				t.Errorf("seed %d: %s differs: %+v", seed, id, changes)
			}
		}
		// One by one in any order gives the same.
		var single Config
		single.Host, single.Revision = cfg.Host, cfg.Revision
		for _, i := range r.Perm(len(objects)) {
			if err := single.put(objects[i], vault); err != nil {
				t.Fatal(err)
			}
		}
		if !single.same(&cfg) {
			t.Errorf("seed %d: put one by one: %+v, at once: %+v", seed, single, cfg)
		}
		for id := range wanted {
			single.remove(id)
		}
		if len(single.Routers)+len(single.SyncGroups)+len(single.Checks)+len(single.Hooks) > 0 {
			t.Errorf("seed %d: left over: %+v", seed, single)
		}
	}
}

func TestAPasswordIsComparedAndNeverShown(t *testing.T) {
	o := schema.HostRouter{Host: "lb01", Name: "web"}.Blank().(schema.HostRouter)
	o.Interface, o.VRID, o.Version, o.Password = "eth0", 1, 2, &schema.SecretRef{Env: "A"}
	o.Addresses = []schema.VirtualAddress{{Address: "192.0.2.10/24", Scope: "global"}}
	cfg, err := NewConfig("lb01", "", []schema.Object{o}, vault)
	if err != nil {
		t.Fatal(err)
	}
	for env, want := range map[string]*schema.SecretRef{"A": {Env: "A"}, "B": {Credential: "(another password)"}, "UNSET": {Env: "UNSET"}} {
		w := o
		w.Password = &schema.SecretRef{Env: env}
		got := cfg.Objects(map[schema.ID]schema.Object{w.ID(): w}, vault)[0].(schema.HostRouter).Password
		if !reflect.DeepEqual(got, want) {
			t.Errorf("wanted %s: shown as %+v", env, *got)
		}
	}
	w := o
	w.Password = &schema.SecretRef{Env: "UNSET"}
	if _, err := NewConfig("lb01", "", []schema.Object{w}, vault); err == nil {
		t.Error("a password that is nowhere is taken")
	}
}
