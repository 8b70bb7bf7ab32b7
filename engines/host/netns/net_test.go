package netns_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hactl/hactl/engines/host/netns"
)

// needRoot skips what cannot run here, but never in CI.
func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("HACTL_NETNS") == "required" {
		t.Fatal("network namespaces need root")
	}
	t.Skip("network namespaces need root")
}

var sites atomic.Uint32

// uniqueName is none of DefaultPrefix: Sweep is to leave it alone.
func uniqueName() string { return fmt.Sprintf("hn%x-%x", os.Getpid(), sites.Add(1)) }

type site struct {
	t testing.TB
	*netns.Net
	name string
}

// newSite builds a specification until the test ends, and looks whether all is
// gone then.
func newSite(t testing.TB, source string) *site {
	t.Helper()
	needRoot(t)
	l, err := netns.Plan(specOf(t, source))
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, name: uniqueName()}
	if s.Net, err = netns.Build(t.Context(), l, netns.Options{Name: s.name}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if left := leftovers(t, s.name); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	})
	return s
}

func leftovers(t testing.TB, prefix string) []string {
	t.Helper()
	entries, err := os.ReadDir("/var/run/netns")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix) {
			names = append(names, e.Name())
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(mounts), "/"+prefix) {
		names = append(names, "a mount")
	}
	return names
}

// none is that a probe has lost nothing; what is late looks lost for a while.
func none(t testing.TB, whose string, p *netns.Probe) {
	t.Helper()
	for limit := time.Now().Add(5 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		if list := p.Outages(time.Time{}); len(list) == 0 {
			return
		} else if time.Now().After(limit) {
			t.Errorf("%s: %v", whose, list)
			return
		}
	}
}

func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(60 * time.Second); !holds(); <-tick.C {
		if time.Now().After(limit) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// probe waits for the first answer.
func (s *site) probe(address string) *netns.Probe {
	s.t.Helper()
	p, err := s.Probe(netip.MustParseAddr(address), 5*time.Millisecond)
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	defer cancel()
	if err := p.Wait(ctx); err != nil {
		s.t.Fatal(err)
	}
	return p
}

func (s *site) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// running is the state of an interface as the kernel tells it, which it does a
// moment after a cable was plugged or pulled.
func (s *site) running(host, iface string, want bool) {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("%s of %s runs: %t", iface, host, want), func() bool {
		_, flags := s.onHost(host, roleFlags, "HACTL_TEST_INTERFACE="+iface)
		return strings.Contains(flags, "running") == want
	})
}

// meet waits for a connection between hosts.
func (s *site) meet(from, address string) {
	s.t.Helper()
	eventually(s.t, from+" reaches "+address, func() bool { return s.reaches(from, address) })
}

// reaches tells whether a connection between hosts comes about soon. One that does
// not may be slow: meet is for those that have to.
func (s *site) reaches(from, address string) bool {
	ctx, cancel := context.WithTimeout(s.t.Context(), 300*time.Millisecond)
	defer cancel()
	c, err := s.Dial(ctx, from, "tcp", address)
	if err == nil {
		_ = c.Close()
	}
	return err == nil
}

