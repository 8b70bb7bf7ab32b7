package source

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// repo is a Git repository made by the git program.
type repo struct {
	t   testing.TB
	dir string
}

func gitCommand(dir string, args ...string) *exec.Cmd {
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "LC_ALL=C",
		"GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_AUTHOR_DATE=2026-01-02T03:04:05+0900",
		"GIT_COMMITTER_NAME=C", "GIT_COMMITTER_EMAIL=c@example.com", "GIT_COMMITTER_DATE=2026-01-02T04:00:00Z",
	}
	return cmd
}

func newRepo(t testing.TB, init ...string) *repo {
	t.Helper()
	r := &repo{t, filepath.Join(t.TempDir(), "spec")}
	if err := os.Mkdir(r.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	r.git(append([]string{"init", "-q", "-b", "main"}, init...)...)
	return r
}

// git runs a git command and returns what it printed.
func (r *repo) git(args ...string) string {
	r.t.Helper()
	out, err := gitCommand(r.dir, args...).CombinedOutput()
	if err != nil {
		r.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

func (r *repo) write(name, text string) *repo {
	r.t.Helper()
	write(r.t, filepath.Join(r.dir, name), text)
	return r
}

func write(t testing.TB, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// commit commits everything, and returns the SHA.
func (r *repo) commit() string {
	r.t.Helper()
	r.git("add", "-A")
	r.git("commit", "-q", "--allow-empty", "-m", "change")
	return r.git("rev-parse", "HEAD")
}

// standard is a repository with one commit, and that commit.
func standard(t testing.TB) (*repo, string) {
	t.Helper()
	r := newRepo(t)
	sha := r.write("edge.cue", "package edge\n").
		write("cue.mod/module.cue", "module: \"example.com\"\n").
		write("sites/home/home.cue", "package home\n").
		write("README.md", "not a spec\n").commit()
	return r, sha
}

func mustGit(t testing.TB, o GitOptions) *GitRemote {
	t.Helper()
	g, err := Git(o)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func mustFetch(t testing.TB, s Source, known string) *Candidate {
	t.Helper()
	c, err := s.Fetch(t.Context(), known)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func mustTree(t testing.TB, s Source) *Tree {
	t.Helper()
	tree, err := mustFetch(t, s, "").Admit(Unverified{})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// treeError is the error of fetching or, if that goes well, of admitting.
func treeError(t testing.TB, s Source) error {
	t.Helper()
	c, err := s.Fetch(t.Context(), "")
	if err == nil {
		_, err = c.Admit(Unverified{})
	}
	return err
}

// wantError checks the kind, and that the message says each of the words.
func wantError(t testing.TB, err, kind error, words ...string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || !errors.Is(err, kind) {
		t.Fatalf("error is %v, want a source.Error that is %v", err, kind)
	}
	if e.Op == "" || e.Origin == "" {
		t.Errorf("%v has no operation or origin", err)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error does not say %q:\n%v", w, err)
		}
	}
}

// names lists the files of a tree.
func names(t testing.TB, tree *Tree) string {
	t.Helper()
	var out []string
	err := fs.WalkDir(tree.FS, ".", func(p string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			out = append(out, p)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

func read(t testing.TB, tree *Tree, name string) string {
	t.Helper()
	b, err := fs.ReadFile(tree.FS, name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
