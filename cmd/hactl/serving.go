package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/net/netutil"
	"golang.org/x/sys/unix"

	"github.com/hactl/hactl/engines/host"
	"github.com/hactl/hactl/reconcile/status"
	"github.com/hactl/hactl/schema"
)

// listenFlags say where an agent is asked how it is, besides its socket.
type listenFlags struct {
	address   string
	cert, key string
	tokenFile string
}

func (f *listenFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.address, "listen", "", "address for health, metrics, status and webhooks, such as 127.0.0.1:9180 or 192.0.2.10:9443 (default: the socket in the runtime directory alone)")
	flags.StringVar(&f.cert, "tls-cert", "", "certificate for --listen, in PEM; read again for each connection")
	flags.StringVar(&f.key, "tls-key", "", "its key")
	flags.StringVar(&f.tokenFile, "agent-token-file", os.Getenv("HACTL_AGENT_TOKEN_FILE"), "file with the bearer token that /status and /metrics ask for (default: HACTL_AGENT_TOKEN_FILE)")
}

// check refuses what would show a status, or take a token, in the clear.
func (f *listenFlags) check() error {
	if (f.cert == "") != (f.key == "") {
		return errors.New("--tls-cert and --tls-key go together")
	}
	if f.address == "" {
		if f.cert != "" {
			return errors.New("--tls-cert goes with --listen")
		}
		return nil
	}
	name, port, err := net.SplitHostPort(f.address)
	if err != nil || port == "" {
		return fmt.Errorf("--listen %s: want address:port", f.address)
	}
	switch {
	case isLoopback(name):
	case f.cert == "":
		return fmt.Errorf("--listen %s can be reached from other machines: pass --tls-cert and --tls-key, or an address of loopback", f.address)
	case f.tokenFile == "":
		return fmt.Errorf("--listen %s can be reached from other machines: pass --agent-token-file, or an address of loopback", f.address)
	}
	return nil
}

// isLoopback tells whether only this machine can reach a name.
func isLoopback(name string) bool {
	a, err := netip.ParseAddr(name)
	return name == "localhost" || err == nil && a.IsLoopback()
}

// files says what is wrong with the files that the flags name.
func (f *listenFlags) files() error {
	var errs []error
	if f.cert != "" {
		_, err := f.certificate(nil)
		errs = append(errs, err)
	}
	if f.tokenFile != "" {
		if _, err := secretFile(f.tokenFile); err != nil {
			errs = append(errs, fmt.Errorf("--agent-token-file: %w", err))
		}
	}
	return errors.Join(errs...)
}

func (f *listenFlags) certificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return nil, fmt.Errorf("--tls-cert: %w", err)
	}
	return &c, nil
}

// agentSocket is where an agent is asked on its own machine.
func agentSocket(dir string) string { return filepath.Join(dir, "agent.sock") }

// serving is what of an agent others see.
type serving struct {
	r       *runner
	metrics *status.Metrics
	server  *status.Server
	others  *neighbours

	mu     sync.Mutex
	failed [2]error // to listen: on the socket, on --listen
}

func newServing(r *runner) *serving {
	s := &serving{r: r}
	facts := func() status.Facts { return r.facts(context.Background()) }
	s.metrics = status.NewMetrics(facts)
	s.server = &status.Server{
		Facts: facts, Metrics: s.metrics, Control: r,
		Report: func(ctx context.Context) any { return r.report(ctx) },
	}
	spec := func() *schema.Spec {
		if g := r.follower.Good(); g != nil {
			return g.Spec
		}
		return nil
	}
	s.server.Page = &status.Page{
		Facts: facts, Problems: r.problems, Recent: r.events.recent,
		Spec: spec,
	}
	s.others = &neighbours{
		ask: askFlags{tokenFile: r.listen.tokenFile, caFile: r.agentCA}, spec: spec, own: r.hostName,
		ownReport: r.withoutEngine, patience: pagePatience, good: pageMemory, limit: neighbourTime,
	}
	s.server.Page.Hosts = s.others.hosts
	s.server.Authority = func() string {
		if g := r.follower.Good(); g != nil {
			if u, err := url.Parse(g.Spec.Hosts[r.hostName()].Agent); err == nil {
				return u.Host
			}
		}
		return ""
	}
	if r.listen.tokenFile != "" {
		s.server.Token = func() (string, error) { return secretFile(r.listen.tokenFile) }
	}
	return s
}

// most is how many connections there may be at a time.
const mostConnections = 64

