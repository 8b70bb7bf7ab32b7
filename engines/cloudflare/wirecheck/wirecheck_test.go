package wirecheck_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/hactl/hactl/engines/cloudflare/wirecheck"
)

// document is a small API in the style of the real file: the envelope comes by allOf, results are unions.
const document = `{
"openapi": "3.0.3", "info": {"title": "t", "version": "1"},
"paths": {"/things/{id}": {
  "parameters": [{"name": "id", "in": "path", "required": true, "schema": {"type": "string"}}],
  "get": {"parameters": [{"name": "page", "in": "query", "schema": {"type": "integer"}}],
    "responses": {"200": {"description": "d", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/answer"}}}}}},
  "put": {"requestBody": {"required": true, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/thing"}}}},
    "responses": {"200": {"description": "d", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/answer"}}}}}}}},
"components": {"schemas": {
  "thing": {"type": "object", "required": ["name"], "properties": {
    "name": {"type": "string"}, "id": {"type": "string", "readOnly": true},
    "parts": {"type": "array", "items": {"type": "object", "properties": {"weight": {"type": "number", "maximum": 1}}}},
    "header": {"type": "object"}, "sizes": {"type": "object", "additionalProperties": {"type": "object", "properties": {"cm": {"type": "number"}}}}}},
  "answer": {"allOf": [{"type": "object", "required": ["success"], "properties": {"success": {"type": "boolean"}, "result": {"nullable": true}}},
    {"type": "object", "properties": {"result": {"anyOf": [{"$ref": "#/components/schemas/thing"}, {"type": "object", "properties": {"kind": {"type": "string"}}}]}}}]}}}}`

// exchange sends one request through a checker to a server that answers with the given body.
func exchange(t *testing.T, method, target, request, answer string) *wirecheck.Checker {
	t.Helper()
	check, err := wirecheck.FromDocument(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if got, _ := io.ReadAll(r.Body); string(got) != request {
			t.Errorf("the handler read %q, want %q", got, request)
		}
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, answer)
	}), []byte(document))
	if err != nil {
		t.Fatal(err)
	}
	req := httptest.NewRequest(method, "http://host"+wirecheck.Prefix+target, strings.NewReader(request))
	req.Header.Set("Content-Type", "application/json")
	rec := httptest.NewRecorder()
	check.ServeHTTP(rec, req)
	if rec.Body.String() != answer {
		t.Errorf("the client read %q, want %q", rec.Body, answer)
	}
	return check
}

func TestReports(t *testing.T) {
	const good = `{"success":true,"result":{"name":"n"}}`
	tests := []struct {
		name, method, target, request, answer string
		want                                  string // "" for no report
	}{
		{"a good exchange", "PUT", "/things/1", `{"name":"n","parts":[{"weight":0.5}],"header":{"X":1},"sizes":{"a":{"cm":1}}}`, good, ""},
		{"a good answer of the union's other kind", "GET", "/things/1?page=2", "", `{"success":true,"result":{"name":"n","kind":"k"}}`, ""},
		{"unknown field in a request", "PUT", "/things/1", `{"name":"n","nmae":"x"}`, good, "request: field nmae: unknown"},
		{"unknown field in a list", "PUT", "/things/1", `{"name":"n","parts":[{},{"wieght":1}]}`, good, "request: field parts[1].wieght: unknown"},
		{"unknown field in an open map's value", "PUT", "/things/1", `{"name":"n","sizes":{"a":{"inch":1}}}`, good, "request: field sizes.a.inch: unknown"},
		{"wrong type in a request", "PUT", "/things/1", `{"name":7}`, good, "name: value must be a string"},
		{"out of range in a request", "PUT", "/things/1", `{"name":"n","parts":[{"weight":2}]}`, good, "parts.0.weight"},
		{"missing required field", "PUT", "/things/1", `{}`, good, `property "name" is missing`},
		{"read-only field in a request", "PUT", "/things/1", `{"name":"n","id":"1"}`, good, "readOnly"},
		{"missing body", "PUT", "/things/1", "", good, "request"},
		{"unknown query parameter", "GET", "/things/1?pgae=2", "", good, "query parameter pgae: unknown"},
		{"wrong query parameter", "GET", "/things/1?page=two", "", good, "page"},
		{"body where none is declared", "GET", "/things/1", `{"a":1}`, good, "request"},
		{"unknown field in a response", "GET", "/things/1", "", `{"success":true,"result":{"name":"n","extra":1}}`, "response 200: field result.extra: unknown"},
		{"wrong type in a response", "GET", "/things/1", "", `{"success":"yes","result":{"name":"n"}}`, "success: value must be a boolean"},
		{"missing field in a response", "GET", "/things/1", "", `{"result":{"name":"n"}}`, `property "success" is missing`},
		{"response that is not JSON", "GET", "/things/1", "", `{"success":`, "response 200"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			check := exchange(t, tt.method, tt.target, tt.request, tt.answer)
			got := check.Reports()
			if tt.want == "" && len(got) > 0 {
				t.Errorf("reports: %q, want none", got)
			}
			if tt.want != "" && !slices.ContainsFunc(got, func(r string) bool { return strings.Contains(r, tt.want) }) {
				t.Errorf("reports: %q, want one with %q", got, tt.want)
			}
			if check.Checked() != 1 || len(check.Unchecked()) != 0 {
				t.Errorf("checked %d, unchecked %q", check.Checked(), check.Unchecked())
			}
		})
	}
}

