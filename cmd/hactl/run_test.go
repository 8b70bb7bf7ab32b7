package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hactl/hactl/engines/host"
	"github.com/hactl/hactl/reconcile"
)

// status asks a host's engine; it is empty where none answers.
func (a *onHost) status() *host.Status {
	// The test's own context has ended when it cleans up.
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	c, err := host.Dial(ctx, a.dir)
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

func (a *onHost) router() host.RouterStatus {
	if r := a.status().Router("web"); r != nil {
		return *r
	}
	return host.RouterStatus{}
}

func (a *onHost) is(state string) func() bool {
	return func() bool { return a.router().State == state }
}

const vip = "192.168.0.40"

// The intervals leave a process time to be late: nobody takes over for less than
// three of them.
const runSpec = `package edge
stack: "lan"
hosts: {lb01: address: "192.168.0.41", lb02: address: "192.168.0.42"}
virtualRouters: web: {
	vrid: 50, interface: "eth0", interval: "300ms", addresses: ["192.168.0.40/24"]
	members: {lb01: priority: 150, lb02: priority: 100}
}
`

// pair has two hosts with one specification and its Virtual Router on the first.
func (s *site) pair(spec string, env ...string) (first, second *onHost) {
	s.t.Helper()
	first, second = s.newAgent("lb01", spec, env...), s.newAgent("lb02", spec, env...)
	first.start()
	s.eventually("lb01 is Active", first.is("active"))
	second.start()
	s.eventually("lb02 is Backup", second.is("backup"))
	return first, second
}

func TestRunFollowsItsSpecificationWithoutABlip(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	first, second := s.pair(runSpec)
	p := s.probe(vip)
	begun := first.status()

	// An address, a check, a priority: no transition, nothing lost.
	grown := strings.Replace(runSpec, `["192.168.0.40/24"]`, `["192.168.0.40/24", "192.168.0.43/24"], checks: ["link"]`, 1) +
		`checks: link: {type: "interface", interface: "eth0"}` + "\n"
	grown = strings.Replace(grown, "150", "160", 1)
	for _, a := range []*onHost{first, second} {
		a.write(grown)
	}
	s.eventually("the new address is there", func() bool { return s.has("lb01", "192.168.0.43") })
	s.eventually("the check has a result", func() bool { return first.status().Checks["link"].OK && second.status().Checks["link"].OK })
	if r := first.router(); r.Priority != 160 || r.Counters.Transitions["active"] != 1 {
		t.Errorf("on lb01 %+v", r)
	}
	if r := second.router(); r.Counters.Transitions["active"] != 0 {
		t.Errorf("lb02 was Active: %+v", r)
	}

	// What is wrong changes nothing, and is named with its place.
	for i, bad := range []string{"vrid: 500", "vird: 50", "vrid: 50, interface: \"eth0\", members: nobody: {}", "}}}"} {
		first.write(strings.Replace(grown, "vrid: 50", bad, 1))
		s.eventually("it is refused: "+bad, func() bool { return first.logged("is refused") == i+1 })
	}
	first.write("package edge\nstack: \"lan\"\n")
	s.eventually("an empty one is refused", func() bool { return first.logged("the specification is empty") == 1 })
	if first.logged("edge.cue:5:8: virtualRouters.web.vrid") == 0 {
		t.Error("the place of the mistake is not named")
	}
	if now := first.status(); now.Revision == "" || first.router().State != "active" || now.PID != begun.PID {
		t.Errorf("after mistakes: %+v", now)
	}
	// Nor does the end of the agent, nor the next one.
	first.kill()
	s.during(300*time.Millisecond, "the engine goes on", first.is("active"))
	first.write(runSpec)
	first.start()
	s.eventually("the next agent takes over", func() bool { return !s.has("lb01", "192.168.0.43") })
	if now := first.status(); now.PID != begun.PID || first.router().Counters.Transitions["active"] != 1 {
		t.Errorf("after another agent: %+v", now)
	}
	if n := p.lost(); n > 0 {
		t.Errorf("lost %d probes", n)
	}
}

func TestRunUpgradesAndStopsWithoutALoss(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	first, second := s.pair(runSpec)
	p := s.probe(vip)
	before := first.status().PID
	if err := first.cmd.Process.Signal(syscall.SIGUSR2); err != nil {
		t.Fatal(err)
	}
	s.eventually("another process has the addresses", func() bool {
		st := first.status()
		return st.PID != 0 && st.PID != before && first.is("active")()
	})
	s.eventually("the agent has started anew", func() bool { return first.logged("msg=specification") == 2 })
	if r := first.router(); r.Cause != "resume" {
		t.Errorf("it is Active because of %s", r.Cause)
	}

	first.stop()
	s.eventually("the other is Active", second.is("active"))
	if s.has("lb01", vip) {
		t.Error("the address stays with who has stopped")
	}
	if st := first.status(); st.PID != 0 {
		t.Error("the engine outlives a planned stop")
	}
	if n := p.lost(); n > 2 {
		t.Errorf("lost %d probes", n)
	}
	p = s.probe(vip)
	first.start()
	s.eventually("the better one takes back", first.is("active"))
	s.eventually("the other is Backup", second.is("backup"))
	if n := p.lost(); n > 2 {
		t.Errorf("giving back lost %d probes", n)
	}
}

func TestRunActsOnChecksHooksAndMaintenance(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	alive, book := filepath.Join(s.dir, "alive"), filepath.Join(s.dir, "book")
	if err := os.WriteFile(alive, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	script := `echo "$HACTL_HOST $HACTL_FORMER $HACTL_STATE $HACTL_CAUSE" >> ` + book
	spec := strings.Replace(runSpec, "members:", `members: lb01: checks: ["alive"]
	hooks: ["note"]
	members:`, 1) + `checks: alive: {type: "exec", user: "root", command: ["/usr/bin/test", "-e", "` + alive + `"], interval: "500ms", timeout: "500ms", fall: 3, rise: 1}
hooks: note: {user: "root", command: ["/bin/sh", "-c", "` + strings.ReplaceAll(script, `"`, `\"`) + `"]}
`
	first, second := s.pair(spec)
	// Of what comes while a hook runs, the next one is told the last only.
	hooked := func(a *onHost, state string, times int) {
		t.Helper()
		s.eventually(fmt.Sprintf("%s has heard of %s %d times", a.host, state, times), func() bool { return a.logged("hook done", "state="+state) == times })
	}
	hooked(first, "active", 1)
	hooked(second, "backup", 1)
	p := s.probe(vip)
	faults := first.logged("hook done", "state=fault") // one where the first result was late
	if err := os.Remove(alive); err != nil {
		t.Fatal(err)
	}
	s.eventually("a failing check moves it", second.is("active"))
	hooked(first, "fault", faults+1)
	hooked(second, "active", 1)
	if err := os.WriteFile(alive, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	s.eventually("it comes back", first.is("active"))
	s.eventually("and the other lets go", second.is("backup"))
	hooked(first, "active", 2)
	hooked(second, "backup", 2)

	drained := strings.Replace(spec, `lb01: address: "192.168.0.41"`, `lb01: {address: "192.168.0.41", maintenance: true}`, 1)
	first.write(drained)
	second.write(drained)
	s.eventually("maintenance moves it", second.is("active"))
	hooked(first, "maintenance", 1)
	hooked(second, "active", 2)
	first.write(spec)
	second.write(spec)
	s.eventually("it ends", first.is("active"))
	s.eventually("the other is Backup", second.is("backup"))
	hooked(first, "active", 3)
	hooked(second, "backup", 3)
	if n := p.lost(); n > 8 {
		t.Errorf("four moves lost %d probes", n)
	}
	first.stop()
	s.eventually("the other is Active", second.is("active"))
	hooked(second, "active", 3)
	b, err := os.ReadFile(book)
	if err != nil {
		t.Fatal(err)
	}
	var mine []string
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "lb01 "); ok {
			mine = append(mine, strings.TrimSpace(rest))
		}
	}
	got := strings.Join(mine, "\n")
	for _, want := range []string{"active active-down", "active fault handed-over", "active maintenance handed-over", "active initialize handed-over"} {
		if !strings.Contains(got, want) {
			t.Errorf("no hook was told %q, but\n%s", want, got)
		}
	}
}

// TestDiffShowsThisHost: its part of the Virtual Routers as steps, its state as
// notices; apply makes it so; secrets stay where they are.
func TestDiffShowsThisHost(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	const secretText = "hunter22"
	// The delay is for a diff to be made in.
	spec := strings.Replace(runSpec, `interval: "300ms"`, `version: 2, interval: "1s", password: env: "VRRP_PASSWORD", activationDelay: "10s"`, 1)
	a := s.newAgent("lb01", spec, "VRRP_PASSWORD="+secretText)
	var seen strings.Builder
	hactl := func(code int, args ...string) string {
		t.Helper()
		cmd := a.hactl(append(args, "-C", a.spec)...)
		out, err := cmd.CombinedOutput()
		seen.Write(out)
		if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != code {
			t.Fatalf("hactl %v: %v, want exit code %d\n%s", args, err, code, out)
		}
		return string(out)
	}
	has := func(text string, parts ...string) {
		t.Helper()
		for _, p := range parts {
			if !strings.Contains(text, p) {
				t.Errorf("no %q in\n%s", p, text)
			}
		}
	}
	has(hactl(2, "diff"), "Virtual Routers on this host\n  + web@lb01", `password: {env: "VRRP_PASSWORD"}`, "host/lb01 runs no engine: hactl run starts it")
	has(hactl(1, "apply", "--yes"), "it does not run: start hactl run there")
	a.start()
	s.eventually("lb01 is Active", a.is("active"))
	has(hactl(0, "diff"), "Nothing to do", "virtualRouter/web@lb01 is active since", "has 192.168.0.40/24 on eth0")
	has(hactl(0, "diff", "--host", "none", "--allow", "empty"), "Nothing to do")

	other := filepath.Join(s.dir, "other")
	if err := os.MkdirAll(other, 0o755); err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(strings.Replace(spec, "150", "170", 1), "VRRP_PASSWORD", "OTHER_PASSWORD", 1)
	if err := os.WriteFile(filepath.Join(other, "edge.cue"), []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	running := a.spec
	a.spec, a.env = other, append(a.env, "OTHER_PASSWORD=second33")
	var plan reconcile.Plan
	if err := json.Unmarshal([]byte(hactl(2, "diff", "-o", "json")), &plan); err != nil {
		t.Fatal(err)
	}
	if len(plan.Steps) != 1 || plan.Steps[0].ID.String() != "virtualRouter/web@lb01" || len(plan.Steps[0].Fields) != 2 {
		t.Errorf("planned %+v", plan.Steps)
	}
	saved := filepath.Join(s.dir, "plan.json")
	hactl(2, "diff", "--out", saved)
	has(hactl(2, "diff", "-o", "markdown"), "web@lb01")
	hactl(0, "apply", "--yes")
	if r := a.router(); r.Priority != 170 || r.Counters.Transitions["active"] != 1 {
		t.Errorf("after apply %+v", r)
	}
	has(hactl(0, "diff"), "sends its former parameters and accepts the new ones")
	s.eventually("the new password is sent", func() bool { return !strings.Contains(hactl(0, "diff"), "former") })
	if a.logged("configured by somebody else") == 0 {
		t.Error("the agent does not say that it was overruled")
	}
	out, err := a.hactl("status").CombinedOutput()
	if err != nil {
		t.Fatalf("status: %v: %s", err, out)
	}
	has(string(out), "web", "active", "170", "192.168.0.40/24*")
	a.spec = running
	a.stop()

	// No secret anywhere.
	b, err := os.ReadFile(a.log)
	if err != nil {
		t.Fatal(err)
	}
	p, err := os.ReadFile(saved)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{seen.String(), string(b), string(p)} {
		for _, s := range []string{secretText, "second33"} {
			if strings.Contains(text, s) {
				t.Errorf("a secret is shown in\n%s", text)
			}
		}
	}
}

func TestTheEngineInheritsNoToken(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a := s.newAgent("lb01", runSpec, "CLOUDFLARE_API_TOKEN=hunter22", "HACTL_GIT_TOKEN=hunter23")
	a.start()
	s.eventually("lb01 is Active", a.is("active"))
	for _, file := range []string{"environ", "cmdline"} {
		b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(a.status().PID), file))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), "hunter") {
			t.Errorf("a token is in the engine's %s", file)
		}
	}
	a.stop()
}

