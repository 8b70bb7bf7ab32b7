package host

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"github.com/hactl/hactl/engines/vrrp"
)

const (
	socketFile = "engine.sock"
	lockFile   = "engine.lock"
	stateFile  = "state.json"
	// history is how many events are kept for who subscribes later.
	history = 256
	// A subscriber that does not read for this long is cut off.
	slowSubscriber = 2 * time.Second
)

// control serves the unix socket. Its goroutines are ordinary ones: they decode
// and encode, and hand the loop what is to be done.
type control struct {
	engine     *Engine
	log        *slog.Logger
	lock       *os.File
	guard      *os.File                 // may be nil
	live       live                     // where it is a unit
	resume     map[string]vrrp.Snapshot // of a process that crashed; for the first configuration
	lastSign   time.Duration            // of that process, where no Supervisor saw it end
	configured bool
	pumped     chan struct{} // closed when every event has been passed on
	orphaned   bool          // handed over to a successor that did not take over

	mu       sync.Mutex // serialises what changes the engine
	replaced sync.Mutex // held while a successor is tried

	listening sync.Mutex
	listener  *net.UnixListener
	closed    bool

	subscribers struct {
		sync.Mutex
		conns  map[*session]bool
		recent []NumberedEvent
		number uint64
	}
}

type session struct {
	conn net.Conn
	mu   sync.Mutex
}

func (s *session) send(r reply) error {
	b, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode reply: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.conn.SetWriteDeadline(time.Now().Add(slowSubscriber))
	_, err = s.conn.Write(append(b, '\n'))
	return err
}

// serve accepts until hangUp.
func (c *control) serve() {
	c.subscribers.conns = map[*session]bool{}
	go func() {
		defer close(c.pumped)
		c.pump()
	}()
	go c.keepSocket()
	for {
		c.listening.Lock()
		l, closed := c.listener, c.closed
		c.listening.Unlock()
		if closed {
			return
		}
		conn, err := l.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			continue // for good, or for another one
		case err != nil:
			c.log.Error("accept", "err", err)
			return
		}
		go c.attend(&session{conn: conn})
	}
}

func (c *control) hangUp() {
	c.listening.Lock()
	defer c.listening.Unlock()
	c.closed = true
	_ = c.listener.Close()
}

// socketPeriod is how often it is looked whether the socket is still there.
const socketPeriod = 2 * time.Second

// keepSocket makes the socket anew if somebody has removed it, with or without
// its directory: an engine that nobody reaches could not be stopped.
func (c *control) keepSocket() {
	tick := time.NewTicker(socketPeriod)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-c.engine.ended:
			return
		}
		if _, err := os.Lstat(filepath.Join(c.engine.dir, socketFile)); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		err := private(c.engine.dir)
		if err == nil {
			err = c.listenAgain()
		}
		if err != nil {
			c.log.Error("the socket is gone, and cannot be made again", "err", err)
		}
	}
}

func (c *control) listenAgain() error {
	c.replaced.Lock() // a successor inherits the listener
	defer c.replaced.Unlock()
	c.listening.Lock()
	defer c.listening.Unlock()
	if c.closed {
		return nil
	}
	l, err := listen(c.engine.dir)
	if err != nil {
		return err
	}
	_ = c.listener.Close()
	c.listener = l
	c.log.Warn("the socket was gone, and is made again", "dir", c.engine.dir)
	return nil
}

func (c *control) attend(s *session) {
	defer func() {
		c.subscribers.Lock()
		delete(c.subscribers.conns, s)
		c.subscribers.Unlock()
		_ = s.conn.Close()
	}()
	d := json.NewDecoder(bufio.NewReader(s.conn))
	for {
		var q request
		if err := d.Decode(&q); err != nil {
			return
		}
		r := reply{ID: q.ID}
		if err := c.answer(s, &q, &r); err != nil {
			r.Error = err.Error()
		}
		if s.send(r) != nil {
			return
		}
		if q.Op == opSubscribe {
			c.subscribe(s, q.After)
		}
	}
}

