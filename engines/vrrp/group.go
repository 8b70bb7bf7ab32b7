package vrrp

import "time"

// Group makes Machines move together: all members are Active or none is.
//
//   - A member becomes Active only when every member has found its Active
//     router gone (or worse than itself); until then it waits as Backup.
//   - When a member steps down, the others hand over, make before break, and
//     wait as Backup.
//   - When a member is held (link, fault, maintenance), all are.
//
// These are keepalived's rules (vrrp_sync.c), except that the others hand over
// where keepalived's fall silent. As there, it takes peers that group the same
// Virtual Routers; with half a peer, one of them may stay without an Active
// router. Feed every event of a member through the Group.
type Group struct {
	members []*Machine
	active  bool
	out     []GroupAction
}

// GroupAction is an Action of a member, by its index.
type GroupAction struct {
	Member int
	Action
}

// NewGroup groups Machines that are in StateInitialize.
func NewGroup(members ...*Machine) *Group {
	for _, m := range members {
		m.grouped = true
	}
	return &Group{members: members}
}

// Handle gives an event to one member, and what follows from it to the others.
// Timeout may go to any member: it is given to all of them. Shutdown is for
// all; Startup and everything else is each member's own. The slice is valid
// until the next call.
func (g *Group) Handle(now time.Duration, member int, ev Event) []GroupAction {
	g.out = g.out[:0]
	switch ev.(type) {
	case Timeout, Shutdown:
		for i := range g.members {
			g.handle(now, i, ev)
		}
	default:
		g.handle(now, member, ev)
	}
	g.settle(now)
	return g.out
}

// Deadline is the earliest one of a member.
func (g *Group) Deadline() time.Duration {
	next := Never
	for _, m := range g.members {
		next = min(next, m.Deadline())
	}
	return next
}

func (g *Group) handle(now time.Duration, member int, ev Event) {
	for _, a := range g.members[member].Handle(now, ev) {
		g.out = append(g.out, GroupAction{member, a})
	}
}

// settle makes the members agree. Holds come first, since they decide whether
// anybody may move; each step only moves members towards agreement, so that
// one pass is enough.
func (g *Group) settle(now time.Duration) {
	for i, m := range g.members {
		others := false
		for j, o := range g.members {
			others = others || j != i && o.holds&^holdGroup != 0
		}
		if others != (m.holds&holdGroup != 0) {
			e := groupUnhold
			if others {
				e = groupHold
			}
			g.handle(now, i, e)
		}
	}
	active, ready := 0, 0
	for _, m := range g.members {
		switch {
		case m.state == StateActive:
			active++
		case m.state == StateBackup && m.wants:
			ready++
		}
	}
	all := len(g.members)
	switch {
	case active+ready == all && (!g.active || active == all):
		for i, m := range g.members {
			if m.state == StateBackup {
				g.handle(now, i, groupTakeOver)
			}
		}
		g.active = true
	case g.active:
		g.active = false
		for i, m := range g.members {
			if m.state == StateActive {
				g.handle(now, i, groupRelease)
			}
		}
	}
}
