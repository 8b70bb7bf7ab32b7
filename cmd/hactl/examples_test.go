package main

import (
	"bytes"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hactl/hactl/engines/cloudflare/cfsim"
)

// TestExamplesConverge runs every folder of examples/ as its README says: it is
// formatted, gives no warning, applies in one go, and then there is nothing
// left to do.
func TestExamplesConverge(t *testing.T) {
	folders, err := filepath.Glob(filepath.Join("..", "..", "examples", "*", "edge.cue"))
	if err != nil || len(folders) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	index, err := os.ReadFile(filepath.Join("..", "..", "examples", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range folders {
		dir := filepath.Dir(file)
		name := filepath.Base(dir)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if !bytes.Contains(index, []byte("("+name+"/)")) {
				t.Errorf("examples/README.md has no line for %s", name)
			}
			if _, err := os.Stat(filepath.Join(dir, "README.md")); err != nil {
				t.Error(err)
			}
			sim := cfsim.New(cfsim.Options{Zones: []string{"example.com"}})
			server := httptest.NewServer(sim)
			defer server.Close()
			environment := append(os.Environ(), gorace, "HACTL_STATE_DIR="+t.TempDir(), "CLOUDFLARE_API_TOKEN=test",
				"CLOUDFLARE_BASE_URL="+server.URL+cfsim.Prefix, "CLOUDFLARE_ACCOUNT_ID="+sim.Account())
			hactl := func(code int, args ...string) string {
				t.Helper()
				return hactlWith(t, environment, code, append(args, "-C", dir)...)
			}
			if out := hactl(0, "validate"); !strings.Contains(out, " 0 warnings.") {
				t.Errorf("validate: %s", out)
			}
			hactl(0, "fmt", "--check")
			if drawn, err := os.ReadFile(filepath.Join(dir, "topology.svg")); err == nil && hactl(0, "graph") != string(drawn) {
				t.Errorf("the picture is another one: hactl graph -C %s --out %s/topology.svg", dir, dir)
			}
			hactl(2, "diff")
			hactl(0, "apply", "--yes")
			if out := hactl(0, "diff"); !strings.Contains(out, "Nothing to do") {
				t.Errorf("diff after apply: %s", out)
			}
			sim.ResetLog()
			hactl(0, "apply", "--yes")
			for _, r := range sim.Requests() {
				if r.Method != "GET" {
					t.Errorf("a second apply sends %s %s", r.Method, r.Path)
				}
			}
		})
	}
}

// hactlWith runs this binary as hactl, wants that exit code, and returns what
// it printed.
func hactlWith(t *testing.T, environment []string, code int, args ...string) string {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program)
	cmd.Args = append([]string{"hactl"}, args...) // TestMain goes by the name.
	cmd.Env = environment
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != code {
		t.Fatalf("hactl %s: %v, want exit code %d\n%s", strings.Join(args, " "), err, code, out)
	}
	return string(out)
}
