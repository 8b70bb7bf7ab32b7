package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hactl/hactl/schema"
)

// EvaluatorEnv is set to the memory limit in bytes in the environment of the
// evaluating child.
const EvaluatorEnv = "HACTL_EVALUATOR"

// Files is a tree to evaluate.
type Files struct {
	// FS holds the specification's package and the CUE module around it.
	FS fs.FS
	// Dir is the package's directory in FS, "." for its root.
	Dir string
	// Name is what a file of FS is called wherever it is shown; nil leaves
	// paths as they are.
	Name func(path string) string
}

// Limits bound one evaluation.
type Limits struct {
	// Memory in bytes; the child dies before it has more.
	Memory int64
	// Time until the child is killed.
	Time time.Duration
	// Background gives way to whatever else the machine has to do.
	Background bool
}

// DefaultLimits fit specifications of some 20,000 objects.
func DefaultLimits() Limits { return Limits{Memory: 1 << 30, Time: 60 * time.Second} }

// Invalid is the error of a specification that cannot be used.
type Invalid struct{ Problems []schema.Problem }

func (e *Invalid) Error() string {
	lines := make([]string, 0, len(e.Problems))
	for _, p := range e.Problems {
		lines = append(lines, p.String())
	}
	return strings.Join(lines, "\n")
}

// Load evaluates and validates a specification. Problems that make it
// unusable come as an *Invalid, all of them; the returned problems are
// warnings. Any other error says that it could not be evaluated at all.
func Load(ctx context.Context, files Files, limits Limits) (*schema.Spec, []schema.Problem, error) {
	answer, err := evaluateInChild(ctx, files, limits)
	if err != nil {
		return nil, nil, err
	}
	spec := &schema.Spec{}
	problems := answer.problems()
	if len(answer.Spec) > 0 {
		decoder := json.NewDecoder(bytes.NewReader(answer.Spec))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(spec); err != nil {
			return nil, nil, fmt.Errorf("decode the evaluated specification: %w", err)
		}
	}
	spec.Positions = answer.positions()
	spec.Broken = make(map[string]bool, len(answer.Broken))
	for _, p := range answer.Broken {
		spec.Broken[p] = true
	}
	if !answer.Fatal {
		for _, p := range spec.Validate() {
			// An absent stack may be one that did not evaluate.
			if p.Path != "stack" || !spec.Broken["stack"] {
				problems = append(problems, p)
			}
		}
	}
	problems = schema.SortProblems(problems)
	var warnings, faults []schema.Problem
	for _, p := range problems {
		if p.Warning {
			warnings = append(warnings, p)
		} else {
			faults = append(faults, p)
		}
	}
	if len(faults) > 0 {
		return nil, warnings, &Invalid{faults}
	}
	return spec, warnings, nil
}

// backgroundNice is setpriority(2)'s for what nobody waits for.
const backgroundNice = 10

// request is what the child reads.
type request struct {
	Dir string
	// Files are contents by path, Names what the paths are shown as.
	Files map[string]string
	Names map[string]string
}

// answer is what the child writes.
type answer struct {
	// Spec is the JSON form of schema.Spec without the broken entries.
	Spec json.RawMessage
	// Files are the names that Places refer to by index.
	Files  []string
	Places []place
	// Problems are CUE's.
	Problems []problem
	// Broken are the paths of entries that Problems speak of.
	Broken []string
	// Fatal means that nothing could be evaluated, so that checks of what
	// refers to what would mislead.
	Fatal bool
}

type place struct {
	Path               string
	File, Line, Column int
}

type problem struct {
	Path, Message, File string
	Line, Column        int
}

func (a answer) positions() map[string]schema.Pos {
	positions := make(map[string]schema.Pos, len(a.Places))
	for _, p := range a.Places {
		positions[p.Path] = schema.Pos{File: a.Files[p.File], Line: p.Line, Column: p.Column}
	}
	return positions
}

