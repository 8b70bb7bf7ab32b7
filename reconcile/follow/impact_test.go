package follow_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/follow"
	"github.com/hactl/hactl/schema"
)

// words are findings as they are read.
func words(findings []reconcile.Finding) []string {
	var all []string
	for _, f := range findings {
		all = append(all, f.ID.String()+" "+f.Message)
	}
	return all
}

const (
	moved  = "dnsRecord/a.example.com is answered by address/192.0.2.9 in place of address/192.0.2.1"
	gained = "dnsRecord/a.example.com gains a single point of failure: address/192.0.2.9"
)

// TestWhatTrafficNoticesIsTold: of what is pending while it cannot be done, and
// of what was done.
func TestWhatTrafficNoticesIsTold(t *testing.T) {
	keeping(t, func(t *testing.T, e *edge, k *follow.Keeper) {
		e.want("r1", records("a", "192.0.2.1"))
		if told := e.told(follow.EventApplied); len(told) != 1 || told[0].Impact != nil {
			t.Errorf("of a record that is new: %+v", told)
		}
		e.set(func(e *edge) { e.refuse = classed(reconcile.Unavailable, "") })
		e.want("r2", records("a", "192.0.2.9"))
		if got := words(k.State().Impact); !slices.Equal(got, []string{moved, gained}) {
			t.Errorf("pending: %q", got)
		}
		e.set(func(e *edge) { e.refuse = nil })
		time.Sleep(resync)
		synctest.Wait()
		told := e.told(follow.EventApplied)
		if last := told[len(told)-1]; last.Revision != "r2" || !slices.Equal(words(last.Impact), []string{moved, gained}) || k.State().Impact != nil {
			t.Errorf("applied: %+v; state %+v", last, k.State())
		}
		// Who does not lead any more says nothing of it.
		e.set(func(e *edge) { e.refuse = classed(reconcile.Unavailable, "") })
		e.want("r3", records("a", "192.0.2.1"))
		e.set(func(e *edge) { e.lead.Mine = false })
		time.Sleep(time.Minute)
		if got := k.State().Impact; got != nil {
			t.Errorf("resigned: %v", got)
		}
	})
}

// TestOfDriftThatIsLeftNothingIsSaidToBeApplied: it is shown, and a push tells
// of its own alone.
func TestOfDriftThatIsLeftNothingIsSaidToBeApplied(t *testing.T) {
	report := func(pairs ...string) *schema.Spec {
		return policy(records(pairs...), func(p *schema.Policy) { p.Drift = "report" })
	}
	keeping(t, func(t *testing.T, e *edge, k *follow.Keeper) {
		e.want("r1", report("a", "192.0.2.9", "b", "192.0.2.2"))
		e.meddle("a", "192.0.2.1")
		time.Sleep(2 * resync)
		if got := words(k.State().Impact); !slices.Equal(got, []string{moved, gained}) {
			t.Errorf("drift: %q", got)
		}
		e.want("r2", report("a", "192.0.2.9", "b", "192.0.2.3"))
		told := e.told(follow.EventApplied)
		if got := words(told[len(told)-1].Impact); !slices.Equal(got, []string{"dnsRecord/b.example.com is answered by address/192.0.2.3 in place of address/192.0.2.2", "dnsRecord/b.example.com gains a single point of failure: address/192.0.2.3"}) {
			t.Errorf("applied: %q", got)
		}
		if got := words(k.State().Impact); !slices.Equal(got, []string{moved, gained}) {
			t.Errorf("drift that is left: %q", got)
		}
	})
}

// pair is a Virtual Router of two hosts.
func pair(priority int) *schema.Spec {
	s := records("a", "192.0.2.1")
	s.Hosts = map[string]schema.Host{"lb01": {Address: "192.0.2.41"}, "lb02": {Address: "192.0.2.42"}}
	s.VirtualRouters = map[string]schema.VirtualRouter{"web": {
		VRID: 50, Interface: "eth0", Preempt: true, Members: map[string]schema.RouterMember{"lb01": {Priority: priority}, "lb02": {Priority: 100}},
	}}
	return s
}

// TestARevisionTellsWhatMovesOnTheLAN: once, when the host takes it.
func TestARevisionTellsWhatMovesOnTheLAN(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		f := w.follower()
		w.branch.push(pair(150))
		look(t, f)
		w.machine.fail(errSecret)
		lower := pair(50)
		lower.DNSRecords = records("a", "192.0.2.9").DNSRecords // That is the edge's to tell.
		next := w.branch.push(lower)
		refused(t, f, next, follow.Unfit)
		w.machine.fail(nil)
		look(t, f)
		runs(t, f, next)
		w.branch.push(pair(50))
		look(t, f)
		told := w.told(follow.EventAccepted)
		if len(told) != 3 || told[0].Impact != nil || told[2].Impact != nil {
			t.Fatalf("%+v", told)
		}
		if got := words(told[1].Impact); !slices.Equal(got, []string{"virtualRouter/web mastership moves lb01 -> lb02"}) {
			t.Errorf("%q", got)
		}
	})
}
