package reconcile_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/schema"
)

// everyField plans something of every kind of step and finding.
func everyField(t *testing.T) *reconcile.Plan {
	t.Helper()
	moved := balancer("www.example.com", "p")
	moved.Zone = "www.example.com"
	changedPool := pool("p", "m", "a.example.com")
	o := changedPool.Origins["o0"]
	o.Weight = 0.5
	changedPool.Origins = map[string]schema.Origin{"o0": o}
	l := live(balancer("www.example.com", "p"), pool("p", "", "a.example.com"), pool("gone", ""), record("old", "w", "A", "192.0.2.1"))
	l.Entries = append(l.Entries, foreign(monitor("theirs")))
	l.Unknown = []reconcile.Unknown{{Kind: schema.KindNetwork, Err: errUnread}}
	d := desired(moved, changedPool, monitor("m"), monitor("theirs"), record("new", "w", "CNAME", "a.example.net"))
	p := reconcile.Diff(d, l)
	p.Account, p.Summary.Requests = "0123456789abcdef0123456789abcdef", 6
	p.Violations = []reconcile.Violation{{Rule: reconcile.RuleProtected, ID: id(t, "pool/gone"), Message: "is protected and would be deleted"}, {Rule: reconcile.RuleEmpty, Message: "nothing"}}
	for k := range p.Basis {
		if p.Basis[k] != "absent" {
			p.Basis[k] = "hash"
		}
	}
	return p
}

func TestThePlanInJSONIsAContract(t *testing.T) {
	got, err := json.MarshalIndent(everyField(t), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/plan.json", string(got)+"\n")
}

func TestASavedPlanComesBackAsItWas(t *testing.T) {
	p := everyField(t)
	saved, err := p.Save()
	if err != nil {
		t.Fatal(err)
	}
	back, err := reconcile.Open(saved)
	if err != nil {
		t.Fatal(err)
	}
	again, err := back.Save()
	if err != nil || string(again) != string(saved) {
		t.Errorf("%v\nfirst\n%s\nagain\n%s", err, saved, again)
	}
	if !reflect.DeepEqual(back.Objects, p.Objects) {
		t.Errorf("got %+v\nwant %+v", back.Objects, p.Objects)
	}
}

func TestNoSecretStandsInASavedPlan(t *testing.T) {
	tu := tunnel("t")
	tu.TunnelSecret = &schema.SecretRef{Env: "TUNNEL_SECRET"}
	saved, err := reconcile.Diff(desired(tu), live()).Save()
	if err != nil || !strings.Contains(string(saved), `"env": "TUNNEL_SECRET"`) {
		t.Errorf("%v\n%s", err, saved)
	}
}

func TestAFileThatIsNoPlanIsRefused(t *testing.T) {
	for name, c := range map[string]struct{ file, want string }{
		"empty":           {"", "this is no saved plan: unexpected end of JSON input"},
		"text":            {"plan", "this is no saved plan: invalid character 'p' looking for beginning of value"},
		"cut off":         {`{"version": 1`, "this is no saved plan: unexpected end of JSON input"},
		"a list":          {`[]`, "this is no saved plan: json: cannot unmarshal"},
		"nothing":         {`null`, "the plan has version 0; this hactl reads version 1"},
		"another version": {`{"version": 2}`, "the plan has version 2; this hactl reads version 1"},
		"no objects":      {`{"version": 1, "stack": "s", "account": "a", "objects": {}, "steps": [{"id": "pool/p", "action": "create"}]}`, "this plan was not saved with --out: it does not say what pool/p is to be"},
		"no stack":        {`{"version": 1, "account": "a", "objects": {}}`, "this plan was not saved with --out: it does not say which stack"},
		"a path":          {`{"version": 1, "stack": "../x", "account": "a", "objects": {}}`, `this is no saved plan: "../x" is no name of a stack`},
		"no account":      {`{"version": 1, "stack": "s", "objects": {}}`, "this plan was not saved with --out: it does not say which stack"},
		"bad object":      {`{"version": 1, "objects": {"pool/p": {"colour": 1}}}`, `this is no saved plan: pool/p: json: unknown field "colour"`},
		"bad id":          {`{"version": 1, "objects": {"pools/p": {}}}`, `this is no saved plan: "pools" is no kind of object`},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := reconcile.Open([]byte(c.file)); err == nil || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("got %v\nwant %s", err, c.want)
			}
		})
	}
	if _, err := reconcile.Open([]byte(`{"version": 1, "stack": "s", "account": "a", "objects": {}, "steps": [{"id": "pool/p", "action": "delete"}]}`)); err != nil {
		t.Errorf("a deletion needs no object: %v", err)
	}
}

func TestAPlanKnowsWhatHasMoved(t *testing.T) {
	before := live(pool("changed", ""), pool("gone", ""), pool("same", ""), pool("untouched", ""))
	want := func(name string) schema.Pool { return pool(name, "m") }
	p := reconcile.Diff(desired(want("changed"), want("gone"), want("same"), want("new"), monitor("m"), pool("untouched", "")), before)
	if moved := p.Moved(before); len(moved) > 0 {
		t.Fatalf("nothing has, and yet: %v", moved)
	}
	after := live(pool("changed", "x"), pool("same", ""), pool("new", ""), pool("untouched", "x"))
	after.Unknown = []reconcile.Unknown{{Kind: schema.KindMonitor, Err: errUnread}}
	var got []string
	for _, m := range p.Moved(after) {
		got = append(got, m.ID.String()+" "+m.Message)
	}
	wanted := []string{"pool/changed was changed", "pool/gone is gone", "pool/new exists now", "monitor/m cannot be read: timeout"}
	if !reflect.DeepEqual(got, wanted) {
		t.Errorf("got %q\nwant %q", got, wanted)
	}
}

func TestAPlanKnowsThatWhatItReplacesHasMoved(t *testing.T) {
	old := record("old", "www", "A", "192.0.2.1")
	p := reconcile.Diff(desired(record("new", "www", "CNAME", "a.example.net")), live(old))
	old.Content = "192.0.2.2"
	if moved := p.Moved(live(old)); len(moved) != 1 || moved[0].ID != old.ID() || moved[0].Message != "was changed" {
		t.Errorf("%v", moved)
	}
}

func TestAPlanKnowsThatADoubleHasMoved(t *testing.T) {
	first, second := entry(monitor("m")), entry(monitor("m"))
	first.Handle, second.Handle = "h1", "h2"
	p := reconcile.Diff(desired(monitor("m")), reconcile.Live{Entries: []reconcile.Entry{first, second}})
	if len(p.Steps) != 1 || len(p.Basis) != 1 {
		t.Fatalf("%s%v", summarize(p), p.Basis)
	}
	other := monitor("m")
	other.Retries = 5
	second.Object = other
	if moved := p.Moved(reconcile.Live{Entries: []reconcile.Entry{first, second}}); len(moved) != 1 {
		t.Errorf("%v", moved)
	}
}

func TestErrorsSayWhatWasAttemptedAndCarryTheirClass(t *testing.T) {
	err := error(&reconcile.Error{Op: "create", ID: id(t, "pool/p"), Class: reconcile.Denied, Err: errUnread})
	if err.Error() != "create pool/p: timeout" || reconcile.ClassOf(err) != reconcile.Denied || reconcile.ClassOf(errUnread) != reconcile.Internal {
		t.Errorf("%v %s", err, reconcile.ClassOf(err))
	}
	if got := (&reconcile.Error{Op: "read", Err: errUnread}).Error(); got != "read: timeout" {
		t.Error(got)
	}
}
