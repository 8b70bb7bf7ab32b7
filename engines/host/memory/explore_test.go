package memory_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hactl/hactl/engines/host"
	"github.com/hactl/hactl/engines/host/memory"
)

var (
	exploreSeed = flag.Uint64("explore.seed", 0, "play this seed only, and print what happens")
	exploreMore = flag.Uint64("explore.seeds", 20, "so many seeds")
)

const delay = 20 * time.Second // ActivationDelay

// TestStagesInTrouble changes what the members of two Virtual Routers have to agree
// on, and moves addresses from one to the other, while hosts crash, come back
// with the newest revision or an older one, are cut off, or lose a link. Two that
// hear each other never have one address for longer than a hand-over takes,
// unless one was Active on its own side of a cut while the others moved on, until
// it has done so as well, or unless they cannot know (see unheard); in the end each
// address is at one host, and everybody runs the last revision.
func TestStagesInTrouble(t *testing.T) {
	from, to := uint64(1), *exploreMore
	if *exploreSeed > 0 {
		from, to = *exploreSeed, *exploreSeed
	}
	for seed := from; seed <= to && !t.Failed(); seed++ {
		synctest.Test(t, func(t *testing.T) { newTrouble(t, seed).play() })
	}
}

// trouble is a story of three hosts.
type trouble struct {
	t     *testing.T
	seed  uint64
	rng   *rand.Rand
	began time.Time
	lan   *memory.LAN
	hosts []*member
	log   []string

	revisions []revision // published so far, the last is the newest
	double    map[string]time.Time
	hit       *member             // by the last trouble of this revision
	twice     map[netip.Addr]bool // unheard in it
	agenda    []plan

	mu sync.Mutex // of the log, and of on, cut and has, which the LAN asks for
}

// plan is something to come.
type plan struct {
	at time.Time
	do func()
}

// revision is a whole specification: the parameters of the routers by name.
type revision map[string]host.Parameters

type member struct {
	*memory.Node
	priority map[string]uint8
	has      int // revision
	on, cut  bool
	missed   bool      // it was cut off while a revision came, and has not learned since
	excused  time.Time // until then
}

func newTrouble(t *testing.T, seed uint64) *trouble {
	d := &trouble{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 11)), began: time.Now(), lan: memory.NewLAN(), double: map[string]time.Time{}}
	for i := range 3 {
		n := d.lan.Join(fmt.Sprintf("h%d", i+1), netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)}))
		m := &member{Node: n, has: -1}
		n.Observe(func(ev host.Event) {
			d.note("%s: %s %s -> %s (%s)", n.Name(), ev.Router, ev.From, ev.To, ev.Cause)
		})
		n.Behind(func(string) bool {
			d.mu.Lock()
			defer d.mu.Unlock()
			return slices.ContainsFunc(d.hosts, func(o *member) bool { return o.on && o.cut == m.cut && o.has < m.has })
		})
		d.hosts = append(d.hosts, m)
	}
	for _, name := range []string{"a", "b"} {
		for i, p := range d.rng.Perm(3) {
			if d.hosts[i].priority == nil {
				d.hosts[i].priority = map[string]uint8{}
			}
			d.hosts[i].priority[name] = uint8(100 + 25*p)
		}
	}
	first := revision{}
	for i, name := range []string{"a", "b"} {
		p := host.Parameters{Version: 3, VRID: uint8(50 + 10*i), Interval: time.Second, Addresses: addresses(byte(50+10*i), byte(51+10*i))}
		if d.rng.IntN(2) == 0 {
			p.Version, p.Password = 2, "first"
		}
		first[name] = p
	}
	d.revisions = []revision{first}
	d.lan.Cut(func(from, to string) bool {
		d.mu.Lock()
		defer d.mu.Unlock()
		return d.host(from).cut != d.host(to).cut
	})
	return d
}

func addresses(last ...byte) (out []host.Address) {
	for _, n := range last {
		out = append(out, host.Address{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 0, n}), 32)})
	}
	return out
}

func (d *trouble) host(name string) *member {
	return d.hosts[slices.IndexFunc(d.hosts, func(m *member) bool { return m.Name() == name })]
}

func (d *trouble) note(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.log = append(d.log, fmt.Sprintf("%10s %s", time.Since(d.began), fmt.Sprintf(format, args...)))
}

