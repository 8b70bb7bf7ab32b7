package host

import (
	"cmp"
	"maps"
	"net/netip"
	"os"
	"runtime/debug"
	"slices"
	"time"

	"github.com/hactl/hactl/engines/vrrp"
)

// Status is what an engine knows, read in one moment.
type Status struct {
	PID        int            `json:"pid"`
	Build      string         `json:"build"` // of the engine's binary; see Build
	Started    time.Time      `json:"started"`
	Revision   string         `json:"revision,omitempty"`
	Stopping   bool           `json:"stopping,omitempty"`
	Scheduling Scheduling     `json:"scheduling"`
	Lateness   Lateness       `json:"lateness"`
	Turns      uint64         `json:"turns"`    // of the loop
	Packets    uint64         `json:"packets"`  // received, good or bad
	Overruns   uint64         `json:"overruns"` // turns that left packets for the next
	LostEvents uint64         `json:"lostEvents,omitempty"`
	Links      []LinkStatus   `json:"links"`
	Routers    []RouterStatus `json:"routers"`
	// Checks are the results by the check's name; Untried have none yet.
	Checks  map[string]Result `json:"checks,omitempty"`
	Untried []string          `json:"untried,omitempty"`
	// Agents is how many are attached: without one nobody tries the checks,
	// runs the hooks, or takes the steps of a staged change.
	Agents int `json:"agents"`
}

// LinkStatus is an interface that routers are configured on.
type LinkStatus struct {
	Name    string `json:"name"`
	Index   int    `json:"index,omitempty"` // 0: does not exist
	Up      bool   `json:"up"`
	Problem string `json:"problem,omitempty"`
	Unknown uint64 `json:"unknownVRID,omitempty"` // packets for Virtual Routers not ours
	Broken  uint64 `json:"broken,omitempty"`      // packets too short to say for whom
}

// RouterStatus is a Virtual Router on this host.
type RouterStatus struct {
	Name           string         `json:"name"`
	Interface      string         `json:"interface"`
	VRID           uint8          `json:"vrid"`
	State          string         `json:"state"`
	Cause          string         `json:"cause"` // of the last transition
	Since          time.Time      `json:"since,omitzero"`
	Priority       uint8          `json:"priority"` // effective
	Interval       time.Duration  `json:"interval"`
	Source         netip.Addr     `json:"source,omitzero"`
	Leader         netip.Addr     `json:"leader,omitzero"` // sender heard last
	LeaderPriority uint8          `json:"leaderPriority,omitempty"`
	LeaderHeard    time.Duration  `json:"leaderHeard,omitempty"` // ago
	Elsewhere      netip.Addr     `json:"elsewhere,omitzero"`    // see vrrp.Status
	Awaited        []netip.Addr   `json:"awaited,omitempty"`     // likewise
	SyncGroup      string         `json:"syncGroup,omitempty"`
	Ready          bool           `json:"ready,omitempty"` // waits for the others of its group
	Retiring       bool           `json:"retiring,omitempty"`
	Maintenance    bool           `json:"maintenance,omitempty"`
	Checks         Checks         `json:"checks,omitzero"`
	Problem        string         `json:"problem,omitempty"`
	Addresses      []netip.Prefix `json:"addresses"` // configured
	Present        []netip.Prefix `json:"present"`   // of those, in the kernel
	// Lingering are still held after another router has become Active.
	Lingering []netip.Addr `json:"lingering,omitempty"`
	Counters  Counters     `json:"counters"`
	Failures  Failures     `json:"failures,omitzero"`
}

// Counters is vrrp.Counters by name; what is zero is left out of the maps.
type Counters struct {
	Received      uint64            `json:"received"`
	ReceivedZero  uint64            `json:"receivedZero"`
	Sent          uint64            `json:"sent"`
	SentZero      uint64            `json:"sentZero"`
	Announcements uint64            `json:"announcements"`
	Dropped       map[string]uint64 `json:"dropped,omitempty"`
	Noted         map[string]uint64 `json:"noted,omitempty"`
	Transitions   map[string]uint64 `json:"transitions,omitempty"`
}

// raw is what the loop copies; naming and sorting are for another thread.
type rawRouter struct {
	status  RouterStatus
	machine vrrp.Status
}

