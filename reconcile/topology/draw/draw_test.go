package draw

import (
	"bytes"
	"encoding/xml"
	"flag"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/hactl/hactl/reconcile/topology"
)

var update = flag.Bool("update", false, "write the golden files")

// small has one of most things, marks of all sorts, and a circle.
func small() (*topology.Graph, Marks) {
	g := &topology.Graph{
		Nodes: []topology.Node{
			{ID: "address/192.0.2.9", Kind: "address", Name: "192.0.2.9", Foreign: true},
			{ID: "connector/home@lb01", Kind: "connector", Name: "home@lb01"},
			{ID: "connector/home@lb02", Kind: "connector", Name: "home@lb02"},
			{ID: "dnsRecord/a.example.com", Kind: "dnsRecord", Name: "a.example.com", Entry: true},
			{ID: "dnsRecord/b.example.com", Kind: "dnsRecord", Name: "b.example.com", Entry: true},
			{ID: "host/lb01", Kind: "host", Name: "lb01", Detail: "10.0.0.1"},
			{ID: "host/lb02", Kind: "host", Name: "lb02", Detail: "10.0.0.2", Out: "maintenance"},
			{ID: "loadBalancer/www.example.com", Kind: "loadBalancer", Name: "www.example.com", Entry: true, Detail: "geo"},
			{ID: "monitor/web", Kind: "monitor", Name: "web", Detail: "https"},
			{ID: "origin/tokyo/a", Kind: "origin", Name: "tokyo/a"},
			{ID: "origin/tokyo/b", Kind: "origin", Name: "tokyo/b", Out: "disabled"},
			{ID: "pool/osaka", Kind: "pool", Name: "osaka", Foreign: true},
			{ID: "pool/tokyo", Kind: "pool", Name: "tokyo", Detail: "at least 2 origins"},
			{ID: "site/x", Kind: "site", Name: "x"},
			{ID: "tunnel/home", Kind: "tunnel", Name: "home"},
			{ID: "virtualRouter/web", Kind: "virtualRouter", Name: "web", Entry: true, Detail: "10.0.0.40/24"},
		},
		Edges: []topology.Edge{
			{From: "connector/home@lb01", To: "host/lb01", Kind: "on"},
			{From: "connector/home@lb02", To: "host/lb02", Kind: "on"},
			{From: "dnsRecord/a.example.com", To: "dnsRecord/b.example.com", Kind: "serves"},
			{From: "dnsRecord/b.example.com", To: "dnsRecord/a.example.com", Kind: "serves"},
			{From: "host/lb01", To: "site/x", Kind: "label"},
			{From: "host/lb02", To: "site/x", Kind: "label"},
			{From: "loadBalancer/www.example.com", To: "pool/osaka", Kind: "fallback"},
			{From: "loadBalancer/www.example.com", To: "pool/osaka", Kind: "serves", Label: "region WEU 1"},
			{From: "loadBalancer/www.example.com", To: "pool/tokyo", Kind: "serves", Label: "1"},
			{From: "monitor/web", To: "pool/tokyo", Kind: "watches"},
			{From: "origin/tokyo/a", To: "tunnel/home", Kind: "serves"},
			{From: "origin/tokyo/b", To: "address/192.0.2.9", Kind: "serves"},
			{From: "pool/tokyo", To: "origin/tokyo/a", Kind: "serves"},
			{From: "pool/tokyo", To: "origin/tokyo/b", Kind: "serves", Label: "weight 0.5"},
			{From: "tunnel/home", To: "connector/home@lb01", Kind: "connector"},
			{From: "tunnel/home", To: "connector/home@lb02", Kind: "connector"},
			{From: "tunnel/home", To: "virtualRouter/web", Kind: "serves", Label: "www.example.com"},
			{From: "virtualRouter/web", To: "host/lb01", Kind: "member", Label: "priority 150"},
			{From: "virtualRouter/web", To: "host/lb02", Kind: "member", Label: "priority 100"},
		},
	}
	return g, Marks{
		"host/lb01": {Down}, "connector/home@lb01": {Cut}, "pool/tokyo": {Update, Unhealthy}, "monitor/web": {Create}, "pool/osaka": {Delete},
		"virtualRouter/web": {Active}, "tunnel/home": {Healthy}, "origin/tokyo/a": {Replace},
		"dnsRecord/a.example.com": {Conflict}, "loadBalancer/www.example.com": {Update, Refused},
	}
}

