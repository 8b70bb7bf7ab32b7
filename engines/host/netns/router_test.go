package netns_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"

	"github.com/hactl/hactl/engines/host/netns"
	"github.com/hactl/hactl/engines/vrrp"
)

// What this binary does on a host, by HACTL_TEST_ROLE.
const (
	envRole      = "HACTL_TEST_ROLE"
	roleRouter   = "router"   // a Virtual Router that is always Active: see router
	roleFlags    = "flags"    // says the flags of interface HACTL_TEST_INTERFACE
	roleSleep    = "sleep"    // has a child that sleeps, and sleeps
	roleSleeper  = "sleeper"  // that child
	roleBuild    = "build"    // builds HACTL_TEST_PREFIX and its own ID, with a sleeper on a
	roleListener = "listener" // takes connections at HACTL_TEST_ADDRESS
)

func play(role string) error {
	switch role {
	case roleRouter:
		return router()
	case roleFlags:
		i, err := net.InterfaceByName(os.Getenv("HACTL_TEST_INTERFACE"))
		if err == nil {
			fmt.Println(i.Flags)
		}
		return err
	case roleSleep:
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), envRole+"="+roleSleeper)
		if err := cmd.Start(); err != nil {
			return err
		}
		fmt.Println("ready", cmd.Process.Pid)
		select {}
	case roleListener:
		l, err := net.Listen("tcp", os.Getenv("HACTL_TEST_ADDRESS"))
		if err != nil {
			return err
		}
		fmt.Println("ready")
		for {
			c, err := l.Accept()
			if err != nil {
				return err
			}
			_ = c.Close()
		}
	case roleBuild:
		l := &netns.Layout{Hosts: []string{"a"}, Outside: netip.MustParsePrefix("198.18.0.0/15"), Outside6: netip.MustParsePrefix("2001:2::/64")}
		n, err := netns.Build(context.Background(), l, netns.Options{Name: fmt.Sprintf("%s%x", os.Getenv("HACTL_TEST_PREFIX"), os.Getpid())})
		if err != nil {
			return err
		}
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), envRole+"="+roleSleep)
		cmd.Stdout = os.Stdout
		if err := n.Start("a", cmd); err != nil {
			return err
		}
	}
	select {}
}

// router takes HACTL_TEST_ADDRESS on HACTL_TEST_INTERFACE, with a gratuitous ARP
// for IPv4, and advertises each 20 ms with HACTL_TEST_VERSION and
// HACTL_TEST_PRIORITY.
func router() error {
	iface, err := net.InterfaceByName(os.Getenv("HACTL_TEST_INTERFACE"))
	if err != nil {
		return err
	}
	vip, err := netip.ParsePrefix(os.Getenv("HACTL_TEST_ADDRESS"))
	if err != nil {
		return err
	}
	a := vrrp.Advertisement{VRID: 7, Interval: time.Second, Addresses: []netip.Addr{vip.Addr()}}
	if _, err := fmt.Sscan(os.Getenv("HACTL_TEST_VERSION")+" "+os.Getenv("HACTL_TEST_PRIORITY"), &a.Version, &a.Priority); err != nil {
		return err
	}
	link, err := netlink.LinkByIndex(iface.Index)
	if err != nil {
		return err
	}
	source, err := sourceOf(iface, vip.Addr().Is6())
	if err != nil {
		return err
	}
	own := &netlink.Addr{IPNet: &net.IPNet{IP: vip.Addr().AsSlice(), Mask: net.CIDRMask(vip.Bits(), vip.Addr().BitLen())}}
	if vip.Addr().Is6() {
		own.Flags = unix.IFA_F_NODAD
	}
	if err := netlink.AddrAdd(link, own); err != nil {
		return err
	}
	if vip.Addr().Is4() {
		if err := gratuitousARP(iface, vip.Addr()); err != nil {
			return err
		}
	}
	send, err := advertiser(iface, source)
	if err != nil {
		return err
	}
	message := a.Append(nil, source, vrrp.MulticastAddress(vip.Addr().Is6()), vrrp.ChecksumPseudoHeader)
	fmt.Println("ready")
	for range time.Tick(20 * time.Millisecond) {
		if err := send(message); err != nil {
			return err
		}
	}
	return nil
}

func sourceOf(iface *net.Interface, v6 bool) (netip.Addr, error) {
	addrs, err := iface.Addrs()
	if err != nil {
		return netip.Addr{}, err
	}
	for _, found := range addrs {
		if n, ok := found.(*net.IPNet); ok {
			if a, _ := netip.AddrFromSlice(n.IP); a.Unmap().Is6() == v6 && (!v6 || a.IsLinkLocalUnicast()) {
				return a.Unmap(), nil
			}
		}
	}
	return netip.Addr{}, fmt.Errorf("%s has no address", iface.Name)
}

func advertiser(iface *net.Interface, source netip.Addr) (func([]byte) error, error) {
	v6 := source.Is6()
	to := &net.IPAddr{IP: vrrp.MulticastAddress(v6).AsSlice()}
	if v6 {
		c, err := net.ListenPacket("ip6:112", "::")
		if err != nil {
			return nil, err
		}
		p := ipv6.NewPacketConn(c)
		if err := p.SetMulticastHopLimit(vrrp.TTL); err != nil {
			return nil, err
		}
		if err := p.SetMulticastInterface(iface); err != nil {
			return nil, err
		}
		from := &ipv6.ControlMessage{Src: source.AsSlice(), IfIndex: iface.Index}
		return func(b []byte) error { _, err := p.WriteTo(b, from, to); return err }, nil
	}
	c, err := net.ListenPacket("ip4:112", "0.0.0.0")
	if err != nil {
		return nil, err
	}
	p := ipv4.NewPacketConn(c)
	if err := p.SetMulticastTTL(vrrp.TTL); err != nil {
		return nil, err
	}
	if err := p.SetMulticastInterface(iface); err != nil {
		return nil, err
	}
	return func(b []byte) error { _, err := p.WriteTo(b, nil, to); return err }, nil
}

func gratuitousARP(iface *net.Interface, a netip.Addr) error {
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	b := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	b = append(b, iface.HardwareAddr...)
	b = append(b, 0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1)
	b = append(append(b, iface.HardwareAddr...), a.AsSlice()...)
	b = append(append(b, 0, 0, 0, 0, 0, 0), a.AsSlice()...)
	return unix.Sendto(fd, b, 0, &unix.SockaddrLinklayer{Ifindex: iface.Index})
}

// onHost starts this binary in a role and waits until it is ready. What it says
// then is returned.
func (s *site) onHost(host, role string, env ...string) (*exec.Cmd, string) {
	s.t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), envRole+"="+role), env...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.Start(host, cmd); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		s.t.Fatalf("%s on %s: %v", role, host, err)
	}
	return cmd, line
}

func (s *site) router(host, iface, address string, version, priority int) *exec.Cmd {
	s.t.Helper()
	cmd, _ := s.onHost(host, roleRouter, "HACTL_TEST_INTERFACE="+iface, "HACTL_TEST_ADDRESS="+address,
		fmt.Sprintf("HACTL_TEST_VERSION=%d", version), fmt.Sprintf("HACTL_TEST_PRIORITY=%d", priority))
	return cmd
}
