package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hactl/hactl/engines/host/netns"
	"github.com/hactl/hactl/schema"
)

// A site is hosts and a client on one LAN, each in a network namespace, on
// which this binary runs as hactl.
type site struct {
	*netns.Net
	t      *testing.T
	prefix string
	dir    string
	client string // namespace
}

var sites atomic.Uint32

// siteHosts are on the LAN of every site, whether a test has a use for them or not.
var siteHosts = map[string]string{
	"lb01": "192.168.0.41", "lb02": "192.168.0.42", "lb03": "192.168.0.43", "ka": "192.168.0.44", "svc": servicesAddress,
}

// needNamespaces skips a test where there are none, unless they are required.
func needNamespaces(t *testing.T) {
	t.Helper()
	why := ""
	if os.Geteuid() != 0 {
		why = "network namespaces need root"
	} else if _, err := exec.LookPath("ip"); err != nil {
		why = "this needs ip(8)"
	}
	if why != "" && os.Getenv("HACTL_NETNS") == "required" {
		t.Fatal(why)
	} else if why != "" {
		t.Skip(why)
	}
}

func newSite(t *testing.T) *site {
	t.Helper()
	needNamespaces(t)
	s := &site{t: t, prefix: fmt.Sprintf("hs%x%x", os.Getpid(), sites.Add(1)), dir: t.TempDir()}
	spec := &schema.Spec{Hosts: map[string]schema.Host{}}
	lan := schema.VirtualRouter{Interface: "eth0", Addresses: []string{vip + "/24"}, Members: map[string]schema.RouterMember{}}
	for name, address := range siteHosts {
		spec.Hosts[name], lan.Members[name] = schema.Host{Address: address}, schema.RouterMember{}
	}
	spec.VirtualRouters = map[string]schema.VirtualRouter{"web": lan}
	layout, err := netns.Plan(spec)
	if err != nil {
		t.Fatal(err)
	}
	if s.Net, err = netns.Build(t.Context(), layout, netns.Options{Name: s.prefix}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	s.client = s.Namespace(netns.Client(layout.LANs[0].Name))
	return s
}

func (s *site) ns(name string) string { return s.Namespace(name) }

// has reports whether a host has an address on any interface.
func (s *site) has(host, address string) bool { return s.Holds(host, netip.MustParseAddr(address)) }

func (s *site) run(args ...string) string {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput()
	if err != nil {
		s.t.Fatalf("%s: %v: %s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

func (s *site) eventually(what string, holds func() bool) {
	s.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(60 * time.Second); !holds(); <-tick.C {
		if time.Now().After(limit) {
			s.t.Fatalf("not in time: %s", what)
		}
	}
}

// during checks that something holds all the time.
func (s *site) during(d time.Duration, what string, holds func() bool) {
	s.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(d); time.Now().Before(limit); <-tick.C {
		if !holds() {
			s.t.Fatalf("no longer: %s", what)
		}
	}
}

// probes is a client that asks an address every 5 ms.
type probes struct{ *netns.Probe }

func (s *site) probe(address string) *probes {
	s.t.Helper()
	p, err := s.Probe(netip.MustParseAddr(address), 5*time.Millisecond)
	if err != nil {
		s.t.Fatal(err)
	}
	// The first answer, and so the client's neighbour entry, comes before it counts.
	ctx, cancel := context.WithTimeout(s.t.Context(), 30*time.Second)
	defer cancel()
	if err := p.Wait(ctx); err != nil {
		s.t.Fatal(err)
	}
	return &probes{p}
}

// lost ends the probing and says how many had no answer since the first. Those on
// their way are none: it is the least that is seen for a while.
func (p *probes) lost() int {
	n := p.Lost()
	for range 100 {
		time.Sleep(2 * time.Millisecond)
		n = min(n, p.Lost())
	}
	p.Stop()
	return n
}

// onHost is a hactl run on a host.
type onHost struct {
	s    *site
	host string
	spec string // directory
	dir  string // runtime directory
	log  string
	cmd  *exec.Cmd
	env  []string
	args []string // of hactl run; nil for the directory
}

// program is this binary under the name by which TestMain knows it for hactl.
func (s *site) program() string {
	path := filepath.Join(s.dir, "hactl")
	if _, err := os.Lstat(path); err != nil {
		self, err := os.Executable()
		if err == nil {
			err = os.Symlink(self, path)
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
	return path
}

// hactl runs a command on a host.
func (a *onHost) hactl(args ...string) *exec.Cmd {
	cmd := exec.Command("ip", append([]string{"netns", "exec", a.s.ns(a.host), a.s.program()}, args...)...)
	cmd.Env = append(os.Environ(), a.env...)
	return cmd
}

// newAgent writes the host's own copy of a specification; start starts it.
func (s *site) newAgent(host, spec string, env ...string) *onHost {
	s.t.Helper()
	a := &onHost{s: s, host: host, spec: filepath.Join(s.dir, host), dir: filepath.Join(s.dir, host+".run"), log: filepath.Join(s.dir, host+".log")}
	a.env = append([]string{gorace, "HACTL_HOST=" + host, "HACTL_RUNTIME_DIR=" + a.dir, "HACTL_STATE_DIR=" + filepath.Join(s.dir, host+".state"), "CLOUDFLARE_API_TOKEN="}, env...)
	if err := os.MkdirAll(a.spec, 0o755); err != nil {
		s.t.Fatal(err)
	}
	a.write(spec)
	s.t.Cleanup(func() {
		if a.cmd != nil && a.cmd.ProcessState == nil {
			_ = a.cmd.Process.Kill()
			_ = a.cmd.Wait()
		}
		if pid := a.status().PID; pid > 0 {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		b, _ := os.ReadFile(a.log)
		for _, bad := range []string{"DATA RACE", "panic:", "fatal error:"} {
			if strings.Contains(string(b), bad) {
				s.t.Errorf("hactl on %s: %s", host, bad)
			}
		}
		if s.t.Failed() {
			s.t.Logf("hactl on %s:\n%s", host, b)
		}
	})
	return a
}

// write replaces the specification as an editor does.
func (a *onHost) write(spec string) {
	a.s.t.Helper()
	name := filepath.Join(a.spec, "edge.cue")
	err := os.WriteFile(name+"~", []byte(spec), 0o600)
	if err == nil {
		err = os.Rename(name+"~", name)
	}
	if err != nil {
		a.s.t.Fatal(err)
	}
}

func (a *onHost) start() {
	a.s.t.Helper()
	log, err := os.OpenFile(a.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		a.s.t.Fatal(err)
	}
	defer log.Close()
	args := a.args
	if args == nil {
		args = []string{"-C", a.spec}
	}
	a.cmd = a.hactl(append([]string{"run"}, args...)...)
	a.cmd.Stdout, a.cmd.Stderr = log, log
	if err := a.cmd.Start(); err != nil {
		a.s.t.Fatal(err)
	}
}

// kill is SIGKILL for the agent; its engine goes on.
func (a *onHost) kill() {
	_ = a.cmd.Process.Kill()
	_ = a.cmd.Wait()
}

// engine is the process of the host's engine, once it answers.
func (a *onHost) engine() (pid int) {
	a.s.t.Helper()
	a.s.eventually("an engine answers on "+a.host, func() bool { pid = a.status().PID; return pid > 0 })
	return pid
}

// crash is SIGKILL for the engine, and waits for its end.
func (a *onHost) crash() {
	a.s.t.Helper()
	pid := a.engine()
	_ = syscall.Kill(pid, syscall.SIGKILL)
	a.s.eventually("the engine of "+a.host+" has ended", func() bool {
		// Who it is left to may not look after it: of a zombie one thread is left.
		threads, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		return len(b) == 0 || len(threads) == 1 && strings.Contains(string(b), ") Z ")
	})
}

// stop is SIGTERM, and waits for the end.
func (a *onHost) stop() {
	a.s.t.Helper()
	_ = a.cmd.Process.Signal(syscall.SIGTERM)
	if err := a.cmd.Wait(); err != nil {
		a.s.t.Errorf("hactl run on %s: %v", a.host, err)
	}
}

// logged counts the lines of the log that contain all of parts.
func (a *onHost) logged(parts ...string) (n int) {
	b, _ := os.ReadFile(a.log)
	for line := range strings.Lines(string(b)) {
		all := true
		for _, p := range parts {
			all = all && strings.Contains(line, p)
		}
		if all {
			n++
		}
	}
	return n
}
