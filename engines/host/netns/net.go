package netns

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// Outside stands for the namespace beyond the LANs where a host is asked for. It
// is no name that a host can have.
const Outside = ".outside"

// Client stands for the client of a LAN where a host is asked for.
func Client(lan string) string { return "." + lan }

// ErrPrivilege is why Build fails without root. It is fs.ErrPermission too.
var ErrPrivilege = fmt.Errorf("network namespaces need root: %w", fs.ErrPermission)

// ErrClosed and ErrPower say why nothing can be done on a host.
var (
	ErrClosed = errors.New("the network is closed")
	ErrPower  = errors.New("it has no power")
)

// outsideBridge is the LAN of hactl0.
const outsideBridge = "outside"

// Options are for Build.
type Options struct {
	// Name begins the names of all namespaces; left out, it is "hactl-" and
	// the process's ID in hexadecimal, by which Sweep knows leftovers.
	Name string
	Log  *slog.Logger // left out, nothing is logged
}

// Net is what Build has built. Its methods may be called at the same time. Where
// they ask for a host, Outside and Client will do.
type Net struct {
	layout *Layout
	name   string
	log    *slog.Logger

	sw       *space
	bridges  map[string]int      // index by name
	order    []string            // of machines: Outside, the clients, the hosts
	machines map[string]*machine // by name
	heard    *hearing
	numbers  int // of ports

	mu     sync.Mutex
	closed bool
	result error    // of Close
	probes []*Probe // all that have been started
}

// machine is a host, a client, or what is outside.
type machine struct {
	fullName string   // of the namespace
	settings []string // once the interfaces exist

	mu     sync.Mutex
	ports  []*port
	space  *space // nil without power
	closed bool
	opened []net.Listener
}

// settings make addresses usable at once, and let hosts answer on any of their
// interfaces; new namespaces may have the machine's own here.
var settings = []string{
	"ipv4/conf/all/rp_filter", "0", "ipv4/conf/default/rp_filter", "0",
	"ipv6/conf/all/disable_ipv6", "0", "ipv6/conf/default/disable_ipv6", "0",
	"ipv6/conf/all/accept_dad", "0", "ipv6/conf/default/accept_dad", "0",
}

// impatient are a client's. While nobody has an address, the kernel keeps requests
// to it, and sends them when somebody does: they would count as answered. It
// always keeps the last one.
var impatient = []string{
	"ipv4/neigh/" + ClientInterface + "/unres_qlen_bytes", "0", "ipv6/neigh/" + ClientInterface + "/unres_qlen_bytes", "0",
}

