package reconcile_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/schema"
)

var errUnread = errors.New("timeout")

func id(t testing.TB, s string) schema.ID {
	t.Helper()
	parsed, err := schema.ParseID(s)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func desired(objects ...schema.Object) reconcile.Desired {
	d := reconcile.Desired{Stack: "home", Revision: "r1", Objects: map[schema.ID]schema.Object{}}
	for _, o := range objects {
		d.Objects[o.ID()] = o
	}
	return d
}

// live makes owned entries whose handle is "h-" and the ID, and whose
// references are by such handles.
func live(objects ...schema.Object) reconcile.Live {
	l := reconcile.Live{}
	for _, o := range objects {
		l.Entries = append(l.Entries, entry(o))
	}
	return l
}

func entry(o schema.Object) reconcile.Entry {
	e := reconcile.Entry{Object: o, Handle: handle(o.ID()), Owned: true}
	for _, r := range o.Refs() {
		if r.Kind != schema.KindZone {
			e.Refers = append(e.Refers, handle(r))
		}
	}
	return e
}

func foreign(o schema.Object) reconcile.Entry {
	e := entry(o)
	e.Owned = false
	return e
}

func handle(id schema.ID) reconcile.Handle { return reconcile.Handle("h-" + id.String()) }

func monitor(name string) schema.Monitor {
	return schema.Monitor{Name: name}.Blank().(schema.Monitor)
}

func pool(name, monitor string, addresses ...string) schema.Pool {
	p := schema.Pool{Name: name}.Blank().(schema.Pool)
	p.Monitor, p.Origins = monitor, map[string]schema.Origin{}
	for i, a := range addresses {
		o := schema.Origin{}.Defaults().(schema.Origin)
		o.Address = a
		p.Origins[fmt.Sprint("o", i)] = o
	}
	return p
}

func balancer(hostname string, pools ...string) schema.LoadBalancer {
	l := schema.LoadBalancer{Hostname: hostname}.Blank().(schema.LoadBalancer)
	l.Zone, l.DefaultPools, l.FallbackPool = "example.com", pools, pools[0]
	return l
}

func private(name string, pools ...string) schema.PrivateLoadBalancer {
	l := schema.PrivateLoadBalancer{Name: name}.Blank().(schema.PrivateLoadBalancer)
	l.DefaultPools, l.FallbackPool = pools, pools[0]
	return l
}

func tunnel(name string) schema.Tunnel { return schema.Tunnel{Name: name}.Blank().(schema.Tunnel) }

func configuration(tunnel string, rules ...schema.IngressRule) schema.TunnelConfiguration {
	return schema.TunnelConfiguration{Tunnel: tunnel, Ingress: rules}
}

func record(key, name, kind, content string) schema.DNSRecord {
	r := schema.DNSRecord{Key: key}.Blank().(schema.DNSRecord)
	r.Zone, r.Name, r.Type, r.Content = "example.com", name+".example.com", kind, content
	return r
}

// summarize prints a plan, a line for each step and finding.
func summarize(p *reconcile.Plan) string {
	var b strings.Builder
	for _, s := range p.Steps {
		fmt.Fprintf(&b, "%s %s", s.Action, s.ID)
		if s.Handle != "" {
			fmt.Fprintf(&b, " at %s", s.Handle)
		}
		if s.Replaces != nil {
			fmt.Fprintf(&b, " for %s", s.Replaces)
		}
		if s.Reason != "" {
			fmt.Fprintf(&b, " (%s)", s.Reason)
		}
		if s.Action != reconcile.Create {
			for _, f := range s.Fields {
				fmt.Fprintf(&b, " %s: %v -> %v", f.Path, f.Before, f.After)
			}
		}
		if len(s.Needs) > 0 {
			fmt.Fprintf(&b, " after %v", s.Needs)
		}
		b.WriteString("\n")
	}
	for _, f := range p.Conflicts {
		fmt.Fprintf(&b, "conflict %s at %s: %s\n", f.ID, f.Handle, f.Message)
	}
	for _, f := range p.Notices {
		fmt.Fprintf(&b, "notice %s: %s\n", f.ID, f.Message)
	}
	return b.String()
}

func wantPlan(t *testing.T, p *reconcile.Plan, lines ...string) {
	t.Helper()
	want := ""
	if len(lines) > 0 {
		want = strings.Join(lines, "\n") + "\n"
	}
	if got := summarize(p); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	wantOrder(t, p)
}

// wantOrder checks that every need is a step before the one that needs it.
func wantOrder(t *testing.T, p *reconcile.Plan) {
	t.Helper()
	var done []schema.ID
	for _, s := range p.Steps {
		for _, n := range s.Needs {
			if !slices.Contains(done, n) {
				t.Errorf("%s needs %s, which is not before it", s.ID, n)
			}
		}
		if slices.Contains(done, s.ID) {
			t.Errorf("%s stands twice", s.ID)
		}
		done = append(done, s.ID)
	}
}
