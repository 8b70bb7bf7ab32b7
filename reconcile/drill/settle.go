package drill

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/hactl/hactl/schema"
)

// lookAgain is how often a drill looks at the hosts.
const lookAgain = 20 * time.Millisecond

// settle waits until all is as it must be, and stays so for a moment; then it
// measures.
func (p *Player) settle(ctx context.Context, o *Outcome, predictions []Prediction) error {
	var longest, interval time.Duration
	for _, x := range predictions {
		v := p.world.spec.VirtualRouters[x.Router]
		longest = max(longest, time.Duration(x.Switch), 4*time.Duration(v.Interval))
		interval = max(interval, time.Duration(v.Interval))
	}
	limit := 20*time.Second + 3*longest + 2*p.Poll
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
		if !slices.Equal(is, x.To) {
			return x.Router + ": " + list(x.To) + " is to be Active, and " + list(is) + " is"
		}
	}
	refused := o.Revision != "" && o.Revision != p.head
	leads, applied := false, false
	for _, h := range hosts {
		leads = leads || h.Leads
		applied = applied || h.Leads && h.Applied == p.head
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
	switch {
	case o.Revision == "":
	case refused && o.Refused == 0:
		o.Refused = lasted(now.Sub(o.At))
	case !refused && o.Running == 0:
		o.Running = lasted(now.Sub(o.At))
	}
	if leads && !applied && !refused && !p.down["api"] {
		return "the edge is not as the revision has it"
	}
	if o.Revision != "" && applied && !refused && o.Applied == 0 {
		o.Applied = lasted(now.Sub(o.At))
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
		s := Switched{Prediction: x, Now: active[x.Router]}
		for _, a := range addresses(p.world.spec.VirtualRouters[x.Router]) {
			for _, gap := range silences[a] {
				if d := lasted(gap.For(now)); d > s.Quiet {
					s.Quiet, s.Lost = d, gap.Lost
				}
			}
		}
		s.Took = p.took(o, x, adverts, hosts)
		if x.Cause == "" && s.Quiet == 0 && slices.Equal(s.Now, x.To) {
			continue
		}
		o.Routers = append(o.Routers, s)
		p.judge(o, &s)
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
	case Release:
		for _, host := range x.From {
			for _, a := range p.of(x.Router, host, adverts) {
				if a.Priority == 0 && a.Time.After(o.At) && began.IsZero() {
					began = a.Time
				}
			}
		}
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

// judge says where a Virtual Router did otherwise than predicted.
func (p *Player) judge(o *Outcome, s *Switched) {
	if !slices.Equal(s.Now, s.To) {
		o.deviates("%s: %s is Active, and %s was to be", s.Router, list(s.Now), list(s.To))
		return
	}
	if s.Took > 0 && !near(s.Switch, s.Took, false) {
		o.deviates("%s: the switch took %s, and %s was predicted", s.Router, round(s.Took), round(s.Switch))
	}
	if len(s.To) == 1 && len(s.From) == 1 && !near(s.Silent, s.Quiet, true) {
		o.deviates("%s: nobody answered for %s, and %s was predicted", s.Router, round(s.Quiet), round(s.Silent))
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
