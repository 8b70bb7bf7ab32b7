package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/hactl/hactl/engines/host"
	"github.com/hactl/hactl/engines/host/agent"
	"github.com/hactl/hactl/engines/host/memory"
	"github.com/hactl/hactl/engines/host/netns"
	"github.com/hactl/hactl/reconcile/drill"
)

// memorySite is hosts in memory, each with the agent of hactl run in this
// process. It takes no privilege.
type memorySite struct {
	dir    string
	layout *netns.Layout
	lan    *memory.LAN
	base   string
	nodes  map[string]*memory.Node
	stop   context.CancelFunc
	ctx    context.Context // of the probes
	group  sync.WaitGroup

	// air guards seen. The LAN takes it while it has its own lock, which mu's
	// holders ask for.
	air  sync.Mutex
	seen []drill.Advert

	mu        sync.Mutex
	agents    map[string]*memoryAgent
	unplugged map[string]bool // hosts that nobody reaches
	apart     map[string]bool
	probes    map[netip.Addr]*memoryProbe
}

// memoryAgent is an agent that runs.
type memoryAgent struct {
	told commands
	kill context.CancelFunc
	over chan struct{}
	err  error
}

// mostAdverts is how many are remembered.
const mostAdverts = 1 << 16

func newMemorySite(dir string, layout *netns.Layout) *memorySite {
	s := &memorySite{
		dir: dir, layout: layout, lan: memory.NewLAN(), nodes: map[string]*memory.Node{}, agents: map[string]*memoryAgent{},
		unplugged: map[string]bool{}, apart: map[string]bool{}, probes: map[netip.Addr]*memoryProbe{},
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	wires, addresses := map[string]string{}, map[string][]netip.Addr{}
	for host, a := range layout.Elsewhere { // Unicast peers know it by that.
		addresses[host] = append(addresses[host], a)
	}
	for _, lan := range layout.LANs {
		for _, p := range lan.Ports {
			wires[p.Host+"/"+p.Interface] = lan.Name
			for _, a := range p.Addresses {
				addresses[p.Host] = append(addresses[p.Host], a.Addr())
			}
		}
	}
	s.lan.Wire(func(host, iface string) string { return wires[host+"/"+iface] })
	s.lan.Watch(func(a memory.Advert) {
		s.air.Lock()
		defer s.air.Unlock()
		s.seen = append(s.seen, drill.Advert{Time: a.Time, Host: a.Host, Interface: a.Interface, VRID: int(a.VRID), IPv6: a.IPv6, Priority: int(a.Priority)})
		if n := len(s.seen) - mostAdverts; n > mostAdverts/4 {
			s.seen = slices.Clone(s.seen[n:])
		}
	})
	for i, host := range layout.Hosts {
		linkLocal := netip.AddrFrom16([16]byte{0xfe, 0x80, 14: byte((i + 1) >> 8), 15: byte(i + 1)})
		s.nodes[host] = s.lan.Join(host, append(addresses[host], linkLocal)...)
	}
	return s
}

func (s *memorySite) what() string { return "in memory" }

func (s *memorySite) listen() (net.Listener, string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", err
	}
	s.base = "http://" + l.Addr().String()
	return l, s.base, nil
}

func (s *memorySite) power(ctx context.Context, host string, on bool) error {
	if on {
		if n := s.nodes[host]; n != nil {
			n.Boot()
		}
		return s.start(host)
	}
	s.nodes[host].Crash()
	s.end(host)
	return ctx.Err()
}

// end kills the agent of a host.
func (s *memorySite) end(host string) {
	s.mu.Lock()
	a := s.agents[host]
	delete(s.agents, host)
	s.mu.Unlock()
	if a != nil {
		a.kill()
		<-a.over
	}
}

func (s *memorySite) run(ctx context.Context, host string, on bool) error {
	if on {
		return s.start(host)
	}
	s.mu.Lock()
	a := s.agents[host]
	delete(s.agents, host)
	s.mu.Unlock()
	if a == nil {
		return fmt.Errorf("no agent runs on %s", host)
	}
	a.told.end <- unix.SIGTERM
	select {
	case <-a.over:
		return a.err
	case <-ctx.Done():
		a.kill()
		<-a.over
		return ctx.Err()
	}
}

