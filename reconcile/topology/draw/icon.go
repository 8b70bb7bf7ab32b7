package draw

import "fmt"

// outline is the shape of a kind, w wide, around the middle of its left side.
func outline(kind string, w int) string {
	const h, half = boxHeight, boxHeight / 2
	switch kind {
	case "loadBalancer", "privateLoadBalancer", "hostname", "dnsRecord", "route", "virtualRouter": // Requests come in here.
		return fmt.Sprintf("M%d-%dh%da%d %d 0 0 1 0 %dh-%da%d %d 0 0 1 0-%dz", half, half, w-h, half, half, h, w-h, half, half, h)
	case "tunnel", "connector":
		return fmt.Sprintf("M8-%dh%dl8 %d-8 %dh-%dl-8-%dz", half, w-16, half, half, w-16, half)
	case "host", "address":
		return fmt.Sprintf("M0-%dh%dv%dh-%dz", half, w, h, w)
	case "pool", "origin", "monitor", "check", "network", "interface":
		return fmt.Sprintf("M6-%dh%dq6 0 6 6v%dq0 6-6 6h-%dq-6 0-6-6v-%dq0-6 6-6z", half, w-12, h-12, w-12, h-12)
	}
	return fmt.Sprintf("M9-%dh%dv%dh-%dl-9-9v-%dz", half, w-9, h, w-9, h-18) // A label.
}

// icons are 12 by 12, around their middle.
var icons = map[string]string{
	"loadBalancer":        "M-6 0h4l4-4h4M-2 0h8M-2 0l4 4h4",
	"privateLoadBalancer": "M-6 0h4l4-4h4M-2 0h8M-2 0l4 4h4",
	"hostname":            "M-6 0a6 6 0 1 0 12 0a6 6 0 1 0-12 0h12M0-6q-5 6 0 12q5-6 0-12",
	"dnsRecord":           "M-6 0a6 6 0 1 0 12 0a6 6 0 1 0-12 0h12M0-6q-5 6 0 12q5-6 0-12",
	"route":               "M-6 0h11M1-4l4 4-4 4",
	"network":             "M-2-6h4v4h-4zM-6 2h4v4h-4zM2 2h4v4h-4zM0-2v2M-4 2v-2h8v2",
	"pool":                "M-6-5h12v3h-12zM-6-1h12v3h-12zM-6 3h12v3h-12z",
	"origin":              "M-6 0a6 6 0 1 0 12 0a6 6 0 1 0-12 0M-2 0a2 2 0 1 0 4 0a2 2 0 1 0-4 0",
	"tunnel":              "M-6 5v-5a6 6 0 0 1 12 0v5M-2 5v-5a2 2 0 0 1 4 0v5",
	"connector":           "M-6 0h3M-3-4h4a4 4 0 0 1 0 8h-4zM5-2h2M5 2h2",
	"virtualRouter":       "M-6-2h10M1-5l3 3-3 3M6 3h-10M-1 0l-3 3 3 3",
	"host":                "M-6-5h12v4h-12zM-6 1h12v4h-12zM-4-3h1M-4 3h1",
	"address":             "M0 6q-5-6-5-8a5 4.500 0 1 1 10 0q0 2-5 8zM-1-2h2",
	"monitor":             "M-6 0h3l2-5 3 9 2-4h2",
	"check":               "M-6 0h3l2-5 3 9 2-4h2",
	"interface":           "M-6-5h12v8h-3v2h-6v-2h-3zM-2-5v3M2-5v3",
}

const labelIcon = "M-6 0l5-5h6v10h-6zM1-1h1v2h-1z"

func icon(kind string) string {
	if i, ok := icons[kind]; ok {
		return i
	}
	return labelIcon
}
