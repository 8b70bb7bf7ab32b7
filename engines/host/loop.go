package host

import (
	"errors"
	"net/netip"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/hactl/hactl/engines/vrrp"
)

const (
	// A turn reads at most so many batches from a socket, so that a flood
	// cannot keep our own advertisements from going out.
	maxBatches = 64
	// Later than this, what arrived meanwhile is read before timers are judged.
	lateTurn = time.Millisecond
	// How long until what the kernel refused is tried again.
	retryPeriod = time.Second
)

// run is the loop. It returns when all routers have let go after a shutdown, or
// have been handed over.
func (e *Engine) run(realTime bool) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(e.ended)
	if realTime {
		e.scheduling = realtime()
	} else {
		e.scheduling = Scheduling{Problems: "not asked for"}
	}
	events := make([]unix.EpollEvent, 128)
	for !e.left && !(e.stopping && len(e.routers) == 0) {
		e.arm()
		wait := -1
		if e.dirty {
			wait = 0 // news that were read while something waited for the kernel
		}
		n, err := unix.EpollWait(e.epoll, events, wait)
		if err != nil && !errors.Is(err, unix.EINTR) {
			panic("epoll_wait: " + err.Error())
		}
		e.turns++
		e.turn(events, max(n, 0))
	}
}

// turn handles what is ready. What was received comes before the timers: after
// a pause (SIGSTOP, a stalled host) the advertisements that have queued up
// tell more than the silence we slept through.
func (e *Engine) turn(events []unix.EpollEvent, n int) {
	e.now = e.clock()
	late := time.Duration(0)
	if len(e.heap) > 0 && e.heap[0].deadline <= e.now {
		late = e.now - e.heap[0].deadline
		e.lateness.add(late)
	}
	if late > lateTurn {
		// The descriptors may have become ready after epoll_wait returned.
		if more, err := unix.EpollWait(e.epoll, events, 0); err == nil {
			n = more
		}
	}
	watched, called := false, false
	for i := range events[:n] {
		fd := int(events[i].Fd)
		switch f := e.files[fd]; f.kind {
		case fileSocket:
			e.drain(f.link, f.socket)
		case fileNews:
			e.readNews()
		case fileWatch:
			watched = true
		case fileWake:
			called = true
		}
	}
	if watched {
		e.readWatches(events[:n])
	}
	if e.dirty || e.resync || e.now >= e.retryAt {
		e.refresh()
	}
	e.fire()
	if e.now >= e.lingerAt {
		e.lingerOver()
	}
	if called {
		e.runCalls()
	}
	for len(e.retired) > 0 {
		e.bury()
	}
}

// fire gives due machines their timeout. Each at most once per turn.
func (e *Engine) fire() {
	e.now = e.clock()
	for range len(e.heap) {
		u := e.heap[0]
		if u.deadline > e.now {
			return
		}
		e.packet.Source = netip.Addr{}
		e.handle(u.members[0], vrrp.Timeout{})
		if u.heap == 0 && u.deadline <= e.now {
			return // wants another one; the next turn brings it
		}
	}
}

// arm sets the timer to the earliest deadline. It is absolute, so that the
// time between now and the call does not add up. A deadline that has become
// later leaves the timer as it is: it fires for nothing then, once, where each
// advertisement that a Backup hears would cost a system call.
func (e *Engine) arm() {
	next := min(e.retryAt, e.lingerAt)
	if len(e.heap) > 0 {
		next = min(next, e.heap[0].deadline)
	}
	if next == e.armed || e.armed < next && e.armed > e.now {
		return
	}
	e.armed = next
	var spec unix.ItimerSpec
	if next != vrrp.Never {
		spec.Value = unix.NsecToTimespec(max(e.epoch+int64(next), 1))
	}
	unix.RawSyscall6(unix.SYS_TIMERFD_SETTIME, uintptr(e.timer), unix.TFD_TIMER_ABSTIME, uintptr(unsafe.Pointer(&spec)), 0, 0, 0)
}

// drain reads a raw socket and gives each packet to the routers of its VRID.
func (e *Engine) drain(l *link, s *socket) {
	for range maxBatches {
		n, errno := e.receiver.receive(s.fd)
		if errno != 0 {
			// EAGAIN: done. Anything else (ENETDOWN, once) is told by netlink too.
			return
		}
		e.packets += uint64(n)
		for i := range n {
			var ok bool
			if s.v6 {
				ok = e.receiver.packet6(i, &e.packet)
			} else {
				ok = e.receiver.packet4(i, &e.packet)
			}
			vrid, long := vrrp.VRID(e.packet.Message)
			if !ok || !long {
				l.broken++
				continue
			}
			routers := l.table[family(s.v6)][vrid]
			e.overhear(l, s.v6, routers)
			if len(routers) == 0 {
				l.unknown++
				continue
			}
			for _, r := range routers {
				e.handle(r, &e.packet)
			}
		}
		if n < batch {
			return
		}
	}
	e.overruns++
}

// readWatches reads claims, then advertisements once more: whoever takes over
// advertises before it announces, and has to be heard in that order.
func (e *Engine) readWatches(events []unix.EpollEvent) {
	for i := range events {
		f := e.files[events[i].Fd]
		if f.kind != fileWatch {
			continue
		}
		e.claims = f.watch.receive(e.claims[:0], e.scratch, 256)
		for _, s := range f.link.sockets {
			if s != nil && len(e.claims) > 0 {
				e.drain(f.link, s)
			}
		}
		e.packet.Source = netip.Addr{}
		for _, c := range e.claims {
			e.claimed(f.link, c)
		}
	}
}

func (e *Engine) claimed(l *link, c claim) {
	for _, r := range e.routers {
		if r.unit == nil || r.carrier != l || c.mac == l.kernel.mac || c.mac == r.home.kernel.mac {
			continue
		}
		e.lingerClaimed(r, c.addr)
		if _, ours := r.addresses[c.addr]; ours && r.machine.State() == vrrp.StateActive {
			e.handle(r, vrrp.ForeignClaim{Address: c.addr})
		}
	}
}

func (e *Engine) runCalls() {
	var count [8]byte
	_, _ = unix.Read(e.wake, count[:])
	e.mu.Lock()
	calls := e.calls
	e.calls = nil
	e.mu.Unlock()
	e.packet.Source = netip.Addr{}
	for _, f := range calls {
		f()
	}
}

// Lateness says how far behind its deadline the loop woke up.
type Lateness struct {
	Max     time.Duration `json:"max"`
	Wakes   uint64        `json:"wakes"`
	Buckets [24]uint64    `json:"buckets"` // bucket i: less than 2^i microseconds
}

func (l *Lateness) add(d time.Duration) {
	l.Wakes++
	l.Max = max(l.Max, d)
	b := 0
	for us := d / time.Microsecond; us > 0 && b < len(l.Buckets)-1; us >>= 1 {
		b++
	}
	l.Buckets[b]++
}
