package topology

import (
	"cmp"
	"strings"
)

// Lost are the nodes of the graph that serve when all is well and do not while
// these have failed, sorted: the failed ones, and what has no other way on. An
// entry is lost when requests of none of its scopes are answered. With live state,
// what has failed now counts among the failures.
func (m *Model) Lost(failed ...Component) []string {
	well := cmp.Or(m.well, m)
	before, after := well.circuit.state(), m.circuit.state()
	m.fail(after, failed)
	lost := map[string]bool{}
	for c, gate := range m.function {
		if before.up(well.function[c]) && !after.up(gate) {
			lost[c.String()] = true
		}
	}
	served := map[string]bool{}
	for i, e := range m.entries { // They are the same ones in both.
		id := e.Kind + "/" + e.Name
		served[id] = served[id] || after.up(e.gate)
		lost[id] = lost[id] || before.up(well.entries[i].gate)
	}
	for id, up := range served {
		if up {
			delete(lost, id)
		}
	}
	var ids []string
	for _, n := range m.Graph().Nodes {
		id := n.ID
		if n.Kind == "interface" { // It goes with its host.
			_, host, _ := strings.Cut(n.Name, "@")
			id = Component{KindHost, host}.String()
		}
		if lost[id] {
			ids = append(ids, n.ID)
		}
	}
	return ids
}