func (c *control) answer(s *session, q *request, r *reply) error {
	if q.Op == opUpgrade { // takes its time
		return c.upgrade(q.Path)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.engine
	call := func(f func()) error {
		if !e.call(f) {
			return errEnded
		}
		return nil
	}
	switch q.Op {
	case opConfigure:
		if q.Config == nil {
			return errors.New("no configuration")
		}
		return c.configure(*q.Config)
	case opStatus:
		st, ok := e.status()
		if !ok {
			return errEnded
		}
		c.subscribers.Lock()
		st.Agents = len(c.subscribers.conns)
		c.subscribers.Unlock()
		r.Status = &st
		return nil
	case opConfig:
		if !c.configured {
			return nil
		}
		return call(func() { cfg := e.cfg; r.Config = &cfg })
	case opResults:
		return call(func() { e.setResults(q.Results) })
	case opMaintenance:
		return call(func() { e.setMaintenance(q.Router, q.On) })
	case opShutdown:
		return call(func() { e.shutdown(q.Now) })
	case opSubscribe:
		return nil
	}
	return fmt.Errorf("unknown operation %q", q.Op)
}

func (c *control) configure(cfg Config) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	resume := c.resume
	c.resume = nil
	if resume != nil && c.lastSign != 0 {
		resume = recent(resume, &cfg, bootTime()-c.lastSign)
	}
	refused := false
	if !c.engine.call(func() {
		if refused = c.engine.stopping; !refused {
			c.engine.apply(cfg, resume)
		}
	}) {
		return errEnded
	}
	if refused {
		return errors.New("the engine is stopping")
	}
	c.configured = true
	c.engine.tell(Event{Time: time.Now(), Kind: "configured", Detail: cfg.Revision})
	// What decoding has used is garbage now, and the next is far away.
	debug.FreeOSMemory()
	return nil
}

func (e *Engine) setMaintenance(name string, on bool) {
	e.now = e.clock()
	if on {
		e.maintenance[name] = true
	} else {
		delete(e.maintenance, name)
	}
	for _, r := range e.routers {
		e.handle(r, vrrp.Maintenance(e.maintained(r)))
	}
}

func (c *control) subscribe(s *session, after uint64) {
	c.subscribers.Lock()
	defer c.subscribers.Unlock()
	for i := range c.subscribers.recent {
		if ev := c.subscribers.recent[i]; ev.Number > after && s.send(reply{Event: &ev}) != nil {
			return
		}
	}
	c.subscribers.conns[s] = true
}

// pump passes events on, logs them while nobody listens, and keeps on disk what
// a successor of a crashed process may resume.
func (c *control) pump() {
	unsaved := false
	for {
		select {
		case ev := <-c.engine.events:
			c.publish(ev)
			unsaved = unsaved || ev.Kind == "transition"
			if unsaved && len(c.engine.events) == 0 {
				c.saveState()
				unsaved = false
			}
		case <-c.engine.ended:
			for len(c.engine.events) > 0 { // nothing more comes
				c.publish(<-c.engine.events)
			}
			return
		}
	}
}

func (c *control) publish(ev Event) {
	c.subscribers.Lock()
	defer c.subscribers.Unlock()
	c.subscribers.number++
	n := NumberedEvent{Number: c.subscribers.number, Event: ev}
	if len(c.subscribers.recent) == history {
		c.subscribers.recent = append(c.subscribers.recent[:0], c.subscribers.recent[history/4:]...)
	}
	c.subscribers.recent = append(c.subscribers.recent, n)
	if len(c.subscribers.conns) == 0 {
		c.log.Info(ev.Kind, "router", ev.Router, "link", ev.Link, "from", ev.From, "to", ev.To, "cause", ev.Cause,
			"reason", ev.Reason, "note", ev.Note, "source", ev.Source, "detail", ev.Detail, "repeated", ev.Repeated)
	}
	for s := range c.subscribers.conns {
		if s.send(reply{Event: &n}) != nil {
			delete(c.subscribers.conns, s)
			_ = s.conn.Close()
		}
	}
}

func (c *control) saveState() {
	var snapshots map[string]vrrp.Snapshot
	if !c.engine.call(func() { snapshots = c.engine.snapshots() }) {
		return
	}
	b, err := json.Marshal(snapshots)
	if err == nil {
		err = writeFile(filepath.Join(c.engine.dir, stateFile), b)
	}
	if err != nil {
		c.log.Error("write state", "err", err)
	}
}

func (e *Engine) snapshots() map[string]vrrp.Snapshot {
	out := map[string]vrrp.Snapshot{}
	for _, r := range e.routers {
		if !r.retiring {
			out[r.cfg.Name] = r.machine.Snapshot()
		}
	}
	return out
}
