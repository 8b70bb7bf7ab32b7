package load

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"cuelang.org/go/cue/ast"
	cueerrors "cuelang.org/go/cue/errors"
	"cuelang.org/go/cue/parser"
	"cuelang.org/go/cue/token"

	"github.com/hactl/hactl/schema"
)

// parse checks the files of the package by themselves: every syntax error,
// and that all of them are of one package. CUE stops at the first file that
// is wrong, and leaves out files without a package clause, silently. It
// tells whether there is anything to evaluate.
func (e *evaluation) parse(r request) bool {
	first, firstFile := "", ""
	for _, name := range slices.Sorted(maps.Keys(r.Files)) {
		if path.Dir(name) != r.Dir || leftOut(path.Base(name)) {
			continue
		}
		shown := e.display(name)
		f, err := parser.ParseFile(shown, r.Files[name], parser.ParseComments, parser.AllErrors)
		for _, ce := range cueerrors.Errors(err) {
			e.add("", pos(ce.Position()), words(ce))
		}
		if err != nil {
			continue
		}
		start := schema.Pos{File: shown, Line: 1, Column: 1}
		e.place("", f.Pos())
		clause, at := packageOf(f)
		switch {
		case clause == "":
			e.add("", start, fmt.Sprintf("no package clause, so that CUE would leave the file out: begin it with %q", "package "+packageName(r, first)))
		case first == "":
			first, firstFile = clause, shown
		case clause != first:
			e.add("", at, fmt.Sprintf("package %s, but %s is of package %s: the files of a directory are one package", clause, firstFile, first))
		}
	}
	return len(e.answer.Problems) == 0
}

// leftOut tells whether CUE passes over files of that name.
func leftOut(name string) bool {
	base := strings.TrimSuffix(name, ".cue")
	return strings.HasPrefix(base, "_") || strings.HasPrefix(base, ".") ||
		strings.HasSuffix(base, "_tool") || strings.HasSuffix(base, "_test")
}

func packageOf(f *ast.File) (name string, at schema.Pos) {
	for _, d := range f.Decls {
		if p, ok := d.(*ast.Package); ok && p.Name != nil && p.Name.Name != "_" {
			return p.Name.Name, pos(p.Name.Pos())
		}
	}
	return "", schema.Pos{}
}

// packageName is the package that a file without a clause should have.
func packageName(r request, known string) string {
	if known != "" {
		return known
	}
	for _, name := range slices.Sorted(maps.Keys(r.Files)) {
		if path.Dir(name) != r.Dir {
			continue
		}
		if f, err := parser.ParseFile(name, r.Files[name], parser.PackageClauseOnly); err == nil {
			if clause, _ := packageOf(f); clause != "" {
				return clause
			}
		}
	}
	return "edge"
}

// noFiles is the problem of a directory that holds no CUE files, nil where it
// holds some.
func noFiles(r request, where string) *schema.Problem {
	elsewhere := map[string]bool{}
	for name := range r.Files {
		if leftOut(path.Base(name)) {
			continue
		}
		if path.Dir(name) == r.Dir {
			return nil
		}
		if !strings.HasPrefix(name, "cue.mod/") && !strings.Contains(name, "/cue.mod/") {
			elsewhere[path.Dir(name)] = true
		}
	}
	message := "no CUE files here: hactl init starts a specification"
	if names := slices.Sorted(maps.Keys(elsewhere)); len(names) > 0 {
		more := ""
		if len(names) > 5 {
			names, more = names[:5], ", …"
		}
		for i, name := range names {
			names[i] = strconv.Quote(name)
		}
		message = "no CUE files here; there are some in " + strings.Join(names, ", ") + more + ": name the folder, or start a specification with hactl init"
	}
	return &schema.Problem{Pos: schema.Pos{File: where}, Message: message}
}

func pos(p token.Pos) schema.Pos {
	if !p.IsValid() {
		return schema.Pos{}
	}
	q := p.Position()
	return schema.Pos{File: q.Filename, Line: q.Line, Column: q.Column}
}
