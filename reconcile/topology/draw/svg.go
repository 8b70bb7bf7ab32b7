package draw

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/hactl/hactl/reconcile/topology"
)

// Options are about SVG, and Title about every format.
type Options struct {
	// Title is what the picture is of.
	Title string
	// Standalone pictures carry the stylesheet and a legend, and name their
	// parts for who goes on with them. Others are made for a page that has
	// Stylesheet in its own, and are small.
	Standalone bool
	// Notes are by node ID: a few words that are shown after its marks.
	Notes map[string]string
	// Link says where a node leads to and what that does, in words; nil or ""
	// for nowhere. A picture with links is a group, as an image has no parts
	// for a screen reader.
	Link func(id string) (href, does string)
}

// nothing is what a picture without nodes says.
const nothing = "There is nothing that requests go to."

const (
	nameCell, subCell = 7.3, 6.1 // a monospaced cell at 12 and 10 pixels
	mostName, mostSub = 32, 40   // cells
	mostLabel         = 22
	padLeft, padRight = 30, 14
	margin            = 16
)

// picture is a graph with its layout.
type picture struct {
	g      *topology.Graph
	marks  Marks
	links  []link
	at     *layout
	left   []int // of each column
	wide   []int
	height int
	width  int
	labels []placed
	placed map[int]bool // segments whose label is shown
	shapes []string     // of each node
	o      Options
	b      bytes.Buffer
}

// SVG draws the graph. Nodes are <g> or <a> elements, from left to right and
// from top to bottom. One that is a link has its index in the graph as id, "n3".
// In a standalone picture all have, with the attributes data-id and data-kind,
// and a segment of an edge has the indices of its nodes as id, "e3-17", as far as
// it is not shared. It is valid XML without scripts, and without references but
// for those of Link.
func SVG(g *topology.Graph, marks Marks, o Options) []byte {
	p := &picture{g: g, marks: marks, links: links(g, marks), o: o}
	kinds := make([]string, 0, len(g.Nodes))
	for _, n := range g.Nodes {
		kinds = append(kinds, n.Kind)
	}
	p.at = arrange(kinds, p.links)
	p.measure()
	p.label()
	p.open()
	if len(g.Nodes) == 0 {
		fmt.Fprintf(&p.b, `<text x="%d" y="%d" aria-hidden="true">%s</text>`+"\n", margin, margin+boxHeight/2, nothing)
	}
	p.edges()
	p.nodes()
	if o.Standalone {
		p.legend()
	}
	p.b.WriteString("</svg>\n")
	return p.b.Bytes()
}

// name and sub are the two lines of a box.
func (p *picture) name(v int) string { return shorten(clean(p.g.Nodes[v].Name), mostName) }

func (p *picture) badges(v int) string { return badgesOf(p.marks.of(p.g.Nodes[v].ID)) }

// sub is the marks, then the note and what it is. Beside a note, as much of that
// is said as there is room for.
func (p *picture) sub(v int) (badge, rest string) {
	n := p.g.Nodes[v]
	badge = p.badges(v)
	note := clean(p.o.Notes[n.ID])
	if badge == "" && note == "" {
		return "", fitting(n, mostSub)
	}
	room := max(mostSub-cells(badge), 12)
	if note == "" {
		const between = " · "
		return badge, between + fitting(n, room-cells(between))
	}
	if badge != "" {
		note = " " + note
	}
	note = shorten(note, room)
	for _, more := range []string{clean(detail(n)), clean(word(n.Kind))} {
		if all := note + " · " + more; cells(all) <= room {
			return badge, all
		}
	}
	return badge, note
}

