package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// probeInterface looks whether an interface is up and has a carrier, and hears
// of changes from the kernel.
func probeInterface(name string) probe {
	p := probe{changed: make(chan struct{}, 1)}
	done := make(chan struct{})
	p.close = func() { close(done) }
	updates := make(chan netlink.LinkUpdate, 16)
	// Without it the interval has to do.
	if err := netlink.LinkSubscribeWithOptions(updates, done, netlink.LinkSubscribeOptions{}); err == nil {
		go func() {
			for u := range updates {
				if u.Attrs().Name == name {
					poke(p.changed)
				}
			}
		}()
	}
	p.try = func(context.Context) error {
		l, err := netlink.LinkByName(name)
		var missing netlink.LinkNotFoundError
		switch {
		case errors.As(err, &missing):
			return fmt.Errorf("interface %s does not exist", name)
		case err != nil:
			return err
		case l.Attrs().RawFlags&unix.IFF_UP == 0:
			return fmt.Errorf("interface %s is down", name)
		case l.Attrs().RawFlags&unix.IFF_RUNNING == 0:
			return fmt.Errorf("interface %s has no carrier", name)
		}
		return nil
	}
	return p
}

// probeProcess looks for at least n running processes of a name, and hears from
// the kernel when one of those ends.
func probeProcess(name string, n int) probe {
	w := &processWatch{name: name, changed: make(chan struct{}, 1), watched: map[int]*os.File{}}
	return probe{
		changed: w.changed,
		close:   w.close,
		try: func(context.Context) error {
			if found := w.look(); found < n {
				return fmt.Errorf("%d running processes are called %s, want %d", found, name, n)
			}
			return nil
		},
	}
}

type processWatch struct {
	name    string
	changed chan struct{}
	watched map[int]*os.File // pidfd by process id
}

func (w *processWatch) close() {
	for pid, f := range w.watched {
		_ = f.Close()
		delete(w.watched, pid)
	}
}

// look counts the processes and watches those that are new.
func (w *processWatch) look() int {
	running := map[int]bool{}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0
	}
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil && called(pid, w.name) {
			running[pid] = true
		}
	}
	for pid, f := range w.watched {
		if !running[pid] {
			_ = f.Close()
			delete(w.watched, pid)
		}
	}
	for pid := range running {
		if w.watched[pid] == nil {
			w.watch(pid)
		}
	}
	return len(running)
}

// called reports whether a process has that name and is no zombie.
func called(pid int, name string) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	open, end := bytes.IndexByte(b, '('), bytes.LastIndexByte(b, ')')
	if open < 0 || end < open || string(b[open+1:end]) != name {
		return false
	}
	state := strings.TrimSpace(string(b[end+1:]))
	return !strings.HasPrefix(state, "Z") && !strings.HasPrefix(state, "X")
}

// watch has the end of a process heard of (pidfd_open(2), kernel 5.10 for
// PIDFD_NONBLOCK); without it the interval has to do.
func (w *processWatch) watch(pid int) {
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	if err != nil {
		return
	}
	f := os.NewFile(uintptr(fd), "pidfd")
	w.watched[pid] = f
	go func() {
		c, err := f.SyscallConn()
		if err != nil {
			return
		}
		ended := false
		_ = c.Read(func(fd uintptr) bool {
			fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
			n, err := unix.Poll(fds, 0)
			ended = n > 0
			return ended || err != nil
		})
		if ended {
			poke(w.changed)
		}
	}()
}
