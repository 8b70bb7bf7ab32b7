package status

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hactl/hactl/reconcile/topology"
	"github.com/hactl/hactl/reconcile/topology/draw"
	"github.com/hactl/hactl/schema"
)

// hostView is a row of the table of hosts.
type hostView struct {
	Host
	Own    bool
	Other  bool // it runs another revision than it should
	Active []string
	Stale  bool
	Now    time.Time
}

// well tells whether nobody needs to look at it.
func (h *hostView) well() bool {
	return h.Unknown == "" && h.Note == "" && !h.Other && !h.Own && !h.Leads
}

// seatView is a Virtual Router and who has it.
type seatView struct {
	Name   string
	Active []string // hosts; more than one is bad
	Others []string // "lb02 (backup)"
	// Nobody: all members are known, and none is Active.
	Nobody bool
	fault  []string
}

// fresh is how old an answer may be without its age being shown.
const fresh = 10 * time.Second

// fold takes those out that nobody needs to look at, if there are many.
func fold[T any](rows []T, dull func(*T) bool) (shown, folded []T) {
	const most = 20
	if len(rows) <= most {
		return rows, nil
	}
	for i := range rows {
		if dull(&rows[i]) {
			folded = append(folded, rows[i])
		} else {
			shown = append(shown, rows[i])
		}
	}
	return shown, folded
}

// hosts fills in the hosts, this agent's from its own facts, and others' as far
// as they can be taken at their word.
func (v *view) hosts(said []Host, spec *schema.Spec) {
	all := make([]Host, 0, len(said))
	for _, h := range said {
		all = append(all, within(h, spec, v.Now))
	}
	own := Host{Name: v.Host, Revision: v.Follow.Revision, Accepted: v.Follow.Accepted, Leads: v.Edge.Leadership.Mine, Edge: v.Edge}
	if v.Engine != nil {
		own.Routers = v.Engine.Routers
	}
	if i := slices.IndexFunc(all, func(h Host) bool { return h.Name == v.Host }); i >= 0 && v.Host != "" {
		own.Note = all[i].Note
		all[i] = own
	} else if v.Host != "" {
		v.live = append(v.live, own)
	}
	wanted := v.Follow.Revision
	if wanted == "" { // That of who heard last.
		var last time.Time
		for _, h := range all {
			if h.Unknown == "" && h.Accepted.After(last) {
				wanted, last = h.Revision, h.Accepted
			}
		}
	}
	for _, h := range all {
		row := hostView{Host: h, Own: h.Name == v.Host, Other: h.Unknown == "" && h.Revision != wanted, Now: v.Now, Stale: !h.Asked.IsZero() && v.Now.Sub(h.Asked) > fresh}
		if h.Unknown == "" {
			v.live = append(v.live, h)
			for i := range h.Routers {
				if h.Routers[i].State == "active" {
					row.Active = append(row.Active, h.Routers[i].Name)
				}
			}
		}
		switch {
		case h.Off:
			v.off = append(v.off, h.Name)
			v.Alarms = append(v.Alarms, h.Name+" is off: "+h.Unknown)
		case h.Silent:
			v.Alarms = append(v.Alarms, h.Name+" does not answer: "+h.Unknown)
		}
		if h.Note != "" && !row.Own {
			v.Alarms = append(v.Alarms, h.Name+": "+h.Note)
		}
		v.Hosts = append(v.Hosts, row)
	}
}

// seats fills in who is Active for which Virtual Router, as far as is known.
func (v *view) seats(spec *schema.Spec) {
	seats, heard := map[string]*seatView{}, map[string]int{}
	for _, h := range v.live {
		for i := range h.Routers {
			r := &h.Routers[i]
			s := seats[r.Name]
			if s == nil {
				s = &seatView{Name: r.Name}
				seats[r.Name] = s
			}
			heard[r.Name]++
			switch {
			case r.State == "active":
				s.Active = append(s.Active, h.Name)
				continue
			case r.State == "fault" || r.Problem != "":
				s.fault = append(s.fault, h.Name)
			}
			s.Others = append(s.Others, h.Name+" ("+r.State+")")
		}
	}
	for _, host := range v.off { // It has no part in anything, which is known.
		for name, r := range routers(spec) {
			if _, member := r.Members[host]; !member {
				continue
			}
			if seats[name] == nil {
				seats[name] = &seatView{Name: name}
			}
			heard[name]++
			seats[name].Others = append(seats[name].Others, host+" (off)")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(seats)) {
		s := seats[name]
		if spec != nil {
			members := len(spec.VirtualRouters[name].Members)
			s.Nobody = len(s.Active) == 0 && members > 0 && heard[name] >= members
		}
		switch {
		case len(s.Active) > 1:
			v.Alarms = append(v.Alarms, "Virtual Router "+name+": two are Active, "+strings.Join(s.Active, " and "))
		case s.Nobody:
			v.Alarms = append(v.Alarms, "Virtual Router "+name+": nobody is Active")
		}
		v.Seats = append(v.Seats, *s)
	}
}

func routers(spec *schema.Spec) map[string]schema.VirtualRouter {
	if spec == nil {
		return nil
	}
	return spec.VirtualRouters
}

// signs are what the picture shows of its nodes: marks, which are those of hactl
// graph --live, and a few words beside them.
type signs struct {
	marks draw.Marks
	notes map[string]string
}

func (s signs) note(kind, name, note string) {
	if note != "" {
		s.notes[topology.Component{Kind: kind, Name: name}.String()] = note
	}
}

// signs are the live state: who is Active, what the hosts run, how the edge does.
func (v *view) signs(spec *schema.Spec) signs {
	s := signs{draw.Marks{}, map[string]string{}}
	live := v.now()
	conditions := topology.Conditions(spec, live)
	s.marks.AddConditions(conditions)
	for id, c := range conditions {
		if c.Unhealthy {
			s.notes[id] = c.Why
		}
	}
	for i := range v.Seats {
		seat := &v.Seats[i]
		switch {
		case len(seat.Active) > 0:
			s.note(topology.KindVirtualRouter, seat.Name, "on "+strings.Join(seat.Active, ", "))
		case len(seat.fault) > 0:
			s.note(topology.KindVirtualRouter, seat.Name, "fault on "+strings.Join(seat.fault, ", "))
		}
	}
	for i := range v.Hosts {
		h := &v.Hosts[i]
		switch {
		case h.Off:
			s.note(topology.KindHost, h.Name, "off")
			continue
		case h.Unknown != "":
			s.note(topology.KindHost, h.Name, "not known")
			continue
		}
		runs := "runs " + cmp.Or(tiny(h.Revision), "nothing")
		if h.Other {
			runs = "runs another: " + cmp.Or(tiny(h.Revision), "none")
		}
		if len(h.Active) > 0 {
			runs = "for " + strings.Join(h.Active, ", ") + ", " + runs
		}
		s.note(topology.KindHost, h.Name, runs)
	}
	if live.Health != nil {
		v.Health.notes(s, spec)
	}
	return s
}

// now is what is known of the present.
func (v *view) now() topology.Live {
	if v.Health != nil && !v.Health.Old {
		return Live(v.live, v.Health.h)
	}
	return Live(v.live, nil)
}

func tiny(revision string) string {
	if len(revision) == 40 {
		return revision[:7]
	}
	return revision
}

func plural(n int, one, many string) string {
	if n == 1 {
		return fmt.Sprintf("%d %s", n, one)
	}
	return fmt.Sprintf("%d %s", n, many)
}
