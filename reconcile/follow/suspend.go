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
