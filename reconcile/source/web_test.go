package source

import (
	"context"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// gitServer is `git http-backend` over the folder of a repository. It keeps a
// record of what it was asked, and with which credential.
type gitServer struct {
	*httptest.Server
	token string // required, unless empty

	mu       sync.Mutex
	requests []string
	auths    []string
	conns    map[string]bool
}

func (s *gitServer) start(t *testing.T, r *repo, serve func(http.Handler) *httptest.Server) *gitServer {
	t.Helper()
	git, err := exec.LookPath("git")
	if err != nil {
		t.Fatal(err)
	}
	s.conns = map[string]bool{}
	backend := &cgi.Handler{
		Path: git, Args: []string{"http-backend"}, Dir: "/", Stderr: io.Discard,
		Env: append(gitCommand("/", "version").Env, "GIT_PROJECT_ROOT="+filepath.Dir(r.dir), "GIT_HTTP_EXPORT_ALL=1"),
	}
	s.Server = serve(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		user, pass, _ := req.BasicAuth()
		s.mu.Lock()
		s.requests = append(s.requests, req.Method+" "+req.URL.Path)
		s.auths = append(s.auths, req.Header.Get("Authorization"))
		s.conns[req.RemoteAddr] = true
		s.mu.Unlock()
		if s.token != "" && (user != "x-access-token" || pass != s.token) {
			w.Header().Set("WWW-Authenticate", "Basic")
			http.Error(w, "", http.StatusUnauthorized)
			return
		}
		if strings.HasPrefix(req.URL.Path, "/careless") { // repeats the credential
			http.Error(w, "no: "+req.Header.Get("Authorization")+" "+pass+" "+url.QueryEscape(pass), http.StatusForbidden)
			return
		}
		backend.ServeHTTP(w, req)
		w.(http.Flusher).Flush() // the end of the body comes by itself, later
	}))
	t.Cleanup(s.Close)
	return s
}

// log returns the requests since the last call.
func (s *gitServer) log() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.requests
	s.requests = nil
	return out
}

func TestWebPollCostsOneListing(t *testing.T) {
	r, first := standard(t)
	s := (&gitServer{}).start(t, r, httptest.NewServer)
	g := mustGit(t, GitOptions{URL: s.URL + "/spec/.git/"})
	if tree := mustTree(t, g); tree.Revision != first || tree.Origin != s.URL+"/spec/.git@main" {
		t.Fatalf("got %+v", tree)
	}
	listing, transfer := "GET /spec/.git/info/refs", "POST /spec/.git/git-upload-pack"
	if got := s.log(); !slices.Equal(got, []string{listing, transfer}) {
		t.Errorf("a changed revision cost %v", got)
	}
	for range 3 {
		if _, err := g.Fetch(t.Context(), first); !errors.Is(err, ErrUnchanged) {
			t.Fatalf("second fetch: %v", err)
		}
	}
	if got := s.log(); !slices.Equal(got, []string{listing, listing, listing}) {
		t.Errorf("three polls cost %v", got)
	}
	if len(s.conns) != 1 {
		t.Errorf("%d connections were opened, want 1", len(s.conns))
	}
	pinned := mustGit(t, GitOptions{URL: s.URL + "/spec/.git", Ref: first})
	mustFetch(t, pinned, "")
	s.log()
	if _, err := pinned.Fetch(t.Context(), first); !errors.Is(err, ErrUnchanged) || len(s.log()) != 0 {
		t.Errorf("a pinned SHA is looked up again: %v", err)
	}
}

func TestWebTransfersOneRevisionOnly(t *testing.T) {
	r, _ := standard(t)
	r.write("big.bin", strings.Repeat("x", 1<<20)).commit()
	r.git("rm", "-q", "big.bin")
	last := r.commit()
	s := (&gitServer{}).start(t, r, httptest.NewServer)
	g := mustGit(t, GitOptions{URL: s.URL + "/spec/.git"})
	g.lim.inflated = 10_000 // the history does not fit
	if c := mustFetch(t, g, ""); c.Revision != last || len(c.Commit.Parents) != 1 {
		t.Errorf("got %s with parents %v", c.Revision, c.Commit.Parents)
	}
	r.git("config", "uploadpack.allowReachableSHA1InWant", "true")
	gone := mustGit(t, GitOptions{URL: s.URL + "/spec/.git", Ref: strings.Repeat("ab", 20)})
	_, err := gone.Fetch(t.Context(), "")
	wantError(t, err, ErrNotFound, "not our ref")
}

