package netns

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os/exec"
	"time"
)

// Outside is the name of the namespace beyond the LANs where a host is asked for.
const Outside = "outside"

// ErrPrivilege is why Build fails without root.
var ErrPrivilege = errors.New("network namespaces need root")

// Options are for Build.
type Options struct {
	// Name begins the names of all namespaces; left out, it is "hactl-" and
	// the process's ID in hexadecimal, by which Sweep knows leftovers.
	Name string
	Log  *slog.Logger // left out, nothing is logged
}

// Net is what Build has built. Its methods may be called at the same time.
type Net struct {
	layout *Layout
}

// Build builds a layout. What it has built when it fails is gone.
func Build(ctx context.Context, layout *Layout, o Options) (*Net, error) {
	return nil, errors.New("not yet")
}

// Close kills the processes in the namespaces, and deletes all. To close twice
// is fine.
func (n *Net) Close() error { return nil }

// Layout is what Build was given.
func (n *Net) Layout() *Layout { return n.layout }

// Namespace is the name of a host's, or Outside's, for `ip netns`.
func (n *Net) Namespace(host string) string { return "" }

// Outside is the address at which services outside listen.
func (n *Net) Outside() netip.Addr { return n.layout.Services() }

// Start starts a process on a host, or outside. It is cmd.Start but for the
// namespace; Power and Close kill it.
func (n *Net) Start(host string, cmd *exec.Cmd) error { return nil }

// Run is Start, and waits as cmd.Run does.
func (n *Net) Run(host string, cmd *exec.Cmd) error { return nil }

// Listen is net.Listen on a host, or outside. Power and Close close it.
func (n *Net) Listen(host, network, address string) (net.Listener, error) { return nil, nil }

// Dial is net.Dial from a host, or from outside, to an address without a name to
// look up.
func (n *Net) Dial(ctx context.Context, host, network, address string) (net.Conn, error) {
	return nil, nil
}

// Power takes a host's power away: it is cut off all LANs at once, then its
// processes are killed, and its namespace goes with all that was set in it. With
// power again it is as Build has built it; cables and splits are as they were.
func (n *Net) Power(host string, on bool) error { return nil }

// Cable pulls a cable or plugs it in: the host sees the carrier go and come.
func (n *Net) Cable(host, iface string, plugged bool) error { return nil }

// Split keeps hosts that are split apart from hearing each other on the LANs of
// Virtual Routers; clients and the other hosts hear them all.
func (n *Net) Split(hosts []string, apart bool) error { return nil }

// Addresses are what an interface of a host has now; nil without power.
func (n *Net) Addresses(host, iface string) ([]netip.Prefix, error) { return nil, nil }

// Advert is a VRRP advertisement as it left a host.
type Advert struct {
	Time     time.Time // when the switch had it, by the kernel
	LAN      string
	Host     string
	VRID     uint8
	Version  uint8
	IPv6     bool
	Priority uint8
	Source   netip.Addr
}

// Adverts are the advertisements since a time, the oldest first; of the last
// 65536.
func (n *Net) Adverts(since time.Time) []Advert { return nil }

// Probe asks an address for an echo again and again, from the client of its LAN.
type Probe struct{}

// Probe starts one. Close stops it, too.
func (n *Net) Probe(a netip.Addr, every time.Duration) (*Probe, error) { return &Probe{}, nil }

// Wait returns after the first answer.
func (p *Probe) Wait(ctx context.Context) error { return nil }

// Sent and Answers count requests, and those of them that were answered.
func (p *Probe) Sent() int { return 0 }

func (p *Probe) Answers() int { return 0 }

// Outage is a time without answers: from when the last answered request was sent
// to when the first answered one after it was. To is zero while it lasts.
type Outage struct {
	From, To time.Time
	Lost     int // requests in between, at least two
}

// Outages are those that ended after a time or last, the oldest first. It begins
// with the first answer.
func (p *Probe) Outages(since time.Time) []Outage { return nil }

// Stop ends the probing, and waits until it has. What was found stays.
func (p *Probe) Stop() {}

// Sweep removes what processes that are no more have left: namespaces called
// prefix (left out, "hactl-") and the ID of a process in hexadecimal.
func Sweep(prefix string) error { return nil }
