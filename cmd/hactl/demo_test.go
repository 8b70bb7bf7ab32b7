package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hactl/hactl/reconcile/drill"
)

// drilled runs hactl demo and returns what came of its steps, by the step. How
// long something took is for benchmarks: a deviation in that is no failure here.
func drilled(t *testing.T, args ...string) map[string]*drill.Outcome {
	t.Helper()
	steps := map[string]*drill.Outcome{}
	for _, o := range drilledInOrder(t, args...) {
		steps[o.Step.String()] = o
	}
	return steps
}

// drilledInOrder returns the outcomes as they came.
func drilledInOrder(t *testing.T, args ...string) []*drill.Outcome {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program)
	cmd.Args = append([]string{"hactl", "demo", "-o", "json"}, args...)
	cmd.Env = append(os.Environ(), gorace, "TMPDIR="+t.TempDir())
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if code := cmd.ProcessState.ExitCode(); code != 0 && code != int(exitChanges) {
		t.Fatalf("hactl demo: %v: %s", err, stderr.String())
	}
	var report struct {
		Version int
		Steps   []*drill.Outcome
	}
	if err := json.Unmarshal(out, &report); err != nil || report.Version != 1 {
		t.Fatalf("%v: %s", err, out)
	}
	for _, o := range report.Steps {
		for _, d := range o.Deviations {
			if strings.Contains(d, "was predicted") || strings.Contains(d, "was expected") && strings.Contains(d, "did not answer for") {
				t.Logf("%s: %s", o.Step, d)
			} else {
				t.Errorf("%s: %s", o.Step, d)
			}
		}
	}
	return report.Steps
}

// moved checks that a step took the address from one host to another.
func moved(t *testing.T, steps map[string]*drill.Outcome, step, from, to string) *drill.Switched {
	t.Helper()
	o := steps[step]
	if o == nil {
		t.Fatalf("no step %q", step)
	}
	for i := range o.Routers {
		if r := &o.Routers[i]; r.Router == "web" {
			if !slices.Equal(r.From, []string{from}) || !slices.Equal(r.Now, []string{to}) {
				t.Errorf("%s: %v -> %v, want %s -> %s", step, r.From, r.Now, from, to)
			}
			return r
		}
	}
	t.Fatalf("%s: nothing happened to web", step)
	return nil
}

// theStory checks the demo's own drill.
func theStory(t *testing.T, steps map[string]*drill.Outcome) {
	t.Helper()
	moved(t, steps, `edit edge.cue "lb02: priority: 100" "lb02: priority: 200"`, "lb01", "lb02")
	if r := moved(t, steps, "kill lb02", "lb02", "lb01"); r.Cause != drill.Death || r.Took == 0 || r.Quiet == 0 || r.Lost == 0 {
		t.Errorf("kill lb02: %+v", r)
	}
	moved(t, steps, "boot lb02", "lb01", "lb02")
	moved(t, steps, "check lb02 caddy fail", "lb02", "lb01")
	if r := moved(t, steps, "maintenance lb02 on", "lb02", "lb01"); r.Cause != drill.Release || r.Took == 0 {
		t.Errorf("maintenance: %+v", r)
	}
	if r := moved(t, steps, "stop lb02", "lb02", "lb01"); r.Cause != drill.Release || r.Took == 0 {
		t.Errorf("stop: %+v", r)
	}
	if o := steps["mistake"]; o.Refused == 0 || !strings.Contains(o.Why, "adress: field not allowed; did you mean address?") {
		t.Errorf("mistake: %+v", o)
	}
	if o := steps["drift pool/tokyo"]; o.Corrected == 0 {
		t.Errorf("drift: %+v", o)
	}
	if o := steps["push example"]; o.Running == 0 || o.Applied == 0 {
		t.Errorf("the first push: %+v", o)
	}
}

func TestTheDemoInMemory(t *testing.T) {
	t.Parallel()
	theStory(t, drilled(t, "--memory"))
}

// TestTheDemoInNamespaces: real processes, sockets and addresses, and nothing is
// left of them.
func TestTheDemoInNamespaces(t *testing.T) {
	needNamespaces(t)
	t.Parallel()
	theStory(t, drilled(t))
}

// trouble is what the demo's story has not: cables, splits, a Git that cannot be
// reached, and nobody left.
const trouble = `
unplug lb01
expect active web lb02
plug lb01
expect active web lb01
split lb01 lb02
heal
expect active web lb01
service git down
maintenance lb01 on
expect active web lb01
service git up
expect active web lb02
maintenance lb01 off
kill lb01
kill lb02
expect active web nobody
expect unserved hostname/tokyo.example.com
expect served loadBalancer/www.example.com
`

func troubled(t *testing.T, args ...string) {
	t.Helper()
	script := filepath.Join(t.TempDir(), "drill.txt")
	if err := os.WriteFile(script, []byte(trouble), 0o600); err != nil {
		t.Fatal(err)
	}
	steps := drilled(t, append(args, "--script", script)...)
	moved(t, steps, "unplug lb01", "lb01", "lb02")
	moved(t, steps, "plug lb01", "lb02", "lb01")
	moved(t, steps, "service git up", "lb01", "lb02")
	if split := steps["split lb01 lb02"]; len(split.Routers) != 1 || !slices.Equal(split.Routers[0].Now, []string{"lb01", "lb02"}) {
		t.Errorf("split: %+v", split)
	}
	if o := steps["kill lb02"]; !slices.Contains(o.Unserved, "virtualRouter/web") {
		t.Errorf("nobody is left: %+v", o)
	}
}

func TestTroubleInMemory(t *testing.T) {
	t.Parallel()
	troubled(t, "--memory")
}

func TestTroubleInNamespaces(t *testing.T) {
	needNamespaces(t)
	t.Parallel()
	troubled(t)
}
