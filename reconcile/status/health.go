package status

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/topology"
	"github.com/hactl/hactl/schema"
)

// OldHealth is when what was read of the edge is too old to be called the present.
const OldHealth = 10 * time.Minute

// healthView is how the tunnels and pools of the specification do.
type healthView struct {
	By      string // the host that looked
	Read    time.Time
	Err     string
	Known   bool
	Old     bool        // too old to be how it is
	Rows    []healthRow // tunnels, then pools
	Good    []healthRow // more of them, where there are many
	Unknown []string    // what nothing is known of

	h *reconcile.Health
}

// healthRow is a tunnel with its connectors, or a pool with its origins.
type healthRow struct {
	Name, State string
	Good        bool
	Summary     string
	Parts       []healthPart
}

// healthPart is a connector, or an origin that is not well.
type healthPart struct {
	Text string
	Bad  bool
}

// health fills in what was found last, by this host if it leads.
func (v *view) health(spec *schema.Spec) {
	var h *reconcile.Health
	by := ""
	if v.Edge.Leadership.Mine && v.Edge.Health != nil {
		h, by = v.Edge.Health, v.Host
	} else {
		for i := range v.live {
			if other := v.live[i].Edge.Health; other != nil && (h == nil || other.Read.After(h.Read)) {
				h, by = other, v.live[i].Name
			}
		}
	}
	if h == nil && v.Edge.Health != nil { // of an agent that is of no host
		h = v.Edge.Health
	}
	wanted := spec != nil && len(spec.Tunnels)+len(spec.Pools) > 0
	if h == nil {
		if wanted {
			v.Health = &healthView{}
		}
		return
	}
	s := &healthView{By: by, Read: h.Read, Err: h.Err, Known: !h.Read.IsZero(), Old: v.Now.Sub(h.Read) >= OldHealth, h: h}
	v.Health = s
	if s.Old {
		v.Alarms = append(v.Alarms, "how the edge does is not known: "+s.last(v.Now))
	}
	if !s.Known {
		return
	}
	for _, name := range slices.Sorted(maps.Keys(h.Tunnels)) {
		row := tunnelRow(name, h.Tunnels[name], spec)
		if !row.Good && !s.Old {
			v.Alarms = append(v.Alarms, row.Name+" is "+row.State)
		}
		s.Rows = append(s.Rows, row)
	}
	for _, name := range slices.Sorted(maps.Keys(h.Pools)) {
		row := poolRow(name, h.Pools[name])
		if !row.Good && !s.Old {
			v.Alarms = append(v.Alarms, row.Name+" is unhealthy")
		}
		s.Rows = append(s.Rows, row)
	}
	if spec != nil {
		for _, name := range slices.Sorted(maps.Keys(spec.Tunnels)) {
			if _, ok := h.Tunnels[name]; !ok {
				s.Unknown = append(s.Unknown, topology.KindTunnel+"/"+name)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(spec.Pools)) {
			if _, ok := h.Pools[name]; !ok {
				s.Unknown = append(s.Unknown, topology.KindPool+"/"+name)
			}
		}
	}
	s.Rows, s.Good = fold(s.Rows, func(r *healthRow) bool { return r.Good })
}

// last is when it was read last, and what is in the way since.
func (v *healthView) last(now time.Time) string {
	if !v.Known {
		return cmp.Or(v.Err, "it has not been read yet")
	}
	text := "it was read " + now.Sub(v.Read).Round(time.Second).String() + " ago last"
	if v.Err != "" {
		text += ", and " + v.Err
	}
	return text
}

func tunnelRow(name string, t reconcile.TunnelHealth, spec *schema.Spec) healthRow {
	row := healthRow{Name: topology.KindTunnel + "/" + name, State: cmp.Or(t.Status, "of no known status"), Good: t.Status == "healthy"}
	wanted := wantedConnectors(spec, name)
	if n := len(t.Connectors); row.Good && n > 0 && n < wanted { // Cloudflare does not know how many there are to be.
		row.State, row.Good = "short of connectors", false
	}
	row.Summary = connected(t, wanted)
	for _, c := range t.Connectors[:min(len(t.Connectors), mostList)] {
		text := cmp.Or(c.Address, c.ID)
		if c.Version != "" {
			text += ", cloudflared " + c.Version
		}
		row.Parts = append(row.Parts, healthPart{text + ", " + plural(c.Connections, "connection", "connections"), c.Connections == 0})
	}
	return row
}

func wantedConnectors(spec *schema.Spec, tunnel string) int {
	if spec == nil {
		return 0
	}
	return len(spec.Tunnels[tunnel].Connectors)
}

// connected says how many connectors there are: "1 of 2 connectors".
func connected(t reconcile.TunnelHealth, wanted int) string {
	n := len(t.Connectors)
	if wanted > 0 {
		return fmt.Sprintf("%d of %s", n, plural(wanted, "connector", "connectors"))
	}
	return plural(n, "connector", "connectors")
}

func poolRow(name string, p reconcile.PoolHealth) healthRow {
	row := healthRow{Name: topology.KindPool + "/" + name, State: "healthy", Good: p.Healthy}
	if !p.Healthy {
		row.State = "unhealthy"
	}
	good := 0
	for _, origin := range slices.Sorted(maps.Keys(p.Origins)) {
		o := p.Origins[origin]
		if o.Healthy {
			good++
			continue
		}
		row.Parts = append(row.Parts, healthPart{origin + ": " + cmp.Or(failure(o), "unhealthy"), true})
	}
	row.Summary = fmt.Sprintf("%d of %s", good, plural(len(p.Origins), "origin healthy", "origins healthy"))
	if len(p.Origins) == 0 {
		row.Summary = ""
	}
	return row
}

// failure is why an origin is not healthy, as far as is known.
func failure(o reconcile.OriginHealth) string {
	var parts []string
	if o.Reason != "" {
		parts = append(parts, o.Reason)
	}
	if o.Code != 0 {
		parts = append(parts, fmt.Sprintf("HTTP %d", o.Code))
	}
	return strings.Join(parts, ", ")
}

// notes say of a tunnel how many are connected for it, of a connector how well,
// where one comes from its host's address, and of an origin why it is unhealthy.
func (v *healthView) notes(s signs, spec *schema.Spec) {
	for name, t := range v.h.Tunnels {
		note := connected(t, wantedConnectors(spec, name))
		if t.Status != "healthy" {
			note = t.Status + ", " + note
		}
		s.note(topology.KindTunnel, name, note)
		for _, host := range spec.Tunnels[name].Connectors {
			at := slices.IndexFunc(t.Connectors, func(c reconcile.ConnectorHealth) bool {
				return c.Address != "" && c.Address == spec.Hosts[host].Address
			})
			if at >= 0 {
				s.note(topology.KindConnector, name+"@"+host, plural(t.Connectors[at].Connections, "connection", "connections"))
			}
		}
	}
	for name, p := range v.h.Pools {
		for origin, o := range p.Origins {
			s.note(topology.KindOrigin, name+"/"+origin, failure(o))
		}
	}
}
