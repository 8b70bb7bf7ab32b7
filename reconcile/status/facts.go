package status

import (
	"time"

	"github.com/hactl/hactl/reconcile/follow"
)

// Facts are what metrics and health are about, at one moment.
type Facts struct {
	Host, Build string
	Follow      follow.State
	Edge        follow.EdgeState
	// Drift counts what of this host is not as its specification has it.
	Drift int
	// Engine is nil where none runs here; EngineErr says why one that should
	// does not answer.
	Engine    *Engine
	EngineErr error
	API       *API // nil without an edge
}

// API is how much of Cloudflare's budget is used.
type API struct {
	Requests int `json:"requests"` // sent so far
	Left     int `json:"left"`     // in the present window
}

// Engine is the VRRP engine of this host.
type Engine struct {
	Routers []Router
	Links   []Link
	Checks  []Check
	// FIFO tells real-time scheduling.
	FIFO bool
	// Late is by how much its timers were late at worst.
	Late time.Duration
}

// Router is a Virtual Router on this host.
type Router struct {
	Name, Interface string
	VRID, Priority  int
	State           string // as VRRP calls it: initialize, backup, active; releasing
	Sent, Received  uint64 // advertisements
	Transitions     map[string]uint64
	Dropped         map[string]uint64 // packets, by reason
	Problem         string
}

// States are what a Router's State can be.
var states = []string{"initialize", "backup", "active", "releasing", "fault", "maintenance"}

// Link is an interface that Virtual Routers are on.
type Link struct {
	Name string
	Up   bool
}

// Check is a health check's last result.
type Check struct {
	Name      string
	OK, Tried bool
}

// Host is what the page shows of one host of the specification.
type Host struct {
	Name string
	// Link is where its own page is, "" for nowhere that is known.
	Link string
	// Off: it is known to have no part in anything now, and Unknown says why.
	Off bool
	// Unknown says why it cannot be told; the rest is zero then.
	Unknown string
	// Silent: it was asked, and has not answered as it ought to.
	Silent bool
	// Asked is when it said the rest; zero for now.
	Asked    time.Time
	Revision string
	Accepted time.Time // since when it runs that
	Note     string    // what to know first, "" if all is well
	Leads    bool      // applies changes of the edge
	Routers  []Router
	Edge     follow.EdgeState
}
