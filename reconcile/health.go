package reconcile

import "time"

// Health is how that which a specification has at the edge does, as Cloudflare
// saw it last, by name in the specification. What is absent is not known.
type Health struct {
	Read    time.Time               `json:"read,omitzero"`
	Tunnels map[string]TunnelHealth `json:"tunnels,omitempty"`
	Pools   map[string]PoolHealth   `json:"pools,omitempty"`
	// Err says what of it could not be read, or why it was not read since.
	Err string `json:"error,omitempty"`
}

// TunnelHealth is a tunnel and who is connected for it.
type TunnelHealth struct {
	// Status is "healthy", "degraded", "down" or "inactive" (API: cfd_tunnel).
	Status     string            `json:"status"`
	Connectors []ConnectorHealth `json:"connectors,omitempty"`
}

// ConnectorHealth is a cloudflared that is connected now.
type ConnectorHealth struct {
	ID          string    `json:"id"`
	Address     string    `json:"address,omitempty"` // it comes from
	Version     string    `json:"version,omitempty"`
	Connections int       `json:"connections"`
	Since       time.Time `json:"since,omitzero"`
}

// PoolHealth is a pool, as its monitor finds it.
type PoolHealth struct {
	// Healthy: enough origins are.
	Healthy bool                    `json:"healthy"`
	Origins map[string]OriginHealth `json:"origins,omitempty"`
}

// OriginHealth is an origin: healthy if most data centres that look find it so.
type OriginHealth struct {
	Healthy bool `json:"healthy"`
	// Reason is Cloudflare's for a failure.
	Reason string `json:"reason,omitempty"`
	Code   int    `json:"code,omitempty"` // HTTP status
}
