package schema

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Problem is something wrong, or doubtful, in a specification.
type Problem struct {
	Pos     Pos
	Path    string
	Message string
	// Warning problems do not keep a specification from being used.
	Warning bool
}

// String prints "file:line:col: path: message", without the path where there
// is none.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.Pos.String() + ": ")
	if p.Warning {
		b.WriteString("warning: ")
	}
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Message)
	return b.String()
}

// SortProblems orders problems by position, path and message and drops
// doubles; of a warning and an error with the same words the error stays.
func SortProblems(problems []Problem) []Problem {
	slices.SortFunc(problems, func(a, b Problem) int {
		if c := a.Pos.Compare(b.Pos); c != 0 {
			return c
		}
		if c := strings.Compare(a.Path, b.Path); c != 0 {
			return c
		}
		if c := strings.Compare(a.Message, b.Message); c != 0 || a.Warning == b.Warning {
			return c
		}
		if b.Warning {
			return -1
		}
		return 1
	})
	return slices.CompactFunc(problems, func(a, b Problem) bool {
		a.Warning = b.Warning
		return a == b
	})
}

// Validate checks everything that needs no outside knowledge and that the CUE
// definitions cannot say: references, uniqueness, fields that depend on each
// other, and the rules of Cloudflare that are cheap to break and expensive to
// find out. It returns all problems, sorted.
func (s *Spec) Validate() []Problem {
	routes := s.routes()
	c := &checker{spec: s, routes: len(routes), table: newRoutingTable(routes)}
	if s.Stack == "" {
		c.errorf("stack", "required: a short name for this specification, such as \"home\"; it marks what hactl owns")
	}
	c.hosts()
	c.leader()
	c.virtualRouters()
	c.syncGroups()
	c.healthChecks()
	c.hooks()
	c.networks()
	c.tunnels()
	c.monitors()
	c.pools()
	c.loadBalancers()
	c.dnsRecords()
	c.notifications()
	c.planLimits()
	return SortProblems(c.problems)
}

// checker gathers problems. Paths lead from the root of the specification.
type checker struct {
	spec     *Spec
	routes   int
	table    routingTable
	problems []Problem
}

func (c *checker) errorf(path, format string, args ...any) {
	c.problems = append(c.problems, Problem{Pos: c.spec.Pos(path), Path: path, Message: fmt.Sprintf(format, args...)})
}

func (c *checker) warnf(path, format string, args ...any) {
	c.errorf(path, format, args...)
	c.problems[len(c.problems)-1].Warning = true
}

// reference reports a name that is not in the map, and offers near ones.
func reference[V any](c *checker, path, collection, name string, m map[string]V) bool {
	if _, foreign := ForeignHandle(name); name == "" || foreign {
		return false
	}
	if _, ok := m[name]; ok {
		return true
	}
	if c.spec.Broken[collection] || c.spec.Broken[Join(collection, name)] {
		return false
	}
	c.errorf(path, "no %s named %q%s", strings.TrimSuffix(collection, "s"), name, offer(name, c.names(collection, sortedKeys(m))))
	return false
}

// offer says what could have been meant.
func offer(name string, names []string) string {
	if len(names) == 0 {
		return "; there are none"
	}
	if best := Nearest(name, names); best != "" {
		return fmt.Sprintf("; did you mean %q?", best)
	}
	if len(names) > 8 {
		return fmt.Sprintf("; there are %d, from %q to %q", len(names), names[0], names[len(names)-1])
	}
	return "; there are: " + strings.Join(names, ", ")
}

// broken tells whether a collection, or an entry of it, did not evaluate.
func (c *checker) broken(collection string) bool {
	for path := range c.spec.Broken {
		if path == collection || strings.HasPrefix(path, collection+".") {
			return true
		}
	}
	return false
}

