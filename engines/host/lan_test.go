package host

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hactl/hactl/engines/vrrp"
	"github.com/hactl/hactl/schema"
	"github.com/hactl/hactl/schema/load/loadtest"
)

// The stories on real sockets. A lan is a bridge in a network namespace of its
// own, with a client and routers, each in theirs. Engines are processes of
// this very test binary, started with `ip netns exec`, since sockets belong to
// the namespace of the thread that made them.

func TestMain(m *testing.M) {
	loadtest.Evaluate()
	if IsEngine() {
		os.Exit(RunEngine())
	}
	if target := os.Getenv(envProbe); target != "" {
		os.Exit(runProber(target))
	}
	if dir := os.Getenv(envAgent); dir != "" {
		os.Exit(runAgent(dir))
	}
	if d, err := time.ParseDuration(os.Getenv(envFlood)); err == nil {
		n, err := runFlood(d)
		fmt.Println(n, "wrong packets in", d, err)
		os.Exit(0)
	}
	if target := os.Getenv(envPulse); target != "" {
		if err := runPulse(target); err != nil {
			fmt.Fprintln(os.Stderr, "pulse:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if kind := os.Getenv(envWork); kind != "" {
		runWork(kind)
	}
	if addr := os.Getenv(envClaim); addr != "" {
		os.Exit(runClaim(addr))
	}
	os.Exit(m.Run())
}

var lans atomic.Uint32

// needNamespaces skips what cannot run here, but never in CI.
func needNamespaces(t testing.TB) {
	t.Helper()
	var why string
	if os.Geteuid() != 0 {
		why = "network namespaces need root"
	} else if _, err := exec.LookPath("ip"); err != nil {
		why = "network namespaces need ip(8)"
	}
	if why == "" {
		return
	}
	if os.Getenv("HACTL_NETNS") == "required" {
		t.Fatal(why)
	}
	t.Skip(why)
}

type lan struct {
	t      testing.TB
	prefix string
	dir    string
	client string // namespace
}

// newLAN has a client with 10.0.0.100/24 and fd00::100/64.
func newLAN(t testing.TB) *lan {
	needNamespaces(t)
	l := &lan{t: t, prefix: fmt.Sprintf("hh%x%x", os.Getpid(), lans.Add(1)), dir: t.TempDir()}
	l.addNamespace("sw")
	l.run("ip", "-n", l.ns("sw"), "link", "add", "br0", "type", "bridge", "stp_state", "0", "forward_delay", "0", "mcast_snooping", "0")
	l.run("ip", "-n", l.ns("sw"), "link", "set", "br0", "up")
	l.client = l.addHost("c", 100)
	return l
}

func (l *lan) ns(name string) string { return l.prefix + name }

func (l *lan) addNamespace(name string) {
	ns := l.ns(name)
	l.run("ip", "netns", "add", ns)
	l.t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", ns).Run() })
	l.run("ip", "-n", ns, "link", "set", "lo", "up")
}

// addHost adds a namespace with eth0, 10.0.0.N/24 and fd00::N/64.
func (l *lan) addHost(name string, n int) (ns string) {
	l.addNamespace(name)
	l.plug(name, n)
	return l.ns(name)
}

// plug connects eth0 of a host to the bridge, newly made.
func (l *lan) plug(name string, n int) {
	ns, port := l.ns(name), "p"+name
	l.run("ip", "-n", l.ns("sw"), "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", ns)
	l.run("ip", "-n", l.ns("sw"), "link", "set", port, "master", "br0", "up")
	l.run("ip", "netns", "exec", ns, "sysctl", "-qw", "net.ipv6.conf.eth0.accept_dad=0")
	l.run("ip", "-n", ns, "addr", "add", fmt.Sprintf("10.0.0.%d/24", n), "dev", "eth0")
	l.run("ip", "-n", ns, "addr", "add", fmt.Sprintf("fd00::%d/64", n), "dev", "eth0", "nodad")
	l.run("ip", "-n", ns, "link", "set", "eth0", "up")
}

// unplug takes a host's cable away: it stays up itself and hears no more.
func (l *lan) unplug(name string) {
	l.run("ip", "-n", l.ns("sw"), "link", "set", "p"+name, "nomaster")
}

func (l *lan) replug(name string) {
	l.run("ip", "-n", l.ns("sw"), "link", "set", "p"+name, "master", "br0")
}

func (l *lan) run(args ...string) string {
	l.t.Helper()
	out, err := l.try(args...)
	if err != nil {
		l.t.Fatalf("%s: %v: %s", strings.Join(args, " "), err, out)
	}
	return out
}

func (l *lan) try(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput()
	return string(out), err
}

// has reports whether the kernel of a namespace holds an address on an interface.
func (l *lan) has(ns, addr string) bool {
	out, err := l.try("ip", "-n", ns, "-o", "addr", "show", "to", addr)
	return err == nil && strings.Contains(out, addr)
}

// node is an engine process in a namespace.
type node struct {
	lan    *lan
	ns     string
	dir    string
	cmd    *exec.Cmd
	client *Client
	log    string // file: a pipe would be held open by a successor
	ended  chan struct{}
}

// start starts an engine; cfg may be nil.
func (l *lan) start(ns string, cfg *Config, env ...string) *node {
	l.t.Helper()
	n := &node{lan: l, ns: ns, dir: filepath.Join(l.dir, ns), log: filepath.Join(l.dir, ns+".log")}
	n.launch(env...)
	l.t.Cleanup(func() {
		n.kill()
		b, _ := os.ReadFile(n.log)
		for _, bad := range []string{"DATA RACE", "panic:", "fatal error:"} {
			if strings.Contains(string(b), bad) {
				l.t.Errorf("engine in %s: %s", ns, bad)
			}
		}
		if l.t.Failed() {
			l.t.Logf("engine in %s:\n%s", ns, b)
		}
	})
	if cfg != nil {
		n.configure(*cfg)
	}
	return n
}

func (n *node) launch(env ...string) {
	n.lan.t.Helper()
	n.cmd = exec.Command("ip", "netns", "exec", n.ns, self(n.lan.t))
	n.cmd.Env = append(os.Environ(), append(env, envEngine+"="+n.dir)...)
	log, err := os.OpenFile(n.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		n.lan.t.Fatal(err)
	}
	defer log.Close()
	n.cmd.Stderr, n.cmd.Stdout = log, log
	if err := n.cmd.Start(); err != nil {
		n.lan.t.Fatal(err)
	}
	n.ended = make(chan struct{})
	go func(cmd *exec.Cmd, ended chan struct{}) { _ = cmd.Wait(); close(ended) }(n.cmd, n.ended)
	n.attach()
}

func (n *node) attach() {
	n.lan.t.Helper()
	if n.client != nil {
		n.client.Close()
		n.client = nil
	}
	eventually(n.lan.t, 20*time.Second, "engine answers", func() bool {
		c, err := Dial(n.lan.t.Context(), n.dir)
		if err != nil {
			return false
		}
		if _, err := c.Status(n.lan.t.Context()); err != nil {
			c.Close()
			return false
		}
		n.client = c
		return true
	})
}

func self(t testing.TB) string {
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func (n *node) configure(cfg Config) {
	n.lan.t.Helper()
	if err := n.client.Configure(n.lan.t.Context(), cfg); err != nil {
		n.lan.t.Fatalf("%s: %v", n.ns, err)
	}
}

func (n *node) status() *Status {
	n.lan.t.Helper()
	s, err := n.client.Status(n.lan.t.Context())
	if err != nil {
		n.lan.t.Fatalf("%s: %v", n.ns, err)
	}
	return s
}

func (n *node) router() *RouterStatus {
	n.lan.t.Helper()
	s := n.status()
	if len(s.Routers) == 0 {
		n.lan.t.Fatalf("%s has no router", n.ns)
	}
	return &s.Routers[0]
}

func (n *node) waitState(want string) {
	n.lan.t.Helper()
	eventually(n.lan.t, 20*time.Second, n.ns+" is "+want, func() bool { return n.router().State == want })
}

// saved waits until it is on disk that the router is Active, which a successor
// goes on from.
func (n *node) saved() {
	n.lan.t.Helper()
	eventually(n.lan.t, 20*time.Second, n.ns+" keeps its state", func() bool {
		var kept map[string]vrrp.Snapshot
		b, err := os.ReadFile(filepath.Join(n.dir, stateFile))
		return err == nil && json.Unmarshal(b, &kept) == nil && kept["web"].State == vrrp.StateActive
	})
}

// kill is SIGKILL: what has been held stays.
func (n *node) kill() {
	if n.client != nil {
		n.client.Close()
	}
	_ = n.cmd.Process.Kill()
	n.waitEnd()
}

func (n *node) signal(s syscall.Signal) {
	n.lan.t.Helper()
	if err := n.cmd.Process.Signal(s); err != nil {
		n.lan.t.Fatal(err)
	}
}

// freeze is SIGSTOP, and waits until every thread has stopped: where the processors
// are busy, the others go on until the one that took the signal had its turn.
func (n *node) freeze() {
	n.lan.t.Helper()
	n.signal(syscall.SIGSTOP)
	eventually(n.lan.t, 20*time.Second, n.ns+" stands still", func() bool {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", n.cmd.Process.Pid))
		return err == nil && !slices.ContainsFunc(threads, func(path string) bool {
			// The state is behind the name, which is in parentheses.
			stat, _ := os.ReadFile(path)
			_, rest, found := strings.Cut(string(stat), ") ")
			return found && rest[0] != 'T'
		})
	})
}

func (n *node) waitEnd() {
	n.lan.t.Helper()
	select {
	case <-n.ended:
	case <-time.After(20 * time.Second):
		n.lan.t.Fatalf("%s does not end", n.ns)
	}
}

// eventually polls a condition.
func eventually(t testing.TB, within time.Duration, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	limit := time.Now().Add(within)
	for !holds() {
		if time.Now().After(limit) {
			t.Fatalf("not within %v: %s", within, what)
		}
		<-tick.C
	}
}

// during checks that a condition holds all the time.
func during(t testing.TB, d time.Duration, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(d); time.Now().Before(limit); <-tick.C {
		if !holds() {
			t.Fatalf("no longer: %s", what)
		}
	}
}

// monotonic is a clock that all processes share.
func monotonic() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return time.Duration(ts.Nano())
}

const (
	vip  = "10.0.0.50"
	vip6 = "fd00::50"
)

// v3 is a Virtual Router at 100 ms with one IPv4 address. It waits longer for its
// successor than the 400 ms that it would by itself, for which one has been seen to
// stand still on a busy machine.
func v3(priority uint8) Config {
	return Config{Routers: []Router{{
		Name: "web", Interface: "eth0", Priority: priority, Announcements: Announcements{Repeat: 5, Delay: 5 * time.Second},
		ReleaseLimit: time.Second,
		Parameters:   Parameters{Version: 3, VRID: 50, Interval: 100 * time.Millisecond, Addresses: []Address{{Prefix: netip.MustParsePrefix(vip + "/32")}}},
	}}}
}

// v2 is the published pair's: 1 s and a password.
func v2(priority uint8, password string) Config {
	c := v3(priority)
	slow(&c.Routers[0], time.Second)
	c.Routers[0].Version, c.Routers[0].Password = 2, password
	return c
}

// slow gives a router another interval, and what goes with it.
func slow(r *Router, interval time.Duration) { r.Interval, r.ReleaseLimit = interval, 0 }

func v36(priority uint8) Config {
	c := v3(priority)
	c.Routers[0].Addresses = []Address{{Prefix: netip.MustParsePrefix("fe80::50/128")}, {Prefix: netip.MustParsePrefix(vip6 + "/128")}}
	return c
}

func with(c Config, f func(*Router)) *Config {
	f(&c.Routers[0])
	return &c
}

// checked gives a router a health check called "alive"; finds says what it found.
func checked(c Config, router string, weight int) *Config {
	c.Checks = map[string]schema.HealthCheck{"alive": {Type: "tcp", Weight: weight}}
	c.Routers = slices.Clone(c.Routers)
	for i := range c.Routers {
		if c.Routers[i].Name == router {
			c.Routers[i].Checks = []string{"alive"}
		}
	}
	return &c
}

func (n *node) finds(ok bool) {
	n.lan.t.Helper()
	if err := n.client.Results(n.lan.t.Context(), map[string]Result{"alive": {OK: ok, Since: time.Now()}}); err != nil {
		n.lan.t.Fatal(err)
	}
}
