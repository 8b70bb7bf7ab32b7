package vrrp

import (
	"encoding/hex"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the expectations of the transcripts")

// TestTranscripts plays testdata/vrrp/*.txt: blocks of an input line, a line of
// dashes, and what came of it. Times are virtual.
//
//	config [as=NAME] KEY=VALUE...   make a Machine, or change it with "at"
//	group NAME...                   group Machines
//	at TIME [NAME:] EVENT KEY=VALUE...
//	run TIME                        fire the deadlines up to and at TIME
//	counters [NAME]
//
// An event prints its actions, the state, and the deadline.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("../../testdata/vrrp/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			before, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			after := playTranscript(t, string(before))
			if after == string(before) {
				return
			}
			if *update {
				if err := os.WriteFile(file, []byte(after), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			t.Errorf("%s differs (run with -update and review):\n%s", file, firstDifference(string(before), after))
		})
	}
}

func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range min(len(w), len(g)) {
		if w[i] != g[i] {
			return fmt.Sprintf("line %d\nwant %s\n got %s", i+1, w[i], g[i])
		}
	}
	return fmt.Sprintf("want %d lines, got %d", len(w), len(g))
}

type stage struct {
	t        *testing.T
	configs  map[string]Config
	machines map[string]*Machine
	names    []string
	group    *Group
	now      time.Duration
	out      strings.Builder
}

func playTranscript(t *testing.T, text string) string {
	s := &stage{t: t, configs: map[string]Config{}, machines: map[string]*Machine{}}
	var result strings.Builder
	skip := false
	for _, line := range strings.SplitAfter(text, "\n") {
		trimmed := strings.TrimSpace(line)
		switch {
		case skip && trimmed != "":
			continue
		case skip:
			skip = false
			result.WriteString(line)
		case trimmed == "" || strings.HasPrefix(trimmed, "#"):
			result.WriteString(line)
		case trimmed == "----":
			continue
		default:
			s.out.Reset()
			s.command(trimmed)
			result.WriteString(line)
			result.WriteString("----\n")
			result.WriteString(s.out.String())
			skip = true
		}
	}
	return strings.TrimRight(result.String(), "\n") + "\n"
}

func (s *stage) command(line string) {
	words := strings.Fields(line)
	switch words[0] {
	case "config":
		s.define(words[1:])
	case "group":
		var members []*Machine
		for _, n := range words[1:] {
			members = append(members, s.machines[n])
		}
		s.group = NewGroup(members...)
	case "run":
		s.run(s.duration(words[1]))
	case "at":
		s.now = s.duration(words[1])
		words = words[2:]
		target := s.names[0]
		if n, ok := strings.CutSuffix(words[0], ":"); ok {
			target, words = n, words[1:]
		}
		s.handle(target, s.event(target, words))
	case "counters":
		target := s.names[0]
		if len(words) > 1 {
			target = words[1]
		}
		s.counters(s.machines[target].Status().Counters)
	default:
		s.t.Fatalf("unknown command: %s", line)
	}
}

func (s *stage) define(words []string) {
	name := ""
	c := Config{Shared: Shared{Version: 3, VRID: 1, Interval: time.Second}, Priority: 100}
	c.Source = netip.MustParseAddr("192.0.2.1")
	c.Addresses = []netip.Addr{netip.MustParseAddr("192.0.2.100")}
	for _, w := range words {
		if n, ok := strings.CutPrefix(w, "as="); ok {
			name = n
			continue
		}
		s.setConfig(&c, w)
	}
	m, err := New(c)
	if err != nil {
		fmt.Fprintf(&s.out, "refused: %v\n", err)
		return
	}
	if s.machines[name] == nil {
		s.names = append(s.names, name)
	}
	s.machines[name], s.configs[name] = m, c
	fmt.Fprintln(&s.out, "ok")
}

