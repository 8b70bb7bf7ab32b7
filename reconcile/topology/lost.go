package topology

import "strings"

// Lost are the nodes of the graph that serve when all is well and do not while
// these have failed, sorted: the failed ones, and what has no other way on. An
// entry is lost when requests of none of its scopes are answered.
func (m *Model) Lost(failed ...Component) []string {
	before, after := m.circuit.state(), m.circuit.state()
	m.fail(after, failed)
	lost := map[string]bool{}
	for c, gate := range m.function {
		if before.up(gate) && !after.up(gate) {
			lost[c.String()] = true
		}
	}
	served := map[string]bool{}
	for _, e := range m.entries {
		id := e.Kind + "/" + e.Name
		served[id] = served[id] || after.up(e.gate)
		lost[id] = lost[id] || before.up(e.gate)
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
