package host

import (
	"context"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestUpgradeKeepsMastership(t *testing.T) {
	l := newLAN(t)
	// What a new process takes to start beside others is not the subject.
	set := func(r *Router) { slow(r, 200*time.Millisecond) }
	a, b := l.pair(with(v3(150), set), with(v3(100), set))
	p := l.probe(vip)
	event := monotonic()
	former := a.status().PID
	for range 3 {
		if err := a.client.Upgrade(t.Context(), self(t)); err != nil {
			t.Fatal(err)
		}
		a.waitEnd()
		a.attach()
		pid := a.status().PID
		if pid == former {
			t.Fatal("it is the same process")
		}
		former = pid
		// What comes after is a child of nobody here.
		process, err := os.FindProcess(pid)
		if err != nil {
			t.Fatal(err)
		}
		a.cmd.Process, a.ended = process, make(chan struct{})
		go func(c *Client, ended chan struct{}) { <-c.Done(); close(ended) }(a.client, a.ended)
	}
	p.settle(50 * time.Millisecond)
	r := p.report(event)
	t.Logf("three upgrades lost %d of %d: %+v", r.Lost, r.Sent, r.Silences)
	if r.Lost > 2 {
		t.Errorf("lost %d probes", r.Lost)
	}
	if n := b.router().Counters.Transitions["active"]; n != 0 {
		t.Errorf("%d takeovers", n)
	}
	if got := a.router(); got.State != "active" || got.Cause != "resume" {
		t.Errorf("%s (%s)", got.State, got.Cause)
	}
}

func TestUpgradeToABrokenBinaryIsRefused(t *testing.T) {
	l := newLAN(t)
	a := l.start(l.addHost("r1", 1), new(v3(150)))
	a.waitState("active")
	if err := a.client.Upgrade(t.Context(), "/bin/false"); err == nil {
		t.Fatal("no error")
	}
	if got := a.router(); got.State != "active" || got.Counters.Transitions["active"] != 1 {
		t.Errorf("%+v", got)
	}
}

// runAgent is a supervisor with the configuration of v3(150).
func runAgent(dir string) int {
	_ = os.Unsetenv(envAgent)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	s := &Supervisor{Dir: dir, Log: slog.New(slog.NewTextHandler(os.Stderr, nil)), steady: 50 * time.Millisecond}
	if err := s.Configure(v3(150)); err != nil {
		return 1
	}
	_ = s.Run(ctx)
	return 0
}

// agent starts a supervisor in a namespace.
func (l *lan) agent(ns string) *exec.Cmd {
	l.t.Helper()
	cmd := exec.Command("ip", "netns", "exec", ns, self(l.t))
	cmd.Env = append(os.Environ(), envAgent+"="+filepath.Join(l.dir, ns))
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	return cmd
}

func TestEngineOutlivesItsAgentAndIsRestartedByIt(t *testing.T) {
	l := newLAN(t)
	ns := l.addHost("r1", 1)
	agent := l.agent(ns)
	n := &node{lan: l, ns: ns, dir: filepath.Join(l.dir, ns)}
	t.Cleanup(func() {
		_ = agent.Process.Kill()
		_ = agent.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if c, err := Dial(ctx, n.dir); err == nil {
			_ = c.Shutdown(ctx, true)
			<-c.Done()
		}
	})
	n.attach()
	active := func() bool {
		s, err := n.client.Status(t.Context())
		return err == nil && len(s.Routers) == 1 && s.Routers[0].State == "active"
	}
	eventually(t, 20*time.Second, "it is Active", active)
	pid := n.status().PID
	p, event := l.probe(vip), monotonic()

	_ = agent.Process.Kill()
	_ = agent.Wait()
	during(t, 300*time.Millisecond, "the engine goes on", active)
	agent = l.agent(ns)
	eventually(t, 20*time.Second, "the next agent attaches to it", func() bool { return n.status().Agents > 0 })
	during(t, 300*time.Millisecond, "the engine goes on", active)
	n.saved()
	if got := n.status().PID; got != pid {
		t.Fatalf("another engine %d, was %d", got, pid)
	}
	if r := p.report(event); r.Lost > 0 {
		t.Errorf("lost %d of %d: %+v", r.Lost, r.Sent, r.Silences)
	}

	event = monotonic()
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-n.client.Done()
	n.attach()
	if got := n.status().PID; got == pid {
		t.Fatal("the same engine")
	}
	eventually(t, 20*time.Second, "it is Active again", active)
	// It was steady, so it goes on where it was: the address never went.
	if got := n.router(); got.Cause != "resume" {
		t.Errorf("Active because of %s", got.Cause)
	}
	p.settle(50 * time.Millisecond)
	if r := p.report(event); r.Lost > 0 {
		t.Errorf("the crash lost %d of %d: %+v", r.Lost, r.Sent, r.Silences)
	}
}

// TestAnEngineOfAnotherBuildIsUpgradedOnce: one that is another's still, or again,
// is as somebody else wants it, such as who installs the next build.
func TestAnEngineOfAnotherBuildIsUpgradedOnce(t *testing.T) {
	l := newLAN(t)
	a := l.start(l.addHost("r1", 1), new(v3(150)))
	a.waitState("active")
	former := a.status().PID
	own := build
	build = "another"
	defer func() { build = own }()
	attached := make(chan Status, 64)
	s := &Supervisor{
		Dir: a.dir, Log: slog.New(slog.DiscardHandler), Upgrade: true, External: true, Executable: self(t),
		OnAttach: func(st Status) { attached <- st },
	}
	over := make(chan error, 1)
	go func() { over <- s.Run(context.Background()) }()
	st := <-attached
	if st.PID == former {
		t.Error("it is not upgraded")
	}
	a.attach()
	during(t, 300*time.Millisecond, "it stays", func() bool {
		got, err := a.client.Status(t.Context())
		return err == nil && got.PID == st.PID
	})
	if err := s.Stop(t.Context(), false); err != nil {
		t.Error(err)
	}
	if err := <-over; err != nil {
		t.Error(err)
	}
	a.waitEnd()
	a.cmd.Process, _ = os.FindProcess(st.PID)
	a.ended = make(chan struct{})
	go func(c *Client, ended chan struct{}) { <-c.Done(); close(ended) }(a.client, a.ended)
	a.signal(syscall.SIGTERM)
	a.waitEnd()
}

// TestStopEndsAnEngineThatNobodyIsAttachedTo: an agent that is told to end as soon
// as it has begun, beside the engine of a former one.
func TestStopEndsAnEngineThatNobodyIsAttachedTo(t *testing.T) {
	l := newLAN(t)
	a := l.start(l.addHost("r1", 1), new(v3(150)))
	a.waitState("active")
	s := &Supervisor{Dir: a.dir, Log: slog.New(slog.DiscardHandler), Executable: "/nowhere"}
	if err := s.Stop(t.Context(), false); err != nil {
		t.Error(err)
	}
	if err := s.Run(t.Context()); err != nil {
		t.Error(err)
	}
	a.waitEnd()
	if l.has(a.ns, vip) {
		t.Error("the address stays")
	}
	// Where there is none, none is started.
	if err := s.Run(t.Context()); err != nil {
		t.Error(err)
	}
}
