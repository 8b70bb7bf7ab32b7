package vrrp

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// lan is a simulated LAN on virtual time: routers, one client whose neighbour
// cache believes the last announcement, and everything that can go wrong.
type lan struct {
	rng    *rand.Rand
	now    time.Duration
	seq    uint64
	queue  lanQueue
	nodes  []*lanNode
	faulty func(int) // runs the scenario's steps, by index
	log    *strings.Builder

	// What is wrong.
	loss, dup float64
	jitter    time.Duration
	cut       [6][6]bool // advertisements from, to
	last      [lanStep][6][7]time.Duration
	side      [6]int // full partition; the client's is client
	client    int

	// What is seen.
	cache       int           // whom the client believes, or -1
	wholeSince  time.Duration // since when cache is the only Active and holds; Never if not
	dualSince   time.Duration // since when there are two Actives; Never if not
	longestDual time.Duration
	bareSince   time.Duration // since when the client's router does not hold the address
	longestBare time.Duration
	transitions int
	moved       time.Duration    // when the last transition was
	instant     time.Duration    // takeovers that close together are a tie
	listen      time.Duration    // how much longer than usual a start may take
	active      [2]time.Duration // when the last takeover of a Virtual Router was
	tied        bool
}

// router is a Machine or a keepalived.
type router interface {
	Handle(time.Duration, Event) []Action
	Deadline() time.Duration
	State() State
	Append([]byte, netip.Addr, uint8) []byte
}

type lanNode struct {
	id     int
	router router
	cfg    Config
	holds  []netip.Addr
	wake   time.Duration
	paused bool
	dead   bool
	down   bool // link
	queue  []lanEvent
	packet Packet

	vr       int        // Virtual Router; 0 but for groups
	group    *Group     // of the host's nodes
	siblings []*lanNode // by member, this one among them
}

type lanKind uint8

const (
	lanWake lanKind = iota
	lanPacket
	lanAnnouncement
	lanStep
)

type lanEvent struct {
	at       time.Duration
	seq      uint64
	kind     lanKind
	from, to int // to is a node, or len(nodes) for the client; lanStep: the step
	length   int
	data     [64]byte
}

type lanQueue []lanEvent

func (q lanQueue) Len() int           { return len(q) }
func (q lanQueue) Less(i, j int) bool { return q[i].before(&q[j]) }
func (q lanQueue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *lanQueue) Push(x any)        { *q = append(*q, x.(lanEvent)) }
func (q *lanQueue) Pop() any          { e := (*q)[len(*q)-1]; *q = (*q)[:len(*q)-1]; return e }

func (e *lanEvent) before(o *lanEvent) bool {
	return e.at < o.at || e.at == o.at && e.seq < o.seq
}

// push is heap.Push without the interface.
func (l *lan) push(e lanEvent) {
	l.seq++
	e.seq = l.seq
	l.queue = append(l.queue, e)
	heap.Fix(&l.queue, len(l.queue)-1)
}

func (l *lan) pop() lanEvent {
	e := l.queue[0]
	last := len(l.queue) - 1
	l.queue[0] = l.queue[last]
	l.queue = l.queue[:last]
	if last > 0 {
		heap.Fix(&l.queue, 0)
	}
	return e
}

func (l *lan) logf(format string, args ...any) {
	if l.log != nil {
		fmt.Fprintf(l.log, "%12v %s\n", l.now, fmt.Sprintf(format, args...))
	}
}

func (l *lan) at(at time.Duration, step int) { l.push(lanEvent{at: at, kind: lanStep, to: step}) }

// latency of a switched LAN: 50 to 200 µs.
func (l *lan) latency() time.Duration {
	return time.Duration(50+l.rng.IntN(150))*time.Microsecond + time.Duration(l.rng.Int64N(int64(l.jitter)+1))
}

const maxLatency = 200 * time.Microsecond

// reaches reports whether a frame gets from a node to another, or the client.
func (l *lan) reaches(from, to int) bool {
	if l.nodes[from].down {
		return false
	}
	if to == len(l.nodes) {
		return l.side[from] == l.client
	}
	return !l.nodes[to].down && l.nodes[from].vr == l.nodes[to].vr && l.side[from] == l.side[to]
}

func (l *lan) transmit(e lanEvent, copies int) {
	for to := 0; to <= len(l.nodes); to++ {
		e.to = to
		if to == e.from || !l.reaches(e.from, to) || e.kind == lanPacket && (to == len(l.nodes) || l.cut[e.from][to]) {
			continue
		}
		arrived := false
		for range copies {
			arrived = arrived || l.rng.Float64() >= l.loss
		}
		if !arrived {
			continue
		}
		e.at = l.now + l.latency()
		if last := &l.last[e.kind][e.from][to]; l.jitter == 0 {
			// A switch keeps the order of a kind; a host does not keep that
			// of advertisements among announcements.
			e.at = max(e.at, *last+1)
			*last = e.at
		}
		l.push(e)
		if l.dup > 0 && l.rng.Float64() < l.dup {
			e.at = l.now + l.latency()
			l.push(e)
		}
	}
}

// give hands an event to a node and does what comes of it.
func (l *lan) give(n *lanNode, ev Event) {
	if n.dead {
		return
	}
	if n.group != nil {
		for _, a := range n.group.Handle(l.now, n.vr, ev) {
			l.do(n.siblings[a.Member], a.Action)
		}
		for _, s := range n.siblings {
			l.rearm(s)
		}
		return
	}
	for _, a := range n.router.Handle(l.now, ev) {
		if a.Kind != ActionNote || l.log != nil {
			l.do(n, a)
		}
	}
	l.rearm(n)
	l.observe()
}