func (s *site) listen(host, address string) {
	s.t.Helper()
	l, err := s.Listen(host, "tcp", address)
	if err != nil {
		s.t.Fatal(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	}()
}

const pair = `hosts: {a: address: "10.0.0.1", b: address: "10.0.0.2"}
virtualRouters: web: {vrid: 7, interface: "eth0", addresses: ["10.0.0.50/24"], members: {a: {}, b: {}}}`

func TestHostsAreWhereTheSpecificationSays(t *testing.T) {
	s := newSite(t, `hosts: {a: address: "10.0.0.1", b: address: "10.0.0.2", c: address: "192.0.2.9", d: address: "2001:db8:9::9"}
checks: up: {type: "interface", interface: "wan0"}
virtualRouters: {
	front: {
		vrid: 7, interface: "eth0.100", addresses: ["10.0.0.50/24"], excludedAddresses: ["2001:db8::50/64"]
		members: {a: {}, b: interface: "enp3s0f1np1-abc"}
	}
	back: {vrid: 8, interface: "bond0", addresses: ["fe80::50/64"], excludedAddresses: ["172.16.0.50/32"], members: {a: {address: "fe80::a", checks: ["up"]}, b: {}}}
}`)
	l := s.Layout()
	for _, lan := range l.LANs {
		for _, port := range lan.Ports {
			for _, a := range port.Addresses {
				if !s.Holds(port.Host, a.Addr()) {
					t.Errorf("%s does not have %s", port.Host, a)
				}
				if p, err := s.Probe(a.Addr(), 5*time.Millisecond); a.Addr().IsLinkLocalUnicast() && err != nil {
					continue // of no known LAN
				} else if err != nil {
					t.Error(err)
				} else if err := p.Wait(t.Context()); err != nil {
					t.Error(err)
				}
			}
			s.running(port.Host, port.Interface, true)
		}
	}
	// A link-local virtual address has the LAN that it is of.
	s.router("a", "bond0", "fe80::50/64", 3, 100)
	s.probe("fe80::50")
	if !s.Holds("a", netip.MustParseAddr("fe80::50")) || s.Holds("b", netip.MustParseAddr("fe80::50")) {
		t.Error("who has fe80::50?")
	}
	// Services are outside, for all.
	s.listen(netns.Outside, net.JoinHostPort(s.Outside().String(), "80"))
	for _, host := range l.Hosts {
		s.meet(host, net.JoinHostPort(s.Outside().String(), "80"))
	}
	// Hosts reach each other at the addresses that the specification gives.
	own := map[string]string{"a": "10.0.0.1", "b": "10.0.0.2", "c": "192.0.2.9", "d": "2001:db8:9::9"}
	for host, a := range own {
		s.listen(host, net.JoinHostPort(a, "81"))
	}
	for _, way := range []string{"a b", "b a", "a c", "c d", "d c", "b d", "d d"} {
		from, to, _ := strings.Cut(way, " ")
		s.meet(from, net.JoinHostPort(own[to], "81"))
	}
	if _, err := s.Probe(netip.MustParseAddr("203.0.113.1"), time.Second); err == nil {
		t.Error("an address of no LAN can be probed")
	}
	client := netns.Client(l.LAN(netip.MustParseAddr("10.0.0.50")).Name)
	if s.meet(client, "10.0.0.1:81"); s.reaches(client, "192.0.2.9:81") {
		t.Error("the client is on another LAN too")
	}
	if s.Namespace(netns.Client("lan1")) != s.name+".lan1" || s.Namespace("a") != s.name+"-a" || s.Namespace("nobody") != "" {
		t.Errorf("namespaces %q, %q, %q", s.Namespace(netns.Client("lan1")), s.Namespace("a"), s.Namespace("nobody"))
	}
	if _, err := s.Listen("nobody", "tcp", ":0"); err == nil {
		t.Error("a host that does not exist listens")
	}
}

func TestAPulledCableIsAnOutage(t *testing.T) {
	s := newSite(t, pair)
	s.router("a", "eth0", "10.0.0.50/24", 3, 100)
	p, other := s.probe("10.0.0.50"), s.probe("10.0.0.2")
	for _, count := range []int{40, 3} {
		began := time.Now()
		s.must(s.Cable("a", "eth0", false))
		pulled, sent := time.Now(), p.Sent()
		s.running("a", "eth0", false)
		eventually(t, "so many probes", func() bool { return p.Sent() >= sent+count })
		plugging := time.Now()
		s.must(s.Cable("a", "eth0", true))
		plugged := time.Now()
		var list []netns.Outage
		eventually(t, "answers", func() bool {
			list = p.Outages(began)
			return len(list) > 0 && !list[len(list)-1].To.IsZero()
		})
		// One may have been on its way at either end. How soon the first answer comes
		// is the kernel's to say: it resolves the address again.
		if o := list[0]; len(list) != 1 || o.Lost < count-2 || o.From.After(pulled) || o.To.Before(plugging) {
			t.Errorf("%d probes or more without a cable from %v to %v: %v", count, pulled, plugging, list)
		} else {
			t.Logf("%d lost in %v, back %v after the plug", o.Lost, o.For(plugged), o.To.Sub(plugged))
		}
	}
	eventually(t, "nothing is late", func() bool {
		list := p.Outages(time.Time{})
		return len(list) == 2 && !list[1].To.IsZero()
	})
	p.Stop()
	sent, answers := p.Sent(), p.Answers()
	if list := p.Outages(time.Time{}); len(list) != 2 || list[1].To.IsZero() {
		t.Errorf("after the end: %v", list)
	}
	none(t, "the other host", other)
	if lost := p.Lost(); lost < 39 || lost > sent-answers {
		t.Errorf("%d lost of %d, of which %d were answered", lost, sent, answers)
	}
	if p.Sent() != sent || p.Answers() != answers || answers >= sent {
		t.Errorf("%d of %d, then %d of %d", answers, sent, p.Answers(), p.Sent())
	}
	if err := s.Cable("a", "eth7", false); err == nil {
		t.Error("a cable that does not exist is pulled")
	}
}

func TestPowerTakesAll(t *testing.T) {
	s := newSite(t, pair)
	vip := netip.MustParseAddr("10.0.0.50")
	cmd := s.router("a", "eth0", "10.0.0.50/24", 3, 200)
	_, said := s.onHost("a", roleSleep)
	s.listen("a", "10.0.0.1:80")
	p := s.probe("10.0.0.50")
	eventually(t, "a advertises", func() bool { return len(s.Adverts(time.Time{})) > 3 })

	began := time.Now()
	s.must(s.Power("a", false))
	gone := time.Now()
	if err := cmd.Wait(); err == nil || cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Errorf("the router ended with %v", err)
	}
	if pid := strings.Fields(said)[1]; alive(pid) {
		t.Errorf("process %s has survived", pid)
	}
	if s.Powered("a") || s.Holds("a", vip) || !s.Powered("b") {
		t.Error("a has power, or b has not")
	}
	if err := s.Start("a", cmd); !errors.Is(err, netns.ErrPower) {
		t.Errorf("a process starts: %v", err)
	}
	if left := leftovers(t, s.Namespace("a")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	s.must(s.Power("a", false)) // as it is
	s.router("b", "eth0", "10.0.0.50/24", 3, 100)
	var o netns.Outage
	eventually(t, "b answers", func() bool {
		list := p.Outages(began)
		if len(list) == 1 {
			o = list[0]
		}
		return len(list) == 1 && !o.To.IsZero()
	})
	if o.From.After(gone) {
		t.Errorf("a answered %v after its power was gone", o.From.Sub(gone))
	}
	last := time.Time{}
	for _, a := range s.Adverts(time.Time{}) {
		if a.Host == "a" {
			last = a.Time
		}
	}
	if last.After(gone) {
		t.Errorf("a advertised %v after its power was gone", last.Sub(gone))
	}
	t.Logf("off in %v; last answer to a request of %v, last advertisement %v after; outage %v", gone.Sub(began), o.From.Sub(began), last.Sub(began), o.For(time.Now()))

	s.must(s.Cable("a", "hactl0", false)) // to be remembered
	began = time.Now()
	s.must(s.Power("a", true))
	t.Logf("on in %v", time.Since(began))
	s.must(s.Power("a", true)) // as it is
	if !s.Powered("a") || s.Holds("a", vip) || !s.Holds("a", netip.MustParseAddr("10.0.0.1")) {
		t.Error("a is not as it was built")
	}
	s.probe("10.0.0.1")
	s.running("a", "hactl0", false)
	s.router("a", "eth0", "10.0.0.50/24", 3, 200)
	eventually(t, "a advertises again", func() bool {
		return slices.ContainsFunc(s.Adverts(began), func(a netns.Advert) bool { return a.Host == "a" })
	})
}

func alive(pid string) bool {
	b, err := os.ReadFile("/proc/" + pid + "/stat")
	return err == nil && !strings.Contains(string(b), ") Z ") && !strings.Contains(string(b), ") X ")
}

func TestASplitIsOnlyBetweenHosts(t *testing.T) {
	s := newSite(t, `hosts: {a: address: "10.0.0.1", b: address: "10.0.0.2", c: address: "10.0.0.3"}
virtualRouters: web: {vrid: 7, interface: "eth0", addresses: ["10.0.0.50/24"], members: {a: {}, b: {}, c: {}}}`)
	at := map[string]string{"a": "10.0.0.1:80", "b": "10.0.0.2:80", "c": "10.0.0.3:80"}
	hear := func(from, to string) bool { return s.reaches(from, at[to]) }
	for _, host := range s.Layout().Hosts {
		s.listen(host, ":80")
	}
	a, b := s.probe("10.0.0.1"), s.probe("10.0.0.2")
	s.meet("a", at["b"])
	s.meet("b", at["a"])
	s.must(s.Split([]string{"a", "b"}, true))
	if hear("a", "b") || hear("b", "a") {
		t.Error("a and b hear each other")
	}
	s.meet("c", at["a"]) // which is not split, too
	s.meet("b", at["c"])
	s.must(s.Power("b", false))
	s.must(s.Power("b", true))
	s.listen("b", ":80")
	if hear("a", "b") || hear("b", "a") {
		t.Error("after a loss of power a and b hear each other")
	}
	s.must(s.Split([]string{"a", "b"}, false))
	s.meet("a", at["b"])
	s.meet("b", at["a"])
	none(t, "a's client", a)
	eventually(t, "b's client has had one outage", func() bool {
		list := b.Outages(time.Time{})
		return len(list) == 1 && !list[0].To.IsZero()
	})
	if err := s.Split([]string{"nobody"}, true); err == nil {
		t.Error("nobody is split")
	}
}

func TestAdvertsTellTheHost(t *testing.T) {
	s := newSite(t, `hosts: {a: address: "10.0.0.1", b: address: "10.0.0.2"}
virtualRouters: {
	web: {vrid: 7, interface: "eth0", addresses: ["10.0.0.50/24"], members: {a: {}, b: {}}}
	six: {vrid: 7, interface: "eth1", addresses: ["fe80::50/64"], members: {a: {}, b: {}}}
}`)
	s.router("a", "eth0", "10.0.0.50/24", 2, 200)
	s.router("b", "eth0", "10.0.0.51/24", 3, 0)
	s.router("b", "eth1", "fe80::50/64", 3, 255)
	since := time.Now()
	want := map[netns.Advert]bool{
		{LAN: "lan1", Host: "a", Interface: "eth0", VRID: 7, Version: 2, Priority: 200, Source: netip.MustParseAddr("10.0.0.1")}: true,
		{LAN: "lan1", Host: "b", Interface: "eth0", VRID: 7, Version: 3, Priority: 0, Source: netip.MustParseAddr("10.0.0.2")}:   true,
		{LAN: "lan2", Host: "b", Interface: "eth1", VRID: 7, Version: 3, IPv6: true, Priority: 255, Source: netip.Addr{}}:        true,
	}
	seen := map[netns.Advert]int{}
	eventually(t, "ten of each", func() bool {
		clear(seen)
		last := since
		for _, a := range s.Adverts(since) {
			if a.Time.Before(last) {
				t.Fatalf("%v is out of order", a)
			}
			last, a.Time = a.Time, time.Time{}
			if a.IPv6 {
				if !a.Source.IsLinkLocalUnicast() {
					t.Fatalf("from %v", a.Source)
				}
				a.Source = netip.Addr{}
			}
			seen[a]++
		}
		for a := range want {
			if seen[a] < 10 {
				return false
			}
		}
		return true
	})
	if len(seen) != len(want) {
		t.Errorf("seen: %v", seen)
	}
	// None is there twice, though it goes through several ports.
	if n, span := seen[netns.Advert{LAN: "lan2", Host: "b", Interface: "eth1", VRID: 7, Version: 3, IPv6: true, Priority: 255}], time.Since(since); n > int(span/(20*time.Millisecond))+2 {
		t.Errorf("%d advertisements in %v, one each 20 ms", n, span)
	}
}