// linked is what a page asks for: links and notes.
func linked(notes map[string]string) Options {
	return Options{Notes: notes, Link: func(id string) (href, does string) {
		if strings.HasPrefix(id, "monitor/") {
			return "", ""
		}
		return "?down=" + url.QueryEscape(id) + "&down=host%2Flb09#picture", "let it fail"
	}}
}

func TestGolden(t *testing.T) {
	g, marks := small()
	page := linked(map[string]string{"virtualRouter/web": "on lb01", "host/lb02": "runs 0123456", "origin/tokyo/b": `HTTP 502 <"&'>`})
	for _, x := range []struct {
		name string
		got  []byte
	}{
		{"small.svg", SVG(g, marks, Options{Title: "Small <example>", Standalone: true})},
		{"small.page.svg", SVG(g, marks, page)},
		{"small.mmd", Mermaid(g, marks, Options{Title: `Small "example"`})},
		{"small.dot", DOT(g, marks, Options{Title: `Small "example"`})},
	} {
		path := filepath.Join("testdata", x.name)
		if *update {
			if err := os.WriteFile(path, x.got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(x.got, want) {
			t.Errorf("%s is not what it was; run the tests with -update and look at it:\n%s", x.name, x.got)
		}
	}
}

// drawn is what an SVG has, read back as XML.
type drawn struct {
	boxes  []rect
	curves [][4]float64 // from x, y to x, y in a gap
	lanes  [][3]float64 // from x to x at a height
	labels []rect
	edges  map[string]bool
}

type rect struct{ left, top, right, bottom float64 }

func (a rect) hits(b rect) bool {
	return a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom
}

var (
	numbers  = regexp.MustCompile(`-?[0-9.]+`)
	elements = map[string]bool{
		"svg": true, "title": true, "desc": true, "style": true, "defs": true, "marker": true, "path": true, "g": true, "use": true,
		"rect": true, "text": true, "tspan": true, "a": true,
	}
	attributes = map[string]bool{
		"xmlns": true, "class": true, "width": true, "height": true, "viewBox": true, "role": true, "aria-labelledby": true, "aria-hidden": true,
		"id": true, "data-id": true, "data-kind": true, "transform": true, "d": true, "x": true, "y": true, "href": true,
		"fill": true, "stroke-width": true, "stroke-dasharray": true, "marker-end": true, "marker-start": true, "refX": true, "refY": true, "markerWidth": true, "markerHeight": true, "markerUnits": true, "orient": true,
	}
)

// read parses a picture, and refuses what has no place in one.
func read(t *testing.T, svg []byte) drawn {
	t.Helper()
	d := drawn{edges: map[string]bool{}}
	d2 := xml.NewDecoder(bytes.NewReader(svg))
	wide := map[string]float64{}
	inDefs, inEdges := false, false
	shape := ""
	var at []float64
	nums := func(s string) []float64 {
		var all []float64
		for _, x := range numbers.FindAllString(s, -1) {
			f, err := strconv.ParseFloat(x, 64)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, f)
		}
		return all
	}
	ids := map[string]bool{}
	for {
		token, err := d2.Token()
		if err == io.EOF {
			return d
		}
		if err != nil {
			t.Fatalf("no XML: %v\n%s", err, svg)
		}
		if end, ok := token.(xml.EndElement); ok && end.Name.Local == "defs" {
			inDefs = false
		}
		start, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		if !elements[start.Name.Local] {
			t.Fatalf("there is a <%s>", start.Name.Local)
		}
		a := map[string]string{}
		for _, x := range start.Attr {
			if !attributes[x.Name.Local] {
				t.Fatalf("there is an attribute %s", x.Name.Local)
			}
			a[x.Name.Local] = x.Value
		}
		if id := a["id"]; id != "" {
			if ids[id] {
				t.Fatalf("id %s is there twice", id)
			}
			ids[id] = true
		}
		if href, ok := a["href"]; ok && !strings.HasPrefix(href, map[bool]string{true: "?down=", false: "#t"}[start.Name.Local == "a"]) {
			t.Fatalf("there is a reference to %s", href)
		}
		switch {
		case start.Name.Local == "defs":
			inDefs = true
		case inDefs && start.Name.Local == "g":
			shape = a["id"]
		case inDefs && start.Name.Local == "path" && shape != "" && a["fill"] == "":
			wide[shape] = extent(t, a["d"])
		case start.Name.Local == "g" || start.Name.Local == "a":
			inEdges = strings.HasPrefix(a["class"], "e ")
			if a["transform"] != "" {
				at = nums(a["transform"])
			}
		case start.Name.Local == "use":
			w := wide[strings.TrimPrefix(a["href"], "#")]
			if w == 0 {
				t.Fatalf("%s is not defined", a["href"])
			}
			d.boxes = append(d.boxes, rect{at[0] - padLeft, at[1] - boxHeight/2, at[0] - padLeft + w, at[1] + boxHeight/2})
		case start.Name.Local == "path" && inEdges:
			d.edges[a["id"]] = true
			for line := range strings.SplitSeq(a["d"], "M") {
				if line == "" {
					continue
				}
				n := nums(line)
				x, y := n[0], n[1]
				n = n[2:]
				steps := regexp.MustCompile(`[hc]`).FindAllString(line, -1)
				for i, s := range steps {
					switch {
					case s == "h" && len(steps) == 2 && i == 0:
						d.lanes = append(d.lanes, [3]float64{x, x + n[0], y})
						x, n = x+n[0], n[1:]
					case s == "h":
						d.curves = append(d.curves, [4]float64{x, y, x + n[0], y})
					default:
						d.curves = append(d.curves, [4]float64{x, y, x + n[4], y + n[5]})
					}
				}
			}
		case start.Name.Local == "path" && a["class"] == "bg":
			n := nums(a["d"])
			for i := 0; i+4 < len(n); i += 5 {
				d.labels = append(d.labels, rect{n[i], n[i+1], n[i] + n[i+2], n[i+1] + n[i+3]})
			}
		}
	}
}

// extent is how wide an outline is: every one begins at the top, goes right
// and comes back, so that the widest x tells.
func extent(t *testing.T, d string) float64 {
	t.Helper()
	x, widest := 0.0, 0.0
	for _, m := range regexp.MustCompile(`([Mhvlqa])([^Mhvlqaz]*)`).FindAllStringSubmatch(d, -1) {
		var n []float64
		for _, s := range numbers.FindAllString(m[2], -1) {
			f, _ := strconv.ParseFloat(s, 64)
			n = append(n, f)
		}
		switch m[1] {
		case "M":
			x = n[0]
		case "h":
			x += n[0]
		case "l":
			for i := 0; i < len(n); i += 2 {
				x += n[i]
				widest = max(widest, x)
			}
		case "q":
			x += n[2]
		case "a": // Half a circle, to the right and back.
			widest = max(widest, x+n[0])
		}
		widest = max(widest, x)
	}
	return widest
}

// TestRandomPictures: no two boxes overlap, no line runs through a box or
// leftwards, no label hits a label or a box, all nodes and edges are there, the XML is
// well-formed and has nothing but what a picture needs, and twice the same
// gives the same.
func TestRandomPictures(t *testing.T) {
	seeds := 150
	if testing.Short() {
		seeds = 30
	}
	for seed := range uint64(seeds) {
		r := rand.New(rand.NewPCG(seed, 7))
		g, marks := randomGraph(r, 1+r.IntN(300))
		o := linked(map[string]string{g.Nodes[0].ID: hostile[seed%7]})
		o.Title = hostile[seed%uint64(len(hostile))]
		if o.Standalone = seed%2 == 0; seed%3 == 0 {
			o.Link = nil
		}
		svg := SVG(g, marks, o)
		check(t, fmt.Sprint("seed ", seed), g, svg, o)
		if again := SVG(g, marks, o); !bytes.Equal(svg, again) {
			t.Fatalf("seed %d: not the same twice", seed)
		}
		if seed%8 == 0 {
			sameLines(t, g, marks, o)
		}
		if t.Failed() {
			return
		}
	}
	check(t, "site", site(300), SVG(site(300), nil, Options{}), Options{})
}

// sameLines: a page's picture has the same lines and boxes, in fewer elements.
func sameLines(t *testing.T, g *topology.Graph, marks Marks, o Options) {
	t.Helper()
	o.Standalone = true
	whole := read(t, SVG(g, marks, o))
	o.Standalone = false
	page := read(t, SVG(g, marks, o))
	if len(whole.curves) != len(page.curves) || len(whole.lanes) != len(page.lanes) || len(whole.boxes) != len(page.boxes) {
		t.Errorf("%d curves, %d lanes and %d boxes, and on a page %d, %d and %d",
			len(whole.curves), len(whole.lanes), len(whole.boxes), len(page.curves), len(page.lanes), len(page.boxes))
	}
}

func check(t *testing.T, what string, g *topology.Graph, svg []byte, o Options) {
	t.Helper()
	d := read(t, svg)
	if len(d.boxes) != len(g.Nodes) {
		t.Errorf("%s: %d boxes for %d nodes", what, len(d.boxes), len(g.Nodes))
	}
	for _, l := range links(g, nil) {
		if id := fmt.Sprintf("e%d-%d", l.from, l.to); o.Standalone && !d.edges[id] {
			t.Errorf("%s: edge %s is missing", what, id)
		}
	}
	for i, a := range d.boxes {
		for _, b := range d.boxes[:i] {
			if a.hits(b) {
				t.Errorf("%s: boxes %v and %v overlap", what, a, b)
			}
		}
		for _, l := range d.labels {
			if a.hits(l) {
				t.Errorf("%s: label %v is on box %v", what, l, a)
			}
		}
		for _, l := range d.lanes {
			if a.hits(rect{l[0], l[2] - 1, l[1], l[2] + 1}) {
				t.Errorf("%s: line %v runs through box %v", what, l, a)
			}
		}
		for _, c := range d.curves { // The curve stays between the heights of its ends.
			if a.hits(rect{c[0], min(c[1], c[3]), c[2], max(c[1], c[3]) + 1}) {
				t.Errorf("%s: curve %v runs through box %v", what, c, a)
			}
		}
	}
	for i, a := range d.labels {
		for _, b := range d.labels[:i] {
			if a.hits(b) {
				t.Errorf("%s: labels %v and %v overlap", what, a, b)
			}
		}
	}
	for _, c := range d.curves {
		if c[2] <= c[0] {
			t.Errorf("%s: curve %v goes leftwards", what, c)
		}
	}
}

// TestNamesAreNoMarkup looks at the bytes of every format.
func TestNamesAreNoMarkup(t *testing.T) {
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 8))
		g, marks := randomGraph(r, 60)
		for _, out := range [][]byte{SVG(g, marks, Options{}), Mermaid(g, marks, Options{Title: hostile[seed%uint64(len(hostile))]}), DOT(g, marks, Options{})} {
			if bytes.ContainsFunc(out, func(r rune) bool { return r < ' ' && r != '\n' || r == 0x202e }) {
				t.Fatalf("seed %d: a control character in\n%q", seed, out)
			}
		}
		for i, line := range strings.Split(string(Mermaid(g, marks, Options{})), "\n") {
			rest := strings.ReplaceAll(line, "<br>", "") // Ours: two lines, or three with marks.
			if strings.ContainsAny(rest, "`%<") || strings.Count(line, "<br>") > 2 || strings.Count(line, `"`)%2 != 0 || strings.Count(line, `"`) > 2 {
				t.Errorf("seed %d: line %d: %s", seed, i, line)
			}
		}
		for i, line := range strings.Split(string(DOT(g, marks, Options{})), "\n") {
			rest := strings.ReplaceAll(strings.ReplaceAll(line, `\\`, ""), `\"`, "")
			if strings.Count(rest, `"`)%2 != 0 {
				t.Errorf("seed %d: line %d: %s", seed, i, line)
			}
		}
	}
}

