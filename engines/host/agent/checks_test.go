package agent

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hactl/hactl/schema"
)

func TestFirstResultCountsAtOnceThenRiseAndFall(t *testing.T) {
	for _, c := range []struct {
		name    string
		start   tally
		results string // + good, - bad
		states  string // after each result; ! where it changed
	}{
		{"first good", tally{rise: 2, fall: 3}, "+--+---+-++", "+!+ + + + + -!- - - +!"},
		{"first bad", tally{rise: 1, fall: 2}, "-+--", "-!+!+ -!"},
		{"known good", tally{rise: 2, fall: 2, known: true, ok: true}, "+--", "+ + -!"},
		{"known bad", tally{rise: 2, fall: 2, known: true}, "-++", "- - +!"},
	} {
		var got strings.Builder
		for _, r := range c.results {
			changed := c.start.add(r == '+')
			got.WriteByte(map[bool]byte{true: '+', false: '-'}[c.start.ok])
			got.WriteByte(map[bool]byte{true: '!', false: ' '}[changed])
		}
		if got.String() != c.states {
			t.Errorf("%s: %s gives %q, want %q", c.name, c.results, got.String(), c.states)
		}
	}
}

func tryOnce(t *testing.T, h schema.HealthCheck) error {
	t.Helper()
	p := newProbe("lb01", "c", h.WithDefaults())
	defer p.close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	return p.try(ctx)
}

func wants(t *testing.T, what string, err error, part string) {
	t.Helper()
	switch {
	case part == "" && err != nil:
		t.Errorf("%s: %v", what, err)
	case part != "" && (err == nil || !strings.Contains(err.Error(), part)):
		t.Errorf("%s: %v, want %q in it", what, err, part)
	}
}

func TestHTTP(t *testing.T) {
	var seen *http.Request
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = r
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, "/ok", http.StatusFound)
		case "/bad":
			w.WriteHeader(http.StatusServiceUnavailable)
		case "/late":
			fmt.Fprint(w, strings.Repeat("x", bodyLimit), "here")
		default:
			fmt.Fprint(w, "all is well")
		}
	})
	plain, tls := httptest.NewServer(handler), httptest.NewTLSServer(handler)
	defer plain.Close()
	defer tls.Close()
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	check := func(path string, f func(*schema.HealthCheck)) schema.HealthCheck {
		h := schema.HealthCheck{Type: "http", URL: plain.URL + path, ExpectedCodes: "2xx"}
		if f != nil {
			f(&h)
		}
		return h
	}
	for _, c := range []struct {
		what string
		h    schema.HealthCheck
		want string
	}{
		{"a good answer", check("/ok", nil), ""},
		{"its text", check("/ok", func(h *schema.HealthCheck) { h.ExpectedBody = "is well" }), ""},
		{"another text", check("/ok", func(h *schema.HealthCheck) { h.ExpectedBody = "ill" }), "the expected text is not in the answer"},
		{"text too far behind", check("/late", func(h *schema.HealthCheck) { h.ExpectedBody = "here" }), "the expected text is not in the answer"},
		{"another status", check("/bad", nil), "status 503, want 2xx"},
		{"a status that is wanted", check("/bad", func(h *schema.HealthCheck) { h.ExpectedCodes = "500-599" }), ""},
		{"a redirect", check("/moved", nil), "status 302, want 2xx"},
		{"a redirect to follow", check("/moved", func(h *schema.HealthCheck) { h.FollowRedirects = true }), ""},
		{"a certificate of nobody", check("", func(h *schema.HealthCheck) { h.URL = tls.URL }), "certificate"},
		{"any certificate", check("", func(h *schema.HealthCheck) { h.URL, h.AllowInsecure = tls.URL, true }), ""},
		{"nobody there", check("", func(h *schema.HealthCheck) { h.URL = "http://127.0.0.1:1/?token=hunter2" }), "connection refused"},
	} {
		err := tryOnce(t, c.h)
		wants(t, c.what, err, c.want)
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the URL is in the error: %v", c.what, err)
		}
	}
	wants(t, "headers", tryOnce(t, check("/ok", func(h *schema.HealthCheck) {
		h.Method, h.Header = "HEAD", map[string]string{"Host": "www.example.com", "X-Probe": "1"}
	})), "")
	if seen.Host != "www.example.com" || seen.Header.Get("X-Probe") != "1" || seen.Method != "HEAD" {
		t.Errorf("asked %s %s %v", seen.Method, seen.Host, seen.Header)
	}
}

func TestTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	wants(t, "somebody listens", tryOnce(t, schema.HealthCheck{Type: "tcp", Address: l.Addr().String()}), "")
	_ = l.Close()
	wants(t, "nobody listens", tryOnce(t, schema.HealthCheck{Type: "tcp", Address: l.Addr().String()}), "connection refused")
}

// needRoot skips what needs to become another user, but never in CI.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("HACTL_NETNS") == "required" {
		t.Fatal("this needs root")
	}
	t.Skip("this needs root")
}

func TestExecIsUnprivilegedAndAlone(t *testing.T) {
	needRoot(t)
	t.Setenv("CLOUDFLARE_API_TOKEN", "hunter2")
	dir := t.TempDir()
	for d := dir; d != "/tmp" && d != "/"; d = filepath.Dir(d) {
		_ = os.Chmod(d, 0o755)
	}
	out := filepath.Join(dir, "out")
	if err := os.WriteFile(out, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(out, 0o666); err != nil {
		t.Fatal(err)
	}
	script := `id -un > "$1"; id -G >> "$1"; env >> "$1"; grep CapEff /proc/self/status >> "$1"; pwd >> "$1"`
	wants(t, "exec", tryOnce(t, schema.HealthCheck{Type: "exec", Command: []string{"/bin/sh", "-c", script, "sh", out}}), "")
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	got := string(b)
	for _, want := range []string{"nobody\n", "HACTL_CHECK=c\n", "HACTL_HOST=lb01\n", "CapEff:\t0000000000000000\n", "\n/\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if strings.Contains(got, "hunter2") || strings.Contains(got, "HOME=") {
		t.Errorf("it inherits:\n%s", got)
	}
	wants(t, "another exit code", tryOnce(t, schema.HealthCheck{Type: "exec", Command: []string{"/bin/false"}}), "exit status 1")
	wants(t, "no program", tryOnce(t, schema.HealthCheck{Type: "exec", Command: []string{"/nosuch"}}), "no such file")
	wants(t, "no user", tryOnce(t, schema.HealthCheck{Type: "exec", User: "nosuch", Command: []string{"/bin/true"}}), "no user nosuch")
}

// TestExecLeavesNothingBehind: what a check starts and does not wait for.
func TestExecLeavesNothingBehind(t *testing.T) {
	needRoot(t)
	pids := filepath.Join(t.TempDir(), "pids")
	wants(t, "a program that forks", tryOnce(t, schema.HealthCheck{Type: "exec", User: "root", Command: []string{"/bin/sh", "-c", `sleep 600 & echo $! > "$1"`, "sh", pids}}), "")
	b, err := os.ReadFile(pids)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "its child ends", func() bool {
		s, err := os.ReadFile("/proc/" + strings.TrimSpace(string(b)) + "/stat")
		return err != nil || strings.Contains(string(s), ") Z ")
	})
}

// TestRootRunsNothingThatOthersCanChange: a program, or a folder on the way.
func TestRootRunsNothingThatOthersCanChange(t *testing.T) {
	needRoot(t)
	dir := filepath.Join(t.TempDir(), "d")
	program := filepath.Join(dir, "p")
	for _, c := range []struct {
		dir, program os.FileMode
		owner        int
		want         string
	}{
		{0o755, 0o755, 0, ""}, {0o775, 0o755, 0, "others than root can change " + dir}, {0o755, 0o757, 0, "others than root can change " + program},
		{0o755, 0o755, 65534, "others than root can change " + program},
	} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		for name, mode := range map[string]os.FileMode{dir: c.dir, program: c.program} {
			if err := os.Chmod(name, mode); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chown(program, c.owner, 0); err != nil {
			t.Fatal(err)
		}
		wants(t, fmt.Sprintf("%+v", c), tryOnce(t, schema.HealthCheck{Type: "exec", User: "root", Command: []string{program}}), c.want)
	}
}

