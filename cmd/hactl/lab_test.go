package main

import (
	"bufio"
	"context"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hactl/hactl/engines/host"
	"github.com/hactl/hactl/engines/host/memory"
	"github.com/hactl/hactl/engines/host/netns"
	"github.com/hactl/hactl/schema"
)

// twoHosts is the smallest specification that a drill can do something with.
const twoHosts = `package edge

stack: "pair"
hosts: {
	a: address: "192.168.7.1"
	b: address: "192.168.7.2"
}
virtualRouters: web: {
	vrid:      10
	interface: "eth0"
	addresses: ["192.168.7.40/24"]
	interval: "100ms"
	members: {a: priority: 150, b: priority: 120}
}
`

// drillOf writes a specification and a script, for hactl demo's flags.
func drillOf(t *testing.T, spec, script string) []string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"spec/edge.cue": spec, "drill.txt": script} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return []string{"--spec", filepath.Join(dir, "spec"), "--script", filepath.Join(dir, "drill.txt")}
}

// TestTheDemoLeavesTheEnvironment: a hook of Git, or a proxy, does not lead it
// to the user's repository or out of the lab.
func TestTheDemoLeavesTheEnvironment(t *testing.T) {
	dir := t.TempDir()
	if out, err := exec.Command("git", "init", "--quiet", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Setenv("GIT_DIR", filepath.Join(dir, ".git"))
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:9")
	args := drillOf(t, twoHosts, "wait 1ms\n")
	if os.Geteuid() != 0 {
		args = append(args, "--memory")
	}
	if o := drilled(t, args...)["push spec"]; o == nil || o.Running == 0 {
		t.Errorf("the first push: %+v", o)
	}
	if out, err := exec.Command("git", "--git-dir", filepath.Join(dir, ".git"), "log", "--oneline", "--all").CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("the user's repository has %s, %v", out, err)
	}
}

// TestAnAdvertisementWaitsForNobody: a LAN tells of advertisements under its
// lock, and a site calls the LAN under its own.
func TestAnAdvertisementWaitsForNobody(t *testing.T) {
	layout, err := netns.Plan(&schema.Spec{Hosts: map[string]schema.Host{"a": {Address: "192.168.7.1"}}})
	if err != nil {
		t.Fatal(err)
	}
	s := newMemorySite(t.TempDir(), layout)
	n := s.nodes["a"]
	n.Boot()
	s.mu.Lock()
	defer s.mu.Unlock()
	sent := make(chan error, 1)
	go func() { sent <- n.Configure(ownerOf("192.168.7.40/24")) }()
	select {
	case err := <-sent:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("an advertisement waits for the site")
	}
	if len(s.adverts(time.Time{})) == 0 {
		t.Error("nothing was sent")
	}
}

// TestAnAgentsSocketIsItsUsers: and what others make meanwhile is as they say.
// In a lab in memory they are one process.
func TestAnAgentsSocketIsItsUsers(t *testing.T) {
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		dir := t.TempDir()
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				l, err := listenLocal(t.Context(), dir)
				if err != nil {
					t.Error(err)
					return
				}
				if info, err := os.Stat(agentSocket(dir)); err != nil {
					t.Error(err)
				} else if info.Mode().Perm() != 0o600 {
					t.Errorf("the socket has %v", info.Mode())
				}
				_ = l.Close()
			}
		})
	}
	dir := t.TempDir()
	for i := range 2000 {
		path := filepath.Join(dir, strconv.Itoa(i))
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(path); err != nil {
			t.Fatal(err)
		} else if info.Mode().Perm() != 0o700 {
			t.Fatalf("a directory beside has %v", info.Mode())
		}
	}
	close(stop)
	wg.Wait()
}

