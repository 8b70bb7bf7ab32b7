package forge_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hactl/hactl/reconcile/forge"
)

const sha = "6da8c14b5a9102998148b7ea35f96507d5304f74"

const token = "t0ken-of-the-f0rge"

func tokenFunc(context.Context) (string, error) { return token + "\n", nil }

// roundTrip is a transport without a network.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func response(code int, body string, header ...string) *http.Response {
	r := &http.Response{StatusCode: code, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

func poster(t *testing.T, kind, repository string, f roundTrip) *forge.Poster {
	t.Helper()
	p, err := forge.New(forge.Options{Kind: kind, Repository: repository, Token: tokenFunc, Client: &http.Client{Transport: f}, UserAgent: "hactl/test"})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestRequestsAreTheDocumentedOnes goes over the wire; each case is the
// example of the forge's reference with a description of its own.
func TestRequestsAreTheDocumentedOnes(t *testing.T) {
	status := forge.Status{SHA: strings.ToUpper(sha), State: forge.Failure, Context: "hactl/lb01", Description: "refused:\n\x1b[31mno  such pool", TargetURL: "https://lb01.example.com/status"}
	for kind, want := range map[string]struct{ path, uri, body, authorization, private, accept string }{
		"github":  {"octocat/Hello-World", "/repos/octocat/Hello-World/statuses/" + sha, `{"state":"failure","target_url":"https://lb01.example.com/status","description":"refused: [31mno such pool","context":"hactl/lb01"}`, "Bearer " + token, "", "application/vnd.github+json"},
		"gitlab":  {"diaspora/group/x.y", "/projects/diaspora%2Fgroup%2Fx.y/statuses/" + sha, `{"state":"failed","target_url":"https://lb01.example.com/status","description":"refused: [31mno such pool","name":"hactl/lb01"}`, "", token, "application/json"},
		"gitea":   {"o/r", "/repos/o/r/statuses/" + sha, `{"state":"failure","target_url":"https://lb01.example.com/status","description":"refused: [31mno such pool","context":"hactl/lb01"}`, "token " + token, "", "application/json"},
		"forgejo": {"o/r", "/repos/o/r/statuses/" + sha, `{"state":"failure","target_url":"https://lb01.example.com/status","description":"refused: [31mno such pool","context":"hactl/lb01"}`, "token " + token, "", "application/json"},
	} {
		seen := 0
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			seen++
			body, _ := io.ReadAll(r.Body)
			if r.Method != http.MethodPost || r.RequestURI != "/api"+want.uri || string(body) != want.body {
				t.Errorf("%s: %s %s %s", kind, r.Method, r.RequestURI, body)
			}
			h := r.Header
			if h.Get("Authorization") != want.authorization || h.Get("Private-Token") != want.private || h.Get("Accept") != want.accept || h.Get("Content-Type") != "application/json" || h.Get("User-Agent") != "hactl" {
				t.Errorf("%s: %v", kind, h)
			}
			if kind == "github" && h.Get("X-Github-Api-Version") != "2022-11-28" {
				t.Errorf("%s: %v", kind, h)
			}
			w.WriteHeader(http.StatusCreated)
		}))
		defer server.Close()
		p, err := forge.New(forge.Options{Kind: kind, Repository: "git@git.example.com:" + want.path + ".git", API: server.URL + "/api/", Token: tokenFunc})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // The second is the same.
			if err := p.Post(t.Context(), status); err != nil {
				t.Errorf("%s: %v", kind, err)
			}
		}
		if seen != 1 {
			t.Errorf("%s: %d requests", kind, seen)
		}
	}
}

