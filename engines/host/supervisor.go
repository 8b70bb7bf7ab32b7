package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hactl/hactl/engines/vrrp"
)

// Supervisor is the agent's side: it attaches to the engine of a runtime
// directory, or starts one, keeps it told what is wanted, and starts it again
// should it crash. When the agent ends, the engine goes on.
type Supervisor struct {
	Dir string       // runtime directory, as /run/hactl
	Log *slog.Logger // nil: slog.Default()
	// OnEvent is called for every event, in order, and must not block; may be
	// nil. Events that come while no agent is attached are in the engine's log.
	OnEvent func(NumberedEvent)
	// OnAttach is called once an engine is found or started, with how it is then;
	// events are those that come later. May be nil.
	OnAttach func(Status)
	// OnConfig is called with what the engine runs now, whoever told it: after
	// attaching to it and after each change. May be nil.
	OnConfig func(Config)
	// Behind tells whether a member of a Virtual Router is known not to have
	// learned of the present revision, and must not block; may be nil.
	Behind func(router string) bool
	// Executable is what to start; empty means /proc/self/exe, with main
	// calling IsEngine and RunEngine.
	Executable string
	// Upgrade replaces the engine that is found first by Executable, if it is of
	// another build.
	Upgrade bool
	// Normal asks for ordinary scheduling and memory.
	Normal bool
	// External says that somebody else starts and ends the engine, such as a
	// service manager: Run waits for one, and Stop leaves it running.
	External bool

	steady time.Duration // steadyAfter, but for tests

	mu      sync.Mutex
	client  *Client
	wanted  *Config
	results map[string]Result
	change  chan struct{}
	halt    chan struct{} // closed by Stop

	// Of the goroutine in Run:
	last  *Config   // what an engine was told last
	born  time.Time // when the engine was started that was attended last
	held  string    // what waits for the end of another change
	other map[string]alternative
}

// alternative is what is known of advertisements that a router accepted with
// other parameters than its own.
type alternative struct {
	count uint64
	heard time.Time
}

const (
	startLimit  = 10 * time.Second
	minBackoff  = 100 * time.Millisecond
	maxBackoff  = 10 * time.Second
	steadyAfter = 10 * time.Second // a process this old begins the backoff anew
	awaitPeriod = 10 * time.Millisecond
	maxMisses   = 100 // sockets without an answer before that is taken for a failure
)

