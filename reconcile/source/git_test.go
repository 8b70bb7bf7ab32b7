package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
)

// Behaviour that does not depend on the transport is shown over file://, the
// quickest one.

func TestGitResolvesRefs(t *testing.T) {
	r, first := standard(t)
	r.git("tag", "light")
	r.git("tag", "-a", "-m", "notes", "heavy")
	r.git("tag", "-a", "-m", "tag of a tag", "nested", "heavy")
	r.git("update-ref", "refs/deploy/now", first)
	second := r.write("edge.cue", "package edge // 2\n").commit()
	r.git("branch", "both", second)
	r.git("tag", "both", first)
	r.git("branch", "deadbeef", first)

	for _, tt := range []struct{ ref, sha, full, origin string }{
		{"", second, "refs/heads/main", "@main"},
		{"HEAD", second, "refs/heads/main", "@main"},
		{"main", second, "refs/heads/main", "@main"},
		{"refs/heads/main", second, "refs/heads/main", "@refs/heads/main"},
		{"heads/main", second, "refs/heads/main", "@heads/main"},
		{"light", first, "refs/tags/light", "@light"},
		{"heavy", first, "refs/tags/heavy", "@heavy"},
		{"nested", first, "refs/tags/nested", "@nested"},
		{"refs/tags/heavy", first, "refs/tags/heavy", "@refs/tags/heavy"},
		{"refs/deploy/now", first, "refs/deploy/now", "@refs/deploy/now"},
		{"both", second, "refs/heads/both", "@both"}, // a branch wins
		{"refs/tags/both", first, "refs/tags/both", "@refs/tags/both"},
		{"deadbeef", first, "refs/heads/deadbeef", "@deadbeef"}, // hex, and a branch all the same
		{first, first, "", "@" + first},
		{strings.ToUpper(second), second, "", "@" + second},
	} {
		t.Run("ref "+tt.ref, func(t *testing.T) {
			g := mustGit(t, GitOptions{URL: r.dir, Ref: tt.ref})
			c := mustFetch(t, g, "")
			if c.Revision != tt.sha || c.Ref != tt.full || !strings.HasSuffix(c.Origin, tt.origin) {
				t.Errorf("got %s at %q from %s, want %s at %q, %s", c.Revision, c.Ref, c.Origin, tt.sha, tt.full, tt.origin)
			}
			if _, err := g.Fetch(t.Context(), tt.sha); !errors.Is(err, ErrUnchanged) {
				t.Errorf("a second fetch says %v", err)
			}
			if got, err := c.Admit(Unverified{}); err != nil || names(t, got) != "cue.mod/module.cue edge.cue sites/home/home.cue" {
				t.Errorf("tree: %v", err)
			}
		})
	}
}

func TestGitCandidateSpeaksForItsCommit(t *testing.T) {
	r, first := standard(t)
	r.git("commit", "-q", "--allow-empty", "-m", "second\n\nbody")
	r.git("tag", "-a", "-m", "notes", "v1")
	c := mustFetch(t, mustGit(t, GitOptions{URL: r.dir, Ref: "v1"}), "")
	if got := c.Commit.Author.When.UTC().Format(time.RFC3339); got != "2026-01-01T18:04:05Z" || c.Commit.Author.Email != "a@example.com" {
		t.Errorf("author %+v", c.Commit.Author)
	}
	if got := c.Commit.Committer.When.UTC().Format(time.RFC3339); got != "2026-01-02T04:00:00Z" || c.Commit.Committer.Name != "C" {
		t.Errorf("committer %+v", c.Commit.Committer)
	}
	if c.Commit.Message != "second\n\nbody\n" || len(c.Commit.Parents) != 1 || c.Commit.Parents[0] != first {
		t.Errorf("message %q, parents %v", c.Commit.Message, c.Commit.Parents)
	}
	if want := r.git("cat-file", "commit", "HEAD") + "\n"; string(c.Commit.Object) != want {
		t.Errorf("object:\n%s\nwant:\n%s", c.Commit.Object, want)
	}
	if want := r.git("cat-file", "tag", "v1") + "\n"; string(c.Tag.Object) != want || c.Tag.ID != r.git("rev-parse", "v1") {
		t.Errorf("tag %s:\n%s", c.Tag.ID, c.Tag.Object)
	}
}

type refusing struct{}

func (refusing) Check(*Candidate) (string, error) { return "", errNobody }

var errNobody = errors.New("nobody signed it")

