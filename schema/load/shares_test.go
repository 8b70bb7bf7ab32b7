package load

import (
	"encoding/json"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// TestSharesAgreeWithTheWhole evaluates a large package in two shares and in
// one: specification, problems and positions are the same.
func TestSharesAgreeWithTheWhole(t *testing.T) {
	if runtime.NumCPU() == 1 {
		t.Log("one processor: everything is evaluated in one share")
	}
	var s strings.Builder
	s.WriteString("package edge\nstack: \"big\"\npool: {}\nmonitors: m: {}\npools: [string]: monitor: \"m\"\n")
	for i := range 1200 {
		weight := "0.5"
		if i == 7 || i == 8 {
			weight = "5"
		}
		fmt.Fprintf(&s, "pools: p%d: {\n\tdescription: \"the pool with the number %d\"\n\torigins: {a: {address: \"192.0.2.%d\", weight: %s}}\n}\n", i, i, i%250, weight)
	}
	r := request{Dir: ".", Files: map[string]string{"edge.cue": s.String()}, Names: map[string]string{"edge.cue": "edge.cue"}}
	if len(s.String()) <= largeSource {
		t.Fatalf("%d bytes are evaluated in one share; the test needs more", len(s.String()))
	}
	shared := evaluate(r)
	whole := newEvaluation(r, 0, 1)
	whole.run(r)
	want := merge([]*evaluation{whole})

	var a, b any
	if err := json.Unmarshal(shared.Spec, &a); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(want.Spec, &b); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(a, b) {
		t.Error("the specification differs")
	}
	if !reflect.DeepEqual(shared.positions(), want.positions()) {
		t.Error("the positions differ")
	}
	sort := func(list []problem) []problem {
		slices.SortFunc(list, func(a, b problem) int { return strings.Compare(a.Path, b.Path) })
		return list
	}
	got := sort(shared.Problems)
	if len(got) != 3 || !reflect.DeepEqual(got, sort(want.Problems)) {
		t.Errorf("got %v, want %v: an unknown field and two weights", got, want.Problems)
	}
}
