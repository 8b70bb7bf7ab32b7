package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hactl/hactl/engines/host"
)

// A booted is a host of a site on which systemd runs: a first process in
// namespaces of its own, with an /etc, /usr/local/bin, /var/lib, /tmp and /run
// that are its own too, and no units but what is put there.
type booted struct {
	s    *site
	host string
	dir  string // /run/test inside
	init int    // process id
}

// bootScript runs in the new namespaces. $1 is the machine's directory.
const bootScript = `
mount --make-rprivate /
cp -a /etc "$1/etc"
mkdir "$1/empty"
mount --bind "$1/etc" /etc
for d in /etc/systemd/system /usr/lib/systemd/system /usr/lib/systemd/system-generators /usr/local/bin /var/lib; do
	! test -d $d || mount -t tmpfs -o mode=755 tmpfs $d
done
for t in sysinit basic network network-online multi-user shutdown umount default; do
	printf '[Unit]\nDescription=%s\nDefaultDependencies=no\n' $t > /usr/lib/systemd/system/$t.target
done
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/test /run/systemd/system /run/lock
mount --bind "$1" /run/test
mount -t tmpfs -o mode=1777 tmpfs /tmp
mount -t sysfs sysfs /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
: > /run/test/console
mount --bind /run/test/console /dev/console
# As systemd has it where it is not in a container; credentials need it.
mount --make-rshared /
exec env -i container=lxc PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
	/lib/systemd/systemd --system --unit=default.target --log-target=console --default-standard-output=null
`

// boot starts systemd on a host, or skips the test where that cannot be.
func (s *site) boot(name string) *booted {
	t := s.t
	t.Helper()
	for _, program := range []string{"unshare", "nsenter", "systemctl", "/lib/systemd/systemd"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip("this needs " + program)
		}
	}
	m := &booted{s: s, host: name, dir: filepath.Join(s.dir, name+".machine")}
	if err := os.Mkdir(m.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	group := s.controlGroup()
	cmd := exec.Command("nsenter", "--net=/run/netns/"+s.ns(name), "unshare", "--pid", "--fork", "--kill-child", "--mount", "--mount-proc",
		"--uts", "--ipc", "--cgroup", "sh", "-e", "-c", bootScript, "sh", m.dir)
	var out strings.Builder
	// Into the group before its namespace is made: it is the root there.
	enter := exec.Command("sh", append([]string{"-c", `echo $$ > "$0" && exec "$@"`, group + "/cgroup.procs"}, cmd.Args...)...)
	enter.Stdout, enter.Stderr = &out, &out
	if err := enter.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = enter.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = enter.Process.Kill() // and with it systemd and all that is below
		<-ended
		if t.Failed() {
			for _, file := range []string{"console", "hactl.service.log", "hactl-engine.service.log"} {
				b, _ := os.ReadFile(filepath.Join(m.dir, file))
				t.Logf("%s:\n%s", file, b)
			}
		}
	})
	children := fmt.Sprintf("/proc/%d/task/%d/children", enter.Process.Pid, enter.Process.Pid)
	for limit := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		b, _ := os.ReadFile(children)
		if m.init, _ = strconv.Atoi(strings.TrimSpace(string(b))); m.init != 0 {
			if state, _ := m.command("systemctl", "is-system-running").Output(); strings.TrimSpace(string(state)) == "running" {
				return m
			}
		}
		select {
		case <-ended:
			t.Skipf("systemd does not start here: %s", out.String())
		default:
		}
		if time.Now().After(limit) {
			console, _ := os.ReadFile(filepath.Join(m.dir, "console"))
			t.Skipf("systemd does not get up here: %s%s", out.String(), console)
		}
	}
}

// controlGroup makes one, of version 2, which the machine has for its root: with
// those of version 1 systemd would leave its mark on all of this machine's.
func (s *site) controlGroup() (dir string) {
	parent := "/sys/fs/cgroup"
	if _, err := os.Stat(parent + "/unified/cgroup.controllers"); err == nil {
		parent += "/unified" // both are in use
	}
	if _, err := os.Stat(parent + "/cgroup.controllers"); err != nil {
		s.t.Skip("systemd needs control groups of version 2 here")
	}
	dir = filepath.Join(parent, s.prefix)
	if err := os.Mkdir(dir, 0o755); err != nil {
		s.t.Skipf("no control group for systemd: %v", err)
	}
	s.t.Cleanup(func() {
		// Its processes are gone, or will be in a moment.
		for limit := time.Now().Add(time.Minute); time.Now().Before(limit); time.Sleep(20 * time.Millisecond) {
			var groups []string
			_ = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
				if err == nil && d.IsDir() {
					groups = append(groups, path)
				}
				return nil
			})
			for i := len(groups) - 1; i >= 0; i-- {
				_ = syscall.Rmdir(groups[i])
			}
			if _, err := os.Stat(dir); err != nil {
				return
			}
		}
		s.t.Errorf("the control group %s is left", dir)
	})
	return dir
}