func (a answer) problems() []schema.Problem {
	problems := make([]schema.Problem, 0, len(a.Problems))
	for _, p := range a.Problems {
		problems = append(problems, schema.Problem{
			Pos: schema.Pos{File: p.File, Line: p.Line, Column: p.Column}, Path: p.Path, Message: p.Message,
		})
	}
	return problems
}

func readFiles(files Files) (request, error) {
	r := request{Dir: path.Clean(files.Dir), Files: map[string]string{}, Names: map[string]string{}}
	err := fs.WalkDir(files.FS, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || path.Ext(name) != ".cue" {
			return err
		}
		content, err := fs.ReadFile(files.FS, name)
		r.Files[name], r.Names[name] = string(content), name
		if files.Name != nil {
			r.Names[name] = files.Name(name)
		}
		return err
	})
	if err != nil {
		return request{}, fmt.Errorf("read the specification: %w", err)
	}
	return r, nil
}

func evaluateInChild(ctx context.Context, files Files, limits Limits) (answer, error) {
	r, err := readFiles(files)
	if err != nil {
		return answer{}, err
	}
	where := r.Dir
	if files.Name != nil {
		where = files.Name(r.Dir)
	}
	if p := noFiles(r, where); p != nil {
		return answer{}, &Invalid{[]schema.Problem{*p}}
	}
	input, err := json.Marshal(r)
	if err != nil {
		return answer{}, fmt.Errorf("pass the specification on: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, limits.Time)
	defer cancel()
	// The program's own name comes first in its arguments, so that a test
	// binary that stands in for hactl recognises itself.
	child := exec.CommandContext(ctx, "/proc/self/exe")
	child.Args = []string{os.Args[0]}
	child.Env = append(evaluatorEnvironment(), EvaluatorEnv+"="+strconv.FormatInt(limits.Memory, 10))
	child.Stdin = bytes.NewReader(input)
	var output, complaint bytes.Buffer
	child.Stdout, child.Stderr = &output, &complaint
	if err = child.Start(); err == nil {
		if limits.Background {
			_ = syscall.Setpriority(syscall.PRIO_PROCESS, child.Process.Pid, backgroundNice)
		}
		err = child.Wait()
	}
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return answer{}, fmt.Errorf("%s: evaluation took longer than %s: look for a comprehension or list.Range that produces millions of values", where, limits.Time)
	case ctx.Err() != nil:
		return answer{}, ctx.Err()
	case err != nil && diedOfMemory(child.ProcessState, complaint.String(), limits.Memory):
		return answer{}, fmt.Errorf("%s: evaluation needs more than %d MiB of memory: look for a comprehension or list.Range that produces millions of values", where, limits.Memory>>20)
	case err != nil:
		return answer{}, fmt.Errorf("%s: evaluate: %w: %s", where, err, firstLine(complaint.String()))
	}
	var a answer
	if err := json.Unmarshal(output.Bytes(), &a); err != nil {
		return answer{}, fmt.Errorf("%s: evaluate: %w", where, err)
	}
	return a, nil
}

// diedOfMemory tells whether the child ended because of its memory limit. A
// runtime that is refused memory by the kernel ends in several ways, one of
// them a segmentation fault; how much it had by then tells that from a bug.
func diedOfMemory(state *os.ProcessState, complaint string, limit int64) bool {
	if state == nil {
		return false
	}
	used, ok := state.SysUsage().(*syscall.Rusage)
	return state.ExitCode() == exitMemory ||
		strings.Contains(complaint, "out of memory") || strings.Contains(complaint, "cannot allocate memory") ||
		ok && used.Maxrss*1024 > limit/4*3
}

// evaluatorEnvironment keeps secrets of this process from the child.
func evaluatorEnvironment() []string {
	var kept []string
	for _, name := range []string{"GOCOVERDIR", "GORACE", "GOTRACEBACK", "TMPDIR"} {
		if value, ok := os.LookupEnv(name); ok {
			kept = append(kept, name+"="+value)
		}
	}
	return kept
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}