// TestRunStagesWhatHostsHaveToAgreeOn: the hosts learn of a new password and
// VRID one after the other, the Active router first.
func TestRunStagesWhatHostsHaveToAgreeOn(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	// The delay is for the second to read what the first has read 2 s before.
	spec := strings.Replace(runSpec, `interval: "300ms"`, `version: 2, interval: "1s", password: env: "OLD", activationDelay: "10s"`, 1)
	first, second := s.pair(spec, "OLD=old", "NEW=new")
	p := s.probe(vip)
	changed := strings.Replace(strings.Replace(spec, `"OLD"`, `"NEW"`, 1), "vrid: 50", "vrid: 51", 1)
	first.write(changed)
	s.during(2*time.Second, "nobody moves", func() bool { return first.is("active")() && second.is("backup")() })
	second.write(changed)
	vrid := func(a *onHost) uint8 { return a.router().VRID }
	s.eventually("both have the new VRID", func() bool { return vrid(first) == 51 && vrid(second) == 51 })
	s.during(4*time.Second, "nobody moves", func() bool { return first.is("active")() && second.is("backup")() })
	if c := second.router().Counters; c.Transitions["active"] != 0 || len(c.Dropped) > 0 {
		t.Errorf("on lb02 %+v", c)
	}
	if n := p.lost(); n > 0 {
		t.Errorf("lost %d probes", n)
	}
}

