package cfsim_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hactl/hactl/engines/cloudflare/cfsim"
)

// fixture is one exchange in testdata/cloudflare. Its ids are examples; after names the fixtures that make the
// objects it refers to.
type fixture struct {
	Source   string            `json:"source"`
	After    []string          `json:"after"`
	Method   string            `json:"method"`
	Path     string            `json:"path"`
	Request  json.RawMessage   `json:"request"`
	Status   int               `json:"status"`
	Headers  map[string]string `json:"headers"`
	Response any               `json:"response"`
}

const fixtures = "../../../testdata/cloudflare"

func readFixture(t *testing.T, name string) (f fixture) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(fixtures, name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &f); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return f
}

// TestFixtures replays every fixture against a fresh simulator and compares the answers: the same fields, the same
// values, but for ids, times and secrets. An id is the same wherever it appears.
func TestFixtures(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(fixtures, "*.json"))
	if err != nil || len(files) < 20 {
		t.Fatalf("%d fixtures: %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		t.Run(name, func(t *testing.T) {
			opt := cfsim.Options{}
			if readFixture(t, name).Status == http.StatusTooManyRequests {
				opt.Quota, opt.Window = 1, 5*time.Minute
			}
			r := &replay{api: start(t, opt), ids: map[string]string{}, done: map[string]bool{}}
			// The account and the zone are there before anything else.
			r.ids["023e105f4ecef8ad9ca31a8372d0c353"] = r.sim.Account()
			r.ids["699d98642c564d2e855e9661899b7252"] = r.sim.ZoneID("example.com")
			if opt.Quota > 0 {
				r.list("/zones")
			}
			r.run(t, name)
		})
	}
}

// replay is a simulator with the ids that stand for the fixtures' examples.
type replay struct {
	*api
	ids  map[string]string
	done map[string]bool
}

func (r *replay) run(t *testing.T, name string) {
	t.Helper()
	if r.done[name] {
		return
	}
	r.done[name] = true
	f := readFixture(t, name)
	if f.Source == "" {
		t.Errorf("%s: no source", name)
	}
	for _, before := range f.After {
		r.run(t, before)
	}
	body := ""
	if string(f.Request) != "null" {
		body = r.substitute(string(f.Request))
	}
	res, b, err := r.send(f.Method, r.substitute(f.Path), body)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if res.StatusCode != f.Status {
		t.Errorf("%s: status %d, want %d: %s", name, res.StatusCode, f.Status, b)
	}
	for key, want := range f.Headers {
		if got := res.Header.Get(key); got != want {
			t.Errorf("%s: header %s: %q, want %q", name, key, got, want)
		}
	}
	var got any
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatalf("%s: %v: %s", name, err, b)
	}
	r.compare(t, name, "", f.Response, got)
}

func (r *replay) substitute(s string) string {
	for example, real := range r.ids {
		s = strings.ReplaceAll(s, example, real)
	}
	return s
}

func (r *replay) compare(t *testing.T, name, path string, want, got any) {
	t.Helper()
	switch w := want.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			t.Errorf("%s: %s: got %v, want an object", name, path, got)
			return
		}
		if keys, others := keysOf(w), keysOf(g); !slices.Equal(keys, others) {
			t.Errorf("%s: %s: got the fields %v, want %v", name, path, others, keys)
			return
		}
		for _, key := range keysOf(w) {
			r.compare(t, name, path+"."+key, w[key], g[key])
		}
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) != len(w) {
			t.Errorf("%s: %s: got %v, want %d items", name, path, got, len(w))
			return
		}
		// Lists of objects and origins come in the server's order.
		if strings.HasSuffix(path, ".result") || strings.HasSuffix(path, ".origins") {
			w, g = sorted(w), sorted(g)
		}
		for i := range w {
			r.compare(t, name, fmt.Sprintf("%s[%d]", path, i), w[i], g[i])
		}
	case string:
		g, ok := got.(string)
		if !ok {
			t.Errorf("%s: %s: got %v, want a string", name, path, got)
			return
		}
		key := path[strings.LastIndexByte(path, '.')+1:]
		switch {
		case strings.HasSuffix(key, "_at") || strings.HasSuffix(key, "_on"):
			if _, err := time.Parse(time.RFC3339, g); err != nil {
				t.Errorf("%s: %s: %v", name, path, err)
			}
		case key == "token" || key == "TunnelSecret":
		case (key == "id" || key == "TunnelID" || key == "tunnel_id" || key == "virtual_network_id") && r.ids[w] == "" && len(g) == len(w):
			r.ids[w] = g
		case g != r.substitute(w):
			t.Errorf("%s: %s: got %q, want %q", name, path, g, r.substitute(w))
		}
	default:
		if want != got {
			t.Errorf("%s: %s: got %v, want %v", name, path, got, want)
		}
	}
}

func keysOf(m map[string]any) (keys []string) {
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// sorted orders objects by what names them.
func sorted(l []any) []any {
	by := func(v any) string {
		o, _ := v.(map[string]any)
		if len(o) == 1 { // The health of an origin, by its address.
			return keysOf(o)[0]
		}
		return fmt.Sprint(o["name"], o["network"], o["description"])
	}
	return slices.SortedFunc(slices.Values(l), func(a, b any) int { return strings.Compare(by(a), by(b)) })
}
