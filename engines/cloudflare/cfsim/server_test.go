package cfsim_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hactl/hactl/engines/cloudflare/cfsim"
)

// raw sends a request without a network and returns the answer.
func raw(s *cfsim.Server, method, path, token, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://host"+path, strings.NewReader(body))
	if token != "" {
		r.Header.Set("Authorization", token)
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w
}

func TestAuthenticationAndRouting(t *testing.T) {
	s := cfsim.New(cfsim.Options{Token: "right", Zones: []string{"example.com"}})
	acc, zone := "/client/v4/accounts/"+s.Account(), "/client/v4/zones/"+s.ZoneID("example.com")
	const none = "00000000000000000000000000000000"
	for _, tt := range []struct {
		method, path, token string
		status              int
		words               string
	}{
		{"GET", "/client/v4/zones", "Bearer right", 200, `"success":true`},
		{"GET", "/client/v4/zones", "", 401, `"code":10000`},
		{"GET", "/client/v4/zones", "Bearer ", 401, `"code":10000`},
		{"GET", "/client/v4/zones", "right", 401, `"code":10000`},
		{"GET", "/client/v4/zones", "Bearer wrong", 403, `"code":10000`},
		{"GET", "/client/v4/accounts/" + none + "/cfd_tunnel", "Bearer right", 403, `"code":10000`},
		{"GET", "/client/v4/zones/" + none + "/dns_records", "Bearer right", 403, `"code":10000`},
		{"GET", "/client/v4/zones/example.com/dns_records", "Bearer right", 404, `"code":7003`},
		{"GET", acc + "/load_balancers/pools/nope", "Bearer right", 404, `"code":7003`},
		{"GET", acc + "/nothing", "Bearer right", 404, `"code":7003`},
		{"PUT", acc + "/cfd_tunnel", "Bearer right", 404, `"code":7003`},
		{"GET", acc + "//cfd_tunnel", "Bearer right", 404, `"code":7003`},
		{"GET", "/zones", "Bearer right", 404, `"code":7003,"message":"Could not route to /zones,`},
		{"GET", acc + "/nope", "Bearer right", 404, "Could not route to /client/v4/accounts/" + s.Account() + "/nope,"},
		{"POST", acc + "/cfd_tunnel", "Bearer right", 400, "body: is required"},
		{"DELETE", zone + "/load_balancers/" + none + "?force=true", "Bearer right", 400, "force"},
	} {
		w := raw(s, tt.method, tt.path, tt.token, "")
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.words) {
			t.Errorf("%s %s (%s): %d %s, want %d %s", tt.method, tt.path, tt.token, w.Code, w.Body, tt.status, tt.words)
		}
		if !json.Valid(w.Body.Bytes()) || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%s %s: not a JSON answer: %s", tt.method, tt.path, w.Body)
		}
	}
	for body, words := range map[string]string{`{`: "6007", `{} {}`: "6007", `{"a":1}`: "unknown field", `null`: "must be an object"} {
		if w := raw(s, "POST", acc+"/load_balancers/monitors", "Bearer right", body); w.Code != 400 || !strings.Contains(w.Body.String(), words) {
			t.Errorf("body %s: %d %s", body, w.Code, w.Body)
		}
	}
	if w := raw(s, "DELETE", acc+"/load_balancers/monitors/"+none, "Bearer right", `{"a":1}`); w.Code != 400 {
		t.Errorf("a DELETE with a body: %d %s", w.Code, w.Body)
	}
}

func TestZoneList(t *testing.T) {
	a := start(t, cfsim.Options{Zones: []string{"example.com", "example.net", "example.org", "Example.COM."}})
	for query, want := range map[string]int{
		"": 3, "?name=example.net": 1, "?name=nope.example": 0, "?account.id=" + a.sim.Account(): 3, "?account.id=x": 0,
		"?name=example.net&account.id=x&match=any": 1, "?status=active": 3, "?status=pending": 0, "?per_page=5": 3, "?page=2": 0,
	} {
		if l := a.list("/zones" + query); len(l) != want {
			t.Errorf("%s: %d zones, want %d", query, len(l), want)
		}
	}
	a.equal(a.list("/zones?order=name")[0], `{"name":"example.com","id":"`+a.sim.ZoneID("example.com")+`","status":"active"}`)
	a.equal(a.list("/zones?order=name&direction=desc")[0], `{"name":"example.org"}`)
	a.refused(400, 1002, "per_page", "GET", "/zones?per_page=51", "")
	a.refused(400, 1002, "per_page", "GET", "/zones?per_page=4", "")
	if a.sim.ZoneID("nope.example") != "" {
		t.Error("a zone that does not exist has an id")
	}
}

