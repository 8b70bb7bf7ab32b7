// Package systemd tells the service manager that started this process how it is
// (sd_notify(3)): the engine and the agent, where each is a unit. It knows
// nothing of either, and does nothing where nobody listens.
//
// It is not go-systemd's daemon package, which cannot wait until a message was
// taken in (a barrier), and by which a handover that names another main process
// would race with the end of the former one.
package systemd

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// What is told, beside WATCHDOG=1 (Beat).
const (
	Ready    = "READY=1"
	Stopping = "STOPPING=1"
)

// MainPID names this process as the unit's main one, which needs NotifyAccess=all.
func MainPID() string { return "MAINPID=" + strconv.Itoa(os.Getpid()) }

// Manager is who started this process. The zero value is nobody, to whom
// everything can be told. It may be used from any goroutine.
type Manager struct {
	// socket is not held open: what is told is rare, and package net does not
	// pass descriptors on by a connected datagram socket.
	socket   string
	watchdog time.Duration
}

// FromEnvironment is what the environment says, which stays as it is: a process
// that executes itself anew finds it again.
func FromEnvironment() Manager {
	var m Manager
	if m.socket = os.Getenv("NOTIFY_SOCKET"); m.socket == "" || m.socket[0] != '/' && m.socket[0] != '@' {
		return Manager{} // or vsock, which is for virtual machines
	}
	pid := os.Getenv("WATCHDOG_PID")
	if us, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64); err == nil && (pid == "" || pid == strconv.Itoa(os.Getpid())) {
		m.watchdog = max(time.Duration(us)*time.Microsecond, 0)
	}
	return m
}

// Present says whether there is anybody.
func (m Manager) Present() bool { return m.socket != "" }

// Period is how often Beat has to be called at least, with a margin; 0 is never.
func (m Manager) Period() time.Duration { return m.watchdog / 4 }

// Ticks says when to call Beat; nil, which is never, where nobody asks for it.
func (m Manager) Ticks() <-chan time.Time {
	if m.Period() == 0 {
		return nil
	}
	return time.Tick(m.Period())
}

// Beat says that all is well.
func (m Manager) Beat() { _ = m.Tell("WATCHDOG=1") }

// Environment is for a process that goes on in place of this one.
func (m Manager) Environment() []string {
	var env []string
	if m.Present() {
		env = append(env, "NOTIFY_SOCKET="+m.socket)
	}
	if m.watchdog > 0 { // WATCHDOG_PID would be ours
		env = append(env, "WATCHDOG_USEC="+strconv.FormatInt(m.watchdog.Microseconds(), 10))
	}
	return env
}

// Status is a line for people; systemctl status shows it.
func Status(text string) string { return "STATUS=" + strings.ReplaceAll(text, "\n", " ") }

// Tell passes assignments on, together.
func (m Manager) Tell(assignments ...string) error {
	return m.send(strings.Join(assignments, "\n"), nil)
}

// Settle waits until everything told before was taken in, at most so long.
func (m Manager) Settle(limit time.Duration) error {
	if !m.Present() {
		return nil
	}
	r, w, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("service manager: %w", err)
	}
	defer r.Close()
	err = m.send("BARRIER=1", unix.UnixRights(int(w.Fd())))
	_ = w.Close()
	if err != nil {
		return err
	}
	_ = r.SetReadDeadline(time.Now().Add(limit))
	if _, err := r.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
		return errors.New("service manager: no answer")
	}
	return nil
}

func (m Manager) send(message string, rights []byte) error {
	if !m.Present() {
		return nil
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("service manager: %w", err)
	}
	defer unix.Close(fd)
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{Sec: 5})
	if err := unix.Sendmsg(fd, []byte(message), rights, &unix.SockaddrUnix{Name: m.socket}, unix.MSG_NOSIGNAL); err != nil {
		return fmt.Errorf("service manager: %w", err)
	}
	return nil
}
