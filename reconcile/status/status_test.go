package status_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/follow"
	"github.com/hactl/hactl/reconcile/status"
)

const token = "correct horse battery staple"

// all are facts with something of everything, no two numbers alike.
func all() status.Facts {
	at := func(s int64) time.Time { return time.Unix(1700000000+s, 500e6) }
	return status.Facts{
		Host: "lb01", Build: "v1",
		Follow: follow.State{
			Fetch:    follow.Fetching{Success: at(1), Err: "no route to host"},
			Revision: "abc", Signer: "alice@example.com", Accepted: at(2), Restored: true,
			Refused: &follow.Refusal{Reason: follow.Guarded}, Suspended: &follow.Suspension{}, Unsaved: "full", Unfit: "no secret",
		},
		Edge: follow.EdgeState{
			Leadership: follow.Leadership{Mine: true}, Applied: at(3), Looked: at(4), Err: "refused", Waits: "suspended", Objects: 12,
			Pending: make([]reconcile.Step, 2), Drift: make([]reconcile.Step, 3), Conflicts: make([]reconcile.Finding, 4), Violations: make([]reconcile.Violation, 5),
			Health: &reconcile.Health{
				Read:  at(5),
				Pools: map[string]reconcile.PoolHealth{"main": {Healthy: true}, "away": {}},
				Tunnels: map[string]reconcile.TunnelHealth{
					"home": {Status: "healthy", Connectors: make([]reconcile.ConnectorHealth, 2)}, "cut": {Status: "down"}, "dim": {Status: "healthy"},
				},
			},
		},
		Drift: 6, API: &status.API{Requests: 70, Left: 80},
		Engine: &status.Engine{
			FIFO: true, Late: 1500 * time.Microsecond,
			Routers: []status.Router{{
				Name: "web", Interface: "eth0", VRID: 50, Priority: 150, State: "active", Sent: 9, Received: 10,
				Transitions: map[string]uint64{"active": 11}, Dropped: map[string]uint64{"checksum": 13}, Problem: "no link",
			}},
			Links:  []status.Link{{Name: "eth0", Up: true}, {Name: "eth1"}},
			Checks: []status.Check{{Name: "http", OK: true, Tried: true}, {Name: "dns", Tried: true}, {Name: "new"}},
		},
	}
}

// scrape returns hactl's samples, a line each, and all that was written.
func scrape(t *testing.T, h http.Handler) (samples []string, text string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	for line := range strings.Lines(w.Body.String()) {
		if strings.HasPrefix(line, "hactl_") {
			samples = append(samples, strings.TrimSpace(line))
		}
	}
	return samples, w.Body.String()
}

