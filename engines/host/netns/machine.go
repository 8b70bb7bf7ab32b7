package netns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// machine finds a host, Outside, or a Client.
func (n *Net) machine(host string) (*machine, error) {
	m := n.machines[host]
	if m == nil {
		return nil, fmt.Errorf("host %q does not exist", host)
	}
	return m, nil
}

// with calls a function with a host's namespace, which stays meanwhile.
func (n *Net) with(host string, f func(*machine) error) error {
	m, err := n.machine(host)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.closed:
		err = ErrClosed
	case m.space == nil:
		err = ErrPower
	default:
		err = f(m)
	}
	if err != nil {
		return fmt.Errorf("host %s: %w", host, err)
	}
	return nil
}

// Start starts a process on a host. It is cmd.Start but for the
// namespace; Power and Close kill it. With Pdeathsig it dies when the host loses
// its power, or this process ends.
func (n *Net) Start(host string, cmd *exec.Cmd) error {
	return n.with(host, func(m *machine) error { return m.space.do(cmd.Start) })
}

// Run is Start, and waits as cmd.Run does.
func (n *Net) Run(host string, cmd *exec.Cmd) error {
	if err := n.Start(host, cmd); err != nil {
		return err
	}
	return cmd.Wait()
}

// Listen is net.Listen on a host, at an address without a name to
// look up. Power and Close close it.
func (n *Net) Listen(host, network, address string) (l net.Listener, err error) {
	err = n.with(host, func(m *machine) error {
		err := m.space.do(func() (err error) {
			l, err = net.Listen(network, address)
			return err
		})
		if err == nil {
			m.opened = append(m.opened, l)
		}
		return err
	})
	return l, err
}

// Dial is net.Dial from a host, to an address without a name to look
// up. What it returns is the caller's to close.
func (n *Net) Dial(ctx context.Context, host, network, address string) (c net.Conn, err error) {
	var file *os.File
	err = n.with(host, func(m *machine) (err error) {
		file, err = m.space.dup()
		return err
	})
	if err != nil {
		return nil, err
	}
	defer file.Close()
	// Not under the machine's lock: a host that answers nothing takes its time.
	err = inNamespace(file, func() (err error) {
		c, err = new(net.Dialer).DialContext(ctx, network, address)
		return err
	})
	return c, err
}

// Power takes a host's power away: it is cut off all LANs at once, then its
// processes are killed, and its namespace goes with all that was set in it. With
// power again it is as Build has built it; cables and splits are as they were.
func (n *Net) Power(host string, on bool) error {
	m, err := n.machine(host)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.closed:
		err = ErrClosed
	case on && m.space == nil:
		if err = m.start(n); err != nil {
			err = errors.Join(err, m.end(n))
		}
	case !on:
		err = m.end(n)
	}
	if err != nil {
		return fmt.Errorf("power of %s: %w", host, err)
	}
	n.log.Info("power", "host", host, "on", on)
	return nil
}

// Powered tells whether a host has power.
func (n *Net) Powered(host string) bool {
	return n.with(host, func(*machine) error { return nil }) == nil
}

// Cable pulls a cable or plugs it in: the host sees the carrier go and come.
// iface is one of the host's, OutsideInterface too. Of a host without power it
// holds for when it has.
func (n *Net) Cable(host, iface string, plugged bool) error {
	m, err := n.machine(host)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	i := slices.IndexFunc(m.ports, func(p *port) bool { return p.iface == iface })
	if i < 0 {
		return fmt.Errorf("host %s has no interface %q", host, iface)
	}
	p := m.ports[i]
	if p.unplugged == !plugged {
		return nil
	}
	if !plugged {
		if err := n.cut(m.ports[i : i+1]); err != nil {
			return err
		}
	}
	p.unplugged = !plugged
	if err := n.plug(p); err != nil {
		return fmt.Errorf("cable of %s on %s: %w", iface, host, err)
	}
	n.log.Info("cable", "host", host, "interface", iface, "plugged", plugged)
	return nil
}

// Split keeps hosts that are split apart from hearing each other on the LANs of
// Virtual Routers; clients and the other hosts hear them all. It holds until it
// is undone, through losses of power.
func (n *Net) Split(hosts []string, apart bool) error {
	for _, host := range hosts {
		m, err := n.machine(host)
		if err != nil {
			return err
		}
		if err := m.split(n, apart); err != nil {
			return fmt.Errorf("split of %s: %w", host, err)
		}
	}
	n.log.Info("split", "hosts", hosts, "apart", apart)
	return nil
}

func (m *machine) split(n *Net, apart bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.ports {
		if !p.routers || p.apart == apart {
			continue
		}
		if p.index != 0 {
			if err := n.sw.nl.LinkSetIsolated(p.link(), apart); err != nil {
				return err
			}
		}
		p.apart = apart
	}
	return nil
}

// Holds tells whether a host has an address now, on any of its interfaces; false
// without power.
func (n *Net) Holds(host string, a netip.Addr) bool {
	held := false
	_ = n.with(host, func(m *machine) error {
		found, err := m.space.nl.AddrList(nil, unix.AF_UNSPEC)
		held = slices.ContainsFunc(found, func(f netlink.Addr) bool {
			own, ok := netip.AddrFromSlice(f.IP)
			return ok && own.Unmap() == a
		})
		return err
	})
	return held
}
