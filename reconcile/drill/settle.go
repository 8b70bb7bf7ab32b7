package drill

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hactl/hactl/schema"
)

// lookAgain is how often a drill looks at the hosts.
const lookAgain = 20 * time.Millisecond

// settle waits until all is as it must be, and stays so for a moment; then it
// measures.
func (p *Player) settle(ctx context.Context, o *Outcome, predictions []Prediction) error {
	var longest, interval, delays time.Duration
	for _, x := range predictions {
		v := p.world.spec.VirtualRouters[x.Router]
		longest = max(longest, time.Duration(x.Switch), 4*time.Duration(v.Interval))
		for _, host := range x.To {
			m := p.world.members[x.Router][host]
			delays = max(delays, time.Duration(m.PreemptDelay), time.Duration(m.StartupDelay))
		}
		interval = max(interval, time.Duration(v.Interval))
	}
	limit := 20*time.Second + 3*longest + 2*p.Poll + delays
	hold := min(max(interval+interval/4, 300*time.Millisecond), 2*time.Second)
	var since time.Time // that all is as it must be
	for {
		hosts := p.Lab.Hosts(ctx)
		now := time.Now()
		p.note(hosts)
		missing := p.missing(o, hosts, predictions, now)
		switch {
		case missing != "":
			since = time.Time{}
		case since.IsZero():
			since = now
			o.Took = lasted(now.Sub(o.At))
		case now.Sub(since) >= hold:
			p.measure(o, hosts, predictions)
			return nil
		}
		if now.Sub(o.At) > limit {
			o.Took = lasted(now.Sub(o.At))
			o.deviates("not in time, which was %s: %s", round(limit), missing)
			p.measure(o, hosts, predictions)
			return nil
		}
		if err := pause(ctx, lookAgain); err != nil {
			return err
		}
	}
}

// note remembers since when a Virtual Router is in backup on a host: a better
// one counts from there.
func (p *Player) note(hosts map[string]Host) {
	for name, h := range hosts {
		for router, r := range h.Routers {
			if r.State != "backup" {
				continue
			}
			if p.backups[router] == nil {
				p.backups[router] = map[string]time.Time{}
			}
			p.backups[router][name] = r.Since
		}
	}
}

// missing says what is not yet as it must be.
func (p *Player) missing(o *Outcome, hosts map[string]Host, predictions []Prediction, now time.Time) string {
	active := p.active(hosts)
	for i := range predictions {
		x := &predictions[i]
		is := active[x.Router]
		if x.Cause == First && len(is) == 1 && !p.world.members[x.Router][is[0]].Preempt && slices.Contains(p.world.able(x.Router), is[0]) {
			x.To = is // The first one that starts, and it stays.
		}
		if len(is) == 1 && len(x.To) == 1 && p.equals(x.Router, is[0], x.To[0]) && slices.Contains([]Cause{First, Death, Release, Yield}, x.Cause) {
			x.To = is // Of several with the same priority whoever is first.
		}
		if !slices.Equal(is, x.To) {
			return x.Router + ": " + list(x.To) + " is to be Active, and " + list(is) + " is"
		}
	}
	refused := o.Revision != "" && o.Revision != p.head
	leads, applied, why := false, false, ""
	for _, h := range hosts {
		leads = leads || h.Leads
		applied = applied || h.Leads && h.Applied == p.head
		if h.Leads && h.Edge != "" {
			why = ": " + h.Edge
		}
	}
	for _, name := range p.agents() {
		h, there := hosts[name]
		switch {
		case !there:
			return name + " does not answer"
		case refused && h.Refused != o.Revision:
			return name + " has not refused the revision"
		case h.Revision != p.head:
			return name + " does not run the revision"
		}
		if refused && h.Refused == o.Revision {
			o.Why = h.Why
		}
	}
	if v := p.behind(hosts); v != "" && !refused {
		return v
	}
	switch {
	case o.Revision == "":
	case refused && o.Refused == 0:
		o.Refused = lasted(now.Sub(o.At))
	case !refused && o.Running == 0:
		o.Running = lasted(now.Sub(o.At))
	}
	if leads && !applied && !refused && !p.down["api"] {
		return "the edge is not as the revision has it" + why
	}
	if o.Revision != "" && applied && !refused && o.Applied == 0 {
		o.Applied = lasted(now.Sub(o.At))
	}
	return ""
}

