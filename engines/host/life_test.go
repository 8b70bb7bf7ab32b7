package host

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hactl/hactl/engines/host/systemd"
	"github.com/hactl/hactl/engines/vrrp"
)

func TestWhatAFormerProcessLeftDecides(t *testing.T) {
	const now = "this-boot"
	for _, c := range []struct {
		name    string
		former  life
		resume  bool
		crashes int
		pause   time.Duration
	}{
		{"nothing", life{}, false, 0, 0},
		{"of another boot", life{"former-boot", 0, time.Hour, 3}, false, 0, 0},
		{"steady", life{now, time.Minute, time.Minute + 10*time.Second, 7}, true, 0, 0},
		{"short", life{now, time.Minute, time.Minute + 9*time.Second, 0}, false, 1, 100 * time.Millisecond},
		{"short again", life{now, time.Minute, time.Minute, 3}, false, 4, 800 * time.Millisecond},
		{"short for long", life{now, time.Minute, time.Minute, 999}, false, 16, 10 * time.Second},
	} {
		resume, crashes, pause := c.former.next(now)
		if resume != c.resume || crashes != c.crashes || pause != c.pause {
			t.Errorf("%s: %v %d %v", c.name, resume, crashes, pause)
		}
		if got, ok := parseLife(c.former.String()); c.former.boot != "" && (!ok || got != c.former) {
			t.Errorf("%s: read back as %+v", c.name, got)
		}
	}
	whole := life{now, 1, 2, 3}.String()
	for n := range len(whole) {
		if l, ok := parseLife(whole[:n]); ok {
			t.Errorf("%q is %+v", whole[:n], l)
		}
	}
}

func TestOnlyWhatIsRecentIsResumed(t *testing.T) {
	cfg := v3(150) // 100 ms
	of := func(s time.Duration, snapshot vrrp.Snapshot) int {
		return len(recent(map[string]vrrp.Snapshot{"web": snapshot, "gone": {}}, &cfg, s))
	}
	if n := of(800*time.Millisecond, vrrp.Snapshot{}); n != 1 {
		t.Error("a short silence forgets")
	}
	if n := of(time.Second, vrrp.Snapshot{}); n != 0 {
		t.Error("a long silence is resumed")
	}
	if n := of(4*time.Second, vrrp.Snapshot{Interval: time.Second}); n != 1 {
		t.Error("the interval that was learned does not count")
	}
}

// TestALoopThatHangsIsNotPetted: an engine whose loop does not run.
func TestALoopThatHangsIsNotPetted(t *testing.T) {
	m := newManager(t)
	t.Setenv("NOTIFY_SOCKET", m.socket)
	t.Setenv("WATCHDOG_USEC", "1000000")
	e := &Engine{ended: make(chan struct{}), wake: -1}
	lock, err := os.Create(filepath.Join(t.TempDir(), lockFile))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	v := live{manager: systemd.FromEnvironment()}
	v.begin(lock, 0)
	go v.beat(e)
	if got := m.next(3 * beatPeriod); got != "" {
		t.Errorf("it says %q", got)
	}
	close(e.ended)
	v.forget()
	if info, err := lock.Stat(); err != nil || info.Size() != 0 {
		t.Errorf("a clean end leaves %v: %v", info, err)
	}
}

// manager plays the service manager.
type manager struct {
	t      *testing.T
	conn   *net.UnixConn
	socket string
}

func newManager(t *testing.T) *manager {
	t.Helper()
	dir, err := os.MkdirTemp("", "hm") // a short name: sun_path
	if err != nil {
		t.Fatal(err)
	}
	m := &manager{t: t, socket: filepath.Join(dir, "notify")}
	if m.conn, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.socket, Net: "unixgram"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.conn.Close(); _ = os.RemoveAll(dir) })
	return m
}

// next is the next message, "" if there is none. A barrier is let through.
func (m *manager) next(limit time.Duration) string {
	m.t.Helper()
	_ = m.conn.SetReadDeadline(time.Now().Add(limit))
	b, rights := make([]byte, 4096), make([]byte, 256)
	n, r, _, _, err := m.conn.ReadMsgUnix(b, rights)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return ""
	}
	if err != nil {
		m.t.Fatal(err)
	}
	messages, _ := unix.ParseSocketControlMessage(rights[:r])
	for _, c := range messages {
		fds, _ := unix.ParseUnixRights(&c)
		for _, fd := range fds {
			_ = unix.Close(fd)
		}
	}
	return string(b[:n])
}

// hears waits for a message that begins so.
func (m *manager) hears(want string) string {
	m.t.Helper()
	for limit := time.Now().Add(15 * time.Second); ; {
		got := m.next(time.Until(limit))
		if strings.HasPrefix(got, want) {
			return got
		}
		if got == "" {
			m.t.Fatalf("the manager does not hear %s", want)
		}
	}
}

