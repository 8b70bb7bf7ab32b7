package drill

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hactl/hactl/reconcile/topology"
	"github.com/hactl/hactl/schema"
)

// Player plays steps on a lab. Its fields are set before use; it is for one
// goroutine.
type Player struct {
	Lab Lab
	// Dir is where the paths of a script begin.
	Dir string
	// Resync and Poll are how often the lab's agents look for drift and at Git.
	Resync, Poll time.Duration
	// Begun and Ended hear of each step; nil for nobody.
	Begun func(Step)
	Ended func(*Outcome)

	unseen   *unseen
	start    string // directory that is opened
	world    *world
	head     string          // revision that is good
	pushed   folder          // before the last push
	down     map[string]bool // services
	backups  map[string]map[string]time.Time
	last     *Outcome
	unserved []string
}

// Open pushes what a directory has, and waits for all hosts to run it: the
// first step of every drill. The hosts have power from then on.
func (p *Player) Open(ctx context.Context, dir string) (*Outcome, error) {
	p.world, p.down, p.backups = newWorld(), map[string]bool{}, map[string]map[string]time.Time{}
	p.start = dir
	return p.Step(ctx, Step{Verb: Push, Args: []string{filepath.Base(dir)}})
}

// Play plays a script. Deviations are in the outcomes; an error is for what
// could not be played, and says where.
func (p *Player) Play(ctx context.Context, s *Script) ([]*Outcome, error) {
	var outcomes []*Outcome
	for _, step := range s.Steps {
		o, err := p.Step(ctx, step)
		if err != nil {
			if step.Line > 0 {
				err = fmt.Errorf("%s:%d: %w", s.Name, step.Line, err)
			}
			return outcomes, err
		}
		outcomes = append(outcomes, o)
	}
	return outcomes, nil
}

// fits says what a step names that a specification has not.
func (s Step) fits(spec *schema.Spec) error {
	var hosts []string
	switch s.Verb {
	case Kill, Boot, Stop, Start, Unplug, Plug, Maintenance, Check:
		hosts = s.Args[:1]
	case Split:
		hosts = s.Args
	case Drift:
		if id := driftID(s.Args[0]); !has(spec, id) {
			return fmt.Errorf("%s: the specification has no %s", s, id)
		}
	case Expect:
		switch s.Args[0] {
		case "served", "unserved":
			if _, err := entry(topology.New(spec), s.Args[1]); err != nil {
				return fmt.Errorf("%s: %w", s, err)
			}
			return nil
		case "active":
		default:
			return nil
		}
		if _, known := spec.VirtualRouters[s.Args[1]]; !known {
			return fmt.Errorf("%s: the specification has no Virtual Router %q; there are %s", s, s.Args[1], list(sorted(spec.VirtualRouters)))
		}
		if s.Args[2] != nobody {
			hosts = s.Args[2:]
		}
	}
	for _, h := range hosts {
		if _, known := spec.Hosts[h]; !known {
			return fmt.Errorf("%s: the specification has no host %q; there are %s", s, h, list(sorted(spec.Hosts)))
		}
	}
	if s.Verb == Check {
		if _, known := spec.Checks[s.Args[1]]; !known {
			return fmt.Errorf("%s: the specification has no check %q; there are %s", s, s.Args[1], list(sorted(spec.Checks)))
		}
	}
	return nil
}

const nobody = "nobody"

func driftID(text string) schema.ID {
	kind, name, _ := strings.Cut(text, "/")
	return schema.ID{Kind: schema.Kind(kind), Name: name}
}

// has tells whether the specification has a pool or record, the records that
// hactl makes for a tunnel's hostnames among them.
func has(spec *schema.Spec, id schema.ID) bool {
	return slices.ContainsFunc(spec.Objects(), func(o schema.Object) bool { return o.ID() == id })
}

func list(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// Step plays one step.
func (p *Player) Step(ctx context.Context, s Step) (*Outcome, error) {
	if p.world.spec != nil {
		if err := s.fits(p.world.spec); err != nil {
			return nil, err
		}
	}
	if p.Begun != nil {
		p.Begun(s)
	}
	o, err := p.play(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s, err)
	}
	if s.Verb != Say && s.Verb != Expect {
		p.last = o
	}
	if p.Ended != nil {
		p.Ended(o)
	}
	return o, nil
}

