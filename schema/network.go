package schema

// Network is a virtual network of Cloudflare One.
type Network struct {
	Name             string `json:"-"`
	Comment          string `json:"comment,omitempty"`
	IsDefaultNetwork bool   `json:"isDefaultNetwork"`
	Protect          bool   `json:"protect,omitempty"`
}

func (n Network) ID() ID          { return ID{KindNetwork, n.Name} }
func (n Network) Refs() []ID      { return nil }
func (n Network) Protected() bool { return n.Protect }
func (n Network) Blank() Object   { return Network{Name: n.Name} }
func (Network) sealed()           {}
