package topology

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Present is what a model with live state takes for so.
type Present struct {
	// Down are the components that have failed, sorted.
	Down []Component `json:"down"`
	// Out are members of Virtual Routers that cannot be Active now, in words.
	Out []string `json:"out,omitempty"`
	// Active are the hosts that are the Active router now, by Virtual Router.
	Active map[string][]string `json:"active,omitempty"`
	// Unknown says what could not be asked, and counts as the specification has
	// it.
	Unknown []string `json:"unknown,omitempty"`
}

// Live is the model of the same specification as things are now: what has
// failed stays failed, whoever is Active stays it while it can, and failures
// that are played come on top. What is not known is as it should be.
func (m *Model) Live(l Live) *Model {
	live, _ := build(m.spec, newPresent(m.spec, l), false, true)
	live.well = cmp.Or(m.well, m)
	return live
}

// Present is what the model takes for so, nil without live state.
func (m *Model) Present() *Present {
	if m.now == nil {
		return nil
	}
	p := &Present{Down: append([]Component{}, m.down...), Unknown: m.now.unknown}
	for _, name := range sortedKeys(m.routers) {
		p.Out = append(p.Out, m.outOf(m.routers[name])...)
		if active := m.routers[name].active; len(active) > 0 {
			if p.Active == nil {
				p.Active = map[string][]string{}
			}
			p.Active[name] = slices.Clone(active)
		}
	}
	return p
}

// Conditions are as the function of that name has them; nil without live state.
func (m *Model) Conditions() map[string]Condition {
	if m.now == nil {
		return nil
	}
	return maps.Clone(m.now.conditions)
}

// outOf are the members of a router that cannot be Active now, in words.
func (m *Model) outOf(r *router) (texts []string) {
	for _, host := range r.out {
		texts = append(texts, fmt.Sprintf("%s of virtualRouter/%s is in %s", host, r.name, m.now.out[seat{r.name, host}]))
	}
	return texts
}

// settle makes what has failed now false for good, which is a leaf that needs
// a child. A pool that Cloudflare finds unhealthy has failed itself where its
// origins do not explain that.
func (b *builder) settle() {
	b.circuit.finish()
	if b.now == nil {
		return
	}
	fail := func(c Component) (known bool) {
		leaf, known := b.index[c]
		if known {
			b.circuit.gates[leaf].need = 1
			b.down = append(b.down, c)
		}
		return known
	}
	again := false
	for _, c := range b.now.down {
		again = fail(c) || again
	}
	if again {
		b.circuit.finish()
	}
	again = false
	s := b.circuit.state()
	for _, p := range b.Model.pools {
		c := Component{KindPool, p.name}
		if slices.Contains(b.now.sick, p.name) && s.up(p.healthy) && !slices.Contains(b.down, c) {
			again = fail(c) || again
		}
	}
	slices.SortFunc(b.down, Component.Compare)
	if again {
		b.circuit.finish()
	}
}

// cause says why nobody serves an entry that is served when all is well: what
// on its ways has failed now.
func (m *Model) cause(e *Entry) string {
	if m.now == nil {
		return ""
	}
	under := map[int32]bool{e.gate: true}
	for queue := []int32{e.gate}; len(queue) > 0; queue = queue[1:] {
		for _, child := range m.circuit.gates[queue[0]].children {
			if !under[child] {
				under[child] = true
				queue = append(queue, child)
			}
		}
	}
	var causes []string
	for _, c := range m.down {
		if under[m.index[c]] {
			causes = append(causes, c.String()+" is down")
		}
	}
	for _, name := range sortedKeys(m.routers) {
		if r := m.routers[name]; under[r.gate] {
			causes = append(causes, m.outOf(r)...)
		}
	}
	if len(causes) == 0 {
		return ""
	}
	const most = 6
	if n := len(causes); n > most {
		causes = append(causes[:most:most], fmt.Sprintf("%d more", n-most))
	}
	return "now " + strings.Join(causes, ", ")
}

// stateOut is the state of a member that cannot be Active now, else "".
func (p *present) stateOut(router, host string) string {
	if p == nil {
		return ""
	}
	return p.out[seat{router, host}]
}

// priority is a member's now, as far as that is known.
func (p *present) priority(router, host string, written int) int {
	if p == nil {
		return written
	}
	if now, known := p.priorities[seat{router, host}]; known {
		return now
	}
	return written
}

// activeFor are the hosts that are Active for a router now.
func (p *present) activeFor(router string) []string {
	if p == nil {
		return nil
	}
	return p.active[router]
}
