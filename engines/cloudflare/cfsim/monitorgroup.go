package cfsim

import (
	"fmt"
	"net/http"
)

// monitorGroup is several monitors that a pool uses as one.
type monitorGroup struct {
	entry
	pools map[string]*pool
}

func (s *Server) serveMonitorGroups() {
	const base = "/accounts/{account}/load_balancers/monitor_groups"
	s.shapes.monitorGroup = record(map[string]*shape{
		"id": str().ro(), "created_on": str().ro(), "modified_on": str().ro(),
		"description": str().need(),
		"members": list(record(map[string]*shape{
			"monitor_id": str().need().that(isHexID), "enabled": boolean().need(), "monitoring_only": boolean().need(),
			"must_be_healthy": boolean().need(), "created_at": str().ro(), "updated_at": str().ro(),
		})).need(),
	})
	s.handle("GET "+base, s.listMonitorGroups)
	s.handle("POST "+base, s.createMonitorGroup)
	s.handle("GET "+base+"/{id}", s.withMonitorGroup(func(c *call, g *monitorGroup) (reply, error) { return one(g) }))
	// A PATCH requires the same fields as a PUT.
	s.handle("PUT "+base+"/{id}", s.withMonitorGroup(s.replaceMonitorGroup))
	s.handle("PATCH "+base+"/{id}", s.withMonitorGroup(s.replaceMonitorGroup))
	s.handle("DELETE "+base+"/{id}", s.withMonitorGroup(s.deleteMonitorGroup))
	s.handle("GET "+base+"/{id}/references", s.withMonitorGroup(s.monitorGroupReferences))
}

func (s *Server) withMonitorGroup(h func(*call, *monitorGroup) (reply, error)) func(*call) (reply, error) {
	return func(c *call) (reply, error) {
		g := s.monitorGroups.byID[c.id()]
		if g == nil {
			return reply{}, errNoObject("monitor group")
		}
		return h(c, g)
	}
}

func (s *Server) listMonitorGroups(*call) (reply, error) {
	parts := make([][]byte, len(s.monitorGroups.order))
	for i, g := range s.monitorGroups.order {
		parts[i] = g.json()
	}
	return unpaged(parts)
}

// readMonitorGroup: a member that does not exist is answered 412 (its code is UNVERIFIED).
func (s *Server) readMonitorGroup(c *call) (object, error) {
	in, err := c.read(s.shapes.monitorGroup, false)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for i, item := range items(in, "members") {
		id := text(item.(object), "monitor_id")
		if s.monitors.byID[id] == nil {
			return nil, refuse(http.StatusPreconditionFailed, codeNotFound, "members[%d].monitor_id: monitor %s does not exist", i, id)
		}
		if seen[id] {
			return nil, invalid("members[%d].monitor_id: monitor %s is already a member", i, id)
		}
		seen[id] = true
	}
	return in, nil
}

func (s *Server) createMonitorGroup(c *call) (reply, error) {
	in, err := s.readMonitorGroup(c)
	if err != nil {
		return reply{}, err
	}
	g := &monitorGroup{pools: map[string]*pool{}}
	g.id = s.newHex("monitor group", text(in, "description"))
	in["created_on"] = c.now
	s.storeMonitorGroup(c, g, in)
	s.monitorGroups.put(g)
	return one(g)
}

func (s *Server) replaceMonitorGroup(c *call, g *monitorGroup) (reply, error) {
	in, err := s.readMonitorGroup(c)
	if err != nil {
		return reply{}, err
	}
	in["created_on"] = g.body["created_on"]
	s.storeMonitorGroup(c, g, in)
	return one(g)
}

func (s *Server) storeMonitorGroup(c *call, g *monitorGroup, o object) {
	joined := s.dropMembers(g)
	o["id"], o["modified_on"] = g.id, c.now
	for _, item := range items(o, "members") {
		member := item.(object)
		id := text(member, "monitor_id")
		member["created_at"], member["updated_at"] = c.now, c.now
		if at := joined[id]; at != nil {
			member["created_at"] = at
		}
		s.monitors.byID[id].groups[g.id] = g
	}
	g.set(o)
}

// dropMembers releases the group's monitors and tells since when each was a member.
func (s *Server) dropMembers(g *monitorGroup) map[string]any {
	joined := map[string]any{}
	for _, item := range items(g.body, "members") {
		member := item.(object)
		id := text(member, "monitor_id")
		joined[id] = member["created_at"]
		delete(s.monitors.byID[id].groups, g.id)
	}
	return joined
}

func (s *Server) deleteMonitorGroup(c *call, g *monitorGroup) (reply, error) {
	if len(g.pools) > 0 {
		return reply{}, errInUse("monitor group", fmt.Sprintf("%d pools", len(g.pools)))
	}
	s.dropMembers(g)
	s.monitorGroups.drop(g.id)
	return one(g)
}

func (s *Server) monitorGroupReferences(c *call, g *monitorGroup) (reply, error) {
	refs := []any{}
	for _, id := range sortedKeys(g.pools) {
		refs = append(refs, referrer(id, g.pools[id].name, "pool"))
	}
	return body(refs)
}
