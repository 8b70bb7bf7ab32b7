package netns

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// Probe asks an address for an echo again and again, from the client of its LAN.
// The client has a neighbour entry like anybody's, and learns by ARP and
// neighbour discovery who has the address. Its methods may be called at the same
// time.
type Probe struct {
	addr  netip.Addr
	every time.Duration
	conn  *icmp.PacketConn
	to    *net.IPAddr
	id    uint16
	stop  func() // once
	ends  sync.WaitGroup
	quit  chan struct{}
	first chan struct{} // closed by the first answer

	mu      sync.Mutex
	tally   tally
	stopped time.Time
}

// ask is the payload of a request: its number. The sequence number of ICMP would
// be used again after 65536.
func (p *Probe) ask(number int) ([]byte, error) {
	m := icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{ID: int(p.id), Seq: number & 0xffff, Data: binary.BigEndian.AppendUint64(nil, uint64(number))}}
	if p.addr.Is6() {
		m.Type = ipv6.ICMPTypeEchoRequest // the kernel fills in the checksum
	}
	return m.Marshal(nil)
}

// startProbe opens the socket in the client's namespace.
func startProbe(client *space, a netip.Addr, id uint16, every time.Duration) (*Probe, error) {
	p := &Probe{addr: a, every: every, id: id, quit: make(chan struct{}), first: make(chan struct{}), to: &net.IPAddr{IP: a.AsSlice()}}
	network := "ip4:icmp"
	if a.Is6() {
		network = "ip6:ipv6-icmp"
	}
	err := client.do(func() (err error) {
		if p.conn, err = icmp.ListenPacket(network, ""); err != nil {
			return err
		}
		if !a.Is6() {
			return nil
		}
		var only ipv6.ICMPFilter
		only.SetAll(true)
		only.Accept(ipv6.ICMPTypeEchoReply)
		if err := p.conn.IPv6PacketConn().SetICMPFilter(&only); err != nil {
			return errors.Join(err, p.conn.Close())
		}
		// A zone's name would be looked up among the interfaces of the machine.
		link, err := client.nl.LinkByName(ClientInterface)
		if err != nil {
			return errors.Join(err, p.conn.Close())
		}
		if a.IsLinkLocalUnicast() {
			p.to.Zone = strconv.Itoa(link.Attrs().Index)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	p.stop = sync.OnceFunc(func() {
		// Nothing is late that comes after this.
		p.mu.Lock()
		p.stopped = time.Now()
		p.mu.Unlock()
		close(p.quit)
		_ = p.conn.Close()
		p.ends.Wait()
	})
	p.ends.Go(p.send)
	p.ends.Go(p.receive)
	return p, nil
}

func (p *Probe) send() {
	tick := time.NewTicker(p.every)
	defer tick.Stop()
	for {
		p.mu.Lock()
		number := p.tally.send(time.Now())
		p.mu.Unlock()
		if b, err := p.ask(number); err == nil {
			// What cannot be sent has no answer.
			_, _ = p.conn.WriteTo(b, p.to)
		}
		select {
		case <-tick.C:
		case <-p.quit:
			return
		}
	}
}

func (p *Probe) receive() {
	protocol, kind := 1, icmp.Type(ipv4.ICMPTypeEchoReply)
	if p.addr.Is6() {
		protocol, kind = 58, ipv6.ICMPTypeEchoReply
	}
	b := make([]byte, 1500)
	for {
		n, from, err := p.conn.ReadFrom(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // such as EHOSTUNREACH of an earlier request
		}
		m, err := icmp.ParseMessage(protocol, b[:n])
		if err != nil || m.Type != kind {
			continue
		}
		echo, ok := m.Body.(*icmp.Echo)
		ip, isIP := from.(*net.IPAddr)
		if !ok || !isIP || echo.ID != int(p.id) || len(echo.Data) != 8 || !ip.IP.Equal(p.to.IP) {
			continue
		}
		p.answer(int(binary.BigEndian.Uint64(echo.Data)))
	}
}

func (p *Probe) answer(number int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before := p.tally.answers
	p.tally.answer(number, time.Now())
	if before == 0 && p.tally.answers == 1 {
		close(p.first)
	}
}

// Wait returns after the first answer, or with the context's error.
func (p *Probe) Wait(ctx context.Context) error {
	select {
	case <-p.first:
		return nil
	case <-p.quit:
		return fmt.Errorf("probe of %s: stopped", p.addr)
	case <-ctx.Done():
		return fmt.Errorf("probe of %s: no answer: %w", p.addr, context.Cause(ctx))
	}
}

// Sent is how many requests there were.
func (p *Probe) Sent() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tally.sent
}

// Answers is how many of them were answered within a second.
func (p *Probe) Answers() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.tally.answers
}

// Lost is how many requests after the first answer were not answered, those among
// them whose answer may be on its way.
func (p *Probe) Lost() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(p.tally.sent-p.tally.vain-p.tally.answers, 0)
}

// Outages are those that ended after a time, and one that lasts, the oldest
// first; of the last 4096. It begins with the first answer: before, there is
// nothing to lose. One that lasts is known 100 ms after its second request.
func (p *Probe) Outages(since time.Time) []Outage {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.stopped
	if now.IsZero() {
		now = time.Now()
	}
	return p.tally.outages(since, now)
}

// Stop ends the probing, and waits until it has. What was found stays.
func (p *Probe) Stop() { p.stop() }
