package load

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"testing/fstest"

	"cuelang.org/go/cue"
	"cuelang.org/go/cue/cuecontext"
	cueerrors "cuelang.org/go/cue/errors"
	cueload "cuelang.org/go/cue/load"
	"cuelang.org/go/cue/token"
	"cuelang.org/go/mod/modfile"
	"cuelang.org/go/mod/module"

	"github.com/hactl/hactl/schema"
)

// schemaDir is where the schema's package stands among the user's files. Its
// name cannot be that of a user's file, since those are shown with Label.
const schemaDir = "schema"

// collections maps the fields of schema.#Spec that hold named objects to the
// definitions of their keys and their values.
var collections = map[string]struct{ key, value string }{
	"hosts":                {"#Name", "#Host"},
	"virtualRouters":       {"#Name", "#VirtualRouter"},
	"networks":             {"#ShortName", "#Network"},
	"tunnels":              {"#Name", "#Tunnel"},
	"monitors":             {"#Name", "#Monitor"},
	"pools":                {"#Name", "#Pool"},
	"loadBalancers":        {"#Hostname", "#LoadBalancer"},
	"privateLoadBalancers": {"#ShortName", "#PrivateLoadBalancer"},
	"dnsRecords":           {"#ShortName", "#DNSRecord"},
}

// scalars are the other fields.
var scalars = map[string]string{
	"stack": "#StackName", "account": "#Account", "plan": "#Plan", "policy": "#Policy",
}

// evaluation is one run of CUE over a user's package.
type evaluation struct {
	names    map[string]string // what each file of the tree is shown as
	ctx      *cue.Context
	schema   cue.Value
	files    map[string]int // index of each name in answer.Files
	placed   map[string]int // index of each path in answer.Places
	answer   answer
	problems map[problem]bool
}

// evaluate runs CUE on a request.
func evaluate(r request) answer {
	e := &evaluation{names: r.Names, ctx: cuecontext.New(), files: map[string]int{}, placed: map[string]int{}, problems: map[problem]bool{}}
	files := fstest.MapFS{}
	for name, content := range r.Files {
		files[name] = &fstest.MapFile{Data: []byte(content), Mode: 0o444}
	}
	user := cueload.Instances([]string{"."}, &cueload.Config{
		FS: files, Dir: path.Join("/", r.Dir), FromFSPath: e.display, Registry: noRegistry{}, Env: []string{},
	})[0]
	if user.Err != nil {
		return e.fatal(user.Err)
	}
	for _, f := range user.Files {
		e.places(f)
	}
	value := e.ctx.BuildInstance(user)
	e.schema = e.buildSchema()
	e.spec(value)
	return e.answer
}

// fatal ends the evaluation with what is wrong with the package as a whole.
func (e *evaluation) fatal(err error) answer {
	e.report(err, "", cue.Value{}, cue.Value{})
	e.answer.Fatal = true
	return e.answer
}

func (e *evaluation) buildSchema() cue.Value {
	instance := cueload.Instances([]string{"."}, &cueload.Config{
		FS: schema.CUE, Dir: "/", FromFSPath: func(p string) string { return path.Join("/"+schemaDir, p) },
		Registry: noRegistry{}, Env: []string{},
	})[0]
	value := e.ctx.BuildInstance(instance)
	if err := errors.Join(instance.Err, value.Err()); err != nil {
		panic("schema: " + err.Error())
	}
	return value
}

// spec evaluates the user's package field by field and entry by entry, so
// that one wrong entry hides no other problem.
func (e *evaluation) spec(user cue.Value) {
	var out strings.Builder
	out.WriteString("{")
	field := func(name string, value []byte) {
		if out.Len() > 1 {
			out.WriteString(",")
		}
		fmt.Fprintf(&out, "%q:%s", name, value)
	}
	if err := user.Err(); err != nil && len(cueerrors.Errors(err)[0].Path()) == 0 {
		e.report(err, "", user, cue.Value{})
	}
	iterator, err := user.Fields()
	if err != nil {
		e.fatal(err)
		return
	}
	if !user.LookupPath(cue.ParsePath("plan")).Exists() {
		field("plan", []byte(`"standard"`))
	}
	for iterator.Next() {
		name, value := iterator.Selector().Unquoted(), iterator.Value()
		if definition, ok := scalars[name]; ok {
			if b, ok := e.entry(name, value, definition); ok {
				field(name, b)
			}
			continue
		}
		collection, ok := collections[name]
		if !ok {
			e.unknown(name, value)
			continue
		}
		field(name, e.collection(name, value, collection.key, collection.value))
	}
	out.WriteString("}")
	e.answer.Spec = []byte(out.String())
}

