package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/schema"
)

// mostUnhealthy bounds what one line names.
const mostUnhealthy = 6

// healthText is how the edge does, in a line; "" where nobody has looked. spec
// says how many connectors a tunnel is to have, nil where it is not at hand.
func healthText(h *reconcile.Health, spec *schema.Spec, now time.Time) string {
	if h == nil {
		return ""
	}
	if h.Read.IsZero() {
		return "not known: " + firstLine(h.Err)
	}
	sick := unhealthy(h, spec)
	text := "all healthy"
	switch n := len(sick); {
	case len(h.Tunnels)+len(h.Pools) == 0:
		text = "nothing that Cloudflare watches"
	case n > mostUnhealthy:
		text = fmt.Sprintf("UNHEALTHY: %s and %d more", strings.Join(sick[:mostUnhealthy], ", "), n-mostUnhealthy)
	case n > 0:
		text = "UNHEALTHY: " + strings.Join(sick, ", ")
	}
	text += fmt.Sprintf(" (pools: %d, tunnels: %d, read %s ago)", len(h.Pools), len(h.Tunnels), ago(now, h.Read))
	if h.Err != "" {
		text += "; not read: " + firstLine(h.Err)
	}
	return text
}

// unhealthy are the tunnels, pools and origins that are, and why.
func unhealthy(h *reconcile.Health, spec *schema.Spec) (sick []string) {
	for _, name := range slices.Sorted(maps.Keys(h.Pools)) {
		p := h.Pools[name]
		if !p.Healthy {
			sick = append(sick, "pool/"+name)
		}
		for _, o := range slices.Sorted(maps.Keys(p.Origins)) {
			if x := p.Origins[o]; !x.Healthy {
				sick = append(sick, strings.TrimSuffix(fmt.Sprintf("origin/%s/%s (%s)", name, o, x.Reason), " ()"))
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(h.Tunnels)) {
		t, wanted := h.Tunnels[name], 0
		if spec != nil {
			wanted = len(spec.Tunnels[name].Connectors)
		}
		switch n := len(t.Connectors); {
		case t.Status != "healthy":
			sick = append(sick, fmt.Sprintf("tunnel/%s (%s)", name, t.Status))
		case n > 0 && n < wanted:
			sick = append(sick, fmt.Sprintf("tunnel/%s (%d of %d connectors)", name, n, wanted))
		}
	}
	return sick
}
