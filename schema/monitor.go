package schema

// Monitor is a health check of load balancing. It has no name at Cloudflare;
// the marker in its description is its identity.
type Monitor struct {
	Name            string              `json:"-"`
	Type            string              `json:"type"`
	Method          string              `json:"method,omitempty"`
	Path            string              `json:"path,omitempty"`
	Port            int                 `json:"port,omitempty"`
	ExpectedCodes   string              `json:"expectedCodes,omitempty"`
	ExpectedBody    string              `json:"expectedBody,omitempty"`
	Header          map[string][]string `json:"header,omitempty"`
	FollowRedirects bool                `json:"followRedirects"`
	AllowInsecure   bool                `json:"allowInsecure"`
	ProbeZone       string              `json:"probeZone,omitempty"`
	Interval        Duration            `json:"interval"`
	Timeout         Duration            `json:"timeout"`
	Retries         int                 `json:"retries"`
	ConsecutiveUp   int                 `json:"consecutiveUp"`
	ConsecutiveDown int                 `json:"consecutiveDown"`
	Description     string              `json:"description,omitempty"`
	Protect         bool                `json:"protect,omitempty"`
}

func (m Monitor) ID() ID          { return ID{KindMonitor, m.Name} }
func (m Monitor) Refs() []ID      { return nil }
func (m Monitor) Protected() bool { return m.Protect }
func (m Monitor) Blank() Object {
	return Monitor{Name: m.Name, Type: "http", Interval: Seconds(60), Timeout: Seconds(5), Retries: 2}.WithDefaults()
}
func (Monitor) sealed() {}

// HTTP tells whether the monitor speaks HTTP.
func (m Monitor) HTTP() bool { return m.Type == "http" || m.Type == "https" }

// WithDefaults fills in what depends on the type.
func (m Monitor) WithDefaults() Monitor {
	switch {
	case m.HTTP():
		if m.Method == "" {
			m.Method = "GET"
		}
		if m.Path == "" {
			m.Path = "/"
		}
		if m.ExpectedCodes == "" {
			m.ExpectedCodes = "200"
		}
	case m.Type == "tcp":
		if m.Method == "" {
			m.Method = "connection_established"
		}
	}
	return m
}
