package loop

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/schema"
)

// Store keeps the journal of each stack.
type Store interface {
	// Load returns the stack's journal, an empty one where there is none.
	Load(stack string) (reconcile.Journal, error)
	Save(stack string, j reconcile.Journal) error
	// Lock keeps other runs for the stack away until unlock; an error says
	// that one is under way.
	Lock(stack string) (unlock func(), err error)
}

// Directory is a Store in a folder: one file for each account and stack.
type Directory struct {
	Path    string
	Account string
}

func (d Directory) file(stack string) string {
	return filepath.Join(d.Path, d.Account, stack+".json")
}

// Load reads the journal. A damaged file is an error that says what to do: to
// go on without it would disown every tunnel.
func (d Directory) Load(stack string) (reconcile.Journal, error) {
	var j reconcile.Journal
	b, err := os.ReadFile(d.file(stack))
	if errors.Is(err, fs.ErrNotExist) {
		return j, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &j)
	}
	if err != nil {
		return reconcile.Journal{}, fmt.Errorf("read the journal %s: %w; move it away to go on: tunnels that nothing of this stack leads to then need hactl adopt", d.file(stack), err)
	}
	return j, nil
}

// Save writes the journal: to a new file, then in place of the old one, so
// that a crash leaves one of the two.
func (d Directory) Save(stack string, j reconcile.Journal) error {
	slices.SortFunc(j.Protected, schema.ID.Compare)
	b, err := json.MarshalIndent(j, "", "  ")
	if err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(d.file(stack)), 0o700); err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	if err := ReplaceFile(d.file(stack), append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	return nil
}

// Lock takes an advisory lock beside the journal. It goes with the process.
func (d Directory) Lock(stack string) (unlock func(), err error) {
	name := filepath.Join(d.Path, d.Account, stack+".lock")
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return nil, fmt.Errorf("no place for the journal, and nothing was changed: %w", err)
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the journal: %w; nothing was changed", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("another hactl is applying stack %q on this machine; nothing was changed", stack)
	}
	return func() { _ = f.Close() }, nil
}

// ReplaceFile writes a file whole or not at all: a new one, forced to the
// disk, takes the old one's place. What is no regular file, such as a pipe or
// /dev/stdout, cannot be replaced and is written to.
func ReplaceFile(name string, content []byte, mode fs.FileMode) error {
	if info, err := os.Lstat(name); err == nil && !info.Mode().IsRegular() {
		return os.WriteFile(name, content, mode)
	}
	dir := filepath.Dir(name)
	f, err := os.CreateTemp(dir, ".new-*")
	var failed *fs.PathError
	if errors.As(err, &failed) { // Its own name is nobody's business, and another each time.
		err = &fs.PathError{Op: failed.Op, Path: name, Err: failed.Err}
	}
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.Write(content)
	if err := errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close()) // Else a power cut may undo the rename.
}
