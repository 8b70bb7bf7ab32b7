package schema

// Host is a machine on the LAN that runs hactl.
type Host struct {
	Address     string `json:"address"`
	Description string `json:"description,omitempty"`
	// Maintenance hands every Virtual Router over.
	Maintenance bool `json:"maintenance"`
}
