package cloudflare

import (
	"strings"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/schema"
)

// reading turns a snapshot into entries.
type reading struct {
	*snapshot
	scope  reconcile.Scope
	names  names
	hashed map[schema.Kind][]schema.ID // the wanted objects of kinds with short texts
	live   reconcile.Live
}

// live is the pure half of Read: from wire forms to entries.
func (s *snapshot) live(scope reconcile.Scope) reconcile.Live {
	r := &reading{
		snapshot: s, scope: scope,
		names:  names{byHandle: map[reconcile.Handle]string{}},
		hashed: map[schema.Kind][]schema.ID{},
		live:   reconcile.Live{Unknown: s.unknown},
	}
	for id := range scope.Objects {
		if schema.TextLimit(id.Kind) > 0 {
			r.hashed[id.Kind] = append(r.hashed[id.Kind], id)
		}
	}
	r.nameThings()
	r.networkEntries()
	r.tunnelEntries()
	vips := r.routeEntries()
	r.monitorEntries()
	r.poolEntries()
	r.balancerEntries(vips)
	r.recordEntries()
	return r.live
}

// nameThings gives names to the ids of what a specification can refer to. Of
// two objects with one name, the older keeps it; the other stays an id, so
// that what refers to it shows.
func (r *reading) nameThings() {
	type claim struct {
		handle  reconcile.Handle
		created string
	}
	claims := map[schema.ID]claim{}
	led, others := r.ledTo()
	give := func(kind schema.Kind, name, handle, created string, owned bool) {
		id := schema.ID{Kind: kind, Name: name}
		// A name in a plan always means the specification's object; what is
		// foreign is known by its id.
		if !owned {
			return
		}
		if c, taken := claims[id]; taken && c.created <= created {
			return
		} else if taken {
			delete(r.names.byHandle, c.handle)
		}
		claims[id] = claim{reconcile.Handle(handle), created}
		r.names.byHandle[reconcile.Handle(handle)] = name
	}
	for _, n := range r.networks {
		if n.IsDefaultNetwork {
			r.names.defaultNetwork = reconcile.Handle(n.ID)
		}
		owned := r.mark(n.Comment, schema.ID{Kind: schema.KindNetwork, Name: n.Name}).owned
		give(schema.KindNetwork, n.Name, n.ID, n.CreatedAt, owned)
	}
	for _, t := range r.tunnels {
		give(schema.KindTunnel, t.Name, t.ID, t.CreatedAt, r.ownership(t, led, others).owned)
	}
	for _, m := range r.monitors {
		if _, marker, ok := schema.Unmark(m.Description); ok && marker.Stack == r.scope.Stack && marker.ID.Kind == schema.KindMonitor {
			give(schema.KindMonitor, marker.ID.Name, m.ID, m.CreatedOn, true)
		}
	}
	for _, p := range r.pools {
		owned := r.mark(p.Description, schema.ID{Kind: schema.KindPool, Name: p.Name}).owned
		give(schema.KindPool, p.Name, p.ID, p.CreatedOn, owned)
	}
}

// mark is what an object's free text says about who owns it.
type mark struct {
	user      string // the text without the marker, the whole of it if not owned
	owned     bool   // this stack's marker, and naming this very object
	protected bool
	stack     string // the other stack that the marker names
}

// mark reads a marker. One that names another object, such as in a copy, does
// not make this one owned.
func (r *reading) mark(text string, natural schema.ID) mark {
	user, marker, ok := schema.Unmark(text)
	switch {
	case !ok:
		return mark{user: text}
	case marker.Stack != r.scope.Stack:
		return mark{user: text, stack: marker.Stack}
	case !marker.Names(r.scope.Stack, natural):
		return mark{user: text}
	}
	return mark{user: user, owned: true, protected: marker.Protected}
}

func (r *reading) translation() *translation { return &translation{names: &r.names} }

