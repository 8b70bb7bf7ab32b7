package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hactl/hactl/engines/vrrp"
	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/schema"
)

// Node is one host as a reconcile.Engine: it reads what the VRRP engine there
// runs, and tells it what to. Nothing of it concerns the engine's loop.
//
// A host on which no engine runs has no objects; one whose engine does not
// answer is unknown.
type Node struct {
	Host   string // its name in the specification
	Dir    string // runtime directory
	Secret Secret

	mu       sync.Mutex // one change at a time: each is of the whole configuration
	requests int
}

// handle is that of everything on a host: names do for the rest.
func (n *Node) handle(id schema.ID) reconcile.Handle { return reconcile.Handle(id.String()) }

// Kinds are what a host has for itself.
func (*Node) Kinds() []schema.Kind {
	return []schema.Kind{schema.KindCheck, schema.KindHook, schema.KindVirtualRouter}
}

// Normalize returns the object as it is: an engine fills in nothing.
func (*Node) Normalize(o schema.Object) schema.Object { return o }

// Requests is how many questions the engine has been asked.
func (n *Node) Requests() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.requests
}

const nodeTimeout = 10 * time.Second

// Read returns what the engine runs, all of it owned, and as notices what
// state it is in.
func (n *Node) Read(asked context.Context, scope reconcile.Scope) (reconcile.Live, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	ctx, cancel := context.WithTimeout(asked, nodeTimeout)
	defer cancel()
	cfg, status, err := n.ask(ctx)
	if err != nil && asked.Err() != nil {
		return reconcile.Live{}, asked.Err()
	}
	if err != nil {
		var l reconcile.Live
		for _, kind := range n.Kinds() {
			l.Unknown = append(l.Unknown, reconcile.Unknown{Kind: kind, Err: n.error("read", schema.ID{}, err)})
		}
		return l, nil
	}
	return n.Live(cfg, status, scope), nil
}

// Live is what Read returns of an engine that has cfg and is as status says,
// which another machine may have told; both nil for no engine.
func (n *Node) Live(cfg *Config, status *Status, scope reconcile.Scope) reconcile.Live {
	var l reconcile.Live
	if status == nil {
		if wantsHost(scope.Objects) {
			l.Notices = append(l.Notices, reconcile.Finding{ID: schema.ID{Kind: schema.KindHost, Name: n.Host}, Message: "runs no engine: hactl run starts it"})
		}
		return l
	}
	if cfg == nil {
		cfg = &Config{}
	}
	cfg.Host = n.Host
	for _, o := range cfg.Objects(scope.Objects, n.Secret) {
		e := reconcile.Entry{Object: o, Handle: n.handle(o.ID()), Owned: true}
		for _, r := range o.Refs() {
			e.Refers = append(e.Refers, n.handle(r))
		}
		l.Entries = append(l.Entries, e)
	}
	l.Notices = append(n.notices(cfg, status), n.unfound(scope.Objects)...)
	if status.Agents == 0 {
		l.Notices = append(l.Notices, reconcile.Finding{ID: schema.ID{Kind: schema.KindHost, Name: n.Host}, Message: "has an engine, but no hactl run: checks are not tried, hooks do not run, and changes in steps stand still"})
	}
	return l
}

func wantsHost(objects map[schema.ID]schema.Object) bool {
	for id := range objects {
		if _, host := schema.HostOf(id); host != "" {
			return true
		}
	}
	return false
}

// ask returns what the engine runs and how it is, or nothing if there is none.
func (n *Node) ask(ctx context.Context) (*Config, *Status, error) {
	client, err := Dial(ctx, n.Dir)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	defer client.Close()
	n.requests += 2
	cfg, err := client.Config(ctx)
	if err != nil {
		return nil, nil, err
	}
	status, err := client.Status(ctx)
	return cfg, status, err
}

func (n *Node) error(op string, id schema.ID, err error) error {
	class := reconcile.Unavailable
	if errors.Is(err, fs.ErrPermission) {
		class = reconcile.Denied
	}
	return &reconcile.Error{Op: op, ID: id, Class: class, Err: fmt.Errorf("the engine of host %s: %w", n.Host, err)}
}

// notices are the live state: of Virtual Routers, their interfaces and
// addresses, and of checks.
func (n *Node) notices(cfg *Config, s *Status) []reconcile.Finding {
	var found []reconcile.Finding
	note := func(kind schema.Kind, name, format string, args ...any) {
		found = append(found, reconcile.Finding{ID: schema.OnHost(kind, name, n.Host), Message: fmt.Sprintf(format, args...)})
	}
	for i := range s.Routers {
		r := &s.Routers[i]
		note(schema.KindVirtualRouter, r.Name, "%s", r.describe(s))
		for j := range cfg.Routers {
			c := &cfg.Routers[j]
			if c.Name == r.Name && c.Staging != nil {
				note(schema.KindVirtualRouter, r.Name, "%s", c.stagingText())
			}
		}
		if a := r.astray(); a != "" {
			note(schema.KindVirtualRouter, r.Name, "%s", a)
		}
	}
	for _, name := range sortedNames(cfg.Checks) {
		switch result, known := s.Checks[name]; {
		case !known:
			note(schema.KindCheck, name, "has had no result yet")
		case result.OK:
			note(schema.KindCheck, name, "passes since %s", result.Since.Format(time.DateTime))
		default:
			note(schema.KindCheck, name, "fails since %s: %s", result.Since.Format(time.DateTime), result.Detail)
		}
	}
	return found
}

