package cfsim

import "net/http"

// network is a virtual network. Exactly one live network is the default.
type network struct {
	entry
	name    string
	routes  int // live ones
	origins int // of pools
}

func (s *Server) serveNetworks() {
	const base = "/accounts/{account}/teamnet/virtual_networks"
	fields := func() map[string]*shape {
		return map[string]*shape{
			"name":               str().upTo(256),
			"comment":            str().upTo(256).fill(""),
			"is_default_network": boolean(),
		}
	}
	create := fields()
	create["name"].need()
	create["is_default"] = boolean() // deprecated alias, write-only, only on create
	s.shapes.networkCreate, s.shapes.networkUpdate = record(create), record(fields())
	s.handle("GET "+base, s.listNetworks, "id", "name", "is_default", "is_default_network", "is_deleted")
	s.handle("POST "+base, s.createNetwork)
	s.handle("GET "+base+"/{id}", s.withNetwork(func(c *call, n *network) (reply, error) { return one(n) }))
	s.handle("PATCH "+base+"/{id}", s.withNetwork(s.updateNetwork))
	s.handle("DELETE "+base+"/{id}", s.withNetwork(s.deleteNetwork), "force")
}

// addDefaultNetwork: every account has one from the start.
func (s *Server) addDefaultNetwork() {
	n := s.newNetwork("default", "This network was automatically generated because it is required by default.", stamp(s.born()))
	s.defaultNet = n
	n.body["is_default_network"] = true
}

func (s *Server) newNetwork(name, comment, now string) *network {
	n := &network{name: name}
	n.id = s.newUUID("network", name)
	n.set(object{"id": n.id, "name": name, "comment": comment, "is_default_network": false, "created_at": now, "deleted_at": nil})
	s.networks.put(n)
	s.networkNames[name] = n
	return n
}

// withNetwork finds the path's network. UNVERIFIED: the code of one that does not exist.
func (s *Server) withNetwork(h func(*call, *network) (reply, error)) func(*call) (reply, error) {
	return func(c *call) (reply, error) {
		n := s.networks.byID[c.id()]
		if n == nil || n.deleted() && c.Method != http.MethodGet {
			return reply{}, refuse(http.StatusNotFound, codeNotUnique, "Virtual network not found")
		}
		return h(c, n)
	}
}

// liveNetwork finds a network that another object refers to.
func (s *Server) liveNetwork(id string) *network {
	if n := s.networks.byID[id]; n != nil && !n.deleted() {
		return n
	}
	return nil
}

// listNetworks answers everything in one page of 1000 (recorded; the OpenAPI file has no paging parameters).
func (s *Server) listNetworks(c *call) (reply, error) {
	alive, err := c.liveness()
	if err != nil {
		return reply{}, err
	}
	isDefault, err := c.boolean("is_default_network")
	if err != nil {
		return reply{}, err
	}
	if isDefault == nil {
		if isDefault, err = c.boolean("is_default"); err != nil {
			return reply{}, err
		}
	}
	q := c.query
	var found []*network
	for _, n := range s.networks.order {
		if alive(&n.entry) && (isDefault == nil || *isDefault == flag(n.body, "is_default_network")) &&
			(!q.Has("name") || q.Get("name") == n.name) && (!q.Has("id") || q.Get("id") == n.id) {
			found = append(found, n)
		}
	}
	return paged(page{1, max(1000, len(found))}, len(found), func(i int) []byte { return found[i].json() })
}

func (s *Server) createNetwork(c *call) (reply, error) {
	in, err := c.read(s.shapes.networkCreate, false)
	if err != nil {
		return reply{}, err
	}
	s.shapes.networkCreate.complete(in)
	if s.networkNames[text(in, "name")] != nil {
		return reply{}, errNetworkName()
	}
	n := s.newNetwork(text(in, "name"), text(in, "comment"), c.now)
	if flag(in, "is_default_network") || flag(in, "is_default") {
		s.makeDefault(n)
	}
	return one(n)
}

// errNetworkName: UNVERIFIED code, in analogy to a tunnel's.
func errNetworkName() error {
	return refuse(http.StatusConflict, 1013, "You already have a virtual network with this name")
}

func (s *Server) makeDefault(n *network) {
	s.defaultNet.body["is_default_network"], s.defaultNet.raw = false, nil
	s.defaultNet = n
	n.body["is_default_network"], n.raw = true, nil
}

func (s *Server) updateNetwork(c *call, n *network) (reply, error) {
	in, err := c.read(s.shapes.networkUpdate, true)
	if err != nil {
		return reply{}, err
	}
	name, renaming := in["name"].(string)
	switch {
	case renaming && name == "":
		return reply{}, invalid("name: must not be empty")
	case renaming && name != n.name && s.networkNames[name] != nil:
		return reply{}, errNetworkName()
	case in["is_default_network"] == false && n == s.defaultNet:
		// UNVERIFIED: the flag only moves, by making another network the default.
		return reply{}, invalid("is_default_network: make another network the default instead")
	}
	if renaming && name != n.name {
		delete(s.networkNames, n.name)
		s.networkNames[name] = n
		n.name, n.body["name"] = name, name
		s.renamed()
	}
	if comment, ok := in["comment"].(string); ok {
		n.body["comment"] = comment
	}
	if in["is_default_network"] == true {
		s.makeDefault(n)
	}
	n.raw = nil
	return one(n)
}

// deleteNetwork refuses the default network and one that is in use. force, which only cloudflared sends, takes the
// routes along. UNVERIFIED: the codes; and that origins count as use.
func (s *Server) deleteNetwork(c *call, n *network) (reply, error) {
	force, err := c.boolean("force")
	if err != nil {
		return reply{}, err
	}
	switch {
	case n == s.defaultNet:
		return reply{}, refuse(http.StatusConflict, codeInUse, "Cannot delete the default virtual network")
	case n.origins > 0:
		return reply{}, refuse(http.StatusConflict, codeInUse, "Virtual network is used by %d origins", n.origins)
	case n.routes > 0 && (force == nil || !*force):
		return reply{}, refuse(http.StatusConflict, codeInUse, "Virtual network is used by %d routes", n.routes)
	}
	for _, r := range s.routes.order {
		if r.network == n && !r.deleted() {
			s.removeRoute(r, c.now)
		}
	}
	delete(s.networkNames, n.name)
	n.body["deleted_at"], n.raw = c.now, nil
	return one(n)
}