// TestExecIsEndedInTimeWithAllItStarted: a shell that hangs in a child.
func TestExecIsEndedInTimeWithAllItStarted(t *testing.T) {
	needRoot(t)
	pids := filepath.Join(t.TempDir(), "pids")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	go func() { // its time is over once it hangs
		for tick := time.Tick(2 * time.Millisecond); ctx.Err() == nil; <-tick {
			if _, err := os.Stat(pids); err == nil {
				cancel()
			}
		}
	}()
	script := `sleep 600 & echo $! $$ > "$1.new"; mv "$1.new" "$1"; wait`
	_, err := run(ctx, []string{"/bin/sh", "-c", script, "sh", pids}, "root", nil, false)
	wants(t, "a hanging program", err, "no result in time")
	b, err := os.ReadFile(pids)
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range strings.Fields(string(b)) {
		eventually(t, "process "+pid+" ends", func() bool {
			s, err := os.ReadFile("/proc/" + pid + "/stat")
			return err != nil || strings.Contains(string(s), ") Z ")
		})
	}
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(20 * time.Second); !holds(); <-tick.C {
		if time.Now().After(limit) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// record is what checks found, in order.
type record struct {
	mu    sync.Mutex
	found []string
}

func (r *record) add(name string, ok bool, _ string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.found = append(r.found, fmt.Sprint(name, " ", ok))
}

func (r *record) is(want ...string) func() bool {
	return func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return strings.Join(r.found, ",") == strings.Join(want, ",")
	}
}

// TestTheEndOfAProcessIsNoticedAtOnce: long before the interval is over.
func TestTheEndOfAProcessIsNoticedAtOnce(t *testing.T) {
	name := fmt.Sprintf("victim%d", os.Getpid()) // whoever else runs this test has others
	program := filepath.Join(t.TempDir(), name)
	sleep, err := os.ReadFile("/bin/sleep")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, sleep, 0o755); err != nil {
		t.Fatal(err)
	}
	victim := func() *exec.Cmd {
		cmd := exec.Command(program, "600")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		eventually(t, "it is called so", func() bool { return called(cmd.Process.Pid, name) })
		return cmd
	}
	one, two := victim(), victim()
	var r record
	c := newChecks(r.add, nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	h := schema.HealthCheck{Type: "process", Process: name, Processes: 2, Interval: schema.Seconds(3600), Timeout: schema.Seconds(5)}.WithDefaults()
	c.set(ctx, "lb01", map[string]schema.HealthCheck{"p": h}, nil)
	eventually(t, "both are found", r.is("p true"))
	if err := one.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = one.Wait()
	eventually(t, "one is missed", r.is("p true", "p false"))
	_ = two.Process.Kill()
	c.set(ctx, "lb01", nil, nil)
}

func TestUnchangedChecksGoOnAndKnownOnesKeepTheirState(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan struct{}, 1000)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_ = conn.Close()
			accepted <- struct{}{}
		}
	}()
	var r record
	c := newChecks(r.add, nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	h := schema.HealthCheck{Type: "tcp", Address: l.Addr().String(), Interval: schema.Seconds(3600), Timeout: schema.Seconds(5)}.WithDefaults()
	c.set(ctx, "lb01", map[string]schema.HealthCheck{"a": h, "b": h}, map[string]bool{"b": true})
	<-accepted
	<-accepted
	eventually(t, "what was known is not told", r.is("a true"))
	before := c.running["a"]
	c.set(ctx, "lb01", map[string]schema.HealthCheck{"a": h}, map[string]bool{"a": true})
	if c.running["a"] != before || len(c.running) != 1 {
		t.Error("a check that stays was begun anew, or one that goes goes on")
	}
	c.set(ctx, "lb01", nil, nil)
}
