package status_test

import (
	"encoding/xml"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hactl/hactl/reconcile/follow"
	"github.com/hactl/hactl/reconcile/render"
	"github.com/hactl/hactl/reconcile/status"
	"github.com/hactl/hactl/reconcile/topology"
	"github.com/hactl/hactl/schema"
)

// pair is two hosts with a Virtual Router.
func pair() *schema.Spec {
	return &schema.Spec{
		Stack: "pair",
		Hosts: map[string]schema.Host{"lb01": {Address: "192.0.2.1"}, "lb02": {Address: "192.0.2.2"}},
		VirtualRouters: map[string]schema.VirtualRouter{"web": {
			VRID: 50, Interface: "eth0", Version: 3, Interval: schema.Seconds(1), Addresses: []string{"192.0.2.9/24"},
			Members: map[string]schema.RouterMember{"lb01": {Priority: 150}, "lb02": {Priority: 100}},
		}},
	}
}

const hostile = `<script>alert(1)</script>"'&`

func page(spec *schema.Spec) *status.Server {
	recent := &status.Recent{}
	recent.Follow(follow.Event{Kind: follow.EventRefused, Time: time.Unix(1700000000, 0), Text: hostile})
	facts := func() status.Facts {
		return status.Facts{
			Host: "lb01", Follow: follow.State{Revision: "0123456789abcdef0123456789abcdef01234567", Refused: &follow.Refusal{Revision: "f00", Reason: follow.Invalid, Message: hostile}},
			Engine: &status.Engine{Routers: []status.Router{{Name: "web", State: "active", Interface: "eth0", Priority: 150}}},
		}
	}
	return &status.Server{
		Facts: facts, Metrics: status.NewMetrics(facts),
		Page: &status.Page{Facts: facts, Problems: func() []string { return []string{hostile} }, Spec: func() *schema.Spec { return spec }, Recent: recent},
	}
}

func fetch(t *testing.T, h http.Handler, path string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Host = "localhost"
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

// words are what a page says, without its markup.
func words(t *testing.T, r *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("%d: %v: %s", r.StatusCode, err, b)
	}
	d := xml.NewDecoder(strings.NewReader(string(b)))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	var text strings.Builder
	style := false
	for {
		token, err := d.Token()
		if err == io.EOF {
			return regexp.MustCompile(`\s+`).ReplaceAllString(text.String(), " ")
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, b)
		}
		switch token := token.(type) {
		case xml.StartElement:
			if token.Name.Local == "script" {
				t.Error("the page has a script")
			}
			for _, a := range token.Attr {
				if strings.HasPrefix(a.Name.Local, "on") || a.Name.Local == "style" {
					t.Errorf("an attribute %s", a.Name.Local)
				}
			}
			style = token.Name.Local == "style"
		case xml.EndElement:
			style = false
			if slices.Contains([]string{"td", "th", "li", "p", "h1", "h2", "h3", "title", "text", "summary"}, token.Name.Local) {
				text.WriteString(" ")
			}
		case xml.CharData:
			if !style {
				text.Write(token)
			}
		}
	}
}

func TestThePageSaysWhatThereIs(t *testing.T) {
	h := page(pair()).Reader()
	r := fetch(t, h, "/")
	policy := r.Header.Get("Content-Security-Policy")
	if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") || strings.Contains(policy, "script-src") {
		t.Errorf("its policy is %q", policy)
	}
	text := words(t, r)
	for _, want := range []string{"lb01", "0123456789ab", "Refused", hostile, "active", "virtualRouter/web", "host/lb01", "Single points of failure"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in %s", want, text)
		}
	}
	if text := words(t, fetch(t, page(nil).Reader(), "/")); strings.Contains(text, "How requests go") {
		t.Error("requests go somewhere before anything runs")
	}
	text = words(t, fetch(t, page(&schema.Spec{Stack: "empty"}).Reader(), "/"))
	if !strings.Contains(text, "There is nothing that requests go to.") || !strings.Contains(text, "Entry points None.") || strings.Contains(text, "Choose in the picture") || strings.Contains(text, "As a list") {
		t.Errorf("of nothing it says %s", text)
	}
}