func (s *stage) setConfig(c *Config, word string) {
	k, v, _ := strings.Cut(word, "=")
	switch k {
	case "priority":
		c.Priority = s.byte(v)
	case "source":
		c.Source = netip.MustParseAddr(v)
	case "excluded":
		c.Excluded = s.addresses(v)
	case "nopreempt":
		c.NoPreempt = true
	case "preempt-delay":
		c.PreemptDelay = s.duration(v)
	case "startup-delay":
		c.StartupDelay = s.duration(v)
	case "announce":
		c.Announcements.Repeat = s.byte(v)
	case "announce-delay":
		c.Announcements.Delay = s.duration(v)
	case "refresh":
		c.Announcements.Refresh = s.duration(v)
	case "release-limit":
		c.ReleaseLimit = s.duration(v)
	case "min-ttl":
		c.MinTTL = s.byte(v)
	case "present":
		c.Present = s.addresses(v)
	case "respect":
		c.Respect = true
	case "loose":
		c.LooseAddresses = true
	case "global-first":
		c.GlobalFirst = true
	case "accept": // the parameters before this word
		c.Accept = append(c.Accept, c.Shared)
	case "accept-none":
		c.Accept = nil
	default:
		s.setShared(&c.Shared, k, v)
	}
}

func (s *stage) setShared(c *Shared, k, v string) {
	switch k {
	case "version":
		c.Version = s.byte(v)
	case "vrid":
		c.VRID = s.byte(v)
	case "interval":
		c.Interval = s.duration(v)
	case "pass":
		c.Authentication = Password(v)
	case "pass-none":
		c.Authentication = Authentication{}
	case "addresses":
		c.Addresses = s.addresses(v)
	case "peers":
		c.Peers = s.addresses(v)
	default:
		s.t.Fatalf("unknown parameter: %s", k)
	}
}

func (s *stage) event(target string, words []string) Event {
	arg := func(i int) string { return words[i] }
	switch words[0] {
	case "startup":
		return Startup{}
	case "resume":
		resume := Snapshot{State: StateActive, Interval: time.Second}
		for _, w := range words[1:] {
			switch w {
			case "backup":
				resume.State = StateBackup
			case "joining":
				resume.Joining = true
			default:
				resume.Awaited = s.addresses(strings.TrimPrefix(w, "awaits="))
			}
		}
		return Startup{Resume: &resume}
	case "shutdown":
		return Shutdown{Now: len(words) > 1 && words[1] == "now"}
	case "timeout":
		return Timeout{}
	case "link":
		return Link(arg(1) == "up")
	case "maintenance":
		return Maintenance(arg(1) == "on")
	case "checks":
		var c Checks
		for _, w := range words[1:] {
			if w == "fault" {
				c.Fault = true
			} else if n, err := strconv.Atoi(strings.TrimPrefix(w, "weight=")); err == nil {
				c.Weight = n
			}
		}
		return c
	case "lost":
		return AddressLost{netip.MustParseAddr(arg(1))}
	case "left":
		return AddressLeft{netip.MustParseAddr(arg(1))}
	case "ready":
		return AddressesReady{}
	case "claim":
		return ForeignClaim{netip.MustParseAddr(arg(1))}
	case "config":
		c := s.configs[target]
		for _, w := range words[1:] {
			s.setConfig(&c, w)
		}
		s.configs[target] = c
		return &c
	case "packet":
		return s.packet(target, words[1:])
	case "foreign":
		return (*Foreign)(s.packet(target, words[1:]))
	}
	s.t.Fatalf("unknown event: %v", words)
	return nil
}

// packet is an advertisement like the Machine's own, but from 192.0.2.2 (or
// fe80::2), with changes, and spoiled after its checksum was made if so told.
func (s *stage) packet(target string, words []string) *Packet {
	c := s.configs[target]
	a := Advertisement{
		Version: c.Version, VRID: c.VRID, Priority: 100, Interval: c.Interval,
		Authentication: c.Authentication, Addresses: c.Addresses,
	}
	p := &Packet{Source: netip.MustParseAddr("192.0.2.2"), TTL: 255, Destination: MulticastAddress(c.IPv6())}
	if c.IPv6() {
		p.Source = netip.MustParseAddr("fe80::2")
	}
	form := ChecksumPseudoHeader
	patch := map[int]byte{}
	cut := -1
	for _, w := range words {
		k, v, _ := strings.Cut(w, "=")
		switch k {
		case "from":
			p.Source = netip.MustParseAddr(v)
		case "to":
			p.Destination = netip.MustParseAddr(v)
		case "ttl":
			p.TTL = s.byte(v)
		case "priority":
			a.Priority = s.byte(v)
		case "type":
			a.Type = s.byte(v)
		case "checksum":
			form = ChecksumMessage
			if v == "bad" {
				patch[6] = 0xde
			}
		case "auth-type":
			a.Authentication.Type = AuthType(s.byte(v))
		case "reserved": // set before the checksum by way of the interval
			a.Interval += 0
			patch[4] = s.byte(v) << 4
		case "cut":
			cut = int(s.byte(v))
		case "no-addresses":
			a.Addresses = nil
		default:
			sh := Shared{Version: a.Version, VRID: a.VRID, Interval: a.Interval, Authentication: a.Authentication, Addresses: a.Addresses}
			s.setShared(&sh, k, v)
			a.Version, a.VRID, a.Interval, a.Authentication, a.Addresses = sh.Version, sh.VRID, sh.Interval, sh.Authentication, sh.Addresses
		}
	}
	p.Message = a.Append(nil, p.Source, p.Destination, form)
	for i, b := range patch {
		p.Message[i] |= b
		if i == 4 { // the reserved bits are part of the checksum
			p.Message[6], p.Message[7] = 0, 0
			acc := ^fold(sum(pseudoHeader(p.Source, p.Destination, len(p.Message)), p.Message))
			p.Message[6], p.Message[7] = byte(acc>>8), byte(acc)
		}
	}
	if cut >= 0 {
		p.Message = p.Message[:cut]
	}
	return p
}

