package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/hactl/hactl/schema/load"
)

// TestReadmeSpofIsAsPrinted: the specification of the README's beginning, with
// one connector and what stands above the block, has what the block says.
func TestReadmeSpofIsAsPrinted(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "```cue\n")
	spec, rest, _ := strings.Cut(rest, "```")
	both := `connectors: ["lb01", "lb02"]`
	_, rest, found := strings.Cut(rest, "alone:\n\n")
	marks, rest, asked := strings.Cut(rest, "    $ hactl spof\n")
	want, _, ended := strings.Cut(rest, "    ...\n")
	if !found || !asked || !ended || !strings.Contains(spec, both) {
		t.Fatal("the README has no block about spof, or not the specification that it is of")
	}
	dir := t.TempDir()
	for name, content := range map[string]string{
		"edge.cue": strings.Replace(spec, both, `connectors: ["lb01"]`, 1), "marks.cue": "package edge\n" + marks,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out strings.Builder
	root := newRoot()
	root.SetOut(&out)
	root.SetArgs([]string{"spof", "-C", dir})
	err = root.ExecuteContext(t.Context())
	var code exitCode
	if !errors.As(err, &code) || code != exitChanges {
		t.Errorf("%v, want exit code 2", err)
	}
	if want = strings.ReplaceAll("\n"+want, "\n    ", "\n")[1:]; !strings.HasPrefix(out.String(), want) {
		t.Errorf("it prints\n%s\nand the README\n%s", out.String(), want)
	}
}

// TestReadmeSpecValidates takes the README's specification at its word.
func TestReadmeSpecValidates(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(b), "```cue\n")
	spec, _, closed := strings.Cut(rest, "```")
	if !found || !closed {
		t.Fatal("the README has no CUE block")
	}
	files := load.Files{FS: fstest.MapFS{"edge.cue": {Data: []byte(spec)}}, Dir: "."}
	_, warnings, err := load.Load(t.Context(), files, load.DefaultLimits())
	if err != nil {
		t.Error(err)
	}
	for _, w := range warnings {
		t.Error(w)
	}
	if strings.Contains(string(b), "@@") {
		t.Error("the README has a placeholder")
	}
}

// TestContributingNamesEachFolder: with Go in it.
func TestContributingNamesEachFolder(t *testing.T) {
	root := filepath.Join("..", "..")
	b, err := os.ReadFile(filepath.Join(root, "CONTRIBUTING.md"))
	if err != nil {
		t.Fatal(err)
	}
	folders := 0
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if path != root && strings.HasPrefix(d.Name(), ".") {
			return fs.SkipDir
		}
		if files, _ := filepath.Glob(filepath.Join(path, "*.go")); len(files) == 0 {
			return nil
		}
		folders++
		// By its path, or by its name beside its parent's.
		if name := d.Name(); !strings.Contains(string(b), "/"+name+"/`") && !strings.Contains(string(b), "`"+name+"/`") && !strings.Contains(string(b), "`"+name+"`") {
			t.Errorf("%s is in no row of CONTRIBUTING.md", path)
		}
		return nil
	})
	if err != nil || folders < 20 {
		t.Errorf("%d folders, %v", folders, err)
	}
}
