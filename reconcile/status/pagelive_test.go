package status_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/follow"
	"github.com/hactl/hactl/reconcile/status"
	"github.com/hactl/hactl/reconcile/topology"
	"github.com/hactl/hactl/reconcile/topology/draw"
	"github.com/hactl/hactl/schema"
)

// TestThePageMarksAsTheGraphDoes: hactl graph --live has the same marks.
func TestThePageMarksAsTheGraphDoes(t *testing.T) {
	for name, change := range map[string]func(*world){
		"a good day": func(*world) {},
		"a bad day":  (*world).bad,
		"in fault":   func(w *world) { w.router("b00", "site00").State, w.facts.Engine.Routers[0].State = "active", "fault" },
		"one of two": func(w *world) {
			h := w.facts.Edge.Health.Tunnels["site01"]
			h.Connectors[1].Address = "192.0.2.1"
			h.Connectors = h.Connectors[1:]
			w.facts.Edge.Health.Tunnels["site01"] = h
		},
		"nothing known": func(w *world) { w.facts.Edge.Health, w.hosts = nil, nil },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(2)
			change(w)
			known := []status.Host{{Name: "a00", Routers: w.facts.Engine.Routers}}
			for _, h := range w.hosts {
				if h.Name != "a00" {
					known = append(known, h)
				}
			}
			m := topology.New(w.spec)
			g, marks := m.Graph(), draw.Marks{}
			marks.AddConditions(topology.Conditions(w.spec, status.Live(known, w.facts.Edge.Health)))
			class := regexp.MustCompile(`id="n(\d+)"[^>]* class="([^"]*)"`)
			classes := func(picture string) map[string]string {
				found := map[string]string{}
				for _, x := range class.FindAllStringSubmatch(picture, -1) {
					found[x[1]] = x[2]
				}
				return found
			}
			want := classes(string(draw.SVG(g, marks, draw.Options{Link: func(string) (string, string) { return "x", "" }})))
			b, err := io.ReadAll(fetch(t, w.server().Reader(), "/").Body)
			if err != nil {
				t.Fatal(err)
			}
			got := classes(string(b))
			for i, n := range g.Nodes {
				if id := fmt.Sprint(i); got[id] != "" && got[id] != want[id] {
					t.Errorf("%s is %q on the page, and %q in the graph", n.ID, got[id], want[id])
				}
			}
			if len(got) < len(m.Components()) {
				t.Errorf("%d nodes have been compared", len(got))
			}
		})
	}
}

// says fetches a page and wants these words in it, and none of the others. It tells
// ages to the second: who wants one does so in a bubble, where none passes.
func (w *world) says(t *testing.T, path string, want []string, not ...string) {
	t.Helper()
	text := words(t, fetch(t, w.server().Reader(), path))
	for _, s := range want {
		if !strings.Contains(text, s) {
			t.Errorf("%s: %q is missing in %s", path, s, text)
		}
	}
	for _, s := range not {
		if strings.Contains(text, s) {
			t.Errorf("%s: %q is in %s", path, s, text)
		}
	}
}

func TestThePageShowsAllHosts(t *testing.T) { synctest.Test(t, allHosts) }