func (r *reading) add(o schema.Object, handle, created string, m mark, refers []reconcile.Handle) {
	r.live.Entries = append(r.live.Entries, reconcile.Entry{
		Object: o, Handle: reconcile.Handle(handle), Created: created, Owned: m.owned, Stack: m.stack, Refers: refers,
	})
}

func (r *reading) networkEntries() {
	for _, n := range r.networks {
		if n.DeletedAt != nil {
			continue
		}
		m := r.mark(n.Comment, schema.ID{Kind: schema.KindNetwork, Name: n.Name})
		o := n.object(m.user)
		o.Protect = m.protected
		r.add(o, n.ID, n.CreatedAt, m, nil)
	}
}

// ownership tells whose a tunnel is. It has no free text: it is owned if the
// journal says so, or if the specification names it, an object that this stack
// made leads to it, and no other stack's does.
func (r *reading) ownership(t wireTunnel, led map[string]bool, others map[string]string) mark {
	id := schema.ID{Kind: schema.KindTunnel, Name: t.Name}
	_, wanted := r.scope.Objects[id]
	if r.scope.Journal.Owns(id, reconcile.Handle(t.ID), wanted, t.CreatedAt) || wanted && led[t.ID] && others[t.ID] == "" {
		return mark{owned: true}
	}
	return mark{stack: others[t.ID]}
}

// tunnelEntries adds the tunnels and the configurations that were read.
func (r *reading) tunnelEntries() {
	led, others := r.ledTo()
	for _, t := range r.tunnels {
		if t.DeletedAt != nil {
			continue
		}
		m := r.ownership(t, led, others)
		r.add(t.object(), t.ID, t.CreatedAt, m, nil)
		if config, ok := r.configs[t.ID]; ok && config.Config != nil {
			r.add(config.object(t.Name), t.ID, t.CreatedAt, m, []reconcile.Handle{reconcile.Handle(t.ID)})
		}
	}
}

// ledTo finds the tunnels that objects of this stack lead to, by the name that
// the specification gives the tunnel, and those that another stack's do.
func (r *reading) ledTo() (led map[string]bool, others map[string]string) {
	led, others = map[string]bool{}, map[string]string{}
	names := map[string]string{}
	for _, t := range r.tunnels {
		if t.DeletedAt == nil {
			names[t.ID] = t.Name
		}
	}
	lead := func(text, tunnel string, byName func(schema.ID) bool) {
		_, marker, ok := schema.Unmark(text)
		switch {
		case !ok:
		case marker.Stack != r.scope.Stack:
			others[tunnel] = marker.Stack
		case byName(marker.ID):
			led[tunnel] = true
		}
	}
	for _, route := range r.routes {
		// Routes are made for this stack's own tunnels only.
		lead(route.Comment, route.TunnelID, func(schema.ID) bool { return true })
	}
	for _, records := range r.records {
		for _, record := range records {
			if handle, ok := tunnelHandle(record.Content); ok {
				lead(value(record.Comment), handle, func(id schema.ID) bool {
					wanted, ok := r.scope.Objects[id].(schema.DNSRecord)
					return ok && wanted.Tunnel == names[handle]
				})
			}
		}
	}
	for _, p := range r.pools {
		for _, o := range p.Origins {
			if handle, ok := tunnelHandle(o.Address); ok {
				lead(p.Description, handle, func(id schema.ID) bool {
					wanted, ok := r.scope.Objects[id].(schema.Pool)
					return ok && wanted.Origins[o.Name].Tunnel == names[handle]
				})
			}
		}
	}
	return led, others
}

