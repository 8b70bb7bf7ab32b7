package vrrp

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

func testConfig() Config {
	return Config{
		Shared:        Shared{Version: 3, VRID: 1, Interval: time.Second, Addresses: addresses("192.0.2.100")},
		Priority:      100,
		Source:        netip.MustParseAddr("192.0.2.1"),
		Announcements: DefaultAnnouncements(),
	}
}

func TestConfigRefusals(t *testing.T) {
	for _, c := range []struct {
		change func(*Config)
		want   string
	}{
		{func(c *Config) { c.Version = 4 }, "version 4"},
		{func(c *Config) { c.VRID = 0 }, "virtual router id 0"},
		{func(c *Config) { c.Priority = 0 }, "priority 0"},
		{func(c *Config) { c.Version, c.Interval = 2, 1500*time.Millisecond }, "whole seconds"},
		{func(c *Config) { c.Version, c.Interval = 2, 256*time.Second }, "whole seconds"},
		{func(c *Config) { c.Interval = 15 * time.Millisecond }, "steps of 10ms"},
		{func(c *Config) { c.Interval = 0 }, "steps of 10ms"},
		{func(c *Config) { c.Interval = 4096 * centisecond }, "steps of 10ms"},
		{func(c *Config) { c.Authentication = Password("x") }, "no authentication"},
		{func(c *Config) { c.Version, c.Authentication.Type = 2, 2 }, "authentication type 2"},
		{func(c *Config) { c.Addresses = nil }, "0 addresses"},
		{func(c *Config) { c.Addresses = addresses("192.0.2.1", "fe80::1") }, "one family"},
		{func(c *Config) { c.Addresses = addresses("192.0.2.7", "192.0.2.7") }, "twice"},
		{func(c *Config) { c.Addresses = addresses("::ffff:192.0.2.7") }, "plain addresses"},
		{func(c *Config) { c.Version, c.Addresses, c.Source = 2, addresses("fe80::9"), addresses("fe80::1")[0] }, "no IPv6"},
		{func(c *Config) { c.Addresses, c.Source = addresses("2001:db8::9"), addresses("fe80::1")[0] }, "link-local"},
		{func(c *Config) { c.Source = addresses("fe80::1")[0] }, "source"},
		{func(c *Config) { c.Source = c.Addresses[0] }, "virtual address"},
		{func(c *Config) { c.Peers = addresses("fe80::1") }, "peer"},
		{func(c *Config) { c.Excluded = c.Addresses }, "excluded"},
		{func(c *Config) { c.PreemptDelay = -1 }, "delay"},
		{func(c *Config) { c.Accept = []Shared{{Version: 3}} }, "accepted parameters 0"},
	} {
		config := testConfig()
		c.change(&config)
		_, err := New(config)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("want an error about %q, got %v", c.want, err)
		}
	}
	config := testConfig()
	if err := config.Validate(); err != nil {
		t.Error(err)
	}
}

// TestConfigIsCopied changes every slice after New.
func TestConfigIsCopied(t *testing.T) {
	c := testConfig()
	c.Excluded = addresses("192.0.2.200")
	m, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	c.Addresses[0], c.Excluded[0] = netip.Addr{}, netip.Addr{}
	m.Handle(0, Startup{Resume: &Snapshot{State: StateActive}})
	if got := joinAddresses(m.all); got != "192.0.2.100 192.0.2.200" {
		t.Error(got)
	}
	wire := m.Append(nil, MulticastAddress(false), 7)
	var a Advertisement
	if r := a.Parse(wire, m.cfg.Source, MulticastAddress(false)); r != ReasonNone || a.Priority != 7 {
		t.Error(r, a)
	}
}

func TestSnapshotCarriesMastership(t *testing.T) {
	m, _ := New(testConfig())
	m.Handle(0, Startup{})
	m.Handle(m.Deadline(), Timeout{})
	s := m.Snapshot()
	next, _ := New(testConfig())
	next.Handle(time.Hour, Startup{Resume: &s})
	if next.State() != StateActive {
		t.Error(next.State())
	}
	s = Snapshot{State: StateBackup, Interval: 100 * time.Millisecond}
	next, _ = New(testConfig())
	next.Handle(0, Startup{Resume: &s})
	if got := next.Status(); got.State != StateBackup || got.Interval != s.Interval {
		t.Errorf("%+v", got)
	}
	s = Snapshot{State: StateActive}
	next, _ = New(testConfig())
	next.Handle(0, Maintenance(true))
	next.Handle(0, Startup{Resume: &s})
	if next.State() != StateMaintenance {
		t.Error("maintenance wins over a snapshot:", next.State())
	}
}

func TestStatusShowsWhoClaimsToOwn(t *testing.T) {
	m, _ := New(testConfig())
	m.Handle(0, Startup{})
	a := Advertisement{Version: 3, VRID: 1, Priority: 255, Interval: time.Second, Addresses: addresses("192.0.2.100")}
	src := netip.MustParseAddr("192.0.2.66")
	m.Handle(time.Second, &Packet{Source: src, TTL: 255, Message: a.Append(nil, src, MulticastAddress(false), ChecksumMessage)})
	if s := m.Status(); s.Leader != src || s.LeaderPriority != 255 || s.LeaderHeard != time.Second || s.Counters.Received != 1 {
		t.Errorf("%+v", s)
	}
}
