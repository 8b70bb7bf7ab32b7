package host

import (
	"errors"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// readNews takes in what the kernel says about links and addresses. It reads
// all there is before anything follows from it, so that our own change and its
// echo are seen together.
func (e *Engine) readNews() {
	for {
		n, _, err := unix.Recvfrom(e.news.fd, e.news.recv, unix.MSG_DONTWAIT)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ENOBUFS):
			e.resync = true // messages were lost
			continue
		case err != nil || n == 0:
			return
		}
		walk(e.news.recv[:n], func(kind uint16, _ uint32, body []byte) { e.hear(kind, body) })
	}
}

// awaitLimit bounds what a takeover waits for the kernel.
const awaitLimit = 10 * time.Millisecond

// await waits until the kernel has put fresh IPv6 addresses to work. It does so
// behind our back, in a work queue, even without duplicate address detection;
// who is told to come here earlier gets no answer. One that takes longer is not
// announced before it works (Engine.announce).
func (e *Engine) await(r *router, addrs []netip.Addr) {
	limit := e.clock() + awaitLimit
	for slices.ContainsFunc(addrs, r.tentative) {
		left := limit - e.clock()
		if left <= 0 {
			return
		}
		ts := unix.NsecToTimespec(int64(left))
		fds := []unix.PollFd{{Fd: int32(e.news.fd), Events: unix.POLLIN}}
		if _, err := unix.Ppoll(fds, &ts, nil); err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
		e.readNews()
	}
}

// hear takes one message into account, from the subscription or a dump.
func (e *Engine) hear(kind uint16, body []byte) {
	switch kind {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		if k, ok := parseLink(body); ok {
			e.hearLink(k, kind == unix.RTM_DELLINK)
		}
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		if a, ok := parseAddress(body); ok {
			if l := e.byIndex[a.index]; l != nil {
				l.hear(a, kind == unix.RTM_DELADDR)
				e.dirty = true
			}
		}
	}
}

func (e *Engine) hearLink(k kernelLink, gone bool) {
	known := e.byIndex[k.index]
	if known != nil && (gone || known.name != k.name) {
		e.vanish(known)
		known = nil
	}
	if gone {
		return
	}
	l := e.links[k.name]
	if l == nil {
		return
	}
	if l != known {
		if l.kernel.index != 0 {
			e.vanish(l)
		}
		e.byIndex[k.index] = l
		// Its addresses may have come before it got this name.
		e.resync = e.resync || known == nil
	}
	if l.kernel.flags != k.flags {
		e.tell(Event{Time: time.Now(), Link: l.name, Kind: "link", Detail: linkWord(k)})
	}
	l.kernel = k
	e.dirty = true
}

func linkWord(k kernelLink) string {
	if k.up() {
		return "up"
	}
	return "down"
}

// vanish is what follows at once from a link's going: its sockets are of no
// more use, and a new link of that name has another index.
func (e *Engine) vanish(l *link) {
	delete(e.byIndex, l.kernel.index)
	e.closeLink(l)
	l.kernel, l.addrs = kernelLink{}, nil
	e.dirty = true
	e.tell(Event{Time: time.Now(), Link: l.name, Kind: "link", Detail: "gone"})
}

func (e *Engine) closeLink(l *link) {
	for f := range l.sockets {
		if s := l.sockets[f]; s != nil {
			e.forget(s.fd)
			s.close()
			l.sockets[f] = nil
		}
		e.closeWatch(l, f)
	}
}

func (e *Engine) closeWatch(l *link, f int) {
	if w := l.watches[f]; w != nil {
		e.forget(w.fd)
		w.close()
		l.watches[f] = nil
	}
}

// readAll asks the kernel for everything: at the start and after lost messages.
func (e *Engine) readAll() error {
	seen := map[int]bool{}
	err := e.rtnl.dump(unix.RTM_GETLINK, func(kind uint16, body []byte) {
		if k, ok := parseLink(body); ok && kind == unix.RTM_NEWLINK {
			seen[k.index] = true
			e.hearLink(k, false)
		}
	})
	if err != nil {
		return err
	}
	for index, l := range e.byIndex {
		if !seen[index] {
			e.vanish(l)
			continue
		}
		l.addrs = l.addrs[:0]
	}
	return e.rtnl.dump(unix.RTM_GETADDR, e.hear)
}