func TestMetricsAreTheFacts(t *testing.T) {
	m := status.NewMetrics(all)
	m.Follow(follow.Event{Kind: follow.EventRefused, Reason: follow.Guarded})
	m.Follow(follow.Event{Kind: follow.EventApplied})
	m.Observe(reconcile.Event{Kind: reconcile.StepDone, Step: reconcile.Step{Action: reconcile.Create}})
	m.Observe(reconcile.Event{Kind: reconcile.StepFailed, Step: reconcile.Step{Action: reconcile.Delete}})
	m.Observe(reconcile.Event{Kind: reconcile.StepStarted, Step: reconcile.Step{Action: reconcile.Delete}})
	m.Observe(reconcile.Event{Kind: reconcile.WaitForBudget})
	m.Observe(reconcile.Event{Kind: reconcile.WaitForServer})
	got, text := scrape(t, m)
	want := strings.Split(strings.TrimSpace(`
hactl_api_budget_remaining 80
hactl_api_requests_total 70
hactl_api_waits_total 2
hactl_build_info{build="v1",host="lb01"} 1
hactl_check_ok{check="dns"} 0
hactl_check_ok{check="http"} 1
hactl_edge_conflicts 4
hactl_edge_drift_steps 3
hactl_edge_failing 1
hactl_edge_health_read_timestamp_seconds 1.7000000055e+09
hactl_edge_last_success_timestamp_seconds 1.7000000035e+09
hactl_edge_objects 12
hactl_edge_pending_steps 2
hactl_edge_pool_healthy{pool="away"} 0
hactl_edge_pool_healthy{pool="main"} 1
hactl_edge_read_timestamp_seconds 1.7000000045e+09
hactl_edge_steps_total{action="create",result="done"} 1
hactl_edge_steps_total{action="delete",result="failed"} 1
hactl_edge_tunnel_connectors{tunnel="cut"} 0
hactl_edge_tunnel_connectors{tunnel="home"} 2
hactl_edge_violations 5
hactl_edge_waiting 1
hactl_engine_lateness_max_seconds 0.0015
hactl_engine_realtime 1
hactl_engine_up 1
hactl_events_total{kind="applied"} 1
hactl_events_total{kind="refused"} 1
hactl_fetch_failing 1
hactl_fetch_last_success_timestamp_seconds 1.7000000015e+09
hactl_host_drift_steps 6
hactl_host_unfit 1
hactl_last_good_unsaved 1
hactl_leader 1
hactl_link_up{interface="eth0"} 1
hactl_link_up{interface="eth1"} 0
hactl_refusals_total{reason="guarded"} 1
hactl_refusals_total{reason="invalid"} 0
hactl_refusals_total{reason="rewound"} 0
hactl_refusals_total{reason="unfit"} 0
hactl_refusals_total{reason="untrusted"} 0
hactl_refused{reason="guarded"} 1
hactl_refused{reason="invalid"} 0
hactl_refused{reason="rewound"} 0
hactl_refused{reason="unfit"} 0
hactl_refused{reason="untrusted"} 0
hactl_revision_accepted_timestamp_seconds 1.7000000025e+09
hactl_revision_info{revision="abc",signer="alice@example.com"} 1
hactl_revision_restored 1
hactl_router_advertisements_total{direction="received",router="web"} 10
hactl_router_advertisements_total{direction="sent",router="web"} 9
hactl_router_dropped_total{reason="checksum",router="web"} 13
hactl_router_priority{interface="eth0",router="web",vrid="50"} 150
hactl_router_problem{router="web"} 1
hactl_router_state{router="web",state="active"} 1
hactl_router_state{router="web",state="backup"} 0
hactl_router_state{router="web",state="fault"} 0
hactl_router_state{router="web",state="initialize"} 0
hactl_router_state{router="web",state="maintenance"} 0
hactl_router_state{router="web",state="releasing"} 0
hactl_router_transitions_total{router="web",to="active"} 11
hactl_suspended 1`), "\n")
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "hactl_") {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

func TestNothingIsClaimedOfWhatIsNotThere(t *testing.T) {
	got, _ := scrape(t, status.NewMetrics(func() status.Facts { return status.Facts{} }))
	for _, s := range got {
		if !strings.HasSuffix(s, " 0") && !strings.HasPrefix(s, "hactl_build_info") {
			t.Error(s)
		}
		for _, absent := range []string{"engine", "router", "link", "check", "api_requests", "api_budget", "timestamp", "revision_info"} {
			if strings.Contains(s, absent) {
				t.Errorf("%s: of nothing", s)
			}
		}
	}
	// An engine that ought to answer is another matter.
	got, _ = scrape(t, status.NewMetrics(func() status.Facts { return status.Facts{EngineErr: errors.New("refused")} }))
	if !slices.Contains(got, "hactl_engine_up 0") {
		t.Error("an engine that does not answer is not shown")
	}
}

// A name from outside, such as a signer's, must not cost the whole scrape.
func TestAnyTextMayBeALabel(t *testing.T) {
	f := all()
	f.Follow.Signer, f.Host, f.Engine.Links[0].Name = "al\xffice", "lb\xfe", "eth\xfd\"\n"
	got, _ := scrape(t, status.NewMetrics(func() status.Facts { return f }))
	if len(got) < 40 {
		t.Errorf("%d samples", len(got))
	}
}

func TestScrapesAtTheSameTime(t *testing.T) {
	m := status.NewMetrics(all)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { scrape(t, m); m.Follow(follow.Event{Kind: follow.EventDrift}) })
	}
	wg.Wait()
}

