package cfsim_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/hactl/hactl/engines/cloudflare/cfsim"
)

// api is a client for tests: it speaks JSON text, so that what is sent is what is read in the test.
type api struct {
	testing.TB
	sim  *cfsim.Server
	base string
	acc  string // "/accounts/<id>"
	zone string // "/zones/<id>" of example.com
}

type envelope struct {
	Success bool `json:"success"`
	Errors  []struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"errors"`
	Result json.RawMessage `json:"result"`
	Info   *struct {
		Page       int   `json:"page"`
		PerPage    int64 `json:"per_page"`
		Count      int   `json:"count"`
		TotalCount int   `json:"total_count"`
		TotalPages int   `json:"total_pages"`
	} `json:"result_info"`
}

func fixedNow() time.Time { return time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC) }

// start serves a simulator with the zone example.com and a fixed clock.
func start(t testing.TB, opt cfsim.Options) *api {
	t.Helper()
	if opt.Zones == nil {
		opt.Zones = []string{"example.com", "example.net"}
	}
	if opt.Now == nil {
		opt.Now = fixedNow
	}
	sim := cfsim.New(opt)
	return serve(t, sim, sim)
}

func serve(t testing.TB, sim *cfsim.Server, h http.Handler) *api {
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return &api{TB: t, sim: sim, base: srv.URL + cfsim.Prefix, acc: "/accounts/" + sim.Account(), zone: "/zones/" + sim.ZoneID("example.com")}
}

// send returns the transport's error instead of failing the test.
func (a *api) send(method, path, body string) (*http.Response, []byte, error) {
	a.Helper()
	req, err := http.NewRequest(method, a.base+path, strings.NewReader(body))
	if err != nil {
		a.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Authorization", "Bearer token")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return res, b, err
}

func (a *api) call(method, path, body string) (int, envelope) {
	a.Helper()
	res, b, err := a.send(method, path, body)
	if err != nil {
		a.Fatalf("%s %s: %v", method, path, err)
	}
	var e envelope
	if err := json.Unmarshal(b, &e); err != nil {
		a.Fatalf("%s %s: %v: %s", method, path, err, b)
	}
	if e.Success != (res.StatusCode < 300) {
		a.Fatalf("%s %s: status %d with success %v", method, path, res.StatusCode, e.Success)
	}
	return res.StatusCode, e
}

// ok expects success and returns the result when it is an object.
func (a *api) ok(method, path, body string, args ...any) map[string]any {
	a.Helper()
	e := a.okEnvelope(method, path, fmt.Sprintf(body, args...))
	var o map[string]any
	json.Unmarshal(e.Result, &o) // a list or a string stays nil
	return o
}

func (a *api) okEnvelope(method, path, body string) envelope {
	a.Helper()
	status, e := a.call(method, path, body)
	if status != http.StatusOK {
		a.Fatalf("%s %s %s: %d %+v", method, path, body, status, e.Errors)
	}
	return e
}

// list expects a list of objects.
func (a *api) list(path string) []map[string]any {
	a.Helper()
	e := a.okEnvelope("GET", path, "")
	var l []map[string]any
	if err := json.Unmarshal(e.Result, &l); err != nil {
		a.Fatalf("GET %s: %v: %s", path, err, e.Result)
	}
	return l
}

// refused expects an error with this status, code and words in the message.
func (a *api) refused(status, code int, words, method, path, body string, args ...any) {
	a.Helper()
	body = fmt.Sprintf(body, args...)
	got, e := a.call(method, path, body)
	if got != status || len(e.Errors) == 0 || e.Errors[0].Code != code || !strings.Contains(e.Errors[0].Message, words) {
		a.Errorf("%s %s %s: got %d %+v, want %d/%d %q", method, path, body, got, e.Errors, status, code, words)
	}
}

func id(o map[string]any) string { s, _ := o["id"].(string); return s }

// equal compares fields with JSON text.
func (a *api) equal(o map[string]any, want string) {
	a.Helper()
	var w map[string]any
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		a.Fatal(err)
	}
	for key, v := range w {
		got, ok := o[key]
		x, _ := json.Marshal(got)
		y, _ := json.Marshal(v)
		if !ok || string(x) != string(y) {
			a.Errorf("field %s: got %s (present %v), want %s", key, x, ok, y)
		}
	}
}

// absent expects fields not to be there.
func (a *api) absent(o map[string]any, keys ...string) {
	a.Helper()
	for _, key := range keys {
		if v, ok := o[key]; ok {
			a.Errorf("field %s: got %v, want it absent", key, v)
		}
	}
}