// Run attaches or starts until ctx ends, which leaves the engine running, or
// until Stop has ended it, be it one that nobody was attached to yet. It is an error if no engine ever started, unless it
// is an external one.
func (s *Supervisor) Run(ctx context.Context) error {
	s.begin()
	log := s.log()
	steady := s.steady
	if steady == 0 {
		steady = steadyAfter
	}
	backoff, crashed, ever, misses := time.Duration(0), false, false, 0
	for ctx.Err() == nil {
		started, over := false, s.ending()
		if over && s.External {
			return nil
		}
		client, err := Dial(ctx, s.Dir)
		if over { // perhaps before an engine was found that runs
			if err == nil {
				_, _ = s.attend(ctx, client)
			}
			return ctx.Err()
		}
		if err != nil && s.External {
			s.await(ctx, misses == 0)
			misses++
			continue
		}
		if err != nil {
			started = true
			client, err = s.start(ctx, crashed && backoff == 0)
		}
		attended := false
		if err == nil {
			attended, err = s.attend(ctx, client)
		}
		ever = ever || attended
		pause := time.Millisecond
		switch {
		case ctx.Err() != nil, s.ending():
			continue
		case !s.External && !attended && !started && misses < maxMisses && !errors.Is(err, context.DeadlineExceeded):
			misses++ // The socket of a process that is just going.
		case errors.Is(err, errUpgraded):
			log.Info("engine upgraded")
			continue
		case s.External:
			if attended {
				log.Warn("engine lost", "err", err)
				misses = 0
			}
			pause = awaitPeriod
		case attended && time.Since(s.born) > steady:
			log.Warn("engine lost", "err", err)
			crashed, backoff, misses = true, 0, 0
			continue
		case !ever && started && !errors.Is(err, errBusy):
			return fmt.Errorf("no engine starts here: %w", err)
		default:
			log.Warn("engine lost", "err", err)
			crashed, backoff = true, min(max(2*backoff, minBackoff), maxBackoff)
			pause = backoff
		}
		select {
		case <-time.After(pause):
		case <-s.halt:
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}

// await is a pause before an external engine is looked for again.
func (s *Supervisor) await(ctx context.Context, first bool) {
	if first {
		s.log().Warn("no engine runs, and another one is waited for", "dir", s.Dir)
	}
	select {
	case <-time.After(awaitPeriod):
	case <-s.halt:
	case <-ctx.Done():
	}
}

// begin makes what the zero value lacks.
func (s *Supervisor) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.change == nil {
		s.change = make(chan struct{}, 1)
		s.halt = make(chan struct{})
	}
}

func (s *Supervisor) log() *slog.Logger {
	if s.Log == nil {
		return slog.Default()
	}
	return s.Log
}

// fromNow subscribes to what has not happened yet.
const fromNow = math.MaxUint64

var errUpgraded = errors.New("another build takes over")

// attend keeps an engine told what is wanted until it or ctx ends. It says
// whether the engine has answered at all.
func (s *Supervisor) attend(ctx context.Context, client *Client) (answered bool, err error) {
	defer client.Close()
	have, err := client.Config(ctx)
	if err != nil {
		return false, err
	}
	if !s.ending() {
		if err := s.upgrade(ctx, client); err != nil {
			return true, err
		}
	}
	s.mu.Lock()
	s.client = client
	known := maps.Clone(s.results)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.client = nil
		s.mu.Unlock()
	}()
	var halt <-chan struct{}
	if s.External {
		halt = s.halt
	} else if s.ending() { // before there was a client to tell
		if err := client.Shutdown(ctx, false); err != nil {
			return true, err
		}
		<-client.Done()
		return true, errEnded
	}
	if err := client.Results(ctx, known); err != nil {
		return true, err
	}
	s.other = map[string]alternative{}
	configured, heard := make(chan struct{}, 1), make(chan struct{}, 1)
	if err := client.Subscribe(ctx, fromNow, func(ev NumberedEvent) {
		if s.OnEvent != nil {
			s.OnEvent(ev)
		}
		switch {
		case ev.Kind == "configured":
			poke(configured)
		case ev.Note == vrrp.NoteAlternative.String():
			poke(heard)
		}
	}); err != nil {
		return true, err
	}
	status, err := client.Status(ctx)
	if err != nil {
		return true, err
	}
	s.born = status.Started
	s.inherit(status.Checks)
	if s.OnAttach != nil {
		s.OnAttach(*status)
	}
	if have != nil {
		s.adopt(have)
	}
	for {
		next, due, err := s.next(ctx, client)
		if err == nil && next != nil && !next.same(have) {
			have = next
			err = client.Configure(ctx, *next)
			switch {
			case err == nil:
				s.adopt(next)
			case errors.Is(err, errRefused):
				// Another one may be taken; this one is not tried again.
				s.log().Error("the engine refuses the configuration, and goes on as it was", "revision", next.Revision, "err", err)
				err = nil
			}
		}
		if err != nil {
			return true, err
		}
		var timer <-chan time.Time
		if !due.IsZero() {
			timer = time.After(max(time.Until(due), time.Millisecond))
		}
		select {
		case <-s.change:
		case <-timer:
		case <-heard:
		case <-configured:
			now, err := client.Config(ctx)
			if err != nil {
				return true, err
			}
			if now != nil && !now.same(have) {
				s.log().Info("configured by somebody else", "revision", now.Revision)
				have = now
				s.want(now.Wanted())
				s.adopt(now)
			}
		case <-client.Done():
			return true, errEnded
		case <-halt:
			return true, nil
		case <-ctx.Done():
			return true, nil
		}
	}
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// upgrade replaces an engine of another build, if that is asked for.
func (s *Supervisor) upgrade(ctx context.Context, client *Client) error {
	if !s.Upgrade {
		return nil
	}
	status, err := client.Status(ctx)
	if err != nil {
		return err
	}
	// Once: an engine that becomes another later on, or does not become what we
	// are, is as who installs a next build wants it.
	s.Upgrade = false
	if status.Build == build {
		return nil
	}
	path := s.Executable
	if path == "" {
		// /proc/self would be the engine's.
		if path, err = os.Executable(); err != nil {
			return fmt.Errorf("upgrade: %w", err)
		}
	}
	s.log().Info("upgrade the engine", "from", status.Build, "to", build)
	if err := client.Upgrade(ctx, path); err != nil {
		s.log().Error("the engine goes on as it is", "err", err)
		return nil
	}
	return errUpgraded
}

// inherit keeps the results of checks that an engine had from somebody else.
func (s *Supervisor) inherit(found map[string]Result) {
	s.mu.Lock()
	defer s.mu.Unlock()
	results := map[string]Result{}
	maps.Copy(results, found)
	maps.Copy(results, s.results)
	s.results = results
}

// adopt notes what an engine has and tells who runs checks and hooks.
func (s *Supervisor) adopt(c *Config) {
	s.last = c
	s.mu.Lock()
	maps.DeleteFunc(s.results, func(name string, _ Result) bool { _, wanted := c.Checks[name]; return !wanted })
	s.mu.Unlock()
	if s.OnConfig != nil {
		s.OnConfig(*c)
	}
}

// next is the next step from what an engine was told last to what is wanted,
// nil if there is neither, and when another may be due.
func (s *Supervisor) next(ctx context.Context, client *Client) (next *Config, due time.Time, err error) {
	s.mu.Lock()
	wanted := s.wanted
	s.mu.Unlock()
	switch {
	case wanted == nil && s.last == nil:
		return nil, due, nil
	case wanted == nil:
		next = s.last
	case s.last == nil:
		next = wanted
	default:
		staged, held := Stage(*s.last, *wanted, time.Now())
		next = &staged
		if held := strings.Join(held, "; "); held != s.held {
			s.held = held
			if held != "" {
				s.log().Warn("part of the change waits", "for", held)
			}
		}
	}
	if !slices.ContainsFunc(next.Routers, func(r Router) bool { return r.Staging != nil }) {
		return next, due, nil
	}
	active, heard, err := s.listen(ctx, client)
	if err != nil {
		return nil, due, err
	}
	advanced, due := Advance(*next, time.Now(), View{Active: active, Heard: heard, Behind: s.Behind})
	return &advanced, due, nil
}

// listen asks the engine what Advance wants to know.
func (s *Supervisor) listen(ctx context.Context, client *Client) (active func(string) bool, heard func(string) time.Time, err error) {
	status, err := client.Status(ctx)
	if err != nil {
		return nil, nil, err
	}
	for i := range status.Routers {
		r := &status.Routers[i]
		count, known := r.Counters.Noted[vrrp.NoteAlternative.String()], s.other[r.Name]
		if count > known.count {
			s.other[r.Name] = alternative{count, time.Now()}
		}
	}
	active = func(name string) bool {
		r := status.Router(name)
		return r != nil && r.State == vrrp.StateActive.String()
	}
	heard = func(name string) time.Time { return s.other[name].heard }
	return active, heard, nil
}

// Configure makes cfg wanted, now and whenever the engine starts anew. It
// returns an error only for a configuration that no engine would take.
func (s *Supervisor) Configure(cfg Config) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	s.begin()
	s.want(cfg)
	poke(s.change)
	return nil
}

