package host

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// peer is a router of either make, so that the same story runs with each.
type peer interface {
	name() string
	holds() bool // the first router's last address
	has(addr string) bool
	eyes() *eye
	configure(c *Config) // while it runs; returns when it is done
	start(c *Config)     // again, after it has ended
	stop()               // gives up as the make does on SIGTERM, and ends
	die()                // SIGKILL
	signal(s syscall.Signal)
	fault(on bool) // a check that must not fail
	cost(on bool)  // a check that costs 10 of the priority: added, and failed
	processes() []int
}

// make starts a router of either make on a host, which is made with number n if
// it is not there yet.
func (l *lan) make(kind, host string, n int, c *Config) peer {
	l.t.Helper()
	ns := l.ns(host)
	if _, err := os.Stat("/run/netns/" + ns); err != nil {
		l.addHost(host, n)
	}
	e := l.watch(host)
	if kind == "keepalived" {
		return l.keepalived(ns, c, fmt.Sprintf("10.0.0.%d", n), e)
	}
	return &hactl{node: l.start(ns, c), eye: e, target: target(c), router0: c.Routers[0].Name, cfg: *c}
}

func target(c *Config) string {
	a := c.Routers[0].Addresses
	return a[len(a)-1].Prefix.Addr().String()
}

func holds(t testing.TB, who, other peer) {
	t.Helper()
	eventually(t, 20*time.Second, who.name()+" alone holds the address", func() bool { return who.holds() && !other.holds() })
}

func (n *node) stop() { n.lan.t.Helper(); n.signal(syscall.SIGTERM); n.waitEnd() }
func (n *node) die()  { n.kill() }

// hactl is a node as peer.
type hactl struct {
	*node
	eye     *eye
	target  string
	router0 string
	cfg     Config // without the check
}

func (h *hactl) name() string         { return "hactl" }
func (h *hactl) eyes() *eye           { return h.eye }
func (h *hactl) has(addr string) bool { return h.eye.has(addr) }
func (h *hactl) holds() bool          { return h.eye.has(h.target) }
func (h *hactl) processes() []int     { return []int{h.cmd.Process.Pid} }
func (h *hactl) configure(c *Config)  { h.lan.t.Helper(); h.cfg = *c; h.node.configure(*c) }

func (h *hactl) start(c *Config) {
	h.lan.t.Helper()
	h.launch()
	h.cfg = *c
	h.node.configure(*c)
}

// checked adds a check to the running routers, which fails. Good again, it is
// taken away.
func (h *hactl) checked(weight int, fails bool) {
	h.lan.t.Helper()
	if fails {
		h.node.configure(*checked(h.cfg, h.router0, weight))
	}
	h.finds(!fails)
	if !fails {
		h.node.configure(h.cfg)
	}
}

func (h *hactl) fault(on bool) { h.lan.t.Helper(); h.checked(0, on) }
func (h *hactl) cost(on bool)  { h.lan.t.Helper(); h.checked(-10, on) }

// upgrade replaces the process and follows the next one, which is a child of
// nobody here.
func (h *hactl) upgrade() {
	h.lan.t.Helper()
	if err := h.client.Upgrade(h.lan.t.Context(), self(h.lan.t)); err != nil {
		h.lan.t.Fatal(err)
	}
	h.waitEnd()
	h.attach()
	process, err := os.FindProcess(h.status().PID)
	if err != nil {
		h.lan.t.Fatal(err)
	}
	h.cmd.Process, h.ended = process, make(chan struct{})
	go func(c *Client, ended chan struct{}) { <-c.Done(); close(ended) }(h.client, h.ended)
}

// keepalived is a keepalived process in a namespace.
type keepalived struct {
	lan    *lan
	ns     string
	source string
	target string
	cfg    *Config
	costs  bool
	eye    *eye
	cmd    *exec.Cmd
	ended  chan struct{}
	dir    string
}

func needKeepalived(t testing.TB) {
	t.Helper()
	needNamespaces(t)
	if _, err := exec.LookPath("keepalived"); err != nil {
		if os.Getenv("HACTL_NETNS") == "required" {
			t.Fatal("interoperation needs keepalived(8)")
		}
		t.Skip("interoperation needs keepalived(8)")
	}
}

// keepalivedConf writes what a Config says in keepalived's words.
func keepalivedConf(c *Config, sources map[string]string, ns string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "global_defs {\n router_id %s\n vrrp_garp_master_delay 5\n}\n", ns)
	for i := range c.Routers {
		r := &c.Routers[i]
		fmt.Fprintf(&b, "vrrp_instance %s {\n state BACKUP\n interface %s\n virtual_router_id %d\n priority %d\n version %d\n",
			r.Name, r.Interface, r.VRID, r.Priority, r.Version)
		fmt.Fprintf(&b, " advert_int %g\n", r.Interval.Seconds())
		if r.NoPreempt {
			b.WriteString(" nopreempt\n")
		}
		if r.UseVMAC {
			b.WriteString(" use_vmac\n")
		}
		if r.Password != "" {
			fmt.Fprintf(&b, " authentication {\n auth_type PASS\n auth_pass %s\n }\n", r.Password)
		}
		if len(r.Peers) > 0 {
			fmt.Fprintf(&b, " unicast_src_ip %s\n unicast_peer {\n", sources[ns])
			for _, p := range r.Peers {
				fmt.Fprintf(&b, "  %v\n", p)
			}
			b.WriteString(" }\n")
		}
		b.WriteString(" virtual_ipaddress {\n")
		for _, a := range r.Addresses {
			fmt.Fprintf(&b, "  %v\n", a.Prefix)
		}
		b.WriteString(" }\n}\n")
	}
	return b.String()
}