// names adds to those of a collection the ones that did not evaluate.
func (c *checker) names(collection string, names []string) []string {
	for broken := range c.spec.Broken {
		name, ok := strings.CutPrefix(broken, collection+".")
		if unquoted, err := strconv.Unquote(name); err == nil {
			name = unquoted
		}
		if ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Nearest returns which of the names, in their order, is likely to have been
// meant by a name that is not among them; "" where none is near.
func Nearest(name string, names []string) string {
	best, distance := "", min(len(name)/3+2, len(name))
	for _, n := range names {
		if d := editDistance(strings.ToLower(name), strings.ToLower(n)); d < distance {
			best, distance = n, d
		}
	}
	return best
}

// editDistance is Levenshtein's.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

// seen finds what stands twice; it keeps the path of the first.
type seen map[string]string

func (m seen) twice(key, path string) (first string, twice bool) {
	if first, ok := m[key]; ok {
		return first, true
	}
	m[key] = path
	return "", false
}

func (c *checker) at(path string) string {
	if p := c.spec.Pos(path); p.File != "" {
		return path + " (" + p.String() + ")"
	}
	return path
}

func (c *checker) hosts() {
	addresses := seen{}
	for _, name := range sortedKeys(c.spec.Hosts) {
		path := Join("hosts", name) + ".address"
		c.labels(Join("hosts", name), c.spec.Hosts[name])
		a, err := netip.ParseAddr(c.spec.Hosts[name].Address)
		if err != nil {
			c.errorf(path, "%q is no IP address", c.spec.Hosts[name].Address)
			continue
		}
		if first, twice := addresses.twice(a.String(), path); twice {
			c.errorf(path, "%s is already the address of %s", a, c.at(first))
		}
		if agent := c.spec.Hosts[name].Agent; agent != "" {
			c.endpoint(Join("hosts", name)+".agent", agent)
			if u, err := url.Parse(agent); err == nil && u.Scheme == "http" && !a.IsLoopback() {
				c.errorf(Join("hosts", name)+".agent", "over http anyone on the way could read the token: want https")
			}
		}
	}
}

// taken are the names of what else can fail, as hactl whatif takes it.
var taken = []string{"host", "connector", "tunnel", "pool", "origin", "virtualRouter", "address", "interface"}

// labels reports labels that say two things, or that read as something else.
func (c *checker) labels(path string, h Host) {
	for _, short := range h.shortLabels() {
		if long, ok := h.Labels[short.name]; ok && short.value != "" && long != short.value {
			c.errorf(path+"."+short.name, "%q, and labels.%s says %q: once will do", short.value, short.name, long)
		}
	}
	for _, name := range sortedKeys(h.Labels) {
		if slices.Contains(taken, name) {
			c.errorf(Join(path+".labels", name), "a label cannot be called that: %s/%s would be something else", name, h.Labels[name])
		}
	}
}

func (c *checker) networks() {
	var first string
	for _, name := range sortedKeys(c.spec.Networks) {
		path := Join("networks", name)
		c.text(path+".comment", c.spec.Networks[name].Comment, ID{KindNetwork, name})
		switch {
		case !c.spec.Networks[name].IsDefaultNetwork:
		case first == "":
			first = path + ".isDefaultNetwork"
		default:
			c.errorf(path+".isDefaultNetwork", "only one network can be the default; %s is", c.at(first))
		}
	}
}

// text reports a user's text that leaves no room for the marker.
func (c *checker) text(path, text string, id ID) {
	if limit := TextLimit(id.Kind); limit > 0 && text != "" {
		if _, err := Mark(text, Marker{Stack: c.spec.Stack, ID: id, Protected: true}); err != nil {
			c.errorf(path, "%d characters are too many: hactl's marker shares the %d that Cloudflare allows", len([]rune(text)), limit)
		}
	}
}

// planLimits warns about Cloudflare's limits for accounts without Enterprise.
func (c *checker) planLimits() {
	const remedy = "; set plan: \"enterprise\" if the account allows it"
	s := c.spec
	origins := 0
	for _, p := range s.Pools {
		origins += len(p.Origins)
	}
	if s.Plan != "enterprise" {
		for _, limit := range []struct {
			path, what string
			n, most    int
		}{
			{"loadBalancers", "load balancers", len(s.LoadBalancers) + len(s.PrivateLoadBalancers), 20},
			{"pools", "pools", len(s.Pools), 20},
			{"pools", "endpoints", origins, 20},
		} {
			if limit.n > limit.most {
				c.warnf(limit.path, "%d %s: Cloudflare's limit is %d%s", limit.n, limit.what, limit.most, remedy)
			}
		}
	}
	if n := len(s.Tunnels); n > 1000 {
		c.warnf("tunnels", "%d tunnels: Cloudflare's limit is 1000 per account", n)
	}
	if n := c.routes; n > 1000 {
		c.warnf("tunnels", "%d routes: Cloudflare's limit is 1000 per account", n)
	}
	if n, most := len(s.Monitors), (3*len(s.Pools)+1)/2; n > most && len(s.Pools) > 0 && !c.broken("pools") {
		c.warnf("monitors", "%d monitors beside %d pools: Cloudflare's limit is 1.5 monitors for each pool", n, len(s.Pools))
	}
}