func allHosts(t *testing.T) {
	w := newWorld(2)
	w.says(t, "/", []string{
		"a00: well", "a00 (this host) 0123456789ab", "site00 a00 b00 (backup)", "site01 a01 b01 (backup)",
		"virtualRouter/site01: active", "active on a01", "active for site01, runs 0123456",
	}, "another revision", "Not known", "What needs a look", "It said so")

	w.bad()
	w.says(t, "/", []string{
		"a00: needs a look", "two at a time: a00, b00", "Virtual Router site00: two are Active, a00 and b00", "! two active on a00, b00",
		"fedcba987654 another revision", "runs another: fedcba9", "b01 Not known: the connection is refused", "! b01 does not answer: the connection is refused", "host · 10.0.1.2, not known",
	})

	// The same host answers, on another way.
	w = newWorld(1)
	w.says(t, down("connector/site00@b00"), []string{"over a connector on a00 in place of", "over a connector on a00, b00"}, "Virtual Router site00: ")

	// Who is Active is not who would be if it failed.
	w = newWorld(1)
	w.says(t, down("host/a00"), []string{"Virtual Router · 10.0.0.100/24, goes to b00"}, "active on a00")
	w.says(t, down("host/a00", "host/b00"), []string{"Virtual Router · 10.0.0.100/24, cut off"}, "active on a00", "goes to")

	// What a host says of this one counts less than what this one knows.
	w = newWorld(1)
	w.host("a00").Revision, w.host("a00").Unknown = former, "asking"
	w.says(t, "/", []string{"a00 (this host) 0123456789ab"}, "fedcba987654 another", "asking")

	// A Virtual Router that nobody has, though all its members answer.
	w = newWorld(1)
	w.facts.Engine.Routers[0].State = "fault"
	w.says(t, "/", []string{"Virtual Router site00: nobody is Active", "fault on a00"})
	*w.host("b00") = status.Host{Name: "b00", Unknown: "asking"}
	w.says(t, "/", []string{"nobody that is known"}, "nobody is Active")
	*w.host("b00") = status.Host{Name: "b00", Unknown: "it has no power", Off: true}
	w.says(t, "/", []string{"Virtual Router site00: nobody is Active", "site00 nobody a00 (fault), b00 (off)", "b00 Off: it has no power", "! b00 is off: it has no power", "host · 10.0.0.2, off"}, "! virtualRouter/site00: nobody", "not known", "Not known")

	// An agent that has died is to be looked at; one that nobody can ask, or that
	// is being asked, is not.
	w = newWorld(1)
	*w.host("b00") = status.Host{Name: "b00", Unknown: "the connection is refused", Silent: true}
	w.says(t, "/", []string{"a00: needs a look", "! b00 does not answer: the connection is refused"})
	w.host("b00").Silent = false
	w.says(t, "/", []string{"a00: well", "b00 Not known: the connection is refused"})

	// What was said long ago, and says so.
	w = newWorld(1)
	w.host("b00").Asked = time.Now().Add(-time.Minute)
	w.says(t, "/", []string{"It said so 1m0s ago"})
}

// TestWhatIfStartsFromNow: who is off, or in fault, takes nothing over, and who is
// Active is not who would be if all were well.
func TestWhatIfStartsFromNow(t *testing.T) {
	down := "/?down=host/a00"
	w := newWorld(1)
	w.says(t, down, []string{"virtualRouter/site00: host/b00 in place of host/a00"})
	*w.host("b00") = status.Host{Name: "b00", Unknown: "it has no power", Off: true}
	w.says(t, down, []string{"virtualRouter/site00: nobody in place of host/a00"}, "goes to b00")
	w.host("b00").Off = false // Not known is not down.
	w.says(t, down, []string{"virtualRouter/site00: host/b00 in place of host/a00"})

	w = newWorld(1)
	w.host("b00").Routers[0].State = "fault"
	w.says(t, down, []string{"virtualRouter/site00: nobody in place of host/a00"})

	w = newWorld(1)
	w.facts.Engine.Routers[0].State, w.host("b00").Routers[0].State = "backup", "active"
	w.says(t, "/", []string{"virtualRouter/site00 host/b00 none"})
	w.says(t, down, nil, "virtualRouter/site00: host")
}

func TestManyHostsThatAreWellAreFolded(t *testing.T) {
	w := newWorld(23)
	w.bad()
	w.says(t, "/", []string{"43 that are well", "22 that one host is Active for", "44 that are healthy", "68 without a single point of failure", "route/lan/10.0.22.0/24 nobody: now connector/site22@a22 is down", "! route/lan/10.0.22.0/24: nobody answers"})
}

func TestThePageShowsHowTheEdgeDoes(t *testing.T) { synctest.Test(t, howTheEdgeDoes) }

