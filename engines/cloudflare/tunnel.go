package cloudflare

import "github.com/hactl/hactl/schema"

// wireTunnel is a tunnel (API: cfd_tunnel).
type wireTunnel struct {
	ID           string           `json:"id,omitempty"`
	Name         string           `json:"name"`
	ConfigSrc    string           `json:"config_src,omitempty"`
	RemoteConfig *bool            `json:"remote_config,omitempty"`
	TunnelSecret string           `json:"tunnel_secret,omitempty"`
	Status       string           `json:"status,omitempty"`
	Connections  []wireConnection `json:"connections,omitempty"`
	CreatedAt    string           `json:"created_at,omitempty"`
	DeletedAt    *string          `json:"deleted_at,omitempty"`
}

type wireConnection struct {
	ClientID           string `json:"client_id"`
	ClientVersion      string `json:"client_version"`
	OriginIP           string `json:"origin_ip"` // public, of the host
	OpenedAt           string `json:"opened_at"`
	IsPendingReconnect bool   `json:"is_pending_reconnect"`
}

func (w wireTunnel) object() schema.Tunnel {
	t := schema.Tunnel{Name: w.Name, ConfigSrc: "cloudflare"}
	// config_src is absent from older answers, which have remote_config.
	if w.ConfigSrc == "local" || w.ConfigSrc == "" && w.RemoteConfig != nil && !*w.RemoteConfig {
		t.ConfigSrc = "local"
	}
	// connections is deprecated and may be empty; the status tells then.
	t.Connections = len(w.Connections)
	if t.Connections == 0 && (w.Status == "healthy" || w.Status == "degraded") {
		t.Connections = 1
	}
	return t
}
