package cloudflare

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/hactl/hactl/reconcile"
)

const someAccount = "0123456789abcdef0123456789abcdef"

func TestTokenIsSentOverTLSOrToThisMachineOnly(t *testing.T) {
	for base, refused := range map[string]bool{
		"http://127.0.0.1:8787/client/v4": false, "http://[::1]:8787": false, "http://localhost:1": false, "https://api.example.com": false,
		"http://192.0.2.1/client/v4": true, "http://api.example.com": true, "http://localhost.example.com": true,
		"http://user:word@127.0.0.1": true, "ftp://127.0.0.1": true, "127.0.0.1": true,
	} {
		_, err := New(Options{Token: "very-secret", Account: someAccount, BaseURL: base})
		if (err != nil) != refused {
			t.Errorf("%s: error %v, want refused %t", base, err, refused)
		}
		if err != nil && (strings.Contains(err.Error(), "very-secret") || strings.Contains(err.Error(), "word")) {
			t.Errorf("%s: the error shows a secret: %v", base, err)
		}
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	reached := false
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	defer other.Close()
	here := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer here.Close()
	e, err := New(Options{Token: "t", Account: someAccount, BaseURL: here.URL, Backoff: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Read(t.Context(), reconcile.Scope{Stack: "test"}); err == nil || reached {
		t.Errorf("error %v, other server reached %t; want an error and nothing sent on", err, reached)
	}
}
