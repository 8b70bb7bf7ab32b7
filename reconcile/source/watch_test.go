package source

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestWatchSeesWhatEditorsAndToolsDo plays the ways in which a specification
// comes to be another, one after the other, and wants each to be seen well
// before the half minute.
func TestWatchSeesWhatEditorsAndToolsDo(t *testing.T) {
	top := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		name = filepath.Join(top, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	path := func(name string) string { return filepath.Join(top, name) }
	write("v1/edge.cue", "package edge\n")
	write("v2/edge.cue", "package edge\n// 2\n")
	do(os.Symlink("v1", path("current")))
	d := Directory(path("current"))
	changes := d.Watch(t.Context())

	revision := func() string {
		c, err := d.Fetch(t.Context(), "")
		if err != nil {
			return err.Error()
		}
		return c.Revision
	}
	known := ""
	seen := func(what string) {
		t.Helper()
		for limit := time.After(20 * time.Second); ; {
			select {
			case <-changes:
				if now := revision(); now != known {
					known = now
					return
				}
			case <-limit:
				t.Fatalf("not seen: %s", what)
			}
		}
	}
	known = revision()
	write("v1/edge.cue", "package edge\n// written over\n")
	seen("a file written over")
	write("v1/edge.cue~", "package edge\n// renamed\n")
	do(os.Rename(path("v1/edge.cue~"), path("v1/edge.cue")))
	seen("a file renamed into place")
	write("v1/edge.cue", "package edge\n// after a rename\n")
	seen("a file written over after it was replaced")
	write("v1/more.cue", "package edge\n// more\n")
	seen("a new file")
	do(os.Remove(path("v1/more.cue")))
	seen("a file removed")
	do(os.Symlink("v2", path("next")))
	do(os.Rename(path("next"), path("current")))
	seen("a symlink swapped")
	write("v2/edge.cue", "package edge\n// in the new place\n")
	seen("a file behind the swapped symlink")
	do(os.RemoveAll(path("v2")))
	seen("the folder removed")
	write("v2/edge.cue", "package edge\n// made again\n")
	seen("the folder made again")
	write("v2/edge.cue", "package edge\n// and written to\n")
	seen("a file in a folder made again")
}

// TestWatchSendsOnceForASeries: a checkout is many events and one change.
func TestWatchSendsOnceForASeries(t *testing.T) {
	top := t.TempDir()
	if err := os.WriteFile(filepath.Join(top, "edge.cue"), []byte("package edge\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	changes := Directory(top).Watch(t.Context())
	if err := os.WriteFile(filepath.Join(top, "edge.cue"), []byte("package edge\n// 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	select {
	case <-changes:
	case <-time.After(20 * time.Second):
		t.Fatal("no notification")
	}
	for i := range 300 {
		if err := os.WriteFile(filepath.Join(top, fmt.Sprintf("f%d.cue", i)), []byte("package edge\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sent := 0
	for limit := time.After(20 * time.Second); ; {
		select {
		case <-changes:
			if sent++; sent == 1 {
				limit = time.After(3 * time.Second)
			}
			continue
		case <-limit:
		}
		break
	}
	// One, and one more for each time that the machine stands still meanwhile.
	if sent < 1 || sent > 5 {
		t.Errorf("300 files are %d changes", sent)
	}
}