// start serves until ctx ends. Where it cannot listen it tries again: what it
// shows goes on without.
func (s *serving) start(ctx context.Context, wg *sync.WaitGroup) {
	s.others.start(ctx, wg)
	s.keep(ctx, wg, 0, func() (net.Listener, error) { return listenLocal(ctx, s.r.host.dir()) }, s.server.Local())
	if s.r.listen.address != "" {
		s.keep(ctx, wg, 1, s.listen, s.server.Reader())
	}
}

// listenAgain is how long it waits before it tries to listen again.
const listenAgain = 3 * time.Second

func (s *serving) keep(ctx context.Context, wg *sync.WaitGroup, which int, listen func() (net.Listener, error), h http.Handler) {
	l, err := listen()
	s.note(which, err)
	if err == nil {
		s.serve(ctx, wg, l, h)
		return
	}
	s.r.log.Error("it cannot be asked how it is, and tries again", "err", err)
	wg.Go(func() {
		for {
			select {
			case <-time.After(listenAgain):
			case <-ctx.Done():
				return
			}
			if l, err = listen(); err == nil {
				s.note(which, nil)
				s.serve(ctx, wg, l, h)
				return
			}
			s.note(which, err)
		}
	})
}

func (s *serving) note(which int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed[which] = err
}

// problem says why it does not listen.
func (s *serving) problem() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.failed[:]...)
}

// listen listens on --listen.
func (s *serving) listen() (net.Listener, error) {
	l, err := net.Listen("tcp", s.r.listen.address)
	if err != nil {
		return nil, fmt.Errorf("--listen: %w", err)
	}
	l = netutil.LimitListener(&fairListener{Listener: l, open: map[string]int{}}, mostConnections)
	if s.r.listen.cert != "" {
		l = tls.NewListener(l, &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: s.r.listen.certificate, NextProtos: []string{"http/1.1"}})
	}
	s.r.log.Info("listening", "address", l.Addr().String(), "tls", s.r.listen.cert != "")
	return l, nil
}

func (s *serving) serve(ctx context.Context, wg *sync.WaitGroup, l net.Listener, h http.Handler) {
	server := &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 30 * time.Second, MaxHeaderBytes: 16 << 10,
		// A sync answers when the specification has been evaluated.
		WriteTimeout: 5 * time.Minute, ErrorLog: slog.NewLogLogger(s.r.log.Handler(), slog.LevelDebug),
	}
	server.SetKeepAlivesEnabled(false) // A connection that does nothing keeps others out.
	wg.Go(func() { _ = server.Serve(l) })
	context.AfterFunc(ctx, func() {
		limited, done := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer done()
		if server.Shutdown(limited) != nil {
			_ = server.Close()
		}
	})
}

// listenLocal makes the agent's socket, which is its user's alone.
func listenLocal(ctx context.Context, dir string) (net.Listener, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("runtime directory: %w", err)
	}
	path := agentSocket(dir)
	var d net.Dialer
	if c, err := d.DialContext(ctx, "unix", path); err == nil {
		_ = c.Close()
		return nil, fmt.Errorf("another hactl run works in %s", dir)
	} else if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ECONNREFUSED) {
		return nil, fmt.Errorf("the agent's socket: %w", err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the agent's socket: %w", err)
	}
	// Linux binds with the mode of the socket. A umask would be for all of the
	// process, and so for what else is made meanwhile, by other agents of a lab.
	private := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		failed := c.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), 0o600) })
		return errors.Join(failed, err)
	}}
	l, err := private.Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("the agent's socket: %w", err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // The next agent may have it by then.
	return l, nil
}

// askEngine is how its VRRP engine is, and what it runs.
func (r *runner) askEngine(ctx context.Context) (*host.Status, *host.Config, error) {
	if r.engine == nil {
		return nil, nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	return r.engine.Ask(ctx)
}

// connectionsEach is how many connections one address may have at a time, so
// that none keeps the others out.
const connectionsEach = 8

// fairListener closes what an address has too many of.
type fairListener struct {
	net.Listener

	mu   sync.Mutex
	open map[string]int
}

// Accept implements net.Listener.
func (l *fairListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from, _, _ := net.SplitHostPort(c.RemoteAddr().String())
		l.mu.Lock()
		n := l.open[from]
		if n < connectionsEach {
			l.open[from]++
		}
		l.mu.Unlock()
		if n >= connectionsEach {
			_ = c.Close()
			continue
		}
		return &fairConn{Conn: c, done: sync.OnceFunc(func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			if l.open[from]--; l.open[from] == 0 {
				delete(l.open, from)
			}
		})}, nil
	}
}

type fairConn struct {
	net.Conn
	done func()
}

// Close implements net.Conn.
func (c *fairConn) Close() error {
	c.done()
	return c.Conn.Close()
}
