package schema

// Host is a machine on the LAN that runs hactl.
type Host struct {
	Address     string `json:"address"`
	Description string `json:"description,omitempty"`
	// Agent is the URL of this host's hactl run, for others to ask how it is.
	Agent string `json:"agent,omitempty"`
	// Maintenance hands every Virtual Router over.
	Maintenance bool `json:"maintenance"`
}
