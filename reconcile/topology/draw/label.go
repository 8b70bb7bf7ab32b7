package draw

import (
	"fmt"
	"math"
	"slices"
)

// placed is the text of an edge around a point.
type placed struct {
	x, y int
	half float64
	text string
}

func (a placed) hits(b placed) bool {
	const high = 12
	return math.Abs(float64(a.x-b.x)) < a.half+b.half+4 && math.Abs(float64(a.y-b.y)) < high
}

// label writes the labels of edges on their lines, each where it hits no other
// and stays between the columns. One without room is in the <title> only.
func (p *picture) label() {
	at := p.ends()
	p.placed = map[int]bool{}
	taken := make([]map[int][]placed, len(p.at.layers)) // by column and height
	const slice = 24
	for i, s := range p.at.segments {
		text := shorten(clean(p.links[s.link].label), mostLabel)
		if text == "" || s.from >= p.at.nodes {
			continue
		}
		r := p.at.rank[s.from]
		if taken[r] == nil {
			taken[r] = map[int][]placed{}
		}
		half := float64(cells(text)) * subCell / 2
		low, high := float64(at[i][0])+half+4, float64(at[i][2])-half-10
		order := []float64{.5, .4, .6, .3, .7, .22, .78, .15, .85}
		if at[i][3]-at[i][1] > 3*boxHeight || at[i][1]-at[i][3] > 3*boxHeight {
			slices.Sort(order) // The middle of a steep line is far from both of its ends.
		}
	try:
		for _, t := range order {
			x, y := along(at[i], t)
			x = min(max(x, low), max(low, high))
			l := placed{x: int(math.Round(x)), y: int(math.Round(y)), half: half, text: text}
			for k := l.y/slice - 1; k <= l.y/slice+1; k++ {
				for _, other := range taken[r][k] {
					if l.hits(other) {
						continue try
					}
				}
			}
			taken[r][l.y/slice] = append(taken[r][l.y/slice], l)
			p.labels = append(p.labels, l)
			p.placed[i] = true
			break
		}
	}
}

// along is a point of the curve that line draws.
func along(at [4]int, t float64) (x, y float64) {
	dx, dy := float64(at[2]-at[0]), float64(at[3]-at[1])
	a, b, c := 3*(1-t)*(1-t)*t, 3*(1-t)*t*t, t*t*t
	return float64(at[0]) + float64((a+b)/2*dx) + float64(c*dx), float64(at[1]) + float64((b+c)*dy)
}

// legend explains the lines and frames that there are.
func (p *picture) legend() {
	y := p.height + 6
	for i, row := range p.legendRows() {
		ry := y + i*legendRow
		if row.line != "" {
			fmt.Fprintf(&p.b, `<path class="e %s" d="M%d %dh36"/>`, row.line, margin, ry)
		} else {
			fmt.Fprintf(&p.b, `<g class="n %s"><path d="M%d %dh34v8h-34z"/></g>`, row.box, margin+1, ry-4)
		}
		fmt.Fprintf(&p.b, `<text class="s" x="%d" y="%d">%s</text>`+"\n", margin+46, ry+4, row.text)
	}
}

const legendRow = 17

type legendEntry struct{ line, box, text string }

func (p *picture) legendRows() []legendEntry {
	lines, boxes := map[string]bool{}, map[string]bool{}
	for _, s := range p.at.segments {
		class := p.class(s)
		if s.off {
			lines["x"] = true
			continue
		}
		lines[class] = true
	}
	for _, n := range p.g.Nodes {
		boxes["foreign"] = boxes["foreign"] || n.Foreign
		boxes["off"] = boxes["off"] || n.Out != "" || p.marks.off(n.ID)
		boxes["refused"] = boxes["refused"] || slices.Contains(p.marks[n.ID], Refused) || slices.Contains(p.marks[n.ID], Conflict)
	}
	var rows []legendEntry
	for _, e := range []legendEntry{
		{line: "serves", text: "where requests go"}, {line: "fallback", text: "the last resort only"}, {line: "watches", text: "watches"},
		{line: "on", text: "is on, or is part of"}, {line: "back", text: "goes backwards: a circle"}, {line: "x", text: "nothing gets through (no arrow)"},
		{box: "foreign", text: "no part of the specification"}, {box: "off", text: "does not serve"},
		{box: "refused", text: "is in the way of the plan"},
	} {
		if e.line != "" && lines[e.line] || e.box != "" && boxes[e.box] {
			rows = append(rows, e)
		}
	}
	return rows
}

func (p *picture) legendHeight() int {
	if n := len(p.legendRows()); n > 0 {
		return n*legendRow + margin/2
	}
	return 0
}
