package agent

import (
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hactl/hactl/engines/host"
	"github.com/hactl/hactl/schema"
)

// notebook is a hook that writes its environment down; with a gate it waits for
// that file first.
type notebook struct {
	t      *testing.T
	dir    string
	h      *hooks
	config host.Config
}

func newNotebook(t *testing.T, hook schema.Hook) *notebook {
	t.Helper()
	n := &notebook{t: t, dir: t.TempDir()}
	n.open(hook)
	return n
}

func (n *notebook) open(hook schema.Hook) {
	n.h = newHooks(filepath.Join(n.dir, "hooks.json"), slog.New(slog.DiscardHandler), false)
	if hook.Command == nil {
		hook.Command = []string{"/bin/sh", "-c", `echo "$HACTL_ROUTER $HACTL_FORMER-$HACTL_STATE $HACTL_CAUSE" >> "$1/log"; env > "$1/env"; while test -e "$1/gate"; do sleep 0.01; done`, "sh", n.dir}
	}
	hook.User, hook.Timeout = "root", schema.Seconds(20)
	r := host.Router{Name: "web", Interface: "eth0", Priority: 150, Hooks: []string{"tell"}}
	r.VRID, r.Addresses = 50, []host.Address{{Prefix: netip.MustParsePrefix("192.0.2.40/24")}}
	r.Excluded = []host.Address{{Prefix: netip.MustParsePrefix("2001:db8::40/64")}}
	n.config = host.Config{Host: "lb01", Routers: []host.Router{r}, Hooks: map[string]schema.Hook{"tell": hook}}
	n.follow(n.config)
}

func (n *notebook) follow(c host.Config) { n.h.follow(n.t.Context(), c) }

func (n *notebook) tell(to string) {
	n.h.tell(n.t.Context(), transition{router: "web", to: to, cause: "preempt", at: time.Unix(0, 0).UTC()})
}

func (n *notebook) reads() []string {
	b, _ := os.ReadFile(filepath.Join(n.dir, "log"))
	return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
}

func TestHooksHearOfTransitions(t *testing.T) {
	needRoot(t)
	t.Setenv("CLOUDFLARE_API_TOKEN", "hunter2")
	n := newNotebook(t, schema.Hook{})
	n.tell("initialize") // what it is before it is anything
	n.tell("backup")
	n.h.wait()
	n.tell("active")
	n.h.wait()
	n.tell("releasing") // is Active still
	n.tell("active")
	n.h.wait()
	n.tell("fault")
	n.h.wait()
	if got, want := n.reads(), []string{"web initialize-backup preempt", "web backup-active preempt", "web active-fault preempt"}; !slices.Equal(got, want) {
		t.Errorf("they hear %q, want %q", got, want)
	}
	b, err := os.ReadFile(filepath.Join(n.dir, "env"))
	if err != nil {
		t.Fatal(err)
	}
	env := strings.Split(strings.TrimSpace(string(b)), "\n")
	for _, want := range []string{
		"HACTL_HOST=lb01", "HACTL_INTERFACE=eth0", "HACTL_VRID=50", "HACTL_PRIORITY=150",
		"HACTL_ADDRESSES=192.0.2.40/24 2001:db8::40/64", "HACTL_TIME=1970-01-01T00:00:00Z",
	} {
		if !slices.Contains(env, want) {
			t.Errorf("no %s in %q", want, env)
		}
	}
	if strings.Contains(string(b), "hunter2") {
		t.Error("a token is inherited")
	}
	// The next agent tells nothing twice, and what came between at once.
	n.open(schema.Hook{})
	n.tell("fault")
	n.tell("backup")
	n.h.wait()
	if got := n.reads(); got[len(got)-1] != "web fault-backup preempt" || len(got) != 4 {
		t.Errorf("the next agent tells %q", got)
	}
}

// TestHooksWaitForWhatNamesThem: an engine is in its first state before its agent
// hears that it has taken the configuration, and an agent that finds an engine
// hears of its state first.
func TestHooksWaitForWhatNamesThem(t *testing.T) {
	needRoot(t)
	n := newNotebook(t, schema.Hook{})
	n.h = newHooks(filepath.Join(n.dir, "new.json"), slog.New(slog.DiscardHandler), false)
	n.tell("fault")
	n.tell("backup")
	n.h.wait()
	if got := n.reads(); len(got) != 1 || got[0] != "" {
		t.Errorf("somebody hears %q", got)
	}
	n.follow(n.config)
	n.h.wait()
	n.tell("active")
	n.h.wait()
	if got, want := n.reads(), []string{"web initialize-backup preempt", "web backup-active preempt"}; !slices.Equal(got, want) {
		t.Errorf("they hear %q, want %q", got, want)
	}
}

// TestOfWhatComesMeanwhileTheLastIsTold: a hook that takes its time.
func TestOfWhatComesMeanwhileTheLastIsTold(t *testing.T) {
	needRoot(t)
	n := newNotebook(t, schema.Hook{})
	gate := filepath.Join(n.dir, "gate")
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	n.tell("backup")
	eventually(t, "the first runs", func() bool { return len(n.reads()) == 1 && n.reads()[0] != "" })
	for _, state := range []string{"active", "backup", "active", "backup", "active"} {
		n.tell(state)
	}
	if err := os.Remove(gate); err != nil {
		t.Fatal(err)
	}
	n.h.wait()
	if got, want := n.reads(), []string{"web initialize-backup preempt", "web backup-active preempt"}; !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
}

func TestHooksOfSomeStatesOnly(t *testing.T) {
	needRoot(t)
	n := newNotebook(t, schema.Hook{On: []string{"active"}})
	for _, state := range []string{"backup", "active", "backup"} {
		n.tell(state)
		n.h.wait()
	}
	if got, want := n.reads(), []string{"web backup-active preempt"}; !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
}

// TestHooksOfWhatIsTakenOutHearOfTheEnd, and those of a router that another one
// of its name replaces do not.
func TestHooksOfWhatIsTakenOutHearOfTheEnd(t *testing.T) {
	needRoot(t)
	n := newNotebook(t, schema.Hook{})
	n.tell("active")
	n.h.wait()
	retired := transition{router: "web", to: "initialize", cause: "release-limit", at: time.Unix(0, 0), retiring: true}
	n.h.tell(t.Context(), retired)
	n.h.wait()
	if got := n.reads(); len(got) != 1 {
		t.Errorf("the end of the former one is told: %q", got)
	}
	n.follow(host.Config{Host: "lb01"})
	n.h.tell(t.Context(), retired)
	n.h.wait()
	if got, want := n.reads(), []string{"web initialize-active preempt", "web active-initialize release-limit"}; !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
	if len(n.h.routers)+len(n.h.told) > 0 {
		t.Errorf("remembered: %v, %v", n.h.routers, n.h.told)
	}
}

func TestADamagedNoteOfWhatHooksWereToldIsNoHindrance(t *testing.T) {
	needRoot(t)
	for _, damage := range []string{"null", "{", "[]", ""} {
		n := newNotebook(t, schema.Hook{})
		if err := os.WriteFile(filepath.Join(n.dir, "hooks.json"), []byte(damage), 0o600); err != nil {
			t.Fatal(err)
		}
		n.open(schema.Hook{})
		n.tell("active")
		n.h.wait()
		if got := n.reads(); len(got) != 1 || got[0] != "web initialize-active preempt" {
			t.Errorf("after %q told %q", damage, got)
		}
	}
}