// unknown reports a field of the package that is no field of a specification.
func (e *evaluation) unknown(name string, value cue.Value) {
	names := slices.Sorted(maps.Keys(collections))
	names = append(names, slices.Sorted(maps.Keys(scalars))...)
	e.add(name, e.position(name, value), "field not allowed; allowed are "+strings.Join(names, ", "))
}

// collection evaluates a map of named objects into JSON.
func (e *evaluation) collection(name string, value cue.Value, key, definition string) []byte {
	out := []byte{'{'}
	iterator, err := value.Fields()
	if err != nil {
		e.report(err, name, value, cue.Value{})
		return []byte("{}")
	}
	keys, values := e.lookup(key), e.lookup(definition)
	for iterator.Next() {
		label := iterator.Selector().Unquoted()
		at := schema.Join(name, label)
		if err := keys.Unify(e.ctx.Encode(label)).Err(); err != nil {
			e.add(at, e.position(at, iterator.Value()), fmt.Sprintf("%q is no name here; allowed: %s", label, e.describe(keys)))
			e.answer.Broken = append(e.answer.Broken, at)
			continue
		}
		b, ok := e.checked(at, iterator.Value(), values)
		if !ok {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = fmt.Appendf(out, "%q:%s", label, b)
	}
	return append(out, '}')
}

func (e *evaluation) lookup(definition string) cue.Value {
	return e.schema.LookupPath(cue.ParsePath(definition))
}

func (e *evaluation) entry(at string, value cue.Value, definition string) ([]byte, bool) {
	return e.checked(at, value, e.lookup(definition))
}

// checked unifies a value with its definition and returns its JSON form.
func (e *evaluation) checked(at string, value, definition cue.Value) ([]byte, bool) {
	e.place(at, value.Pos())
	unified := definition.Unify(value)
	err := unified.Validate(cue.Concrete(true), cue.Final())
	if err == nil {
		var b []byte
		if b, err = unified.MarshalJSON(); err == nil {
			return b, true
		}
	}
	e.unknownFields(at, nil, value, definition, definition)
	e.report(err, at, value, definition)
	e.answer.Broken = append(e.answer.Broken, at)
	return nil, false
}

// display is how a file of the tree is shown to the user.
func (e *evaluation) display(p string) string {
	p = strings.TrimPrefix(p, "/")
	if name, ok := e.names[p]; ok {
		return name
	}
	return p
}

func (e *evaluation) position(at string, value cue.Value) schema.Pos {
	if i, ok := e.placed[at]; ok {
		p := e.answer.Places[i]
		return schema.Pos{File: e.answer.Files[p.File], Line: p.Line, Column: p.Column}
	}
	return pos(value.Pos())
}

func pos(p token.Pos) schema.Pos {
	if !p.IsValid() {
		return schema.Pos{}
	}
	q := p.Position()
	return schema.Pos{File: q.Filename, Line: q.Line, Column: q.Column}
}

func (e *evaluation) add(at string, p schema.Pos, message string) {
	found := problem{Path: at, Message: message, File: p.File, Line: p.Line, Column: p.Column}
	if !e.problems[found] {
		e.problems[found] = true
		e.answer.Problems = append(e.answer.Problems, found)
	}
}

// noRegistry refuses every module: nothing is ever fetched.
type noRegistry struct{}

func (noRegistry) refuse(m string) error {
	return fmt.Errorf("%s: hactl fetches no CUE modules: keep the package in this repository", m)
}

func (r noRegistry) ModFile(_ context.Context, m module.Version) (*modfile.File, error) {
	return nil, r.refuse(m.String())
}

func (r noRegistry) Fetch(_ context.Context, m module.Version) (module.SourceLoc, error) {
	return module.SourceLoc{}, r.refuse(m.String())
}

func (r noRegistry) ModuleVersions(_ context.Context, m string) ([]string, error) {
	return nil, r.refuse(m)
}