// Build builds a layout. What it has built when it fails is gone. It fails with
// ErrPrivilege without root.
func Build(ctx context.Context, layout *Layout, o Options) (*Net, error) {
	if os.Geteuid() != 0 {
		return nil, ErrPrivilege
	}
	n := &Net{layout: layout, name: o.Name, log: o.Log, bridges: map[string]int{}, machines: map[string]*machine{}, heard: newHearing()}
	if n.name == "" {
		n.name = fmt.Sprintf("%s%x", DefaultPrefix, os.Getpid())
	}
	if n.log == nil {
		n.log = slog.New(slog.DiscardHandler)
	}
	if err := n.build(ctx); err != nil {
		if errors.Is(err, fs.ErrPermission) {
			err = errors.Join(ErrPrivilege, err) // root, but of a container
		}
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

func (n *Net) build(ctx context.Context) (err error) {
	// The switch speaks no IP.
	if n.sw, err = newSpace(n.name+".switch", "ipv6/conf/all/disable_ipv6", "1", "ipv6/conf/default/disable_ipv6", "1"); err != nil {
		return err
	}
	if err := n.sw.do(n.heard.open); err != nil {
		return err
	}
	go n.heard.run()
	if err := n.newBridge(outsideBridge); err != nil {
		return err
	}
	for _, lan := range n.layout.LANs {
		if err := n.newBridge(lan.Name); err != nil {
			return err
		}
	}
	n.plan()
	for _, name := range n.order {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if err := n.machines[name].start(n); err != nil {
			return err
		}
	}
	n.log.Info("network built", "name", n.name, "hosts", len(n.layout.Hosts), "lans", len(n.layout.LANs))
	return nil
}

func (n *Net) newPort(host, iface, lan string, addresses []netip.Prefix) *port {
	n.numbers++
	return &port{number: n.numbers, host: host, iface: iface, lan: lan, addresses: addresses}
}

// without are the LAN's prefixes in which there is no address.
func (l *LAN) without(addresses []netip.Prefix) []netip.Prefix {
	return slices.DeleteFunc(slices.Clone(l.Prefixes), func(subnet netip.Prefix) bool {
		return slices.ContainsFunc(addresses, func(a netip.Prefix) bool { return a.Masked() == subnet })
	})
}

// plan lists the machines and their ports. Those of Virtual Routers come first:
// Power cuts them first.
func (n *Net) plan() {
	add := func(name, fullName string) {
		n.order = append(n.order, name)
		n.machines[name] = &machine{fullName: n.name + fullName}
	}
	add(Outside, Outside)
	for i := range n.layout.LANs {
		lan := &n.layout.LANs[i]
		if len(lan.Routers) == 0 {
			continue
		}
		name := Client(lan.Name)
		add(name, name)
		p := n.newPort(name, ClientInterface, lan.Name, lan.Client)
		p.routes = lan.without(lan.Client)
		n.machines[name].ports = []*port{p}
		n.machines[name].settings = impatient
	}
	taken := map[string]bool{}
	for _, host := range n.layout.Hosts {
		add(host, "-"+safeName(host, taken))
	}
	for i := range n.layout.LANs {
		lan := &n.layout.LANs[i]
		for _, at := range lan.Ports {
			p := n.newPort(at.Host, at.Interface, lan.Name, at.Addresses)
			p.routers, p.routes = len(lan.Routers) > 0, lan.without(at.Addresses)
			n.machines[at.Host].ports = append(n.machines[at.Host].ports, p)
		}
	}
	for _, host := range append([]string{Outside}, n.layout.Hosts...) {
		iface, own := OutsideInterface, n.layout.outside(host)
		if host == Outside {
			iface = ClientInterface
		}
		p := n.newPort(host, iface, outsideBridge, own)
		for _, other := range n.layout.Hosts {
			if a, ok := n.layout.Elsewhere[other]; !ok {
				continue
			} else if whole := netip.PrefixFrom(a, a.BitLen()); other == host {
				p.addresses = append(p.addresses, whole)
			} else {
				p.routes = append(p.routes, whole)
			}
		}
		n.machines[host].ports = append(n.machines[host].ports, p)
	}
}

// outside are the addresses of a host, or of the services. Those of IPv6 are for
// replies: without one a host would send from another interface's.
func (l *Layout) outside(host string) (own []netip.Prefix) {
	for _, subnet := range []netip.Prefix{l.Outside, l.Outside6} {
		a := subnet.Addr().Next()
		if host != Outside {
			a = l.hostOutside(subnet, host)
		}
		own = append(own, netip.PrefixFrom(a, subnet.Bits()))
	}
	return own
}

// safeName is a host's name as a file's, and none that is taken.
func safeName(host string, taken map[string]bool) string {
	name := strings.Map(func(r rune) rune {
		if r < 0x80 && (r >= '0' && r <= '9' || r|0x20 >= 'a' && r|0x20 <= 'z' || r == '-' || r == '_') {
			return r
		}
		return '_'
	}, host)
	name = name[:min(len(name), 64)]
	for base, i := name, 2; taken[name]; i++ {
		name = fmt.Sprintf("%s_%d", base, i)
	}
	taken[name] = true
	return name
}

// start gives a machine its namespace and its cables.
func (m *machine) start(n *Net) error {
	s, err := newSpace(m.fullName, settings...)
	if err != nil {
		return err
	}
	m.space = s
	for _, p := range m.ports {
		if err := n.connect(s, p); err != nil {
			return err
		}
	}
	return s.do(func() error { return s.set(m.settings...) })
}

// end is the reverse, in the order in which a power failure is noticed.
func (m *machine) end(n *Net) error {
	if m.space == nil {
		return nil
	}
	errs := []error{n.cut(m.ports), killIn(m.space.id)}
	for _, l := range m.opened {
		_ = l.Close()
	}
	m.opened = nil
	for _, p := range m.ports {
		errs = append(errs, n.disconnect(p))
	}
	errs = append(errs, m.space.close())
	m.space = nil
	return errors.Join(errs...)
}

// Close stops the probes, kills the processes in the namespaces, and deletes all
// that Build and Power have made. To close twice is fine.
func (n *Net) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return n.result
	}
	n.closed = true
	for _, p := range n.probes {
		p.Stop()
	}
	var spaces []*space
	for _, m := range n.machines {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.closed = true
		if m.space != nil {
			spaces = append(spaces, m.space)
			m.space = nil
		}
		for _, l := range m.opened {
			_ = l.Close()
		}
	}
	if n.sw != nil {
		n.heard.close()
		spaces = append(spaces, n.sw)
	}
	var ids []nsID
	for _, s := range spaces {
		ids = append(ids, s.id)
	}
	errs := []error{killIn(ids...)}
	// Bridges and cables go with their namespaces.
	for _, s := range spaces {
		errs = append(errs, s.close())
	}
	n.result = errors.Join(errs...)
	if n.result != nil {
		n.log.Warn("network not cleaned up", "name", n.name, "error", n.result)
	}
	return n.result
}

// Layout is what Build was given.
func (n *Net) Layout() *Layout { return n.layout }

// Outside is the address at which services outside listen, for all hosts.
func (n *Net) Outside() netip.Addr { return n.layout.Services() }

// Namespace is the name of a host's namespace for `ip netns`, or of Outside or a
// Client; "" for a host that does not exist.
func (n *Net) Namespace(host string) string {
	if m := n.machines[host]; m != nil {
		return m.fullName
	}
	return ""
}

// Adverts are the advertisements since a time, the oldest first; of the last
// 65536.
func (n *Net) Adverts(since time.Time) []Advert { return n.heard.since(since) }

// Probe starts to ask an address for an echo, from the client of its LAN, again
// and again. Close stops it, too.
func (n *Net) Probe(a netip.Addr, every time.Duration) (*Probe, error) {
	lan := n.layout.LAN(a)
	if lan == nil || len(lan.Routers) == 0 {
		return nil, fmt.Errorf("probe of %s: it is on no LAN", a)
	}
	if every < time.Millisecond {
		return nil, fmt.Errorf("probe of %s: %v is too often: 1ms is the shortest", a, every)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	var p *Probe
	err := n.with(Client(lan.Name), func(m *machine) (err error) {
		p, err = startProbe(m.space, a, uint16(len(n.probes)+1), every)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("probe of %s: %w", a, err)
	}
	n.probes = append(n.probes, p)
	return p, nil
}