func TestWebFetchEndsWithItsContextInTheMiddleOfAnAnswer(t *testing.T) {
	r, _ := standard(t)
	for _, stall := range []string{http.MethodGet, http.MethodPost} {
		reached := make(chan struct{}, 1)
		s := (&gitServer{}).start(t, r, func(next http.Handler) *httptest.Server {
			return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				if req.Method != stall {
					next.ServeHTTP(w, req)
					return
				}
				_, _ = io.Copy(io.Discard, req.Body) // net/http watches for the client's end after that
				_, _ = w.Write([]byte("001e# serv"))
				w.(http.Flusher).Flush()
				reached <- struct{}{}
				<-req.Context().Done()
			}))
		})
		ctx, cancel := context.WithCancel(t.Context())
		var at time.Time
		go func() {
			<-reached
			at = time.Now()
			cancel()
		}()
		g := mustGit(t, GitOptions{URL: s.URL + "/spec/.git"})
		_, err := g.Fetch(ctx, "")
		if took := time.Since(at); took > soon {
			t.Errorf("%s: returned %v after the cancellation", stall, took)
		}
		wantError(t, err, ErrUnavailable, "interrupted")
		g.busy <- struct{}{} // the work behind it ends as well
		<-g.busy
	}
}

func TestWebToken(t *testing.T) {
	const good, bad = "ghs_GoodSecret+/=1", "ghs_BadSecret+/=2"
	r, sha := standard(t)
	s := (&gitServer{token: good}).start(t, r, httptest.NewServer)
	url := s.URL + "/spec/.git"
	file := filepath.Join(t.TempDir(), "token")

	write(t, file, bad+"\n")
	rotated := mustGit(t, GitOptions{URL: url, TokenFile: file})
	_, err := rotated.Fetch(t.Context(), "")
	wantError(t, err, ErrDenied, "the server refused the token in "+file)
	noSecret(t, err, bad)

	write(t, file, good+"\n")
	if c := mustFetch(t, rotated, ""); c.Revision != sha {
		t.Errorf("got %s", c.Revision)
	}

	say := func(token string, err error) func(context.Context) (string, error) {
		return func(context.Context) (string, error) { return token, err }
	}
	for name, tt := range map[string]struct {
		o     GitOptions
		kind  error
		words string
	}{
		"none":              {GitOptions{}, ErrDenied, "give a token file"},
		"wrong":             {GitOptions{Token: say(bad, nil)}, ErrDenied, "the server refused the token"},
		"wrong user":        {GitOptions{Token: say(good, nil), Username: "me"}, ErrDenied, "the server refused"},
		"empty":             {GitOptions{Token: say(" \n", nil)}, ErrInvalid, "is empty"},
		"two lines":         {GitOptions{Token: say(bad+"\n"+bad, nil)}, ErrInvalid, "more than one line"},
		"provider fails":    {GitOptions{Token: say("", errors.New("vault is sealed"))}, ErrDenied, "vault is sealed"},
		"no file":           {GitOptions{TokenFile: file + "x"}, ErrNotFound, "token file"},
		"careless server":   {GitOptions{URL: s.URL + "/careless", Token: say(good, nil)}, ErrDenied, `saying "no: Basic (secret) (secret) (secret)"`},
		"repository hidden": {GitOptions{URL: s.URL + "/nope", Token: say(good, nil)}, ErrNotFound, "no such repository"},
	} {
		t.Run(name, func(t *testing.T) {
			if tt.o.URL == "" {
				tt.o.URL = url
			}
			_, err := mustGit(t, tt.o).Fetch(t.Context(), "")
			wantError(t, err, tt.kind, tt.words)
			noSecret(t, err, good, bad)
		})
	}
}

// noSecret fails if an error, or one wrapped in it, shows a secret in any of
// the forms it travels in.
func noSecret(t *testing.T, err error, secrets ...string) {
	t.Helper()
	text := fmt.Sprintf("%v %+v %#v", err, err, err)
	for e := err; e != nil; e = errors.Unwrap(e) {
		text += fmt.Sprintf(" %v %#v", e, e)
	}
	for _, s := range secrets {
		for _, form := range []string{s, url.QueryEscape(s), url.PathEscape(s),
			base64.StdEncoding.EncodeToString([]byte("x-access-token:" + s)), base64.StdEncoding.EncodeToString([]byte("me:" + s))} {
			if strings.Contains(text, form) {
				t.Errorf("the secret shows in: %s", text)
			}
		}
	}
}

