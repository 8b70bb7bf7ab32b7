package host

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hactl/hactl/engines/host/systemd"
)

// An upgrade starts the new binary beside the old process. The new one opens
// its sockets and says so; the old one stops its loop, which leaves addresses
// and everything else as it is, and hands over the snapshots of its machines.
// Until then the old one can go on if the new one does not work. Lock and
// listener are inherited, so that no third process comes between.

const (
	handoverLimit = 10 * time.Second
	// settleLimit is how long the service manager may take to see who is next.
	settleLimit = 2 * time.Second
)

// line is one message of a handover, either way.
type line struct {
	Ready    bool      `json:"ready,omitempty"`
	Done     bool      `json:"done,omitempty"`
	Handover *handover `json:"handover,omitempty"`
}

// upgrade starts path as our successor. With success, the loop has ended.
func (c *control) upgrade(path string) error {
	if !c.replaced.TryLock() {
		return errors.New("an upgrade is under way")
	}
	defer c.replaced.Unlock()
	if path == "" {
		path = "/proc/self/exe"
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socketpair", err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "handover"), os.NewFile(uintptr(pair[1]), "handover")
	defer theirs.Close()
	conn, err := net.FileConn(ours)
	_ = ours.Close()
	if err != nil {
		return fmt.Errorf("handover socket: %w", err)
	}
	defer conn.Close()
	listener, err := c.listener.File()
	if err != nil {
		return fmt.Errorf("listener: %w", err)
	}
	defer listener.Close()
	cmd := exec.Command(path, "engine")
	cmd.Env = append(environment(), envEngine+"="+c.engine.dir, envHandover+"=1")
	cmd.Env = append(cmd.Env, c.live.manager.Environment()...)
	cmd.Stderr = os.Stderr
	cmd.ExtraFiles = []*os.File{theirs, c.lock, listener}
	if c.guard != nil {
		cmd.ExtraFiles = append(cmd.ExtraFiles, c.guard)
		cmd.Env = append(cmd.Env, envGuard+"=1")
	}
	cmd.SysProcAttr = detached()
	cmd.SysProcAttr.AmbientCaps = lent()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start successor: %w", err)
	}
	_ = theirs.Close()
	_ = conn.SetDeadline(time.Now().Add(handoverLimit))
	in, out := json.NewDecoder(conn), json.NewEncoder(conn)
	var l line
	if err := in.Decode(&l); err != nil || !l.Ready {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return fmt.Errorf("successor did not get ready: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	h := &handover{Configured: c.configured}
	refused := false
	c.engine.call(func() {
		e := c.engine
		if refused = e.stopping; refused {
			return
		}
		h.Config, h.Results, h.Maintenance = e.cfg, e.results, e.maintenance
		h.Snapshots = e.snapshots()
		e.left = true
		// Sent from here: nothing of ours runs between the last packet and this.
		err = out.Encode(line{Handover: h})
	})
	if refused {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return errors.New("the engine is stopping")
	}
	if err == nil {
		err = in.Decode(&l)
	}
	if err != nil {
		c.orphaned = true
		return fmt.Errorf("successor did not take over: %w", err)
	}
	return nil
}

// predecessor is the process that we take over from.
type predecessor struct{ conn net.Conn }

// inherit takes the descriptors of a predecessor.
func inherit(c *control) (*predecessor, error) {
	files := []*os.File{os.NewFile(3, "handover"), os.NewFile(4, "lock"), os.NewFile(5, "listener")}
	if os.Getenv(envGuard) != "" {
		c.guard = os.NewFile(6, "guard")
		files = append(files, c.guard)
	}
	for _, f := range files {
		unix.CloseOnExec(int(f.Fd()))
	}
	conn, err := net.FileConn(files[0])
	if err != nil {
		return nil, fmt.Errorf("handover socket: %w", err)
	}
	_ = files[0].Close()
	l, err := net.FileListener(files[2])
	if err != nil {
		return nil, fmt.Errorf("inherited listener: %w", err)
	}
	_ = files[2].Close()
	unixListener, ok := l.(*net.UnixListener)
	if !ok {
		return nil, errors.New("inherited listener: not a unix socket")
	}
	unixListener.SetUnlinkOnClose(false)
	c.lock, c.listener = files[1], unixListener
	return &predecessor{conn: conn}, nil
}

// takeOver says that we are ready and goes on where the predecessor stops.
func (p *predecessor) takeOver(c *control) error {
	defer p.conn.Close()
	_ = p.conn.SetDeadline(time.Now().Add(handoverLimit))
	in, out := json.NewDecoder(p.conn), json.NewEncoder(p.conn)
	if err := out.Encode(line{Ready: true}); err != nil {
		return fmt.Errorf("handover: %w", err)
	}
	var l line
	if err := in.Decode(&l); err != nil || l.Handover == nil {
		return fmt.Errorf("handover: predecessor gave nothing: %w", err)
	}
	h := l.Handover
	if h.Configured {
		c.engine.call(func() {
			maps.Copy(c.engine.results, h.Results)
			maps.Copy(c.engine.maintenance, h.Maintenance)
			c.engine.apply(h.Config, h.Snapshots)
		})
		c.configured = true
	}
	if c.live.manager.Present() {
		c.live.begin(c.lock, 0)
		// Before the predecessor ends: with the main process a unit ends.
		if err := cmp.Or(c.live.manager.Tell(systemd.MainPID(), systemd.Ready), c.live.manager.Settle(settleLimit)); err != nil {
			c.log.Error("handover", "err", err)
		}
	}
	_ = out.Encode(line{Done: true}) // it is ours now, whoever hears it
	return nil
}
