package drill

import (
	"context"
	"net/netip"
	"time"

	"github.com/hactl/hactl/schema"
)

// NoHost is the agent of a specification without hosts.
const NoHost = "none"

// Lab is hosts on their LANs, each with an agent, that follow a Git repository
// and lead a simulated edge, and a client that asks their virtual addresses all
// the time. Its methods return when what they do has begun to have effect.
type Lab interface {
	// Push changes the repository's folder with edit, commits and pushes it. The
	// specification is nil where it does not evaluate.
	Push(ctx context.Context, message string, edit func(dir string) error) (revision string, spec *schema.Spec, err error)
	// Power of a host: off takes its cables and processes away at once.
	Power(ctx context.Context, host string, on bool) error
	// Run tells the host's agent to end and waits for that, or starts it.
	Run(ctx context.Context, host string, on bool) error
	// Cable of an interface, "" for all.
	Cable(ctx context.Context, host, iface string, plugged bool) error
	// Split keeps hosts from hearing each other.
	Split(ctx context.Context, hosts []string, apart bool) error
	// Check has a health check fail on a host, or pass.
	Check(ctx context.Context, host, check string, fails bool) error
	// Drift changes an object at the edge; Drifted tells whether it still is.
	Drift(ctx context.Context, id schema.ID) error
	Drifted(ctx context.Context, id schema.ID) (bool, error)
	// Service "git" or "api" answers, or does not.
	Service(ctx context.Context, name string, up bool) error

	// Hosts is how those that answer are, by name.
	Hosts(ctx context.Context) map[string]Host
	// Adverts are those on the LANs since a time, in order.
	Adverts(since time.Time) []Advert
	// Silences are when the client had no answer, since a time.
	Silences(since time.Time) map[netip.Addr][]Silence
}

// Host is how a host's agent says it is.
type Host struct {
	Revision string // that runs
	Refused  string // revision that it refuses, and why
	Why      string
	Leads    bool
	Applied  string // revision that the edge is as
	Edge     string // what keeps it from that, "" for nothing
	Routers  map[string]RouterState
}

// RouterState is a Virtual Router on a host, in VRRP's words.
type RouterState struct {
	State string
	Since time.Time
	VRID  int // that is on the wire; 0 for unknown
}

// Advert is an advertisement that was seen on a LAN.
type Advert struct {
	Time      time.Time
	Host      string // that sent it
	Interface string // of that host
	VRID      int
	IPv6      bool
	Priority  int // 0 says that the host gives up
}

// Silence is a time without an answer; To is zero while it lasts.
type Silence struct {
	From, To time.Time
	Lost     int // requests
}

// For is how long it took, or has taken until now.
func (s Silence) For(now time.Time) time.Duration {
	if s.To.IsZero() {
		return now.Sub(s.From)
	}
	return s.To.Sub(s.From)
}
