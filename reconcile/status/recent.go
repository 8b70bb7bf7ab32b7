package status

import (
	"sync"
	"time"

	"github.com/hactl/hactl/reconcile/follow"
)

// Line is something that happened, for people.
type Line struct {
	Time time.Time
	What string // the event's kind
	Text string
}

// mostLines is how many are remembered.
const mostLines = 50

// Recent remembers what happened last. The zero Recent is ready.
type Recent struct {
	mu    sync.Mutex
	lines []Line
}

// Add notes something.
func (r *Recent) Add(l Line) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, l)
	if n := len(r.lines) - mostLines; n > 0 {
		r.lines = append([]Line(nil), r.lines[n:]...)
	}
}

// Follow notes what a Follower or Keeper decided.
func (r *Recent) Follow(e follow.Event) {
	text := e.Text
	if e.Err != nil {
		text = e.Err.Error()
	}
	if e.Revision != "" {
		text = short(e.Revision) + " " + text
	}
	r.Add(Line{e.Time, string(e.Kind), text})
}

// Lines are what happened last, the latest first.
func (r *Recent) Lines() []Line {
	r.mu.Lock()
	defer r.mu.Unlock()
	lines := make([]Line, 0, len(r.lines))
	for i := len(r.lines) - 1; i >= 0; i-- {
		lines = append(lines, r.lines[i])
	}
	return lines
}

func short(revision string) string {
	if len(revision) == 40 {
		return revision[:12]
	}
	return revision
}
