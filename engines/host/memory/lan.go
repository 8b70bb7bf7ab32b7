package memory

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/hactl/hactl/engines/vrrp"
)

// LAN is a switch with hosts on it. What is sent arrives at once, in order, or
// not at all. Its methods may be called concurrently.
type LAN struct {
	epoch time.Time

	mu    sync.Mutex
	nodes []*Node
	queue []frame
	busy  bool
	cut   func(from, to string) bool
	wire  func(host, iface string) string
	watch func(Advert)
}

// Advert is an advertisement as it leaves a host.
type Advert struct {
	Time      time.Time
	Host      string
	Interface string
	VRID      uint8
	IPv6      bool
	Priority  uint8
}

// frame is an advertisement on its way.
type frame struct {
	from, to *Node
	wire     string // it came by
	packet   vrrp.Packet
}

// NewLAN is a LAN without hosts. Its time begins now.
func NewLAN() *LAN { return &LAN{epoch: time.Now()} }

// Wire says which of several LANs an interface of a host is on; without, there
// is one. It is called before hosts boot, and must not call the LAN.
func (l *LAN) Wire(wire func(host, iface string) string) { l.wire = wire }

// Watch has f told of every advertisement. It must not call the LAN.
func (l *LAN) Watch(f func(Advert)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watch = f
}

func (l *LAN) wireOf(n *Node, iface string) string {
	if l.wire == nil {
		return ""
	}
	return l.wire(n.name, iface)
}

// Join adds a host that is switched off. It sends from the first of its addresses
// that is of a Virtual Router's family.
func (l *LAN) Join(name string, addresses ...netip.Addr) *Node {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := &Node{lan: l, name: name, addresses: addresses, unplugged: map[string]bool{}}
	l.nodes = append(l.nodes, n)
	return n
}

// Cut loses what cut says; nil for nothing. It must not call the LAN.
func (l *LAN) Cut(cut func(from, to string) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = cut
}

// Holders are the hosts that have an address, by name.
func (l *LAN) Holders(address netip.Addr) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var names []string
	for _, n := range l.nodes {
		if n.on && slices.Contains(n.holds, address) {
			names = append(names, n.name)
		}
	}
	return names
}

func (l *LAN) now() time.Duration { return time.Since(l.epoch) }

// send queues a message for the hosts that it reaches. l.mu is held.
func (l *LAN) send(from *Node, wire string, source, group netip.Addr, peers []netip.Addr, message func(to netip.Addr) []byte) {
	for _, to := range l.nodes {
		if to == from || !to.on || l.cut != nil && l.cut(from.name, to.name) {
			continue
		}
		destination := group
		if len(peers) > 0 {
			at := slices.IndexFunc(peers, func(a netip.Addr) bool { return slices.Contains(to.addresses, a) })
			if at < 0 {
				continue
			}
			destination = peers[at]
		}
		l.queue = append(l.queue, frame{from, to, wire, vrrp.Packet{Source: source, Destination: destination, TTL: 255, Message: message(destination)}})
	}
}

// settle delivers what is queued, and what comes of that. l.mu is held.
func (l *LAN) settle() {
	if l.busy {
		return
	}
	l.busy = true
	for len(l.queue) > 0 {
		f := l.queue[0]
		l.queue = l.queue[1:]
		f.to.receive(f.wire, &f.packet)
	}
	l.busy = false
}