func (l *lan) keepalived(ns string, c *Config, source string, e *eye) *keepalived {
	l.t.Helper()
	k := &keepalived{lan: l, ns: ns, source: source, eye: e, dir: filepath.Join(l.dir, ns+"-k"), target: target(c)}
	if err := os.MkdirAll(k.dir, 0o700); err != nil {
		l.t.Fatal(err)
	}
	k.fault(false)
	if err := os.WriteFile(k.path("cost"), []byte("1\n"), 0o600); err != nil {
		l.t.Fatal(err)
	}
	k.start(c)
	l.t.Cleanup(func() {
		k.die()
		if l.t.Failed() {
			log := k.log()
			l.t.Logf("keepalived in %s:\n%s", ns, log[max(0, len(log)-16<<10):])
		}
	})
	return k
}

func (k *keepalived) path(name string) string { return filepath.Join(k.dir, name) }

func (k *keepalived) log() string {
	b, _ := os.ReadFile(k.path("log"))
	return string(b)
}

// write writes the configuration file. A check of the first router is there
// from the beginning, since adding one is a story of its own.
func (k *keepalived) write() {
	k.lan.t.Helper()
	conf := keepalivedConf(k.cfg, map[string]string{k.ns: k.source}, k.ns)
	files, tracked := fmt.Sprintf("track_file fault {\n file %q\n weight 0\n}\n", k.path("fault")), "  fault\n"
	if k.costs {
		files += fmt.Sprintf("track_file cost {\n file %q\n weight -10\n}\n", k.path("cost"))
		tracked += "  cost\n"
	}
	conf = files + strings.Replace(conf, " virtual_ipaddress {\n", " track_file {\n"+tracked+" }\n virtual_ipaddress {\n", 1)
	if err := os.WriteFile(k.path("keepalived.conf"), []byte(conf), 0o600); err != nil {
		k.lan.t.Fatal(err)
	}
}

func (k *keepalived) start(c *Config) {
	k.lan.t.Helper()
	k.cfg = c
	k.write()
	// Of a killed one these stay, and so may its zombie.
	_ = os.Remove(k.path("pid"))
	_ = os.Remove(k.path("vrrp_pid"))
	// Without syslog (-G): where no daemon takes it, it goes to the console,
	// which may be a serial line and then costs more than VRRP.
	k.cmd = exec.Command("ip", "netns", "exec", k.ns, "keepalived", "-n", "-l", "-G", "-D", "-P", "-f", k.path("keepalived.conf"),
		"-p", k.path("pid"), "-r", k.path("vrrp_pid"))
	log, err := os.OpenFile(k.path("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		k.lan.t.Fatal(err)
	}
	defer log.Close()
	k.cmd.Stdout, k.cmd.Stderr = log, log
	k.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := k.cmd.Start(); err != nil {
		k.lan.t.Fatal(err)
	}
	k.ended = make(chan struct{})
	go func(cmd *exec.Cmd, ended chan struct{}) { _ = cmd.Wait(); close(ended) }(k.cmd, k.ended)
}

func (k *keepalived) name() string         { return "keepalived" }
func (k *keepalived) eyes() *eye           { return k.eye }
func (k *keepalived) has(addr string) bool { return k.eye.has(addr) }
func (k *keepalived) holds() bool          { return k.eye.has(k.target) }

// processes are the parent and the one that speaks VRRP.
func (k *keepalived) processes() []int {
	return append(children(k.cmd.Process.Pid), k.cmd.Process.Pid)
}

func (k *keepalived) signal(s syscall.Signal) {
	for _, pid := range k.processes() {
		_ = syscall.Kill(pid, s)
	}
}

func (k *keepalived) configure(c *Config) {
	k.lan.t.Helper()
	k.cfg = c
	k.write()
	const done = "Reload complete"
	before := strings.Count(k.log(), done)
	_ = k.cmd.Process.Signal(syscall.SIGHUP)
	eventually(k.lan.t, 20*time.Second, "keepalived has reloaded", func() bool { return strings.Count(k.log(), done) > before })
}

func (k *keepalived) fault(on bool) {
	k.lan.t.Helper()
	if err := os.WriteFile(k.path("fault"), []byte(map[bool]string{true: "1\n", false: "0\n"}[on]), 0o600); err != nil {
		k.lan.t.Fatal(err)
	}
}

func (k *keepalived) cost(on bool) {
	k.lan.t.Helper()
	k.costs = on
	k.configure(k.cfg)
}

func (k *keepalived) stop() {
	k.lan.t.Helper()
	_ = k.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-k.ended:
	case <-time.After(10 * time.Second):
		k.lan.t.Fatal("keepalived does not end")
	}
}

// die kills the parent and its child at once: its own process group.
func (k *keepalived) die() {
	_ = syscall.Kill(-k.cmd.Process.Pid, syscall.SIGKILL)
	<-k.ended
}

// children lists the processes below one.
func children(pid int) (all []int) {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	for _, f := range strings.Fields(string(b)) {
		if n, err := strconv.Atoi(f); err == nil {
			all = append(all, n)
			all = append(all, children(n)...)
		}
	}
	return slices.Clip(all)
}
