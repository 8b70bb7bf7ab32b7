package cloudflare

import "github.com/hactl/hactl/schema"

// wireNetwork is a virtual network (API: teamnet/virtual_networks).
type wireNetwork struct {
	ID               string  `json:"id,omitempty"`
	Name             string  `json:"name"`
	Comment          string  `json:"comment"`
	IsDefaultNetwork bool    `json:"is_default_network"`
	CreatedAt        string  `json:"created_at,omitempty"`
	DeletedAt        *string `json:"deleted_at,omitempty"`
}

func (w wireNetwork) object(comment string) schema.Network {
	return schema.Network{Name: w.Name, Comment: comment, IsDefaultNetwork: w.IsDefaultNetwork}
}

func networkWire(n schema.Network, marked string) wireNetwork {
	return wireNetwork{Name: n.Name, Comment: marked, IsDefaultNetwork: n.IsDefaultNetwork}
}
