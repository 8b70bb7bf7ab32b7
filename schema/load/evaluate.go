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
	"syncGroups":           {"#Name", "#SyncGroup"},
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
	hints    map[string]string // words by a definition's source
}

// evaluate runs CUE on a request.
func evaluate(r request) answer {
	e := &evaluation{names: r.Names, ctx: cuecontext.New(), files: map[string]int{}, placed: map[string]int{}, problems: map[problem]bool{}}
	files := fstest.MapFS{}
	for name, content := range r.Files {
		files[name] = &fstest.MapFile{Data: []byte(content), Mode: 0o444}
	}
	if !e.parse(r) {
		e.answer.Fatal = true
		return e.answer
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
	for i, ce := range cueerrors.Errors(err) {
		if i > 0 && strings.HasPrefix(words(ce), "imported and not used") {
			continue // What is wrong with the import has been said.
		}
		single := []cueerrors.Error{ce}
		at := ""
		if message, _ := ce.Msg(); message != importFailed {
			at = joinAll("", ce.Path())
		}
		place := e.where(single, at, cue.Value{})
		if place.File == "" && len(e.answer.Files) > 0 {
			place.File = e.answer.Files[0]
		}
		e.add(at, place, e.verbatim(single))
	}
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
	iterator, err := user.Fields()
	if err != nil {
		e.fatal(err)
		return
	}
	if err := user.Err(); err != nil && len(cueerrors.Errors(err)[0].Path()) == 0 {
		e.report(err, "", user, cue.Value{})
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
	e.answer.Problems = withoutEchoes(e.answer.Problems)
}

// withoutEchoes drops problems of the package as a whole that stand at a
// field too.
func withoutEchoes(problems []problem) []problem {
	placed := map[problem]bool{}
	for _, p := range problems {
		if p.Path != "" {
			p.Path = ""
			placed[p] = true
		}
	}
	return slices.DeleteFunc(problems, func(p problem) bool { return placed[p] })
}

// unknown reports a field of the package that is no field of a specification.
func (e *evaluation) unknown(name string, value cue.Value) {
	names := slices.Sorted(maps.Keys(collections))
	names = append(names, slices.Sorted(maps.Keys(scalars))...)
	e.add(name, e.position(name, value), unknownField(name, names))
}

// collection evaluates a map of named objects into JSON.
func (e *evaluation) collection(name string, value cue.Value, key, definition string) []byte {
	out := []byte{'{'}
	iterator, err := value.Fields()
	if err != nil {
		e.answer.Broken = append(e.answer.Broken, name)
		if value.Err() == nil && value.IsConcrete() {
			e.add(name, e.where(nil, name, value), shorten(fmt.Sprint(value), longestValue)+" is not allowed here; want a struct: {name: {…}}")
			return []byte("{}")
		}
		e.report(err, name, value, cue.Value{})
		return []byte("{}")
	}
	keys, values := e.lookup(key), e.lookup(definition)
	for iterator.Next() {
		label := iterator.Selector().Unquoted()
		at := schema.Join(name, label)
		if err := keys.Unify(e.ctx.Encode(label)).Err(); err != nil {
			e.add(at, e.position(at, iterator.Value()), noName(label, e.describe(keys)))
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

func (e *evaluation) add(at string, p schema.Pos, message string) {
	found := problem{Path: at, Message: message, File: p.File, Line: p.Line, Column: p.Column}
	if !e.problems[found] {
		e.problems[found] = true
		e.answer.Problems = append(e.answer.Problems, found)
	}
}

const nothingFetched = "hactl fetches no CUE modules: keep the package in this repository"

// noRegistry refuses every module: nothing is ever fetched.
type noRegistry struct{}

func (noRegistry) refuse(m string) error {
	return fmt.Errorf("%s: %s", m, nothingFetched)
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
