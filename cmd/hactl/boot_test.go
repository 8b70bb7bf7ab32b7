package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestAHostStartsWithNothingToReach cuts the power of a host while Git and
// Cloudflare are away: it has its addresses from what is on its disk, and says
// so; a damaged file is set aside and keeps nothing else from working.
func TestAHostStartsWithNothingToReach(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	v := s.serveAll()
	hosts := s.fleet(v)
	lb01 := hosts[0]
	sha := v.push(strings.Replace(threeHosts, `interval: "300ms"`, `interval: "300ms", startupDelay: "0s"`, 1), "")
	lb01.start()
	s.eventually("lb01 has applied it", lb01.applied(sha))

	powerCut := func() {
		lb01.kill()
		lb01.crash()
		s.run("ip", "-n", s.ns("lb01"), "addr", "flush", "dev", "eth0")
		s.run("ip", "-n", s.ns("lb01"), "addr", "add", "192.168.0.41/24", "dev", "eth0")
		if err := os.RemoveAll(lb01.dir); err != nil { // It is in memory.
			t.Fatal(err)
		}
	}
	v.cut("git", true)
	v.cut("cloudflare", true)
	s.run("ip", "-n", s.ns("svc"), "link", "set", "eth0", "down") // ssh too
	powerCut()
	began := time.Now()
	lb01.start()
	s.eventually("it has the address", func() bool { return s.has("lb01", vip) })
	t.Logf("from start to address: %s, of which 900 ms and the skew time are Active_Down_Interval", time.Since(began).Round(time.Millisecond))
	s.eventually("it says from where", func() bool {
		r := lb01.report()
		return r.Follow.Revision == sha && r.Follow.Restored && r.Ready == "yes"
	})

	// Damaged, it is of no use: the host waits for Git, and says what it found.
	powerCut()
	file := filepath.Join(s.dir, "lb01.state", "last-good.json")
	b, err := os.ReadFile(file)
	if err == nil {
		err = os.WriteFile(file, bytes.Replace(b, []byte(`"vrid":50`), []byte(`"vrid":51`), 1), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	lb01.start()
	s.eventually("it says that the file is damaged", func() bool { return strings.Contains(lb01.report().Follow.Damaged, "set aside") })
	if s.has("lb01", vip) {
		t.Error("it runs what is damaged")
	}
	if _, err := os.Stat(file + ".damaged"); err != nil {
		t.Error(err)
	}
	s.run("ip", "-n", s.ns("svc"), "link", "set", "eth0", "up")
	v.cut("git", false)
	v.cut("cloudflare", false)
	s.eventually("it runs what Git has", lb01.runs(sha))
	s.eventually("it has the address again", func() bool { return s.has("lb01", vip) })
}

// TestAddressesComeBeforeEverythingElse: what only shows or records, and another
// agent that may not run, keep no host from having its addresses.
func TestAddressesComeBeforeEverythingElse(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a := s.newAgent("lb01", runSpec, "HACTL_HOST=")
	a.start()
	s.eventually("lb01 has the address", a.is("active"))
	kept := filepath.Join(s.dir, "lb01.state", "last-good.json")
	before, err := os.ReadFile(kept)
	if err != nil {
		t.Fatal(err)
	}

	// Another one, with another specification, by hand.
	other := filepath.Join(s.dir, "other")
	if err := os.MkdirAll(other, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(other, "edge.cue"), []byte(strings.Replace(runSpec, "vrid: 50", "vrid: 60", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, extra := range [][]string{nil, {"--runtime", filepath.Join(s.dir, "another.run")}} {
		out, err := a.hactl(append([]string{"run", "-C", other}, extra...)...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), "another hactl run") {
			t.Errorf("a second agent: %v: %s", err, out)
		}
	}
	if now, err := os.ReadFile(kept); err != nil || !bytes.Equal(now, before) {
		t.Error("a second agent has replaced the last good specification")
	}

	// An address that is not there yet, and a disk that nothing can be written to.
	a.kill()
	a.crash()
	state := filepath.Join(s.dir, "lb01.state")
	s.run("mount", "--bind", state, state)
	t.Cleanup(func() { _ = exec.Command("umount", state).Run() })
	s.run("mount", "-o", "remount,ro,bind", state)
	token := filepath.Join(s.dir, "token")
	cert, key := newAuthority(t, s.dir).files(t, "192.168.0.99")
	a.args = []string{"-C", a.spec, "--listen", "192.168.0.99:9443", "--tls-cert", cert, "--tls-key", key, "--agent-token-file", token}
	a.start()
	s.eventually("lb01 has the address again", a.is("active"))
	for _, want := range []string{"read-only", "192.168.0.99:9443", "--agent-token-file"} {
		s.eventually(want+" is among the problems", func() bool { return strings.Contains(strings.Join(a.report().Problems, "\n"), want) })
	}
	if out, err := a.hactl("status").CombinedOutput(); err == nil || !strings.Contains(string(out), "PROBLEM") {
		t.Errorf("status: %v: %s", err, out)
	}
	s.run("ip", "-n", s.ns("lb01"), "addr", "add", "192.168.0.99/24", "dev", "eth0")
	s.eventually("it listens", func() bool {
		r := a.report()
		return r.Ready != "" && !strings.Contains(strings.Join(r.Problems, "\n"), "9443")
	})
	a.stop() // ip netns exec gave it mounts of its own
	s.run("mount", "-o", "remount,rw,bind", state)
	a.start()
	s.eventually("lb01 is Active", a.is("active"))

	// The host is renamed, then taken out, over a restart too.
	p := s.probe(vip)
	renamed := strings.ReplaceAll(runSpec, "lb01", "edge01")
	a.write(renamed)
	s.eventually("it is edge01", func() bool { return a.report().Host == "edge01" })
	s.during(time.Second, "the address stays", func() bool { return s.has("lb01", vip) })
	if n := p.lost(); n > 0 {
		t.Errorf("the new name lost %d probes", n)
	}
	a.write(strings.NewReplacer(`edge01: address: "192.168.0.41", `, "", "edge01: priority: 150, ", "").Replace(renamed))
	s.eventually("it lets go", func() bool { return !s.has("lb01", vip) })
	for range 2 {
		if out, err := a.hactl("status").CombinedOutput(); err == nil || !strings.Contains(string(out), "this machine was edge01, which the specification has no more") {
			t.Errorf("status: %v: %s", err, out)
		}
		a.stop()
		a.start()
		s.eventually("it is there", func() bool { return a.report().Follow.Revision != "" })
	}
}
