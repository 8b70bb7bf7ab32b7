package main

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hactl/hactl/engines/cloudflare/cfsim"
	"github.com/hactl/hactl/engines/host/netns"
	"github.com/hactl/hactl/reconcile/status"
	"github.com/hactl/hactl/schema"
)

// TestTheLabPassesReadingOnAlone: an agent takes orders at its socket, which is
// where the lab asks it.
func TestTheLabPassesReadingOnAlone(t *testing.T) {
	dir, err := os.MkdirTemp("", "lab") // Paths of sockets are short.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	l := &lab{dir: dir}
	l.spec = &schema.Spec{Hosts: map[string]schema.Host{"lb01": {}}}
	run := filepath.Join(labHost(dir, "lb01"), "run")
	if err := os.MkdirAll(run, 0o700); err != nil {
		t.Fatal(err)
	}
	socket, err := net.Listen("unix", agentSocket(run))
	if err != nil {
		t.Fatal(err)
	}
	var orders []string
	agent := &httptest.Server{Listener: socket, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			orders = append(orders, r.Method+" "+r.URL.Path)
		}
		_, _ = io.WriteString(w, r.URL.Path)
	})}}
	agent.Start()
	t.Cleanup(agent.Close)
	pages := l.pages(&status.Recent{})
	ask := func(method, path, host string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "http://"+host+path, strings.NewReader("{}"))
		r.Header.Set("X-HTTP-Method-Override", "POST")
		w := httptest.NewRecorder()
		pages.ServeHTTP(w, r)
		return w
	}
	if w := ask(http.MethodGet, "/host/lb01/status", "127.0.0.1"); w.Code != http.StatusOK || w.Body.String() != "/status" {
		t.Fatalf("%d %q", w.Code, w.Body)
	}
	for _, path := range []string{
		"/host/lb01/sync", "/host/lb01//sync", "/host/lb01/suspend", "/host/lb01/resume", "/host/lb01/x/../sync", "/host/lb01/%2e%2e/sync",
		"/host/lb01/..%2fsync", "/host/lb01/%2fsync", "/host/lb01/%73ync", "/host//lb01/sync", "/host/lb01/sync/",
	} {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch, http.MethodOptions, http.MethodConnect, "post", "PRI"} {
			w := ask(method, path, "localhost")
			if to := w.Header().Get("Location"); to != "" && (!strings.HasPrefix(to, "/") || strings.HasPrefix(to, "//")) {
				t.Errorf("%s %s leads to %s", method, path, to)
			}
		}
	}
	if len(orders) != 0 {
		t.Errorf("the agent was told %v", orders)
	}
	for _, path := range []string{"/", "/host/lb01/", "/host/lb01/status"} {
		if w := ask(http.MethodGet, path, "evil.example"); w.Code != http.StatusMisdirectedRequest {
			t.Errorf("%s of another name: %d %s", path, w.Code, w.Body)
		}
	}
	w := ask(http.MethodGet, "/", "127.0.0.1")
	if w.Code != http.StatusOK || w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(w.Header().Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	for _, path := range []string{"/host/lb02/", "/host/..%2flb01/", "/host/lb01%2fx/"} {
		if w := ask(http.MethodGet, path, "127.0.0.1"); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

// TestTheLabsServicesAreForThisMachine: a site that is shown in a browser here, and
// whose name leads to loopback, reads neither the specification nor the edge.
func TestTheLabsServicesAreForThisMachine(t *testing.T) {
	dir := t.TempDir()
	l, err := newLab(t.Context(), dir, nil, &netns.Layout{}, newMemorySite(dir, &netns.Layout{}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.close() })
	for host, want := range map[string]int{"": http.StatusOK, "site.example.com": http.StatusMisdirectedRequest} {
		for _, path := range []string{"/git/spec.git/info/refs?service=git-upload-pack", cfsim.Prefix + "/zones"} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, l.base+path, http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			r.Host = host
			r.Header.Set("Authorization", "Bearer "+simToken)
			response, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
			if response.StatusCode != want {
				t.Errorf("%s as %q: %s", path, host, response.Status)
			}
		}
	}
}
