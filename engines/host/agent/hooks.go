package agent

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
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
}

// hooks runs programs on transitions: for one router one at a time, and of
// what comes meanwhile the last only. Which state each router's hooks were told
// last is kept in a file, so that the next agent tells what is new and nothing
// twice.
type hooks struct {
	file string
	log  *slog.Logger

	mu      sync.Mutex
	cfg     host.Config
	told    map[string]string // state by router
	pending map[string]transition
	busy    map[string]bool
	group   sync.WaitGroup
}

func newHooks(file string, log *slog.Logger) *hooks {
	h := &hooks{file: file, log: log, told: map[string]string{}, pending: map[string]transition{}, busy: map[string]bool{}}
	b, err := os.ReadFile(file)
	if err == nil {
		err = json.Unmarshal(b, &h.told)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.Warn("which states the hooks were told is not known", "err", err)
	}
	return h
}

func (h *hooks) follow(c host.Config) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cfg = c
}

// wait returns when nothing runs any more.
func (h *hooks) wait() { h.group.Wait() }

// tell has the hooks of a router run. A router that lets go is Active still.
func (h *hooks) tell(ctx context.Context, t transition) {
	if t.to == "releasing" {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pending[t.router] = t
	if !h.busy[t.router] {
		h.busy[t.router] = true
		h.group.Go(func() { h.work(ctx, t.router) })
	}
}

// work runs the hooks of one router until nothing is pending.
func (h *hooks) work(ctx context.Context, router string) {
	for {
		h.mu.Lock()
		t, ok := h.pending[router]
		delete(h.pending, router)
		former := h.told[router]
		if former == "" {
			former = "initialize"
		}
		if !ok || ctx.Err() != nil {
			h.busy[router] = false
			h.mu.Unlock()
			return
		}
		if t.to == former {
			h.mu.Unlock()
			continue
		}
		names, environment := h.describe(t, former)
		all := h.cfg.Hooks
		h.told[router] = t.to
		h.save()
		h.mu.Unlock()
		for _, name := range names {
			h.run(ctx, name, all[name], t, environment)
		}
	}
}

// describe returns the hooks of a router and what they are told.
func (h *hooks) describe(t transition, former string) (names, environment []string) {
	i := slices.IndexFunc(h.cfg.Routers, func(r host.Router) bool { return r.Name == t.router })
	environment = []string{
		"HACTL_HOST=" + h.cfg.Host, "HACTL_ROUTER=" + t.router, "HACTL_STATE=" + t.to, "HACTL_FORMER=" + former,
		"HACTL_CAUSE=" + t.cause, "HACTL_TIME=" + t.at.Format(time.RFC3339Nano),
	}
	if i < 0 {
		return nil, environment
	}
	r := &h.cfg.Routers[i]
	var addresses []string
	for _, a := range slices.Concat(r.Addresses, r.Excluded) {
		addresses = append(addresses, a.Prefix.String())
	}
	return r.Hooks, append(environment, "HACTL_INTERFACE="+r.Interface, "HACTL_VRID="+strconv.Itoa(int(r.VRID)),
		"HACTL_PRIORITY="+strconv.Itoa(int(r.Priority)), "HACTL_ADDRESSES="+strings.Join(addresses, " "))
}

func (h *hooks) run(ctx context.Context, name string, hook schema.Hook, t transition, environment []string) {
	if len(hook.Command) == 0 || len(hook.On) > 0 && !slices.Contains(hook.On, t.to) {
		return
	}
	began := time.Now()
	limited, cancel := context.WithTimeout(ctx, time.Duration(hook.Timeout))
	defer cancel()
	err := run(limited, hook.Command, hook.User, environment)
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
