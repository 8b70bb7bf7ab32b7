package host

import (
	"fmt"
	"slices"
	"time"
)

// Staging is a change of Parameters under way. The members of a Virtual Router
// learn of it at different times, so that none may send the new ones before
// all accept them:
//
//	announced  Router.Parameters are the former ones, Next is accepted.
//	           New addresses are held, but not advertised where the others
//	           would refuse them.
//	settling   Router.Parameters are the new ones, the former are accepted.
//	over       the former are not accepted any more.
//
// The Active router moves on when ActivationDelay has passed, a Backup when it
// hears the new parameters, or has not for three times as long: nobody goes
// ahead of who may not have learned yet, and whoever takes over meanwhile is
// understood by all. An Active router that hears the new ones was on its own,
// while the others went on: it follows at once, or they would not hear it. While
// a member is known to be behind (it answers, and has another revision), both
// wait for it, however long: it cannot fetch, refuses the revision, or was
// suspended. The former ones are accepted for as long as they are heard.
type Staging struct {
	Next     Parameters `json:"next"`
	Since    time.Time  `json:"since"`
	Settling bool       `json:"settling,omitempty"`
}

// patience is how many times ActivationDelay a Backup waits to hear the new
// parameters.
const patience = 3

// Stage says how to get from the configuration that an engine has to the one
// that is wanted, which holds no Staging: as it is, but for Parameters that
// members have to agree on, which change step by step. Advance has the further
// steps.
//
// A VRID is one router's until its change is over. What another one wants with
// it waits until then, and held says so; two that want each other's wait for
// ever.
func Stage(present, wanted Config, now time.Time) (next Config, held []string) {
	next = wanted
	next.Routers = slices.Clone(wanted.Routers)
	for i := range next.Routers {
		r := &next.Routers[i]
		if former := present.router(r); former != nil && r.ActivationDelay > 0 {
			r.stage(former, now)
		}
	}
	for again := true; again; {
		again = false
		for i := range next.Routers {
			r := &next.Routers[i]
			if other := next.rival(i, &present); other != "" {
				held = append(held, fmt.Sprintf("%s, since a VRID of its change is that of %s still", r.Name, other))
				next.hold(r.Name, &present)
				again = true
				break
			}
		}
	}
	return next, held
}

// router finds the router of that name which can become r.
func (c *Config) router(r *Router) *Router {
	for i := range c.Routers {
		if same := (router{cfg: c.Routers[i]}); c.Routers[i].Name == r.Name && same.sameIdentity(r) {
			return &c.Routers[i]
		}
	}
	return nil
}

// vrids are those that a router sends or accepts.
func (r *Router) vrids() []uint8 {
	out := []uint8{r.VRID}
	for i := range r.Accept {
		out = append(out, r.Accept[i].VRID)
	}
	return out
}

// rival names another router that has a VRID at present which is new to the
// i-th. Who has had one longer keeps it: what is wanted has no VRID twice.
func (c *Config) rival(i int, present *Config) string {
	r := &c.Routers[i]
	var known []uint8
	if former := present.router(r); former != nil {
		known = former.vrids()
	}
	for j := range present.Routers {
		o := &present.Routers[j]
		// One that goes altogether makes room at once.
		stays := slices.ContainsFunc(c.Routers, func(x Router) bool { return x.Name == o.Name })
		if o.Name == r.Name || !stays || o.Interface != r.Interface || o.ipv6() != r.ipv6() {
			continue
		}
		for _, v := range o.vrids() {
			if slices.Contains(r.vrids(), v) && !slices.Contains(known, v) {
				return o.Name
			}
		}
	}
	return ""
}

// hold leaves a router as it is at present, or out if it is not there yet.
func (c *Config) hold(name string, present *Config) {
	i := slices.IndexFunc(c.Routers, func(r Router) bool { return r.Name == name })
	if j := slices.IndexFunc(present.Routers, func(r Router) bool { return r.Name == name }); j >= 0 {
		former := present.Routers[j]
		// Its checks and hooks may be gone.
		former.Checks, former.Hooks = c.Routers[i].Checks, c.Routers[i].Hooks
		c.Routers[i] = former
		return
	}
	c.Routers = slices.Delete(c.Routers, i, i+1)
	groups := c.SyncGroups
	c.SyncGroups = nil
	for _, g := range groups {
		g.Members = slices.DeleteFunc(slices.Clone(g.Members), func(m string) bool { return m == name })
		if len(g.Members) > 0 {
			c.SyncGroups = append(c.SyncGroups, g)
		}
	}
}