func TestNothingIsReadWithoutTrust(t *testing.T) {
	r, sha := standard(t)
	c := mustFetch(t, mustGit(t, GitOptions{URL: r.dir}), "")
	tree, err := c.Admit(refusing{})
	wantError(t, err, ErrDenied, "admit", "nobody signed it", sha)
	if tree != nil || !errors.Is(err, errNobody) {
		t.Errorf("tree %v, error %v", tree, err)
	}
	_, err = c.Admit(nil)
	wantError(t, err, ErrDenied)
}

func TestGitTreeIsAFileSystemOfItsOwn(t *testing.T) {
	r, _ := standard(t)
	tree := mustTree(t, mustGit(t, GitOptions{URL: r.dir, Path: "sites/home/"}))
	if err := fstest.TestFS(tree.FS, "edge.cue", "sites/home/home.cue", "cue.mod/module.cue"); err != nil {
		t.Error(err)
	}
	if tree.Dir != "sites/home" || tree.Label != "" || tree.Name("sites/home/home.cue") != "sites/home/home.cue" {
		t.Errorf("dir %q, label %q, name %q", tree.Dir, tree.Label, tree.Name("sites/home/home.cue"))
	}
	if err := os.RemoveAll(r.dir); err != nil {
		t.Fatal(err)
	}
	if read(t, tree, "edge.cue") != "package edge\n" {
		t.Error("the tree changed with the repository")
	}
}

func TestGitFollowsARefWhereverItGoes(t *testing.T) {
	r, first := standard(t)
	second := r.write("edge.cue", "package edge // 2\n").commit()
	g := mustGit(t, GitOptions{URL: r.dir, Ref: "main"})
	if c := mustFetch(t, g, first); c.Revision != second {
		t.Fatal("no advance")
	}
	r.git("commit", "-q", "--amend", "-m", "rewritten")
	forced := r.git("rev-parse", "HEAD")
	if c := mustFetch(t, g, second); c.Revision != forced {
		t.Error("a force push is not followed")
	}
	r.git("reset", "-q", "--hard", first)
	if c := mustFetch(t, g, forced); c.Revision != first {
		t.Error("a rewind is not followed")
	}
	r.git("checkout", "-q", "--orphan", "other")
	unrelated := r.write("edge.cue", "package edge // unrelated\n").commit()
	r.git("branch", "-f", "main", "other")
	if c := mustFetch(t, g, first); c.Revision != unrelated || len(c.Commit.Parents) != 0 {
		t.Error("an unrelated history is not followed")
	}
	r.git("branch", "mian")
	r.git("branch", "-D", "main")
	_, err := g.Fetch(t.Context(), unrelated)
	wantError(t, err, ErrNotFound, "no branch or tag main", "the nearest are mian, other")
}

func TestGitSaysWhatIsNotThere(t *testing.T) {
	r, first := standard(t)
	r.write("docs/notes.md", "x").commit()
	empty, sha256 := newRepo(t), newRepo(t, "--object-format=sha256")
	sha256.write("a.cue", "package a\n").commit()
	unborn, _ := standard(t)
	unborn.git("symbolic-ref", "HEAD", "refs/heads/gone")
	specless := newRepo(t)
	specless.write("README", "x").commit()
	blob := newRepo(t)
	blob.write("a.cue", "package a\n").commit()
	blob.git("tag", "blob", "HEAD:a.cue")
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, "")

	for name, tt := range map[string]struct {
		o     GitOptions
		kind  error
		words string
	}{
		"empty repository":    {GitOptions{URL: empty.dir}, ErrNotFound, "the repository is empty: push"},
		"no repository":       {GitOptions{URL: "file://" + t.TempDir()}, ErrNotFound, "no such repository"},
		"no path":             {GitOptions{URL: "/nonexistent/x"}, ErrNotFound, "no such file or directory"},
		"a file":              {GitOptions{URL: file}, ErrInvalid, "not a directory"},
		"HEAD of no branch":   {GitOptions{URL: unborn.dir}, ErrNotFound, "choose a ref, such as main"},
		"missing folder":      {GitOptions{URL: r.dir, Path: "sites/hoem"}, ErrNotFound, "no folder sites/hoem in this revision; sites has home"},
		"file as folder":      {GitOptions{URL: r.dir, Path: "edge.cue"}, ErrInvalid, "edge.cue is a file"},
		"folder without CUE":  {GitOptions{URL: r.dir, Path: "docs"}, ErrNotFound, "no CUE files in folder docs: name the folder of the spec, such as ., sites/home"},
		"root without CUE":    {GitOptions{URL: specless.dir}, ErrNotFound, "`hactl init`"},
		"abbreviated SHA":     {GitOptions{URL: r.dir, Ref: first[:8]}, ErrInvalid, "all 40 digits"},
		"SHA that is no tip":  {GitOptions{URL: r.dir, Ref: first}, ErrNotFound, "allowReachableSHA1InWant"},
		"SHA that is nowhere": {GitOptions{URL: r.dir, Ref: strings.Repeat("ab", 20)}, ErrNotFound, "not the tip"},
		"SHA-256 repository":  {GitOptions{URL: sha256.dir}, ErrInvalid, "SHA-1 repositories only"},
		"tag of a blob":       {GitOptions{URL: blob.dir, Ref: "blob"}, ErrInvalid, "is a blob, not a commit"},
	} {
		t.Run(name, func(t *testing.T) {
			wantError(t, treeError(t, mustGit(t, tt.o)), tt.kind, tt.words)
		})
	}
}

