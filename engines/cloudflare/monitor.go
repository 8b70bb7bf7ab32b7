package cloudflare

import (
	"net/http"

	"github.com/hactl/hactl/schema"
)

// wireMonitor is a health check (API: load_balancers/monitors).
type wireMonitor struct {
	ID              string              `json:"id,omitempty"`
	Type            string              `json:"type"`
	Method          string              `json:"method,omitempty"`
	Path            string              `json:"path,omitempty"`
	Port            *int                `json:"port,omitempty"`
	ExpectedCodes   string              `json:"expected_codes,omitempty"`
	ExpectedBody    string              `json:"expected_body,omitempty"`
	Header          map[string][]string `json:"header,omitempty"`
	FollowRedirects *bool               `json:"follow_redirects,omitempty"`
	AllowInsecure   *bool               `json:"allow_insecure,omitempty"`
	ProbeZone       string              `json:"probe_zone,omitempty"`
	Interval        int                 `json:"interval"`
	Timeout         int                 `json:"timeout"`
	Retries         int                 `json:"retries"`
	ConsecutiveUp   int                 `json:"consecutive_up,omitempty"`
	ConsecutiveDown int                 `json:"consecutive_down,omitempty"`
	Description     string              `json:"description"`
	CreatedOn       string              `json:"created_on,omitempty"`
}

func (w wireMonitor) object(name, description string) schema.Monitor {
	m := schema.Monitor{
		Name: name, Type: w.Type, Method: w.Method, Path: w.Path, Port: value(w.Port), ExpectedCodes: w.ExpectedCodes,
		ExpectedBody: w.ExpectedBody, Header: headers(w.Header), FollowRedirects: value(w.FollowRedirects),
		AllowInsecure: value(w.AllowInsecure), ProbeZone: w.ProbeZone, Interval: schema.Seconds(w.Interval),
		Timeout: schema.Seconds(w.Timeout), Retries: w.Retries, ConsecutiveUp: w.ConsecutiveUp,
		ConsecutiveDown: w.ConsecutiveDown, Description: description,
	}
	if m.Type == "" {
		m.Type = "http"
	}
	return normalizeMonitor(m)
}

// normalizeMonitor drops what a type does not have: the API fills in paths
// and codes for monitors that never look at them.
func normalizeMonitor(m schema.Monitor) schema.Monitor {
	m = m.WithDefaults()
	m.Header = headers(m.Header)
	if m.Type == "http" && m.Port == 80 || m.Type == "https" && m.Port == 443 {
		m.Port = 0 // The same as leaving it out.
	}
	if !m.HTTP() {
		m.Path, m.ExpectedCodes, m.ExpectedBody, m.Header = "", "", "", nil
		m.FollowRedirects, m.AllowInsecure = false, false
		if m.Type != "tcp" {
			m.Method = ""
		}
	}
	return m
}

func monitorWire(m schema.Monitor, marked string) wireMonitor {
	interval, _ := m.Interval.Whole()
	timeout, _ := m.Timeout.Whole()
	w := wireMonitor{
		Type: m.Type, Method: m.Method, Path: m.Path, ExpectedCodes: m.ExpectedCodes, ExpectedBody: m.ExpectedBody,
		Header: m.Header, ProbeZone: m.ProbeZone, Interval: interval, Timeout: timeout, Retries: m.Retries,
		ConsecutiveUp: m.ConsecutiveUp, ConsecutiveDown: m.ConsecutiveDown, Description: marked,
	}
	if m.Port != 0 {
		w.Port = new(m.Port)
	}
	if m.HTTP() {
		w.FollowRedirects, w.AllowInsecure = new(m.FollowRedirects), new(m.AllowInsecure)
	}
	return w
}

// headers puts names into their canonical form; an empty map is nil. One
// recording shows "host" where others have "Host".
func headers(h map[string][]string) map[string][]string {
	if len(h) == 0 {
		return nil
	}
	out := make(map[string][]string, len(h))
	for name, values := range h {
		out[http.CanonicalHeaderKey(name)] = values
	}
	return out
}

// value is what a pointer points to, the zero value for nil.
func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}

// or is what a pointer points to, the default for nil.
func or[T any](p *T, fallback T) T {
	if p == nil {
		return fallback
	}
	return *p
}