func (p *Player) play(ctx context.Context, s Step) (*Outcome, error) {
	o := &Outcome{Step: s, At: time.Now()}
	switch s.Verb {
	case Say:
		return o, nil
	case Wait:
		d, err := length(s.Args[0])
		if err != nil {
			return nil, err
		}
		return o, pause(ctx, d)
	case Expect:
		return o, p.expect(ctx, s, o)
	case Drift:
		return o, p.drift(ctx, driftID(s.Args[0]), o)
	}
	active := p.active(p.Lab.Hosts(ctx))
	silenced := map[string]bool{}
	p.world.remember()
	if err := p.act(ctx, s, o, active, silenced); err != nil {
		return nil, err
	}
	if p.world.spec == nil {
		return nil, fmt.Errorf("the specification does not evaluate, so that nothing can be played: %s", o.Why)
	}
	return o, p.settle(ctx, o, p.world.predict(active, silenced))
}

// act does what a step says, and notes it in the world. o.At is when.
func (p *Player) act(ctx context.Context, s Step, o *Outcome, active map[string][]string, silenced map[string]bool) error {
	w, now := p.world, func() { o.At = time.Now() }
	host := ""
	if len(s.Args) > 0 {
		host = s.Args[0]
	}
	switch s.Verb {
	case Push, Edit, Revert, Mistake, Maintenance:
		now()
		return p.push(ctx, s, o)
	case Kill, Boot:
		switch {
		case s.Verb == Kill && w.off[host]:
			return errors.New("it has no power already")
		case s.Verb == Boot && !w.off[host]:
			return errors.New("it has power already")
		case s.Verb == Kill:
			p.await(ctx, host, active)
			silenced[host] = true
		}
		now()
		w.off[host], w.dead[host] = s.Verb == Kill, s.Verb == Kill
		return p.Lab.Power(ctx, host, s.Verb == Boot)
	case Stop, Start:
		switch {
		case w.off[host]:
			return errors.New("it has no power")
		case s.Verb == Stop && w.dead[host]:
			return errors.New("hactl run is stopped there already")
		case s.Verb == Start && !w.dead[host]:
			return errors.New("hactl run is started there already")
		}
		now()
		w.dead[host] = s.Verb == Stop
		return p.Lab.Run(ctx, host, s.Verb == Start)
	case Unplug, Plug:
		iface := ""
		if len(s.Args) > 1 {
			iface = s.Args[1]
		}
		if err := w.canCable(host, iface, s.Verb == Plug); err != nil {
			return err
		}
		if s.Verb == Unplug {
			p.await(ctx, host, active)
			silenced[host] = true
		}
		now()
		if w.unplugged[host] == nil {
			w.unplugged[host] = map[string]bool{}
		}
		if w.unplugged[host][iface] = s.Verb == Unplug; s.Verb == Plug && iface == "" {
			w.unplugged[host] = nil
		}
		return p.Lab.Cable(ctx, host, iface, s.Verb == Plug)
	case Split:
		if w.apart != nil {
			return errors.New("there is a split already: heal it first")
		}
		now()
		w.apart = slices.Clone(s.Args)
		return p.Lab.Split(ctx, s.Args, true)
	case Heal:
		if w.apart == nil {
			return errors.New("there is no split")
		}
		now()
		hosts := w.apart
		w.apart = nil
		return p.Lab.Split(ctx, hosts, false)
	case Service:
		now()
		up := s.Args[1] == "up"
		p.down[s.Args[0]] = !up
		if u := p.unseen; u != nil && !p.down["git"] {
			p.unseen, o.Revision = nil, u.revision
			if u.spec != nil {
				p.head, o.Impact = u.revision, impact(w.spec, u.spec)
				w.follow(u.spec)
			}
		}
		return p.Lab.Service(ctx, s.Args[0], up)
	case Check:
		now()
		if w.failing[host] == nil {
			w.failing[host] = map[string]bool{}
		}
		w.failing[host][s.Args[1]] = s.Args[2] == "fail"
		return p.Lab.Check(ctx, host, s.Args[1], s.Args[2] == "fail")
	}
	return fmt.Errorf("there is no step %q", s.Verb)
}