func TestThePagePlaysFailures(t *testing.T) {
	h := page(pair()).Reader()
	if text := words(t, fetch(t, h, "/?down=host/lb01")); !strings.Contains(text, "virtualRouter/web (192.0.2.9/24): lb01 -> lb02, after ") {
		t.Errorf("without lb01: %s", text)
	}
	if text := words(t, fetch(t, h, "/?down=host/lb01&down=host/lb02")); !strings.Contains(text, "nobody") {
		t.Errorf("without both: %s", text)
	}
	for _, malformed := range []string{"down=%zz", "down=host/lb02;down=pool/a"} {
		if text := words(t, fetch(t, h, "/?down=host/lb01&"+malformed)); !strings.Contains(text, "Not played: a part of this address: ") || !strings.Contains(text, "lb01 -> lb02, after ") {
			t.Errorf("%s is not told of", malformed)
		}
	}
	if text := words(t, fetch(t, h, "/?down="+strings.ReplaceAll(hostile, " ", "")+"&down=host/lb1")); !strings.Contains(text, "Not played") || !strings.Contains(text, "host/lb01") {
		t.Errorf("of what there is not: %s", text)
	}
}

// A page that is left open says of which day and zone it is.
func TestThePageSaysWhenItIs(t *testing.T) {
	text := words(t, fetch(t, page(pair()).Reader(), "/"))
	const when = `\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [A-Z+-][A-Z0-9]+`
	for _, want := range []string{`As of ` + when + `\.`, `Detail ` + when + ` refused`} {
		if !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("%s is not in %s", want, text)
		}
	}
}

// What hactl whatif --live says of how soon, a page says too.
func TestThePageSaysHowSoonAsTheCommandDoes(t *testing.T) {
	w := newWorld(3)
	text := words(t, fetch(t, w.server().Reader(), down("host/a00", "pool/site01", "origin/site02/tunnel")))
	m := topology.New(w.spec).Live(status.Live(w.hosts, w.facts.Edge.Health))
	var failed []topology.Component
	for _, name := range []string{"host/a00", "pool/site01", "origin/site02/tunnel"} {
		c, err := m.Lookup(name)
		if err != nil {
			t.Fatal(err)
		}
		failed = append(failed, c)
	}
	o := m.WhatIf(failed, "")
	said := 0
	for _, move := range o.Moves {
		if want := render.MoveText(move); !strings.Contains(text, want) {
			t.Errorf("%q is missing in %s", want, text)
		}
	}
	for _, e := range o.Entries {
		for _, s := range e.Switches {
			said++
			if want := render.SwitchText(s); !strings.Contains(text, want) {
				t.Errorf("%s: %q is missing in %s", e.ID(), want, text)
			}
		}
	}
	if len(o.Moves) == 0 || said < 3 {
		t.Errorf("there are %d moves and %d switches to tell of", len(o.Moves), said)
	}
}

func TestThePageAsksForTheToken(t *testing.T) {
	s := page(pair())
	s.Token = func() (string, error) { return token, nil }
	h := s.Reader()
	if r := fetch(t, h, "/"); r.StatusCode != http.StatusUnauthorized || !strings.Contains(strings.Join(r.Header.Values("WWW-Authenticate"), " "), "Basic") {
		t.Errorf("%d %q", r.StatusCode, r.Header.Values("WWW-Authenticate"))
	}
	ask := httptest.NewRequest(http.MethodGet, "/", nil)
	ask.SetBasicAuth("anybody", token)
	if r := fetch(t, h, "/", "Authorization", ask.Header.Get("Authorization")); r.StatusCode != http.StatusOK {
		t.Errorf("with the token as password: %d", r.StatusCode)
	}
	ask.SetBasicAuth("anybody", "guess")
	if r := fetch(t, h, "/", "Authorization", ask.Header.Get("Authorization")); r.StatusCode != http.StatusUnauthorized {
		t.Errorf("with a guess: %d", r.StatusCode)
	}
}