// TestContrast holds the colours to WCAG AA in light and dark.
func TestContrast(t *testing.T) {
	for _, mode := range []string{"light", "dark"} {
		of := func(name string) float64 {
			for _, c := range palette {
				if c.name == name {
					if mode == "dark" {
						return luminance(t, c.dark)
					}
					return luminance(t, c.light)
				}
			}
			t.Fatalf("there is no colour %s", name)
			return 0
		}
		want := func(least float64, front, back string) {
			a, b := of(front), of(back)
			if got := (max(a, b) + 0.05) / (min(a, b) + 0.05); got < least {
				t.Errorf("%s: %s on %s has a contrast of %.2f, want %.1f", mode, front, back, got, least)
			}
		}
		for _, fill := range []string{"bg", "entry", "pool", "tunnel", "router", "host", "side", "off"} {
			for _, text := range []string{"text", "sub", "good", "change", "bad"} {
				want(4.5, text, fill)
			}
			if fill != "bg" && fill != "off" {
				want(3, fill+"-line", fill)
				want(3, fill+"-line", "bg")
			}
		}
		want(4.5, "off-text", "off")
		for _, line := range []string{"edge", "off-edge", "off-text", "good", "change", "bad"} {
			want(3, line, "bg")
		}
	}
}

func luminance(t *testing.T, hex string) float64 {
	t.Helper()
	n, err := strconv.ParseUint(strings.TrimPrefix(hex, "#"), 16, 32)
	if err != nil {
		t.Fatal(err)
	}
	channel := func(shift int) float64 {
		c := float64(n>>shift&0xff) / 255
		if c <= 0.04045 {
			return c / 12.92
		}
		return math.Pow((c+0.055)/1.055, 2.4)
	}
	return 0.2126*channel(16) + 0.7152*channel(8) + 0.0722*channel(0)
}

