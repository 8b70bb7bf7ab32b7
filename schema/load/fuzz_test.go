package load

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/hactl/hactl/schema"
)

// FuzzEvaluate evaluates small files in this process: whatever they say, the
// evaluation does not panic, and what it returns can be decoded and checked.
func FuzzEvaluate(f *testing.F) {
	names, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range names {
		archive, err := txtar.ParseFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(content(archive, "a.cue"))
	}
	f.Fuzz(func(t *testing.T, source string) {
		// What can ask for more memory or time than a fuzzer has is for the
		// child's limits.
		for _, bomb := range []string{"import", "for", "*", "Repeat", "...", "\\("} {
			if strings.Contains(source, bomb) {
				t.Skip()
			}
		}
		if len(source) > 1000 {
			t.Skip()
		}
		a := evaluate(request{Dir: ".", Files: map[string]string{"a.cue": source}, Names: map[string]string{"a.cue": "a.cue"}})
		for _, p := range a.Problems {
			if p.Message == "" {
				t.Errorf("a problem without words: %+v", p)
			}
			if strings.HasPrefix(p.File, "/") {
				t.Errorf("a problem outside the user's files: %+v", p)
			}
		}
		if a.Fatal {
			if len(a.Problems) == 0 {
				t.Error("fatal, and nothing is wrong")
			}
			return
		}
		spec := &schema.Spec{}
		if err := json.Unmarshal(a.Spec, spec); err != nil {
			t.Fatalf("%v\n%s", err, a.Spec)
		}
		spec.Positions = a.positions()
		spec.Validate()
		spec.Objects()
	})
}