// set changes what the LAN asks for.
func (d *trouble) set(change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
}

func (d *trouble) after(t time.Duration, do func()) {
	d.agenda = append(d.agenda, plan{time.Now().Add(t), do})
	slices.SortStableFunc(d.agenda, func(a, b plan) int { return a.at.Compare(b.at) })
}

// pass does what is planned within a time, and watches.
func (d *trouble) pass(t time.Duration) {
	for until := time.Now().Add(t); time.Now().Before(until); {
		next := time.Now().Add(50 * time.Millisecond)
		if len(d.agenda) > 0 && d.agenda[0].at.Before(next) {
			next = d.agenda[0].at
		}
		time.Sleep(time.Until(next))
		for len(d.agenda) > 0 && !d.agenda[0].at.After(time.Now()) {
			do := d.agenda[0].do
			d.agenda = d.agenda[1:]
			do()
		}
		d.watch()
	}
}

// next is another revision: one or two changes.
func (d *trouble) next() revision {
	r := revision{}
	for name, p := range d.revisions[len(d.revisions)-1] {
		p.Addresses = slices.Clone(p.Addresses)
		r[name] = p
	}
	for range 1 + d.rng.IntN(2) {
		name, other := "a", "b"
		if d.rng.IntN(2) == 0 {
			name, other = other, name
		}
		p, o := r[name], r[other]
		switch d.rng.IntN(5) {
		case 0:
			p.VRID = p.VRID/10*10 + (p.VRID+1+uint8(d.rng.IntN(3)))%10
		case 1:
			p.Version = 5 - p.Version
			p.Password = ""
		case 2:
			if p.Version == 2 {
				p.Password = fmt.Sprint("n", d.rng.IntN(1000))
			}
		default:
			if last := len(p.Addresses) - 1; last > 0 {
				o.Addresses = append(o.Addresses, p.Addresses[last])
				p.Addresses = p.Addresses[:last]
			}
		}
		r[name], r[other] = p, o
	}
	return r
}

// learn has a host run a revision, unless it has a newer one.
func (d *trouble) learn(m *member, revision int) {
	if !m.on || m.cut || revision <= m.has {
		return
	}
	d.give(m, revision)
	m.missed = false
}

func (d *trouble) give(m *member, revision int) {
	c := host.Config{Host: m.Name(), Revision: fmt.Sprint(revision)}
	for _, name := range []string{"a", "b"} {
		c.Routers = append(c.Routers, host.Router{
			Name: name, Interface: "eth0", Parameters: d.revisions[revision][name], Priority: m.priority[name], ActivationDelay: delay,
		})
	}
	d.set(func() { m.has = revision })
	d.note("%s learns revision %d", m.Name(), revision)
	if err := m.Configure(c); err != nil {
		d.t.Errorf("seed %d: %v", d.seed, err)
	}
}

// fetch has a host learn the newest within the delay, once it can.
func (d *trouble) fetch(m *member) {
	newest := len(d.revisions) - 1
	d.after(d.upTo(delay-time.Second), func() { d.learn(m, newest) })
}

func (d *trouble) upTo(t time.Duration) time.Duration { return time.Duration(d.rng.Int64N(int64(t))) }

// boot starts a host, with what it kept on its disk, or nothing.
func (d *trouble) boot(m *member) {
	newest, kept := len(d.revisions)-1, m.has
	d.set(func() { m.on, m.missed, m.has = true, false, -1 })
	m.Boot()
	if d.rng.IntN(2) == 0 {
		d.note("%s comes back with the newest", m.Name())
		d.give(m, newest)
		return
	}
	d.note("%s comes back with what it had", m.Name())
	d.give(m, max(kept, 0))
	d.fetch(m)
}

func (d *trouble) play() {
	for _, m := range d.hosts {
		d.set(func() { m.on = true })
		m.Boot()
		d.give(m, 0)
	}
	d.pass(15 * time.Second)
	for range 4 {
		d.hit, d.twice = nil, map[netip.Addr]bool{}
		d.revisions = append(d.revisions, d.next())
		d.note("revision %d: %+v", len(d.revisions)-1, d.revisions[len(d.revisions)-1])
		for _, m := range d.hosts {
			m.missed = m.missed || m.on && m.cut
			d.fetch(m)
		}
		if d.rng.IntN(4) > 0 {
			d.plan(d.hosts[d.rng.IntN(3)])
		}
		d.pass(8 * delay)
	}
	for _, m := range d.hosts {
		d.learn(m, len(d.revisions)-1)
	}
	d.pass(10 * delay)
	d.end()
	for _, m := range d.hosts {
		m.Crash()
	}
	if d.t.Failed() || *exploreSeed > 0 {
		d.t.Logf("seed %d:\n%s", d.seed, strings.Join(d.log, "\n"))
	}
}

