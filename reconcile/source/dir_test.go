package source

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
)

func TestDirectoryReadsItsModule(t *testing.T) {
	top := t.TempDir()
	for _, f := range []string{"cue.mod/module.cue", "cue.mod/pkg/x/x.cue", "shared.cue", "sites/home/edge.cue", "sites/home/edge.cue~",
		"sites/home/.edge.cue.swp", "sites/home/notes.md", ".git/x.cue", ".cache/x.cue", "examples/a.cue"} {
		write(t, filepath.Join(top, f), "package x\n")
	}
	for _, tt := range []struct{ cwd, typed, dir, label, own, shared string }{
		{".", "sites/home", "sites/home", "", "sites/home/edge.cue", "shared.cue"},
		{".", "sites/home/", "sites/home", "", "sites/home/edge.cue", "shared.cue"},
		{"sites/home", "", "sites/home", "../../", "edge.cue", "../../shared.cue"},
		{"sites", "./home", "sites/home", "../", "home/edge.cue", "../shared.cue"},
		{"examples", "../sites/home", "sites/home", "../", "../sites/home/edge.cue", "../shared.cue"},
		{".", top + "/sites/home", "sites/home", top + "/", top + "/sites/home/edge.cue", top + "/shared.cue"},
	} {
		t.Run(tt.cwd+" "+tt.typed, func(t *testing.T) {
			t.Chdir(filepath.Join(top, tt.cwd))
			tree := mustTree(t, Directory(tt.typed))
			if got, want := names(t, tree), "cue.mod/module.cue cue.mod/pkg/x/x.cue examples/a.cue shared.cue sites/home/edge.cue"; got != want {
				t.Errorf("files %s, want %s", got, want)
			}
			if tree.Dir != tt.dir || tree.Label != tt.label {
				t.Errorf("dir %q, label %q", tree.Dir, tree.Label)
			}
			if own, shared := tree.Name("sites/home/edge.cue"), tree.Name("shared.cue"); own != tt.own || shared != tt.shared {
				t.Errorf("names %q and %q, want %q and %q", own, shared, tt.own, tt.shared)
			}
			for _, f := range []string{"sites/home/edge.cue", "shared.cue"} {
				if _, err := os.Stat(tree.Name(f)); err != nil {
					t.Errorf("a user cannot open %v", err)
				}
				if _, err := os.Stat(tree.Label + f); err != nil {
					t.Errorf("a user cannot open %v", err)
				}
			}
		})
	}
}

func TestDirectoryThroughASymlink(t *testing.T) {
	top := t.TempDir()
	write(t, filepath.Join(top, "deep/er/cue.mod/module.cue"), "")
	write(t, filepath.Join(top, "deep/er/spec/edge.cue"), "package edge\n")
	write(t, filepath.Join(top, "deep/er/up.cue"), "package edge\n")
	if err := os.Symlink("deep/er/spec", filepath.Join(top, "current")); err != nil {
		t.Fatal(err)
	}
	t.Chdir(top)
	tree := mustTree(t, Directory("current"))
	if got := tree.Name("spec/edge.cue"); got != "current/edge.cue" {
		t.Errorf("named %q", got)
	}
	if _, err := os.Stat(tree.Name("up.cue")); err != nil {
		t.Errorf("a user cannot open %v", err)
	}
}

