package memory_test

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hactl/hactl/engines/host"
	"github.com/hactl/hactl/engines/host/memory"
)

// TestAnAddressMovesToAnotherVirtualRouter: from one that is Active on the first
// host to one that is on the second, which learn of it at different times. It is
// never at both, and is gone for as long as the second does not know, and no
// longer. Where both are Active on one host it is never gone.
func TestAnAddressMovesToAnotherVirtualRouter(t *testing.T) {
	const late = 10 * time.Second
	for _, version := range []uint8{2, 3} {
		for _, c := range []struct {
			name          string
			first, second time.Duration // when the hosts learn
			apart         bool
			gone          time.Duration // at most
		}{
			{"at once", 0, 0, true, 3 * time.Second}, // It listens for that long, in version 3.
			{"the new one first", late, 0, true, 50 * time.Millisecond},
			{"the old one first", 0, late, true, late + 3*time.Second},
			{"on one host", 0, late, false, 0},
		} {
			t.Run(fmt.Sprintf("v%d, %s", version, c.name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					lan := memory.NewLAN()
					config := func(n int, a, b []host.Address) (out host.Config) {
						for i, list := range [][]host.Address{a, b} {
							priority := uint8(150 - 50*n)
							if c.apart && i == 1 {
								priority = uint8(100 + 50*n)
							}
							out.Routers = append(out.Routers, host.Router{
								Name: string("ab"[i]), Interface: "eth0", Priority: priority, ActivationDelay: delay,
								Parameters: host.Parameters{Version: version, VRID: uint8(50 + i), Interval: time.Second, Addresses: list},
							})
						}
						return out
					}
					var hosts []*memory.Node
					for n := range 2 {
						h := lan.Join(fmt.Sprint("h", n+1), netip.AddrFrom4([4]byte{10, 0, 0, byte(n + 1)}))
						h.Boot()
						if err := h.Configure(config(n, addresses(50, 51), addresses(60))); err != nil {
							t.Fatal(err)
						}
						hosts = append(hosts, h)
					}
					moving := netip.MustParseAddr("10.0.0.51")
					time.Sleep(15 * time.Second)
					if at := lan.Holders(moving); len(at) != 1 || at[0] != "h1" {
						t.Fatalf("it is at %v", at)
					}
					start := time.Now()
					for n, at := range []time.Duration{c.first, c.second} {
						time.AfterFunc(at, func() {
							if err := hosts[n].Configure(config(n, addresses(50), addresses(60, 51))); err != nil {
								t.Error(err)
							}
						})
					}
					const step = 5 * time.Millisecond
					var both, gone time.Duration
					for time.Since(start) < 8*delay {
						time.Sleep(step)
						switch len(lan.Holders(moving)) {
						case 0:
							gone += step
						case 2:
							both += step
						}
					}
					if both > 0 || gone > c.gone {
						t.Errorf("at both for %s, at none for %s", both, gone)
					}
					t.Logf("at both for %s, at none for %s", both, gone)
					at := "h2"
					if !c.apart {
						at = "h1"
					}
					if got := lan.Holders(moving); len(got) != 1 || got[0] != at {
						t.Errorf("in the end it is at %v", got)
					}
					for _, h := range hosts {
						h.Crash()
					}
				})
			})
		}
	}
}
