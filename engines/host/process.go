package host

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hactl/hactl/engines/host/systemd"
	"github.com/hactl/hactl/engines/vrrp"
)

// The environment of an engine process.
const (
	envEngine   = "HACTL_ENGINE"          // runtime directory
	envResume   = "HACTL_ENGINE_RESUME"   // go on where a process that just crashed was
	envHandover = "HACTL_ENGINE_HANDOVER" // descriptors 3 to 5 are a predecessor's
	envGuard    = "HACTL_ENGINE_GUARD"    // and 6
	envReady    = "HACTL_ENGINE_READY"    // descriptor 3 is closed when the socket listens
	envNormal   = "HACTL_ENGINE_NORMAL"   // ordinary scheduling and memory
)

// environment is what an engine inherits: nothing that an agent has for its own
// use, such as tokens.
func environment() []string {
	var kept []string
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		switch name {
		case "PATH", "LANG", "TZ", "GORACE", "GODEBUG", "GOTRACEBACK", "GOCOVERDIR", envNormal:
			kept = append(kept, variable)
		}
	}
	return kept
}

// ExitBusy is the exit status when another engine has the runtime directory.
const ExitBusy = 75

// IsEngine reports whether this process is to be an engine. main asks before
// anything else, and then exits with what RunEngine returns.
func IsEngine() bool { return os.Getenv(envEngine) != "" }

// RunEngine is the engine process. It returns the exit status, after a shutdown
// or a handover.
func RunEngine() int {
	shed()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil)).With("component", "engine")
	// Enough for the loop to find a P free whatever the others do.
	runtime.GOMAXPROCS(4)
	// The loop makes no garbage, so the collector runs for configuration and
	// status only; a small heap need not be kept smaller.
	debug.SetGCPercent(100)
	// The terminal and the log pipe may go with the parent.
	signal.Ignore(unix.SIGHUP, unix.SIGPIPE, unix.SIGINT)
	p, err := startProcess(os.Getenv(envEngine), log)
	if err != nil {
		log.Error("start", "err", err)
		status := 1
		if errors.Is(err, errBusy) {
			status = ExitBusy
		}
		if manager := systemd.FromEnvironment(); manager.Present() {
			_ = manager.Tell(systemd.Status(err.Error()))
			time.Sleep(startPause)
		}
		return status
	}
	return p.wait()
}

var errBusy = errors.New("another engine has it")

// startPause is how long an engine that is a unit takes over failing to start:
// the manager tries again at once, and for ever.
const startPause = time.Second

type process struct {
	control *control
	dir     string
	log     *slog.Logger
	signals chan os.Signal // to end
}

func startProcess(dir string, log *slog.Logger) (*process, error) {
	inherited := os.Getenv(envHandover) != ""
	resume := os.Getenv(envResume) != ""
	ready := os.Getenv(envReady) != ""
	normal := os.Getenv(envNormal) != ""
	for _, name := range []string{envEngine, envHandover, envGuard, envResume, envReady} {
		_ = os.Unsetenv(name)
	}
	c := &control{log: log, pumped: make(chan struct{}), live: live{manager: systemd.FromEnvironment()}}
	var from *predecessor
	var err error
	if inherited {
		from, err = inherit(c)
	} else {
		err = c.claim(dir)
	}
	if err != nil {
		return nil, err
	}
	if c.live.manager.Present() && !inherited {
		var former life
		if former, resume = c.live.succeed(c.lock); resume {
			c.lastSign = former.alive
		}
	}
	e, err := newEngine(dir)
	if err != nil {
		return nil, err
	}
	c.engine = e
	if resume {
		c.resume = readState(dir, log)
		log.Info("go on where a process that crashed was", "routers", len(c.resume))
	}
	if !inherited {
		_ = os.Remove(filepath.Join(dir, stateFile)) // it is the former process's
	}
	// Before anybody is answered: who is told to end from then on lets go first.
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, unix.SIGTERM)
	go e.run(!normal)
	if from != nil {
		if err := from.takeOver(c); err != nil {
			return nil, err
		}
	}
	go c.serve()
	if c.live.manager.Present() {
		if from == nil { // else it was told before
			_ = c.live.manager.Tell(systemd.Ready)
		}
		go c.live.beat(e)
	}
	if ready {
		_ = os.NewFile(3, "ready").Close()
	}
	return &process{control: c, dir: dir, log: log, signals: signals}, nil
}

// claim takes the runtime directory and listens in it, and makes sure of being
// the only engine of the network namespace: another one would have the same
// addresses to itself.
func (c *control) claim(dir string) error {
	if err := private(dir); err != nil {
		return err
	}
	var err error
	if c.guard, err = takeGuard(c.log); err != nil {
		return err
	}
	lock, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("runtime directory: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = lock.Close()
		return fmt.Errorf("runtime directory %s: %w", dir, errBusy)
	}
	l, err := listen(dir)
	if err != nil {
		return err
	}
	c.lock, c.listener = lock, l
	return nil
}

// listen makes the socket in the runtime directory.
func listen(dir string) (*net.UnixListener, error) {
	path := filepath.Join(dir, socketFile)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("remove former socket: %w", err)
	}
	old := unix.Umask(0o177)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	unix.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	l.SetUnlinkOnClose(false)
	return l, nil
}

func readState(dir string, log *slog.Logger) map[string]vrrp.Snapshot {
	var s map[string]vrrp.Snapshot
	b, err := os.ReadFile(filepath.Join(dir, stateFile))
	if err == nil {
		err = json.Unmarshal(b, &s)
	}
	if err != nil {
		log.Warn("nothing to resume", "err", err)
	}
	return s
}

// wait returns when the loop has ended: a SIGTERM lets go make before break, a
// second one at once.
func (p *process) wait() int {
	now := false
	for {
		select {
		case <-p.signals:
			p.log.Info("terminating", "now", now)
			_ = p.control.live.manager.Tell(systemd.Stopping)
			at := now
			go p.control.engine.call(func() { p.control.engine.shutdown(at) })
			now = true
			continue
		case <-p.control.engine.ended:
		}
		break
	}
	p.control.hangUp()
	<-p.control.pumped // bounded by slowSubscriber
	if p.control.engine.left {
		p.control.mu.Lock() // the upgrade waits for the successor's word
		if p.control.orphaned {
			return 1
		}
		return 0 // everything is the successor's
	}
	if live := &p.control.live; live.manager.Present() {
		_ = live.manager.Tell(systemd.Stopping)
		live.forget()
	}
	for _, name := range []string{socketFile, addressesFile, stateFile} {
		_ = os.Remove(filepath.Join(p.dir, name))
	}
	if !p.control.engine.filtered.empty() {
		_ = setFilter(rules{})
	}
	p.control.engine.close()
	_ = p.control.lock.Close()
	return 0
}
