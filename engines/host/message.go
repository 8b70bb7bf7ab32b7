package host

import (
	"errors"

	"github.com/hactl/hactl/engines/vrrp"
)

// The control protocol: lines of JSON over a unix socket in the runtime
// directory. A request is answered by a reply with its id; between replies,
// events come to those who asked for them.

const (
	opConfigure   = "configure"
	opConfig      = "config"
	opStatus      = "status"
	opResults     = "results"
	opMaintenance = "maintenance"
	opShutdown    = "shutdown"
	opUpgrade     = "upgrade"
	opSubscribe   = "subscribe"
)

type request struct {
	ID     uint64  `json:"id"`
	Op     string  `json:"op"`
	Config *Config `json:"config,omitempty"`
	Router string  `json:"router,omitempty"`
	On     bool    `json:"on,omitempty"`
	Now    bool    `json:"now,omitempty"`
	Path   string  `json:"path,omitempty"`
	After  uint64  `json:"after,omitempty"`
	// Results of checks; those of others stay as they were.
	Results map[string]Result `json:"results,omitempty"`
}

type reply struct {
	ID     uint64         `json:"id,omitempty"`
	Error  string         `json:"error,omitempty"`
	Config *Config        `json:"config,omitempty"`
	Status *Status        `json:"status,omitempty"`
	Event  *NumberedEvent `json:"event,omitempty"`
}

// NumberedEvent is an event with its place in the engine's history, which
// begins at 1 with each process.
type NumberedEvent struct {
	Number uint64 `json:"number"`
	Event
}

// handover is what a process gives its successor.
type handover struct {
	Config      Config                   `json:"config"`
	Configured  bool                     `json:"configured"`
	Results     map[string]Result        `json:"results"`
	Maintenance map[string]bool          `json:"maintenance"`
	Snapshots   map[string]vrrp.Snapshot `json:"snapshots,omitempty"`
}

var errEnded = errors.New("the engine has ended")
