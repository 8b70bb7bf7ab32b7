package render_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/hactl/hactl/reconcile/drill"
	"github.com/hactl/hactl/reconcile/render"
	"github.com/hactl/hactl/schema"
)

func ms(n float64) schema.Duration { return schema.Duration(n * float64(time.Millisecond)) }

// drilled are outcomes of each kind.
func drilled() []*drill.Outcome {
	moved := func(cause drill.Cause, took, quiet float64, lost int) drill.Switched {
		p := drill.Prediction{Router: "web", From: []string{"lb01"}, To: []string{"lb02"}, Cause: cause, Switch: ms(1000)}
		if cause == drill.Death {
			p.Silent = p.Switch
		}
		return drill.Switched{Prediction: p, Now: []string{"lb02"}, Took: ms(took), Quiet: ms(quiet), Lost: lost}
	}
	step := func(verb drill.Verb, args ...string) drill.Step { return drill.Step{Verb: verb, Args: args} }
	return []*drill.Outcome{
		{Step: step(drill.Push, "spec"), Revision: strings.Repeat("a", 40), Running: ms(1500), Applied: ms(1600), Routers: []drill.Switched{{Prediction: drill.Prediction{Router: "web", To: []string{"lb01"}, Cause: drill.First}, Now: []string{"lb01"}}}},
		{Step: step(drill.Kill, "lb01"), Routers: []drill.Switched{moved(drill.Death, 1005, 1010, 202)}, Unserved: []string{"hostname/a.example.com"}},
		{Step: step(drill.Stop, "lb01"), Routers: []drill.Switched{moved(drill.Release, 1200, 0, 0)}, Times: []string{"web: the switch took 1.2s, and 1s was predicted"}},
		{Step: step(drill.Check, "lb01", "caddy", "fail"), Found: ms(638), Within: ms(1000), Routers: []drill.Switched{moved(drill.Release, 1005, 0, 0)}},
		{Step: step(drill.Drift, "pool/tokyo"), Corrected: ms(2500), Resync: ms(3000)},
		{Step: step(drill.Mistake), Revision: strings.Repeat("b", 40), Refused: ms(900), Why: "edge.cue:1:1: wrong\n\x1b[2Jedge.cue:2:1: too"},
		{Step: step(drill.Kill, "lb02"), Routers: []drill.Switched{{Prediction: drill.Prediction{Router: "web", From: []string{"lb02"}, Cause: drill.Release}, Quiet: ms(300), Lost: 60}}},
		{Step: step(drill.Boot, "lb03")},
		{Step: step(drill.Revert), Unread: true},
		{Step: step(drill.Expect, "active", "web", "lb01"), Deviations: []string{"lb02 is Active for web, and lb01 was expected"}},
	}
}

func TestADrillIsShown(t *testing.T) {
	var b strings.Builder
	for _, o := range drilled() {
		if err := render.DrillStep(&b, o, render.Style{}); err != nil {
			t.Fatal(err)
		}
	}
	want := `    aaaaaaaaaaaa runs on all hosts after 1.5s; the edge is as it has it after 1.6s
    web: lb01 is Active
    web: lb01 -> lb02 since the last advertisement, after 1.005s, predicted 1s (1.00); nobody answered for 1.01s, 202 requests lost
    nobody answers for hostname/a.example.com now
    web: lb01 -> lb02 since it said so, after 1.2s, predicted 1s (1.20); no request was lost
    in another time: web: the switch took 1.2s, and 1s was predicted
    its check found that after 638ms, predicted 1s at most: until then requests reached what failed
    web: lb01 -> lb02 since it said so, after 1.005s, predicted 1s (1.00); the address answered all the while
    it is as the specification has it again after 2.5s
    bbbbbbbbbbbb is refused by all hosts after 900ms:
      edge.cue:1:1: wrong
      \x1b[2Jedge.cue:2:1: too
    web: lb02 -> nobody
    no address moves
    it is pushed, and no host can read it yet
    OTHERWISE: lb02 is Active for web, and lb01 was expected
`
	if got := b.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	b.Reset()
	if err := render.DrillTable(&b, drilled()); err != nil {
		t.Fatal(err)
	}
	want = `STEP                   WHAT                  PREDICTED   MEASURED  RATIO  SILENCE PREDICTED  MEASURED  LOST
push spec              web: lb01             -           -         -      -                  -         0
kill lb01              web: lb01 -> lb02     1s          1.005s    1.005  1s                 1.01s     202
stop lb01              web: lb01 -> lb02     1s          1.2s      1.200  0s                 0s        0
check lb01 caddy fail  found by its check    1s at most  638ms     -      -                  -         -
check lb01 caddy fail  web: lb01 -> lb02     1s          1.005s    1.005  0s                 0s        0
drift pool/tokyo       corrected             3s at most  2.5s      -      -                  -         -
mistake                refused by all hosts  -           900ms     -      0s                 0s        0
kill lb02              web: lb02 -> nobody   -           -         -      no end             300ms     60
boot lb03              no address moves      -           -         -      0s                 0s        0
`
	if got := b.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestADrillInJSON: durations as specifications have them, and how much was
// otherwise.
func TestADrillInJSON(t *testing.T) {
	var b strings.Builder
	if err := render.DrillJSON(&b, drilled()); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Version, Deviations int
		Steps               []struct {
			Step           struct{ Verb string }
			VirtualRouters []struct{ Switch, Took, Quiet string }
		}
	}
	if err := json.Unmarshal([]byte(b.String()), &got); err != nil {
		t.Fatal(err)
	}
	if got.Version != 1 || got.Deviations != 2 || len(got.Steps) != 10 || got.Steps[1].Step.Verb != "kill" || got.Steps[1].VirtualRouters[0].Took != "1.005s" || got.Steps[1].VirtualRouters[0].Switch != "1s" {
		t.Errorf("%+v", got)
	}
	if n := render.Deviations(drilled(), false); n != 1 {
		t.Errorf("%d deviations without times", n)
	}
	b.Reset()
	if err := render.DrillJSON(&b, nil); err != nil || !strings.Contains(b.String(), `"steps": []`) {
		t.Errorf("%s, %v", b.String(), err)
	}
}
