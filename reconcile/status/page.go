package status

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	_ "embed" // for its files
	"encoding/base64"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/hactl/hactl/reconcile/render"
	"github.com/hactl/hactl/reconcile/topology"
	"github.com/hactl/hactl/reconcile/topology/draw"
	"github.com/hactl/hactl/schema"
)

//go:embed page.html
var pageHTML string

//go:embed page.css
var pageCSS string

var pageTemplate = template.Must(template.New("page.html").Funcs(template.FuncMap{
	"short": short,
	"ago":   func(now, t time.Time) string { return max(now.Sub(t), 0).Round(time.Second).String() },
	"move":  render.MoveText,
	"list":  func(parts []string) string { return strings.Join(parts, ", ") },
	"style": func() template.CSS { return template.CSS(pageStyle) }, //nolint:gosec // It is ours.
}).Parse(pageHTML))

// Page is what a person sees of an agent, or of all hosts of a site: what is
// wrong, who has which Virtual Router, how the edge does, what is pending, how
// requests go, and what happens if something fails. It has no script, and
// changes nothing: what-if is a link.
type Page struct {
	// Title is what a page is of that is no agent's: one without Facts.
	Title string
	// Facts and Problems are of this agent; nil for none.
	Facts    func() Facts
	Problems func() []string
	// Spec is what runs; nil before something does.
	Spec   func() *schema.Spec
	Recent *Recent
	// Hosts are those of the specification, in the order in which they are
	// shown. It keeps whoever looks waiting, and says of a host that takes long
	// what it knows. What it says of this agent's host counts less than Facts.
	// Nil for none.
	Hosts func(context.Context) []Host

	mu    sync.Mutex
	spec  *schema.Spec
	known *known
}

// known is what a specification says whatever happens.
type known struct {
	spec   *schema.Spec
	model  *topology.Model
	graph  *topology.Graph
	at     map[string]int   // where in the graph a node is
	report *topology.Report // single points of failure
}

// view is what the template shows.
type view struct {
	Facts
	Title    string
	Site     bool // no agent's page
	Now      time.Time
	NotReady string
	Problems []string
	Alarms   []string // what is wrong elsewhere
	Hosts    []hostView
	Well     []hostView // more of them, where there are many
	Seats    []seatView
	Taken    []seatView // more of them, likewise
	Cloud    *edgeView
	Health   *healthView
	Path     *pathView
	Recent   []Line

	live []Host   // of all of which something is known
	off  []string // hosts that are
}

// Title of the window.
func (v *view) State() string {
	switch {
	case v.NotReady != "":
		return "not ready"
	case len(v.Problems)+len(v.Alarms) > 0, v.Attention():
		return "needs a look"
	}
	return "well"
}

// Attention tells whether something of this agent is to be looked at.
func (v *view) Attention() bool {
	f := v.Follow
	return f.Refused != nil || f.Fetch.Err != "" || f.Suspended != nil || f.Unfit != "" || f.Unsaved != "" || v.Edge.Err != "" ||
		v.EdgeWaits() != ""
}

// EdgeWaits says why this agent leads and applies nothing, such as a guard rail
// that refuses; hactl status calls that unwell, too.
func (v *view) EdgeWaits() string {
	if !v.Edge.Leadership.Mine || v.Follow.Suspended != nil {
		return ""
	}
	return v.Edge.Waits
}

// ServeHTTP writes the page.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, p.view(r)); err != nil {
		say(w, http.StatusInternalServerError, "the page cannot be shown")
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Security-Policy", pagePolicy)
	w.Header().Set("Referrer-Policy", "no-referrer")
	compressed(w, r, b.Bytes())
}

// view gathers what is shown.
func (p *Page) view(r *http.Request) *view {
	v := &view{Now: time.Now()}
	if p.Facts != nil {
		v.Facts = p.Facts()
	}
	v.Site = p.Title != "" && v.Host == "" && v.Engine == nil
	v.Title = cmp.Or(v.Host, "hactl, an agent of no host")
	if v.Site {
		v.Title = p.Title
	} else if err := v.Ready(); err != nil {
		v.NotReady = err.Error()
	}
	if p.Problems != nil {
		v.Problems = p.Problems()
	}
	if p.Recent != nil {
		v.Recent = p.Recent.Lines()
	}
	k := p.knows()
	var spec *schema.Spec
	if k != nil {
		spec = k.spec
	}
	var others []Host
	if p.Hosts != nil {
		others = p.Hosts(r.Context())
	}
	v.hosts(others, spec)
	v.seats(spec)
	v.edge()
	v.health(spec)
	if k != nil {
		query, err := url.ParseQuery(r.URL.RawQuery)
		v.play(k, query["down"])
		if err != nil {
			v.Path.Unknown = append(v.Path.Unknown, "a part of this address: "+cut(err.Error(), mostField))
		}
	}
	v.Hosts, v.Well = fold(v.Hosts, (*hostView).well)
	v.Seats, v.Taken = fold(v.Seats, func(s *seatView) bool { return len(s.Active) == 1 })
	return v
}

// knows is what the specification says that runs; nil before one does.
func (p *Page) knows() *known {
	if p.Spec == nil {
		return nil
	}
	spec := p.Spec()
	p.mu.Lock()
	defer p.mu.Unlock()
	if spec == nil {
		return nil
	}
	if p.spec != spec {
		m := topology.New(spec)
		p.spec, p.known = spec, &known{spec: spec, model: m, graph: m.Graph(), at: map[string]int{}, report: m.Spof(1)}
		for i, n := range p.known.graph.Nodes {
			p.known.at[n.ID] = i
		}
	}
	return p.known
}

// pageStyle is the page's style sheet, which stands in it so that nothing else
// has to come before it is painted.
var pageStyle = pageCSS + draw.Stylesheet()

// pagePolicy lets the browser do nothing but show the page: no script, nothing
// from elsewhere, and no style but the one that has this hash.
var pagePolicy = func() string {
	sum := sha256.Sum256([]byte(pageStyle))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
}()
