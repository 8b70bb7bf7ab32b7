package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/hactl/hactl/engines/cloudflare/cfsim"
	"github.com/hactl/hactl/engines/host"
	"github.com/hactl/hactl/schema/load"
)

// TestMain lets this binary stand in for hactl: a script's command "hactl" is
// the binary itself under that name, and so is the child that evaluates.
func TestMain(m *testing.M) {
	if load.IsEvaluator() {
		// os.Exit would sleep for a second under the race detector; GORACE,
		// which tells it not to, is kept from the evaluator.
		syscall.Exit(load.Evaluate(os.Stdin, os.Stdout, os.Stderr))
	}
	if host.IsEngine() {
		os.Exit(host.RunEngine())
	}
	if address := os.Getenv(envHealth); address != "" {
		os.Exit(serveHealth(address))
	}
	testscript.Main(m, map[string]func(){"hactl": func() { os.Exit(run()) }})
}

// gorace keeps the race detector, where there is one, from sleeping for a
// second at the end of each process.
const gorace = "GORACE=atexit_sleep_ms=0"

// envHealth makes this binary a proxy that is well, at that address.
const envHealth = "HACTL_TEST_HEALTH"

func serveHealth(address string) int {
	err := http.ListenAndServe(address, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// TestScript runs testdata/script/*.txtar. Each script has a simulated
// Cloudflare with the zone example.com, a journal and a home of its own, and
// these commands beyond testscript's:
//
//	exits CODE PROGRAM ARGUMENT...    run, and want just that exit code
//	gitserver [TOKEN]                 serve $WORK over http as $GITURL
//	sim new [KEY=VALUE]...            start again with an empty account: token=
//	                                  is the one it takes, quota= how many
//	                                  requests, zone= one more zone
//	sim fault METHOD PATH KIND ...    let requests fail; sim heal ends that
//	sim forget                        forget the requests counted so far
//	sim requests N METHOD PATTERN     want so many ("<=N", ">=N") since then
//	sim wait METHOD PATTERN           until such a request has arrived
//	sim api METHOD PATH [FILE]        what somebody else does; prints the answer
//	sim count N PATH [PATTERN]        want so many objects in that list
//	sim id NAME PATH PATTERN          set $NAME to the id of the one object
//	sim connect TUNNEL N              give a tunnel N connectors
//	sim connectors TUNNEL ADDRESS...  let just these be connected
//	sim finds POOL ORIGIN [REASON]    what a monitor finds of an origin: it is
//	                                  healthy, or what is wrong
//
// In paths, A/ is the account and Z/ the zone; patterns match compact JSON.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                filepath.Join("..", "..", "testdata", "script"),
		Setup:              newWorld,
		RequireUniqueNames: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "sim": simulate, "gitserver": serveGit,
		},
	})
}

// world is what surrounds one script.
type world struct {
	atomic.Pointer[cfsim.Server] // replaced by sim new
}

func newWorld(e *testscript.Env) error {
	w := &world{}
	w.reset(cfsim.Options{})
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.Load().ServeHTTP(rw, r) }))
	e.Defer(server.Close)
	e.Values[worldKey{}] = w
	home := filepath.Join(e.WorkDir, ".home")
	e.Vars = append(e.Vars,
		"CLOUDFLARE_BASE_URL="+server.URL+cfsim.Prefix, "CLOUDFLARE_ACCOUNT_ID="+w.Load().Account(), "CLOUDFLARE_API_TOKEN=a-token-of-a-test",
		"CLOUDFLARE_API_TOKEN_FILE=", "HACTL_STATE_DIR="+filepath.Join(e.WorkDir, ".state"), "HACTL_GIT_TOKEN=", "HOME="+home,
		"XDG_STATE_HOME=", "STATE_DIRECTORY=", "CREDENTIALS_DIRECTORY=", "HACTL_AGE_IDENTITY_FILE=", "NO_COLOR=", "TERM=xterm", "SSH_AUTH_SOCK=",
		gorace, "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=C", "GIT_COMMITTER_EMAIL=c@example.com",
	)
	return os.MkdirAll(home, 0o755)
}

type worldKey struct{}