// equals tells whether one member is as good as another.
func (p *Player) equals(router, host, other string) bool {
	able := p.world.able(router)
	return slices.Contains(able, host) && slices.Contains(able, other) && p.world.priority(router, host) == p.world.priority(router, other)
}

// behind says which Virtual Router has other parameters on the wire than the
// specification, as while its members agree on a change.
func (p *Player) behind(hosts map[string]Host) string {
	for _, name := range sorted(hosts) {
		for router, r := range hosts[name].Routers {
			if m, ok := p.world.members[router][name]; ok && r.VRID != 0 && r.VRID != m.VRID {
				return fmt.Sprintf("%s: VRID %d is on the wire still, on %s", router, r.VRID, name)
			}
		}
	}
	return ""
}

// agents are the hosts whose agents are to answer: those of the specification, or
// where it has none, one of no host.
func (p *Player) agents() (names []string) {
	if len(p.world.spec.Hosts) == 0 {
		return []string{NoHost}
	}
	for _, name := range sorted(p.world.spec.Hosts) {
		if !p.world.dead[name] {
			names = append(names, name)
		}
	}
	return names
}

// measure holds what was seen against what was predicted.
func (p *Player) measure(o *Outcome, hosts map[string]Host, predictions []Prediction) {
	now := time.Now()
	active := p.active(hosts)
	var reach time.Duration
	for _, v := range p.world.spec.VirtualRouters {
		reach = max(reach, 3*time.Duration(v.Interval))
	}
	adverts := p.Lab.Adverts(o.At.Add(-reach))
	silences := p.Lab.Silences(o.At)
	for _, x := range predictions {
		v := p.world.spec.VirtualRouters[x.Router]
		s := Switched{Prediction: x, Now: active[x.Router], Unasked: !v.Accept}
		var silent schema.Duration
		for _, a := range addresses(v) {
			var all schema.Duration
			for _, gap := range silences[a] {
				all += lasted(gap.For(now))
				if d := lasted(gap.For(now)); d > s.Quiet {
					s.Quiet, s.Lost = d, gap.Lost
				}
			}
			silent = max(silent, all)
		}
		s.Took = p.took(o, x, adverts, hosts)
		p.find(o, x, adverts)
		turns := p.turns(o, x, adverts)
		if x.Cause == "" && s.Quiet == 0 && slices.Equal(s.Now, x.To) && len(turns) == 0 {
			continue
		}
		o.Routers = append(o.Routers, s)
		p.judge(o, &s, silent, turns)
	}
	unserved := p.world.unserved()
	for _, name := range unserved {
		if !slices.Contains(p.unserved, name) {
			o.Unserved = append(o.Unserved, name)
		}
	}
	p.unserved = unserved
}

// took is how long the switch took, from what its cause names; 0 where that was
// not seen. A new Active router whose advertisements are not, as those to
// unicast peers that are gone, is believed when it says since when it is.
func (p *Player) took(o *Outcome, x Prediction, adverts []Advert, hosts map[string]Host) schema.Duration {
	if len(x.To) != 1 || x.Switch == 0 {
		return 0
	}
	first := time.Time{}
	for _, a := range p.of(x.Router, x.To[0], adverts) {
		if a.Priority > 0 && a.Time.After(o.At) {
			first = a.Time
			break
		}
	}
	if is := hosts[x.To[0]].Routers[x.Router]; first.IsZero() && is.State == "active" && is.Since.After(o.At) {
		first = is.Since
	}
	began := time.Time{}
	switch x.Cause {
	case Death:
		for _, host := range x.From {
			for _, a := range p.of(x.Router, host, adverts) {
				if a.Priority > 0 && a.Time.Before(first) {
					began = a.Time
				}
			}
		}
	case Release, Yield:
		began = p.released(o, x, adverts)
	case Preempt:
		if since := p.backups[x.Router][x.To[0]]; since.After(o.At) {
			began = since
		}
	}
	if first.IsZero() || began.IsZero() {
		return 0
	}
	return lasted(first.Sub(began))
}

