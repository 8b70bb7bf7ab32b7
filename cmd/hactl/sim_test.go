package main

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/hactl/hactl/engines/cloudflare/cfsim"
)

// TestSimTakesOrders: beside the API, which takes none.
func TestSimTakesOrders(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	out, in := io.Pipe()
	cmd := newSim()
	cmd.SetArgs([]string{"--listen", "127.0.0.1:0"})
	cmd.SetOut(in)
	done := make(chan error)
	go func() { done <- cmd.ExecuteContext(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	lines := bufio.NewScanner(out)
	lines.Scan()
	base := strings.TrimPrefix(lines.Text(), "export CLOUDFLARE_BASE_URL=")
	lines.Scan()
	account := strings.TrimPrefix(lines.Text(), "export CLOUDFLARE_ACCOUNT_ID=")
	go func() { _, _ = io.Copy(io.Discard, out) }()
	send := func(method, url, body string) int {
		t.Helper()
		r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+simToken)
		w, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = w.Body.Close()
		return w.StatusCode
	}
	orders := strings.TrimSuffix(base, cfsim.Prefix) + "/sim/tunnels/home/connectors"
	if got := send(http.MethodPut, orders, `["192.0.2.11"]`); got != http.StatusBadRequest {
		t.Errorf("a tunnel that there is not: %d", got)
	}
	if got := send(http.MethodPost, base+"/accounts/"+account+"/cfd_tunnel", `{"name":"home"}`); got != http.StatusOK {
		t.Errorf("the API: %d", got)
	}
	if got := send(http.MethodPut, orders, `["192.0.2.11"]`); got != http.StatusNoContent {
		t.Errorf("the tunnel: %d", got)
	}
}

// TestSimIsReachableAsItSays: all addresses are none that a token is sent to.
func TestSimIsReachableAsItSays(t *testing.T) {
	for listens, want := range map[string]string{
		"[::]:8787": "127.0.0.1:8787", "0.0.0.0:8787": "127.0.0.1:8787", "127.0.0.1:8787": "127.0.0.1:8787", "[::1]:8787": "[::1]:8787", "192.0.2.1:80": "192.0.2.1:80",
	} {
		a, err := net.ResolveTCPAddr("tcp", listens)
		if err != nil {
			t.Fatal(err)
		}
		if got := reachable(a); got != want {
			t.Errorf("%s is reached at %s, want %s", listens, got, want)
		}
	}
}
