package render

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/hactl/hactl/reconcile/drill"
	"github.com/hactl/hactl/schema"
)

// TestADrillInJSONHasDurationsAsSpecificationsHave: none is a number that
// somebody has to guess the unit of.
func TestADrillInJSONHasDurationsAsSpecificationsHave(t *testing.T) {
	took := schema.Duration(1082 * time.Millisecond)
	var b strings.Builder
	err := DrillJSON(&b, []*drill.Outcome{{
		Step: drill.Step{Verb: drill.Kill, Args: []string{"lb01"}}, Took: took, Running: took, Applied: took, Refused: took, Corrected: took,
		Routers: []drill.Switched{{Prediction: drill.Prediction{Router: "web", Cause: drill.Death, Switch: took, Silent: took}, Took: took, Quiet: took}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	var all struct {
		Version int
		Steps   []map[string]any
	}
	if err := json.Unmarshal([]byte(b.String()), &all); err != nil || all.Version != 1 || len(all.Steps) != 1 {
		t.Fatalf("%s, %v", b.String(), err)
	}
	router := all.Steps[0]["virtualRouters"].([]any)[0].(map[string]any)
	for from, names := range map[*map[string]any][]string{
		&all.Steps[0]: {"took", "running", "applied", "refused", "corrected"}, &router: {"switch", "silent", "took", "quiet"},
	} {
		for _, name := range names {
			if (*from)[name] != "1.082s" {
				t.Errorf("%s: %v", name, (*from)[name])
			}
		}
	}
}