// measure makes every column as wide as its widest box, and the space between
// two as wide as its lines and labels need.
func (p *picture) measure() {
	columns := len(p.at.layers)
	p.left, p.wide = make([]int, columns), make([]int, columns)
	space := make([]int, columns)
	for v := range p.g.Nodes {
		badge, rest := p.sub(v)
		// Bold badges are as wide as the rest in a monospaced font.
		text := max(float64(cells(p.name(v)))*nameCell, float64(cells(badge)+cells(rest))*subCell)
		r := p.at.rank[v]
		p.wide[r] = max(p.wide[r], int(math.Ceil(text))+padLeft+padRight)
	}
	steep := make([]float64, columns)
	count := make([]float64, columns)
	for _, s := range p.at.segments {
		r := p.at.rank[s.from]
		steep[r] = max(steep[r], math.Abs(p.at.y[s.from]-p.at.y[s.to]))
		count[r]++
		if label := p.links[s.link].label; label != "" && s.from < p.at.nodes {
			space[r] = max(space[r], int(subCell*float64(min(cells(clean(label)), mostLabel)))+36)
		}
	}
	x := margin
	for r := range columns {
		p.left[r] = x
		p.width = x + p.wide[r] + margin
		x += p.wide[r] + max(space[r], 44+int(min(steep[r]/8, count[r]*2, 110)))
	}
	for _, y := range p.at.y {
		p.height = max(p.height, int(y))
	}
	p.height += boxHeight + 2*margin
	p.width = max(p.width, 2*margin)
	if len(p.g.Nodes) == 0 {
		p.width = 2*margin + int(math.Ceil(nameCell*float64(cells(nothing))))
	}
}

func (p *picture) middle(v int) int { return int(p.at.y[v]) + margin + boxHeight/2 }

func (p *picture) open() {
	o := p.o
	height := p.height
	if o.Standalone {
		height += p.legendHeight()
		p.width = max(p.width, 360)
	}
	role := "img"
	if o.Link != nil {
		role = "group"
	}
	title := o.Title
	if title == "" {
		title = "Topology"
	}
	fmt.Fprintf(&p.b, `<svg xmlns="http://www.w3.org/2000/svg" class="topo" width="%d" height="%d" viewBox="0 0 %[1]d %d" role="%s" aria-labelledby="topo-title topo-desc"><title id="topo-title">%s</title><desc id="topo-desc">%s</desc>`+"\n",
		p.width, height, role, escape(title), escape(p.describe()))
	if o.Standalone {
		fmt.Fprintf(&p.b, "<style>:root{color-scheme:light dark}\n%s</style>\n", Stylesheet())
	}
	p.b.WriteString(`<defs><marker id="topo-arrow" viewBox="0 0 6 6" refX="5.5" refY="3" markerWidth="7" markerHeight="7" markerUnits="userSpaceOnUse" orient="auto-start-reverse"><path d="M0 0l6 3-6 3z"/></marker>`)
	known := map[string]string{}
	p.shapes = make([]string, len(p.g.Nodes))
	for v, n := range p.g.Nodes {
		key := p.shape(v)
		id, ok := known[key]
		if !ok {
			id = fmt.Sprintf("t%d", len(known))
			known[key] = id
			// Selectors do not reach from <svg> into what <use> shows: attributes.
			fmt.Fprintf(&p.b, `<g id="%s" transform="translate(-%d 0)"><path d="%s"/><path fill="none" stroke-width="1.3" stroke-dasharray="none" transform="translate(17 0)" d="%s"/></g>`,
				id, padLeft, outline(n.Kind, p.wide[p.at.rank[v]]), icon(n.Kind))
		}
		p.shapes[v] = id
	}
	p.b.WriteString("</defs>\n" + `<rect class="bg" width="100%" height="100%"/>` + "\n")
}

// shape tells apart what is drawn: a kind in a column; labels look alike.
func (p *picture) shape(v int) string {
	kind := p.g.Nodes[v].Kind
	if _, ok := icons[kind]; !ok {
		kind = "label"
	}
	return fmt.Sprintf("%s%d", kind, p.at.rank[v])
}

// describe is the picture in words.
func (p *picture) describe() string {
	counts := map[string]int{}
	var kinds, state []string
	for _, n := range p.g.Nodes {
		if counts[n.Kind]++; counts[n.Kind] == 1 {
			kinds = append(kinds, n.Kind)
		}
	}
	slices.SortStableFunc(kinds, func(a, b string) int { return column(a) - column(b) })
	for i, k := range kinds {
		kinds[i] = fmt.Sprintf("%d × %s", counts[k], word(k))
	}
	for _, n := range p.g.Nodes {
		for _, m := range p.marks.of(n.ID) {
			const most = 30
			if len(state) < most {
				state = append(state, n.ID+": "+badges[m])
			} else if len(state) == most {
				state = append(state, "and more")
			}
		}
	}
	s := fmt.Sprintf("Requests go from left to right. %s.", strings.Join(kinds, ", "))
	if len(kinds) == 0 {
		s = nothing
	}
	if len(state) > 0 {
		s += " " + strings.Join(state, "; ") + "."
	}
	return s
}

