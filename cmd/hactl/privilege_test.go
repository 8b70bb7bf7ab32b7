package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// statusCheck is a check, in CUE, that leaves in a file what /proc says of a
// process of its own. The file is there whole or not at all. To be slow is no
// fault of it.
func statusCheck(user, file string) string {
	return fmt.Sprintf("checks: caps: {type: \"exec\", user: %q, interval: \"1s\", fall: 100, command: [\"/bin/sh\", \"-c\", %q, %q]}\n",
		user, `cp -f /proc/self/status "$0.new" && mv -f "$0.new" "$0"`, file)
}

// copyProgram copies this binary, with so many bytes more. Another process does
// it: what this one writes to is open in processes that other tests start at that
// moment, too, and cannot be executed.
func copyProgram(t *testing.T, to string, more int) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("sh", "-c", `cp "$0" "$1" && head -c "$2" /dev/zero >> "$1"`, self, to, strconv.Itoa(more)).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// capabilities are the lines of /proc/PID/status about them, by name.
func capabilities(file string) map[string]string {
	b, _ := os.ReadFile(file)
	found := map[string]string{}
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.HasPrefix(name, "Cap") {
			found[name] = strings.TrimSpace(value)
		}
	}
	return found
}

// TestOnlyTheEngineHasCapabilities: run by a user who has them by way of ambient
// capabilities. The check is the status of a process that it starts.
func TestOnlyTheEngineHasCapabilities(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	if _, err := exec.LookPath("setpriv"); err != nil {
		t.Skip("this needs setpriv(1)")
	}
	const nobody = 65534
	// The test's directory is its own, and so is the program's.
	home, err := os.MkdirTemp("", "hactl")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	s.dir = home
	copyProgram(t, filepath.Join(home, "hactl"), 0)
	seen := filepath.Join(home, "seen")
	a := s.newAgent("lb01", strings.Replace(runSpec, `"192.168.0.40/24"]`, `"192.168.0.40/24"], checks: ["caps"]`, 1)+
		statusCheck("nobody", seen))
	s.run("chown", "-R", "nobody", home)
	a.cmd = exec.Command("ip", "netns", "exec", s.ns("lb01"), "setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups",
		"--inh-caps", "+net_admin,+net_raw", "--ambient-caps", "+net_admin,+net_raw", s.program(), "run", "-C", a.spec)
	a.cmd.Env = append(os.Environ(), a.env...)
	log, err := os.Create(a.log)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	a.cmd.Stdout, a.cmd.Stderr = log, log
	if err := a.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s.eventually("it is Active", a.is("active"))
	s.eventually("the check was tried", func() bool { return a.status().Checks["caps"].OK })

	const none, both = "0000000000000000", "0000000000003000" // CAP_NET_ADMIN, CAP_NET_RAW
	check := func(what, file string, want map[string]string) {
		t.Helper()
		got := capabilities(file)
		for name, value := range want {
			if got[name] != value {
				t.Errorf("%s has %s %s, want %s", what, name, got[name], value)
			}
		}
	}
	engine := func(pid int) {
		t.Helper()
		file := fmt.Sprintf("/proc/%d/status", pid)
		check("the engine", file, map[string]string{"CapEff": both, "CapPrm": both, "CapAmb": both})
		if info, err := os.Stat(fmt.Sprintf("/proc/%d", pid)); err != nil || info.Sys().(*syscall.Stat_t).Uid != nobody {
			t.Errorf("the engine is not nobody's: %v", err)
		}
	}
	check("a check", seen, map[string]string{"CapEff": none, "CapPrm": none, "CapAmb": none, "CapInh": none})
	former := a.engine()
	engine(former)

	// After SIGUSR2 both are new processes, and it is the same.
	_ = a.cmd.Process.Signal(syscall.SIGUSR2)
	s.eventually("the engine is another process", func() bool { pid := a.status().PID; return pid != 0 && pid != former })
	s.eventually("the agent has started anew", func() bool { return a.logged("msg=specification") == 2 })
	if err := os.Remove(seen); err != nil {
		t.Error(err)
	}
	s.eventually("the next agent tries the check", func() bool { return capabilities(seen)["CapEff"] != "" })
	check("a check of the next agent", seen, map[string]string{"CapEff": none, "CapPrm": none, "CapAmb": none, "CapInh": none})
	engine(a.engine())
	// The next agent can lend them too: it starts the next engine.
	former = a.engine()
	_ = syscall.Kill(former, syscall.SIGKILL)
	s.eventually("the engine is started again", func() bool { pid := a.status().PID; return pid != 0 && pid != former })
	engine(a.engine())
	a.stop()
	if s.has("lb01", vip) {
		t.Error("the address stays")
	}
}

// TestRunWithoutCapabilitiesSaysWhatItNeeds: to somebody who is not root.
func TestRunWithoutCapabilitiesSaysWhatItNeeds(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "hactl") // Not below t.TempDir, which is its user's.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	program, own, others := filepath.Join(dir, "hactl"), filepath.Join(dir, "own"), filepath.Join(dir, "others")
	copyProgram(t, program, 0)
	err = errors.Join(os.Mkdir(own, 0o700), os.Mkdir(others, 0o755), os.Chmod(dir, 0o755),
		os.WriteFile(filepath.Join(dir, "edge.cue"), []byte(runSpec), 0o644))
	if err != nil {
		t.Fatal(err)
	}
	var as *syscall.SysProcAttr
	if os.Geteuid() == 0 {
		const nobody = 65534
		as = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		err = os.Chown(own, nobody, nobody)
	} else {
		err = os.Chmod(others, 0o555)
	}
	if err != nil {
		t.Fatal(err)
	}
	for where, want := range map[string]string{
		others: "Virtual Routers are root's to run, or the units' that hactl install makes",
		own:    "an engine needs CAP_NET_ADMIN and CAP_NET_RAW, which root has",
	} {
		cmd := exec.CommandContext(t.Context(), program, "run", "-C", dir, "--host", "lb01", "--runtime", filepath.Join(where, "run"), "--state", filepath.Join(where, "state"))
		cmd.SysProcAttr = as
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), want) {
			t.Errorf("%v, and\n%swant %q", err, out, want)
		}
	}
}