func TestWebRedirects(t *testing.T) {
	const secret = "ghs_TravellingSecret"
	token := func(context.Context) (string, error) { return secret, nil }
	r, sha := standard(t)
	for _, host := range []string{"127.0.0.1", "localhost"} { // another port, and another host
		t.Run(host, func(t *testing.T) {
			target := (&gitServer{}).start(t, r, httptest.NewServer)
			moved := strings.Replace(strings.TrimPrefix(target.URL, "http://"), "127.0.0.1", host, 1)
			origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				if _, pass, _ := req.BasicAuth(); pass != secret {
					w.WriteHeader(http.StatusUnauthorized)
					return
				}
				http.Redirect(w, req, "http://"+moved+req.URL.Path+"?"+req.URL.RawQuery, http.StatusMovedPermanently)
			}))
			defer origin.Close()
			g := mustGit(t, GitOptions{URL: origin.URL + "/spec/.git", Token: token})

			if c := mustFetch(t, g, ""); c.Revision != sha {
				t.Errorf("got %s", c.Revision)
			}
			if len(target.auths) != 2 || strings.Join(target.auths, "") != "" {
				t.Errorf("the credential went along: %q", target.auths)
			}
			target.token = secret
			_, err := g.Fetch(t.Context(), "")
			wantError(t, err, ErrDenied, "it redirects to "+moved, "where the token is not sent")
			noSecret(t, err, secret)
			if len(target.auths) != 3 || strings.Join(target.auths, "") != "" {
				t.Errorf("the credential went along: %q", target.auths)
			}
		})
	}
}

func TestWebTLS(t *testing.T) {
	const secret = "ghs_TLSSecret"
	r, sha := standard(t)
	quiet := func(h http.Handler) *httptest.Server {
		s := httptest.NewUnstartedServer(h)
		s.Config.ErrorLog = log.New(io.Discard, "", 0) // our own "bad certificate"
		s.StartTLS()
		return s
	}
	s := (&gitServer{token: secret}).start(t, r, quiet)
	o := GitOptions{URL: s.URL + "/spec/.git", Token: func(context.Context) (string, error) { return secret, nil }}
	_, err := mustGit(t, o).Fetch(t.Context(), "")
	wantError(t, err, ErrDenied, "certificate is not trusted", "CA file")

	o.CAFile = filepath.Join(t.TempDir(), "ca.pem")
	write(t, o.CAFile, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})))
	if c := mustFetch(t, mustGit(t, o), ""); c.Revision != sha {
		t.Errorf("got %s", c.Revision)
	}

	// From https back to http is refused, credential or not.
	plain := (&gitServer{}).start(t, r, httptest.NewServer)
	down := httptest.NewTLSServer(http.RedirectHandler(plain.URL+"/spec/.git/info/refs?service=git-upload-pack", http.StatusFound))
	defer down.Close()
	write(t, o.CAFile, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: down.Certificate().Raw})))
	o.URL = down.URL + "/spec/.git"
	_, err = mustGit(t, o).Fetch(t.Context(), "")
	wantError(t, err, ErrDenied, "a redirect is not followed")
	noSecret(t, err, secret)
	if len(plain.log()) != 0 {
		t.Error("the redirect was followed")
	}
}

func TestWebAnswers(t *testing.T) {
	for name, tt := range map[string]struct {
		status int
		body   string
		kind   error
		words  string
	}{
		"web page":    {200, "<!DOCTYPE html><title>Log in</title>", ErrInvalid, "is this the URL of a Git repository?"},
		"nothing":     {200, "", ErrUnavailable, "broke off"},
		"forbidden":   {403, "rate\x1b[31m limited", ErrDenied, "rate?[31m limited"},
		"not found":   {404, "", ErrNotFound, "no such repository"},
		"gone":        {410, "", ErrInvalid, "410 Gone"},
		"overloaded":  {503, "", ErrUnavailable, "503 Service Unavailable"},
		"throttled":   {429, "", ErrUnavailable, "429 Too Many Requests"},
		"ERR":         {200, "001bERR access denied or so", ErrDenied, "access denied or so"},
		"broken list": {200, "001e# service=git-upload-pack\n0000", ErrUnavailable, "damaged or incomplete"},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(tt.status)
				_, _ = w.Write([]byte(tt.body))
			}))
			defer s.Close()
			_, err := mustGit(t, GitOptions{URL: s.URL + "/r"}).Fetch(t.Context(), "")
			wantError(t, err, tt.kind, tt.words)
		})
	}
	s := httptest.NewServer(http.NotFoundHandler())
	s.Close()
	_, err := mustGit(t, GitOptions{URL: s.URL + "/r"}).Fetch(t.Context(), "")
	wantError(t, err, ErrUnavailable, "connection refused")
}

