package host

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/hactl/hactl/engines/vrrp"
)

// stageLAN is three hosts on virtual time that learn of a change at different
// moments. Packets are heard at once; what counts here is who understands whom.
type stageLAN struct {
	t       *testing.T
	now     time.Duration
	hosts   []*stageHost
	refused int
}

type stageHost struct {
	name    string
	cfg     Config
	machine *vrrp.Machine
	source  netip.Addr
	dead    bool
	heard   time.Time
	noted   uint64
}

var stageEpoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func (l *stageLAN) wall() time.Time { return stageEpoch.Add(l.now) }

func (l *stageLAN) handle(h *stageHost, ev vrrp.Event) {
	actions := h.machine.Handle(l.now, ev)
	type packet struct {
		to  netip.Addr
		msg []byte
	}
	var out []packet
	for _, a := range actions {
		if a.Kind == vrrp.ActionDrop {
			l.refused++
		}
		if a.Kind != vrrp.ActionSend {
			continue
		}
		peers := h.cfg.Routers[0].Peers
		if len(peers) == 0 {
			peers = []netip.Addr{vrrp.MulticastAddress(false)}
		}
		for _, p := range peers {
			out = append(out, packet{p, h.machine.Append(nil, p, a.Priority)})
		}
	}
	for _, p := range out {
		for _, o := range l.hosts {
			if o != h && !o.dead && o.machine != nil && (p.to.IsMulticast() || p.to == o.source) {
				l.handle(o, &vrrp.Packet{Source: h.source, Destination: p.to, TTL: 255, Message: p.msg})
			}
		}
	}
}

func (h *stageHost) give(l *stageLAN, cfg Config) {
	h.cfg = cfg
	c := cfg.Routers[0].MachineConfig(h.source)
	if h.machine == nil {
		m, err := vrrp.New(c)
		if err != nil {
			l.t.Fatal(err)
		}
		h.machine = m
		l.handle(h, vrrp.Startup{})
		return
	}
	l.handle(h, &c)
}

// advance takes the steps that are due, as a Supervisor does.
func (h *stageHost) advance(l *stageLAN) {
	if h.dead || h.cfg.Routers[0].Staging == nil {
		return
	}
	if n := h.machine.Status().Counters.Noted[vrrp.NoteAlternative]; n > h.noted {
		h.noted, h.heard = n, l.wall()
	}
	next, _ := Advance(h.cfg, l.wall(), View{Active: func(string) bool { return h.machine.State() == vrrp.StateActive }, Heard: func(string) time.Time { return h.heard }})
	if !next.same(&h.cfg) {
		h.give(l, next)
	}
}

// run goes on until a time and checks that nobody is Active beside another.
func (l *stageLAN) run(until time.Duration, what string) {
	for l.now < until {
		next := min(until, l.now+100*time.Millisecond)
		for _, h := range l.hosts {
			if !h.dead && h.machine != nil {
				next = min(next, max(h.machine.Deadline(), l.now+time.Microsecond))
			}
		}
		l.now = next
		for _, h := range l.hosts {
			if !h.dead && h.machine != nil && h.machine.Deadline() <= l.now {
				l.handle(h, vrrp.Timeout{})
			}
		}
		for _, h := range l.hosts {
			h.advance(l)
		}
		active := 0
		for _, h := range l.hosts {
			if !h.dead && h.machine.State() == vrrp.StateActive {
				active++
			}
		}
		if active > 1 {
			l.t.Fatalf("%s: %d are Active at %v", what, active, l.now)
		}
	}
}

func stageConfig(p Parameters, priority uint8, delay time.Duration) Config {
	return Config{Routers: []Router{{Name: "web", Interface: "eth0", Parameters: p, Priority: priority, ActivationDelay: delay}}}
}

// stage is Stage where nothing has to wait.
func stage(t *testing.T, present, wanted Config, now time.Time) Config {
	t.Helper()
	next, held := Stage(present, wanted, now)
	if len(held) > 0 {
		t.Errorf("held: %v", held)
	}
	return next
}