// TestPublishedPairBesideKeepalived has one half of the example run by hactl,
// the other by keepalived with the published configuration, either way round.
func TestPublishedPairBesideKeepalived(t *testing.T) {
	example, err := os.ReadFile(filepath.Join("..", "..", "examples", "keepalived-pair", "edge.cue"))
	if err != nil {
		t.Fatal(err)
	}
	conf, err := os.ReadFile(filepath.Join("..", "..", "testdata", "keepalived", "published-pair.conf"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ ours, theirs, state, priority string }{{"lb01", "lb02", "BACKUP", "100"}, {"lb02", "lb01", "MASTER", "150"}} {
		t.Run("hactl is "+c.ours, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			if _, err := exec.LookPath("keepalived"); err != nil {
				if os.Getenv("HACTL_NETNS") == "required" {
					t.Fatal("this needs keepalived(8)")
				}
				t.Skip("this needs keepalived(8)")
			}
			// The proxy of the example, as far as its check goes.
			health := exec.Command("ip", "netns", "exec", s.ns(c.ours), s.program())
			health.Env = append(os.Environ(), envHealth+"=127.0.0.1:2019", gorace)
			if err := health.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = health.Process.Kill(); _ = health.Wait() })
			text := strings.NewReplacer("STATE", c.state, "PRIORITY", c.priority, "PASSWORD", "pair1234").Replace(string(conf))
			file := filepath.Join(s.dir, "keepalived.conf")
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			keepalived := func() *exec.Cmd {
				cmd := exec.Command("ip", "netns", "exec", s.ns(c.theirs), "keepalived", "-n", "-l", "-P", "-f", file,
					"-p", filepath.Join(s.dir, "pid"), "-r", filepath.Join(s.dir, "vrrp_pid"))
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = cmd.Process.Signal(syscall.SIGTERM); _ = cmd.Wait() })
				return cmd
			}
			a := s.newAgent(c.ours, string(example), "HACTL_VRRP_PASSWORD=pair1234")
			a.start()
			k := keepalived()
			alone := func(who string) func() bool {
				return func() bool { return s.has("lb01", vip) == (who == "lb01") && s.has("lb02", vip) == (who == "lb02") }
			}
			s.eventually("the better one has the address", alone("lb01"))
			s.during(3*time.Second, "it stays", alone("lb01"))
			p := s.probe(vip)
			if c.ours == "lb01" {
				a.stop()
				s.eventually("the other takes over", alone("lb02"))
				if n := p.lost(); n > 2 {
					t.Errorf("handing over to keepalived lost %d probes", n)
				}
				p = s.probe(vip)
				a.start()
			} else {
				_ = k.Process.Signal(syscall.SIGTERM)
				_ = k.Wait()
				s.eventually("the other takes over", alone("lb02"))
				p.lost() // keepalived lets go first
				p = s.probe(vip)
				keepalived()
			}
			s.eventually("the better one takes back", alone("lb01"))
			if n := p.lost(); n > 2 {
				t.Errorf("giving back lost %d probes", n)
			}
			if dropped := a.router().Counters.Dropped; len(dropped) > 0 {
				t.Errorf("dropped %v", dropped)
			}
			a.stop()
		})
	}
}