func howTheEdgeDoes(t *testing.T) {
	w := newWorld(2)
	w.says(t, "/", []string{
		"As Cloudflare saw it 20s ago, asked by a00", "tunnel/site00 healthy 2 of 2 connectors", "10.0.0.1, cloudflared 2026.1.0, 4 connections",
		"pool/site01 healthy 2 of 2 origins healthy", "tunnel, healthy 2 of 2 connectors", "connector, healthy 4 connections",
	}, "unhealthy")
	w.bad()
	w.facts.Edge.Health.Err = "the pools of one page"
	delete(w.facts.Edge.Health.Pools, "site00")
	w.says(t, "/", []string{
		"tunnel/site01 down 0 of 2 connectors", "tunnel, ! unhealthy down, 0 of 2 connectors", "connector, ! unhealthy not connected",
		"pool/site01 unhealthy 0 of 2 origins healthy", "tunnel: response code mismatch, HTTP 530", "origin, ! unhealthy TCP connection failed",
		"Part of it cannot be read: the pools of one page", "Not known: pool/site00", "tunnel/site01 is down", "pool/site01 is unhealthy",
	})

	// Cloudflare finds a tunnel healthy that has one of its two connectors.
	w = newWorld(1)
	tunnel := w.facts.Edge.Health.Tunnels["site00"]
	tunnel.Connectors = tunnel.Connectors[:1]
	w.facts.Edge.Health.Tunnels["site00"] = tunnel
	w.says(t, "/", []string{
		"a00: needs a look", "tunnel/site00 is short of connectors", "tunnel/site00 short of connectors 1 of 2 connectors",
		"tunnel, ! unhealthy 1 of 2 connectors", "site00@a00, connector, healthy 4 connections", "site00@b00, connector, ! unhealthy not connected",
	})

	// Of a host that does not lead, the newest that another one has.
	w = newWorld(1)
	older, newer := healthy(w.spec, time.Now().Add(-time.Hour)), healthy(w.spec, time.Now().Add(-3*time.Second))
	newer.Pools["site00"] = reconcile.PoolHealth{}
	w.facts.Edge.Leadership.Mine, w.facts.Edge.Health = false, older
	w.host("b00").Leads, w.host("b00").Edge.Health = true, newer
	w.says(t, "/", []string{"saw it 3s ago, asked by b00", "pool/site00 unhealthy"})
	w.facts.Edge.Health, w.host("b00").Edge.Health = nil, nil
	w.says(t, "/", []string{"Not known: nobody that leads has said so"})
}

// TestHealthOfLongAgoIsNotThePresent: for ten minutes what was read last counts,
// as with --live.
func TestHealthOfLongAgoIsNotThePresent(t *testing.T) { synctest.Test(t, healthOfLongAgo) }

func healthOfLongAgo(t *testing.T) {
	w := newWorld(2)
	w.bad()
	w.facts.Edge.Health.Err = "Cloudflare does not answer"
	w.facts.Edge.Health.Read = time.Now().Add(-9 * time.Minute)
	w.says(t, "/", []string{"! tunnel/site01 is down", "site01@a01, connector, ! unhealthy not connected", "nobody: now connector/site01@a01 is down", "saw it 9m0s ago"}, "is not known")
	w.facts.Edge.Health.Read = time.Now().Add(-3 * time.Hour)
	w.says(t, "/", []string{
		"! how the edge does is not known: it was read 3h0m0s ago last, and Cloudflare does not answer", "saw it 3h0m0s ago", "counts for nothing above", "tunnel/site01 down",
	}, "! tunnel/site01 is down", "not connected", "nobody: now", "2 of 2 connectors · tunnel", "nobody answers")
	w.facts.Edge.Health = &reconcile.Health{Err: "Cloudflare does not answer"}
	w.says(t, "/", []string{"! how the edge does is not known: Cloudflare does not answer", "Not known: Cloudflare does not answer"}, "saw it", "h47m")
}

func TestThePageShowsWhatIsPending(t *testing.T) {
	// What waits for somebody is no good day, whoever else is well.
	refused := newWorld(1)
	refused.facts.Edge.Waits = "the guard rails refuse it"
	refused.says(t, "/", []string{"a00: needs a look", "The edge waits: the guard rails refuse it"})
	refused.facts.Edge.Leadership.Mine = false
	refused.says(t, "/", []string{"a00: well"}, "The edge waits")

	w := newWorld(1)
	w.says(t, "/", []string{
		"update pool/site00", "~ origins.cloud.weight: 1 → 0.2", "delete dnsRecord/old (no longer in the specification)",
		"What traffic notices", "loadBalancer/www00.example.com sends a fifth to cloud",
	}, "Refused by", "behind the")
	w = newWorld(2)
	w.bad()
	w.facts.Edge.Failed = []follow.Failure{{ID: schema.ID{Kind: schema.KindPool, Name: "site00"}, Err: "the API says 1002"}}
	w.says(t, "/", []string{
		"Refused by the guard rails", "deletions: 7 of 9 owned objects would be deleted", "Changed behind the specification's back",
		`~ interval: "60s" → "30s"`, "Waits: the guard rails refuse it", "pool/site00 the API says 1002",
	})

	// What another host that leads has, on the page of one that does not.
	w = newWorld(1)
	edge := w.facts.Edge
	w.facts.Edge = follow.EdgeState{Leadership: follow.Leadership{Mode: "host", Leader: "b00"}}
	w.host("b00").Leads, w.host("b00").Edge = true, edge
	w.says(t, "/", []string{"b00 leads.", "update pool/site00", "sends a fifth to cloud"}, "requests left")

	// Much of it is counted.
	w = newWorld(1)
	w.facts.Edge.Pending = nil
	for range 60 {
		s := reconcile.Step{ID: schema.ID{Kind: schema.KindPool, Name: "many"}, Action: reconcile.Create}
		for range 30 {
			s.Fields = append(s.Fields, reconcile.FieldChange{Path: "description", After: strings.Repeat("é", 4000)})
		}
		w.facts.Edge.Pending = append(w.facts.Edge.Pending, s)
	}
	r := fetch(t, w.server().Reader(), "/")
	text := words(t, r)
	if !strings.Contains(text, "and 20 more") || !strings.Contains(text, "and 18 more fields") || len(text) > 200_000 || strings.ContainsRune(text, '\ufffd') {
		t.Errorf("60 large steps are %d bytes", len(text))
	}
}