// TestStagedChangesAreUnderstoodByAll plays changes of every parameter that
// routers have to agree on, the three hosts learning of it in any order within
// the delay, and the Active router dying at any moment of it: there is never a
// second Active router, nothing is refused, and in the end all have the new.
func TestStagedChangesAreUnderstoodByAll(t *testing.T) {
	vip := func(addrs ...string) (out []Address) {
		for _, a := range addrs {
			out = append(out, Address{Prefix: netip.MustParsePrefix(a)})
		}
		return out
	}
	v2 := Parameters{Version: 2, VRID: 50, Interval: time.Second, Password: "old", Addresses: vip("10.0.0.50/32")}
	v3 := Parameters{Version: 3, VRID: 50, Interval: 100 * time.Millisecond, Addresses: vip("10.0.0.50/32")}
	with := func(p Parameters, f func(*Parameters)) Parameters { f(&p); return p }
	changes := map[string][2]Parameters{
		"password":   {v2, with(v2, func(p *Parameters) { p.Password = "new" })},
		"no more":    {v2, with(v2, func(p *Parameters) { p.Password = "" })},
		"interval":   {v2, with(v2, func(p *Parameters) { p.Interval = 2 * time.Second })},
		"addresses":  {v2, with(v2, func(p *Parameters) { p.Addresses = vip("10.0.0.50/32", "10.0.0.51/32") })},
		"fewer":      {with(v2, func(p *Parameters) { p.Addresses = vip("10.0.0.50/32", "10.0.0.51/32") }), v2},
		"vrid":       {v3, with(v3, func(p *Parameters) { p.VRID = 51 })},
		"version":    {v2, v3},
		"v3 list":    {v3, with(v3, func(p *Parameters) { p.Addresses = vip("10.0.0.51/32") })},
		"v3 slower":  {v3, with(v3, func(p *Parameters) { p.Interval = time.Second })},
		"everything": {v2, with(v3, func(p *Parameters) { p.VRID, p.Addresses = 60, vip("10.0.0.51/32") })},
	}
	const delay = 20 * time.Second
	for name, change := range changes {
		for seed := range uint64(16) {
			t.Run(fmt.Sprintf("%s/%d", name, seed), func(t *testing.T) {
				r := rand.New(rand.NewPCG(seed, 7))
				l := &stageLAN{t: t}
				for i, priority := range []uint8{150, 120, 100} {
					h := &stageHost{name: fmt.Sprint("h", i), source: netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)})}
					l.hosts = append(l.hosts, h)
					h.give(l, stageConfig(change[0], priority, delay))
				}
				settle := 10 * time.Second
				l.run(settle, "before")
				l.refused = 0
				type event struct {
					at   time.Duration
					what func()
				}
				var events []event
				for i, priority := range []uint8{150, 120, 100} {
					events = append(events, event{settle + time.Duration(r.Int64N(int64(delay-time.Second))), func() {
						if h := l.hosts[i]; !h.dead {
							h.give(l, stage(t, h.cfg, stageConfig(change[1], priority, delay), l.wall()))
						}
					}})
				}
				deathAt := settle + time.Duration(r.Int64N(int64(4*delay)))
				dies := seed%2 == 1
				if dies {
					events = append(events, event{deathAt, func() { l.hosts[0].dead = true }})
				}
				// One comes back without what it had, or comes for the first time,
				// with the new parameters at once.
				comes := r.IntN(2) == 0 && name != "everything" // All addresses are new: there is nothing to respect.
				if newcomer := 1 + r.IntN(2); comes {
					events = append(events, event{settle + time.Duration(r.Int64N(int64(4*delay))), func() {
						l.hosts[newcomer].machine = nil
						l.hosts[newcomer].give(l, stageConfig(change[1], []uint8{150, 120, 100}[newcomer], delay))
					}})
				}
				for len(events) > 0 {
					first := 0
					for i := range events {
						if events[i].at < events[first].at {
							first = i
						}
					}
					l.run(events[first].at, "during")
					events[first].what()
					events = append(events[:first], events[first+1:]...)
				}
				l.run(settle+6*delay, "after")
				if l.refused > 0 && !comes {
					t.Errorf("%d advertisements were refused", l.refused)
				}
				want := stageConfig(change[1], 0, delay)
				for _, h := range l.hosts {
					if h.dead {
						continue
					}
					got := h.cfg
					got.Routers[0].Priority = 0
					if !got.same(&want) {
						t.Errorf("%s ends with %+v", h.name, got.Routers[0])
					}
				}
			})
		}
	}
}

