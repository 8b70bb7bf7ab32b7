package source

import (
	"fmt"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
)

// past is a repository with the shapes that a ref can move in, and what each of
// its commits is called.
type past struct {
	*repo
	at map[string]string
}

func newPast(t *testing.T) past {
	t.Helper()
	r, root := standard(t)
	p := past{r, map[string]string{"root": root}}
	p.at["one"] = r.write("edge.cue", "package edge // one\n").commit()
	var many strings.Builder
	for i := range 200 {
		// Files of some size, which a walk through history has no use for.
		text := fmt.Sprintf("package edge // %d\n//%s\n", i, strings.Repeat("x", i))
		fmt.Fprintf(&many, "commit refs/heads/main\ncommitter C <c@example.com> %d +0000\ndata 6\nchange\n", 1767326400+i)
		if i == 0 {
			fmt.Fprintf(&many, "from %s\n", p.at["one"])
		}
		fmt.Fprintf(&many, "M 100644 inline edge.cue\ndata %d\n%s\n", len(text), text)
	}
	load := gitCommand(r.dir, "fast-import", "--quiet")
	load.Stdin = strings.NewReader(many.String())
	if out, err := load.CombinedOutput(); err != nil {
		t.Fatalf("git fast-import: %v\n%s", err, out)
	}
	r.git("reset", "-q", "--hard", "main")
	p.at["many"] = r.git("rev-parse", "HEAD")
	r.git("checkout", "-q", "-b", "side", p.at["one"])
	p.at["side"] = r.write("side.cue", "package edge\n").commit()
	r.git("checkout", "-q", "main")
	r.git("merge", "-q", "--no-ff", "-m", "merge", "side")
	p.at["merge"] = r.git("rev-parse", "HEAD")
	r.git("checkout", "-q", "-b", "amended", p.at["many"])
	r.git("commit", "-q", "--amend", "-m", "said better")
	p.at["amended"] = r.git("rev-parse", "HEAD")
	r.git("checkout", "-q", "--orphan", "unrelated")
	p.at["unrelated"] = r.write("edge.cue", "package edge // another\n").commit()
	p.at["gone"] = strings.Repeat("ab", 20)
	r.git("branch", "here", root)
	r.git("checkout", "-q", "here")
	return p
}

// shown is the candidate after a force push of the ref to a commit.
func (p past) shown(g Source, commit string) *Candidate {
	p.t.Helper()
	p.git("reset", "-q", "--hard", p.at[commit])
	return mustFetch(p.t, g, "")
}

func TestCandidatesKnowWhatTheyDescendFrom(t *testing.T) {
	p := newPast(t)
	key := filepath.Join(t.TempDir(), "id")
	mine := newKey(t)
	writeKey(t, key, mine, "")
	ssh := serveSSH(t, signer(t, mine).PublicKey())
	web := (&gitServer{}).start(t, p.repo, httptest.NewServer)
	for _, o := range []GitOptions{
		{URL: p.dir},
		{URL: "ssh://git@" + ssh.addr + p.dir, SSHKeyFile: key, KnownHostsFile: ssh.knownHosts(t, ssh.host)},
		{URL: web.URL + "/spec/.git"},
	} {
		for _, filter := range []string{"true", "false"} {
			o.Ref = "here"
			g := mustGit(t, o)
			for _, tt := range []struct {
				from, to string
				want     bool
			}{
				{"root", "root", true},
				{"root", "one", true},
				{"root", "many", true},
				{"one", "many", true},
				{"side", "merge", true},
				{"many", "merge", true},
				{"one", "merge", true},
				{"one", "root", false},
				{"many", "one", false},
				{"many", "root", false},
				{"merge", "many", false},
				{"side", "many", false},
				{"many", "amended", false},
				{"one", "amended", true},
				{"many", "unrelated", false},
				{"gone", "many", false}, // force-pushed away, and collected
				{"gone", "root", false},
			} {
				p.git("config", "uploadpack.allowFilter", filter)
				c := p.shown(g, tt.to)
				got, err := c.Descends(t.Context(), p.at[tt.from])
				if err != nil || got != tt.want {
					t.Errorf("%s, filter %s: %s descends from %s: %v, %v", g.at.scheme, filter, tt.to, tt.from, got, err)
				}
			}
		}
	}
}

func TestDescendingFromAParentAsksNobody(t *testing.T) {
	p := newPast(t)
	web := (&gitServer{}).start(t, p.repo, httptest.NewServer)
	g := mustGit(t, GitOptions{URL: web.URL + "/spec/.git", Ref: "here"})
	c := p.shown(g, "merge")
	web.log()
	for from, want := range map[string]bool{"": true, p.at["merge"]: true, p.at["many"]: true, p.at["side"]: true, "dir-0123456789ab": false} {
		if got, err := c.Descends(t.Context(), from); err != nil || got != want {
			t.Errorf("from %q: %v, %v", from, got, err)
		}
	}
	if asked := web.log(); len(asked) > 0 {
		t.Errorf("it asked %v", asked)
	}
}