func loadText(t *testing.T, text string) *schema.Spec {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "edge.cue"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	spec, err := evaluateFolder(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	adaptToLab(spec)
	return spec
}

// TestALabIsWhatWasBuilt: a push of what it has not is no step of a drill, and
// leaves nothing in the folder for the next one.
func TestALabIsWhatWasBuilt(t *testing.T) {
	layout, err := netns.Plan(loadText(t, twoHosts))
	if err != nil {
		t.Fatal(err)
	}
	l, err := newLab(t.Context(), t.TempDir(), nil, layout, newMemorySite(t.TempDir(), layout))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.close(); err != nil {
			t.Error(err)
		}
	}()
	push := func(text string) error {
		_, _, err := l.Push(t.Context(), "test", func(dir string) error {
			if text == "" {
				return nil
			}
			return os.WriteFile(filepath.Join(dir, "edge.cue"), []byte(text), 0o600)
		})
		return err
	}
	if err := push(twoHosts); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ old, now, says string }{
		{"hosts: {", "hosts: {\n\tc: address: \"192.168.7.3\"", "the lab has no host c; the lab is built for"},
		{"stack:", "dnsRecords: www: {zone: \"example.org\", name: \"www.example.org\", type: \"A\", content: \"192.0.2.9\"}\nstack:", "the lab's Cloudflare has no zone example.org"},
		{`"eth0"`, `"eth1"`, "the lab's host a has no interface eth1"},
		{"192.168.7.40/24", "10.9.0.1/24", "the lab's client has no address in the subnet of 10.9.0.1"},
		{"virtualRouters: web:", `syncGroups: gw: members: ["web", "two"]
virtualRouters: two: {vrid: 11, interface: "eth0", addresses: ["192.168.7.50/24"], members: {a: {}, b: {}}}
virtualRouters: web:`, "hosts in memory have no sync groups"},
	} {
		if err := push(strings.Replace(twoHosts, c.old, c.now, 1)); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %q", c.now, err, c.says)
		}
	}
	if err := push(""); err != nil {
		t.Errorf("what could not be pushed is pushed with the next: %v", err)
	}
	for _, fine := range []string{strings.Replace(twoHosts, "192.168.7.40/24", "192.168.7.77/24", 1), strings.Replace(twoHosts, ", b: priority: 120", "", 1)} {
		if err := push(fine); err != nil {
			t.Error(err)
		}
	}
}

// TestADirectoryMayBeTooLongForSockets: that is known before anything is built.
func TestADirectoryMayBeTooLongForSockets(t *testing.T) {
	if err := fitsSockets("/tmp/hactl-demo-1234567890", []string{strings.Repeat("h", 63)}); err != nil {
		t.Error(err)
	}
	if err := fitsSockets("/"+strings.Repeat("x", 80), []string{"lb01"}); err == nil || !strings.Contains(err.Error(), "set TMPDIR to a shorter directory") {
		t.Error(err)
	}
}

// TestTheDemoEndsWithItsTerminal: hung up, or with nobody who reads, it takes
// down what it has built.
func TestTheDemoEndsWithItsTerminal(t *testing.T) {
	t.Parallel()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ends := map[string]func(*exec.Cmd, io.Closer) error{
		"hung up":         func(cmd *exec.Cmd, _ io.Closer) error { return cmd.Process.Signal(syscall.SIGHUP) },
		"a pipe's end":    func(_ *exec.Cmd, out io.Closer) error { return out.Close() },
		"told to by TERM": func(cmd *exec.Cmd, _ io.Closer) error { return cmd.Process.Signal(syscall.SIGTERM) },
	}
	if signal.Ignored(syscall.SIGHUP) { // as under nohup, which the demo heeds
		delete(ends, "hung up")
	}
	for name, end := range ends {
		temporary := t.TempDir()
		cmd := exec.CommandContext(t.Context(), program)
		cmd.Args = append([]string{"hactl", "demo", "--memory"}, drillOf(t, twoHosts, "kill a\nboot a\nkill a\nboot a\nwait 1m\n")...)
		cmd.Env = append(os.Environ(), gorace, "TMPDIR="+temporary)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for lines := bufio.NewScanner(out); lines.Scan() && !strings.HasPrefix(lines.Text(), "$ kill"); {
		}
		if err := end(cmd, out); err != nil {
			t.Error(err)
		}
		_, _ = io.Copy(io.Discard, out)
		if _ = cmd.Wait(); cmd.ProcessState.ExitCode() != 1 {
			t.Errorf("%s: %v", name, cmd.ProcessState)
		}
		if left, err := os.ReadDir(temporary); err != nil || len(left) > 0 {
			t.Errorf("%s: %v is left, %v", name, left, err)
		}
	}
}

