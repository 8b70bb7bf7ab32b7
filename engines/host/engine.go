package host

import (
	"fmt"
	"math"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hactl/hactl/engines/vrrp"
)

// Engine runs this host's Virtual Routers. Run is its loop; everything that
// touches its fields does so there. Others hand it functions through call.
type Engine struct {
	dir     string // runtime directory; empty in tests without one
	started time.Time
	epoch   int64         // CLOCK_MONOTONIC at time zero of the machines
	now     time.Duration // of this turn of the loop

	epoll, timer, wake int
	armed              time.Duration
	files              []file // by descriptor

	rtnl, news *rtnl
	announcer  *announcer
	receiver   *receiver
	sender     *sender
	packet     vrrp.Packet
	frame      []byte
	scratch    []byte
	claims     []claim
	heard      []netip.Addr // scratch of overhear
	overhearer []*router
	departed   []departure // not told yet

	links   map[string]*link
	byIndex map[int]*link
	routers []*router
	units   []*unit
	heap    deadlines
	retired []*router
	virtual map[netip.Addr]bool

	cfg         Config
	results     map[string]Result // of checks, by name
	filtered    rules             // what the packet filter does
	filtering   bool              // it is known what the packet filter does
	maintenance map[string]bool   // by command; "" is all
	stale       []staleAddress
	staleLinks  []string // macvlans, perhaps, of a former process
	dirty       bool
	resync      bool
	retryAt     time.Duration
	lingerAt    time.Duration // earliest of the routers'

	stopping, left bool
	scheduling     Scheduling
	lateness       Lateness
	turns, packets uint64
	overruns       uint64

	events chan Event
	lost   uint64

	mu    sync.Mutex
	calls []func()
	ended chan struct{}
}

type fileKind uint8

const (
	fileNone fileKind = iota
	fileTimer
	fileWake
	fileNews
	fileSocket
	fileWatch
)

type file struct {
	kind   fileKind
	link   *link
	socket *socket
	watch  *watch
}

// newEngine opens what every configuration needs, in the network namespace of
// the calling thread, and reads links and addresses.
func newEngine(dir string) (_ *Engine, err error) {
	e := &Engine{
		dir: dir, epoll: -1, timer: -1, wake: -1, armed: vrrp.Never, retryAt: vrrp.Never, lingerAt: vrrp.Never,
		links: map[string]*link{}, byIndex: map[int]*link{}, results: map[string]Result{}, maintenance: map[string]bool{},
		virtual: map[netip.Addr]bool{}, receiver: newReceiver(), sender: newSender(),
		scratch: make([]byte, 2048), events: make(chan Event, 1024), ended: make(chan struct{}),
	}
	if e.started, e.epoch, err = instant(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			e.close()
		}
	}()
	if e.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, os.NewSyscallError("epoll_create", err)
	}
	if e.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK); err != nil {
		return nil, os.NewSyscallError("timerfd_create", err)
	}
	if e.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return nil, os.NewSyscallError("eventfd", err)
	}
	// The subscription comes before the first reading, so that no change falls
	// between the two.
	if e.news, err = openRTNL(unix.RTNLGRP_LINK, unix.RTNLGRP_IPV4_IFADDR, unix.RTNLGRP_IPV6_IFADDR); err != nil {
		return nil, err
	}
	if e.rtnl, err = openRTNL(); err != nil {
		return nil, err
	}
	if e.announcer, err = newAnnouncer(); err != nil {
		return nil, err
	}
	for fd, kind := range map[int]fileKind{e.timer: fileTimer, e.wake: fileWake, e.news.fd: fileNews} {
		if err = e.poll(fd, file{kind: kind}); err != nil {
			return nil, err
		}
	}
	if e.stale, err = e.findStale(); err != nil {
		return nil, err
	}
	return e, nil
}

func (e *Engine) close() {
	for _, l := range e.links {
		e.closeLink(l)
	}
	for _, n := range []*rtnl{e.news, e.rtnl} {
		if n != nil {
			n.close()
		}
	}
	if e.announcer != nil {
		unix.Close(e.announcer.fd)
	}
	for _, fd := range []int{e.epoll, e.timer, e.wake} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

// poll adds a descriptor to the loop.
func (e *Engine) poll(fd int, f file) error {
	for len(e.files) <= fd {
		e.files = append(e.files, file{})
	}
	e.files[fd] = f
	ev := &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}
	if err := unix.EpollCtl(e.epoll, unix.EPOLL_CTL_ADD, fd, ev); err != nil {
		return fmt.Errorf("watch descriptor: %w", err)
	}
	return nil
}

// forget takes a descriptor out, before it is closed.
func (e *Engine) forget(fd int) {
	_ = unix.EpollCtl(e.epoll, unix.EPOLL_CTL_DEL, fd, nil)
	if fd < len(e.files) {
		e.files[fd] = file{}
	}
}

// instant is now by Go's clock and by CLOCK_MONOTONIC, which timers go by. What
// lies between the two readings makes every timer of this process late by that, so
// that of several the nearest counts. The second is never before the first: a timer
// that is early would be for nothing.
func instant() (now time.Time, monotonic int64, err error) {
	const near = 5 * time.Microsecond
	least := time.Duration(math.MaxInt64)
	for range 100 {
		var ts unix.Timespec
		begun := time.Now()
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
			return now, 0, os.NewSyscallError("clock_gettime", err)
		}
		if gap := time.Since(begun); gap < least {
			now, monotonic, least = begun, ts.Nano(), gap
		}
		if least < near {
			break
		}
	}
	return now, monotonic, nil
}

func (e *Engine) clock() time.Duration { return time.Since(e.started) }

// call has f run by the loop, between two turns, and waits for it. It reports
// false if the loop has ended.
func (e *Engine) call(f func()) bool {
	done := make(chan struct{})
	e.mu.Lock()
	e.calls = append(e.calls, func() { f(); close(done) })
	e.mu.Unlock()
	_, _ = unix.Write(e.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	select {
	case <-done:
		return true
	case <-e.ended:
		return false
	}
}

// tell hands an event to whoever listens; if nobody keeps up, it is lost.
func (e *Engine) tell(ev Event) {
	select {
	case e.events <- ev:
	default:
		e.lost++
	}
}

// Event is something that happened, for logs, hooks and status pages.
type Event struct {
	Time     time.Time  `json:"time"`
	Router   string     `json:"router,omitempty"`
	Link     string     `json:"link,omitempty"`
	Kind     string     `json:"kind"` // transition, drop, note, problem, link, configured
	From     string     `json:"from,omitempty"`
	To       string     `json:"to,omitempty"`
	Cause    string     `json:"cause,omitempty"`
	Reason   string     `json:"reason,omitempty"`
	Note     string     `json:"note,omitempty"`
	Source   netip.Addr `json:"source,omitzero"`
	Detail   string     `json:"detail,omitempty"`
	Repeated uint32     `json:"repeated,omitempty"` // equal ones left out before
	Retiring bool       `json:"retiring,omitempty"` // of a router that is not configured any more
}
