package draw

import (
	"slices"
	"strings"
	"unicode"

	"github.com/hactl/hactl/reconcile/topology"
)

// Mark is something to show about a node. All are drawn as words, too.
type Mark string

// The marks. A node may have several; those of one sort are shown in this
// order.
const (
	Create  Mark = "create"
	Update  Mark = "update"
	Replace Mark = "replace"
	Delete  Mark = "delete"
	// Conflict is somebody else's; Refused is what guard rails stop.
	Conflict Mark = "conflict"
	Refused  Mark = "refused"
	// Down has failed itself; Cut is out for what others failed.
	Down Mark = "down"
	Cut  Mark = "cut"
	// Active, Healthy and Unhealthy are live state.
	// Split is a Virtual Router with two that are Active.
	Active    Mark = "active"
	Split     Mark = "split"
	Healthy   Mark = "healthy"
	Unhealthy Mark = "unhealthy"
)

var markOrder = []Mark{Down, Cut, Refused, Conflict, Delete, Replace, Create, Update, Split, Unhealthy, Active, Healthy}

// badge is how a mark is written: never by colour alone.
var badges = map[Mark]string{
	Create: "+ create", Update: "~ update", Replace: "± replace", Delete: "− delete",
	Conflict: "! conflict", Refused: "! refused",
	Down: "× down", Cut: "cut off", Active: "active", Split: "! two active", Healthy: "healthy", Unhealthy: "! unhealthy",
}

// badgesOf are the marks of one node, in words.
func badgesOf(marks []Mark) string {
	words := make([]string, 0, len(marks))
	for _, m := range marks {
		words = append(words, badges[m])
	}
	return strings.Join(words, ", ")
}

// Marks are by node ID. Those of nodes that the graph does not have, and marks
// that are none of the above, are ignored.
type Marks map[string][]Mark

func (m Marks) of(id string) []Mark {
	marks := slices.DeleteFunc(slices.Clone(m[id]), func(x Mark) bool { return !slices.Contains(markOrder, x) })
	slices.SortFunc(marks, func(a, b Mark) int { return slices.Index(markOrder, a) - slices.Index(markOrder, b) })
	return slices.Compact(marks)
}

// off tells whether nothing goes through a node.
func (m Marks) off(id string) bool {
	return slices.Contains(m[id], Down) || slices.Contains(m[id], Cut)
}

// link is what is drawn between two nodes: all edges between them at once.
type link struct {
	from, to int
	kind     string
	label    string
	off      bool
	last     bool // one of them is a fallback
}

// links merges the edges between the same two nodes, and drops those that lead
// nowhere or from a node to itself.
func links(g *topology.Graph, marks Marks) []link {
	index, off := make(map[string]int, len(g.Nodes)), make([]bool, len(g.Nodes))
	for i, n := range g.Nodes {
		index[n.ID], off[i] = i, n.Out != "" || marks.off(n.ID)
	}
	known := map[[2]int]int{}
	var all []link
	for _, e := range g.Edges {
		from, ok := index[e.From]
		to, ok2 := index[e.To]
		if !ok || !ok2 || from == to {
			continue
		}
		label, last := e.Label, e.Kind == "fallback" && e.Label == ""
		if e.Kind == "fallback" && !last { // Of a rule.
			label += " fallback"
		}
		i, twice := known[[2]int{from, to}]
		if !twice {
			known[[2]int{from, to}] = len(all)
			all = append(all, link{from: from, to: to, kind: e.Kind, label: label, off: off[from] || off[to], last: last})
			continue
		}
		l := &all[i]
		l.last = l.last || last
		if slices.Index(weight, e.Kind) < slices.Index(weight, l.kind) {
			l.kind = e.Kind
		}
		l.label = join(l.label, label)
	}
	for i := range all {
		if all[i].last {
			all[i].label = join(all[i].label, "fallback")
		}
	}
	return all
}

func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + ", " + b
}

// weight orders kinds of edges: of several between two nodes, the first is
// drawn. One that is not listed is drawn above all.
var weight = []string{"serves", "route", "connector", "member", "on", "label", "fallback", "watches"}

// detail is the second line of a node without its marks.
func detail(n topology.Node) string {
	s := word(n.Kind)
	for _, more := range []string{n.Out, n.Detail} {
		if more != "" {
			s += " · " + more
		}
	}
	return s
}

// fitting is as many whole parts of the detail as there is room for: first goes the
// detail proper, and why it is out goes last.
func fitting(n topology.Node, room int) string {
	shorter := n
	shorter.Detail = ""
	choices := []string{detail(n), detail(shorter), word(n.Kind)}
	if n.Out != "" {
		choices = slices.Insert(choices, 2, n.Out)
	}
	for _, s := range choices {
		if s = clean(s); cells(s) <= room {
			return s
		}
	}
	return shorten(clean(choices[len(choices)-1]), room)
}

var words = map[string]string{
	"loadBalancer": "load balancer", "privateLoadBalancer": "private balancer", "dnsRecord": "DNS record", "virtualRouter": "Virtual Router",
	"route": "private network",
}

func word(kind string) string {
	if w, ok := words[kind]; ok {
		return w
	}
	return kind
}

// clean replaces what XML does not have, and what would turn the text around
// it into something else: control characters and bidirectional overrides.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case unicode.IsControl(r), r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069, r == 0xfffe, r == 0xffff, r == 0x2028, r == 0x2029:
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(s, string(unicode.ReplacementChar)))
}

// cells is how many columns of a monospaced font a text takes, at most.
func cells(s string) int {
	n := 0
	for _, r := range s {
		n += width(r)
	}
	return n
}

func width(r rune) int {
	if r < 0x1100 {
		return 1
	}
	// East Asian wide and emoji, roughly; what the font lacks may be wider.
	return 2
}

// shorten cuts the middle out of a text that takes more cells: names differ at
// both ends.
func shorten(s string, most int) string {
	if cells(s) <= most {
		return s
	}
	runes := []rune(s)
	head, tail, room := 0, len(runes), most-2 // The ellipsis counts as wide.
	for fromHead := true; head < tail; fromHead = !fromHead {
		r := runes[head]
		if !fromHead {
			r = runes[tail-1]
		}
		if room -= width(r); room < 0 {
			break
		}
		if fromHead {
			head++
		} else {
			tail--
		}
	}
	return string(runes[:head]) + "…" + string(runes[tail:])
}