// stage holds back parameters that would not be understood yet. r is as it is
// wanted.
func (r *Router) stage(former *Router, now time.Time) {
	wanted := r.Parameters
	s := former.Staging
	switch {
	case s != nil && !s.Settling && agree(&s.Next, &wanted):
		// Already on the way there.
		r.Staging = &Staging{Next: wanted, Since: s.Since}
		r.Parameters, r.Accept = former.Parameters, slices.Clone(former.Accept)
	case agree(&former.Parameters, &wanted):
		// Nothing to agree on anew; what was being settled goes on to be, and
		// what was announced is taken back.
		r.Accept = former.Accept
		if s != nil {
			r.Staging = &Staging{Next: wanted, Since: s.Since, Settling: true}
			if !s.Settling {
				r.Staging.Since = now
			}
		}
		return
	default:
		r.Staging = &Staging{Next: wanted, Since: now}
		r.Parameters = former.Parameters
		r.Accept = append([]Parameters{wanted}, former.Accept...)
	}
	if r.Version == 3 && wanted.Version == 3 {
		// These need no agreement in version 3.
		r.Interval, r.Addresses = wanted.Interval, wanted.Addresses
	}
	if len(r.Peers) > 0 && len(wanted.Peers) > 0 {
		// Who comes has to hear us at once, who goes for as long as it is there.
		r.Peers = union(r.Peers, wanted.Peers)
	}
	r.Accept[0] = wanted
	r.Excluded = append(slices.Clone(r.Excluded), missingAddresses(wanted.Addresses, r.Addresses)...)
	r.Excluded = missingAddresses(r.Excluded, r.Addresses)
}

// View is what Advance has to know about Virtual Routers, by name.
type View struct {
	Active func(router string) bool
	// Heard is when one had its last advertisement with accepted parameters
	// other than its own.
	Heard func(router string) time.Time
	// Behind tells whether a member is known not to have learned yet; nil if
	// nobody can be asked.
	Behind func(router string) bool
}

// behindPeriod is how often Behind is asked again.
const behindPeriod = 2 * time.Second

// Advance takes the further steps of Stage that are due. It returns when to look
// again; the zero Time if nothing is under way.
func Advance(c Config, now time.Time, v View) (next Config, due time.Time) {
	next = c
	next.Routers = slices.Clone(c.Routers)
	for i := range next.Routers {
		r := &next.Routers[i]
		if r.Staging == nil {
			continue
		}
		if r.Staging.Since.After(now) { // The clock was set back.
			moved := *r.Staging
			moved.Since = now
			r.Staging = &moved
		}
		at, other := r.Staging.Since.Add(r.ActivationDelay), v.Heard(r.Name)
		hold := !r.Staging.Settling && v.Behind != nil
		switch {
		case r.Staging.Settling && other.After(r.Staging.Since):
			at = other.Add(r.ActivationDelay)
		case !r.Staging.Settling && len(r.Accept) == 1 && other.After(r.Staging.Since):
			at, hold = now, false
		case r.Staging.Settling || v.Active(r.Name):
		case other.After(r.Staging.Since):
			at, hold = now, false
		default:
			at = r.Staging.Since.Add(patience * r.ActivationDelay)
		}
		switch {
		case now.Before(at):
		case hold && v.Behind(r.Name):
			at = now.Add(behindPeriod)
		default:
			at = r.advance(now)
		}
		if !at.IsZero() && (due.IsZero() || at.Before(due)) {
			due = at
		}
	}
	return next, due
}

func (r *Router) advance(now time.Time) (due time.Time) {
	if r.Staging.Settling {
		r.Staging, r.Accept = nil, nil
		return time.Time{}
	}
	former := r.Parameters
	r.Parameters = r.Staging.Next
	r.Accept = append([]Parameters{former}, r.Accept[1:]...)
	r.Excluded = missingAddresses(r.Excluded, r.Addresses)
	r.Staging = &Staging{Next: r.Parameters, Since: now, Settling: true}
	return now.Add(r.ActivationDelay)
}

// Wanted is the configuration that the staged one leads to.
func (c Config) Wanted() Config {
	c.Routers = slices.Clone(c.Routers)
	for i := range c.Routers {
		r := &c.Routers[i]
		if s := r.Staging; s != nil {
			r.Parameters = s.Next
			r.Excluded = missingAddresses(r.Excluded, r.Addresses)
		}
		r.Staging, r.Accept = nil, nil
	}
	return c
}

// agree reports whether routers with these parameters understand each other.
func agree(a, b *Parameters) bool {
	if a.Version != b.Version || a.VRID != b.VRID || a.Password != b.Password || !sameSet(a.Peers, b.Peers) {
		return false
	}
	return a.Version == 3 || a.Interval == b.Interval && sameSet(bare(a.Addresses), bare(b.Addresses))
}

func sameSet[T comparable](a, b []T) bool {
	missing := func(have, from []T) bool {
		return slices.ContainsFunc(have, func(x T) bool { return !slices.Contains(from, x) })
	}
	return !missing(a, b) && !missing(b, a)
}

func union[T comparable](a, b []T) []T {
	out := slices.Clone(a)
	for _, x := range b {
		if !slices.Contains(out, x) {
			out = append(out, x)
		}
	}
	return out
}

// missingAddresses are those of have that without does not have.
func missingAddresses(have, without []Address) []Address {
	present := bare(without)
	var out []Address
	for _, a := range have {
		if !slices.Contains(present, a.Prefix.Addr()) {
			out = append(out, a)
		}
	}
	return out
}
