package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestDriftIsFoundAtTheEdgeAndOnTheHost: what somebody changes behind the
// specification's back is undone, or only told of; a host in maintenance is
// drained in every layer; a suspended agent does neither.
func TestDriftIsFoundAtTheEdgeAndOnTheHost(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	v := s.serveAll()
	hosts := s.fleet(v)
	lb01, lb02 := hosts[0], hosts[1]
	first := v.push(threeHosts, "")
	s.running(hosts, first)
	p := s.probe(vip)

	disable := func() {
		v.call(http.MethodPatch, fmt.Sprintf("/accounts/%s/load_balancers/pools/%s", v.sim.Account(), v.pool("two")["id"]), map[string]any{"enabled": false})
	}
	disable()
	s.eventually("it is enabled again", func() bool { return v.pool("two")["enabled"] == true })
	if lb01.logged("drift", "pool/two") != 1 {
		t.Error("the drift was not told of once")
	}

	// By hand on the host: another priority for the one that is Active.
	byHand := filepath.Join(s.dir, "by-hand")
	if err := os.MkdirAll(byHand, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(byHand, "edge.cue"), []byte(strings.Replace(threeHosts, "lb01: priority: 150", "lb01: priority: 160", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := lb01.hactl("apply", "--yes", "-C", byHand, "--target", "virtualRouter/web@lb01").CombinedOutput(); err != nil {
		t.Fatalf("apply: %v: %s", err, out)
	}
	// How long it is 160 is not said: the next look may be at once.
	s.eventually("the drift of the host is told of", func() bool { return lb01.logged("drift", "configured by somebody else") > 0 })
	s.eventually("it is 150 again", func() bool { return lb01.router().Priority == 150 })
	if lb01.logged("drift", "configured by somebody else") != 1 {
		t.Error("the drift of the host was not told of once")
	}

	// Suspended, nothing is undone and nothing followed; resumed, both.
	if out, err := lb01.hactl("suspend", "--for", "1h", "--reason", "tests").CombinedOutput(); err != nil {
		t.Fatalf("suspend: %v: %s", err, out)
	}
	reported := strings.Replace(threeHosts, `stack: "site"`, "stack: \"site\"\npolicy: drift: \"report\"", 1)
	second := v.push(reported, "")
	disable()
	s.eventually("lb02 runs it", lb02.runs(second))
	since := time.Now()
	s.during(4*time.Second, "lb01 does not follow", func() bool { return lb01.report().Follow.Revision == first })
	if n := v.writes("", since); n > 0 {
		t.Errorf("suspended, it has sent %d changes", n)
	}
	if out, err := lb01.hactl("resume").CombinedOutput(); err != nil {
		t.Fatalf("resume: %v: %s", err, out)
	}
	s.eventually("lb01 runs it", lb01.runs(second))

	// Now drift is only told of, and what a push changes is applied beside it.
	defer func() {
		if t.Failed() {
			t.Logf("%+v", lb01.report().Edge)
		}
	}()
	s.eventually("it is shown as drift", func() bool {
		e := lb01.report().Edge
		return len(e.Drift) == 1 && e.Drift[0].ID.String() == "pool/two" && len(e.Pending) == 0
	})
	third := v.push(strings.Replace(reported, `path: "/healthz"`, `path: "/ready"`, 1), "")
	s.eventually("lb01 has applied it", lb01.applied(third))
	if v.pool("two")["enabled"] != false {
		t.Error("drift that is only to be reported was corrected")
	}

	// Maintenance drains every layer: the address moves, the origin goes.
	fourth := v.push(strings.Replace(threeHosts, `lb01: {address`, `lb01: {maintenance: true, address`, 1), "")
	s.eventually("lb02 is Active", lb02.is("active"))
	s.eventually("lb02 has applied it", lb02.applied(fourth))
	origins := fmt.Sprint(v.pool("one")["origins"])
	if !strings.Contains(origins, "enabled:false") {
		t.Errorf("the origin of a host in maintenance is %s", origins)
	}
	s.eventually("a host in maintenance has no address", func() bool { return !s.has("lb01", vip) })

	// The neighbour is keepalived, with the least priority: it has the address
	// when nobody else is there, and gives it back.
	s.neighbour("ka")
	lb02.stop()
	hosts[2].stop()
	s.eventually("keepalived has the address", func() bool { return s.has("ka", vip) })
	lb02.start()
	s.eventually("lb02 has it back", func() bool { return s.has("lb02", vip) && !s.has("ka", vip) })
	if n := p.lost(); n > 6 { // three planned moves
		t.Errorf("lost %d probes", n)
	}
}

// neighbour is a host with keepalived in the Virtual Router of threeHosts, as
// Backup.
func (s *site) neighbour(name string) {
	s.t.Helper()
	program := needs(s.t, "keepalived", "keepalived")
	file := filepath.Join(s.dir, name+".conf")
	conf := "global_defs {\n vrrp_version 3\n}\nvrrp_instance web {\n state BACKUP\n interface eth0\n virtual_router_id 50\n priority 50\n advert_int 0.3\n" +
		" virtual_ipaddress {\n  192.168.0.40/24\n }\n}\n"
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		s.t.Fatal(err)
	}
	cmd := exec.Command("ip", "netns", "exec", s.ns(name), program, "-n", "-l", "-P", "-f", file, "-p", filepath.Join(s.dir, name+".pid"), "-r", filepath.Join(s.dir, name+".vrrp"))
	log := filepath.Join(s.dir, name+".keepalived")
	out, err := os.Create(log)
	if err != nil {
		s.t.Fatal(err)
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = cmd.Process.Signal(syscall.SIGTERM); _ = cmd.Wait() })
	s.eventually("keepalived is Backup", func() bool {
		b, _ := os.ReadFile(log)
		return strings.Contains(string(b), "Entering BACKUP STATE")
	})
}