func (w *world) reset(o cfsim.Options) {
	o.Zones = append(o.Zones, "example.com")
	w.Store(cfsim.New(o))
}

// exits runs a program and compares its exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARGUMENT...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code is %d, want %d", got, want)
	}
}

// serveGit serves the work directory's repositories.
func serveGit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 1 {
		ts.Fatalf("usage: gitserver [TOKEN]")
	}
	git, err := exec.LookPath("git")
	ts.Check(err)
	backend := &cgi.Handler{
		Path: git, Args: []string{"http-backend"}, Dir: "/", Stderr: io.Discard,
		Env: []string{"GIT_PROJECT_ROOT=" + ts.Getenv("WORK"), "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1"},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pass, _ := r.BasicAuth(); len(args) == 1 && pass != args[0] {
			w.Header().Set("WWW-Authenticate", "Basic")
			http.Error(w, "", http.StatusUnauthorized)
			return
		}
		backend.ServeHTTP(w, r)
	}))
	ts.Defer(server.Close)
	ts.Setenv("GITURL", server.URL)
}

// simulate is the command sim.
func simulate(ts *testscript.TestScript, neg bool, args []string) {
	w := ts.Value(worldKey{}).(*world)
	commands := map[string]struct {
		least, most int
		run         func(*testscript.TestScript, []string)
	}{
		"new": {0, 3, w.renew}, "fault": {3, 9, w.fault}, "heal": {0, 0, w.heal}, "forget": {0, 0, w.forget},
		"requests": {3, 3, w.requests}, "wait": {2, 2, w.wait}, "api": {2, 3, w.api}, "count": {2, 3, w.count}, "id": {3, 3, w.id}, "connect": {2, 2, w.connect},
		"connectors": {1, 9, w.connectors}, "finds": {2, 3, w.finds},
	}
	if len(args) == 0 {
		ts.Fatalf("usage: sim COMMAND")
	}
	c, ok := commands[args[0]]
	if n := len(args) - 1; neg || !ok || n < c.least || n > c.most {
		ts.Fatalf("sim %s: see TestScript for its use", strings.Join(args, " "))
	}
	c.run(ts, args[1:])
}

func (w *world) renew(ts *testscript.TestScript, args []string) {
	var o cfsim.Options
	for _, a := range args {
		var err error
		switch key, value, _ := strings.Cut(a, "="); key {
		case "token":
			o.Token = value
		case "quota":
			o.Quota, err = strconv.Atoi(value)
		case "zone":
			o.Zones = append(o.Zones, value)
		default:
			ts.Fatalf("sim new %s: want token=, quota= or zone=", a)
		}
		ts.Check(err)
	}
	w.reset(o)
}

func (w *world) fault(ts *testscript.TestScript, args []string) {
	f, err := cfsim.ParseFault(strings.Join(args, " "))
	ts.Check(err)
	w.Load().Inject(f)
}

func (w *world) heal(*testscript.TestScript, []string) { w.Load().ClearFaults() }

func (w *world) forget(*testscript.TestScript, []string) { w.Load().ResetLog() }

func (w *world) requests(ts *testscript.TestScript, args []string) {
	found := w.seen(ts, args[1], args[2])
	if !compares(ts, len(found), args[0]) {
		ts.Fatalf("%d requests, want %s:\n%s", len(found), args[0], strings.Join(found, "\n"))
	}
}

func (w *world) wait(ts *testscript.TestScript, args []string) {
	for end := time.Now().Add(20 * time.Second); len(w.seen(ts, args[0], args[1])) == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			ts.Fatalf("no request %s %s arrives", args[0], args[1])
		}
	}
}

// seen describes the requests that match.
func (w *world) seen(ts *testscript.TestScript, method, expression string) []string {
	pattern, err := regexp.Compile(expression)
	ts.Check(err)
	var found []string
	for _, r := range w.Load().Requests() {
		if (method == "*" || method == r.Method) && pattern.MatchString(r.Path+"?"+r.Query) {
			found = append(found, fmt.Sprintf("%s %s?%s %d %s", r.Method, r.Path, r.Query, r.Status, r.Fault))
		}
	}
	return found
}

