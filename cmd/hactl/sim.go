package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hactl/hactl/engines/cloudflare"
	"github.com/hactl/hactl/engines/cloudflare/cfsim"
)

// simToken is what the simulator takes for a token; any would do.
const simToken = "simulated"

func newSim() *cobra.Command {
	var listen string
	var faults []string
	o := cfsim.Options{}
	cmd := &cobra.Command{
		Use:   "sim",
		Short: "Serve a simulated Cloudflare",
		Long: `sim serves a simulation of the parts of Cloudflare's API that hactl uses, in
memory, until it is interrupted. It prints the environment that points hactl,
or any other client, at it.

A fault is METHOD PATTERN KIND [nth=N] [count=N] [status=N] [code=N] [delay=D]
[retry-after=D]; KIND is status, delay, lost, reset, truncate, html or
lost-status, PATTERN a regular expression on the path, * matches all:

  hactl sim --fault "POST /pools lost nth=2" --fault "* * status status=429 retry-after=3s count=1"

Who is connected for a tunnel, and what the monitor of a pool finds of an origin,
is said while it runs:

  curl -X PUT http://127.0.0.1:8787/sim/tunnels/TUNNEL/connectors -d '["192.0.2.11"]'
  curl -X PUT http://127.0.0.1:8787/sim/pools/POOL/origins/ORIGIN -d '{"healthy": false, "reason": "TCP connection failed"}'`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			server := cfsim.New(o)
			for _, text := range faults {
				f, err := cfsim.ParseFault(text)
				if err != nil {
					return err
				}
				server.Inject(f)
			}
			l, err := net.Listen("tcp", listen)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "export CLOUDFLARE_BASE_URL=http://%s%s\nexport CLOUDFLARE_ACCOUNT_ID=%s\nexport CLOUDFLARE_API_TOKEN=%s\n",
				reachable(l.Addr()), cfsim.Prefix, server.Account(), simToken)
			control := server.Control()
			return serve(cmd.Context(), l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasPrefix(r.URL.Path, "/sim/") {
					control.ServeHTTP(w, r)
					return
				}
				server.ServeHTTP(w, r)
			}))
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&listen, "listen", "127.0.0.1:8787", "address to listen on")
	flags.Uint64Var(&o.Seed, "seed", 1, "seed of all ids and orders")
	flags.StringVar(&o.Account, "account", "", "account id (default: from the seed)")
	flags.StringSliceVar(&o.Zones, "zone", []string{"example.com"}, "zones that exist")
	flags.IntVar(&o.Quota, "quota", cloudflare.DefaultBudget, "requests in 5 minutes, 0 for no limit")
	flags.DurationVar(&o.Latency, "latency", 0, "time added to each request")
	flags.BoolVar(&o.Enterprise, "enterprise", false, "without the limits of smaller plans")
	flags.StringArrayVar(&faults, "fault", nil, "a fault to inject (repeatable)")
	return cmd
}

// reachable is a listener's address as a client on this machine says it: one of
// all addresses is no address to send a token to.
func reachable(a net.Addr) string {
	host, port, err := net.SplitHostPort(a.String())
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return a.String()
}

// serve answers requests until the context ends.
func serve(ctx context.Context, l net.Listener, h http.Handler) error {
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	stopped := context.AfterFunc(ctx, func() { _ = s.Close() })
	defer stopped()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