func TestAPageOfAllHosts(t *testing.T) { synctest.Test(t, pageOfAllHosts) }

func pageOfAllHosts(t *testing.T) {
	w := newWorld(2)
	w.host("a00").Leads, w.host("a00").Edge = true, w.facts.Edge
	w.facts, w.title = status.Facts{}, "The lab"
	w.host("a00").Edge.Err, w.host("a00").Note = "it is refused", "the edge: it is refused"
	if text := words(t, fetch(t, w.server().Reader(), "/")); strings.Count(text, "! a00: the edge: it is refused") != 1 {
		t.Errorf("%s", text)
	}
	w.host("a00").Edge.Err, w.host("a00").Note = "", ""
	w.says(t, "/", []string{"The lab: well", "a00 leads.", "saw it 20s ago, asked by a00", "update pool/site00", "active on a00"}, "Not ready", "this host", "agent")
	// An empty one, before there is anything.
	h := (&status.Page{Title: "The lab"})
	if text := words(t, fetch(t, h, "/")); !strings.Contains(text, "The lab: well") || strings.Contains(text, "Not ready") {
		t.Errorf("an empty page says %s", text)
	}
	// One that runs another revision than the one that heard last.
	w.host("a01").Revision, w.host("a01").Accepted = former, time.Now().Add(-time.Hour-time.Minute)
	w.says(t, "/", []string{"a01 fedcba987654 another revision"}, "0123456789ab another revision")
	// But for a title, this is an agent of no host that has nothing yet.
	w.title = ""
	w.says(t, "/", []string{"Not ready"})
}

// TestNamesOnThePageAreNoMarkup: every name and message wants to be markup, and
// words (which refuses scripts and handlers) finds them as they are.
func TestNamesOnThePageAreNoMarkup(t *testing.T) {
	w := newWorld(1)
	w.hostile()
	for _, path := range []string{"/", down("host/a00"), "/?down=" + "pool%2F" + strings.ReplaceAll("%3Cscript%3Ealert(1)%3C%2Fscript%3E%22'%26", " ", "")} {
		r := fetch(t, w.server().Reader(), path)
		b, err := io.ReadAll(r.Body)
		if err != nil || bytes.Contains(b, []byte("<script")) || bytes.Contains(b, []byte("alert(1)</script>\"")) {
			t.Errorf("%s: a name is markup: %v", path, err)
		}
		r.Body = io.NopCloser(bytes.NewReader(b))
		text := words(t, r)
		if n := strings.Count(text, hostile); n < 25 {
			t.Errorf("%s: the name is shown %d times only: %s", path, n, text)
		}
	}
}