func (s *stage) handle(target string, ev Event) {
	m := s.machines[target]
	if s.group != nil {
		for i, o := range s.group.members {
			if o == m {
				s.show(s.group.Handle(s.now, i, ev))
				return
			}
		}
	}
	var all []GroupAction
	for _, a := range m.Handle(s.now, ev) {
		all = append(all, GroupAction{0, a})
	}
	s.show(all)
}

func (s *stage) show(actions []GroupAction) {
	for _, a := range actions {
		prefix := ""
		if s.group != nil {
			prefix = s.names[a.Member] + ": "
		}
		fmt.Fprintf(&s.out, "%s%v\n", prefix, a.Action)
		if a.Kind == ActionSend && len(s.configs[s.names[0]].Addresses) > 0 && s.group == nil && strings.HasSuffix(s.t.Name(), "_wire") {
			m := s.machines[s.names[0]]
			fmt.Fprintf(&s.out, "  wire %s\n", hex.EncodeToString(m.Append(nil, MulticastAddress(m.cfg.IPv6()), a.Priority)))
		}
	}
	for _, n := range s.names {
		m := s.machines[n]
		prefix := ""
		if len(s.names) > 1 {
			prefix = n + " "
		}
		deadline := "none"
		if d := m.Deadline(); d != Never {
			deadline = d.String()
		}
		fmt.Fprintf(&s.out, "= %s%v, deadline %s\n", prefix, m.State(), deadline)
	}
}

func (s *stage) run(until time.Duration) {
	for range 1000 {
		next, target := Never, ""
		for _, n := range s.names {
			if d := s.machines[n].Deadline(); d < next {
				next, target = d, n
			}
		}
		if next > until {
			s.now = until
			return
		}
		s.now = max(s.now, next)
		fmt.Fprintf(&s.out, "@ %v\n", s.now)
		s.handle(target, Timeout{})
	}
	s.t.Fatal("a deadline that does not move")
}

func (s *stage) counters(c Counters) {
	fmt.Fprintf(&s.out, "received=%d zero=%d sent=%d sent-zero=%d announcements=%d\n",
		c.Received, c.ReceivedZero, c.Sent, c.SentZero, c.Announcements)
	for _, r := range Reasons() {
		if n := c.Dropped[r]; n > 0 {
			fmt.Fprintf(&s.out, "dropped %v=%d\n", r, n)
		}
	}
	for n, v := range c.Noted {
		if v > 0 {
			fmt.Fprintf(&s.out, "noted %v=%d\n", Note(n), v)
		}
	}
}

func (s *stage) duration(v string) time.Duration {
	d, err := time.ParseDuration(v)
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

func (s *stage) byte(v string) uint8 {
	n, err := strconv.ParseUint(v, 0, 8)
	if err != nil {
		s.t.Fatal(err)
	}
	return uint8(n)
}

func (s *stage) addresses(v string) []netip.Addr {
	var all []netip.Addr
	for a := range strings.SplitSeq(v, ",") {
		if a != "" {
			all = append(all, netip.MustParseAddr(a))
		}
	}
	return all
}
