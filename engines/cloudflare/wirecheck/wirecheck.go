package wirecheck

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
)

// ErrNoSchema says that there is no OpenAPI file to check against.
var ErrNoSchema = errors.New("openapi file absent")

// Prefix is where the API lives on the checked handler.
const Prefix = "/client/v4"

// Checker is the handler in between. It is safe for concurrent use.
type Checker struct {
	next    http.Handler
	router  routers.Router
	options *openapi3filter.Options

	mu        sync.Mutex
	checked   int
	reports   []string
	unchecked map[string]bool
}

// File returns the path of the OpenAPI file: HACTL_OPENAPI, or the one in the directory shared beside the
// repository. It may not exist.
func File() string {
	if path := os.Getenv("HACTL_OPENAPI"); path != "" {
		return path
	}
	dir, err := os.Getwd()
	for err == nil {
		if _, missing := os.Stat(filepath.Join(dir, "go.mod")); missing == nil || dir == filepath.Dir(dir) {
			break
		}
		dir = filepath.Dir(dir)
	}
	return filepath.Join(dir, "..", "shared", "openapi", "cloudflare-subset.json")
}

// New returns a Checker in front of next. The error is ErrNoSchema where the file is absent.
func New(next http.Handler) (*Checker, error) {
	path := File()
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", ErrNoSchema, path)
	}
	if err != nil {
		return nil, fmt.Errorf("read the openapi file: %w", err)
	}
	return FromDocument(next, b)
}

// FromDocument is New with the document's bytes.
func FromDocument(next http.Handler, document []byte) (*Checker, error) {
	doc, err := openapi3.NewLoader().LoadFromData(document)
	if err != nil {
		return nil, fmt.Errorf("load the openapi file: %w", err)
	}
	mend(doc)
	doc.Servers = openapi3.Servers{{URL: Prefix}}
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		return nil, fmt.Errorf("route the openapi file: %w", err)
	}
	options := &openapi3filter.Options{
		MultiError:                        true,
		SkipSettingDefaults:               true,
		RejectWhenRequestBodyNotSpecified: true,
		AuthenticationFunc:                openapi3filter.NoopAuthenticationFunc,
	}
	return &Checker{next: next, router: router, options: options, unchecked: map[string]bool{}}, nil
}

// Reports returns what was found, sorted and without repetition.
func (c *Checker) Reports() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Compact(slices.Sorted(slices.Values(c.reports)))
}

// Unchecked returns the requests that the file has no operation for, as "METHOD path", sorted.
func (c *Checker) Unchecked() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	for at := range c.unchecked {
		out = append(out, at)
	}
	slices.Sort(out)
	return out
}

// Checked returns how many requests were checked, so that a test can tell silence from absence.
func (c *Checker) Checked() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.checked
}

func (c *Checker) report(at, part string, found []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range found {
		c.reports = append(c.reports, at+": "+part+": "+f)
	}
}

// ServeHTTP checks the request, lets next answer, and checks the answer. An answer that next aborts is not checked;
// neither is an error page that is not JSON.
func (c *Checker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	route, params, err := c.router.FindRoute(r)
	if err != nil {
		c.mu.Lock()
		c.unchecked[r.Method+" "+strings.TrimPrefix(r.URL.Path, Prefix)] = true
		c.mu.Unlock()
		c.next.ServeHTTP(w, r)
		return
	}
	sent, err := io.ReadAll(r.Body)
	r.Body.Close()
	if err != nil {
		http.Error(w, "wirecheck: read the request: "+err.Error(), http.StatusBadRequest)
		return
	}
	at := r.Method + " " + route.Path
	in := &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route, Options: c.options}
	c.report(at, "request", c.request(in, sent))
	c.mu.Lock()
	c.checked++
	c.mu.Unlock()

	r.Body = io.NopCloser(bytes.NewReader(sent))
	tee := &tee{ResponseWriter: w, status: http.StatusOK}
	c.next.ServeHTTP(tee, r)      // an abort passes through and leaves the answer unchecked
	if r.Context().Err() == nil { // Else the client has gone and nothing was written.
		c.report(at, fmt.Sprintf("response %d", tee.status), c.response(in, tee))
	}
}

func (c *Checker) request(in *openapi3filter.RequestValidationInput, sent []byte) []string {
	r := in.Request
	r.Body = io.NopCloser(bytes.NewReader(sent))
	found := messages(openapi3filter.ValidateRequest(r.Context(), in))
	declared := map[string]bool{}
	for _, p := range slices.Concat(in.Route.PathItem.Parameters, in.Route.Operation.Parameters) {
		if p.Value.In == openapi3.ParameterInQuery {
			declared[p.Value.Name] = true
		}
	}
	for name := range r.URL.Query() {
		if !declared[name] {
			found = append(found, "query parameter "+name+": unknown")
		}
	}
	if body := in.Route.Operation.RequestBody; body != nil && len(bytes.TrimSpace(sent)) > 0 {
		found = append(found, unknown(body.Value.Content, sent, func(string) bool { return false })...)
	}
	return found
}

func (c *Checker) response(in *openapi3filter.RequestValidationInput, got *tee) []string {
	kind, _, _ := mime.ParseMediaType(got.Header().Get("Content-Type"))
	if kind != "application/json" && got.status >= 300 {
		return nil
	}
	out := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: in, Status: got.status, Header: got.Header(), Options: c.options,
		Body: io.NopCloser(bytes.NewReader(got.body.Bytes())),
	}
	found := messages(openapi3filter.ValidateResponse(in.Request.Context(), out))
	declared := in.Route.Operation.Responses.Status(got.status)
	if declared == nil {
		return found
	}
	known := func(path string) bool { return isRecorded(in.Route.Path, path) }
	return append(found, unknown(declared.Value.Content, got.body.Bytes(), known)...)
}

// messages flattens kin-openapi's nested errors into the places they are about.
func messages(err error) []string {
	var all []string
	switch err := err.(type) {
	case nil:
	case openapi3.MultiError:
		for _, e := range err {
			all = append(all, messages(e)...)
		}
	case *openapi3filter.RequestError:
		if err.Parameter == nil && err.Err != nil {
			return messages(err.Err)
		}
		all = append(all, err.Error())
	case *openapi3filter.ResponseError:
		if err.Err != nil {
			return messages(err.Err)
		}
		all = append(all, err.Error())
	case *openapi3.SchemaError:
		if err.Origin != nil { // a combination; the reason is inside
			return messages(err.Origin)
		}
		all = append(all, strings.Join(err.JSONPointer(), ".")+": "+err.Reason)
	default:
		if inner := errors.Unwrap(err); inner != nil { // the groups of allOf and oneOf
			return messages(inner)
		}
		all = append(all, err.Error())
	}
	return all
}

// tee keeps a copy of an answer.
type tee struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (t *tee) WriteHeader(status int) {
	t.status = status
	t.ResponseWriter.WriteHeader(status)
}

func (t *tee) Write(b []byte) (int, error) {
	t.body.Write(b)
	return t.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController flush.
func (t *tee) Unwrap() http.ResponseWriter { return t.ResponseWriter }
