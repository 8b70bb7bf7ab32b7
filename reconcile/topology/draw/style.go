package draw

import (
	"fmt"
	"slices"
	"strings"
)

// styleOf is how an edge of a kind is drawn.
func styleOf(kind string) string {
	switch kind {
	case "fallback", "watches":
		return kind
	case "on", "label":
		return "on"
	}
	return "serves"
}

// color is a variable of the stylesheet in light and dark. Text on any fill
// has a contrast of 4.5 and more, lines of 3 and more (WCAG 2.2, 1.4.3 and
// 1.4.11); a test holds it to that.
type color struct{ name, light, dark string }

var palette = []color{
	{"bg", "#ffffff", "#0f141a"},
	{"text", "#111827", "#f3f4f6"},
	{"sub", "#4b5563", "#c3cad4"},
	{"edge", "#64748b", "#8b98a9"},
	{"off", "#eceef1", "#1c2128"},
	{"off-text", "#5b6472", "#9aa4b2"},
	{"off-edge", "#868e9a", "#69727f"},
	{"entry", "#e8f0fe", "#132a4a"},
	{"entry-line", "#1a56b0", "#7fb0ff"},
	{"pool", "#fff3e0", "#38240c"},
	{"pool-line", "#a34e00", "#f0a860"},
	{"tunnel", "#f3e8ff", "#2c1a45"},
	{"tunnel-line", "#6b21a8", "#c9a0ff"},
	{"router", "#e0f5f1", "#0b332d"},
	{"router-line", "#0b665a", "#5fd0bc"},
	{"host", "#e9f5e1", "#1c3010"},
	{"host-line", "#35651a", "#9ad07a"},
	{"side", "#f3f4f6", "#20262e"},
	{"side-line", "#4b5563", "#a3adba"},
	{"good", "#166534", "#86efac"},
	{"change", "#8a3b09", "#fcd34d"},
	{"bad", "#b01818", "#fca5a5"},
}

// roles are the kinds of one colour.
var roles = []struct {
	color string
	kinds []string
}{
	{"entry", []string{"loadBalancer", "privateLoadBalancer", "hostname", "dnsRecord"}},
	{"pool", []string{"pool", "origin"}},
	{"tunnel", []string{"tunnel", "connector", "route", "network"}},
	{"router", []string{"virtualRouter"}},
	{"host", []string{"host", "address"}},
}

// role is the class of a kind's colour, if it has one.
func role(kind string) []string {
	for i, r := range roles {
		if slices.Contains(r.kinds, kind) {
			return []string{fmt.Sprintf("r%d", i)}
		}
	}
	return nil
}

// Stylesheet is the CSS of every picture, for a page that holds one: its class
// is "topo", and its colours are the variables --topo-NAME. A page may set
// those on .topo itself.
func Stylesheet() string {
	var b strings.Builder
	light, dark := make([]string, 0, len(palette)), make([]string, 0, len(palette))
	for _, c := range palette {
		light = append(light, "--topo-"+c.name+":"+c.light)
		dark = append(dark, "--topo-"+c.name+":"+c.dark)
	}
	fmt.Fprintf(&b, ".topo{%s}\n", strings.Join(light, ";"))
	fmt.Fprintf(&b, "@media (prefers-color-scheme:dark){.topo{%s}}\n", strings.Join(dark, ";"))
	rule := func(selector, more string, paint ...string) {
		fmt.Fprintf(&b, "%s{", selector)
		for i := 0; i < len(paint); i += 2 {
			b.WriteString(with(paint[i], paint[i+1]))
		}
		fmt.Fprintf(&b, "%s}\n", more)
	}
	rule(".topo", "font:12px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace")
	rule(".topo .bg", "", "fill", "bg")
	rule(".topo text", "stroke:none", "fill", "text")
	rule(".topo .s", "font-size:10px", "fill", "sub")
	rule(".topo .n", "stroke-width:1.2", "fill", "side", "stroke", "side-line")
	for i, r := range roles {
		rule(fmt.Sprintf(".topo .r%d", i), "", "fill", r.color, "stroke", r.color+"-line")
	}
	rule(".topo .foreign", "stroke-dasharray:4 3")
	rule(".topo .off", "", "fill", "off", "stroke", "off-text")
	rule(".topo .off text", "", "fill", "off-text")
	for _, m := range []struct{ classes, color string }{{"create,active,healthy", "good"}, {"update,replace", "change"}, {"delete,unhealthy,split,down,conflict,refused", "bad"}} {
		var boxes, badges []string
		for c := range strings.SplitSeq(m.classes, ",") {
			boxes, badges = append(boxes, ".topo ."+c), append(badges, ".topo ."+c+" .b")
		}
		rule(strings.Join(boxes, ","), "stroke-width:2.4", "stroke", m.color)
		rule(strings.Join(badges, ","), "font-weight:700", "fill", m.color)
	}
	rule(".topo .delete,.topo .down", "stroke-dasharray:7 3")
	rule(".topo .conflict,.topo .refused", "stroke-dasharray:2 2")
	rule(".topo .e", "fill:none;stroke-width:1.3", "stroke", "edge")
	rule(".topo .fallback", "stroke-dasharray:7 4")
	rule(".topo .watches", "stroke-dasharray:1.5 3.5;stroke-linecap:round")
	rule(".topo .on", "stroke-width:.8")
	rule(".topo .back", "stroke-dasharray:9 3 2 3", "stroke", "bad")
	rule(".topo .x", "stroke-width:.8", "stroke", "off-edge")
	rule(".topo marker", "stroke:none", "fill", "edge")
	rule(".topo .l", "font-size:10px;text-anchor:middle")
	rule(".topo .l text", "", "fill", "sub")
	rule(".topo a", "cursor:pointer")
	rule(".topo a:hover", "stroke-width:3")
	rule(".topo a:focus-visible", "stroke-width:4;outline:2px solid;outline-offset:1px;", "stroke", "entry-line", "outline-color", "entry-line")
	return b.String()
}

// with paints by a variable, and plainly where a viewer has none (librsvg,
// Inkscape).
func with(property, name string) string {
	i := slices.IndexFunc(palette, func(c color) bool { return c.name == name })
	return fmt.Sprintf("%s:%s;%s:var(--topo-%s);", property, palette[i].light, property, name)
}
