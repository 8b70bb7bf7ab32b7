package follow_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/hactl/hactl/reconcile/follow"
	"github.com/hactl/hactl/schema"
)

// TestNothingIsBegunBeforeABetterLeaderHadItsTurn, so that it is not left half to
// one that does not know it; who says so by hand does not wait.
func TestNothingIsBegunBeforeABetterLeaderHadItsTurn(t *testing.T) {
	keeping(t, func(t *testing.T, e *edge, k *follow.Keeper) {
		term := func(name string, mine bool) {
			e.set(func(e *edge) {
				e.lead = follow.Leadership{Mode: "virtualRouter", Mine: mine, Term: name, Since: time.Now(), Settle: 4 * time.Second}
			})
		}
		term("1", true)
		e.want("r1", records("a", "192.0.2.1"))
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := e.get(); len(got.reads) > 0 {
			t.Fatalf("%d looks", len(got.reads))
		}
		term("", false) // The better one preempts.
		time.Sleep(time.Minute)
		term("2", true)
		k.Interrupt()
		time.Sleep(3900 * time.Millisecond)
		synctest.Wait()
		if got := e.get(); len(got.applied) > 0 || k.State().Waits != "" {
			t.Errorf("applied %v, waits %q", got.applied, k.State().Waits)
		}
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		e.is(t, "a", "192.0.2.1")
		// Later in the term nothing waits, but a revision that may prefer another.
		e.want("r2", records("a", "192.0.2.2"))
		e.is(t, "a", "192.0.2.2")
		moves := records("a", "192.0.2.3")
		moves.Leader = &schema.Leader{VirtualRouter: "web"}
		moves.VirtualRouters = map[string]schema.VirtualRouter{"web": {Members: map[string]schema.RouterMember{"lb02": {Priority: 200}}}}
		e.want("r3", moves)
		e.is(t, "a", "192.0.2.2")
		time.Sleep(3100 * time.Millisecond)
		synctest.Wait()
		e.is(t, "a", "192.0.2.3")
		// Nor does hactl sync.
		term("3", true)
		e.want("r4", records("a", "192.0.2.4"))
		e.is(t, "a", "192.0.2.3")
		k.Sync(nil)
		synctest.Wait()
		e.is(t, "a", "192.0.2.4")
	})
}