// Wanted is what was configured last, by Configure or by somebody else; nil
// before either.
func (s *Supervisor) Wanted() *Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wanted
}

func (s *Supervisor) want(cfg Config) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wanted = &cfg
}

// Results passes on what health checks have found, and again after a restart.
func (s *Supervisor) Results(ctx context.Context, results map[string]Result) error {
	s.mu.Lock()
	if s.results == nil {
		s.results = map[string]Result{}
	}
	maps.Copy(s.results, results)
	client := s.client
	s.mu.Unlock()
	if client == nil {
		return nil // told once there is an engine
	}
	return client.Results(ctx, results)
}

// Client is the present connection, or nil while there is none.
func (s *Supervisor) Client() *Client {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.client
}

// Stop makes the engine let go of everything, make before break unless now, and
// Run return once it has. It waits for neither. An external engine goes on.
func (s *Supervisor) Stop(ctx context.Context, now bool) error {
	s.begin()
	s.mu.Lock()
	if !s.ending() {
		close(s.halt)
	}
	client := s.client
	s.mu.Unlock()
	if client == nil || s.External {
		return nil // Run sees to it
	}
	if err := client.Shutdown(ctx, now); err != nil && !errors.Is(err, errEnded) {
		return err
	}
	return nil
}

// ending reports whether Stop was called.
func (s *Supervisor) ending() bool {
	select {
	case <-s.halt:
		return true
	default:
		return false
	}
}