// released is when a host said that it gives up, or that others may be better;
// zero where nobody heard it.
func (p *Player) released(o *Outcome, x Prediction, adverts []Advert) time.Time {
	for _, host := range x.From {
		for _, a := range p.of(x.Router, host, adverts) {
			if a.Priority == 0 && a.Time.After(o.At) {
				return a.Time
			}
		}
	}
	return time.Time{}
}

// find notes how long a check that fails took to move the first address.
func (p *Player) find(o *Outcome, x Prediction, adverts []Advert) {
	if o.Step.Verb != Check || o.Step.Args[2] != "fail" || x.Cause != Release && x.Cause != Yield {
		return
	}
	at := p.released(o, x, adverts)
	if at.IsZero() || o.Found > 0 {
		return
	}
	check := p.world.spec.Checks[o.Step.Args[1]].WithDefaults()
	o.Found, o.Within = lasted(at.Sub(o.At)), check.Interval*schema.Duration(check.Fall)
	if o.Found > o.Within && !near(o.Within, o.Found) {
		o.Times = append(o.Times, fmt.Sprintf("the check found it after %s, and %s at most was predicted", round(o.Found), round(o.Within)))
	}
}

// turns are the hosts that were Active one after the other, where that is more
// than from one to another.
func (p *Player) turns(o *Outcome, x Prediction, adverts []Advert) []string {
	if len(x.From) != 1 || len(x.To) != 1 {
		return nil
	}
	type spoke struct {
		at   time.Time
		host string
	}
	var all []spoke
	for host := range p.world.members[x.Router] {
		for _, a := range p.of(x.Router, host, adverts) {
			if a.Priority > 0 && a.Time.After(o.At) {
				all = append(all, spoke{a.Time, host})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b spoke) int { return a.at.Compare(b.at) })
	turns := slices.Clone(x.From)
	var since time.Time // of the last turn
	for _, s := range all {
		// Who gives way may have the last word.
		if s.host != turns[len(turns)-1] && s.at.Sub(since) > slack {
			turns, since = append(turns, s.host), s.at
		}
	}
	if len(turns) == 1 || slices.Equal(turns, []string{x.From[0], x.To[0]}) {
		return nil
	}
	return turns
}

// judge says where a Virtual Router did otherwise than predicted. silent is the
// sum of an address's silences, and turns are who was Active, where it moved more
// than once.
func (p *Player) judge(o *Outcome, s *Switched, silent schema.Duration, turns []string) {
	if !slices.Equal(s.Now, s.To) {
		o.deviates("%s: %s is Active, and %s was to be", s.Router, list(s.Now), list(s.To))
		return
	}
	if len(turns) > 0 {
		way := "that it goes from " + s.From[0] + " to " + s.To[0]
		if s.From[0] == s.To[0] {
			way = "that it stays with " + s.To[0]
		}
		o.deviates("%s: %s were Active in turn, and %s was predicted", s.Router, strings.Join(turns, ", "), way)
	}
	if s.Took == 0 && s.Switch > 0 && s.Cause != Preempt {
		o.deviates("%s: the switch was not seen, and %s was predicted", s.Router, round(s.Switch))
	}
	if s.Took > 0 && !near(s.Switch, s.Took) {
		o.Times = append(o.Times, fmt.Sprintf("%s: the switch took %s, and %s was predicted", s.Router, round(s.Took), round(s.Switch)))
	}
	if len(s.To) == 1 && len(s.From) == 1 && !within(s.Silent, s.Quiet) {
		o.deviates("%s: nobody answered for %s, and %s was predicted", s.Router, round(s.Quiet), round(s.Silent))
	} else if len(s.To) == 1 && len(s.From) == 1 && !within(s.Silent, silent) {
		o.deviates("%s: nobody answered for %s in all, and %s was predicted", s.Router, round(silent), round(s.Silent))
	}
}

// round is a duration as people read it.
func round[D time.Duration | schema.Duration](of D) time.Duration {
	d := time.Duration(of)
	if d < 10*time.Millisecond {
		return d.Round(100 * time.Microsecond)
	}
	return d.Round(time.Millisecond)
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
