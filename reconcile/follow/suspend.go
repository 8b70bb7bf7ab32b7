package follow

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/hactl/hactl/reconcile/loop"
)

// Suspension is a time in which nothing is followed: what runs goes on, the
// edge is left alone. It always has an end.
type Suspension struct {
	Until  time.Time `json:"until"`
	Reason string    `json:"reason,omitempty"`
}

// LongestSuspension bounds how long an agent can be told to stand still; one
// that is forgotten is an agent that does nothing.
const LongestSuspension = 7 * 24 * time.Hour

// Pause keeps a suspension over restarts, in one file.
type Pause string

// Load returns nil where there is none, or where it is over.
func (p Pause) Load(now time.Time) (*Suspension, error) {
	b, err := os.ReadFile(string(p))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	s := &Suspension{}
	if err == nil {
		err = json.Unmarshal(b, s)
	}
	if err != nil {
		return nil, fmt.Errorf("read the suspension: %w", err)
	}
	if !now.Before(s.Until) || s.Until.Sub(now) > LongestSuspension {
		return nil, nil
	}
	return s, nil
}

// Save keeps s; nil ends it.
func (p Pause) Save(s *Suspension) error {
	if s == nil {
		if err := os.Remove(string(p)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("end the suspension: %w", err)
		}
		return nil
	}
	b, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("keep the suspension: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(string(p)), 0o700); err != nil {
		return fmt.Errorf("keep the suspension: %w", err)
	}
	if err := loop.ReplaceFile(string(p), b, 0o600); err != nil {
		return fmt.Errorf("keep the suspension: %w", err)
	}
	return nil
}

// Suspend stops following until a time, at most LongestSuspension from now.
func (f *Follower) Suspend(until time.Time, reason string) error {
	left := time.Until(until)
	if left <= 0 || left > LongestSuspension {
		return fmt.Errorf("suspend for %s: want a time of up to %s", left.Round(time.Second), LongestSuspension)
	}
	return f.pause(&Suspension{Until: until, Reason: reason})
}

// Resume ends a suspension; there need not be one.
func (f *Follower) Resume() error {
	if err := f.pause(nil); err != nil {
		return err
	}
	f.Trigger()
	return nil
}

func (f *Follower) pause(s *Suspension) error {
	f.pausing.Lock()
	defer f.pausing.Unlock()
	if f.o.Pause != "" {
		if err := f.o.Pause.Save(s); err != nil {
			return err
		}
	}
	former := f.State().Suspended
	f.mu.Lock()
	f.state.Suspended = s
	if s != nil && f.cancel != nil {
		f.cancel() // What is being looked at does not run.
	}
	f.mu.Unlock()
	f.move()
	switch {
	case s != nil:
		f.tell(Event{Kind: EventSuspended, Text: "until " + s.Until.Format(time.RFC3339) + " " + s.Reason})
	case former != nil:
		f.tell(Event{Kind: EventSuspended, Text: "resumed"})
	}
	return nil
}