func TestShortenKeepsBothEnds(t *testing.T) {
	for _, x := range []struct {
		text string
		most int
		want string
	}{
		{"short", 10, "short"}, {"exactly-10", 10, "exactly-10"}, {"a-very-long-name.example.com", 12, "a-ver…e.com"}, {"日本語日本語日本語", 8, "日本…語"}, {"", 3, ""},
	} {
		if got := shorten(x.text, x.most); got != x.want || cells(got) > x.most {
			t.Errorf("shorten(%q, %d) = %q, want %q", x.text, x.most, got, x.want)
		}
	}
}

func BenchmarkSVG(b *testing.B) {
	for _, n := range []int{300, 2000} {
		g := site(n)
		for name, o := range map[string]Options{"standalone": {Standalone: true}, "page": linked(nil)} {
			b.Run(fmt.Sprint(n, "/", name), func(b *testing.B) {
				size := 0
				for b.Loop() {
					size = len(SVG(g, nil, o))
				}
				b.ReportMetric(float64(size), "bytes")
			})
		}
	}
}

// TestTheFallbackOfARule is that of its requests alone.
func TestTheFallbackOfARule(t *testing.T) {
	const balancer, pool = "loadBalancer/www.example.com", "pool/a"
	g := &topology.Graph{
		Nodes: []topology.Node{{ID: balancer, Kind: "loadBalancer", Name: "www.example.com"}, {ID: pool, Kind: "pool", Name: "a"}},
		Edges: []topology.Edge{{From: balancer, To: pool, Kind: "serves", Label: "1"}, {From: balancer, To: pool, Kind: "fallback", Label: "rule r"}},
	}
	for label, edges := range map[string][]topology.Edge{
		"1, rule r fallback":           g.Edges,
		"1, rule r fallback, fallback": append(g.Edges[:2:2], topology.Edge{From: balancer, To: pool, Kind: "fallback"}),
	} {
		text := string(DOT(&topology.Graph{Nodes: g.Nodes, Edges: edges}, nil, Options{}))
		if !strings.Contains(text, `label="`+label+`"`) {
			t.Errorf("no %q in\n%s", label, text)
		}
	}
}
