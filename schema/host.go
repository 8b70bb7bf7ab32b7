package schema

// Host is a machine on the LAN that runs hactl.
type Host struct {
	Address     string `json:"address"`
	Description string `json:"description,omitempty"`
	// Agent is the URL of this host's hactl run, for others to ask how it is.
	Agent string `json:"agent,omitempty"`
	// Maintenance hands every Virtual Router over.
	Maintenance bool `json:"maintenance"`
	// Labels are failure domains; FailureDomains adds the three short forms.
	Labels map[string]string `json:"labels,omitempty"`
	Site   string            `json:"site,omitempty"`
	Rack   string            `json:"rack,omitempty"`
	Power  string            `json:"power,omitempty"`
}

// FailureDomains are the host's labels, site, rack and power among them. The
// map is the caller's.
func (h Host) FailureDomains() map[string]string {
	domains := make(map[string]string, len(h.Labels)+3)
	for name, value := range h.Labels {
		domains[name] = value
	}
	for _, short := range h.shortLabels() {
		if short.value != "" {
			domains[short.name] = short.value
		}
	}
	return domains
}

type shortLabel struct{ name, value string }

func (h Host) shortLabels() []shortLabel {
	return []shortLabel{{"site", h.Site}, {"rack", h.Rack}, {"power", h.Power}}
}
