package load

import (
	"strconv"

	"cuelang.org/go/cue/ast"
	"cuelang.org/go/cue/token"

	"github.com/hactl/hactl/schema"
)

// places records where each field of a file is written, from its syntax. What
// a comprehension or a template makes has no place of its own here.
func (e *evaluation) places(f *ast.File) {
	e.place("", f.Pos())
	for _, d := range f.Decls {
		e.declaration("", d)
	}
}

func (e *evaluation) declaration(path string, d ast.Decl) {
	switch d := d.(type) {
	case *ast.Field:
		name, _, err := ast.LabelName(d.Label)
		if err != nil || name == "" || name[0] == '_' || name[0] == '#' {
			return
		}
		at := schema.Join(path, name)
		e.place(at, d.Label.Pos())
		e.expression(at, d.Value)
	case *ast.EmbedDecl:
		e.expression(path, d.Expr)
	}
}

func (e *evaluation) expression(path string, x ast.Expr) {
	switch x := x.(type) {
	case *ast.StructLit:
		for _, d := range x.Elts {
			e.declaration(path, d)
		}
	case *ast.ListLit:
		for i, element := range x.Elts {
			at := path + "[" + strconv.Itoa(i) + "]"
			e.place(at, element.Pos())
			e.expression(at, element)
		}
	case *ast.BinaryExpr:
		e.expression(path, x.X)
		e.expression(path, x.Y)
	case *ast.ParenExpr:
		e.expression(path, x.X)
	}
}

// place records a position; the first of a path wins.
func (e *evaluation) place(path string, p token.Pos) {
	if _, ok := e.placed[path]; ok || !p.IsValid() {
		return
	}
	q := p.Position()
	e.placeAt(path, q.Filename, q.Line, q.Column)
}

func (e *evaluation) placeAt(path, name string, line, column int) {
	if _, ok := e.placed[path]; ok {
		return
	}
	file, ok := e.files[name]
	if !ok {
		file = len(e.answer.Files)
		e.files[name] = file
		e.answer.Files = append(e.answer.Files, name)
	}
	e.placed[path] = len(e.answer.Places)
	e.answer.Places = append(e.answer.Places, place{path, file, line, column})
}
