package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/hactl/hactl/engines/host"
)

// step is one thing to do: write content or remove path, or run a command, or
// have the engine go on in the new binary.
type step struct {
	path    string
	content []byte // nil: remove
	link    string // in place of content
	mode    os.FileMode
	command []string
	upgrade bool
}

func (s step) String() string {
	switch {
	case s.upgrade:
		return "upgrade the engine in place"
	case len(s.command) > 0:
		return "run " + strings.Join(s.command, " ")
	case s.link != "":
		return "link " + s.path
	case s.content == nil:
		return "remove " + s.path
	}
	return "write " + s.path
}

func (i *installer) do(ctx context.Context, s step) error {
	path := i.at(s.path)
	switch {
	case s.upgrade:
		return i.upgrade(ctx)
	case len(s.command) > 0:
		out, err := exec.CommandContext(ctx, s.command[0], s.command[1:]...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s: %w: %s", s, err, bytes.TrimSpace(out))
		}
		return nil
	case s.link != "":
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
		_ = os.Remove(path)
		return os.Symlink(s.link, path)
	case s.content == nil:
		return os.Remove(path)
	}
	if err := replaceFile(path, s.mode, s.content); err != nil {
		return fmt.Errorf("%s: %w", s, err)
	}
	return nil
}

// replaceFile writes a file in one go: whoever looks finds the former or the
// new one, whole, after a crash too.
func replaceFile(path string, mode os.FileMode, content []byte) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// followLimit is how long systemd may take to see the engine's next process.
const followLimit = 10 * time.Second

// upgrade has the engine go on in the new binary, and sees that it does.
func (i *installer) upgrade(ctx context.Context) error {
	const goesOn = "the engine goes on in the former binary"
	client, err := host.Dial(ctx, runtimeDir)
	if err != nil {
		return fmt.Errorf("%s: %w", goesOn, err)
	}
	defer client.Close()
	if err := client.Upgrade(ctx, i.bin); err != nil {
		return fmt.Errorf("%s: %w", goesOn, err)
	}
	for limit := time.Now().Add(followLimit); time.Now().Before(limit); time.Sleep(20 * time.Millisecond) {
		out, err := exec.CommandContext(ctx, "systemctl", "show", "-p", "MainPID", "--value", engineName).Output()
		if err != nil {
			return fmt.Errorf("systemd does not answer: %w", withOutput(err))
		}
		if pid, err := strconv.Atoi(strings.TrimSpace(string(out))); err == nil && i.runs(pid) {
			return nil
		}
	}
	return errors.New("systemd does not see the engine's new process; look at journalctl -u " + engineName)
}

// withOutput adds what a program has complained about.
func withOutput(err error) error {
	var exit *exec.ExitError
	if errors.As(err, &exit) && len(exit.Stderr) > 0 {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(exit.Stderr))
	}
	return err
}