// compares reads "3", "<=3" and ">=3".
func compares(ts *testscript.TestScript, n int, want string) bool {
	digits := strings.TrimLeft(want, "<>=")
	m, err := strconv.Atoi(digits)
	ts.Check(err)
	switch strings.TrimSuffix(want, digits) {
	case "<=":
		return n <= m
	case ">=":
		return n >= m
	}
	return n == m
}

func (w *world) api(ts *testscript.TestScript, args []string) {
	body := ""
	if len(args) == 3 {
		body = ts.ReadFile(args[2])
	}
	// References to the script's variables stand in files too.
	body = os.Expand(body, ts.Getenv)
	_, err := ts.Stdout().Write(append(w.ask(ts, args[0], args[1], body), '\n'))
	ts.Check(err)
}

// ask sends a request as somebody other than hactl. Faults, quota and counts see
// it like any other.
func (w *world) ask(ts *testscript.TestScript, method, path, body string) []byte {
	switch {
	case strings.HasPrefix(path, "A/"):
		path = "/accounts/" + w.Load().Account() + path[1:]
	case strings.HasPrefix(path, "Z/"):
		path = "/zones/" + w.Load().ZoneID("example.com") + path[1:]
	}
	r := httptest.NewRequest(method, cfsim.Prefix+path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+ts.Getenv("CLOUDFLARE_API_TOKEN"))
	r.Header.Set("Content-Type", "application/json")
	rec := httptest.NewRecorder()
	w.Load().ServeHTTP(rec, r)
	if rec.Code >= 300 {
		ts.Fatalf("%s %s: %d %s", method, path, rec.Code, rec.Body)
	}
	var envelope struct {
		Result json.RawMessage `json:"result"`
	}
	ts.Check(json.Unmarshal(rec.Body.Bytes(), &envelope))
	var compact bytes.Buffer
	ts.Check(json.Compact(&compact, envelope.Result))
	return compact.Bytes()
}

// list returns the objects of a list that match.
func (w *world) list(ts *testscript.TestScript, path, expression string) [][]byte {
	pattern, err := regexp.Compile(expression)
	ts.Check(err)
	var all []json.RawMessage
	ts.Check(json.Unmarshal(w.ask(ts, http.MethodGet, path, ""), &all))
	var matching [][]byte
	for _, raw := range all {
		if pattern.Match(raw) {
			matching = append(matching, raw)
		}
	}
	return matching
}

func (w *world) count(ts *testscript.TestScript, args []string) {
	matching := w.list(ts, args[1], strings.Join(args[2:], ""))
	if !compares(ts, len(matching), args[0]) {
		ts.Fatalf("%d objects, want %s:\n%s", len(matching), args[0], bytes.Join(matching, []byte("\n")))
	}
}

func (w *world) id(ts *testscript.TestScript, args []string) {
	matching := w.list(ts, args[1], args[2])
	if len(matching) != 1 {
		ts.Fatalf("%d objects match %s, want one:\n%s", len(matching), args[2], bytes.Join(matching, []byte("\n")))
	}
	var object struct {
		ID string `json:"id"`
	}
	ts.Check(json.Unmarshal(matching[0], &object))
	ts.Setenv(args[0], object.ID)
}

func (w *world) connect(ts *testscript.TestScript, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	var tunnel struct {
		ID string `json:"id"`
	}
	matching := w.list(ts, "A/cfd_tunnel?is_deleted=false", `"name":"`+regexp.QuoteMeta(args[0])+`"`)
	if len(matching) != 1 {
		ts.Fatalf("%d tunnels are named %s", len(matching), args[0])
	}
	ts.Check(json.Unmarshal(matching[0], &tunnel))
	w.Load().Connect(tunnel.ID, n)
}

func (w *world) connectors(ts *testscript.TestScript, args []string) {
	ts.Check(w.Load().ConnectFrom(args[0], args[1:]...))
}

func (w *world) finds(ts *testscript.TestScript, args []string) {
	reason := strings.Join(args[2:], "")
	ts.Check(w.Load().SetHealth(args[0], args[1], cfsim.Finding{Healthy: reason == "", Reason: reason}))
}
