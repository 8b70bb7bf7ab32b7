package load

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/tools/txtar"
)

var update = flag.Bool("update", false, "write what the tests see into testdata")

func TestMain(m *testing.M) {
	if IsEvaluator() {
		os.Exit(Evaluate(os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// want is the file of an archive that says what the others come to.
const want = "want"

// TestProblemsAreNamedAtTheirOwnLine evaluates each archive in testdata. Its
// last file holds every error and warning, or "ok". Its comment may name the
// directory of the package: "dir: sub".
func TestProblemsAreNamedAtTheirOwnLine(t *testing.T) {
	names, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(names) == 0 {
		t.Fatal("no archives", err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txtar"), func(t *testing.T) {
			t.Parallel()
			archive, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			got := outcome(t, archive)
			if *update {
				rewrite(t, name, archive, got)
				return
			}
			if wanted := content(archive, want); got != wanted {
				t.Errorf("got\n%s\nwant\n%s", got, wanted)
			}
		})
	}
}

// outcome is what a user would see of an archive's specification.
func outcome(t *testing.T, archive *txtar.Archive) string {
	t.Helper()
	files := Files{FS: tree(archive), Dir: "."}
	for line := range strings.Lines(string(archive.Comment)) {
		if dir, ok := strings.CutPrefix(strings.TrimSpace(line), "dir: "); ok {
			files.Dir = dir
		}
	}
	_, warnings, err := Load(t.Context(), files, DefaultLimits())
	var b strings.Builder
	for _, w := range warnings {
		b.WriteString(w.String() + "\n")
	}
	var invalid *Invalid
	switch {
	case errors.As(err, &invalid):
		b.WriteString(err.Error() + "\n")
	case err != nil:
		b.WriteString("cannot be evaluated: " + err.Error() + "\n")
	case len(warnings) == 0:
		b.WriteString("ok\n")
	}
	return b.String()
}

func tree(archive *txtar.Archive) fstest.MapFS {
	files := fstest.MapFS{}
	for _, f := range archive.Files {
		if f.Name != want {
			files[f.Name] = &fstest.MapFile{Data: f.Data, Mode: 0o644}
		}
	}
	return files
}

func content(archive *txtar.Archive, name string) string {
	for _, f := range archive.Files {
		if f.Name == name {
			return string(f.Data)
		}
	}
	return ""
}

func rewrite(t *testing.T, name string, archive *txtar.Archive, got string) {
	t.Helper()
	files := archive.Files[:0:0]
	for _, f := range archive.Files {
		if f.Name != want {
			files = append(files, f)
		}
	}
	archive.Files = append(files, txtar.File{Name: want, Data: []byte(got)})
	if err := os.WriteFile(name, txtar.Format(archive), 0o644); err != nil {
		t.Fatal(err)
	}
}