func TestGitFetchesAnySHAWhereTheServerAllowsIt(t *testing.T) {
	r, first := standard(t)
	r.write("edge.cue", "package edge // 2\n").commit()
	r.git("config", "uploadpack.allowReachableSHA1InWant", "true")
	g := mustGit(t, GitOptions{URL: r.dir, Ref: first})
	if tree := mustTree(t, g); tree.Revision != first || read(t, tree, "edge.cue") != "package edge\n" {
		t.Errorf("tree of %s", tree.Revision)
	}
	gone := mustGit(t, GitOptions{URL: r.dir, Ref: strings.Repeat("ab", 20)})
	_, err := gone.Fetch(t.Context(), "")
	wantError(t, err, ErrNotFound, "not our ref")
}

func TestGitLeavesBytesAlone(t *testing.T) {
	r := newRepo(t)
	r.git("config", "core.autocrlf", "true")
	text := "package edge\r\n// é \xff\r\n"
	r.write(".gitattributes", "*.cue text eol=lf ident\n")
	blob := gitCommand(r.dir, "hash-object", "-w", "--stdin")
	blob.Stdin = strings.NewReader(text)
	id, err := blob.Output()
	if err != nil {
		t.Fatal(err)
	}
	r.git("update-index", "--add", "--cacheinfo", "100644,"+strings.TrimSpace(string(id))+",crlf.cue")
	r.git("commit", "-q", "-m", "x")
	if got := read(t, mustTree(t, mustGit(t, GitOptions{URL: r.dir})), "crlf.cue"); got != text {
		t.Errorf("got %q", got)
	}
}

func TestGitTreeHoldsCUEFilesOnly(t *testing.T) {
	inner, _ := standard(t)
	r := newRepo(t)
	for _, f := range []string{"a.cue", "a.txt", ".hidden.cue", ".#a.cue", ".git2/x.cue", ".deploy/d.cue", "sub/b.cue", "cue.mod/pkg/x/y.json", "cue.mod/.cache"} {
		r.write(f, "package x\n")
	}
	r.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", inner.dir, "module")
	r.commit()
	r.write("\xff\xfe.txt", "not looked at").commit()
	if got, want := names(t, mustTree(t, mustGit(t, GitOptions{URL: r.dir}))), "a.cue cue.mod/pkg/x/y.json sub/b.cue"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	hidden := mustTree(t, mustGit(t, GitOptions{URL: r.dir, Path: ".deploy"}))
	if got, want := names(t, hidden), ".deploy/d.cue a.cue cue.mod/pkg/x/y.json sub/b.cue"; got != want {
		t.Errorf("asked for .deploy: got %s, want %s", got, want)
	}
	wantError(t, treeError(t, mustGit(t, GitOptions{URL: r.dir, Path: "module"})), ErrInvalid, "module is a submodule")
	r.write("odd-\xff.cue", "package x\n").commit()
	wantError(t, treeError(t, mustGit(t, GitOptions{URL: r.dir})), ErrInvalid, `"odd-\xff.cue" is not UTF-8`)
}