func (m *booted) command(args ...string) *exec.Cmd {
	return exec.Command("nsenter", append([]string{"-t", strconv.Itoa(m.init), "-m", "-p", "-n", "-u", "-i", "-C"}, args...)...)
}

func (m *booted) run(args ...string) string {
	m.s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := m.command(args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	defer stop()
	out, err := cmd.Output()
	if err != nil {
		m.s.t.Fatalf("%s: %v: %s%s", strings.Join(args, " "), err, out, stderr.String())
	}
	return string(out)
}

// write makes a file of the machine's own /etc, or replaces it.
func (m *booted) write(name, content string) {
	m.s.t.Helper()
	path := filepath.Join(m.dir, "etc", name)
	err := os.MkdirAll(filepath.Dir(path), 0o755)
	if err == nil {
		err = os.WriteFile(path+"~", []byte(content), 0o644)
	}
	if err == nil {
		err = os.Rename(path+"~", path)
	}
	if err != nil {
		m.s.t.Fatal(err)
	}
}

// dropIn adds to the service part of a unit.
func (m *booted) dropIn(unit, name, content string) {
	m.s.t.Helper()
	if err := os.WriteFile(filepath.Join(m.dir, "dropin"), []byte("[Service]\n"+content), 0o644); err != nil {
		m.s.t.Fatal(err)
	}
	m.run("install", "-D", "-m", "644", "/run/test/dropin", "/etc/systemd/system/"+unit+".d/"+name+".conf")
}

// show is a property of a unit.
func (m *booted) show(unit, property string) string {
	m.s.t.Helper()
	return strings.TrimSpace(m.run("systemctl", "show", "-p", property, "--value", unit))
}

// status asks the engine.
func (m *booted) status() *host.Status {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	c, err := host.Dial(ctx, fmt.Sprintf("/proc/%d/root%s", m.init, runtimeDir))
	if err != nil {
		return &host.Status{}
	}
	defer c.Close()
	st, err := c.Status(ctx)
	if err != nil {
		return &host.Status{}
	}
	return st
}

// cause is why the router web is in its state.
func (m *booted) cause() (cause string) {
	m.s.t.Helper()
	m.s.eventually("the engine tells of web", func() bool {
		r := m.status().Router("web")
		if r != nil {
			cause = r.Cause
		}
		return r != nil
	})
	return cause
}

// is reports whether all of the machine's routers are in a state.
func (m *booted) is(state string) func() bool {
	return func() bool {
		st := m.status()
		for i := range st.Routers {
			if st.Routers[i].State != state {
				return false
			}
		}
		return len(st.Routers) > 0
	}
}

// build puts a program in the machine; every n is another one that does the
// same.
func (m *booted) build(n int) string {
	m.s.t.Helper()
	dir := filepath.Join(m.dir, "build"+strconv.Itoa(n))
	if err := os.Mkdir(dir, 0o755); err != nil {
		m.s.t.Fatal(err)
	}
	copyProgram(m.s.t, filepath.Join(dir, "hactl"), n)
	return "/run/test/" + filepath.Base(dir) + "/hactl"
}

// mayDo reports whether a process has a capability.
func mayDo(t *testing.T, pid, capability int) bool {
	t.Helper()
	set, err := strconv.ParseUint(capabilities(fmt.Sprintf("/proc/%d/status", pid))["CapEff"], 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	return set&(1<<capability) != 0
}

const systemdSpec = `package edge
stack: "lan"
hosts: {lb01: address: "192.168.0.41", lb02: address: "192.168.0.42"}
virtualRouters: web: {
	vrid: 50, interface: "eth0", interval: "300ms", addresses: ["192.168.0.40/24"], checks: ["caps"]
	members: {lb01: priority: 150, lb02: priority: 100}
}
virtualRouters: mac: {
	vrid: 51, interface: "eth0", interval: "300ms", addresses: ["192.168.0.44/24"], useVmac: true
	members: {lb01: priority: 150, lb02: priority: 100}
}
`

// TestInstalledUnits is a host's life under systemd: installed, restarted,
// crashed, upgraded and stopped, beside another host that takes over only when
// it is to.
func TestInstalledUnits(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	m := s.boot("lb01")
	peer := s.newAgent("lb02", systemdSpec+"checks: caps: {type: \"tcp\", address: \"127.0.0.1:1\", weight: -1}\n")
	check := statusCheck("hactl", "/var/lib/hactl/seen")
	m.write("hactl/edge.cue", systemdSpec+check)
	m.write("hactl/vrrp.password", "secret\n")
	_ = os.Chmod(filepath.Join(m.dir, "etc/hactl/vrrp.password"), 0o600)
	install := func(build int, args ...string) string {
		t.Helper()
		program := fmt.Sprintf("/run/test/build%d/hactl", build)
		return m.run(append([]string{program, "install", "--credential", "vrrp=/etc/hactl/vrrp.password"}, args...)...)
	}
	wanted := []string{"--", "-C", "/etc/hactl", "--host", "lb01", "--token-file", "/etc/hactl/vrrp.password"}
	m.build(0)
	// There is no journal; and nobody waits for long.
	for _, unit := range []string{engineName, agentName} {
		m.dropIn(unit, "log", "StandardOutput=append:/run/test/"+unit+".log\nStandardError=inherit\n")
	}
	m.dropIn(engineName, "watchdog", "WatchdogSec=3s\nTimeoutAbortSec=500ms\n")

	// An engine of somebody's own has to end before.
	own := m.command("env", "HACTL_ENGINE="+runtimeDir, "/run/test/build0/hactl", "engine")
	if err := own.Start(); err != nil {
		t.Fatal(err)
	}
	inside := 0 // as it is called there
	s.eventually("an engine runs", func() bool { inside = m.status().PID; return inside != 0 })
	if out, err := m.command(append([]string{"/run/test/build0/hactl", "install"}, wanted...)...).CombinedOutput(); err == nil || !strings.Contains(string(out), "an engine that is no unit has this host's addresses") {
		t.Errorf("beside an engine that is no unit: %v: %s", err, out)
	}
	m.run("kill", strconv.Itoa(inside))
	_ = own.Wait()
	out := install(0, wanted...)
	for _, want := range []string{"write /usr/local/bin/hactl", "run systemd-sysusers", "run systemctl daemon-reload", "enable --now hactl-engine.service"} {
		if !strings.Contains(out, want) {
			t.Errorf("install says %q, not %s", out, want)
		}
	}
	if out := install(0, wanted...); out != "nothing to do\n" {
		t.Errorf("a second install says %q", out)
	}
	s.eventually("it is Active", m.is("active"))
	first := m.status()
	// Who lacks CAP_SYS_RESOURCE, as in some virtual machines, cannot raise limits.
	if mayDo(t, m.init, unix.CAP_SYS_RESOURCE) && (!first.Scheduling.FIFO || !first.Scheduling.Locked) {
		t.Errorf("scheduling: %+v", first.Scheduling)
	}
	peer.start()
	s.eventually("the other is Backup", peer.is("backup"))

	// Who may do what.
	pid := func(unit string) string { t.Helper(); return m.show(unit, "MainPID") }
	engine, agent := pid(engineName), pid(agentName)
	const none, both = "0000000000000000", "0000000000003000" // CAP_NET_ADMIN, CAP_NET_RAW
	capable := func(what, file, want string) {
		t.Helper()
		if got := capabilities(fmt.Sprintf("/proc/%d/root%s", m.init, file)); got["CapEff"] != want || got["CapAmb"] != want || got["CapPrm"] != want {
			t.Errorf("%s: %v, want %s", what, got, want)
		}
	}
	capable("the engine", "/proc/"+engine+"/status", both)
	capable("the agent", "/proc/"+agent+"/status", none)
	s.eventually("the check was tried", func() bool { return m.status().Checks["caps"].OK })
	capable("a check", "/var/lib/hactl/seen", none)
	if uid := strings.TrimSpace(m.run("stat", "-c", "%U", "/proc/"+engine, "/proc/"+agent)); uid != "hactl\nhactl" {
		t.Errorf("they are %q", uid)
	}
	m.run("grep", "-q", credentialsDir+"vrrp", "/proc/"+agent+"/cmdline")
	if got := m.run("nsenter", "-t", agent, "-m", "setpriv", "--reuid", userName, "--regid", userName, "--clear-groups", "cat", credentialsDir+"vrrp"); got != "secret\n" {
		t.Errorf("the credential is %q", got)
	}

	// The agent goes and comes.
	p := s.probe(vip)
	m.run("systemctl", "restart", agentName)
	if got := pid(agentName); got == agent || pid(engineName) != engine {
		t.Errorf("restarted: agent %s as %s, engine %s as %s", agent, got, engine, pid(engineName))
	}
	// Upgrades, of both and by the agent.
	for n, upgrade := range []func() string{
		func() string { m.build(1); return install(1, wanted...) },
		func() string { return m.run("systemctl", "reload", agentName) },
		func() string { m.build(2); return install(2, append(wanted, "--poll", "30s")...) },
	} {
		former := pid(engineName)
		out := upgrade()
		s.eventually("another engine", func() bool { return pid(engineName) != former })
		s.eventually("it is Active still", m.is("active"))
		s.eventually("the agent is back", func() bool { return m.status().Agents > 0 })
		t.Logf("upgrade %d: %q", n, out)
		if got := m.cause(); got != "resume" {
			t.Errorf("upgrade %d: active because of %s", n, got)
		}
	}
	if n := p.lost(); n > 0 {
		t.Errorf("restart and upgrades lost %d", n)
	}
	beside := peer.status()
	for i := range beside.Routers {
		if r := &beside.Routers[i]; r.Counters.Transitions["active"] > 0 {
			t.Errorf("the other took %s over", r.Name)
		}
	}
	if out := install(2, append(wanted, "--poll", "30s")...); out != "nothing to do\n" {
		t.Errorf("a second install says %q", out)
	}

	// A steady engine crashes.
	s.eventually("it has been up for a while", func() bool { return time.Since(m.status().Started) > 11*time.Second })
	p = s.probe(vip)
	former := pid(engineName)
	began := time.Now()
	m.run("kill", "-KILL", former)
	s.eventually("another engine answers", func() bool { st := m.status(); return st.PID != 0 && len(st.Routers) > 0 })
	t.Logf("after a crash there is another engine with its configuration after %v", time.Since(began))
	s.eventually("it is Active", m.is("active"))
	n, cause := p.lost(), m.cause()
	t.Logf("the crash lost %d; web is active because of %s", n, cause)
	if taken := peer.router().Counters.Transitions["active"]; taken == 0 && (n > 0 || cause != "resume") {
		t.Errorf("nobody took over, and %d were lost; active because of %s", n, cause)
	}

	// One that hangs is ended, and the next begins anew: another host took over.
	former = pid(engineName)
	m.run("kill", "-STOP", former)
	s.eventually("the other is Active", peer.is("active"))
	s.eventually("another engine", func() bool { return pid(engineName) != former && m.is("active")() })
	if m.cause() == "resume" {
		t.Error("an engine that hung goes on where it was")
	}
	s.eventually("the other is Backup", peer.is("backup"))

	// Checks as another user, which a drop-in has to allow.
	m.run("mkdir", "-m", "777", "/run/test/out")
	m.dropIn(agentName, "users", "AmbientCapabilities=CAP_SETUID CAP_SETGID\nCapabilityBoundingSet=CAP_SETUID CAP_SETGID\nSystemCallFilter=@setuid capset\nReadWritePaths=/run/test/out\n")
	m.run("systemctl", "daemon-reload")
	m.run("systemctl", "restart", agentName)
	m.write("hactl/edge.cue", systemdSpec+statusCheck("nobody", "/run/test/out/seen"))
	s.eventually("the check was tried as nobody", func() bool {
		info, err := os.Stat(filepath.Join(m.dir, "out", "seen"))
		return err == nil && info.Sys().(*syscall.Stat_t).Uid == 65534
	})
	capable("a check as nobody", "/run/test/out/seen", none)

	// It hands over when it is stopped, and only then.
	p = s.probe(vip)
	m.run("systemctl", "stop", engineName)
	s.eventually("the other is Active", peer.is("active"))
	if n := p.lost(); n > 2 {
		t.Errorf("stopping lost %d", n)
	}
	if s.has("lb01", vip) {
		t.Error("the address stays")
	}
	if state := m.show(agentName, "ActiveState"); state != "active" {
		t.Errorf("the agent is %s", state)
	}
	m.run("systemctl", "start", engineName)
	s.eventually("it takes over again", m.is("active"))
	out = m.run("/usr/local/bin/hactl", "install", "--uninstall")
	s.eventually("the other is Active again", peer.is("active"))
	if again := m.run("/usr/local/bin/hactl", "install", "--uninstall"); again != "nothing to do\n" || !strings.Contains(out, "remove /etc/systemd/system/hactl.service") {
		t.Errorf("uninstall says %q, then %q", out, again)
	}
}
