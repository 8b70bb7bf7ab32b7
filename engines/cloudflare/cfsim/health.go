package cfsim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
)

// Finding is what the monitor of a pool finds of one origin.
type Finding struct {
	Healthy bool   `json:"healthy"`
	Reason  string `json:"reason,omitempty"` // of a failure; "HTTP timeout occurred" if empty
	Code    int    `json:"code,omitempty"`   // HTTP status that came back, if any
	// DataCenters are those that find it so, such as "Osaka, JP"; all of them
	// if there are none.
	DataCenters []string `json:"dataCenters,omitempty"`
}

// dataCenter is the one that looks at everything.
const dataCenter = "Amsterdam, NL"

// SetHealth makes the monitor find that of an origin of a pool, both by name,
// until the next call. Without one every enabled origin is healthy.
func (s *Server) SetHealth(poolName, originName string, f Finding) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.poolNames[poolName]
	if p == nil {
		return fmt.Errorf("no pool is named %q", poolName)
	}
	if !slices.ContainsFunc(items(p.body, "origins"), func(o any) bool { return text(o.(object), "name") == originName }) {
		return fmt.Errorf("pool %s has no origin named %q", poolName, originName)
	}
	if p.findings == nil {
		p.findings = map[string]Finding{}
	}
	f.DataCenters = slices.Clone(f.DataCenters)
	p.findings[originName] = f
	return nil
}

// ConnectFrom pretends that just these connectors, by the address that each
// comes from, serve the tunnel of that name.
func (s *Server) ConnectFrom(tunnelName string, addresses ...string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tunnelNames[tunnelName]
	if t == nil {
		return fmt.Errorf("no tunnel is named %q", tunnelName)
	}
	for _, a := range addresses {
		if _, err := netip.ParseAddr(a); err != nil {
			return fmt.Errorf("%q is no address", a)
		}
	}
	was, now := len(t.connectors), stamp(s.opt.Now())
	left, kept := slices.Clone(addresses), []*connector(nil)
	for _, n := range t.connectors {
		if i := slices.Index(left, n.address); i >= 0 {
			left, kept = slices.Delete(left, i, i+1), append(kept, n)
		}
	}
	t.connectors = kept
	for _, a := range left {
		t.connectors = append(t.connectors, s.newConnector(t, a, now))
	}
	t.refreshStatus(was, now)
	return nil
}

// poolHealth reports every enabled origin, by its address, as each data center
// finds it; nothing without a monitor. UNVERIFIED: that the key of a hostname is
// that, and not what it resolves to.
func (s *Server) poolHealth(_ *call, p *pool) (reply, error) {
	pops := object{}
	if p.body["monitor"] != nil || p.body["monitor_group"] != nil {
		for _, center := range p.dataCenters() {
			pops[center] = p.healthAt(center)
		}
	}
	return body(object{"pool_id": p.id, "pop_health": pops})
}

// dataCenters are those that look at the pool.
func (p *pool) dataCenters() []string {
	all := []string{dataCenter}
	for _, f := range p.findings {
		all = append(all, f.DataCenters...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func (p *pool) healthAt(center string) object {
	origins, healthy := []any{}, 0
	for _, item := range items(p.body, "origins") {
		o := item.(object)
		if !flag(o, "enabled") {
			continue
		}
		found := object{"healthy": true, "rtt": "12.1ms", "failure_reason": "No failures", "response_code": 200}
		f, told := p.findings[text(o, "name")]
		if told && !f.Healthy && (len(f.DataCenters) == 0 || slices.Contains(f.DataCenters, center)) {
			found = object{"healthy": false, "rtt": "0s", "failure_reason": "HTTP timeout occurred", "response_code": f.Code}
			if f.Reason != "" {
				found["failure_reason"] = f.Reason
			}
		} else {
			healthy++
		}
		origins = append(origins, object{text(o, "address"): found})
	}
	return object{"healthy": healthy >= max(int(whole(p.body, "minimum_origins")), 1), "origins": origins}
}

// Control is what people change about a simulated account that no API does:
//
//	PUT /sim/tunnels/TUNNEL/connectors       ["192.0.2.11", "192.0.2.12"]
//	PUT /sim/pools/POOL/origins/ORIGIN       {"healthy": false, "reason": "TCP connection failed"}
//
// as ConnectFrom and SetHealth do. It answers 204, or 400 and why not.
func (s *Server) Control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /sim/tunnels/{tunnel}/connectors", func(w http.ResponseWriter, r *http.Request) {
		var addresses []string
		control(w, r, &addresses, func() error { return s.ConnectFrom(r.PathValue("tunnel"), addresses...) })
	})
	mux.HandleFunc("PUT /sim/pools/{pool}/origins/{origin}", func(w http.ResponseWriter, r *http.Request) {
		var f Finding
		control(w, r, &f, func() error { return s.SetHealth(r.PathValue("pool"), r.PathValue("origin"), f) })
	})
	return mux
}

func control(w http.ResponseWriter, r *http.Request, in any, do func() error) {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err == nil {
		d := json.NewDecoder(bytes.NewReader(b))
		d.DisallowUnknownFields()
		err = d.Decode(in)
	}
	if err == nil {
		err = do()
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
