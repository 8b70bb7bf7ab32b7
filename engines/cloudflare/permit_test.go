package cloudflare

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hactl/hactl/reconcile"
)

// TestAPermitIsOfWhenThereIsAConnection: who leads may be another host by the time
// that there is one, and nothing is sent then.
func TestAPermitIsOfWhenThereIsAConnection(t *testing.T) {
	for _, protocol := range []string{"http/1.1", "h2"} {
		for _, method := range []string{http.MethodPost, http.MethodDelete} {
			t.Run(protocol+" "+method, func(t *testing.T) {
				var got, made atomic.Int32
				s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					got.Add(1)
					_, _ = w.Write([]byte("{}"))
				}))
				s.EnableHTTP2 = protocol == "h2"
				s.StartTLS()
				t.Cleanup(s.Close)
				leads, slow := true, false
				tr, _ := testTransport(nil, 100)
				anew := func() { // without connections
					base := &http.Transport{
						ForceAttemptHTTP2: true,
						TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, // the test's own server
						DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
							made.Add(1)
							if slow {
								time.Sleep(permitAge)
								leads = false
							}
							return new(net.Dialer).DialContext(ctx, network, address)
						},
					}
					t.Cleanup(base.CloseIdleConnections)
					tr.base = base
				}
				anew()
				ctx := reconcile.WithPermit(t.Context(), func(context.Context) error {
					if !leads {
						return errors.New("another host leads")
					}
					return nil
				})
				send := func() error {
					r, err := http.NewRequestWithContext(ctx, method, s.URL, strings.NewReader("{}"))
					if err != nil {
						t.Fatal(err)
					}
					response, err := tr.RoundTrip(r)
					if err == nil {
						if response.Proto != map[string]string{"h2": "HTTP/2.0", "http/1.1": "HTTP/1.1"}[protocol] {
							t.Errorf("it is %s", response.Proto)
						}
						err = response.Body.Close()
					}
					return err
				}
				if err := send(); err != nil || got.Load() != 1 {
					t.Fatalf("%v, %d requests", err, got.Load())
				}
				anew()
				slow = true
				if err := send(); !errors.Is(err, reconcile.ErrInterrupted) || !strings.Contains(err.Error(), "another host leads") {
					t.Errorf("got %v", err)
				}
				if made.Load() != 2 {
					t.Errorf("%d connections", made.Load())
				}
				// What came after would have been behind it.
				leads, slow = true, false
				if err := send(); err != nil || got.Load() != 2 {
					t.Errorf("%v, %d requests", err, got.Load())
				}
			})
		}
	}
}
