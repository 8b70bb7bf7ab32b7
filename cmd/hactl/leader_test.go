package main

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hactl/hactl/engines/cloudflare"
	"github.com/hactl/hactl/engines/cloudflare/cfsim"
)

// TestTheLeaderDiesOrSleepsWhileItApplies: the next one goes on where it was,
// and one that wakes up later sends nothing.
func TestTheLeaderDiesOrSleepsWhileItApplies(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"dies", "sleeps"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			v := s.serveAll()
			hosts := s.fleet(v)
			lb01, lb02 := hosts[0], hosts[1]
			first := v.push(threeHosts, "")
			s.running(hosts, first)
			p := s.probe(vip)

			// Many changes, each of which takes a while.
			v.sim.Inject(mustFault(t, "PUT * delay delay=5s"))
			v.sim.Inject(mustFault(t, "POST * delay delay=5s"))
			grown := threeHosts
			for i := range 24 {
				grown += fmt.Sprintf("dnsRecords: r%d: {zone: \"example.com\", name: \"r%d.example.com\", type: \"A\", content: \"198.51.100.%d\"}\n", i, i, i+1)
			}
			before := v.writes("192.168.0.41", time.Time{})
			engine := lb01.engine()
			second := v.push(grown, "")
			// As many as it sends at a time: none is on its way when it falls asleep, which
			// nobody could call back.
			s.eventually("lb01 has begun", func() bool { return v.writes("192.168.0.41", time.Time{}) >= before+cloudflare.ConcurrentWrites })
			signal := syscall.SIGKILL
			if how == "sleeps" {
				signal = syscall.SIGSTOP
			}
			_ = syscall.Kill(engine, signal)
			_ = lb01.cmd.Process.Signal(signal)
			s.eventually("lb02 leads", func() bool { return lb02.report().Edge.Leadership.Mine })
			v.sim.ClearFaults()
			s.eventually("lb02 has applied it", lb02.applied(second))
			if how == "sleeps" {
				since := time.Now()
				_ = syscall.Kill(engine, syscall.SIGCONT)
				_ = lb01.cmd.Process.Signal(syscall.SIGCONT)
				s.eventually("lb01 runs it", lb01.runs(second))
				s.eventually("one of them leads", func() bool {
					return lb01.report().Edge.Leadership.Mine != lb02.report().Edge.Leadership.Mine
				})
				if n := v.writes("192.168.0.41", since); n > 0 {
					t.Errorf("lb01 has sent %d changes after it woke up", n)
				}
			} else {
				_ = lb01.cmd.Wait()
			}
			if out, err := v.ask(append([]string{"diff"}, v.overHTTPS()...)...); strings.Contains(out, "to create") || strings.Contains(out, "to update") || strings.Contains(out, "to delete") {
				t.Errorf("something is left to do: %v: %s", err, out)
			}
			records := v.list("/zones/" + v.zone() + "/dns_records?per_page=100")
			names := map[string]int{}
			for _, r := range records {
				names[fmt.Sprint(r["name"])]++
			}
			for name, n := range names {
				if n > 1 {
					t.Errorf("%s exists %d times", name, n)
				}
			}
			if n := p.lost(); n > 100 { // half a second: a failover, and not two
				t.Errorf("lost %d probes", n)
			}
		})
	}
}

func mustFault(t *testing.T, text string) cfsim.Fault {
	t.Helper()
	f, err := cfsim.ParseFault(text)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestALeaseInEtcdSaysWhoLeads: one of two leads; the other follows at once
// when it is told to end, and after a while when it sleeps, and what wakes up
// sends nothing.
func TestALeaseInEtcdSaysWhoLeads(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	v := s.serveAll()
	hosts := s.fleet(v)[:2]
	v.etcd()
	spec := strings.Replace(threeHosts, `leader: virtualRouter: "web"`, `leader: etcd: ["http://`+servicesAddress+`:2379"]`, 1)
	first := v.push(spec, "")
	for _, h := range hosts {
		h.start()
	}
	leader := func() (leads, other *onHost) {
		a, b := hosts[0].report().Edge.Leadership.Mine, hosts[1].report().Edge.Leadership.Mine
		switch {
		case a && !b:
			return hosts[0], hosts[1]
		case b && !a:
			return hosts[1], hosts[0]
		}
		return nil, nil
	}
	var leads, other *onHost
	s.eventually("one leads", func() bool { leads, other = leader(); return leads != nil })
	s.eventually("it has applied it", leads.applied(first))
	address := map[string]string{"lb01": "192.168.0.41", "lb02": "192.168.0.42"}
	if n := v.writes(address[other.host], time.Time{}); n > 0 {
		t.Errorf("%s does not lead, and has sent %d changes", other.host, n)
	}

	_ = leads.cmd.Process.Signal(syscall.SIGSTOP)
	s.eventually("the other leads", func() bool { return other.report().Edge.Leadership.Mine })
	second := v.push(strings.Replace(spec, `path: "/healthz"`, `path: "/ready"`, 1), "")
	s.eventually("it has applied it", other.applied(second))
	since := time.Now()
	_ = leads.cmd.Process.Signal(syscall.SIGCONT)
	s.eventually("who slept runs it", leads.runs(second))
	s.eventually("who slept knows that it does not lead", func() bool {
		r := leads.report()
		return r.Follow.Revision == second && !r.Edge.Leadership.Mine
	})
	if n := v.writes(address[leads.host], since); n > 0 {
		t.Errorf("who slept has sent %d changes", n)
	}
	other.stop()
	s.eventually("who slept leads again", func() bool { return leads.report().Edge.Leadership.Mine })
}