// start starts the agent of a host.
func (s *memorySite) start(host string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.agents[host] != nil {
		return fmt.Errorf("an agent runs on %s already", host)
	}
	log, err := labLog(s.dir, host)
	if err != nil {
		return err
	}
	r := &runner{}
	flags := &cobra.Command{Use: "run"}
	r.register(flags)
	if err := flags.ParseFlags(labArgs(s.dir, host, s.base)); err != nil {
		return errors.Join(err, log.Close())
	}
	if n := s.nodes[host]; n != nil {
		engine := newMemoryEngine(n, labSurroundings(labHost(s.dir, host)).check)
		engine.events = func(ev event) { r.events.engine(ev) }
		r.around.engine = engine
	}
	ctx, cancel := context.WithCancel(s.ctx)
	a := &memoryAgent{
		told: commands{end: make(chan os.Signal, 4), look: make(chan os.Signal, 1), renew: make(chan os.Signal, 1)},
		kill: cancel, over: make(chan struct{}),
	}
	s.agents[host] = a
	go func() {
		defer close(a.over)
		a.err = r.work(ctx, log, a.told)
		cancel() // what serves ends with it
		_ = log.Close()
	}()
	return nil
}

func (s *memorySite) cable(host, iface string, plugged bool) error {
	there := slices.ContainsFunc(s.layout.LANs, func(l netns.LAN) bool {
		return slices.ContainsFunc(l.Ports, func(p netns.Port) bool { return p.Host == host && (iface == "" || p.Interface == iface) })
	})
	if !there {
		return fmt.Errorf("%s has no interface %q on a LAN", host, iface)
	}
	s.nodes[host].Cable(iface, plugged)
	s.mu.Lock()
	defer s.mu.Unlock()
	if iface == "" {
		s.unplugged[host] = !plugged
	}
	return nil
}

func (s *memorySite) split(hosts []string, apart bool) error {
	s.mu.Lock()
	for _, h := range hosts {
		s.apart[h] = apart
	}
	all := map[string]bool{}
	for h, is := range s.apart {
		all[h] = is
	}
	s.mu.Unlock()
	s.lan.Cut(func(from, to string) bool { return all[from] && all[to] })
	return nil
}

func (s *memorySite) adverts(since time.Time) []drill.Advert {
	s.air.Lock()
	defer s.air.Unlock()
	first := len(s.seen)
	for first > 0 && !s.seen[first-1].Time.Before(since) {
		first--
	}
	return slices.Clone(s.seen[first:])
}

func (s *memorySite) log(host string) string {
	b, _ := os.ReadFile(filepath.Join(labHost(s.dir, host), "log"))
	return string(b)
}

func (s *memorySite) close() error {
	for _, host := range s.layout.Hosts {
		s.nodes[host].Crash()
		s.end(host)
	}
	s.end(noHost)
	s.stop()
	s.group.Wait()
	return nil
}

// probePeriod is how often the client of a lab asks an address.
const probePeriod = 5 * time.Millisecond

// memoryProbe asks all the time which host has an address.
type memoryProbe struct {
	mu       sync.Mutex
	last     time.Time // that was answered
	lost     int       // since
	silences []drill.Silence
}

func (s *memorySite) probe(a netip.Addr) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.probes[a] != nil {
		return nil
	}
	p := &memoryProbe{}
	s.probes[a] = p
	s.group.Go(func() {
		tick := time.NewTicker(probePeriod)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				p.add(s.answers(a), time.Now())
			case <-s.ctx.Done():
				return
			}
		}
	})
	return nil
}

// answers tells whether a host that can be reached has the address.
func (s *memorySite) answers(a netip.Addr) bool {
	holders := s.lan.Holders(a)
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(holders, func(h string) bool { return !s.unplugged[h] })
}

