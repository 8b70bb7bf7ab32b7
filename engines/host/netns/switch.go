package netns

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// portDisabled is a state of bridge ports (linux/if_bridge.h).
const portDisabled = 0

// port is one end of a cable: the other end is on the switch.
type port struct {
	number    int // of all ports; the switch calls its end "p<number>"
	host      string
	iface     string
	lan       string // the bridge
	routers   bool   // whether Virtual Routers are on the LAN
	addresses []netip.Prefix
	routes    []netip.Prefix // subnets without an address here
	unplugged bool
	apart     bool
	index     int // of the switch's end
}

// mac is the address of the host's end: the same each time, as a card's is.
func (p *port) mac() net.HardwareAddr {
	return net.HardwareAddr{0x02, 'h', 'a', 0, byte(p.number >> 8), byte(p.number)}
}

func (p *port) link() netlink.Link {
	return &netlink.Device{LinkAttrs: netlink.LinkAttrs{Name: fmt.Sprintf("p%d", p.number), Index: p.index}}
}

// newBridge makes a LAN. Bridges speak no STP unless told, and forward at once.
func (n *Net) newBridge(name string) error {
	snooping := false
	link := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: name}, MulticastSnooping: &snooping}
	err := n.sw.nl.LinkAdd(link)
	if err == nil {
		err = n.sw.nl.LinkSetUp(link)
	}
	if err != nil {
		return fmt.Errorf("bridge %s: %w", name, err)
	}
	n.bridges[name] = link.Attrs().Index
	return nil
}

// connect makes the cable between a namespace and the switch. The host's end is
// ready before anything can come.
func (n *Net) connect(s *space, p *port) error {
	if err := n.connectPort(s, p); err != nil {
		return fmt.Errorf("interface %s of %s: %w", p.iface, p.host, err)
	}
	return nil
}

func (n *Net) connectPort(s *space, p *port) error {
	p.index = 0
	link := &netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: p.link().Attrs().Name},
		PeerName:  p.iface, PeerHardwareAddr: p.mac(), PeerNamespace: netlink.NsFd(int(s.file.Fd())),
	}
	if err := n.sw.nl.LinkAdd(link); err != nil {
		return err
	}
	p.index = link.Attrs().Index
	n.heard.attach(p)
	if err := n.sw.nl.LinkSetMasterByIndex(p.link(), n.bridges[p.lan]); err != nil {
		return err
	}
	if p.apart {
		if err := n.sw.nl.LinkSetIsolated(p.link(), true); err != nil {
			return err
		}
	}
	if err := s.configure(p.iface, p.addresses, p.routes); err != nil {
		return err
	}
	if p.unplugged {
		return nil
	}
	return n.sw.nl.LinkSetUp(p.link())
}

// cut takes ports off their LANs: nothing passes from here on. To take a link
// down takes the kernel some milliseconds, one after the other, and so the
// bridge stops first.
func (n *Net) cut(ports []*port) error {
	return n.sw.do(func() error {
		for _, p := range ports {
			if p.index == 0 || p.unplugged {
				continue
			}
			r := nl.NewNetlinkRequest(unix.RTM_SETLINK, unix.NLM_F_ACK)
			m := nl.NewIfInfomsg(unix.AF_BRIDGE)
			m.Index = int32(p.index)
			r.AddData(m)
			info := nl.NewRtAttr(unix.IFLA_PROTINFO|unix.NLA_F_NESTED, nil)
			info.AddRtAttr(nl.IFLA_BRPORT_STATE, []byte{portDisabled})
			r.AddData(info)
			if _, err := r.Execute(unix.NETLINK_ROUTE, 0); err != nil {
				return fmt.Errorf("port of %s on %s: %w", p.iface, p.host, err)
			}
		}
		return nil
	})
}

// disconnect takes a cable away, and the host's interface with it.
func (n *Net) disconnect(p *port) error {
	if p.index == 0 {
		return nil
	}
	n.heard.detach(p)
	err := n.sw.nl.LinkDel(p.link())
	p.index = 0
	if err != nil {
		return fmt.Errorf("port of %s on %s: %w", p.iface, p.host, err)
	}
	return nil
}

// plug takes the switch's end of a cable up or down. A port that comes up
// forwards.
func (n *Net) plug(p *port) error {
	if p.index == 0 {
		return nil
	}
	if p.unplugged {
		return n.sw.nl.LinkSetDown(p.link())
	}
	return n.sw.nl.LinkSetUp(p.link())
}
