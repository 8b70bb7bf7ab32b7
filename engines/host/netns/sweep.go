package netns

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// DefaultPrefix begins the names of networks that were built without a name.
const DefaultPrefix = "hactl-"

// Sweep removes what networks have left whose process was killed: namespaces
// that are called prefix (left out, DefaultPrefix) and the ID of a process in
// hexadecimal, and the processes in them. What belongs to a process that lives stays. It returns the
// names of those that are gone.
func Sweep(prefix string) (removed []string, err error) {
	prefix = cmp.Or(prefix, DefaultPrefix)
	entries, err := os.ReadDir(names)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	var errs []error
	for _, e := range entries {
		pid, ok := owner(e.Name(), prefix)
		if !ok || !errors.Is(unix.Kill(pid, 0), unix.ESRCH) {
			continue
		}
		if err := sweep(e.Name()); err != nil {
			errs = append(errs, fmt.Errorf("namespace %s: %w", e.Name(), err))
			continue
		}
		removed = append(removed, e.Name())
	}
	return removed, errors.Join(errs...)
}

// owner reads the process's ID in the name of a namespace.
func owner(name, prefix string) (pid int, ok bool) {
	rest, ok := strings.CutPrefix(name, prefix)
	end := strings.IndexAny(rest, ".-")
	if !ok || prefix == "" || end < 0 {
		return 0, false
	}
	n, err := strconv.ParseInt(rest[:end], 16, 32)
	return int(n), err == nil && n > 1 && fmt.Sprintf("%x", n) == rest[:end]
}

func sweep(name string) error {
	path := filepath.Join(names, name)
	var of unix.Statfs_t
	if err := unix.Statfs(path, &of); err != nil {
		return os.NewSyscallError("statfs", err)
	}
	if of.Type != unix.NSFS_MAGIC {
		return os.Remove(path) // its process died before it had one
	}
	id, err := idOf(path)
	if err != nil {
		return err
	}
	if err := killIn(id); err != nil {
		return err
	}
	return removeName(name)
}