// plan has something happen to a host, and mends it.
func (d *trouble) plan(m *member) {
	what, at := d.rng.IntN(3), d.upTo(3*delay)
	d.after(at, func() {
		d.hit = m
		switch what {
		case 0:
			d.note("%s crashes", m.Name())
			d.set(func() { m.on = false })
			m.Crash()
		case 1:
			d.note("%s is cut off", m.Name())
			d.set(func() { m.cut, m.missed = true, m.has < len(d.revisions)-1 })
		case 2:
			d.note("%s loses its link", m.Name())
			m.Cable("eth0", false)
		}
	})
	d.after(at+d.upTo(3*delay), func() {
		switch what {
		case 0:
			d.boot(m)
		case 1:
			d.note("%s is heard again", m.Name())
			d.set(func() { m.cut = false })
			d.fetch(m)
		case 2:
			d.note("%s has its link again", m.Name())
			m.Cable("eth0", true)
		}
	})
}

// watch looks for two that have one address and hear each other.
func (d *trouble) watch() {
	for last := byte(50); last < 62; last++ {
		address := netip.AddrFrom4([4]byte{10, 0, 0, last})
		sides := map[bool][]string{}
		for _, name := range d.lan.Holders(address) {
			m := d.host(name)
			if m.missed && !m.cut {
				m.excused = time.Now().Add(delay + 5*time.Second) // Its own change takes that long.
			}
			if time.Now().After(m.excused) {
				sides[m.cut] = append(sides[m.cut], name)
			}
		}
		for _, cut := range []bool{false, true} {
			key, names := fmt.Sprint(address, cut), sides[cut]
			if len(names) > 1 && d.unheard(address, names) {
				d.twice[address] = true // Who takes over from either has it as well.
			}
			if len(names) < 2 || d.twice[address] {
				delete(d.double, key)
			} else if since, found := d.double[key]; !found {
				d.double[key] = time.Now()
			} else if time.Since(since) > 2500*time.Millisecond && !d.t.Failed() {
				d.note("!!! %v is at %v", address, names)
				d.t.Errorf("seed %d, after %s: %v is at %v", d.seed, time.Since(d.began), address, names)
			}
		}
	}
}

// unheard reports whether none of these can know of the other. One took over from
// a third, where a Backup listens to its own, and has not learned yet or is not
// through with its change, while the other heard nobody for two intervals. Or one
// came back, while in version 2 an address that is to come is held before it is
// advertised.
func (d *trouble) unheard(address netip.Addr, names []string) bool {
	if len(names) != 2 || d.hit == nil {
		return false
	}
	if !slices.Contains(names, d.hit.Name()) {
		return true
	}
	if d.host(names[0]).has == d.host(names[1]).has {
		return false
	}
	has := func(a host.Address) bool { return a.Prefix.Addr() == address }
	for _, r := range d.revisions[len(d.revisions)-2:] {
		for _, p := range r {
			if p.Version == 2 && slices.ContainsFunc(p.Addresses, has) {
				return true
			}
		}
	}
	return false
}

func (d *trouble) end() {
	newest := len(d.revisions) - 1
	for name, p := range d.revisions[newest] {
		for _, a := range p.Addresses {
			if at := d.lan.Holders(a.Prefix.Addr()); len(at) != 1 {
				d.t.Errorf("seed %d: in the end %v of %s is at %v", d.seed, a.Prefix, name, at)
			}
		}
	}
	for _, m := range d.hosts {
		if c := m.Config(); c.Revision != fmt.Sprint(newest) || slices.ContainsFunc(c.Routers, func(r host.Router) bool { return r.Staging != nil }) {
			d.t.Errorf("seed %d: in the end %s runs %s: %+v", d.seed, m.Name(), c.Revision, c.Routers)
		}
	}
}
