package notify

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/hactl/hactl/schema"
)

// Options are the parts of a Notifier. The zero value of every field but
// Secret has a default.
type Options struct {
	// Host is the name of this host in the specification.
	Host string
	// Secret finds a secret's value; it is asked for each try.
	Secret func(schema.SecretRef) (string, error)
	// Report is told what became of each message: nil is sent. Errors hold no
	// secret. It is called from several goroutines.
	Report func(target string, m Message, err error)
	// Client sends, without redirects and cookies.
	Client    *http.Client
	UserAgent string
}

// Notifier sends messages to the targets of a specification.
type Notifier struct {
	o      Options
	client *http.Client

	mu      sync.Mutex
	targets map[string]*target
	ctx     context.Context // of Run, nil before
	workers sync.WaitGroup
}

// ErrLost is reported of a message that gave way to newer ones.
var ErrLost = errors.New("lost: too many messages wait for the target")

// New returns a Notifier without targets.
func New(o Options) *Notifier {
	if o.Report == nil {
		o.Report = func(string, Message, error) {}
	}
	if o.UserAgent == "" {
		o.UserAgent = "hactl"
	}
	client := &http.Client{Transport: http.DefaultTransport}
	if o.Client != nil {
		*client = *o.Client
	}
	client.Jar = nil
	// A redirect would carry the message, and a GET, to wherever it says.
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Notifier{o: o, client: client, targets: map[string]*target{}}
}

// Configure sets the targets. What waits for a target that stays as it is goes
// on waiting; one that goes, or changes, gets a last try.
func (n *Notifier) Configure(notifications map[string]schema.Notification) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for name, t := range n.targets {
		if to, ok := notifications[name]; !ok || !reflect.DeepEqual(to, t.to) {
			delete(n.targets, name)
			t.end()
		}
	}
	for name, to := range notifications {
		if n.targets[name] == nil {
			t := newTarget(n, name, to)
			n.targets[name] = t
			n.start(t)
		}
	}
}

// start begins a target's work, once Run has begun.
func (n *Notifier) start(t *target) {
	if n.ctx == nil || n.ctx.Err() != nil {
		return
	}
	ctx, cancel := context.WithCancel(n.ctx)
	t.end = cancel
	n.workers.Go(func() { t.run(ctx) })
}

// Send takes a message for every target that wants it. It never waits; what is
// sent before Run begins waits for it, and after its end nothing is taken.
func (n *Notifier) Send(m Message) {
	now := time.Now()
	if m.Host == "" {
		m.Host = n.o.Host
	}
	if m.Time.IsZero() {
		m.Time = now
	}
	n.mu.Lock()
	targets := slices.Collect(maps.Values(n.targets))
	n.mu.Unlock()
	for _, t := range targets {
		if t.to.Wants(m.Kind, m.Host) {
			t.take(now, m)
		}
	}
}

// Run sends until the context ends, gives what still waits one more try, for
// a few seconds in all, and returns when its goroutines have ended. It can be
// called once.
func (n *Notifier) Run(ctx context.Context) {
	n.mu.Lock()
	n.ctx = ctx
	for _, t := range n.targets {
		n.start(t)
	}
	n.mu.Unlock()
	<-ctx.Done()
	// Under the lock, so that Configure starts nothing from now on.
	n.mu.Lock()
	clear(n.targets)
	n.mu.Unlock()
	n.workers.Wait()
}