func TestGitSymlinks(t *testing.T) {
	for target, words := range map[string]string{
		"real.cue":             "",
		"sub/../sub/deep.cue":  "",
		"second.cue":           "", // a link to a link
		"sub":                  "", // a folder: left out
		"../outside.cue":       "leaves the tree",
		"sub/../../spec/a.cue": "leaves the tree",
		"/etc/passwd":          "link.cue is a symlink to /etc/passwd, which leaves the tree",
		"gone.cue":             "does not exist",
		"link.cue":             "leads in a circle",
	} {
		t.Run(target, func(t *testing.T) {
			r := newRepo(t)
			r.write("real.cue", "package real\n").write("sub/deep.cue", "package real\n")
			for name, to := range map[string]string{"link.cue": target, "second.cue": "real.cue", "elsewhere": "/usr"} {
				if err := os.Symlink(to, filepath.Join(r.dir, name)); err != nil {
					t.Fatal(err)
				}
			}
			r.commit()
			for _, s := range []Source{mustGit(t, GitOptions{URL: r.dir}), Directory(r.dir)} {
				if words != "" {
					wantError(t, treeError(t, s), ErrInvalid, words)
					continue
				}
				tree := mustTree(t, s)
				if target == "sub" {
					if got, want := names(t, tree), "real.cue second.cue sub/deep.cue"; got != want {
						t.Errorf("got %s, want %s", got, want)
					}
				} else if got := read(t, tree, "link.cue"); got != "package real\n" {
					t.Errorf("got %q", got)
				}
			}
		})
	}
}

func TestGitLimits(t *testing.T) {
	r := newRepo(t)
	r.write("a.cue", "package a\n").write("big.cue", "package a\n//"+strings.Repeat("x", 5000)+"\n").commit()
	for name, tt := range map[string]struct {
		lim    limits
		filter string
		words  string
	}{
		"a large file":            {limits{file: 4096, total: 1 << 20, files: 9, visited: 9, pack: 1 << 20, inflated: 1 << 20}, "false", "big.cue has 5013 bytes, over the limit of 4096 bytes"},
		"a large file, kept back": {limits{file: 4096, total: 1 << 20, files: 9, visited: 9, pack: 1 << 20, inflated: 1 << 20}, "true", "big.cue is over the limit of 4096 bytes"},
		"all files":               {limits{file: 1 << 20, total: 5000, files: 9, visited: 9, pack: 1 << 20, inflated: 1 << 20}, "false", "over 5000 bytes together"},
		"many files":              {limits{file: 1 << 20, total: 1 << 20, files: 1, visited: 9, pack: 1 << 20, inflated: 1 << 20}, "false", "over 1 CUE files"},
		"many entries":            {limits{file: 1 << 20, total: 1 << 20, files: 9, visited: 1, pack: 1 << 20, inflated: 1 << 20}, "false", "over 1 files"},
		"a large transfer":        {limits{file: 1 << 20, total: 1 << 20, files: 9, visited: 9, pack: 64, inflated: 1 << 20}, "false", "over 64 bytes to transfer"},
		"a zlib bomb":             {limits{file: 1 << 20, total: 1 << 20, files: 9, visited: 9, pack: 1 << 20, inflated: 4000}, "false", "over 4000 bytes of files"},
	} {
		t.Run(name, func(t *testing.T) {
			r.git("config", "uploadpack.allowFilter", tt.filter)
			g := mustGit(t, GitOptions{URL: r.dir})
			g.lim = tt.lim
			wantError(t, treeError(t, g), ErrInvalid, tt.words)
		})
	}
}

// deltas is a repository whose pack is mostly deltas: ten files of 4 KiB that
// differ in one line.
func deltas(t *testing.T) *repo {
	t.Helper()
	r := newRepo(t)
	var text strings.Builder
	text.WriteString("package a\n")
	for i := range 150 {
		fmt.Fprintf(&text, "x%d: %d\n", i, i*i*7919%100003)
	}
	for i := range 10 {
		r.write(fmt.Sprintf("f%d.cue", i), fmt.Sprintf("%sy: %d\n", &text, i))
	}
	r.commit()
	r.git("repack", "-q", "-a", "-d", "-f")
	return r
}

func TestGitCountsDeltasByWhatTheyBecome(t *testing.T) {
	r := deltas(t)
	g := mustGit(t, GitOptions{URL: r.dir})
	tree := mustTree(t, g)
	var size int64
	for i := range 10 {
		text := read(t, tree, fmt.Sprintf("f%d.cue", i))
		if !strings.HasSuffix(text, fmt.Sprintf("y: %d\n", i)) {
			t.Errorf("file %d ends in %q", i, text[len(text)-10:])
		}
		size += int64(len(text))
	}
	if out := r.git("verify-pack", "-v", packOf(t, r)); !strings.Contains(out, "chain length = 1:") {
		t.Fatalf("this pack has no deltas:\n%s", out)
	}
	g.lim.pack, g.lim.inflated = size/2, size/2 // the pack is far smaller than its files
	wantError(t, treeError(t, g), ErrInvalid, "of files")
}

