package host

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestOneEngineOnlyInANetworkNamespace: another one, of another directory, would
// have the same addresses to itself.
func TestOneEngineOnlyInANetworkNamespace(t *testing.T) {
	l := newLAN(t)
	a := l.start(l.addHost("r1", 1), new(v3(150)))
	a.waitState("active")
	cmd := exec.Command("ip", "netns", "exec", a.ns, self(t))
	cmd.Env = append(os.Environ(), envEngine+"="+filepath.Join(l.dir, "another"))
	out, err := cmd.CombinedOutput()
	if err == nil || cmd.ProcessState.ExitCode() != ExitBusy || !strings.Contains(string(out), "an engine runs in this network namespace") {
		t.Errorf("another engine: %v: %s", err, out)
	}
	if r := a.router(); r.State != "active" || r.Counters.Noted["address-lost"] > 0 {
		t.Errorf("the first one: %+v", r)
	}
	// Its successor has the claim too.
	if err := a.client.Upgrade(t.Context(), self(t)); err != nil {
		t.Fatal(err)
	}
	a.waitEnd()
	a.attach()
	pid := a.status().PID
	t.Cleanup(func() {
		if p, err := os.FindProcess(pid); err == nil {
			_ = p.Kill()
		}
	})
	cmd = exec.Command("ip", "netns", "exec", a.ns, self(t))
	cmd.Env = append(os.Environ(), envEngine+"="+filepath.Join(l.dir, "another"))
	if out, _ := cmd.CombinedOutput(); cmd.ProcessState.ExitCode() != ExitBusy {
		t.Errorf("beside a successor: %s", out)
	}
}

// TestTheSocketIsMadeAgain: somebody has removed the runtime directory.
func TestTheSocketIsMadeAgain(t *testing.T) {
	l := newLAN(t)
	a := l.start(l.addHost("r1", 1), new(v3(150)))
	a.waitState("active")
	pid := a.status().PID
	// Again, if the engine writes its state just then.
	eventually(t, 20*time.Second, "the directory is removed", func() bool { return os.RemoveAll(a.dir) == nil })
	a.attach()
	if got := a.status(); got.PID != pid || got.Router("web").Counters.Transitions["active"] != 1 {
		t.Errorf("%+v", got)
	}
	a.stop()
	if l.has(a.ns, vip) {
		t.Error("the address stays")
	}
}

func TestARuntimeDirectoryOfOthersIsRefused(t *testing.T) {
	needNamespaces(t)
	dir := filepath.Join(t.TempDir(), "run")
	for what, change := range map[string]func() error{
		"others can write to it": func() error { return os.Chmod(dir, 0o777) },
		"it belongs to user id":  func() error { return os.Chown(dir, 65534, 65534) },
		"this is no directory": func() error {
			if err := os.Rename(dir, dir+".real"); err != nil {
				return err
			}
			return os.Symlink(dir+".real", dir)
		},
	} {
		_ = os.RemoveAll(dir)
		_ = os.RemoveAll(dir + ".real")
		if err := private(dir); err != nil {
			t.Fatal(err)
		}
		if os.Geteuid() != 0 && strings.Contains(what, "belongs") {
			continue
		}
		if err := change(); err != nil {
			t.Fatal(err)
		}
		if err := private(dir); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
		if unlock, err := LockAgent(dir); err == nil {
			unlock()
			t.Errorf("%s: an agent takes it", what)
		}
	}
}

func TestOneAgentOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "run")
	unlock, err := LockAgent(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := LockAgent(dir); err == nil || !strings.Contains(err.Error(), "another hactl run works in") {
		t.Errorf("a second one: %v", err)
	}
	unlock()
	again, err := LockAgent(dir)
	if err != nil {
		t.Fatal(err)
	}
	again()
}

// TestTheHostsOnlyAddressIsNeverRemoved: a mistake that the checks of a
// specification find, but not those of a host in it.
func TestTheHostsOnlyAddressIsNeverRemoved(t *testing.T) {
	l := newLAN(t)
	b := l.start(l.addHost("r2", 2), with(v3(150), func(r *Router) { r.Addresses[0].Prefix = netip.MustParsePrefix("10.0.0.1/24") }))
	b.waitState("active")
	a := l.start(l.addHost("r1", 1), with(v3(100), func(r *Router) { r.Addresses[0].Prefix = netip.MustParsePrefix("10.0.0.1/24") }))
	during(t, 500*time.Millisecond, "the address stays", func() bool { return l.has(a.ns, "10.0.0.1") })
	a.stop()
	if !l.has(a.ns, "10.0.0.1") {
		t.Error("the host's own address was removed at the end")
	}
	// What another VRRP left behind is none of the host's own, and goes.
	c := l.addHost("r3", 3)
	l.run("ip", "-n", c, "addr", "add", "10.0.0.1/32", "dev", "eth0")
	n := l.start(c, with(v3(90), func(r *Router) { r.Addresses[0].Prefix = netip.MustParsePrefix("10.0.0.1/32") }))
	eventually(t, 20*time.Second, "a stale address is gone", func() bool { return !l.has(n.ns, "10.0.0.1") })
}

// TestASupervisorGoesOnWithoutChecks that an engine had and has no more.
func TestASupervisorGoesOnWithoutChecks(t *testing.T) {
	s := &Supervisor{}
	s.begin()
	if err := s.Results(t.Context(), map[string]Result{"alive": {OK: true}, "other": {OK: true}}); err != nil {
		t.Fatal(err)
	}
	s.inherit(nil)
	s.inherit(map[string]Result{"older": {OK: false}, "alive": {OK: false}})
	if got := fmt.Sprint(s.results["alive"].OK, s.results["older"].OK, len(s.results)); got != "true false 3" {
		t.Errorf("inherited: %s", got)
	}
	s.adopt(checked(v3(150), "web", 0))
	if len(s.results) != 1 || !s.results["alive"].OK {
		t.Errorf("kept: %+v", s.results)
	}
}

// TestASupervisorOfNothingThatStartsSaysSo: not root, or no such program.
func TestASupervisorOfNothingThatStartsSaysSo(t *testing.T) {
	s := &Supervisor{Dir: filepath.Join(t.TempDir(), "run"), Executable: "/bin/false"}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := s.Run(ctx); err == nil || !strings.Contains(err.Error(), "no engine starts here") {
		t.Errorf("it ends with %v", err)
	}
}
