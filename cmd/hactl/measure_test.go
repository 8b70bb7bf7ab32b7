package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestMeasureAgent is no test but a measurement (make bench-agent), of the
// binary as it is shipped: memory and processor time of an agent and its engine
// that have nothing to do, of a poll that finds nothing new, and whether
// evaluating a large specification beside 10 ms advertisements moves a timer.
// HACTL_BENCH_AGENT is for how long each part goes on.
func TestMeasureAgent(t *testing.T) {
	length, err := time.ParseDuration(os.Getenv("HACTL_BENCH_AGENT"))
	if err != nil {
		t.Skip("a measurement: make bench-agent")
	}
	binary := filepath.Join(t.TempDir(), "hactl")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Run("idle", func(t *testing.T) { measureIdle(t, binary, length) })
	t.Run("evaluation", func(t *testing.T) { measureEvaluation(t, binary, length) })
}

// shipped makes a site use a binary in place of this one.
func (s *site) shipped(binary string) {
	if err := os.Symlink(binary, filepath.Join(s.dir, "hactl")); err != nil {
		s.t.Fatal(err)
	}
}

// groups is a specification of n Virtual Routers.
func groups(n int, interval string) string {
	var b strings.Builder
	b.WriteString("package edge\nstack: \"many\"\nhosts: {lb01: address: \"192.168.0.41\", lb02: address: \"192.168.0.42\"}\n")
	for i := range n {
		fmt.Fprintf(&b, "virtualRouters: g%d: {vrid: %d, interface: \"eth0\", interval: %q, addresses: [\"192.168.0.%d/24\"], members: {lb01: priority: 150, lb02: priority: 100}}\n", i, i+1, interval, 50+i)
	}
	return b.String()
}

func measureIdle(t *testing.T, binary string, length time.Duration) {
	s := newSite(t)
	s.shipped(binary)
	v := s.serveAll()
	sha := v.push(groups(10, "1s"), "")
	first, second := s.newAgent("lb01", "", v.env()...), s.newAgent("lb02", "", v.env()...)
	for _, a := range []*onHost{first, second} {
		a.args = append(v.overHTTPS(), "--poll", "1h")
		a.start()
		s.eventually("it runs", a.runs(sha))
	}
	s.eventually("ten are Active", func() bool { return first.logged("to=active") == 10 })
	time.Sleep(2 * time.Second) // What starting has left to do.
	for _, a := range []*onHost{first, second} {
		agent, engine := a.cmd.Process.Pid, a.status().PID
		began, cpuAgent, cpuEngine := time.Now(), processorTime(t, agent), processorTime(t, engine)
		time.Sleep(length)
		elapsed := time.Since(began)
		share := func(d time.Duration) float64 { return 100 * float64(d) / float64(elapsed) }
		t.Logf("%s, 10 groups at 1 s, idle for %s: agent %.1f MB and %.3f %% of a core, engine %.1f MB and %.3f %%", a.host, elapsed.Round(time.Second),
			resident(t, agent), share(processorTime(t, agent)-cpuAgent), resident(t, engine), share(processorTime(t, engine)-cpuEngine))
	}
	first.kill()
	first.args = append(v.overHTTPS(), "--poll", "1s")
	first.start()
	s.eventually("it runs again", first.runs(sha))
	time.Sleep(3 * time.Second)
	cpu, polls := processorTime(t, first.cmd.Process.Pid), v.polls()
	time.Sleep(length)
	polls = v.polls() - polls
	t.Logf("a poll over https that finds nothing new: %.2f ms of processor time, mean of %d", float64((processorTime(t, first.cmd.Process.Pid)-cpu).Microseconds())/1000/float64(polls), polls)
}

func measureEvaluation(t *testing.T, binary string, length time.Duration) {
	s := newSite(t)
	s.shipped(binary)
	v := s.serveAll()
	spec := groups(1, "10ms") + "leader: host: \"lb01\"\n" // who plans and applies beside it
	var large strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&large, "dnsRecords: r%d: {zone: \"example.com\", name: \"r%d.example.com\", type: \"A\", content: \"198.51.100.1\"}\n", i, i)
	}
	first, second := s.newAgent("lb01", spec+large.String(), v.env()...), s.newAgent("lb02", spec+large.String())
	for _, a := range []*onHost{first, second} {
		a.args = []string{"-C", a.spec, "--budget", "1000000"}
		a.start()
	}
	s.eventually("lb01 is Active", func() bool { return first.logged("to=active") == 1 && second.logged("to=backup") >= 1 })
	before := map[*onHost]map[string]uint64{}
	for _, a := range []*onHost{first, second} {
		before[a] = a.status().Routers[0].Counters.Transitions
	}
	evaluations := 0
	for began := time.Now(); time.Since(began) < length; {
		evaluations++
		for _, a := range []*onHost{first, second} {
			a.write(spec + large.String() + fmt.Sprintf("dnsRecords: extra: {zone: \"example.com\", name: \"x%d.example.com\", type: \"A\", content: \"198.51.100.1\"}\n", evaluations))
		}
		time.Sleep(5 * time.Second)
	}
	for _, a := range []*onHost{first, second} {
		st := a.status()
		t.Logf("%s: %d evaluations of 2001 objects, and %d times applied, beside 10 ms advertisements: transitions %v, before it began %v, timers at most %s late, FIFO %v",
			a.host, a.logged("the revision runs"), a.logged("the edge is as the revision has it"), st.Routers[0].Counters.Transitions, before[a], st.Lateness.Max, st.Scheduling.FIFO)
	}
}

// polls counts what the repository was asked for.
func (v *services) polls() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.fetched
}

// processorTime of a process and the children that it has waited for.
func processorTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	ticks := 0
	for _, f := range fields[11:15] { // utime, stime, cutime, cstime
		n, _ := strconv.Atoi(f)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond // USER_HZ is 100 on every Linux that Go runs on
}

// resident is a process's memory in MB.
func resident(t *testing.T, pid int) float64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, _ := strconv.Atoi(strings.Fields(value)[0])
			return float64(kb) / 1000
		}
	}
	return 0
}