func packOf(t *testing.T, r *repo) string {
	t.Helper()
	packs, err := filepath.Glob(filepath.Join(r.dir, ".git/objects/pack/*.idx"))
	if err != nil || len(packs) != 1 {
		t.Fatal(packs, err)
	}
	return packs[0]
}

func TestGitRefusesATruncatedPack(t *testing.T) {
	r := deltas(t)
	want := plumbing.NewHash(r.git("rev-parse", "HEAD"))
	pack := gitCommand(r.dir, "pack-objects", "--all", "--stdout", "-q")
	whole, err := pack.Output()
	if err != nil {
		t.Fatal(err)
	}
	store, err := unpack(bytes.NewReader(whole), defaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.EncodedObject(plumbing.CommitObject, want); err != nil {
		t.Error(err)
	}
	// A truncated pack is an error at every length, never a panic or a tree.
	for n := 0; n < len(whole)-20; n += 7 {
		if _, err := unpack(bytes.NewReader(whole[:n]), defaultLimits()); !errors.Is(err, ErrUnavailable) {
			t.Fatalf("%d of %d bytes: %v", n, len(whole), err)
		}
	}
}

func TestGitIsNotConfusedByItsEnvironment(t *testing.T) {
	r, sha := standard(t)
	t.Setenv("GIT_DIR", "/nonexistent")
	t.Setenv("GIT_PROTOCOL", "version=2")
	t.Setenv("GIT_NAMESPACE", "other")
	if c := mustFetch(t, mustGit(t, GitOptions{URL: "file://" + r.dir}), ""); c.Revision != sha {
		t.Errorf("got %s", c.Revision)
	}
}

// soon is long for a machine with other work, and short beside the minute that a
// fetch may take.
const soon = 15 * time.Second

// blackhole accepts connections and never answers. The channel gets a value
// for each.
func blackhole(t *testing.T) (addr string, accepted chan struct{}) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	accepted = make(chan struct{}, 10)
	done := make(chan struct{})
	var conns []net.Conn
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns = append(conns, c)
			accepted <- struct{}{}
		}
	}()
	t.Cleanup(func() {
		l.Close()
		<-done
		for _, c := range conns {
			c.Close()
		}
	})
	return l.Addr().String(), accepted
}

func TestGitFetchEndsWithItsContext(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	writeKey(t, key, newKey(t), "")
	for scheme, o := range map[string]GitOptions{"http": {URL: "http://%s/r"}, "ssh": {URL: "ssh://git@%s/r", SSHKeyFile: key}} {
		t.Run(scheme, func(t *testing.T) {
			addr, accepted := blackhole(t)
			o.URL = fmt.Sprintf(o.URL, addr)
			g := mustGit(t, o)
			ctx, cancel := context.WithCancel(t.Context())
			var at time.Time
			go func() {
				<-accepted
				at = time.Now()
				cancel()
			}()
			_, err := g.Fetch(ctx, "")
			if took := time.Since(at); took > soon {
				t.Errorf("returned %v after the cancellation", took)
			}
			wantError(t, err, ErrUnavailable, "interrupted")
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%v is not a cancellation", err)
			}
			g.busy <- struct{}{} // the work behind it ends as well
			<-g.busy
			_, err = g.fetch(ctx, "") // and would say the same, had it been first
			wantError(t, err, ErrUnavailable, "interrupted")

			o.Timeout = 20 * time.Millisecond
			_, err = mustGit(t, o).Fetch(t.Context(), "")
			wantError(t, err, ErrUnavailable, "no answer within 20ms")
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v is not a timeout", err)
			}
		})
	}
}

func TestGitAbandonsAtMostOneFetch(t *testing.T) {
	stuck, entered := make(chan struct{}), make(chan struct{})
	g := mustGit(t, GitOptions{
		URL: "http://127.0.0.1:1/r",
		Token: func(context.Context) (string, error) { // does not listen to its context
			close(entered)
			<-stuck
			return "x", nil
		},
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-entered; cancel() }()
	_, err := g.Fetch(ctx, "")
	wantError(t, err, ErrUnavailable, "interrupted")
	g.opts.Timeout = 20 * time.Millisecond
	_, err = g.Fetch(t.Context(), "")
	wantError(t, err, ErrUnavailable, "an earlier fetch has not ended")
	close(stuck)
	g.busy <- struct{}{}
	<-g.busy
}
