package host

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// LockAgent claims a runtime directory for one agent, and fails while another
// one has it. The claim goes with the process.
func LockAgent(dir string) (unlock func(), err error) {
	if err := private(dir); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, "agent.lock"), os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("runtime directory: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("another hactl run works in %s", dir)
	}
	return func() { _ = f.Close() }, nil
}

// private makes the runtime directory, or refuses one that others can write to:
// passwords go through the socket in it.
func private(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("runtime directory: %w", err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("runtime directory: %w", err)
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.IsDir():
		return fmt.Errorf("runtime directory %s: this is no directory", dir)
	case ok && owner.Uid != uint32(os.Geteuid()) && owner.Uid != 0:
		return fmt.Errorf("runtime directory %s: it belongs to user id %d, and not to %d", dir, owner.Uid, os.Geteuid())
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("runtime directory %s: others can write to it (%v)", dir, info.Mode().Perm())
	}
	return nil
}

// guardName is an abstract socket, which is the network namespace's and goes
// with the last process that has it.
const guardName = "@hactl-engine"

// takeGuard is the claim to be the only engine of the network namespace. The
// name is free to anybody, so that one that another user has is no claim: it
// keeps no engine from starting.
func takeGuard(log *slog.Logger) (*os.File, error) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: guardName, Net: "unix"})
	if err == nil {
		defer l.Close()
		return l.File()
	}
	if !errors.Is(err, unix.EADDRINUSE) {
		return nil, fmt.Errorf("guard: %w", err)
	}
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: guardName, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("an engine runs in this network namespace: %w", errBusy)
	}
	defer conn.Close()
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("guard: %w", err)
	}
	var peer *unix.Ucred
	if cerr := raw.Control(func(fd uintptr) { peer, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); cerr != nil || err != nil {
		return nil, fmt.Errorf("guard: %w", cmp.Or(cerr, err))
	}
	if peer.Uid == 0 || int(peer.Uid) == os.Geteuid() {
		return nil, fmt.Errorf("an engine runs in this network namespace, process %d: %w", peer.Pid, errBusy)
	}
	log.Warn("another user has the engine's name", "uid", peer.Uid, "pid", peer.Pid)
	return nil, nil
}