func (e *Engine) copyStatus() (Status, []rawRouter) {
	s := Status{
		PID: os.Getpid(), Build: build, Started: e.started, Revision: e.cfg.Revision, Stopping: e.stopping,
		Scheduling: e.scheduling, Lateness: e.lateness, Turns: e.turns, Packets: e.packets,
		Overruns: e.overruns, LostEvents: e.lost, Checks: maps.Clone(e.results),
	}
	for name := range e.cfg.Checks {
		if _, tried := e.results[name]; !tried {
			s.Untried = append(s.Untried, name)
		}
	}
	for _, l := range e.links {
		s.Links = append(s.Links, LinkStatus{Name: l.name, Index: l.kernel.index, Up: l.kernel.up(), Problem: l.problem, Unknown: l.unknown, Broken: l.broken})
	}
	now := e.clock()
	raw := make([]rawRouter, 0, len(e.routers))
	for _, r := range e.routers {
		m := r.machine.Status()
		rs := RouterStatus{
			Name: r.cfg.Name, Interface: r.cfg.Interface, VRID: r.cfg.VRID, State: m.State.String(),
			Cause: r.cause.String(), Since: r.changes, Priority: m.Priority, Interval: m.Interval, Source: r.source,
			Leader: m.Leader, LeaderPriority: m.LeaderPriority, Elsewhere: m.Elsewhere, Awaited: m.Awaited, SyncGroup: r.unit.name, Ready: m.Ready,
			Retiring: r.retiring, Maintenance: e.maintained(r), Checks: r.checks, Problem: r.problem, Failures: r.fails,
		}
		rs.Lingering = slices.Clone(r.lingering)
		if m.Leader.IsValid() {
			rs.LeaderHeard = now - m.LeaderHeard
		}
		for _, a := range slices.Concat(r.cfg.Addresses, r.cfg.Excluded) {
			rs.Addresses = append(rs.Addresses, a.Prefix)
			if r.home.has(a.Prefix) {
				rs.Present = append(rs.Present, a.Prefix)
			}
		}
		raw = append(raw, rawRouter{rs, m})
	}
	return s, raw
}

// status may be called from any goroutine; it reports false once the loop has
// ended.
func (e *Engine) status() (Status, bool) {
	var s Status
	var raw []rawRouter
	if !e.call(func() { s, raw = e.copyStatus() }) {
		return Status{}, false
	}
	for _, r := range raw {
		r.status.Counters = named(&r.machine.Counters)
		s.Routers = append(s.Routers, r.status)
	}
	slices.Sort(s.Untried)
	slices.SortFunc(s.Links, func(a, b LinkStatus) int { return cmp.Compare(a.Name, b.Name) })
	slices.SortStableFunc(s.Routers, func(a, b RouterStatus) int { return cmp.Compare(a.Name, b.Name) })
	return s, true
}

func named(c *vrrp.Counters) Counters {
	out := Counters{
		Received: c.Received, ReceivedZero: c.ReceivedZero, Sent: c.Sent, SentZero: c.SentZero, Announcements: c.Announcements,
		Dropped: map[string]uint64{}, Noted: map[string]uint64{}, Transitions: map[string]uint64{},
	}
	for i, n := range c.Dropped {
		if n > 0 {
			out.Dropped[vrrp.Reason(i).String()] = n
		}
	}
	for i, n := range c.Noted {
		if n > 0 {
			out.Noted[vrrp.Note(i).String()] = n
		}
	}
	for i, n := range c.Transitions {
		if n > 0 {
			out.Transitions[vrrp.State(i).String()] = n
		}
	}
	return out
}

var build = Build()

// Build names the binary that runs: an agent whose own differs from its
// engine's asks for an upgrade.
func Build() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	out := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" || s.Key == "vcs.modified" && s.Value == "true" {
			out += " " + s.Value
		}
	}
	return out
}

// Router finds a router's status by name; retiring ones of that name come last.
func (s *Status) Router(name string) *RouterStatus {
	var found *RouterStatus
	for i := range s.Routers {
		if r := &s.Routers[i]; r.Name == name && (found == nil || found.Retiring) {
			found = r
		}
	}
	return found
}
