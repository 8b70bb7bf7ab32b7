package schema

import "slices"

// The events that a Notification may be about.
const (
	OnTransition = "transition" // a Virtual Router has become active, or is in trouble
	OnRefused    = "refused"    // a revision was refused
	OnApplied    = "applied"    // a revision was applied
	OnFailed     = "failed"     // a revision could not be applied
	OnDrift      = "drift"      // what there is has drifted from the specification
	OnLeader     = "leader"     // this host begins or ends writing to Cloudflare
)

// The types of a Notification.
const (
	NotifyWebhook = "webhook"
	NotifySlack   = "slack"
)

// Notification tells somebody what happens. It is no Object: nothing of it is
// compared or applied.
type Notification struct {
	Type    string     `json:"type"`
	URL     string     `json:"url,omitempty"`
	URLFrom *SecretRef `json:"urlFrom,omitempty"`
	Secret  *SecretRef `json:"secret,omitempty"`
	// On lists events; empty means DefaultEvents.
	On []string `json:"on,omitempty"`
	// Hosts that send; empty means all.
	Hosts []string `json:"hosts,omitempty"`
	// Window is how long the same message is not sent again, and the span in
	// which Most messages of one subject are sent.
	Window Duration `json:"window"`
	Most   int      `json:"most"`
}

// DefaultEvents are those that a Notification is about unless it says so.
func DefaultEvents() []string { return []string{OnTransition, OnRefused, OnFailed, OnDrift} }

// Wants tells whether the event is to be told, by that host. The empty host,
// one without a name in the specification, is among "all" only.
func (n Notification) Wants(event, host string) bool {
	on := n.On
	if len(on) == 0 {
		on = DefaultEvents()
	}
	return slices.Contains(on, event) && (len(n.Hosts) == 0 || slices.Contains(n.Hosts, host))
}
