package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hactl/hactl/engines/host/netns"
	"github.com/hactl/hactl/reconcile/drill"
)

// netnsSite is hosts in network namespaces, each with hactl run as a process.
type netnsSite struct {
	dir  string
	net  *netns.Net
	base string

	mu     sync.Mutex
	agents map[string]*exec.Cmd
	probes map[netip.Addr]*netns.Probe
}

func newNetnsSite(ctx context.Context, dir string, layout *netns.Layout) (*netnsSite, error) {
	n, err := netns.Build(ctx, layout, netns.Options{Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	return &netnsSite{dir: dir, net: n, agents: map[string]*exec.Cmd{}, probes: map[netip.Addr]*netns.Probe{}}, nil
}

func (s *netnsSite) what() string {
	hosts := s.net.Layout().Hosts
	if len(hosts) == 0 {
		return "in network namespaces"
	}
	return fmt.Sprintf("in network namespaces such as %s", s.net.Namespace(hosts[0]))
}

func (s *netnsSite) listen() (net.Listener, string, error) {
	at := s.net.Outside()
	cert, ca, err := labCertificate(at)
	if err != nil {
		return nil, "", err
	}
	if err := os.WriteFile(s.ca(), ca, 0o644); err != nil {
		return nil, "", err
	}
	l, err := s.net.Listen(netns.Outside, "tcp", net.JoinHostPort(at.String(), "443"))
	if err != nil {
		return nil, "", err
	}
	s.base = "https://" + at.String()
	return tls.NewListener(l, &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{*cert}, NextProtos: []string{"http/1.1"}}), s.base, nil
}

// ca is the file with the certificate that agents believe.
func (s *netnsSite) ca() string { return filepath.Join(s.dir, "ca.pem") }

func (s *netnsSite) power(_ context.Context, host string, on bool) error {
	if on && host == noHost {
		return s.start(host)
	}
	if on {
		if err := s.net.Power(host, true); err != nil {
			return err
		}
		return s.start(host)
	}
	err := s.net.Power(host, false) // and its processes with it
	s.mu.Lock()
	cmd := s.agents[host]
	delete(s.agents, host)
	s.mu.Unlock()
	if cmd != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	return err
}

func (s *netnsSite) run(ctx context.Context, host string, on bool) error {
	if on {
		return s.start(host)
	}
	s.mu.Lock()
	cmd := s.agents[host]
	delete(s.agents, host)
	s.mu.Unlock()
	if cmd == nil {
		return fmt.Errorf("no agent runs on %s", host)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	stopped := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	defer stopped()
	return cmd.Wait()
}

// start starts the agent of a host.
func (s *netnsSite) start(host string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.agents[host] != nil {
		return fmt.Errorf("an agent runs on %s already", host)
	}
	log, err := labLog(s.dir, host)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command("/proc/self/exe", append([]string{"run"}, labArgs(s.dir, host, s.base)...)...)
	cmd.Args[0] = os.Args[0]
	cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+s.ca(), "SSL_CERT_DIR=/nonexistent")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // No agent outlives the demo.
	where := host
	if host == noHost {
		where = netns.Outside
	}
	if err := s.net.Start(where, cmd); err != nil {
		return err
	}
	s.agents[host] = cmd
	return nil
}

func (s *netnsSite) cable(host, iface string, plugged bool) error {
	var errs []error
	for _, lan := range s.net.Layout().LANs {
		for _, p := range lan.Ports {
			if p.Host == host && (iface == "" || p.Interface == iface) {
				errs = append(errs, s.net.Cable(host, p.Interface, plugged))
			}
		}
	}
	if len(errs) == 0 {
		return fmt.Errorf("%s has no interface %q on a LAN", host, iface)
	}
	return errors.Join(errs...)
}

func (s *netnsSite) split(hosts []string, apart bool) error { return s.net.Split(hosts, apart) }

func (s *netnsSite) probe(a netip.Addr) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.probes[a] != nil {
		return nil
	}
	p, err := s.net.Probe(a, probePeriod)
	if err == nil {
		s.probes[a] = p
	}
	return err
}

func (s *netnsSite) adverts(since time.Time) []drill.Advert {
	var all []drill.Advert
	for _, a := range s.net.Adverts(since) {
		all = append(all, drill.Advert{Time: a.Time, Host: a.Host, Interface: a.Interface, VRID: int(a.VRID), IPv6: a.IPv6, Priority: int(a.Priority)})
	}
	return all
}

func (s *netnsSite) silences(since time.Time) map[netip.Addr][]drill.Silence {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[netip.Addr][]drill.Silence{}
	for a, p := range s.probes {
		for _, o := range p.Outages(since) {
			all[a] = append(all[a], drill.Silence{From: o.From, To: o.To, Lost: o.Lost})
		}
	}
	return all
}

func (s *netnsSite) log(host string) string {
	b, _ := os.ReadFile(filepath.Join(labHost(s.dir, host), "log"))
	return strings.ToValidUTF8(string(b), "?")
}

func (s *netnsSite) close() error {
	err := s.net.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, cmd := range s.agents {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	return err
}
