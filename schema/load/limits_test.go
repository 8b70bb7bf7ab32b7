package load

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

func spec(source string) Files {
	return Files{FS: fstest.MapFS{"a.cue": {Data: []byte(source)}}, Dir: "."}
}

func TestAnExpressionThatAsksForGigabytesEndsAtTheMemoryLimit(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		bomb string
		mib  int64
	}{
		"range":         {`list.Range(0, 1000000000, 1)`, 256},
		"comprehension": {`[for a in list.Range(0, 1000, 1) for b in list.Range(0, 1000, 1) {x: a, y: b}]`, 64},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := spec(fmt.Sprintf("package edge\nimport \"list\"\nstack: \"home\"\n_n: len(%s)\npools: x: origins: y: address: \"\\(_n)\"\n", c.bomb))
			_, _, err := Load(t.Context(), files, Limits{Memory: c.mib << 20, Time: 5 * time.Minute})
			want := fmt.Sprintf(".: evaluation needs more than %d MiB of memory: look for a comprehension or list.Range that produces millions of values", c.mib)
			if err == nil || err.Error() != want {
				t.Errorf("got %v\nwant %s", err, want)
			}
		})
	}
}

// endless computes for longer than anybody waits, in little memory.
const endless = `package edge
import "list"
stack: "home"
_n: list.Range(0, 2000, 1)
hosts: a: address: "\(len([for a in _n for b in _n for c in _n if a+b+c < 0 {a}]))"
`

func TestAnEndlessEvaluationEndsAtTheDeadline(t *testing.T) {
	t.Parallel()
	files := spec(endless)
	files.Name = func(p string) string { return "specs/" + p }
	_, _, err := Load(t.Context(), files, Limits{Memory: 1 << 30, Time: 300 * time.Millisecond})
	const want = "specs/.: evaluation took longer than 300ms: look for a comprehension or list.Range that produces millions of values"
	if err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
}

func TestAnInterruptedEvaluationEndsWithTheInterruption(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(100*time.Millisecond, cancel)
	began := time.Now()
	_, _, err := Load(ctx, spec(endless), DefaultLimits())
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's error", err)
	}
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("took %s", took)
	}
}

func TestTheEvaluatorGetsNoneOfTheEnvironmentButWhatItNeeds(t *testing.T) {
	t.Setenv("CLOUDFLARE_API_TOKEN", "secret")
	t.Setenv("HACTL_GIT_TOKEN", "secret")
	t.Setenv("TMPDIR", "/somewhere")
	allowed := []string{"GOCOVERDIR", "GORACE", "GOTRACEBACK", "TMPDIR"}
	environment := evaluatorEnvironment()
	if !slices.Contains(environment, "TMPDIR=/somewhere") {
		t.Errorf("TMPDIR is missing in %q", environment)
	}
	for _, variable := range environment {
		name, value, _ := strings.Cut(variable, "=")
		if !slices.Contains(allowed, name) || value == "secret" {
			t.Errorf("%s is passed on", variable)
		}
	}
}

func TestTheEvaluatorComplainsAboutInputItCannotRead(t *testing.T) {
	for name, c := range map[string]struct{ limit, in, want string }{
		"no limit":   {"", "{}", "evaluator: no memory limit\n"},
		"no request": {"9223372036854775", "", "evaluator: read the request: EOF\n"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.limit != "" {
				// The fence would stay on this process.
				t.Skip("only in a child")
			}
			t.Setenv(EvaluatorEnv, c.limit)
			var out, complaints strings.Builder
			if code := Evaluate(strings.NewReader(c.in), &out, &complaints); code != 1 || complaints.String() != c.want {
				t.Errorf("code %d, %q", code, complaints.String())
			}
		})
	}
}

func TestAProcessIsAnEvaluatorOnlyWhenAsked(t *testing.T) {
	if IsEvaluator() {
		t.Error("the test itself is not")
	}
	t.Setenv(EvaluatorEnv, "1")
	if !IsEvaluator() {
		t.Error("with the variable set it is")
	}
}

func TestNothingUnderTheRootIsReadButCUEFiles(t *testing.T) {
	files := fstest.MapFS{
		"a.cue":         {Data: []byte("package edge")},
		"sub/b.cue":     {Data: []byte("package sub")},
		"secret.key":    {Data: []byte("secret")},
		"sub/token.txt": {Data: []byte("secret")},
	}
	r, err := readFiles(Files{FS: files, Dir: "./", Name: func(p string) string { return "at/" + p }})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Files) != 2 || r.Files["sub/b.cue"] != "package sub" || r.Names["a.cue"] != "at/a.cue" || r.Dir != "." {
		t.Errorf("got %+v", r)
	}
}

func TestATreeThatCannotBeReadIsAnError(t *testing.T) {
	_, _, err := Load(t.Context(), Files{FS: os.DirFS("testdata/nowhere"), Dir: "."}, DefaultLimits())
	if err == nil || !strings.HasPrefix(err.Error(), "read the specification: ") {
		t.Errorf("got %v", err)
	}
}