func TestNodesOfThePictureAreLinks(t *testing.T) {
	h := newWorld(1).server().Reader()
	links := func(path string) string {
		b, err := io.ReadAll(fetch(t, h, path).Body)
		if err != nil {
			t.Fatal(err)
		}
		picture := regexp.MustCompile(`(?s)<svg.*</svg>`).Find(b)
		return string(picture)
	}
	for path, want := range map[string][]string{
		"/":               {`href="?down=host/a00#n3"`, `a00, host · 10.0.0.1, active for site00, runs 0123456: let it fail`, `<a id="n1" href="?down=connector/site00@a00#n1"`},
		down("host/a00"):  {`<a id="n3" href="./#n3" class="r4 off down"`, `× down: let it work again`, `<a id="n4" href="?down=host/a00&amp;down=host/b00#n4"`},
		down("host/nope"): {`<a id="n3" href="?down=host/a00#n3"`},
	} {
		got := links(path)
		for _, s := range want {
			if !strings.Contains(got, s) {
				t.Errorf("%s: %s is missing in %s", path, s, got)
			}
		}
		if strings.Contains(got, "<a ") && strings.Contains(got, `role="img"`) {
			t.Error("an image has links")
		}
	}
	// No more than so many at a time; then what works is no link.
	many := []string{"host/a00", "host/b00", "tunnel/site00", "pool/site00", "origin/site00/cloud", "origin/site00/tunnel", "connector/site00@a00", "connector/site00@b00"}
	if got := links(down(many...)); strings.Count(got, "<a ") != len(many) || !strings.Contains(got, "let it work again") || strings.Contains(got, "let it fail") {
		t.Errorf("with %d failures: %s", len(many), got)
	}
	text := words(t, fetch(t, h, down(append(many, "virtualRouter/site00")...)))
	if !strings.Contains(text, "no more than 8 fail at a time here, and virtualRouter/site00 does not") || !strings.Contains(text, "What happened last") {
		t.Errorf("with one more: %s", text)
	}
}

func TestThePageIsCompressedForWhoTakesThat(t *testing.T) {
	h := newWorld(23).server().Reader()
	plain, err := io.ReadAll(fetch(t, h, "/").Body)
	if err != nil {
		t.Fatal(err)
	}
	for accept, want := range map[string]bool{"gzip, deflate, br": true, "br;q=1, GZIP;q=0.2": true, "*": true, "gzip;q=0, *": false, "gzip; q=0.0": false, "br": false, "": false} {
		r := fetch(t, h, "/", "Accept-Encoding", accept)
		b, err := io.ReadAll(r.Body)
		if err != nil || !strings.Contains(strings.Join(r.Header.Values("Vary"), ","), "Accept-Encoding") {
			t.Errorf("%q: %v, %v", accept, err, r.Header)
		}
		if got := r.Header.Get("Content-Encoding") == "gzip"; got != want {
			t.Errorf("%q: compressed %t", accept, got)
		}
		if !want {
			continue
		}
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if whole, err := io.ReadAll(z); err != nil || len(whole) != len(plain) || len(b) > 40_000 {
			t.Errorf("%q: %d bytes, %d in the end, %d as they are: %v", accept, len(b), len(whole), len(plain), err)
		}
	}
	if len(plain) > 190_000 {
		t.Errorf("a page of 324 nodes has %d bytes", len(plain))
	}
}

// TestThePolicyAllowsTheStyleAlone: its hash is the one of the style that is there.
func TestThePolicyAllowsTheStyleAlone(t *testing.T) {
	r := fetch(t, newWorld(1).server().Reader(), "/")
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	styles := regexp.MustCompile(`(?s)<style>(.*?)</style>`).FindAllSubmatch(b, -1)
	if len(styles) != 1 {
		t.Fatalf("%d styles", len(styles))
	}
	sum := sha256.Sum256(styles[0][1])
	policy := r.Header.Get("Content-Security-Policy")
	if want := "style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "';"; !strings.Contains(policy, want) || strings.Contains(policy, "unsafe") {
		t.Errorf("the policy is %q, want %s", policy, want)
	}
}

// TestHostsHearThatWhoLooksHasGone, so that nobody goes on for nothing.
func TestHostsHearThatWhoLooksHasGone(t *testing.T) {
	heard := make(chan error, 1)
	p := &status.Page{Title: "The lab", Hosts: func(ctx context.Context) []status.Host { heard <- ctx.Err(); return nil }}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
	if err != nil {
		t.Fatal(err)
	}
	p.ServeHTTP(discard{}, r)
	if <-heard == nil {
		t.Error("it does not")
	}
}

type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(b []byte) (int, error) { return len(b), nil }
func (discard) WriteHeader(int)             {}

// BenchmarkPage is a page of 16 and of 324 nodes on a bad day, as it is sent.
func BenchmarkPage(b *testing.B) {
	for _, n := range []int{1, 23} {
		w := newWorld(n)
		if n > 1 {
			w.bad()
		}
		h := w.server().Reader()
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			size := 0
			for b.Loop() {
				r := httptest.NewRequest(http.MethodGet, down("host/a00"), nil)
				r.Host = "localhost"
				r.Header.Set("Accept-Encoding", "gzip")
				answer := httptest.NewRecorder()
				h.ServeHTTP(answer, r)
				size = answer.Body.Len()
			}
			b.ReportMetric(float64(size), "bytes")
		})
	}
}
