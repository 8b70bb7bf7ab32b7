package load

import (
	"path/filepath"
	"testing"

	"golang.org/x/tools/txtar"
)

func TestFormatIsIdempotent(t *testing.T) {
	names, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(names) == 0 {
		t.Fatal("no archives", err)
	}
	for _, name := range names {
		archive, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range archive.Files {
			once, err := Format(f.Name, f.Data)
			if err != nil || filepath.Ext(f.Name) != ".cue" {
				continue
			}
			twice, err := Format(f.Name, once)
			if err != nil || string(once) != string(twice) {
				t.Errorf("%s: %s: %v\nonce\n%s\ntwice\n%s", name, f.Name, err, once, twice)
			}
		}
	}
}

func TestFormatKeepsCommentsAndAlignsFields(t *testing.T) {
	got, err := Format("a.cue", []byte("package edge\n// why\nstack :   \"home\"\nhosts:{a: {address:\"192.0.2.1\"}} // here\n"))
	const want = "package edge\n\n// why\nstack: \"home\"\nhosts: {a: {address: \"192.0.2.1\"}} // here\n"
	if err != nil || string(got) != want {
		t.Errorf("%v\n%s", err, got)
	}
}

func TestFormatNamesEverySyntaxErrorByPosition(t *testing.T) {
	_, err := Format("dir/a.cue", []byte("package edge\nstack: 1 2\n"))
	const want = "dir/a.cue:2:10: missing ',' in struct literal\ndir/a.cue:2:11: expected operand, found newline"
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}