func (l *lan) rearm(n *lanNode) {
	if d := n.router.Deadline(); d != n.wake && d != Never {
		l.push(lanEvent{at: max(d, l.now), kind: lanWake, to: n.id})
		n.wake = d
	}
}

func (l *lan) do(n *lanNode, a Action) {
	l.logf("router %d: %v", n.id, a)
	switch a.Kind {
	case ActionSend:
		e := lanEvent{kind: lanPacket, from: n.id}
		e.length = len(n.router.Append(e.data[:0], MulticastAddress(n.cfg.IPv6()), a.Priority))
		l.transmit(e, 1)
	case ActionAdd:
		for _, v := range a.Addresses {
			if !slices.Contains(n.holds, v) {
				n.holds = append(n.holds, v)
			}
		}
	case ActionRemove:
		n.holds = slices.DeleteFunc(n.holds, func(v netip.Addr) bool { return slices.Contains(a.Addresses, v) })
	case ActionAnnounce:
		if a.Addresses[0] == n.cfg.Addresses[0] {
			l.transmit(lanEvent{kind: lanAnnouncement, from: n.id}, int(a.Repeat))
		}
	case ActionTransition:
		l.transitions++
		if a.To == StateActive {
			l.tied = l.tied || l.instant > 0 && l.active[n.vr] > 0 && l.now-l.active[n.vr] <= l.instant
			l.active[n.vr] = l.now
		}
		l.moved = l.now
	}
}

// observe notes what an operator would complain about.
func (l *lan) observe() {
	actives, sole := 0, -1
	for _, n := range l.nodes {
		if !n.dead && n.router.State() == StateActive {
			actives++
			sole = n.id
		}
	}
	if actives > 1 {
		l.dualSince = min(l.dualSince, l.now)
		l.longestDual = max(l.longestDual, l.now-l.dualSince)
	} else if l.dualSince != Never {
		l.longestDual = max(l.longestDual, l.now-l.dualSince)
		l.dualSince = Never
	}
	whole := actives == 1 && sole == l.cache && len(l.nodes[sole].holds) > 0
	if !whole {
		l.wholeSince = Never
	} else if l.wholeSince == Never {
		l.wholeSince = l.now
	}
	bare := l.cache >= 0 && !slices.Contains(l.nodes[l.cache].holds, l.nodes[l.cache].cfg.Addresses[0])
	if bare {
		l.bareSince = min(l.bareSince, l.now)
		l.longestBare = max(l.longestBare, l.now-l.bareSince)
	} else if l.bareSince != Never {
		l.longestBare = max(l.longestBare, l.now-l.bareSince)
		l.bareSince = Never
	}
}

// run plays until a time. A paused router's packets queue up; see resume.
func (l *lan) run(until time.Duration) {
	for len(l.queue) > 0 && l.queue[0].at <= until {
		e := l.pop()
		l.now = max(l.now, e.at)
		switch e.kind {
		case lanStep:
			l.faulty(e.to)
		case lanWake:
			n := l.nodes[e.to]
			if n.wake == e.at {
				n.wake = Never
			}
			if !n.paused {
				l.give(n, Timeout{})
			}
		default:
			if e.to == len(l.nodes) {
				l.logf("client: router %d has it", e.from)
				l.cache = e.from
				l.observe()
				continue
			}
			l.deliver(l.nodes[e.to], &e)
		}
	}
	l.now = until
	l.observe()
}

func (l *lan) deliver(n *lanNode, e *lanEvent) {
	if n.dead || n.down {
		return
	}
	if n.paused {
		if len(n.queue) < 32 {
			n.queue = append(n.queue, *e)
		}
		return
	}
	from := l.nodes[e.from]
	if e.kind == lanAnnouncement {
		l.give(n, ForeignClaim{from.cfg.Addresses[0]})
		return
	}
	n.packet = Packet{Source: from.cfg.Source, Destination: MulticastAddress(n.cfg.IPv6()), TTL: 255, Message: e.data[:e.length]}
	if m, ok := n.router.(*Machine); ok {
		if vrid, _ := VRID(n.packet.Message); vrid != n.cfg.VRID {
			if m.Overhears() {
				l.give(n, (*Foreign)(&n.packet))
			}
			return
		}
	}
	l.give(n, &n.packet)
}

// resume does what the host has to after a pause: first what is queued, then
// the timers.
func (l *lan) resume(n *lanNode) {
	if !n.paused {
		return
	}
	n.paused = false
	for i := range n.queue {
		l.deliver(n, &n.queue[i])
	}
	n.queue = n.queue[:0]
	l.give(n, Timeout{})
}

// boot starts a router anew, with the addresses that are still there.
func (l *lan) boot(n *lanNode, resume *Snapshot) {
	n.dead, n.paused, n.queue = false, false, n.queue[:0]
	n.wake = Never
	if _, ok := n.router.(*keepalived); ok {
		n.router = newKeepalived(n.cfg)
	} else {
		m, err := New(n.cfg)
		if err != nil {
			panic(err)
		}
		n.router = m
	}
	if n.down {
		if _, ok := n.router.(*keepalived); !ok {
			l.give(n, Link(false))
		}
	}
	l.give(n, Startup{Resume: resume})
}