// control notes what it is told.
type control struct {
	mu   sync.Mutex
	told []string
	err  error
}

func (c *control) tell(format string, args ...any) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told = append(c.told, fmt.Sprintf(format, args...))
	return c.err
}

func (c *control) Sync(_ context.Context, allowed []reconcile.Rule) error {
	return c.tell("sync %v", allowed)
}

func (c *control) Suspend(until time.Time, reason string) error {
	return c.tell("suspend %s %s", until.UTC().Format(time.RFC3339), reason)
}
func (c *control) Resume() error { return c.tell("resume") }

func server(facts func() status.Facts) (*status.Server, *control) {
	c := &control{}
	return &status.Server{
		Facts: facts, Metrics: status.NewMetrics(facts), Control: c, Token: func() (string, error) { return token, nil },
		Report: func(context.Context) any { return map[string]string{"host": "<lb01>"} },
	}, c
}

func ask(h http.Handler, method, path, bearer, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Host = "localhost"
	if bearer != "" {
		r.Header.Set("Authorization", bearer)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestWhoMayReadWhat(t *testing.T) {
	s, _ := server(all)
	current, fails := token, error(nil)
	s.Token = func() (string, error) { return current, fails }
	reader, local := s.Reader(), s.Local()
	check := func(h http.Handler, path, bearer string, want int) {
		t.Helper()
		w := ask(h, http.MethodGet, path, bearer, "")
		if w.Code != want {
			t.Errorf("%s with %q: %d %s", path, bearer, w.Code, w.Body)
		}
		if strings.Contains(w.Body.String()+fmt.Sprint(w.Header()), token) {
			t.Errorf("%s shows the token", path)
		}
		if w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("X-Content-Type-Options") != "nosniff" || w.Header().Get("Content-Security-Policy") == "" {
			t.Errorf("%s: %v", path, w.Header())
		}
	}
	for _, path := range []string{"/metrics", "/status"} {
		for _, wrong := range []string{"", "Bearer", "Bearer ", "Bearer x", "Bearer " + token + "x", "Bearer " + token[1:], "Basic " + token, "bearer" + token, token} {
			check(reader, path, wrong, http.StatusUnauthorized)
		}
		check(reader, path, "Bearer "+token, http.StatusOK)
		check(local, path, "", http.StatusOK)
		current = "rotated"
		check(reader, path, "Bearer "+token, http.StatusUnauthorized)
		check(reader, path, "Bearer rotated", http.StatusOK)
		current = "" // as an empty file: nobody, and not everybody
		check(reader, path, "", http.StatusServiceUnavailable)
		check(reader, path, "Bearer ", http.StatusServiceUnavailable)
		fails = errors.New("open /etc/" + token + ": no such file")
		check(reader, path, "Bearer "+token, http.StatusServiceUnavailable)
		check(local, path, "", http.StatusOK)
		current, fails = token, nil
	}
	check(reader, "/healthz", "", http.StatusOK)
	check(reader, "/readyz", "", http.StatusOK)
	check(reader, "/", "", http.StatusNotFound)
	if w := ask(reader, http.MethodGet, "/metrics", "", ""); !strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "Bearer") {
		t.Error(w.Header())
	}
	if w := ask(local, http.MethodGet, "/status", "", ""); w.Header().Get("Content-Type") != "application/json" || strings.TrimSpace(w.Body.String()) != `{"host":"<lb01>"}` {
		t.Errorf("%v %s", w.Header(), w.Body)
	}
	s.Token = nil
	check(s.Reader(), "/status", "", http.StatusOK)
}

func TestReadiness(t *testing.T) {
	runs := follow.State{Revision: "abc"}
	for name, c := range map[string]struct {
		facts status.Facts
		want  int
	}{
		"nothing runs":           {status.Facts{}, http.StatusServiceUnavailable},
		"a revision runs":        {status.Facts{Follow: runs}, http.StatusOK},
		"the engine is gone":     {status.Facts{Follow: runs, EngineErr: errors.New("secret path")}, http.StatusServiceUnavailable},
		"refused, cut off, idle": {status.Facts{Follow: all().Follow, Edge: all().Edge}, http.StatusOK},
	} {
		s, _ := server(func() status.Facts { return c.facts })
		w := ask(s.Reader(), http.MethodGet, "/readyz", "", "")
		if w.Code != c.want || strings.Contains(w.Body.String(), "secret path") {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
		if h := ask(s.Reader(), http.MethodGet, "/healthz", "", ""); h.Code != http.StatusOK {
			t.Errorf("%s: health %d", name, h.Code)
		}
	}
}

func TestCommandsAreTheSocketsAlone(t *testing.T) {
	s, c := server(all)
	hooked := 0
	s.Webhook = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { hooked++ })
	for _, path := range []string{"/sync", "/suspend", "/resume"} {
		for _, bearer := range []string{"", "Bearer " + token} {
			if w := ask(s.Reader(), http.MethodPost, path, bearer, "{}"); w.Code != http.StatusNotFound {
				t.Errorf("%s from afar: %d", path, w.Code)
			}
		}
		if w := ask(s.Local(), http.MethodGet, path, "", ""); w.Code != http.StatusMethodNotAllowed {
			t.Errorf("GET %s: %d", path, w.Code)
		}
	}
	if len(c.told) != 0 {
		t.Fatalf("told %v", c.told)
	}
	ask(s.Local(), http.MethodPost, "/webhook", "", "")
	ask(s.Reader(), http.MethodGet, "/webhook", "", "")
	ask(s.Reader(), http.MethodPost, "/webhook", "", "")
	if hooked != 1 {
		t.Errorf("%d webhooks", hooked)
	}
	s.Control, s.Webhook = nil, nil
	if w := ask(s.Local(), http.MethodPost, "/sync", "", "{}"); w.Code != http.StatusNotFound {
		t.Errorf("without control: %d", w.Code)
	}
	if w := ask(s.Reader(), http.MethodPost, "/webhook", "", ""); w.Code != http.StatusNotFound {
		t.Errorf("without webhook: %d", w.Code)
	}
}

func TestWhatIsNoCommandDoesNothing(t *testing.T) {
	s, c := server(all)
	for _, body := range []string{
		"", "null x", "[]", "7", `"x"`, `{`, `{"allow": ["rewind"]}`, `{"allowed": "rewind"}`, `{"allowed": ["everything"]}`, `{"until": "tomorrow"}`,
		`{} {}`, `{}x`, `{"reason": "` + strings.Repeat("x", 100<<10) + `"}`,
	} {
		for _, path := range []string{"/sync", "/suspend", "/resume"} {
			w := ask(s.Local(), http.MethodPost, path, "", body)
			if w.Code/100 != 4 || w.Body.Len() > 4096 {
				t.Errorf("%s %.40q: %d %.100s", path, body, w.Code, w.Body)
			}
		}
	}
	if len(c.told) != 0 {
		t.Errorf("told %v", c.told)
	}
}

// serve serves h on a socket, for a client of it.
func serve(t *testing.T, h http.Handler) *status.Client {
	t.Helper()
	path := filepath.Join(t.TempDir(), "agent.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	return status.DialLocal(path)
}

func TestAClientTellsAnAgent(t *testing.T) {
	s, c := server(all)
	client := serve(t, s.Local())
	var report map[string]string
	if err := client.Report(t.Context(), &report); err != nil || report["host"] != "<lb01>" {
		t.Errorf("%v %v", report, err)
	}
	until := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, err := range []error{
		client.Sync(t.Context(), nil), client.Sync(t.Context(), reconcile.Rules()),
		client.Suspend(t.Context(), until, "why"), client.Resume(t.Context()),
	} {
		if err != nil {
			t.Error(err)
		}
	}
	if want := []string{"sync []", fmt.Sprintf("sync %v", reconcile.Rules()), "suspend 2026-01-02T03:04:05Z why", "resume"}; !slices.Equal(c.told, want) {
		t.Errorf("told %q", c.told)
	}
	c.err = errors.New("revision abc is refused (invalid), and nothing was changed: a.cue:1:2: no")
	if err := client.Sync(t.Context(), nil); err == nil || err.Error() != c.err.Error() {
		t.Errorf("%v", err)
	}
	if err := status.DialLocal(filepath.Join(t.TempDir(), "none")).Resume(t.Context()); err == nil {
		t.Error("nobody answers, and all is well")
	}
}

func TestAClientSaysWhatIsWrongWithAnAnswer(t *testing.T) {
	answer := func(code int, body string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://127.0.0.1:1/")
			w.WriteHeader(code)
			_, _ = io.WriteString(w, body)
		})
	}
	plain := regexp.MustCompile(`^[\x20-\x7e\n]+$`)
	for name, c := range map[string]struct {
		code int
		body string
		want string
	}{
		"no JSON":        {http.StatusOK, "<html>", "makes no sense"},
		"nothing":        {http.StatusOK, "", "makes no sense"},
		"another form":   {http.StatusOK, `{"host": 7}`, "makes no sense"},
		"wrong token":    {http.StatusUnauthorized, "x", "token"},
		"moved":          {http.StatusFound, "", "302"},
		"silent failure": {http.StatusBadGateway, "", "502"},
		"long":           {http.StatusBadGateway, strings.Repeat("x", 1<<20), "xxx"},
		"a terminal's":   {http.StatusBadGateway, "a\x1b[2Jb\x00\xff", "a"},
	} {
		t.Run(name, func(t *testing.T) {
			far := httptest.NewServer(answer(c.code, c.body))
			defer far.Close()
			var report struct {
				Host string `json:"host"`
			}
			err := status.DialRemote(far.URL+"/", token, http.DefaultTransport).Report(t.Context(), &report)
			if err == nil || !strings.Contains(err.Error(), c.want) || len(err.Error()) > 5000 || !plain.MatchString(err.Error()) || strings.Contains(err.Error(), token) {
				t.Errorf("%q", err)
			}
		})
	}
}

