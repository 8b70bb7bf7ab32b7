package lead

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// ErrLost is what Confirm returns if somebody else may lead by now. Any other
// error of it means that nobody could say.
var ErrLost = errors.New("lead: the term has ended")

// Elector is one host's part in the election. Its methods may be called
// concurrently, and before, while and after Run works; Run once at a time.
type Elector struct {
	opts    Options
	prefix  string
	changes chan struct{}

	held atomic.Pointer[tenure] // nil while another leads, or nobody

	mu     sync.Mutex
	client *clientv3.Client // that of the current session, or nil
}

// tenure is a term, and how long it is ours without another word from etcd. It
// does not change.
type tenure struct {
	term int64
	key  string
	sent time.Time // when the last renewal that arrived was sent
	good time.Duration
}

// left is how much of the lease remains. The monotonic clock stands still while
// a machine sleeps, and the other one jumps when it is set: the worse counts.
func (t *tenure) left(now time.Time) time.Duration {
	return t.good - max(now.Sub(t.sent), now.Round(0).Sub(t.sent.Round(0)))
}

// Leads says if this host leads, by its own clock alone, and in which term.
// Terms grow with each change of leader; 0 is none. It is cheap.
func (e *Elector) Leads() (term int64, ok bool) {
	if t := e.held.Load(); t != nil && t.left(time.Now()) > 0 {
		return t.term, true
	}
	return 0, false
}

// Changes has a value after Leads may have changed; several changes may become
// one. It is one channel, for one reader, and never closed.
func (e *Elector) Changes() <-chan struct{} { return e.changes }

// Confirm asks a majority of etcd if this host still leads in term: to be called
// right before a write. nil is a yes of this moment, ErrLost a no.
func (e *Elector) Confirm(ctx context.Context, term int64) error {
	t := e.held.Load()
	if t == nil || t.term != term || t.left(time.Now()) <= 0 {
		return ErrLost
	}
	e.mu.Lock()
	client := e.client
	e.mu.Unlock()
	if client == nil {
		return ErrLost
	}
	res, err := client.Get(ctx, t.key) // linearizable, unlike a Txn without operations
	if err != nil {
		return fmt.Errorf("confirm leadership at etcd: %w", err)
	}
	if len(res.Kvs) != 1 || res.Kvs[0].CreateRevision != term {
		return ErrLost
	}
	// The answer may have lain here while the process was stopped.
	if now, ok := e.Leads(); !ok || now != term {
		return ErrLost
	}
	return nil
}

// Leader asks etcd who leads: the Identity of a host, empty if nobody does.
func (e *Elector) Leader(ctx context.Context) (string, error) {
	e.mu.Lock()
	client := e.client
	e.mu.Unlock()
	if client == nil {
		var err error
		if client, err = e.opts.dial(ctx); err != nil {
			return "", err
		}
		defer client.Close()
	}
	res, err := client.Get(ctx, e.prefix, clientv3.WithFirstCreate()...)
	if err != nil {
		return "", fmt.Errorf("ask etcd who leads: %w", err)
	}
	if len(res.Kvs) == 0 {
		return "", nil
	}
	return string(res.Kvs[0].Value), nil
}

// Run takes part until ctx ends, through whatever happens to etcd, and then
// resigns: that takes two seconds at most. It returns once all its work has
// ended.
func (e *Elector) Run(ctx context.Context) {
	const first, longest = 200 * time.Millisecond, 5 * time.Second
	pause, failing := first, false
	for ctx.Err() == nil {
		campaigned, err := e.session(ctx)
		if ctx.Err() != nil {
			return
		}
		if campaigned {
			pause, failing = first, false
		}
		level := slog.LevelWarn // the first of several that follow each other
		if failing {
			level = slog.LevelDebug
		}
		e.opts.Log.Log(ctx, level, "not in the election", "host", e.opts.Identity, "error", err)
		failing = true
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-t.C:
		}
		t.Stop()
		pause = min(2*pause, longest)
	}
}

// session takes part with one connection and one lease, until one of them is of
// no use any more. campaigned is if it got so far as to have a key.
func (e *Elector) session(ctx context.Context) (campaigned bool, err error) {
	client, err := e.opts.dial(ctx)
	if err != nil {
		return false, err
	}
	e.use(client)
	s := &session{Elector: e, client: client}
	defer func() {
		e.hold(nil)
		s.resign()
		e.use(nil)
		_ = client.Close()
	}()
	if err := s.enter(ctx); err != nil {
		return false, err
	}
	return true, s.follow(ctx)
}

func (e *Elector) use(client *clientv3.Client) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.client = client
}

// hold changes what Leads says.
func (e *Elector) hold(t *tenure) {
	was := e.held.Swap(t)
	if (was == nil) == (t == nil) {
		return
	}
	if t != nil {
		e.opts.Log.Info("leading", "host", e.opts.Identity, "term", t.term)
	} else {
		e.opts.Log.Info("leading no more", "host", e.opts.Identity, "term", was.term)
	}
	select {
	case e.changes <- struct{}{}:
	default:
	}
}
