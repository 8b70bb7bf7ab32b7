package forge

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// Outbox posts statuses in order and lets nobody wait. Of one commit and
// context only the latest is posted: a pending that could not be posted yet
// gives way to what became of it.
type Outbox struct {
	poster *Poster
	report func(Status, error)

	mu      sync.Mutex
	waiting []Status
	wake    chan struct{} // holds one when something waits
}

// ErrDropped is reported of a status that gave way to those of newer commits.
var ErrDropped = errors.New("post a status: too many wait")

// The limits of an Outbox: how many wait, and how long the end may take.
const (
	mostWaiting = 32
	lastTime    = 3 * time.Second
)

// NewOutbox returns an Outbox. Report, which may be nil, is told what became
// of each status: nil is posted.
func NewOutbox(p *Poster, report func(Status, error)) *Outbox {
	if report == nil {
		report = func(Status, error) {}
	}
	return &Outbox{poster: p, report: report, wake: make(chan struct{}, 1)}
}

// Put takes a status. It never waits.
func (o *Outbox) Put(s Status) {
	o.mu.Lock()
	var dropped []Status
	if i := o.index(s); i >= 0 {
		o.waiting[i] = s
	} else if o.waiting = append(o.waiting, s); len(o.waiting) > mostWaiting {
		dropped, o.waiting = o.waiting[:1:1], o.waiting[1:]
	}
	o.mu.Unlock()
	for _, s := range dropped {
		o.report(s, ErrDropped)
	}
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

func (o *Outbox) index(s Status) int {
	return slices.IndexFunc(o.waiting, func(w Status) bool { return w.SHA == s.SHA && w.Context == s.Context })
}

// Run posts until the context ends, and what is left then within a few
// seconds more.
func (o *Outbox) Run(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case <-o.wake:
			o.post(ctx)
		case <-ctx.Done():
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastTime)
	defer cancel()
	o.post(last)
	o.mu.Lock()
	left := o.waiting
	o.waiting = nil
	o.mu.Unlock()
	for _, s := range left {
		o.report(s, last.Err())
	}
}

// post posts all that waits. What the end of the context kept from being
// posted waits again.
func (o *Outbox) post(ctx context.Context) {
	for ctx.Err() == nil {
		o.mu.Lock()
		if len(o.waiting) == 0 {
			o.mu.Unlock()
			return
		}
		s := o.waiting[0]
		o.waiting = o.waiting[1:]
		o.mu.Unlock()
		err := o.poster.Post(ctx, s)
		if err == nil || ctx.Err() == nil {
			o.report(s, err)
			continue
		}
		o.mu.Lock()
		if o.index(s) < 0 {
			o.waiting = slices.Insert(o.waiting, 0, s)
		}
		o.mu.Unlock()
	}
}