func TestAClientShowsItsTokenToTheAgentAlone(t *testing.T) {
	var mu sync.Mutex
	var got []string
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		got = append(got, r.Header.Get("Authorization"))
	}))
	defer elsewhere.Close()
	far := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	defer far.Close()
	if err := status.DialRemote(far.URL, token, http.DefaultTransport).Report(t.Context(), &struct{}{}); err == nil || len(got) != 0 {
		t.Errorf("%v, and elsewhere has seen %q", err, got)
	}
	s, _ := server(all)
	var at string
	s.Authority = func() string { return at }
	agent := httptest.NewServer(s.Reader())
	defer agent.Close()
	report := map[string]string{}
	// What it shows is good at that place alone.
	at = "192.0.2.10:9443"
	if err := status.DialRemote(agent.URL, token, http.DefaultTransport).Report(t.Context(), &report); err == nil {
		t.Error("a token for another place does")
	}
	at = strings.TrimPrefix(agent.URL, "http://")
	if err := status.DialRemote(agent.URL, token, http.DefaultTransport).Report(t.Context(), &report); err != nil || report["host"] == "" {
		t.Error(err)
	}
	if err := status.DialRemote(agent.URL, "x", http.DefaultTransport).Report(t.Context(), &report); err == nil {
		t.Error("any token does")
	}
}

func TestAnAnswerIsBounded(t *testing.T) {
	client := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		chunk := bytes.Repeat([]byte(" "), 1<<20)
		for range 40 {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
		_, _ = io.WriteString(w, "{}")
	}))
	if err := client.Report(t.Context(), &struct{}{}); err == nil {
		t.Error("40 MiB were read")
	}
}
