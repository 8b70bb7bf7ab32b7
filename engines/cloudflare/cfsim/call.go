package cfsim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxBody is far above any body the API documents.
const maxBody = 32 << 20

// answer carries a decoded request into the mux and the outcome out of it. It is a ResponseWriter only because the
// mux wants one.
type answer struct {
	now    time.Time
	sent   any  // the decoded body
	absent bool // there was no body
	reply  reply
	err    *refusal
	done   bool
}

func (a *answer) Header() http.Header         { return http.Header{} }
func (a *answer) WriteHeader(int)             {}
func (a *answer) Write(b []byte) (int, error) { return len(b), nil }

// bytes is the status and the body to send.
func (a *answer) bytes(r *http.Request) (int, []byte) {
	if a.err == nil && !a.done {
		a.err = noRoute(Prefix + r.URL.Path) // the mux itself answered: a redirect to a cleaned path
	}
	if a.err != nil {
		return a.err.status, a.err.bytes()
	}
	return http.StatusOK, a.reply.bytes()
}

// readBody decodes the request's body; numbers keep their text until a shape reads them.
func (a *answer) readBody(w http.ResponseWriter, r *http.Request) *refusal {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return &refusal{http.StatusBadRequest, codeMalformed, "read the request body: " + err.Error()}
	}
	if len(bytes.TrimSpace(b)) == 0 {
		a.absent = true
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	if err := dec.Decode(&a.sent); err != nil {
		return &refusal{http.StatusBadRequest, codeMalformed, "Malformed JSON in request body: " + err.Error()}
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return &refusal{http.StatusBadRequest, codeMalformed, "Malformed JSON in request body: more than one value"}
	}
	return nil
}

// call is one request as a resource's handler sees it. The handler holds Server.mu.
type call struct {
	*http.Request
	now   string // as written into objects
	query url.Values
	ans   *answer
}

// id returns the path's object id.
func (c *call) id() string { return c.PathValue("id") }

// read checks the body against a shape. partial is a PATCH.
func (c *call) read(s *shape, partial bool) (object, error) {
	sent := c.ans.sent
	if c.ans.absent {
		return nil, invalid("body: is required")
	}
	v, err := s.read("", sent, partial)
	if err != nil {
		return nil, err
	}
	o, _ := v.(object)
	return o, nil
}

// handle registers a handler below Prefix. What the pattern names is checked before the handler runs: {account} must
// be this account, {zone} a zone of it, {id} well formed; query parameters outside the given list are refused, so
// that a misspelt filter is not taken for an unfiltered list.
func (s *Server) handle(pattern string, h func(*call) (reply, error), query ...string) {
	wellFormed := isHexID
	if strings.Contains(pattern, "/cfd_tunnel") || strings.Contains(pattern, "/teamnet") {
		wellFormed = isUUID
	}
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		a := w.(*answer)
		a.done = true
		c := &call{Request: r, now: stamp(a.now), query: r.URL.Query(), ans: a}
		if err := s.admit(c, wellFormed, query); err != nil {
			a.err = asRefusal(err)
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		var err error
		if a.reply, err = h(c); err != nil {
			a.err = asRefusal(err)
		}
	})
}

func (s *Server) admit(c *call, wellFormed func(string) error, allowed []string) error {
	if account := c.PathValue("account"); account != "" && account != s.opt.Account {
		return refuse(http.StatusForbidden, codeAuth, "Authentication error")
	}
	if id := c.PathValue("zone"); id != "" {
		if isHexID(id) != nil {
			return noRoute(Prefix + c.URL.Path)
		}
		if s.zones[id] == nil { // the map does not change after New
			return refuse(http.StatusForbidden, codeAuth, "Authentication error")
		}
	}
	if id := c.id(); id != "" && wellFormed(id) != nil {
		return noRoute(Prefix + c.URL.Path)
	}
	for _, name := range sortedKeys(c.query) {
		if !slices.Contains(allowed, name) {
			return invalid("query parameter %s: unknown or not simulated", name)
		}
		if len(c.query[name]) != 1 {
			return invalid("query parameter %s: given more than once", name)
		}
	}
	if c.Method == http.MethodDelete && !c.ans.absent {
		// Some DELETEs declare an empty object as their body.
		if _, err := c.read(s.shapes.empty, false); err != nil {
			return err
		}
	}
	return nil
}

// page reads page and per_page. per_page above the maximum is refused: the OpenAPI file declares a maximum, and no
// recording shows what the server does beyond it (UNVERIFIED).
func (c *call) page(size, lowest, highest int) (page, error) {
	p := page{1, size}
	if v, ok := c.query["page"]; ok {
		n, err := strconv.Atoi(v[0])
		if err != nil || n < 1 {
			return p, invalid("query parameter page: %q is not a number from 1", v[0])
		}
		p.number = n
	}
	if v, ok := c.query["per_page"]; ok {
		n, err := strconv.Atoi(v[0])
		if err != nil || n < lowest || n > highest {
			return p, invalid("query parameter per_page: %q is not a number from %d to %d", v[0], lowest, highest)
		}
		p.size = n
	}
	return p, nil
}

// boolean reads a query parameter; nil where it is absent.
func (c *call) boolean(name string) (*bool, error) {
	v, ok := c.query[name]
	if !ok {
		return nil, nil
	}
	switch v[0] {
	case "true", "false":
		b := v[0] == "true"
		return &b, nil
	}
	return nil, invalid("query parameter %s: %q is not true or false", name, v[0])
}

// oneOf reads a query parameter with an enumeration; "" where it is absent.
func (c *call) oneOf(name string, values ...string) (string, error) {
	v, ok := c.query[name]
	if !ok {
		return "", nil
	}
	if !slices.Contains(values, v[0]) {
		return "", invalid("query parameter %s: %q is not one of %q", name, v[0], values)
	}
	return v[0], nil
}

// liveness reads is_deleted: soft-deleted objects are listed unless it is false (recorded).
func (c *call) liveness() (func(*entry) bool, error) {
	want, err := c.boolean("is_deleted")
	return func(e *entry) bool { return want == nil || e.deleted() == *want }, err
}

func retryAfter(d time.Duration) string { return fmt.Sprint(wholeSeconds(d)) }

// writeGatewayPage answers as the edge does when the API behind it is down.
func writeGatewayPage(w http.ResponseWriter) {
	page := "<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head>\n" +
		"<body><center><h1>502 Bad Gateway</h1></center><hr><center>cloudflare</center></body></html>\n"
	w.Header().Set("Content-Type", "text/html")
	w.Header().Set("Content-Length", strconv.Itoa(len(page)))
	w.WriteHeader(http.StatusBadGateway)
	io.WriteString(w, page)
}

// truncate announces the whole body, sends half of it and drops the connection.
func truncate(w http.ResponseWriter, status int, b []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(status)
	w.Write(b[:len(b)/2])
	http.NewResponseController(w).Flush() // before the abort, which drops what is buffered
	panic(http.ErrAbortHandler)
}
