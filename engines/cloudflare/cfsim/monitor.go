package cfsim

import (
	"fmt"
	"net/http"
	"strings"
)

// monitor is a health check. It has no name; only its description tells two apart.
type monitor struct {
	entry
	pools  map[string]*pool // that use it
	groups map[string]*monitorGroup
}

func (s *Server) serveMonitors() {
	const base = "/accounts/{account}/load_balancers/monitors"
	// The limits of the counters are not documented; these only keep out nonsense (UNVERIFIED).
	s.shapes.monitor = record(map[string]*shape{
		"allow_insecure":   boolean().fill(false),
		"consecutive_down": integer().between(0, 100),
		"consecutive_up":   integer().between(0, 100),
		"description":      str().fill(""),
		"expected_body":    str(),
		"expected_codes":   str(),
		"follow_redirects": boolean().fill(false),
		"header":           dict(list(str())).fill(object{}),
		"interval":         integer().fill(int64(60)),
		"method":           str(),
		"path":             str(),
		"port":             integer().between(0, 65535).orNull(),
		"probe_zone":       str().fill(""),
		"retries":          integer().between(0, 100).fill(int64(2)),
		"timeout":          integer().between(1, 3600).fill(int64(5)),
		"type":             str().oneOf("http", "https", "tcp", "udp_icmp", "icmp_ping", "smtp").fill("http"),
	})
	s.handle("GET "+base, s.listMonitors)
	s.handle("POST "+base, s.createMonitor)
	s.handle("GET "+base+"/{id}", s.withMonitor(func(c *call, m *monitor) (reply, error) { return one(m) }))
	s.handle("PUT "+base+"/{id}", s.withMonitor(s.replaceMonitor))
	s.handle("PATCH "+base+"/{id}", s.withMonitor(s.updateMonitor))
	s.handle("DELETE "+base+"/{id}", s.withMonitor(s.deleteMonitor))
	s.handle("GET "+base+"/{id}/references", s.withMonitor(s.monitorReferences))
}

func (s *Server) withMonitor(h func(*call, *monitor) (reply, error)) func(*call) (reply, error) {
	return func(c *call) (reply, error) {
		m := s.monitors.byID[c.id()]
		if m == nil {
			return reply{}, errNoObject("monitor")
		}
		return h(c, m)
	}
}

func errNoObject(kind string) error {
	return refuse(http.StatusNotFound, codeNotFound, "%s not found: object does not exist", kind)
}

// errInUse: also when the reference is an inactive geo map (recorded).
func errInUse(kind, by string) error {
	return refuse(http.StatusPreconditionFailed, codeInUse, "%s is in use: referenced by %s", kind, by)
}

func (s *Server) listMonitors(*call) (reply, error) {
	parts := make([][]byte, len(s.monitors.order))
	for i, m := range s.monitors.order {
		parts[i] = m.json()
	}
	return unpaged(parts)
}

// finishMonitor fills the defaults in and checks what one field alone cannot tell.
//
//	type    method                  path  expected_codes
//	http(s) GET                     /     200
//	tcp     connection_established  -     -
//	others  -                       -     -
//
// port and the counters are left out when zero (recorded). UNVERIFIED: what types other than http carry.
func (s *Server) finishMonitor(o object) error {
	s.shapes.monitor.complete(o)
	typ := text(o, "type")
	def := object{}
	switch typ {
	case "http", "https":
		def = object{"method": "GET", "path": "/", "expected_codes": "200"}
	case "tcp":
		def = object{"method": "connection_established"}
	}
	for key, v := range def {
		if text(o, key) == "" {
			o[key] = v
		}
	}
	for _, key := range []string{"port", "consecutive_up", "consecutive_down"} {
		if whole(o, key) == 0 {
			delete(o, key)
		}
	}
	canonicalHeader(child(o, "header"))

	lowest := int64(15)
	if s.opt.Enterprise {
		lowest = 10
	}
	interval, timeout, retries := whole(o, "interval"), whole(o, "timeout"), whole(o, "retries")
	switch {
	case interval < lowest || interval > 3600:
		return invalid("interval: is not in range [%d, 3600]", lowest)
	case timeout*(retries+1) > interval:
		// UNVERIFIED that the server checks it; the documentation asks for it.
		return invalid("interval: %d is too short for %d tries of %d seconds", interval, retries+1, timeout)
	case (typ == "tcp" || typ == "udp_icmp" || typ == "smtp") && o["port"] == nil:
		return invalid("port: is required for %s", typ)
	}
	return nil
}

// canonicalHeader: Host comes back in this spelling; other names are kept as they were sent.
func canonicalHeader(h object) {
	for _, name := range sortedKeys(h) {
		if name != "Host" && strings.EqualFold(name, "Host") {
			h["Host"] = h[name]
			delete(h, name)
		}
	}
}

func (s *Server) createMonitor(c *call) (reply, error) {
	in, err := c.read(s.shapes.monitor, false)
	if err != nil {
		return reply{}, err
	}
	if err := s.finishMonitor(in); err != nil {
		return reply{}, err
	}
	m := &monitor{pools: map[string]*pool{}, groups: map[string]*monitorGroup{}}
	m.id = s.newHex("monitor", text(in, "description"))
	in["id"], in["created_on"], in["modified_on"] = m.id, c.now, c.now
	m.set(in)
	s.monitors.put(m)
	return one(m)
}

func (s *Server) replaceMonitor(c *call, m *monitor) (reply, error) {
	in, err := c.read(s.shapes.monitor, false)
	if err != nil {
		return reply{}, err
	}
	return s.storeMonitor(c, m, in)
}

// updateMonitor: the OpenAPI file requires expected_codes in every PATCH.
func (s *Server) updateMonitor(c *call, m *monitor) (reply, error) {
	in, err := c.read(s.shapes.monitor, true)
	if err != nil {
		return reply{}, err
	}
	if in["expected_codes"] == nil {
		return reply{}, invalid("expected_codes: is required")
	}
	return s.storeMonitor(c, m, merge(m.body, in))
}

func (s *Server) storeMonitor(c *call, m *monitor, o object) (reply, error) {
	if err := s.finishMonitor(o); err != nil {
		return reply{}, err
	}
	o["id"], o["created_on"], o["modified_on"] = m.id, m.body["created_on"], c.now
	m.set(o)
	return one(m)
}

func (s *Server) deleteMonitor(c *call, m *monitor) (reply, error) {
	if n := len(m.pools) + len(m.groups); n > 0 {
		return reply{}, errInUse("monitor", fmt.Sprintf("%d pools or monitor groups", n))
	}
	s.monitors.drop(m.id)
	return body(object{"id": m.id})
}

func (s *Server) monitorReferences(c *call, m *monitor) (reply, error) {
	refs := []any{}
	for _, id := range sortedKeys(m.groups) {
		refs = append(refs, referrer(id, text(m.groups[id].body, "description"), "monitor_group"))
	}
	for _, id := range sortedKeys(m.pools) {
		refs = append(refs, referrer(id, m.pools[id].name, "pool"))
	}
	return body(refs)
}

func referrer(id, name, kind string) object {
	return object{"reference_type": "referrer", "resource_id": id, "resource_name": name, "resource_type": kind}
}
