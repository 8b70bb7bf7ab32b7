package schema_test

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"golang.org/x/tools/txtar"

	"github.com/hactl/hactl/schema"
	"github.com/hactl/hactl/schema/load"
	"github.com/hactl/hactl/schema/load/loadtest"
)

var update = flag.Bool("update", false, "write what the tests see into testdata")

// results are what the cases came to, for -update.
var results sync.Map

func TestMain(m *testing.M) { loadtest.Main(m) }

// TestChecks runs the cases of testdata/checks. Each archive holds base.cue,
// which is part of every case, and for each case what is wrong (case/bad),
// a near thing that is right (case/good), and the problems of the first
// (case/want). The second has none.
func TestChecks(t *testing.T) {
	names, err := filepath.Glob("testdata/checks/*.txtar")
	if err != nil || len(names) == 0 {
		t.Fatal("no archives", err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			parts := map[string][]byte{}
			var cases []string
			for _, f := range archive.Files {
				parts[f.Name] = f.Data
				if c, ok := strings.CutSuffix(f.Name, "/bad"); ok {
					cases = append(cases, c)
				}
			}
			t.Run("cases", func(t *testing.T) {
				for i, c := range cases {
					if underRace && i > 1 {
						break
					}
					t.Run(c, func(t *testing.T) {
						t.Parallel()
						check(t, parts, c)
					})
				}
			})
			if *update && !underRace {
				rewrite(t, name, archive, parts, cases)
			}
		})
	}
}

func check(t *testing.T, parts map[string][]byte, c string) {
	t.Helper()
	if good := problems(t, parts["base.cue"], parts[c+"/good"]); good != "" {
		t.Errorf("the specification that is right has problems:\n%s", good)
	}
	bad := problems(t, parts["base.cue"], parts[c+"/bad"])
	if bad == "" {
		t.Error("the specification that is wrong has no problems")
	}
	if want := string(parts[c+"/want"]); bad != want && !*update {
		t.Errorf("got\n%s\nwant\n%s", bad, want)
	}
	results.Store(c+"\x00"+string(parts[c+"/bad"]), bad)
}

func problems(t *testing.T, base, source []byte) string {
	t.Helper()
	if !bytes.HasPrefix(source, []byte("package ")) {
		source = append([]byte("package edge\n"), source...)
	}
	files := fstest.MapFS{"base.cue": {Data: base}, "spec.cue": {Data: source}}
	_, found, err := load.Load(t.Context(), load.Files{FS: files, Dir: "."}, load.DefaultLimits())
	var invalid *load.Invalid
	switch {
	case errors.As(err, &invalid):
		found = append(invalid.Problems, found...)
	case err != nil:
		t.Fatal(err)
	}
	var b strings.Builder
	for _, p := range schema.SortProblems(found) {
		b.WriteString(p.String() + "\n")
	}
	return b.String()
}

func rewrite(t *testing.T, name string, archive *txtar.Archive, parts map[string][]byte, cases []string) {
	t.Helper()
	out := &txtar.Archive{Comment: archive.Comment, Files: []txtar.File{{Name: "base.cue", Data: parts["base.cue"]}}}
	for _, c := range cases {
		got, _ := results.Load(c + "\x00" + string(parts[c+"/bad"]))
		text, _ := got.(string)
		out.Files = append(out.Files,
			txtar.File{Name: c + "/bad", Data: parts[c+"/bad"]},
			txtar.File{Name: c + "/good", Data: parts[c+"/good"]},
			txtar.File{Name: c + "/want", Data: []byte(text)})
	}
	if err := os.WriteFile(name, txtar.Format(out), 0o644); err != nil {
		t.Fatal(err)
	}
}