func TestWebAnswerWithoutEndIsCutOff(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		sha := strings.Repeat("ab", 20)
		_, _ = w.Write([]byte("001e# service=git-upload-pack\n0000"))
		line := func(text string) error {
			_, err := fmt.Fprintf(w, "%04x%s", len(text)+4, text)
			return err
		}
		_ = line(sha + " refs/heads/main\x00agent=x\n")
		for i := 0; line(fmt.Sprintf("%s refs/heads/b%d\n", sha, i)) == nil; i++ {
			continue
		}
	}))
	defer s.Close()
	g := mustGit(t, GitOptions{URL: s.URL + "/r"})
	g.lim.pack = 1 << 16
	_, err := g.Fetch(t.Context(), "")
	wantError(t, err, ErrUnavailable, "the answer is too long")
}

func TestWebReadsLittleOfAFailure(t *testing.T) {
	sent := make(chan int, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
		n, page := 0, make([]byte, 64<<10)
		for n < 64<<20 {
			m, err := w.Write(page)
			if n += m; err != nil {
				break
			}
		}
		sent <- n
	}))
	defer s.Close()
	_, err := mustGit(t, GitOptions{URL: s.URL + "/r"}).Fetch(t.Context(), "")
	wantError(t, err, ErrUnavailable, "500")
	if n := <-sent; n > 32<<20 { // the kernel's buffers take some
		t.Errorf("the server could send %d bytes", n)
	}
}

// onceRead notes if its end was reached before it was closed.
type onceRead struct {
	io.Reader
	ended, closed bool
}

func (r *onceRead) Read(b []byte) (int, error) {
	n, err := r.Reader.Read(b)
	r.ended = r.ended || err == io.EOF
	return n, err
}

func (r *onceRead) Close() error { r.closed = true; return nil }

func TestWebBodyIsReadToANearEnd(t *testing.T) {
	for rest, want := range map[int]bool{5: true, 1 << 20: false} {
		inner := &onceRead{Reader: strings.NewReader("listing" + strings.Repeat("x", rest))}
		b := &probedBody{ReadCloser: inner, left: 1 << 30, p: &probe{}}
		if _, err := io.ReadFull(b, make([]byte, 7)); err != nil {
			t.Fatal(err)
		}
		if err := b.Close(); err != nil || !inner.closed || inner.ended != want {
			t.Errorf("with %d bytes left: ended %v, closed %v, %v", rest, inner.ended, inner.closed, err)
		}
	}
}

func TestWebDamagedPack(t *testing.T) {
	r, _ := standard(t)
	s := (&gitServer{}).start(t, r, httptest.NewServer)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.Method == http.MethodGet {
			http.Redirect(w, req, "/real"+req.URL.Path+"?"+req.URL.RawQuery, http.StatusFound)
			return
		}
		_, _ = w.Write([]byte("0008NAK\n0015\x01PACK\x00\x00\x00\x02\x00\x00\x00\x09xx0000"))
	}))
	defer front.Close()
	mux := http.NewServeMux()
	mux.Handle("GET /real/", http.StripPrefix("/real", s.Config.Handler))
	mux.Handle("/", front.Config.Handler)
	both := httptest.NewServer(mux)
	defer both.Close()
	_, err := mustGit(t, GitOptions{URL: both.URL + "/spec/.git"}).Fetch(t.Context(), "")
	wantError(t, err, ErrUnavailable)
	if !strings.Contains(err.Error(), "damaged pack") && !strings.Contains(err.Error(), "broke off") {
		t.Error(err)
	}
}

func BenchmarkWebPoll(b *testing.B) {
	r, first := standard(b)
	adv := gitCommand(r.dir, "upload-pack", "--advertise-refs", r.dir)
	refs, err := adv.Output()
	if err != nil {
		b.Fatal(err)
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(append([]byte("001e# service=git-upload-pack\n0000"), refs...))
	}))
	defer s.Close()
	g := mustGit(b, GitOptions{URL: s.URL + "/r"})
	for b.Loop() {
		if _, err := g.Fetch(b.Context(), first); !errors.Is(err, ErrUnchanged) {
			b.Fatal(err)
		}
	}
}

func BenchmarkFileFetch1000(b *testing.B) {
	r := newRepo(b)
	for i := range 1000 {
		r.write(fmt.Sprintf("d%d/f%d.cue", i%10, i), fmt.Sprintf("package d\nx%d: %d\n", i, i))
	}
	r.write("a.cue", "package a\n").commit()
	g := mustGit(b, GitOptions{URL: r.dir})
	b.ReportAllocs()
	for b.Loop() {
		mustTree(b, g)
	}
}
