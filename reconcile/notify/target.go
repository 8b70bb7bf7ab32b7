package notify

import (
	"context"
	"sync"
	"time"

	"github.com/hactl/hactl/schema"
)

// The limits of a target.
const (
	mostWaiting = 64               // messages
	tries       = 5                // of one message
	tryTime     = 10 * time.Second // of one of them
	mostPause   = 2 * time.Minute  // between two, whatever the server asks
	lastTime    = 3 * time.Second  // of all that waits at the end
	slackGap    = time.Second      // Slack takes one message a second
)

// target is somebody who is told.
type target struct {
	n    *Notifier
	name string
	to   schema.Notification
	end  func()

	mu      sync.Mutex
	bundler bundler
	waiting []Message
	wake    chan struct{} // holds one when there may be something to do
}

func newTarget(n *Notifier, name string, to schema.Notification) *target {
	window := time.Duration(to.Window)
	if window <= 0 {
		window = 5 * time.Minute
	}
	return &target{
		n: n, name: name, to: to, end: func() {},
		bundler: bundler{window: window, most: max(1, to.Most), subjects: map[[2]string]*subject{}},
		wake:    make(chan struct{}, 1),
	}
}

// take decides on a message and wakes the worker.
func (t *target) take(now time.Time, m Message) {
	t.mu.Lock()
	due, _ := t.bundler.due(now) // First, so that a window that is over ends.
	if t.bundler.add(now, m) {
		due = append(due, m)
	}
	lost := t.queue(due)
	t.mu.Unlock()
	t.report(lost)
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// queue appends messages and returns the oldest ones where there are too many.
func (t *target) queue(m []Message) (lost []Message) {
	t.waiting = append(t.waiting, m...)
	if over := len(t.waiting) - mostWaiting; over > 0 {
		lost, t.waiting = t.waiting[:over:over], t.waiting[over:]
	}
	return lost
}

func (t *target) report(lost []Message) {
	for _, m := range lost {
		t.n.o.Report(t.name, m, ErrLost)
	}
}

// next takes what is to be sent now; without, it returns when to look again.
func (t *target) next(now time.Time, flush bool) (m Message, ok bool, at time.Time) {
	t.mu.Lock()
	var due []Message
	if flush {
		due = t.bundler.flush()
	} else {
		due, at = t.bundler.due(now)
	}
	lost := t.queue(due)
	if ok = len(t.waiting) > 0; ok {
		m, t.waiting = t.waiting[0], t.waiting[1:]
	}
	t.mu.Unlock()
	t.report(lost)
	return m, ok, at
}

// run sends until the context ends, and then for a moment what is left.
func (t *target) run(ctx context.Context) {
	last, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	// What is under way at the end may finish.
	defer context.AfterFunc(ctx, func() {
		end := time.AfterFunc(lastTime, cancel)
		context.AfterFunc(last, func() { end.Stop() })
	})()
	for {
		ending := ctx.Err() != nil
		m, ok, at := t.next(time.Now(), ending)
		if !ok && ending {
			return
		}
		if !ok {
			t.wait(ctx, at)
			continue
		}
		t.n.o.Report(t.name, m, t.deliver(ctx, last, m))
		if t.to.Type == schema.NotifySlack {
			pause(ctx, slackGap)
		}
	}
}

// wait returns when there may be something to do.
func (t *target) wait(ctx context.Context, at time.Time) {
	var timer <-chan time.Time
	if !at.IsZero() {
		timer = time.After(time.Until(at))
	}
	select {
	case <-ctx.Done():
	case <-t.wake:
	case <-timer:
	}
}

// pause waits, and tells whether it was not interrupted.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// deliver tries until it worked, or cannot. Once ctx has ended there is one
// try more; requests end with last.
func (t *target) deliver(ctx, last context.Context, m Message) error {
	wait := time.Second
	for try := 1; ; try++ {
		retry, asked, err := t.try(last, m)
		if err == nil || !retry || try == tries || ctx.Err() != nil || last.Err() != nil {
			return err
		}
		if !pause(ctx, min(max(wait, asked), mostPause)) {
			try = tries - 1
		}
		wait *= 2
	}
}
