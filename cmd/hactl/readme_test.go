package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/hactl/hactl/schema/load"
)

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
