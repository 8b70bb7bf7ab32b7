package drill

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hactl/hactl/schema"
)

// Standard is the drill for any specification: for each host that is Active
// when all is well, its death and its return, a planned stop and a maintenance; the death of a
// connector's host for each other tunnel;
// drift; a push that is wrong. Hosts alone in all that they do are not killed.
func Standard(spec *schema.Spec) *Script {
	s := &Script{Name: "the standard drill"}
	add := func(verb Verb, args ...string) { s.Steps = append(s.Steps, Step{Verb: verb, Args: args}) }
	w := newWorld()
	w.follow(spec)
	var played []string
	for _, name := range sorted(spec.VirtualRouters) {
		able := w.able(name)
		if len(able) < 2 || slices.Contains(played, able[0]) {
			continue
		}
		host := able[0]
		played = append(played, host)
		add(Say, fmt.Sprintf("%s loses its power, right after an advertisement of %s.", host, name))
		add(Kill, host)
		add(Say, fmt.Sprintf("%s has power again.", host))
		add(Boot, host)
		stopped := host
		if !w.takes(name, host, able[1]) { // It is not Active again.
			stopped = able[1]
		}
		add(Say, fmt.Sprintf("hactl is stopped on %s, as for an upgrade of the machine.", stopped))
		add(Stop, stopped)
		add(Start, stopped)
		add(Say, fmt.Sprintf("A push: %s goes into maintenance, and comes out of it.", host))
		add(Maintenance, host, "on")
		add(Maintenance, host, "off")
	}
	for _, name := range sorted(spec.Tunnels) {
		hosts := slices.Clone(spec.Tunnels[name].Connectors)
		slices.Sort(hosts)
		if len(hosts) == 0 || slices.ContainsFunc(hosts, func(h string) bool { return slices.Contains(played, h) }) {
			continue
		}
		played = append(played, hosts[0])
		add(Say, fmt.Sprintf("%s, with a connector of tunnel %s, loses its power, and has it again.", hosts[0], name))
		add(Kill, hosts[0])
		add(Boot, hosts[0])
	}
	if pools := sorted(spec.Pools); len(pools) > 0 {
		add(Say, fmt.Sprintf("Somebody disables pool %s in the dashboard.", pools[0]))
		add(Drift, schema.ID{Kind: schema.KindPool, Name: pools[0]}.String())
	} else if records := records(spec); len(records) > 0 {
		add(Say, fmt.Sprintf("Somebody deletes the DNS record %s.", records[0].Name))
		add(Drift, records[0].String())
	}
	add(Say, "A push with a mistake: every host refuses it, and nothing is changed.")
	add(Mistake)
	add(Expect, "refused")
	add(Revert)
	return s
}

// records are the DNS records that hactl makes, those of tunnels among them.
func records(spec *schema.Spec) (ids []schema.ID) {
	for _, o := range spec.Objects() {
		if id := o.ID(); id.Kind == schema.KindDNSRecord {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b schema.ID) int { return strings.Compare(a.Name, b.Name) })
	return ids
}
