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
	give := func(kind schema.Kind, name, handle, created string, owned bool) {
		id := schema.ID{Kind: kind, Name: name}
		// What is neither owned nor wanted stays foreign, but can be named by
		// its id only: a name in a plan always means the specification's.
		if _, wanted := r.scope.Objects[id]; !owned && !wanted {
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
		_, owned := r.owned(n.Comment, schema.ID{Kind: schema.KindNetwork, Name: n.Name})
		give(schema.KindNetwork, n.Name, n.ID, n.CreatedAt, owned)
	}
	for _, t := range r.tunnels {
		id := schema.ID{Kind: schema.KindTunnel, Name: t.Name}
		give(schema.KindTunnel, t.Name, t.ID, t.CreatedAt, r.scope.Journal.Owns(id, reconcile.Handle(t.ID)))
	}
	for _, m := range r.monitors {
		if _, marker, ok := schema.Unmark(m.Description); ok && marker.Stack == r.scope.Stack && marker.ID.Kind == schema.KindMonitor {
			give(schema.KindMonitor, marker.ID.Name, m.ID, m.CreatedOn, true)
		}
	}
	for _, p := range r.pools {
		_, owned := r.owned(p.Description, schema.ID{Kind: schema.KindPool, Name: p.Name})
		give(schema.KindPool, p.Name, p.ID, p.CreatedOn, owned)
	}
}

// owned tells whether the marker in an object's free text is this stack's and
// names this very object: a copy under another name is not owned. If so, user
// is the text without it.
func (r *reading) owned(text string, natural schema.ID) (user string, owned bool) {
	user, marker, ok := schema.Unmark(text)
	if !ok || !marker.Names(r.scope.Stack, natural) {
		return text, false
	}
	return user, true
}

func (r *reading) translation() *translation { return &translation{names: &r.names} }

func (r *reading) add(o schema.Object, handle, created string, owned bool, refers []reconcile.Handle) {
	r.live.Entries = append(r.live.Entries, reconcile.Entry{
		Object: o, Handle: reconcile.Handle(handle), Created: created, Owned: owned, Refers: refers,
	})
}

func (r *reading) networkEntries() {
	for _, n := range r.networks {
		if n.DeletedAt != nil {
			continue
		}
		user, owned := r.owned(n.Comment, schema.ID{Kind: schema.KindNetwork, Name: n.Name})
		r.add(n.object(user), n.ID, n.CreatedAt, owned, nil)
	}
}

// tunnelEntries adds the tunnels and the configurations that were read. A
// tunnel has no free text: it is owned if the journal says so, or if the
// specification names it and an owned object leads to it.
func (r *reading) tunnelEntries() {
	led := r.ledTo()
	for _, t := range r.tunnels {
		if t.DeletedAt != nil {
			continue
		}
		o := t.object()
		_, wanted := r.scope.Objects[o.ID()]
		owned := r.scope.Journal.Owns(o.ID(), reconcile.Handle(t.ID)) || wanted && led[t.ID]
		r.add(o, t.ID, t.CreatedAt, owned, nil)
		if config, ok := r.configs[t.ID]; ok && config.Config != nil {
			r.add(config.object(t.Name), t.ID, t.CreatedAt, owned, []reconcile.Handle{reconcile.Handle(t.ID)})
		}
	}
}

// ledTo is the set of tunnels that objects with this stack's marker lead to.
func (r *reading) ledTo() map[string]bool {
	led := map[string]bool{}
	ours := func(text string) bool {
		_, marker, ok := schema.Unmark(text)
		return ok && marker.Stack == r.scope.Stack
	}
	for _, route := range r.routes {
		if ours(route.Comment) {
			led[route.TunnelID] = true
		}
	}
	for _, records := range r.records {
		for _, record := range records {
			if handle, ok := tunnelHandle(record.Content); ok && ours(value(record.Comment)) {
				led[handle] = true
			}
		}
	}
	for _, p := range r.pools {
		for _, o := range p.Origins {
			if handle, ok := tunnelHandle(o.Address); ok && ours(p.Description) {
				led[handle] = true
			}
		}
	}
	return led
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
		user, owned := r.owned(w.Comment, o.ID())
		o.Comment = user
		r.add(o, w.ID, w.CreatedAt, owned, t.refers)
	}
	return vips
}

func (r *reading) monitorEntries() {
	for _, m := range r.monitors {
		user, marker, ok := schema.Unmark(m.Description)
		owned := ok && marker.Stack == r.scope.Stack && marker.ID.Kind == schema.KindMonitor
		name := marker.ID.Name
		if !owned {
			name, user = schema.ForeignRef(m.ID), m.Description
		}
		r.add(m.object(name, user), m.ID, m.CreatedOn, owned, nil)
	}
}

func (r *reading) poolEntries() {
	for _, p := range r.pools {
		t := r.translation()
		user, owned := r.owned(p.Description, schema.ID{Kind: schema.KindPool, Name: p.Name})
		r.add(p.object(t, user), p.ID, p.CreatedOn, owned, t.refers)
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
		user, owned := r.owned(w.Description, schema.ID{Kind: schema.KindPrivateLoadBalancer, Name: w.Name})
		o := schema.PrivateLoadBalancer{Name: w.Name, Balancing: w.object(t, user), VIP: vips[w.ID]}
		r.add(o, w.ID, w.CreatedOn, owned, t.refers)
	}
	for zone, balancers := range r.public {
		for _, w := range balancers {
			t := r.translation()
			user, owned := r.owned(w.Description, schema.ID{Kind: schema.KindLoadBalancer, Name: strings.ToLower(w.Name)})
			r.add(w.public(t, zone, user), w.ID, w.CreatedOn, owned, t.refers)
		}
	}
}

// recordEntries adds the DNS records. The marker tells a record's key; what
// has none is known by its name, type and content.
func (r *reading) recordEntries() {
	for zone, records := range r.records {
		for _, w := range records {
			user, marker, ok := schema.Unmark(value(w.Comment))
			key, owned := "", ok && marker.Stack == r.scope.Stack && marker.ID.Kind == schema.KindDNSRecord
			if owned {
				key = r.unhash(marker)
			}
			if key == "" {
				key = strings.ToLower(w.Name) + " " + w.Type + " " + w.Content
			}
			if !owned {
				user = value(w.Comment)
			}
			t := r.translation()
			o := w.object(t, key, zone, user)
			wanted, named := r.scope.Objects[o.ID()].(schema.DNSRecord)
			if named && len(wanted.Data) == 0 && len(o.Data) > 0 {
				o.Data, o.Content = nil, w.Content // The user gives the content as text.
			}
			r.add(o, w.ID, w.CreatedOn, owned, t.refers)
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