// TestAStagedChangeIsTakenBack: the former parameters are wanted again.
func TestAStagedChangeIsTakenBack(t *testing.T) {
	old := Parameters{Version: 2, VRID: 50, Interval: time.Second, Password: "old", Addresses: []Address{{Prefix: netip.MustParsePrefix("10.0.0.50/32")}}}
	changed := old
	changed.Password = "new"
	at := stageEpoch
	first := stage(t, stageConfig(old, 100, time.Minute), stageConfig(changed, 100, time.Minute), at)
	if r := first.Routers[0]; r.Password != "old" || len(r.Accept) != 1 || r.Accept[0].Password != "new" {
		t.Fatalf("staged: %+v", r)
	}
	if w := first.Wanted(); w.Routers[0].Password != "new" || w.Routers[0].Staging != nil {
		t.Errorf("wanted: %+v", w.Routers[0])
	}
	if again := stage(t, first, stageConfig(changed, 100, time.Minute), at.Add(time.Second)); !again.same(&first) {
		t.Errorf("wanted once more it begins anew: %+v", again.Routers[0])
	}
	back := stage(t, first, stageConfig(old, 100, time.Minute), at.Add(time.Second))
	if r := back.Routers[0]; r.Password != "old" || len(r.Accept) != 1 {
		t.Errorf("taken back: %+v", r)
	}
	never := func(string) time.Time { return time.Time{} }
	over, due := Advance(back, at.Add(2*time.Minute), View{Active: func(string) bool { return true }, Heard: never})
	if want := stageConfig(old, 100, time.Minute); !over.same(&want) || !due.IsZero() {
		t.Errorf("over: %+v, due %v", over.Routers[0], due)
	}
	// One that has no other member need not wait.
	if direct := stage(t, stageConfig(old, 100, 0), stageConfig(changed, 100, 0), at); direct.Routers[0].Password != "new" {
		t.Errorf("alone: %+v", direct.Routers[0])
	}
}

// TestUnicastPeersComeAndGoWithoutAGap: a peer that comes is sent to at once,
// one that goes for as long as it is there.
func TestUnicastPeersComeAndGoWithoutAGap(t *testing.T) {
	peers := func(last ...byte) (p Parameters) {
		p = Parameters{Version: 3, VRID: 50, Interval: time.Second, Addresses: []Address{{Prefix: netip.MustParsePrefix("10.0.0.50/32")}}}
		for _, n := range last {
			p.Peers = append(p.Peers, netip.AddrFrom4([4]byte{10, 0, 0, n}))
		}
		return p
	}
	staged := stage(t, stageConfig(peers(2), 100, time.Minute), stageConfig(peers(3), 100, time.Minute), stageEpoch)
	if got := staged.Routers[0].Peers; !sameSet(got, peers(2, 3).Peers) {
		t.Errorf("sends to %v", got)
	}
	active := func(string) bool { return true }
	never := func(string) time.Time { return time.Time{} }
	next, _ := Advance(staged, stageEpoch.Add(time.Minute), View{Active: active, Heard: never})
	if got := next.Routers[0].Peers; !sameSet(got, peers(3).Peers) {
		t.Errorf("then sends to %v", got)
	}
}