// await waits for the next advertisement of a host that is Active, of the
// Virtual Router that sends the fewest: the worst moment to die at. Where there
// is none, any moment will do.
func (p *Player) await(ctx context.Context, host string, active map[string][]string) {
	var slowest *schema.VirtualRouter
	name := ""
	for router, hosts := range active {
		v, ok := p.world.spec.VirtualRouters[router]
		if ok && slices.Contains(hosts, host) && (slowest == nil || v.Interval > slowest.Interval || v.Interval == slowest.Interval && router < name) {
			slowest, name = &v, router
		}
	}
	if slowest == nil {
		return
	}
	since := time.Now()
	for time.Since(since) < 2*time.Duration(slowest.Interval) && ctx.Err() == nil {
		if len(p.of(name, host, p.Lab.Adverts(since))) > 0 {
			return
		}
		_ = pause(ctx, time.Millisecond)
	}
}

// of are the advertisements that are a host's for a Virtual Router.
func (p *Player) of(router, host string, adverts []Advert) (mine []Advert) {
	m, ok := p.world.members[router][host]
	if !ok {
		return nil
	}
	six := p.world.spec.VirtualRouters[router].Address().Is6()
	for _, a := range adverts {
		if a.Host == host && a.VRID == m.VRID && a.Interface == m.Interface && a.IPv6 == six {
			mine = append(mine, a)
		}
	}
	return mine
}

// active are the Active hosts of every Virtual Router, sorted.
func (p *Player) active(hosts map[string]Host) map[string][]string {
	all := map[string][]string{}
	for _, name := range sorted(hosts) {
		for router, r := range hosts[name].Routers {
			if r.State == "active" || r.State == "releasing" {
				all[router] = append(all[router], name)
			}
		}
	}
	return all
}

// drift changes an object at the edge, and waits for that to be undone.
func (p *Player) drift(ctx context.Context, id schema.ID, o *Outcome) error {
	if err := p.Lab.Drift(ctx, id); err != nil {
		return err
	}
	limit := 2*p.Resync + 15*time.Second
	for time.Since(o.At) < limit {
		still, err := p.Lab.Drifted(ctx, id)
		if err != nil {
			return err
		}
		if !still {
			o.Corrected, o.Resync = lasted(time.Since(o.At)), schema.Duration(p.Resync)
			o.Took = o.Corrected
			return nil
		}
		if err := pause(ctx, lookAgain); err != nil {
			return err
		}
	}
	o.Took = lasted(time.Since(o.At))
	o.deviates("%s is not as the specification has it after %s", id, limit)
	return nil
}

// expect compares with what a script says.
func (p *Player) expect(ctx context.Context, s Step, o *Outcome) error {
	last := p.last
	if last == nil {
		return errors.New("nothing has been played yet")
	}
	switch s.Args[0] {
	case "active":
		hosts := p.active(p.Lab.Hosts(ctx))[s.Args[1]]
		want := []string{s.Args[2]}
		if s.Args[2] == nobody {
			want = nil
		}
		if !slices.Equal(hosts, want) {
			o.deviates("%s is Active for %s, and %s was expected", list(hosts), s.Args[1], list(want))
		}
	case "silence":
		most, err := length(s.Args[1])
		if err != nil {
			return err
		}
		for _, r := range last.Routers {
			if time.Duration(r.Quiet) > most {
				o.deviates("%s did not answer for %s, and at most %s was expected", r.Router, round(r.Quiet), most)
			}
		}
	case "refused":
		if last.Refused == 0 {
			o.deviates("%s was not refused", last.Step)
		}
	case "served", "unserved":
		c, err := entry(p.world.model, s.Args[1])
		if err != nil {
			return err
		}
		if served := p.world.model.Served(c, p.world.failed()...); served != (s.Args[0] == "served") {
			o.deviates("%s is %s", s.Args[1], map[bool]string{true: "served", false: "not served"}[served])
		}
	}
	return nil
}

// entry is an entry point by its name.
func entry(m *topology.Model, name string) (*topology.Entry, error) {
	var names []string
	for _, e := range m.Entries() {
		if e.ID() == name {
			return e, nil
		}
		names = append(names, e.ID())
	}
	return nil, fmt.Errorf("the specification has no entry point %q; there are %s", name, list(names))
}

func (o *Outcome) deviates(format string, args ...any) {
	o.Deviations = append(o.Deviations, fmt.Sprintf(format, args...))
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// addresses are a Virtual Router's.
func addresses(v schema.VirtualRouter) (all []netip.Addr) {
	for _, text := range slices.Concat(v.Addresses, v.ExcludedAddresses) {
		if prefix, err := netip.ParsePrefix(text); err == nil {
			all = append(all, prefix.Addr())
		}
	}
	return all
}
