package agent

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hactl/hactl/engines/host"
	"github.com/hactl/hactl/schema"
)

// transition is a router's state as a hook is to hear of it.
type transition struct {
	router, to, cause string
	at                time.Time
	retiring          bool
}

// hooks runs programs on transitions: for one router one at a time, and of
// what comes meanwhile the last only. Which state each router's hooks were told
// last is kept in a file, so that the next agent tells what is new and nothing
// twice.
type hooks struct {
	file     string
	log      *slog.Logger
	rehearse bool // what would be run is said, and not done

	mu      sync.Mutex
	host    string
	routers map[string]hooked // until they have ended, configured or not
	told    map[string]string // state by router
	pending map[string]transition
	busy    map[string]bool
	group   sync.WaitGroup
}

// hooked is a router with its hooks, in order.
type hooked struct {
	router host.Router
	names  []string
	hooks  []schema.Hook
	gone   bool // not configured any more
}

func newHooks(file string, log *slog.Logger, rehearse bool) *hooks {
	h := &hooks{file: file, log: log, rehearse: rehearse, routers: map[string]hooked{}, told: map[string]string{}, pending: map[string]transition{}, busy: map[string]bool{}}
	b, err := os.ReadFile(file)
	var told map[string]string
	if err == nil {
		err = json.Unmarshal(b, &told)
	}
	maps.Copy(h.told, told)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.Warn("which states the hooks were told is not known", "err", err)
	}
	return h
}

// follow takes the routers and hooks of a configuration. A router that is taken
// out keeps its hooks until they have heard of its end.
func (h *hooks) follow(ctx context.Context, c host.Config) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.host = c.Host
	for name, r := range h.routers {
		r.gone = true
		h.routers[name] = r
	}
	for _, r := range c.Routers {
		k := hooked{router: r, names: r.Hooks}
		for _, name := range r.Hooks {
			k.hooks = append(k.hooks, c.Hooks[name])
		}
		h.routers[r.Name] = k
	}
	for name := range h.pending {
		h.begin(ctx, name)
	}
}

// wait returns when nothing runs any more.
func (h *hooks) wait() { h.group.Wait() }

// tell has the hooks of a router run, once a configuration says which they are: a
// new router's first transition may be heard of before that. A router that lets
// go is Active still; one that retires while another one of its name has begun is
// not the one meant.
func (h *hooks) tell(ctx context.Context, t transition) {
	if t.to == "releasing" {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if t.retiring && !h.routers[t.router].gone {
		return
	}
	h.pending[t.router] = t
	h.begin(ctx, t.router)
}

// begin has what is pending told, if nobody does so already.
func (h *hooks) begin(ctx context.Context, router string) {
	if _, known := h.routers[router]; known && !h.busy[router] {
		h.busy[router] = true
		h.group.Go(func() { h.work(ctx, router) })
	}
}

// work runs the hooks of one router until nothing is pending.
func (h *hooks) work(ctx context.Context, router string) {
	for {
		h.mu.Lock()
		k, known := h.routers[router]
		t, ok := h.pending[router]
		former := h.told[router]
		if former == "" {
			former = "initialize"
		}
		if !ok || !known || ctx.Err() != nil {
			h.busy[router] = false
			h.mu.Unlock()
			return
		}
		delete(h.pending, router)
		if t.to == former {
			h.mu.Unlock()
			continue
		}
		environment := k.describe(h.host, t, former)
		h.told[router] = t.to
		if k.gone && t.to == "initialize" {
			delete(h.routers, router)
			delete(h.told, router)
		}
		h.save()
		h.mu.Unlock()
		for i, name := range k.names {
			h.run(ctx, name, k.hooks[i], t, environment)
		}
	}
}

// describe is the environment of a router's hooks.
func (k *hooked) describe(host string, t transition, former string) []string {
	var addresses []string
	for _, a := range slices.Concat(k.router.Addresses, k.router.Excluded) {
		addresses = append(addresses, a.Prefix.String())
	}
	return []string{
		"HACTL_HOST=" + host, "HACTL_ROUTER=" + t.router, "HACTL_STATE=" + t.to, "HACTL_FORMER=" + former,
		"HACTL_CAUSE=" + t.cause, "HACTL_TIME=" + t.at.Format(time.RFC3339Nano), "HACTL_INTERFACE=" + k.router.Interface,
		"HACTL_VRID=" + strconv.Itoa(int(k.router.VRID)), "HACTL_PRIORITY=" + strconv.Itoa(int(k.router.Priority)),
		"HACTL_ADDRESSES=" + strings.Join(addresses, " "),
	}
}

func (h *hooks) run(ctx context.Context, name string, hook schema.Hook, t transition, environment []string) {
	if len(hook.Command) == 0 || len(hook.On) > 0 && !slices.Contains(hook.On, t.to) {
		return
	}
	if h.rehearse {
		h.log.Info("hook would run", "hook", name, "group", t.router, "state", t.to)
		return
	}
	began := time.Now()
	limited, cancel := context.WithTimeout(ctx, time.Duration(hook.Timeout))
	defer cancel()
	_, err := run(limited, hook.Command, hook.User, environment, false)
	log := h.log.With("hook", name, "group", t.router, "state", t.to, "took", time.Since(began).Round(time.Millisecond))
	if err != nil {
		log.Error("hook failed", "err", err)
		return
	}
	log.Info("hook done")
}

func (h *hooks) save() {
	b, err := json.Marshal(h.told)
	if err == nil {
		err = os.WriteFile(h.file+".new", b, 0o600)
	}
	if err == nil {
		err = os.Rename(h.file+".new", h.file)
	}
	if err != nil {
		h.log.Error("note what the hooks were told", "err", err)
	}
}