func TestRateLimit(t *testing.T) {
	now := fixedNow()
	s := cfsim.New(cfsim.Options{Quota: 3, Window: time.Minute, Now: func() time.Time { return now }})
	for i, tt := range []struct {
		after  time.Duration
		status int
		limit  string
		retry  string
	}{
		{0, 200, `"default";r=2;t=60`, ""},
		{10 * time.Second, 200, `"default";r=1;t=50`, ""},
		{500 * time.Millisecond, 200, `"default";r=0;t=50`, ""}, // rounded up
		{0, 429, `"default";r=0;t=60`, "60"},                    // and blocked for a whole window
		{49500 * time.Millisecond, 429, `"default";r=0;t=11`, "11"},
		{10500 * time.Millisecond, 200, `"default";r=2;t=60`, ""},
		{time.Minute, 200, `"default";r=2;t=60`, ""},
	} {
		now = now.Add(tt.after)
		w := raw(s, "GET", "/client/v4/zones", "Bearer t", "")
		h := w.Header()
		if w.Code != tt.status || h.Get("Ratelimit") != tt.limit || h.Get("Retry-After") != tt.retry || h.Get("Ratelimit-Policy") != `"burst";q=3;w=60` {
			t.Errorf("request %d: %d %v", i+1, w.Code, h)
		}
		if got := strings.Contains(w.Body.String(), `"code":10100`); got != (tt.status == 429) {
			t.Errorf("request %d: %s", i+1, w.Body)
		}
	}
}

func TestLogAndInFlight(t *testing.T) {
	a := start(t, cfsim.Options{Latency: time.Hour})
	acc := a.acc
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			req, _ := http.NewRequestWithContext(ctx, "POST", a.base+acc+"/cfd_tunnel?x=1", strings.NewReader(`{"name":"home"}`))
			req.Header.Set("Authorization", "Bearer t")
			if res, err := http.DefaultClient.Do(req); err == nil {
				res.Body.Close()
			}
		})
	}
	waitFor(t, func() bool { return len(a.sim.Requests()) == 3 })
	if n := a.sim.MaxInFlight(); n != 3 {
		t.Errorf("in flight: %d, want 3", n)
	}
	cancel()
	wg.Wait()
	a.sim.SetLatency(0)
	if l := a.list(acc + "/cfd_tunnel"); len(l) != 0 {
		t.Errorf("requests that were given up had an effect: %v", l)
	}
	log := a.sim.Requests()
	want := cfsim.Request{Index: 1, Method: "POST", Path: acc + "/cfd_tunnel", Query: "x=1"}
	if len(log) != 4 || log[0] != want || log[3].Index != 4 {
		t.Errorf("log: %+v", log)
	}
	a.sim.ResetLog()
	a.refused(400, 1002, "", "POST", acc+"/cfd_tunnel", `{}`)
	want = cfsim.Request{Index: 1, Method: "POST", Path: acc + "/cfd_tunnel", Status: 400}
	if log := a.sim.Requests(); len(log) != 1 {
		t.Errorf("log after a reset: %+v", log)
	}
	waitFor(t, func() bool { return a.sim.Requests()[0] == want })
}

// waitFor polls: a handler may still be leaving when its answer is read.
func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !done() {
		if time.Now().After(deadline) {
			t.Fatal("condition not met in 10 seconds")
		}
		runtime.Gosched()
	}
}

// transcript runs the whole conversation and returns every byte that was answered.
func transcript(t *testing.T, seed uint64) []byte {
	sim := cfsim.New(cfsim.Options{Seed: seed, Zones: []string{"example.com"}, Now: fixedNow, Enterprise: true})
	var b bytes.Buffer
	a := serve(t, sim, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := httptest.NewRecorder()
		sim.ServeHTTP(rec, r)
		b.Write(rec.Body.Bytes())
		for k, v := range rec.Header() {
			w.Header()[k] = v
		}
		w.WriteHeader(rec.Code)
		w.Write(rec.Body.Bytes())
	}))
	converse(a)
	return b.Bytes()
}

func TestSameSeedSameBytes(t *testing.T) {
	one, two, other := transcript(t, 7), transcript(t, 7), transcript(t, 8)
	if !bytes.Equal(one, two) {
		t.Error("two runs with the same seed differ")
	}
	if bytes.Equal(one, other) || cfsim.New(cfsim.Options{Seed: 7}).Account() == cfsim.New(cfsim.Options{Seed: 8}).Account() {
		t.Error("another seed gives the same bytes")
	}
}

// TestIDsDoNotDependOnArrival: objects that are created in parallel have the ids they would have in any order.
func TestIDsDoNotDependOnArrival(t *testing.T) {
	ids := func(order []int) map[string]string {
		a := start(t, cfsim.Options{Enterprise: true})
		out := map[string]string{}
		for _, i := range order {
			name := fmt.Sprintf("p%d", i)
			out[name] = id(a.ok("POST", a.acc+"/load_balancers/pools", `{"name":"%s","origins":[]}`, name))
		}
		return out
	}
	if up, down := ids([]int{0, 1, 2}), ids([]int{2, 1, 0}); fmt.Sprint(up) != fmt.Sprint(down) {
		t.Errorf("ids depend on the order: %v, %v", up, down)
	}
}

func TestConcurrentUse(t *testing.T) {
	a := start(t, cfsim.Options{Enterprise: true})
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 20 {
				body := fmt.Sprintf(`{"name":"p%d-%d","origins":[{"name":"o","address":"192.0.2.1"}]}`, w, i)
				if res, b, err := a.send("POST", a.acc+"/load_balancers/pools", body); err != nil || res.StatusCode != 200 {
					t.Errorf("create: %v %s", err, b)
				}
				if res, b, err := a.send("GET", a.acc+"/load_balancers/pools", ""); err != nil || res.StatusCode != 200 || !json.Valid(b) {
					t.Errorf("list: %v %s", err, b)
				}
			}
		})
	}
	wg.Wait()
	if l := a.list(a.acc + "/load_balancers/pools"); len(l) != 160 {
		t.Errorf("%d pools, want 160", len(l))
	}
}