// ends are where a segment begins and ends: lines that share a side of a box
// are spread over it in the order of their other ends.
func (p *picture) ends() [][4]int {
	at := make([][4]int, len(p.at.segments))
	out, in := make([][]int, len(p.at.rank)), make([][]int, len(p.at.rank))
	for i, s := range p.at.segments {
		out[s.from], in[s.to] = append(out[s.from], i), append(in[s.to], i)
		to := p.left[p.at.rank[s.to]]
		from := p.left[p.at.rank[s.from]] + p.wide[p.at.rank[s.from]]
		at[i] = [4]int{from, p.middle(s.from), to, p.middle(s.to)}
	}
	spread := func(list []int, end, other int) {
		if len(list) < 2 {
			return
		}
		far := func(i int) int { return p.at.pos[p.at.segments[i].to] }
		if other == 1 {
			far = func(i int) int { return p.at.pos[p.at.segments[i].from] }
		}
		slices.SortStableFunc(list, func(a, b int) int { return far(a) - far(b) })
		step := min(5, 18/float64(len(list)-1))
		for k, i := range list {
			at[i][end] += int(math.Round(step * (float64(k) - float64(len(list)-1)/2)))
		}
	}
	for v := range p.at.nodes {
		spread(out[v], 1, 3)
		spread(in[v], 3, 1)
	}
	return at
}

func (p *picture) edges() {
	at := p.ends()
	groups := map[string][]int{}
	for i, s := range p.at.segments {
		groups[p.class(s)] = append(groups[p.class(s)], i)
	}
	for _, class := range []string{"on x", "watches x", "fallback x", "serves x", "back x", "on", "watches", "fallback", "serves", "back"} {
		arrows, back := []string{"", ` marker-end="url(#topo-arrow)"`}, strings.HasPrefix(class, "back")
		if back {
			arrows[1] = ` marker-start="url(#topo-arrow)"`
		}
		cut := strings.HasSuffix(class, " x")
		if cut { // No request arrives, and no arrow says so.
			arrows = arrows[:1]
		}
		for _, arrow := range arrows {
			first := true
			var plain []int
			for _, i := range groups[class] {
				s := p.at.segments[i]
				if end := s.to < p.at.nodes && !back || s.from < p.at.nodes && back; !cut && end != (arrow != "") {
					continue
				}
				if first {
					fmt.Fprintf(&p.b, `<g class="e %s"%s>`, class, arrow)
					first = false
				}
				title := p.untold(i)
				if arrow == "" && title == "" && !p.o.Standalone { // They need no element each.
					plain = append(plain, i)
					continue
				}
				p.line(i, at[i], title)
			}
			if len(plain) > 0 {
				p.b.WriteString(`<path d="`)
				for _, i := range plain {
					p.curve(p.at.segments[i], at[i])
				}
				p.b.WriteString(`"/>`)
			}
			if !first {
				p.b.WriteString("</g>\n")
			}
		}
	}
	if len(p.labels) > 0 {
		p.b.WriteString(`<g class="l" aria-hidden="true"><path class="bg" d="`) // So that no line runs through a text.
		for _, l := range p.labels {
			half := int(l.half) + 2
			fmt.Fprintf(&p.b, "M%d %dh%dv12h-%dz", l.x-half, l.y-6, 2*half, 2*half)
		}
		p.b.WriteString(`"/>`)
		for _, l := range p.labels {
			fmt.Fprintf(&p.b, `<text x="%d" y="%d">%s</text>`, l.x, l.y+4, escape(l.text))
		}
		p.b.WriteString("</g>\n")
	}
}

func (p *picture) class(s segment) string {
	l := p.links[s.link]
	class := styleOf(l.kind)
	if p.at.turned[s.link] {
		class = "back"
	}
	if s.off {
		class += " x"
	}
	return class
}

