package draw

import (
	"slices"
	"strings"

	"github.com/hactl/hactl/reconcile/topology"
)

// AddConditions marks what is known of the present, beside what else is marked:
// whatever is marked Down needs no word on its health.
func (m Marks) AddConditions(conditions map[string]topology.Condition) {
	for id, c := range conditions {
		if strings.HasPrefix(id, topology.KindVirtualRouter+"/") && len(c.Active) > 1 {
			m[id] = append(m[id], Split)
			continue
		}
		switch {
		case slices.Contains(m[id], Down):
		case c.Unhealthy:
			m[id] = append(m[id], Unhealthy)
		case c.Healthy && len(c.Active) == 0:
			m[id] = append(m[id], Healthy)
		}
		if len(c.Active) > 0 {
			m[id] = append(m[id], Active)
		}
	}
}