func TestUndeclaredPathIsUnchecked(t *testing.T) {
	check := exchange(t, "POST", "/others", `{"a":1}`, `{}`)
	if got := check.Unchecked(); !slices.Equal(got, []string{"POST /others"}) || check.Checked() != 0 {
		t.Errorf("unchecked %q, checked %d", got, check.Checked())
	}
	if got := check.Reports(); len(got) > 0 {
		t.Errorf("reports: %q, want none", got)
	}
}

// TestBrokenAnswersAreSkipped: faults are not the handler's fault.
func TestBrokenAnswersAreSkipped(t *testing.T) {
	aborted := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"succ`)
		panic(http.ErrAbortHandler)
	})
	gateway := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusBadGateway)
	})
	for name, next := range map[string]http.Handler{"aborted": aborted, "gateway page": gateway} {
		t.Run(name, func(t *testing.T) {
			check, err := wirecheck.FromDocument(next, []byte(document))
			if err != nil {
				t.Fatal(err)
			}
			srv := httptest.NewServer(check)
			defer srv.Close()
			if res, err := http.Get(srv.URL + wirecheck.Prefix + "/things/1"); err == nil {
				res.Body.Close()
			}
			srv.Close() // waits for the handler
			if got := check.Reports(); len(got) > 0 || check.Checked() != 1 {
				t.Errorf("reports: %q, checked %d", got, check.Checked())
			}
		})
	}
}

func TestAbsentFile(t *testing.T) {
	t.Setenv("HACTL_OPENAPI", t.TempDir()+"/none.json")
	if _, err := wirecheck.New(http.NotFoundHandler()); !errors.Is(err, wirecheck.ErrNoSchema) {
		t.Errorf("got %v, want ErrNoSchema", err)
	}
}

// TestRealFile: what the file itself gets wrong and what recordings add are no reports; the rest is.
func TestRealFile(t *testing.T) {
	answer := `{"success":true,"errors":[],"messages":[],"result":[{"id":"7c0e8d4e-7a0e-4a8e-8a53-0d5b8f0e6c11","name":"n","shoe":1,"token":"t"}],
		"result_info":{"page":1,"per_page":20,"count":1,"total_count":1}}`
	check, err := wirecheck.New(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, answer)
	}))
	if errors.Is(err, wirecheck.ErrNoSchema) {
		t.Skip("openapi check not run: file absent")
	}
	if err != nil {
		t.Fatal(err)
	}
	target := wirecheck.Prefix + "/accounts/0123456789abcdef0123456789abcdef/cfd_tunnel"
	check.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", target, nil))
	want := []string{"GET /accounts/{account_id}/cfd_tunnel: response 200: field result[0].shoe: unknown"}
	if got := check.Reports(); !slices.Equal(got, want) {
		t.Errorf("reports: %q, want %q", got, want)
	}
}
