package load

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"runtime"
	"slices"
	"strings"
	"sync"
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
	"checks":               {"#Name", "#HealthCheck"},
	"hooks":                {"#Name", "#Hook"},
	"networks":             {"#ShortName", "#Network"},
	"tunnels":              {"#Name", "#Tunnel"},
	"monitors":             {"#Name", "#Monitor"},
	"pools":                {"#Name", "#Pool"},
	"loadBalancers":        {"#Hostname", "#LoadBalancer"},
	"privateLoadBalancers": {"#ShortName", "#PrivateLoadBalancer"},
	"dnsRecords":           {"#ShortName", "#DNSRecord"},
	"notifications":        {"#Name", "#Notification"},
}

// scalars are the other fields.
var scalars = map[string]string{
	"stack": "#StackName", "account": "#Account", "plan": "#Plan", "policy": "#Policy", "leader": "#Leader",
}

// evaluation is one run of CUE over a user's package.
type evaluation struct {
	share, shares int                 // which entries are evaluated here
	scalars       []string            // JSON fields that are no collections
	entries       map[string][]string // JSON fields of the collections
	names         map[string]string   // what each file of the tree is shown as
	ctx           *cue.Context
	schema        cue.Value
	files         map[string]int // index of each name in answer.Files
	placed        map[string]int // index of each path in answer.Places
	answer        answer
	problems      map[problem]bool
	hints         map[string]string // words by a definition's source
}

// evaluate runs CUE on a request. A large one is evaluated in two shares at
// once, each in a context of its own, since a context is for one goroutine.
func evaluate(r request) answer {
	size := 0
	for _, content := range r.Files {
		size += len(content)
	}
	shares := 1
	if size > largeSource && runtime.NumCPU() > 1 {
		shares = 2
	}
	evaluations := make([]*evaluation, shares)
	var wg sync.WaitGroup
	for i := range evaluations {
		evaluations[i] = newEvaluation(r, i, shares)
		wg.Go(func() { evaluations[i].run(r) })
	}
	wg.Wait()
	return merge(evaluations)
}

// largeSource is the size of source, in bytes, from which the cost of reading
// it twice is less than what a second core saves.
const largeSource = 128 << 10

func newEvaluation(r request, share, shares int) *evaluation {
	return &evaluation{
		names: r.Names, ctx: cuecontext.New(), files: map[string]int{}, placed: map[string]int{}, problems: map[problem]bool{},
		share: share, shares: shares, entries: map[string][]string{},
	}
}

// merge puts the shares together. What concerns the package as a whole is the
// same in each, and reported once.
func merge(evaluations []*evaluation) answer {
	first := evaluations[0]
	for _, e := range evaluations[1:] {
		first.answer.Fatal = first.answer.Fatal || e.answer.Fatal
		for name, entries := range e.entries {
			first.entries[name] = append(first.entries[name], entries...)
		}
		for _, p := range e.answer.Problems {
			if !slices.Contains(first.answer.Problems, p) {
				first.answer.Problems = append(first.answer.Problems, p)
			}
		}
		for _, b := range e.answer.Broken {
			if !slices.Contains(first.answer.Broken, b) {
				first.answer.Broken = append(first.answer.Broken, b)
			}
		}
		for _, p := range e.answer.Places {
			first.placeAt(p.Path, e.answer.Files[p.File], p.Line, p.Column)
		}
	}
	if !first.answer.Fatal {
		first.answer.Spec = first.assemble()
		first.answer.Problems = withoutEchoes(first.answer.Problems)
	}
	return first.answer
}

// assemble is the evaluated specification in JSON.
func (e *evaluation) assemble() []byte {
	fields := e.scalars
	for _, name := range slices.Sorted(maps.Keys(e.entries)) {
		fields = append(fields, fmt.Sprintf("%q:{%s}", name, strings.Join(e.entries[name], ",")))
	}
	return []byte("{" + strings.Join(fields, ",") + "}")
}

// run evaluates this share of a request.
func (e *evaluation) run(r request) {
	files := fstest.MapFS{}
	for name, content := range r.Files {
		files[name] = &fstest.MapFile{Data: []byte(content), Mode: 0o444}
	}
	if !e.parse(r) {
		e.answer.Fatal = true
		return
	}
	user := cueload.Instances([]string{"."}, &cueload.Config{
		FS: files, Dir: path.Join("/", r.Dir), FromFSPath: e.display, Registry: noRegistry{}, Env: []string{},
	})[0]
	if user.Err != nil {
		e.fatal(user.Err)
		return
	}
	for _, f := range user.Files {
		e.places(f)
	}
	value := e.ctx.BuildInstance(user)
	e.schema = e.buildSchema()
	e.spec(value)
}

// fatal ends the evaluation with what is wrong with the package as a whole.
func (e *evaluation) fatal(err error) {
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
	field := func(name string, value []byte) {
		e.scalars = append(e.scalars, fmt.Sprintf("%q:%s", name, value))
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
		e.collection(name, value, collection.key, collection.value)
	}
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

// collection evaluates this share of a map of named objects.
func (e *evaluation) collection(name string, value cue.Value, key, definition string) {
	iterator, err := value.Fields()
	if err != nil {
		e.answer.Broken = append(e.answer.Broken, name)
		if value.Err() == nil && value.IsConcrete() {
			e.add(name, e.where(nil, name, value), shorten(fmt.Sprint(value), longestValue)+" is not allowed here; want a struct: {name: {…}}")
			return
		}
		e.report(err, name, value, cue.Value{})
		return
	}
	keys, values := e.lookup(key), e.lookup(definition)
	for i := 0; iterator.Next(); i++ {
		if i%e.shares != e.share {
			continue
		}
		label := iterator.Selector().Unquoted()
		at := schema.Join(name, label)
		if err := keys.Unify(e.ctx.Encode(label)).Err(); err != nil {
			e.add(at, e.position(at, iterator.Value()), noName(label, e.describe(keys)))
			e.answer.Broken = append(e.answer.Broken, at)
			continue
		}
		if b, ok := e.checked(at, iterator.Value(), values); ok {
			e.entries[name] = append(e.entries[name], fmt.Sprintf("%q:%s", label, b))
		}
	}
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
