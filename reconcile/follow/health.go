package follow

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/schema"
)

const (
	// healthPeriod is how often health is read when nothing happens, unless the
	// edge itself is read more often.
	healthPeriod = 30 * time.Second
	// healthTime is how long reading it may take.
	healthTime = 20 * time.Second
)

// watchHealth reads how the edge does while this host leads, suspended or not:
// after each look at the edge, and every healthPeriod. It has a goroutine of its
// own, so that nothing is applied later for it.
func (k *Keeper) watchHealth(ctx context.Context) {
	period := min(healthPeriod, cmp.Or(k.o.Resync, healthPeriod))
	var earliest time.Time      // as the reader wants it
	var known *reconcile.Health // since this host leads
	for {
		wait := period
		if spec := k.leading(); spec == nil {
			known = nil
		} else {
			if early := time.Until(earliest); early > 0 {
				wait = early
			} else {
				h, pause := k.readHealth(ctx, spec)
				known = k.tellHealth(known, h)
				earliest, wait = time.Now().Add(pause), max(pause, period)
			}
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-k.looks:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		timer.Stop()
	}
}

// leading is the specification that this host keeps the edge at, nil while it
// does not lead.
func (k *Keeper) leading() *schema.Spec {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.good == nil || !k.state.Leadership.Mine {
		return nil
	}
	return k.good.Spec
}

// mostChanges is how many one event names.
const mostChanges = 6

// tellHealth tells what is otherwise than was known, and returns what is now;
// h is nil where nothing was read.
func (k *Keeper) tellHealth(known, h *reconcile.Health) *reconcile.Health {
	switch {
	case h == nil:
		return known
	case known == nil:
		return h
	}
	changes := h.Changes(known)
	var texts []string
	for _, c := range changes[:min(len(changes), mostChanges)] {
		texts = append(texts, c.What)
	}
	if more := len(changes) - len(texts); more > 0 {
		texts = append(texts, fmt.Sprintf("and %d more", more))
	}
	if len(texts) > 0 {
		k.tell(Event{Kind: EventHealth, Text: strings.Join(texts, "; "), Worse: changes[0].Worse})
	}
	return h.Since(known)
}

// readHealth reads it once, nil if that failed or this host no longer leads, and
// says how long to leave it at least. Where nothing can be read, what was read
// before stays, with its time and the reason.
func (k *Keeper) readHealth(ctx context.Context, spec *schema.Spec) (read *reconcile.Health, pause time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, healthTime)
	defer cancel()
	h, pause, err := k.o.Health(ctx, spec)
	k.set(func(s *EdgeState) {
		switch {
		case !s.Leadership.Mine: // It has ended meanwhile.
		case err == nil:
			s.Health, read = h, h
		default:
			stale := reconcile.Health{}
			if s.Health != nil {
				stale = *s.Health
			}
			stale.Err = err.Error()
			s.Health = &stale
		}
	})
	return read, pause
}
