package lead

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// server is a real etcd on loopback, with a folder that survives restarts.
type server struct {
	t            *testing.T
	dir          string
	client, peer string // host:port
	cmd          *exec.Cmd
	scheme       string
	flags        []string
}

// ports begins somewhere, so that who else runs these tests begins elsewhere.
var ports = func() *atomic.Uint32 { p := new(atomic.Uint32); p.Store(rand.Uint32N(1 << 16)); return p }()

// freePort is host:port for who listens there later, and again after a restart. It
// is below the ports that the kernel gives to connections, or one of those would
// have it by then.
func freePort(t *testing.T) string {
	t.Helper()
	const first = 10000
	low := 32768
	if b, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range"); err == nil {
		_, _ = fmt.Sscan(string(b), &low)
	}
	for range 1000 {
		at := "127.0.0.1:0"
		if low > first {
			at = fmt.Sprintf("127.0.0.1:%d", first+int(ports.Add(1))%(low-first))
		}
		if l, err := net.Listen("tcp", at); err == nil {
			defer l.Close()
			return l.Addr().String()
		}
	}
	t.Fatal("no port is free")
	return ""
}

func newServer(t *testing.T) *server {
	t.Helper()
	if _, err := exec.LookPath("etcd"); err != nil {
		if os.Getenv("HACTL_NETNS") == "required" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	s := &server{t: t, dir: t.TempDir(), client: freePort(t), peer: freePort(t), scheme: "http"}
	t.Cleanup(s.stop)
	return s
}

func (s *server) url() string { return s.scheme + "://" + s.client }

func (s *server) start() *server {
	s.t.Helper()
	s.cmd = exec.Command("etcd", "--name", "e", "--data-dir", s.dir, "--log-level", "error",
		"--heartbeat-interval", "50", "--election-timeout", "250", // a short minimum of leases
		"--listen-client-urls", s.url(), "--advertise-client-urls", s.url(),
		"--listen-peer-urls", "http://"+s.peer, "--initial-advertise-peer-urls", "http://"+s.peer,
		"--initial-cluster", "e=http://"+s.peer)
	s.cmd.Args = append(s.cmd.Args, s.flags...)
	s.cmd.Env = append(os.Environ(), "ETCD_UNSUPPORTED_ARCH=arm64")
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	return s
}

func (s *server) stop() {
	if s.cmd != nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
		s.cmd = nil
	}
}

// host is one elector that runs.
type host struct {
	*Elector
	t      *testing.T
	resign func() // ends Run, and waits for it
}

func options(identity, endpoint string) Options {
	return Options{Endpoints: []string{endpoint}, Stack: "home", Identity: identity, TTL: ttl}
}

func run(t *testing.T, o Options) *host {
	t.Helper()
	e, err := Etcd(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); e.Run(ctx) }()
	h := &host{e, t, func() { cancel(); <-done }}
	t.Cleanup(h.resign)
	return h
}

// limit is for what is certain to come: etcd writes to a disk that others use.
const limit = time.Minute

// wait is until the host leads, or does not.
func (h *host) wait(leads bool) int64 {
	h.t.Helper()
	for end := time.After(limit); ; {
		term, ok := h.Leads()
		if ok == leads {
			return term
		}
		select {
		case <-h.Changes():
		case <-time.After(5 * time.Millisecond):
		case <-end:
			h.t.Fatalf("%s leads: %v, after %v", h.opts.Identity, ok, limit)
		}
	}
}

func (h *host) leader() string {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), limit)
	defer cancel()
	name, err := h.Leader(ctx)
	if err != nil {
		h.t.Error(err)
	}
	return name
}

// entered waits until the host has a key in etcd: it follows who leads, or does.
func (h *host) entered() {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(h.t.Context(), limit)
	defer cancel()
	c, err := h.opts.dial(ctx)
	if err != nil {
		h.t.Fatal(err)
	}
	defer c.Close()
	for tick := time.Tick(5 * time.Millisecond); ; <-tick {
		res, err := c.Get(ctx, h.prefix, clientv3.WithPrefix())
		if err != nil {
			h.t.Fatal(err)
		}
		if slices.ContainsFunc(res.Kvs, func(kv *mvccpb.KeyValue) bool { return string(kv.Value) == h.opts.Identity }) {
			return
		}
	}
}

func (h *host) confirm(term int64) error {
	ctx, cancel := context.WithTimeout(h.t.Context(), limit)
	defer cancel()
	return h.Confirm(ctx, term)
}

// line is a connection to etcd that can be cut so that nobody notices: what is
// sent arrives nowhere.
type line struct {
	net.Listener
	mu    sync.Mutex
	dead  bool
	conns []net.Conn
}

func newLine(t *testing.T, to string) *line {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &line{Listener: l}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.keep(c)
			all.Go(func() {
				s, err := net.Dial("tcp", to)
				if err != nil {
					c.Close()
					return
				}
				p.keep(s)
				all.Go(func() { p.pass(c, s) })
				p.pass(s, c)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		p.mu.Lock()
		for _, c := range p.conns {
			c.Close()
		}
		p.mu.Unlock()
		all.Wait()
	})
	return p
}

func (p *line) keep(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns = append(p.conns, c)
}

func (p *line) cut(dead bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dead = dead
}

func (p *line) pass(from, to net.Conn) {
	defer to.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		p.mu.Lock()
		dead := p.dead
		p.mu.Unlock()
		if dead {
			continue
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}