func TestAnEngineThatIsAUnitTellsItsManager(t *testing.T) {
	l, m := newLAN(t), newManager(t)
	a := l.start(l.addHost("r1", 1), new(v3(150)), "NOTIFY_SOCKET="+m.socket, "WATCHDOG_USEC=2000000")
	m.hears("READY=1")
	m.hears("WATCHDOG=1")
	m.hears("WATCHDOG=1")
	a.waitState("active")
	p, event := l.probe(vip), monotonic()
	if err := a.client.Upgrade(t.Context(), self(t)); err != nil {
		t.Fatal(err)
	}
	told := m.hears("MAINPID=")
	a.waitEnd()
	a.attach()
	pid := a.status().PID
	if want := "MAINPID=" + strconv.Itoa(pid) + "\nREADY=1"; told != want {
		t.Errorf("%q, want %q", told, want)
	}
	a.cmd.Process, _ = os.FindProcess(pid)
	a.ended = make(chan struct{})
	go func(c *Client, ended chan struct{}) { <-c.Done(); close(ended) }(a.client, a.ended)
	m.hears("WATCHDOG=1") // the successor's
	if r := p.report(event); r.Lost > 0 {
		t.Errorf("lost %d of %d: %+v", r.Lost, r.Sent, r.Silences)
	}
	a.signal(syscall.SIGTERM)
	m.hears("STOPPING=1")
	a.waitEnd()
	if b, err := os.ReadFile(filepath.Join(a.dir, lockFile)); err != nil || len(b) > 0 {
		t.Errorf("a clean end leaves %q, %v", b, err)
	}
}

// TestAUnitThatCannotStartSaysWhyAndTakesItsTime: its manager starts it again at
// once.
func TestAUnitThatCannotStartSaysWhyAndTakesItsTime(t *testing.T) {
	l, m := newLAN(t), newManager(t)
	a := l.start(l.addHost("r1", 1), nil)
	cmd := exec.Command("ip", "netns", "exec", a.ns, self(t))
	cmd.Env = append(os.Environ(), envEngine+"="+filepath.Join(l.dir, "another"), "NOTIFY_SOCKET="+m.socket)
	began := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if told := m.hears("STATUS="); !strings.Contains(told, "an engine runs in this network namespace") {
		t.Errorf("it says %q", told)
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != ExitBusy || time.Since(began) < startPause {
		t.Errorf("exit code %d after %v", code, time.Since(began))
	}
}

// TestAUnitGoesOnWhereItCrashed, and begins anew where it had been up for a
// moment only.
func TestAUnitGoesOnWhereItCrashed(t *testing.T) {
	for _, c := range []struct {
		cause string
		up    time.Duration
	}{{"resume", time.Minute}, {"active-down", time.Second}} {
		t.Run(c.cause, func(t *testing.T) {
			l, m := newLAN(t), newManager(t)
			env := "NOTIFY_SOCKET=" + m.socket
			a := l.start(l.addHost("r1", 1), new(v3(150)), env)
			a.waitState("active")
			a.saved()
			p, event := l.probe(vip), monotonic()
			a.kill()
			// As if it had been started so long ago, and ended when the next one is
			// configured, however long that takes to start.
			name := filepath.Join(a.dir, lockFile)
			b, _ := os.ReadFile(name)
			sign, ok := parseLife(string(b))
			if !ok {
				t.Fatalf("it leaves %q", b)
			}
			sign.alive = bootTime() + time.Minute
			sign.started = sign.alive - c.up
			if err := os.WriteFile(name, []byte(sign.String()), 0o600); err != nil {
				t.Fatal(err)
			}
			a.launch(env)
			a.configure(v3(150))
			a.waitState("active")
			if got := a.router().Cause; got != c.cause {
				t.Errorf("active because of %s", got)
			}
			p.settle(50 * time.Millisecond)
			if r := p.report(event); c.cause == "resume" && r.Lost > 0 {
				t.Errorf("the crash lost %d of %d: %+v", r.Lost, r.Sent, r.Silences)
			}
		})
	}
}

// TestAnExternalEngineIsAwaitedAndLeft by a supervisor that may neither start
// nor end one.
func TestAnExternalEngineIsAwaitedAndLeft(t *testing.T) {
	l := newLAN(t)
	ns := l.addHost("r1", 1)
	s := &Supervisor{Dir: filepath.Join(l.dir, ns), Log: slog.New(slog.DiscardHandler), External: true, Executable: "/nowhere"}
	attached := make(chan Status, 8)
	s.OnAttach = func(st Status) { attached <- st }
	if err := s.Configure(v3(150)); err != nil {
		t.Fatal(err)
	}
	over := make(chan error, 1)
	go func() { over <- s.Run(context.Background()) }()
	during(t, 50*time.Millisecond, "it waits", func() bool { return len(over) == 0 })
	active := func(a *node) {
		t.Helper()
		<-attached // and then it is told
		eventually(t, 20*time.Second, "it is Active", func() bool { r := a.status().Router("web"); return r != nil && r.State == "active" })
	}
	a := l.start(ns, nil)
	active(a)
	a.kill()
	a.launch()
	active(a)
	if err := s.Stop(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if err := <-over; err != nil {
		t.Error(err)
	}
	if got := a.router().State; got != "active" {
		t.Errorf("the engine is %s", got)
	}
	// Nor does one wait for an engine that it will not have.
	s = &Supervisor{Dir: filepath.Join(l.dir, "none"), Log: s.Log, External: true}
	go func() { over <- s.Run(context.Background()) }()
	if err := s.Stop(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	if err := <-over; err != nil {
		t.Error(err)
	}
}