func TestDirectoryIsASnapshot(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "edge.cue")
	write(t, file, "one")
	write(t, filepath.Join(dir, "sub", "x.cue"), "x")
	d := Directory(dir)
	c := mustFetch(t, d, "")
	if !strings.HasPrefix(c.Revision, "dir-") || len(c.Revision) != 16 || c.Commit != nil {
		t.Errorf("candidate %+v", c)
	}
	if _, err := d.Fetch(t.Context(), c.Revision); !errors.Is(err, ErrUnchanged) {
		t.Errorf("unchanged files: %v", err)
	}
	write(t, filepath.Join(dir, "notes.txt"), "no spec")
	if _, err := d.Fetch(t.Context(), c.Revision); !errors.Is(err, ErrUnchanged) {
		t.Errorf("another file changed the revision: %v", err)
	}
	write(t, file, "two")
	tree, err := c.Admit(Unverified{})
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, tree, "edge.cue"); got != "one" {
		t.Errorf("the tree reads %q from disk", got)
	}
	if err := fstest.TestFS(tree.FS, "edge.cue", "sub/x.cue"); err != nil {
		t.Error(err)
	}
	second := mustFetch(t, d, c.Revision)
	if err := os.Rename(file, filepath.Join(dir, "other.cue")); err != nil {
		t.Fatal(err)
	}
	if third := mustFetch(t, d, second.Revision); third.Revision == c.Revision || third.Revision == second.Revision {
		t.Error("a rename is not a new revision")
	}
}

func TestDirectorySaysWhatIsWrong(t *testing.T) {
	empty, below, file := t.TempDir(), t.TempDir(), filepath.Join(t.TempDir(), "a.cue")
	write(t, filepath.Join(below, "home", "a.cue"), "package a\n")
	write(t, file, "package a\n")
	locked := t.TempDir()
	write(t, filepath.Join(locked, "a.cue"), "")
	write(t, filepath.Join(locked, "secret.cue"), "")
	if err := os.Chmod(filepath.Join(locked, "secret.cue"), 0); err != nil {
		t.Fatal(err)
	}
	pipe := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(pipe, "a.cue"), 0o600); err != nil {
		t.Fatal(err)
	}
	odd := t.TempDir()
	write(t, filepath.Join(odd, "\xff.cue"), "")
	linked := t.TempDir()
	write(t, filepath.Join(linked, "a.cue"), "")
	if err := os.Symlink(empty, filepath.Join(linked, "cue.mod")); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		dir   string
		kind  error
		words []string
	}{
		{empty, ErrNotFound, []string{"no CUE files in " + empty, "hactl init " + empty}},
		{below, ErrNotFound, []string{"only in home"}},
		{filepath.Join(empty, "absent"), ErrNotFound, []string{"no such directory", "absent"}},
		{file, ErrInvalid, []string{"not a directory", file}},
		{filepath.Join(file, "x"), ErrUnavailable, []string{"not a directory"}},
		{pipe, ErrInvalid, []string{"a.cue is not a regular file"}},
		{odd, ErrInvalid, []string{"not UTF-8"}},
		{linked, ErrInvalid, []string{"cue.mod is a symlink"}},
	} {
		wantError(t, treeError(t, Directory(tt.dir)), tt.kind, tt.words...)
	}
	err := treeError(t, Directory(locked))
	if os.Geteuid() == 0 {
		if err != nil { // root reads anything
			t.Error(err)
		}
	} else {
		wantError(t, err, ErrDenied, "secret.cue: permission denied")
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = Directory(below).Fetch(ctx, "")
	wantError(t, err, ErrUnavailable, "interrupted")
}

func TestDirectoryLimits(t *testing.T) {
	dir := t.TempDir()
	for _, f := range []string{"a.cue", "b.cue", "c.cue"} {
		write(t, filepath.Join(dir, f), strings.Repeat("x", 100))
	}
	for words, lim := range map[string]limits{
		"has 100 bytes, over the limit of 99 bytes": {file: 99, total: 1000, files: 9, visited: 9},
		"over 250 bytes together":                   {file: 100, total: 250, files: 9, visited: 9},
		"over 2 CUE files":                          {file: 100, total: 1000, files: 2, visited: 9},
		"over 3 files":                              {file: 100, total: 1000, files: 9, visited: 3},
	} {
		d := Directory(dir)
		d.lim = lim
		wantError(t, treeError(t, d), ErrInvalid, words)
	}
}
