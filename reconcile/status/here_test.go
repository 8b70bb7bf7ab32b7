package status_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/hactl/hactl/reconcile/status"
)

// A site that a browser here shows may let its name lead to loopback, and is its
// own origin then.
func TestWithoutATokenNobodyAsksByTheNameOfASite(t *testing.T) {
	s, _ := server(all)
	s.Page = &status.Page{}
	code := func(h http.Handler, host, path string) int {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Host = host
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code
	}
	for host, here := range map[string]bool{
		"localhost": true, "LocalHost:9180": true, "127.0.0.1:9180": true, "127.0.0.1": true, "[::1]:9180": true, "[::1]": true, "": true, "lb.localhost:80": true, "localhost.:9180": true,
		"evil.example": false, "evil.example:9180": false, "localhost.evil.example": false, "127.0.0.1.evil.example:9180": false, "notlocalhost": false, "127.0.0.1@evil.example": false,
	} {
		want := map[bool]int{true: http.StatusOK, false: http.StatusMisdirectedRequest}[here]
		s.Token = nil
		for _, path := range []string{"/", "/status", "/metrics"} {
			if got := code(s.Reader(), host, path); got != want {
				t.Errorf("%s of %q: %d, want %d", path, host, got, want)
			}
			if got := code(s.Local(), host, path); got != http.StatusOK {
				t.Errorf("%s of %q on the socket: %d", path, host, got)
			}
		}
		if got := code(s.Reader(), host, "/healthz"); got != http.StatusOK {
			t.Errorf("/healthz of %q: %d", host, got)
		}
		s.Token = func() (string, error) { return token, nil }
		if got := code(s.Reader(), host, "/status"); got != http.StatusUnauthorized {
			t.Errorf("/status of %q with a token: %d", host, got)
		}
	}
}
