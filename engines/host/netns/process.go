package netns

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// killLimit is how long processes may take to die of SIGKILL.
const killLimit = 10 * time.Second

// killIn kills the processes in namespaces, and returns when they are dead. It
// looks again until it finds none, since they may have had children meanwhile.
// This process, and whoever is in the same namespace as it, live on.
func killIn(ids ...nsID) error {
	if own, err := idOf("/proc/self/ns/net"); err != nil || slices.Contains(ids, own) {
		return errors.Join(err, errors.New("a namespace to be cleared is our own"))
	}
	for deadline := time.Now().Add(killLimit); ; {
		found, err := processesIn(ids)
		if err != nil || len(found) == 0 {
			return err
		}
		for _, pid := range found {
			if err := kill(pid, ids, time.Until(deadline)); err != nil {
				return err
			}
		}
	}
}

// kill makes sure that it is still the same process that it kills: IDs are used
// again, and a pidfd is not.
func kill(pid int, ids []nsID, within time.Duration) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	} else if err != nil {
		return os.NewSyscallError("pidfd_open", err)
	}
	defer unix.Close(fd)
	if id, err := idOf(nsPath(pid)); err != nil || !slices.Contains(ids, id) {
		return nil
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
		return os.NewSyscallError("pidfd_send_signal", err)
	}
	for deadline := time.Now().Add(within); ; {
		left := time.Until(deadline)
		if left <= 0 {
			return fmt.Errorf("process %d does not die of SIGKILL", pid)
		}
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(left.Milliseconds())+1)
		if n > 0 {
			return nil
		}
		if err != nil && !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("poll", err)
		}
	}
}

func nsPath(pid int) string { return "/proc/" + strconv.Itoa(pid) + "/ns/net" }

func idOf(path string) (nsID, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return nsID{}, os.NewSyscallError("stat "+path, err)
	}
	return nsID{uint64(st.Dev), st.Ino}, nil
}

// processesIn leaves out what is dead but for its parent, and this process.
func processesIn(ids []nsID) ([]int, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	entries, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var found []int
	for _, name := range entries {
		pid, err := strconv.Atoi(name)
		if err != nil || pid == os.Getpid() {
			continue
		}
		if id, err := idOf(nsPath(pid)); err == nil && slices.Contains(ids, id) {
			found = append(found, pid)
		}
	}
	return found, nil
}