// add counts a request. One that is lost by itself may be on its way.
func (p *memoryProbe) add(answered bool, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !answered && !p.last.IsZero():
		p.lost++
	case answered:
		if p.lost > 1 {
			p.silences = append(p.silences, drill.Silence{From: p.last, To: now, Lost: p.lost})
		}
		p.last, p.lost = now, 0
	}
}

func (s *memorySite) silences(since time.Time) map[netip.Addr][]drill.Silence {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[netip.Addr][]drill.Silence{}
	for a, p := range s.probes {
		p.mu.Lock()
		for _, x := range p.silences {
			if x.To.After(since) {
				all[a] = append(all[a], x)
			}
		}
		if p.lost > 1 {
			all[a] = append(all[a], drill.Silence{From: p.last, Lost: p.lost})
		}
		p.mu.Unlock()
	}
	return all
}

// event is what an engine tells.
type event = host.NumberedEvent

// memoryEngine is a host in memory in place of an engine's process.
type memoryEngine struct {
	node   *memory.Node
	check  func(name string) error
	events func(host.NumberedEvent)

	heard chan host.Event
	ended chan bool // now?

	mu   sync.Mutex // of what is configured
	over bool       // told to end

	checks *agent.Rehearsal
}

func newMemoryEngine(node *memory.Node, check func(string) error) *memoryEngine {
	e := &memoryEngine{node: node, check: check, heard: make(chan host.Event, 1024), ended: make(chan bool, 4)}
	e.checks = agent.NewRehearsal(check, func(name string, ok bool, detail string) {
		node.Results(map[string]host.Result{name: {OK: ok, Since: time.Now(), Detail: detail}})
	})
	node.Observe(func(ev host.Event) {
		select {
		case e.heard <- ev:
		default: // Nobody reads: the agent is gone.
		}
	})
	return e
}

// Run implements vrrpEngine.
func (e *memoryEngine) Run(ctx context.Context) error {
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	defer e.checks.Set(inner, nil)
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	var number uint64
	var tried *host.Config
	ending := false
	for {
		select {
		case ev := <-e.heard:
			number++
			e.events(host.NumberedEvent{Number: number, Event: ev})
		case now := <-e.ended:
			ending = true
			if now {
				e.node.Crash()
			} else {
				e.node.Stop()
			}
		case <-look.C:
			if c := e.node.Config(); c != nil && c != tried {
				tried = c
				e.checks.Set(inner, c.Checks)
			}
			if ending && e.quiet() {
				e.node.Crash()
				e.node.Boot() // The machine goes on, without an engine.
				return nil
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// quiet tells whether every router has let go.
func (e *memoryEngine) quiet() bool {
	s := e.node.Status()
	return s == nil || !slices.ContainsFunc(s.Routers, func(r host.RouterStatus) bool { return r.State == "active" || r.State == "releasing" })
}

// Stop implements vrrpEngine.
func (e *memoryEngine) Stop(_ context.Context, now bool) error {
	e.mu.Lock()
	e.over = true
	e.mu.Unlock()
	e.ended <- now
	return nil
}

// Shutdown implements vrrpEngine.
func (e *memoryEngine) Shutdown(context.Context) error { e.node.Stop(); return nil }

// UpgradeEngine implements vrrpEngine.
func (e *memoryEngine) UpgradeEngine(context.Context, string) error {
	return errors.New("a host in memory has no engine to upgrade")
}

// Configure implements vrrpEngine.
func (e *memoryEngine) Configure(c host.Config) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.over { // A Virtual Router more would never let go, or outlive its agent.
		return errors.New("the engine is told to end")
	}
	return e.node.Configure(c)
}

// Wanted implements vrrpEngine.
func (e *memoryEngine) Wanted() *host.Config { return e.node.Wanted() }

// Present implements vrrpEngine.
func (e *memoryEngine) Present() *host.Config { return e.node.Config() }

// Ask implements vrrpEngine.
func (e *memoryEngine) Ask(context.Context) (*host.Status, *host.Config, error) {
	s := e.node.Status()
	if s == nil {
		return nil, nil, memory.ErrOff
	}
	return s, e.node.Config(), nil
}