// unfound tells of passwords that could not be compared.
func (n *Node) unfound(objects map[schema.ID]schema.Object) []reconcile.Finding {
	var found []reconcile.Finding
	for id, o := range objects {
		if r, ok := o.(schema.HostRouter); ok && r.Password != nil {
			if _, err := n.Secret(*r.Password); err != nil {
				found = append(found, reconcile.Finding{ID: id, Message: fmt.Sprintf("its password was not compared: %v", err)})
			}
		}
	}
	return found
}

// describe says how a Virtual Router is, in one line.
func (r *RouterStatus) describe(s *Status) string {
	text := fmt.Sprintf("is %s since %s (%s)", r.State, r.Since.Format(time.DateTime), r.Cause)
	if len(r.Present) > 0 {
		text += fmt.Sprintf(", has %s on %s", joinPrefixes(r), r.Interface)
	} else {
		text += " on " + r.Interface
	}
	for _, l := range s.Links {
		if l.Name == r.Interface && !l.Up {
			text += ", which is down"
		}
	}
	if r.State == vrrp.StateBackup.String() && r.Leader.IsValid() {
		text += fmt.Sprintf(", hears %v with priority %d", r.Leader, r.LeaderPriority)
	}
	if waits := r.Waits(); waits != "" {
		text += ", " + waits
	}
	if r.Problem != "" {
		text += ": " + r.Problem
	} else if r.Checks.Waiting {
		text += ": waits for its checks"
	}
	return text
}

func joinPrefixes(r *RouterStatus) string {
	var texts []string
	for _, p := range r.Present {
		texts = append(texts, p.String())
	}
	return strings.Join(texts, " ")
}

// astray says which addresses are where they should not be.
func (r *RouterStatus) astray() string {
	holds := r.State == vrrp.StateActive.String() || r.State == vrrp.StateReleasing.String()
	switch {
	case holds && len(r.Present) < len(r.Addresses):
		return fmt.Sprintf("lacks %d of its addresses; the engine puts them back", len(r.Addresses)-len(r.Present))
	case !holds && len(r.Present) > 0 && r.Priority != vrrp.Owner && len(r.Lingering) == 0:
		return fmt.Sprintf("is not Active, yet %s on %s: somebody else has put that there", joinPrefixes(r), r.Interface)
	}
	return ""
}

func (r *Router) stagingText() string {
	if r.Staging.Settling {
		return "sends its new parameters and accepts the former ones still"
	}
	return fmt.Sprintf("sends its former parameters and accepts the new ones, since %s; it changes when all members know them, after %s",
		r.Staging.Since.Format(time.DateTime), schema.Duration(r.ActivationDelay))
}

var errNoEngine = errors.New("it does not run: start hactl run there")

// Apply changes what the engine runs by one object.
func (n *Node) Apply(ctx context.Context, c reconcile.Change) (reconcile.Handle, bool, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, nodeTimeout)
	defer cancel()
	client, err := Dial(ctx, n.Dir)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		err = errNoEngine
	}
	if err != nil {
		return "", false, n.error(string(c.Action), c.ID, err)
	}
	defer client.Close()
	n.requests += 2
	present, err := client.Config(ctx)
	if err != nil {
		return "", false, n.error(string(c.Action), c.ID, err)
	}
	if present == nil {
		present = &Config{Host: n.Host}
	}
	wanted := present.Wanted()
	wanted.Host, wanted.Checks, wanted.Hooks = n.Host, clone(present.Checks), clone(present.Hooks)
	wanted.SyncGroups = nil
	for _, g := range present.SyncGroups {
		wanted.SyncGroups = append(wanted.SyncGroups, SyncGroup{g.Name, slices.Clone(g.Members)})
	}
	if c.Object == nil {
		wanted.remove(c.ID)
	} else if err := wanted.put(c.Object, n.Secret); err != nil {
		return "", false, &reconcile.Error{Op: string(c.Action), ID: c.ID, Class: reconcile.Invalid, Err: err}
	}
	if err := wanted.Validate(); err != nil {
		return "", false, &reconcile.Error{Op: string(c.Action), ID: c.ID, Class: reconcile.Invalid, Err: err}
	}
	wanted.Revision = "" // it is none that was pushed
	next, held := Stage(*present, wanted, time.Now())
	if len(held) > 0 {
		return "", false, &reconcile.Error{Op: string(c.Action), ID: c.ID, Class: reconcile.Conflict, Err: fmt.Errorf("it waits: %s", strings.Join(held, "; "))}
	}
	if err := client.Configure(ctx, next); err != nil {
		return "", false, n.error(string(c.Action), c.ID, err)
	}
	return n.handle(c.ID), false, nil
}