// untold is the label of a segment, if the picture does not show it in full.
func (p *picture) untold(i int) string {
	s := p.at.segments[i]
	label := p.links[s.link].label
	if s.from >= p.at.nodes || p.placed[i] && shorten(clean(label), mostLabel) == label {
		return ""
	}
	return label
}

// line draws a segment.
func (p *picture) line(i int, at [4]int, title string) {
	s := p.at.segments[i]
	l := p.links[s.link]
	p.b.WriteString("<path")
	if p.o.Standalone && !s.shared && s.from < p.at.nodes {
		fmt.Fprintf(&p.b, ` id="e%d-%d"`, l.from, l.to)
	}
	p.b.WriteString(` d="`)
	p.curve(s, at)
	if title != "" {
		fmt.Fprintf(&p.b, `"><title>%s</title></path>`, escape(title))
		return
	}
	p.b.WriteString(`"/>`)
}

// curve is a segment's way: between the columns, after it has crossed the
// column of the lane that it comes from.
func (p *picture) curve(s segment, at [4]int) {
	dx, dy := at[2]-at[0], at[3]-at[1]
	if s.from >= p.at.nodes {
		w := p.wide[p.at.rank[s.from]]
		fmt.Fprintf(&p.b, "M%d %dh%d", at[0]-w, at[1], w)
	} else {
		fmt.Fprintf(&p.b, "M%d %d", at[0], at[1])
	}
	if dy == 0 {
		fmt.Fprintf(&p.b, "h%d", dx)
	} else {
		fmt.Fprintf(&p.b, "c%d 0 %d %d %d %d", dx/2, dx/2, dy, dx, dy)
	}
}

func (p *picture) nodes() {
	p.b.WriteString(`<g class="n">` + "\n")
	for _, layer := range p.at.layers {
		for _, v := range layer {
			if v < p.at.nodes {
				p.node(v)
			}
		}
	}
	p.b.WriteString("</g>\n")
}

func (p *picture) node(v int) {
	n := p.g.Nodes[v]
	badge, rest := p.sub(v)
	element, href, does := "g", "", ""
	if p.o.Link != nil {
		if href, does = p.o.Link(n.ID); href != "" {
			element = "a"
		}
	}
	p.b.WriteString("<" + element)
	if p.o.Standalone || href != "" {
		fmt.Fprintf(&p.b, ` id="n%d"`, v)
	}
	if p.o.Standalone {
		fmt.Fprintf(&p.b, ` data-id="%s" data-kind="%s"`, escape(n.ID), escape(n.Kind))
	}
	if href != "" {
		fmt.Fprintf(&p.b, ` href="%s"`, escape(href))
	}
	class := role(n.Kind)
	if n.Foreign {
		class = append(class, "foreign")
	}
	if n.Out != "" || p.marks.off(n.ID) {
		class = append(class, "off")
	}
	for _, m := range p.marks.of(n.ID) {
		class = append(class, string(m))
	}
	if len(class) > 0 {
		fmt.Fprintf(&p.b, ` class="%s"`, strings.Join(class, " "))
	}
	full := n.Name + ", " + detail(n)
	if n.Foreign {
		full += ", no part of the specification"
	}
	if badge != "" {
		full += ", " + badge
	}
	if note := p.o.Notes[n.ID]; note != "" {
		full += map[bool]string{true: " ", false: ", "}[badge != ""] + note
	}
	if does != "" {
		full += ": " + does
	}
	fmt.Fprintf(&p.b, ` transform="translate(%d %d)">`, p.left[p.at.rank[v]]+padLeft, p.middle(v))
	if shown := p.name(v) + ", " + rest; shown != full || href != "" || p.o.Standalone {
		fmt.Fprintf(&p.b, "<title>%s</title>", escape(full))
	}
	fmt.Fprintf(&p.b, `<use href="#%s"/><text y="-2">%s</text><text y="12" class="s">`, p.shapes[v], escape(p.name(v)))
	if badge != "" {
		fmt.Fprintf(&p.b, `<tspan class="b">%s</tspan>`, escape(badge))
	}
	fmt.Fprintf(&p.b, "%s</text></%s>\n", escape(rest), element)
}

var escaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&#39;")

func escape(s string) string { return escaper.Replace(clean(s)) }
