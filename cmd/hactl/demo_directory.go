package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	demoPrefix = "hactl-demo-"
	// demoFresh is how young a directory may be that no demo has locked yet.
	demoFresh = time.Minute
)

// demoDirectory makes the directory of a demo, which is locked while it lives,
// and removes those of this user whose demos were killed.
func demoDirectory() (dir string, leave func(), err error) {
	sweepDemos(os.TempDir())
	if dir, err = os.MkdirTemp("", demoPrefix); err != nil {
		return "", nil, err
	}
	unlock, _, err := lockState(dir)
	if err != nil {
		_ = os.RemoveAll(dir)
		return "", nil, err
	}
	return dir, func() { _ = os.RemoveAll(dir); unlock() }, nil
}

func sweepDemos(temp string) {
	entries, err := os.ReadDir(temp)
	if err != nil {
		return // Then nothing can be made there either.
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !strings.HasPrefix(e.Name(), demoPrefix) || !usersOwn(info) || time.Since(info.ModTime()) < demoFresh {
			continue
		}
		dir := filepath.Join(temp, e.Name())
		if unlock, _, err := lockState(dir); err == nil {
			_ = os.RemoveAll(dir)
			unlock()
		}
	}
}

// usersOwn tells whether a directory belongs to this user, whom nobody else can have
// make one in the place of.
func usersOwn(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && info.IsDir() && int(stat.Uid) == os.Geteuid()
}
