// Package loadtest evaluates specifications for the tests of other packages.
package loadtest

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/hactl/hactl/schema"
	"github.com/hactl/hactl/schema/load"
)

// Main is TestMain for tests that evaluate specifications.
func Main(m *testing.M) {
	Evaluate()
	os.Exit(m.Run())
}

// Evaluate exits with what package load wants of its child process, which is this
// very binary, and returns in any other process.
func Evaluate() {
	if load.IsEvaluator() {
		os.Exit(load.Evaluate(os.Stdin, os.Stdout, os.Stderr))
	}
}

// evaluated are specifications as JSON by their sources: to evaluate one takes time.
var evaluated sync.Map

// Spec is the specification of some sources, each a file of package edge, which a
// source need not say.
func Spec(t testing.TB, sources ...string) *schema.Spec {
	t.Helper()
	key := strings.Join(sources, "\x00")
	if s, ok := evaluated.Load(key); ok {
		return fresh(t, s.([]byte)) //nolint:forcetypeassert // Nothing else is stored.
	}
	files := fstest.MapFS{}
	for i, source := range sources {
		if !strings.Contains(source, "package edge") {
			source = "package edge\n" + source
		}
		files[fmt.Sprintf("%d.cue", i)] = &fstest.MapFile{Data: []byte(source)}
	}
	s, _, err := load.Load(t.Context(), load.Files{FS: files, Dir: "."}, load.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	evaluated.Store(key, text)
	return s
}

// fresh is a copy that a test may change.
func fresh(t testing.TB, text []byte) *schema.Spec {
	t.Helper()
	var s schema.Spec
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	return &s
}
