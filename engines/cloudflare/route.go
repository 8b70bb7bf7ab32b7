package cloudflare

import (
	"net/netip"

	"github.com/hactl/hactl/schema"
)

// wireRoute is a private network's route (API: teamnet/routes).
type wireRoute struct {
	ID               string  `json:"id,omitempty"`
	Network          string  `json:"network"`
	TunnelID         string  `json:"tunnel_id"`
	VirtualNetworkID string  `json:"virtual_network_id,omitempty"`
	Comment          string  `json:"comment"`
	TunType          string  `json:"tun_type,omitempty"`
	TunnelName       string  `json:"tunnel_name,omitempty"`
	CreatedAt        string  `json:"created_at,omitempty"`
	DeletedAt        *string `json:"deleted_at,omitempty"`
}

// The VIP of a private load balancer is a route that Cloudflare makes, through
// a tunnel that is named after the balancer's id.
const (
	tunTypeBalancer    = "load_balancer"
	balancerTunnelName = "load-balancing-tunnel-for-"
)

func (w wireRoute) object(t *translation, comment string) schema.Route {
	cidr := w.Network
	if p, err := netip.ParsePrefix(cidr); err == nil {
		cidr = p.Masked().String()
	}
	return schema.Route{Network: t.network(w.VirtualNetworkID), CIDR: cidr, Tunnel: t.name(w.TunnelID), Comment: comment}
}

func routeWire(r schema.Route, marked string, h *handles) wireRoute {
	return wireRoute{
		Network: r.CIDR, TunnelID: h.of(schema.KindTunnel, r.Tunnel),
		VirtualNetworkID: h.of(schema.KindNetwork, r.Network), Comment: marked,
	}
}
