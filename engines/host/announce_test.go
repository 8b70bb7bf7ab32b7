package host

import (
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/hactl/hactl/engines/vrrp"
)

// TestNothingIsAnnouncedBeforeItAnswers: an Active router whose kernel has put one
// of two IPv6 addresses to work. The engine has no socket to announce with, and
// counts what it would have sent.
func TestNothingIsAnnouncedBeforeItAnswers(t *testing.T) {
	l := &link{name: "eth0", kernel: kernelLink{index: 7, ether: true}}
	e := &Engine{links: map[string]*link{}, byIndex: map[int]*link{7: l}, virtual: map[netip.Addr]bool{}, events: make(chan Event, 100), announcer: &announcer{fd: -1}}
	cfg := v36(vrrp.Owner).Routers[0]
	cfg.Announcements = Announcements{Repeat: 3}
	r := &router{cfg: cfg, carrier: l, home: l}
	r.addresses = r.prefixes()
	m, err := vrrp.New(cfg.MachineConfig(netip.MustParseAddr("fe80::1")))
	if err != nil {
		t.Fatal(err)
	}
	r.machine, r.unit = m, &unit{machine: m, members: []*router{r}}
	m.Handle(0, vrrp.Startup{})
	m.Handle(0, vrrp.Link(true))
	if m.State() != vrrp.StateActive {
		t.Fatalf("state %v", m.State())
	}
	announced := func(what string, want uint64) {
		t.Helper()
		if n := r.fails.Announce; n != want {
			t.Errorf("%s: %d announcements, want %d", what, n, want)
		}
		r.fails.Announce = 0
	}
	addrs := []netip.Addr{cfg.Addresses[0].Prefix.Addr(), cfg.Addresses[1].Prefix.Addr()}
	l.hear(kernelAddress{index: 7, prefix: cfg.Addresses[0].Prefix, proto: addressProto}, false)
	late := kernelAddress{index: 7, prefix: cfg.Addresses[1].Prefix, proto: addressProto, flags: unix.IFA_F_TENTATIVE}
	l.hear(late, false)
	e.announce(r, addrs, 2)
	announced("one does not answer", 2)
	e.catchUp(r)
	e.announce(r, addrs[1:], 1)
	announced("nor later", 0)
	late.flags = 0
	l.hear(late, false)
	e.catchUp(r)
	announced("it answers", 3)
	e.catchUp(r)
	announced("once", 0)

	// Who lets go meanwhile says nothing any more.
	late.flags = unix.IFA_F_TENTATIVE
	l.hear(late, false)
	e.announce(r, addrs[1:], 1)
	m.Handle(0, vrrp.Shutdown{})
	late.flags = 0
	l.hear(late, false)
	e.catchUp(r)
	announced("let go", 0)
}