// TestAVRIDIsOnesUntilItsChangeIsOver: one takes another's former VRID in the
// same push, and two that want each other's; what comes of it is always valid.
func TestAVRIDIsOnesUntilItsChangeIsOver(t *testing.T) {
	make := func(vrids map[string]uint8) (c Config) {
		for i, name := range []string{"a", "b"} {
			if vrid := vrids[name]; vrid > 0 {
				r := stageConfig(Parameters{Version: 3, VRID: vrid, Interval: time.Second}, 100, time.Minute).Routers[0]
				r.Name, r.Addresses = name, []Address{{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(50 + i)}), 32)}}
				c.Routers = append(c.Routers, r)
			}
		}
		c.SyncGroups = []SyncGroup{{Name: "g", Members: []string{"a", "b"}[:len(c.Routers)]}}
		return c
	}
	active := func(string) bool { return true }
	never := func(string) time.Time { return time.Time{} }
	lead := func(from, to map[string]uint8) (Config, []string) {
		t.Helper()
		c, wanted, now, held := make(from), make(to), stageEpoch, []string(nil)
		for range 10 {
			c, held = Stage(c, wanted, now)
			if err := c.Validate(); err != nil {
				t.Fatalf("%v to %v: %v", from, to, err)
			}
			now = now.Add(2 * time.Minute)
			c, _ = Advance(c, now, View{Active: active, Heard: never})
			if err := c.Validate(); err != nil {
				t.Fatalf("%v to %v: %v", from, to, err)
			}
		}
		return c, held
	}
	want := make(map[string]uint8{"a": 51, "b": 50})
	if got, held := lead(map[string]uint8{"a": 50}, map[string]uint8{"a": 51, "b": 50}); !got.same(&want) || len(held) > 0 {
		t.Errorf("taken over: %+v, held %v", got.Routers, held)
	}
	if got, held := lead(map[string]uint8{"a": 50, "b": 52}, map[string]uint8{"a": 51, "b": 50}); !got.same(&want) || len(held) > 0 {
		t.Errorf("moved up: %+v, held %v", got.Routers, held)
	}
	before := make(map[string]uint8{"a": 50, "b": 51})
	if got, held := lead(map[string]uint8{"a": 50, "b": 51}, map[string]uint8{"a": 51, "b": 50}); !got.same(&before) || len(held) == 0 {
		t.Errorf("swapped: %+v, held %v", got.Routers, held)
	}
	alone := make(map[string]uint8{"b": 50})
	alone.SyncGroups[0].Members = []string{"b"}
	gone := make(map[string]uint8{"a": 50})
	if got, held := Stage(gone, alone, stageEpoch); !got.same(&alone) || len(held) > 0 {
		t.Errorf("one goes, one comes: %+v, held %v", got.Routers, held)
	}
}

func TestNobodyGoesAheadOfAMemberThatIsBehind(t *testing.T) {
	c := v3(150)
	c.Routers[0].ActivationDelay = time.Minute
	wanted := v3(150)
	wanted.Routers[0].ActivationDelay, wanted.Routers[0].VRID = time.Minute, c.Routers[0].VRID+1
	staged, _ := Stage(c, wanted, stageEpoch)
	behind, heard := true, time.Time{}
	for _, active := range []bool{true, false} {
		view := View{
			Active: func(string) bool { return active }, Heard: func(string) time.Time { return heard },
			Behind: func(string) bool { return behind },
		}
		at := stageEpoch.Add(24 * time.Hour)
		behind, heard = true, time.Time{}
		if next, due := Advance(staged, at, view); next.Routers[0].VRID != c.Routers[0].VRID || due.Sub(at) != behindPeriod {
			t.Errorf("active %v: it changes to %d, and looks again after %s", active, next.Routers[0].VRID, due.Sub(at))
		}
		// Who hears the new parameters follows, or it would be deaf.
		if heard = at; !active {
			if next, _ := Advance(staged, at.Add(time.Second), view); next.Routers[0].VRID != wanted.Routers[0].VRID {
				t.Error("it hears the new parameters and does not follow")
			}
		}
		behind, heard = false, time.Time{}
		if next, _ := Advance(staged, at, view); next.Routers[0].VRID != wanted.Routers[0].VRID {
			t.Errorf("active %v: all know it, and it does not change", active)
		}
	}
}

// TestAnActiveRouterFollowsWhoIsAheadOfIt: it was on its own while the others went
// on, and is not heard by them. What it still accepts of a former change is no sign
// of that.
func TestAnActiveRouterFollowsWhoIsAheadOfIt(t *testing.T) {
	at := func(vrid uint8) Config {
		c := v3(150)
		c.Routers[0].ActivationDelay, c.Routers[0].VRID = time.Minute, vrid
		return c
	}
	view := View{
		Active: func(string) bool { return true }, Heard: func(string) time.Time { return stageEpoch.Add(time.Second) },
		Behind: func(string) bool { return true },
	}
	staged := stage(t, at(50), at(51), stageEpoch)
	if next, _ := Advance(staged, stageEpoch.Add(2*time.Second), view); next.Routers[0].VRID != 51 {
		t.Errorf("it stays with %d", next.Routers[0].VRID)
	}
	settling, _ := Advance(staged, stageEpoch.Add(2*time.Second), view)
	again := stage(t, settling, at(52), stageEpoch)
	if next, _ := Advance(again, stageEpoch.Add(2*time.Second), view); next.Routers[0].VRID != 51 {
		t.Errorf("it goes on to %d", next.Routers[0].VRID)
	}
}
