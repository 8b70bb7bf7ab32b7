package status_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/follow"
	"github.com/hactl/hactl/reconcile/status"
	"github.com/hactl/hactl/schema"
)

// TestAHostIsNotTakenAtItsWord: b00 is somebody else's by now, and says what
// would mislead most.
func TestAHostIsNotTakenAtItsWord(t *testing.T) { synctest.Test(t, hostIsNotTakenAtItsWord) }

func hostIsNotTakenAtItsWord(t *testing.T) {
	w := newWorld(2)
	future := time.Now().Add(1000 * time.Hour)
	liar := w.host("b00")
	w.facts.Edge.Leadership.Mine, w.facts.Edge.Health = false, nil
	w.host("a01").Leads, w.host("a01").Edge = true, follow.EdgeState{Health: healthy(w.spec, time.Now().Add(-2*time.Second))}
	liar.Routers = append(liar.Routers, status.Router{Name: "site01", State: "active"}, status.Router{Name: "made-up", State: "active"}, status.Router{Name: "site00", State: "active"})
	liar.Accepted = future
	liar.Edge = follow.EdgeState{Health: &reconcile.Health{Read: future, Tunnels: map[string]reconcile.TunnelHealth{"site01": {Status: "sabotaged"}}}}
	w.says(t, "/", []string{"site01 a01 b01 (backup)", "site00 a00 b00 (backup)", "saw it 2s ago, asked by a01"}, "made-up", "two are Active", "sabotaged")

	// Even who leads says nothing of what is not there, or is still to come.
	liar.Leads, w.host("a01").Leads = true, false
	liar.Edge.Health.Pools = map[string]reconcile.PoolHealth{"made-up": {}, "site00": {Origins: map[string]reconcile.OriginHealth{"invented": {}}}}
	liar.Edge.Health.Tunnels["imagined"] = reconcile.TunnelHealth{Status: "down"}
	w.says(t, "/", []string{"saw it 0s ago, asked by b00", "tunnel/site01 is sabotaged"}, "made-up", "imagined", "invented")
}

func TestAPageStaysSmallWhateverHostsSay(t *testing.T) {
	size := func(w *world) int {
		b, err := io.ReadAll(fetch(t, w.server().Reader(), "/").Body)
		if err != nil {
			t.Fatal(err)
		}
		return len(b)
	}
	w := newWorld(1)
	normal := size(w)
	long := strings.Repeat("long ", 1<<18)
	id := schema.ID{Kind: schema.KindPool, Name: long}
	h := w.host("b00")
	h.Note, h.Revision, h.Leads = long, long, true
	w.facts.Edge.Leadership.Mine = false
	for i := range 5000 {
		h.Routers = append(h.Routers, status.Router{Name: fmt.Sprint("r", i), State: "active", Problem: "x"})
	}
	h.Routers[0].State, h.Routers[0].Problem = long, long
	e := &follow.EdgeState{Err: long, Waits: long, Revision: long, Health: healthy(w.spec, time.Now())}
	e.Health.Err = long
	e.Health.Tunnels["site00"] = reconcile.TunnelHealth{Status: long, Connectors: make([]reconcile.ConnectorHealth, 5000)}
	e.Health.Pools["site00"] = reconcile.PoolHealth{Origins: map[string]reconcile.OriginHealth{"cloud": {Reason: long}}}
	for range 5000 {
		step := reconcile.Step{ID: id, Action: reconcile.Action(long), Reason: long}
		e.Pending, e.Drift = append(e.Pending, step), append(e.Drift, step)
		e.Impact, e.Conflicts = append(e.Impact, reconcile.Finding{ID: id, Message: long}), append(e.Conflicts, reconcile.Finding{ID: id, Message: long})
		e.Violations, e.Failed = append(e.Violations, reconcile.Violation{ID: id, Message: long}), append(e.Failed, follow.Failure{ID: id, Err: long})
	}
	h.Edge = *e
	if n := size(w); n > normal+350_000 {
		t.Errorf("a page of %d bytes has %d by what one host says", normal, n)
	}
	w.says(t, "/", []string{"and 4960 more"})
}

// TestAQueryIsPlayedWithinBounds: what it names comes back shortened, and what is
// not there is not looked for a thousand times.
func TestAQueryIsPlayedWithinBounds(t *testing.T) {
	w := newWorld(1)
	b, err := io.ReadAll(fetch(t, w.server().Reader(), "/?down="+strings.Repeat("x", 1<<20)).Body)
	if err != nil || len(b) > 100_000 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	w.says(t, "/?"+strings.Repeat("down=host/nope&", 1000)+"down=host/b00", []string{"Not played: nothing that requests depend on is called host/nope"}, "Played as failed")
}

func TestAnAnswerIsBoundedInMemory(t *testing.T) {
	body := `{"steps":[` + strings.Repeat("{},", 1<<19) + "{}]}"
	client := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }))
	var report struct{ Steps []reconcile.Step }
	if err := client.Report(t.Context(), &report); err == nil || len(report.Steps) != 0 {
		t.Errorf("%d bytes are %d steps: %v", len(body), len(report.Steps), err)
	}
}