// routeEntries adds the routes and returns the addresses of private load
// balancers by their ids: Cloudflare makes a route for each.
func (r *reading) routeEntries() map[string]string {
	vips := map[string]string{}
	for _, w := range r.routes {
		if w.DeletedAt != nil {
			continue
		}
		if w.TunType == tunTypeBalancer {
			if balancer, ok := strings.CutPrefix(w.TunnelName, balancerTunnelName); ok {
				vips[balancer] = strings.TrimSuffix(w.Network, "/32")
			}
			continue
		}
		t := r.translation()
		o := w.object(t, "")
		m := r.mark(w.Comment, o.ID())
		o.Comment, o.Protect = m.user, m.protected
		r.add(o, w.ID, w.CreatedAt, m, t.refers)
	}
	return vips
}

func (r *reading) monitorEntries() {
	for _, w := range r.monitors {
		m, name := r.byMarker(w.Description, schema.KindMonitor)
		if !m.owned {
			name = schema.ForeignRef(w.ID)
		}
		o := w.object(name, m.user)
		o.Protect = m.protected
		r.add(o, w.ID, w.CreatedOn, m, nil)
	}
}

// byMarker reads the marker of an object that has no name but the marker's.
func (r *reading) byMarker(text string, kind schema.Kind) (m mark, name string) {
	_, marker, ok := schema.Unmark(text)
	if !ok || marker.ID.Kind != kind {
		return mark{user: text}, ""
	}
	return r.mark(text, marker.ID), r.unhash(marker)
}

func (r *reading) poolEntries() {
	for _, p := range r.pools {
		t := r.translation()
		m := r.mark(p.Description, schema.ID{Kind: schema.KindPool, Name: p.Name})
		o := p.object(t, m.user)
		o.Protect = m.protected
		r.add(o, p.ID, p.CreatedOn, m, t.refers)
	}
}

func (r *reading) balancerEntries(vips map[string]string) {
	for _, w := range r.private {
		t := r.translation()
		// Older answers have no name; the marker has.
		if w.Name == "" {
			if _, marker, ok := schema.Unmark(w.Description); ok && marker.Stack == r.scope.Stack {
				w.Name = marker.ID.Name
			} else {
				w.Name = schema.ForeignRef(w.ID)
			}
		}
		m := r.mark(w.Description, schema.ID{Kind: schema.KindPrivateLoadBalancer, Name: w.Name})
		o := schema.PrivateLoadBalancer{Name: w.Name, Balancing: w.object(t, m.user), VIP: vips[w.ID]}
		o.Protect = m.protected
		r.add(o, w.ID, w.CreatedOn, m, t.refers)
	}
	for zone, balancers := range r.public {
		for _, w := range balancers {
			t := r.translation()
			m := r.mark(w.Description, schema.ID{Kind: schema.KindLoadBalancer, Name: strings.ToLower(w.Name)})
			o := w.public(t, zone, m.user)
			o.Protect = m.protected
			r.add(o, w.ID, w.CreatedOn, m, t.refers)
		}
	}
}

// recordEntries adds the DNS records. The marker tells a record's key; what
// has none is known by its name, type and content.
func (r *reading) recordEntries() {
	for zone, records := range r.records {
		for _, w := range records {
			m, key := r.byMarker(value(w.Comment), schema.KindDNSRecord)
			if !m.owned || key == "" {
				key = strings.ToLower(w.Name) + " " + w.Type + " " + w.Content
			}
			t := r.translation()
			o := w.object(t, key, zone, m.user)
			o.Protect = m.protected
			wanted, named := r.scope.Objects[o.ID()].(schema.DNSRecord)
			if named && len(wanted.Data) == 0 && len(o.Data) > 0 {
				o.Data, o.Content = nil, w.Content // The user gives the content as text.
			}
			r.add(o, w.ID, w.CreatedOn, m, t.refers)
		}
	}
}

// unhash finds the name that a marker's hash stands for, "" where nothing
// that is wanted has it.
func (r *reading) unhash(m schema.Marker) string {
	if !m.Hashed() {
		return m.ID.Name
	}
	for _, id := range r.hashed[m.ID.Kind] {
		if m.Names(r.scope.Stack, id) {
			return id.Name
		}
	}
	return ""
}