func TestRepositoriesAreFoundFromTheirCloneURL(t *testing.T) {
	for _, c := range []struct{ kind, url, found, api, path string }{
		{"", "https://github.com/octocat/hello.git", "github", "https://api.github.com", "octocat/hello"},
		{"", "git@github.com:octocat/hello.git", "github", "https://api.github.com", "octocat/hello"},
		{"", "ssh://git@ssh.github.com:443/octocat/hello", "github", "https://api.github.com", "octocat/hello"},
		{"", "https://acme.ghe.com/a/b", "github", "https://api.acme.ghe.com", "a/b"},
		{"github", "ssh://git@code.example.com:2222/a/b.git/", "github", "https://code.example.com/api/v3", "a/b"},
		{"", "https://gitlab.com/a/b/c.git", "gitlab", "https://gitlab.com/api/v4", "a/b/c"},
		{"", "ssh://git@altssh.gitlab.com:443/a/b.git", "gitlab", "https://gitlab.com/api/v4", "a/b"},
		{"gitlab", "https://git.example.com:8443/a/b", "gitlab", "https://git.example.com:8443/api/v4", "a/b"},
		{"", "https://codeberg.org/a/b.git", "forgejo", "https://codeberg.org/api/v1", "a/b"},
		{"gitea", "https://example.com/git/a/b.git", "gitea", "https://example.com/git/api/v1", "a/b"},
		{"gitea", "http://127.0.0.1:3000/a/b", "gitea", "http://127.0.0.1:3000/api/v1", "a/b"},
		{"gitea", "ssh://[2001:db8::1]:22/a/b", "gitea", "https://[2001:db8::1]/api/v1", "a/b"},
	} {
		found, api, path, err := forge.Locate(c.kind, c.url)
		if err != nil || found != c.found || api != c.api || path != c.path {
			t.Errorf("%s: %s %s %s %v", c.url, found, api, path, err)
		}
	}
	for _, c := range []struct{ kind, url string }{
		{"", "https://git.example.com/a/b"}, {"svn", "https://github.com/a/b"}, {"github", "https://github.com/a"}, {"github", "https://github.com/a/b/c"},
		{"github", "/srv/git/a.git"}, {"github", "file:///srv/a/b"}, {"github", "https://user:" + token + "@"}, {"github", "git:" + token + "@github.com:a/b:%zz"}, {"github", ""},
	} {
		if _, _, _, err := forge.Locate(c.kind, c.url); err == nil || strings.Contains(err.Error(), token) {
			t.Errorf("%s: %v", c.url, err)
		}
	}
}

func TestATokenIsNotSentInClear(t *testing.T) {
	_, err := forge.New(forge.Options{Kind: "gitea", Repository: "http://git.example.com/a/b", Token: tokenFunc})
	if err == nil {
		t.Error("it is")
	}
	if _, err = forge.New(forge.Options{Kind: "gitea", Repository: "http://git.example.com/a/b", API: "http://git.example.com/api/v1", Token: tokenFunc}); err != nil {
		t.Error(err)
	}
}

func TestARedirectGetsNoToken(t *testing.T) {
	leaked := false
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { leaked = true }))
	defer other.Close()
	server := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer server.Close()
	for _, kind := range []string{"github", "gitlab", "gitea"} {
		p, err := forge.New(forge.Options{Kind: kind, Repository: "https://x.example.com/a/b", API: server.URL, Token: tokenFunc})
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Post(t.Context(), forge.Status{SHA: sha, State: forge.Success, Context: "c"}); err == nil || leaked {
			t.Errorf("%s: %v, leaked: %t", kind, err, leaked)
		}
	}
}

func TestWhatMayWorkLaterIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, c := range map[string]struct {
			kind    string
			answers []*http.Response
			calls   int
			takes   time.Duration
			code    int // of the error, 0 for none
		}{
			"503, then well":          {"github", []*http.Response{response(503, ""), response(502, ""), response(201, "{}")}, 3, 3 * time.Second, 0},
			"429 with seconds":        {"gitlab", []*http.Response{response(429, "", "Retry-After", "30"), response(201, "")}, 2, 30 * time.Second, 0},
			"429 for too long":        {"github", []*http.Response{response(429, "", "Retry-After", "3600")}, 1, 0, 429},
			"403":                     {"github", []*http.Response{response(403, `{"message":"Resource not accessible by `+token+`"}`)}, 1, 0, 403},
			"404":                     {"github", []*http.Response{response(404, `{"message":"Not Found"}`)}, 1, 0, 404},
			"always 500":              {"github", []*http.Response{response(500, ""), response(500, ""), response(500, ""), response(500, "")}, 4, 7 * time.Second, 500},
			"GitLab is in that state": {"gitlab", []*http.Response{response(400, `{"message":{"state":["Cannot transition status via :enqueue from :pending"]}}`)}, 1, 0, 0},
			"GitLab is in another":    {"gitlab", []*http.Response{response(400, `{"message":"Cannot transition status via :enqueue from :running"}`)}, 1, 0, 400},
			"GitLab, another refusal": {"gitlab", []*http.Response{response(400, `{"message":"name is too long"}`)}, 1, 0, 400},
		} {
			runTries(t, name, c.kind, c.answers, c.calls, c.takes, c.code)
		}
	})
	// The clock of a bubble begins at 2000-01-01T00:00:00Z, 946684800.
	synctest.Test(t, func(t *testing.T) {
		runTries(t, "GitHub's primary limit", "github", []*http.Response{response(403, "", "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "946684830"), response(201, "")}, 2, 30*time.Second, 0)
	})
	synctest.Test(t, func(t *testing.T) {
		runTries(t, "429 with a date", "gitea", []*http.Response{response(429, "", "Retry-After", "Sat, 01 Jan 2000 00:00:40 GMT"), response(201, "")}, 2, 40*time.Second, 0)
	})
}

func runTries(t *testing.T, name, kind string, answers []*http.Response, calls int, takes time.Duration, code int) {
	t.Helper()
	n := 0
	p := poster(t, kind, "https://git.example.com/a/b", func(*http.Request) (*http.Response, error) { n++; return answers[n-1], nil })
	began := time.Now()
	err := p.Post(t.Context(), forge.Status{SHA: sha, State: forge.Pending, Context: "c"})
	var refused *forge.RefusedError
	if errors.As(err, &refused) != (code != 0) || refused != nil && refused.Code != code {
		t.Errorf("%s: %v", name, err)
	}
	if err != nil && strings.Contains(err.Error(), token) {
		t.Errorf("%s: tells the token: %v", name, err)
	}
	if took := time.Since(began); n != calls || took != takes {
		t.Errorf("%s: %d requests in %s", name, n, took)
	}
}

func TestAStatusIsPostedOncePerState(t *testing.T) {
	var bodies []string
	p := poster(t, "github", "https://github.com/a/b", func(r *http.Request) (*http.Response, error) {
		b, _ := io.ReadAll(r.Body)
		bodies = append(bodies, string(b))
		return response(201, ""), nil
	})
	post := func(s forge.State, context, description string) {
		if err := p.Post(t.Context(), forge.Status{SHA: sha, State: s, Context: context, Description: description}); err != nil {
			t.Error(err)
		}
	}
	post(forge.Pending, "hactl/a", "x")
	post(forge.Pending, "hactl/a", "x")
	post(forge.Pending, "hactl/a", " x\n")
	post(forge.Pending, "hactl/b", "x")
	post(forge.Success, "hactl/a", "x")
	post(forge.Success, "hactl/a", strings.Repeat("ü", 200))
	if len(bodies) != 4 || !strings.Contains(bodies[3], strings.Repeat("ü", 139)+"…\"") {
		t.Errorf("%q", bodies)
	}
}

func TestNobodyAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		p := poster(t, "gitlab", "https://gitlab.com/a/b", func(r *http.Request) (*http.Response, error) {
			n++
			<-r.Context().Done()
			return nil, r.Context().Err()
		})
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		began := time.Now()
		err := p.Post(ctx, forge.Status{SHA: sha, State: forge.Error, Context: "c"})
		if err == nil || n != 2 || time.Since(began) != 20*time.Second {
			t.Errorf("%v after %d tries in %s", err, n, time.Since(began))
		}
	})
}

func TestWhatIsNoStatusIsNotPosted(t *testing.T) {
	p := poster(t, "github", "https://github.com/a/b", func(*http.Request) (*http.Response, error) {
		t.Error("it is")
		return response(201, ""), nil
	})
	for _, s := range []forge.Status{
		{SHA: "6da8c14", State: forge.Success, Context: "c"}, {SHA: sha, State: "done", Context: "c"}, {SHA: sha, State: forge.Success},
	} {
		if p.Post(t.Context(), s) == nil {
			t.Errorf("%+v", s)
		}
	}
}