func TestHistoryIsFetchedWithoutFilesWhereItCanBe(t *testing.T) {
	p := newPast(t)
	g := mustGit(t, GitOptions{URL: p.dir, Ref: "here"})
	c := p.shown(g, "many")
	g.lim.inflated = 60_000 // 200 commits of 200 bytes, and not their files
	_, err := c.Descends(t.Context(), p.at["root"])
	wantError(t, err, ErrInvalid, "is too long to tell", "uploadpack.allowFilter")
	p.git("config", "uploadpack.allowFilter", "true")
	if ok, err := c.Descends(t.Context(), p.at["root"]); !ok || err != nil {
		t.Errorf("with a filter: %v, %v", ok, err)
	}
	g.lim.commits = 100
	_, err = c.Descends(t.Context(), p.at["root"])
	wantError(t, err, ErrInvalid, "is too long to tell", "over 100 commits")
}

func TestAnnotatedTagsDescendAsTheirCommits(t *testing.T) {
	p := newPast(t)
	p.git("tag", "-a", "-m", "notes", "v1", p.at["one"])
	p.git("tag", "-a", "-m", "notes", "v2", p.at["many"])
	for ref, want := range map[string]bool{"v1": false, "v2": true} {
		c := mustFetch(t, mustGit(t, GitOptions{URL: p.dir, Ref: ref}), "")
		if got, err := c.Descends(t.Context(), p.at["one"]); err != nil || got != (ref == "v2" || c.Revision == p.at["one"]) {
			t.Errorf("%s after one: %v, %v", ref, got, err)
		}
		if got, err := c.Descends(t.Context(), p.at["many"]); err != nil || got != want {
			t.Errorf("%s after many: %v, %v", ref, got, err)
		}
		p.git("tag", "-f", "-a", "-m", "moved", "v1", p.at["root"])
	}
}

func TestDescendingSurvivesARefThatMovesOn(t *testing.T) {
	p := newPast(t)
	g := mustGit(t, GitOptions{URL: p.dir, Ref: "here"})
	p.git("branch", "-D", "amended", "side", "unrelated")
	middle := p.git("rev-parse", "main~100")
	p.git("reset", "-q", "--hard", middle)
	c := mustFetch(t, g, "")
	p.git("branch", "-f", "main", p.at["root"]) // nothing else leads to what here does
	p.git("reset", "-q", "--hard", p.at["many"])
	for from, want := range map[string]bool{"root": true, "one": true} {
		if got, err := c.Descends(t.Context(), p.at[from]); err != nil || got != want {
			t.Errorf("from %s: %v, %v", from, got, err)
		}
	}
	_, err := c.Descends(t.Context(), p.at["many"]) // the ref is there now
	wantError(t, err, ErrUnavailable, "has moved")
	p.git("reset", "-q", "--hard", p.at["unrelated"])
	_, err = c.Descends(t.Context(), p.at["one"])
	wantError(t, err, ErrUnavailable, "has moved")
	p.git("branch", "-D", "main")
	p.git("checkout", "-q", "--detach")
	p.git("branch", "-D", "here")
	_, err = c.Descends(t.Context(), p.at["one"])
	wantError(t, err, ErrNotFound, "no branch or tag")
}

func TestAShallowServerIsNotBelieved(t *testing.T) {
	p := newPast(t)
	p.git("reset", "-q", "--hard", p.at["many"])
	shallow := &repo{t, filepath.Join(t.TempDir(), "spec")}
	p.git("clone", "-q", "--depth", "10", "--branch", "here", "file://"+p.dir, shallow.dir)
	web := (&gitServer{}).start(t, shallow, httptest.NewServer)
	for _, url := range []string{shallow.dir, web.URL + "/spec/.git"} {
		c := mustFetch(t, mustGit(t, GitOptions{URL: url}), "")
		if ok, err := c.Descends(t.Context(), p.git("rev-parse", "here~5")); !ok || err != nil {
			t.Errorf("within its history: %v, %v", ok, err)
		}
		_, err := c.Descends(t.Context(), p.at["one"])
		wantError(t, err, ErrInvalid, "shallow", "--unshallow")
	}
}

func TestADirectoryDescendsFromEverything(t *testing.T) {
	r, sha := standard(t)
	c := mustFetch(t, Directory(r.dir), "")
	for _, from := range []string{"", sha, "dir-0123456789ab"} {
		if ok, err := c.Descends(t.Context(), from); !ok || err != nil {
			t.Errorf("from %q: %v, %v", from, ok, err)
		}
	}
}

func TestNoHistoryIsNotANo(t *testing.T) {
	p := newPast(t)
	web := (&gitServer{}).start(t, p.repo, httptest.NewServer)
	g := mustGit(t, GitOptions{URL: web.URL + "/spec/.git", Ref: "here"})
	c := p.shown(g, "many")
	web.Close()
	_, err := c.Descends(t.Context(), p.at["one"])
	wantError(t, err, ErrUnavailable)
}