// ownerOf is the configuration of a host that is Active at once.
func ownerOf(address string) host.Config {
	return host.Config{Revision: "1", Host: "a", Routers: []host.Router{{
		Name: "web", Interface: "eth0", Priority: 255, Source: netip.MustParseAddr("192.168.7.1"),
		Parameters: host.Parameters{VRID: 10, Version: 3, Interval: time.Second, Addresses: []host.Address{{Prefix: netip.MustParsePrefix(address)}}},
	}}}
}

// TestAnEngineThatEndsTakesNoMore: a revision that runs just when the agent is
// told to end would leave a Virtual Router behind that nobody lets go of.
func TestAnEngineThatEndsTakesNoMore(t *testing.T) {
	lan := memory.NewLAN()
	n := lan.Join("a", netip.MustParseAddr("192.168.7.1"))
	n.Boot()
	e := newMemoryEngine(n, func(string) error { return nil })
	e.events = func(event) {}
	if err := e.Stop(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if err := e.Configure(ownerOf("192.168.7.40/24")); err == nil {
		t.Error("it is configured")
	}
	if err := e.Run(t.Context()); err != nil {
		t.Error(err)
	}
	if holders := lan.Holders(netip.MustParseAddr("192.168.7.40")); len(holders) > 0 {
		t.Errorf("%v have the address", holders)
	}
}

// TestKilledDemosLeaveNothingForGood: their directories go with the next demo,
// and those of demos that live, of others and of somebody else's name stay.
func TestKilledDemosLeaveNothingForGood(t *testing.T) {
	temp := t.TempDir()
	old := time.Now().Add(-time.Hour)
	leave := func(name string) string {
		dir := filepath.Join(temp, name)
		if err := os.MkdirAll(filepath.Join(dir, "hosts", "lb01"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(dir, old, old); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	dead, living, other := leave(demoPrefix+"1"), leave(demoPrefix+"2"), leave("hactl-other-3")
	unlock, _, err := lockState(living)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	if err := os.Chtimes(living, old, old); err != nil {
		t.Fatal(err)
	}
	fresh := filepath.Join(temp, demoPrefix+"4")
	if err := os.Mkdir(fresh, 0o700); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(temp, demoPrefix+"5")
	if err := os.Symlink(other, link); err != nil {
		t.Fatal(err)
	}
	sweepDemos(temp)
	if _, err := os.Lstat(dead); err == nil {
		t.Error("what a killed demo left is there")
	}
	for _, dir := range []string{living, other, fresh, link, filepath.Join(other, "hosts", "lb01")} {
		if _, err := os.Lstat(dir); err != nil {
			t.Error(err)
		}
	}
}

// poweredSite notes in which order hosts get power.
type poweredSite struct {
	labSite
	hosts []string
}

func (s *poweredSite) power(_ context.Context, host string, _ bool) error {
	s.hosts = append(s.hosts, host)
	return nil
}

// TestALabBeginsWithItsLeader: hosts start when there is something to read, the
// one first that is to lead, so that none is replaced amid its first changes.
func TestALabBeginsWithItsLeader(t *testing.T) {
	text := strings.Replace(twoHosts, "a: priority: 150", "a: priority: 90", 1)
	spec := loadText(t, text)
	layout, err := netns.Plan(spec)
	if err != nil {
		t.Fatal(err)
	}
	st := &poweredSite{labSite: newMemorySite(t.TempDir(), layout)}
	l, err := newLab(t.Context(), t.TempDir(), nil, layout, st)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.close(); err != nil {
			t.Error(err)
		}
	}()
	l.begin = l.power
	for range 2 {
		if _, _, err := l.Push(t.Context(), "test", func(dir string) error {
			if len(st.hosts) != 0 && len(st.hosts) != 2 {
				t.Errorf("%v have power", st.hosts)
			}
			return os.WriteFile(filepath.Join(dir, "edge.cue"), []byte(text), 0o600)
		}); err != nil {
			t.Fatal(err)
		}
		if want := []string{"b", "a"}; !slices.Equal(st.hosts, want) {
			t.Errorf("%v have power, want %v", st.hosts, want)
		}
	}
}
