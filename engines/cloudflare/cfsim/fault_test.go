package cfsim_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hactl/hactl/engines/cloudflare/cfsim"
)

func inject(t *testing.T, s *cfsim.Server, text string) {
	t.Helper()
	f, err := cfsim.ParseFault(text)
	if err != nil {
		t.Fatal(err)
	}
	s.Inject(f)
}

// TestFaults creates a tunnel under a fault and looks at the answer and at the effect.
func TestFaults(t *testing.T) {
	tests := []struct {
		fault  string
		status int    // 0: no answer
		body   string // in the body
		exists bool   // afterwards
		retry  string
	}{
		{"POST /cfd_tunnel$ status", 503, `"code":1000`, false, ""},
		{"POST /cfd_tunnel$ status status=403 code=10000", 403, `"code":10000`, false, ""},
		{"* * status status=429 retry-after=2500ms count=1", 429, `"code":10100`, false, "3"},
		{"POST * lost", 0, "", true, ""},
		{"POST * reset", 0, "", false, ""},
		{"POST * html", 502, "<html>", false, ""},
		{"POST * lost-status", 500, `"success":false`, true, ""},
		{"POST * lost-status status=504", 504, `"success":false`, true, ""},
		{"POST * delay delay=1ns", 200, `"success":true`, true, ""},
		{"DELETE * lost", 200, `"success":true`, true, ""},
		{"POST /pools lost", 200, `"success":true`, true, ""},
	}
	for _, tt := range tests {
		t.Run(tt.fault, func(t *testing.T) {
			a := start(t, cfsim.Options{})
			inject(t, a.sim, tt.fault)
			res, b, err := a.send("POST", a.acc+"/cfd_tunnel", `{"name":"home"}`)
			switch {
			case tt.status == 0 && err == nil:
				t.Errorf("got an answer: %d %s", res.StatusCode, b)
			case tt.status != 0 && err != nil:
				t.Errorf("got no answer: %v", err)
			case tt.status != 0 && (res.StatusCode != tt.status || !strings.Contains(string(b), tt.body) || res.Header.Get("Retry-After") != tt.retry):
				t.Errorf("got %d %s %v", res.StatusCode, b, res.Header)
			}
			if exists := len(a.list(a.acc+"/cfd_tunnel")) == 1; exists != tt.exists {
				t.Errorf("the tunnel exists: %v, want %v", exists, tt.exists)
			}
			waitFor(t, func() bool { return a.sim.Requests()[0].Status == tt.status })
			struck := tt.status != 200 || strings.Contains(tt.fault, "delay")
			if got := a.sim.Requests()[0].Fault != ""; got != struck {
				t.Errorf("logged fault: %v, want %v", got, struck)
			}
		})
	}
}

func TestTruncatedAnswer(t *testing.T) {
	a := start(t, cfsim.Options{})
	inject(t, a.sim, "POST * truncate")
	res, b, err := a.send("POST", a.acc+"/cfd_tunnel", `{"name":"home"}`)
	if !errors.Is(err, io.ErrUnexpectedEOF) || res.StatusCode != http.StatusOK {
		t.Fatalf("got %v %v, want a body that ends early", res, err)
	}
	if len(b) == 0 || json.Valid(b) {
		t.Errorf("body: %s", b)
	}
	if len(a.list(a.acc+"/cfd_tunnel")) != 1 {
		t.Error("the request had no effect")
	}
}

func TestFaultCounting(t *testing.T) {
	for fault, want := range map[string]string{
		"GET /zones status":               "xxxxxx",
		"GET /zones status count=2":       "xx....",
		"GET /zones status nth=3":         "..x...",
		"GET /zones status nth=3 count=2": "..xx..",
		"POST /zones status":              "......",
		"GET /zones/ status":              "......",
	} {
		a := start(t, cfsim.Options{})
		inject(t, a.sim, fault)
		got := ""
		for range len(want) {
			if status, _ := a.call("GET", "/zones", ""); status == http.StatusOK {
				got += "."
			} else {
				got += "x"
			}
		}
		if got != want {
			t.Errorf("%s: %s, want %s", fault, got, want)
		}
		a.sim.ClearFaults()
		a.list("/zones")
	}
}

func TestParseFault(t *testing.T) {
	for _, text := range []string{
		"POST /pools lost nth=2", "* * reset", "GET ^/zones$ status count=3 status=429 code=971 retry-after=3s", "PUT * delay delay=1.5s",
	} {
		f, err := cfsim.ParseFault(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if f.String() != text {
			t.Errorf("%s prints %s", text, f)
		}
	}
	if f, _ := cfsim.ParseFault("* * delay delay=2m retry-after=1s"); f.Delay != 2*time.Minute || f.RetryAfter != time.Second {
		t.Errorf("durations: %+v", f)
	}
	for text, words := range map[string]string{
		"":                            "want METHOD PATH KIND",
		"POST /pools":                 "want METHOD PATH KIND",
		"post /pools lost":            "upper case",
		"POST ( lost":                 "path",
		"POST /pools gone":            "unknown kind",
		"POST /pools lost nth":        "nth",
		"POST /pools lost nth=two":    "nth=two",
		"POST /pools lost nth=-1":     "negative",
		"POST /pools lost often=1":    "unknown key",
		"POST /pools status status=2": "not an error status",
		"POST /pools delay":           "delay needs",
	} {
		if _, err := cfsim.ParseFault(text); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%q: error %v, want %q", text, err, words)
		}
	}
}
