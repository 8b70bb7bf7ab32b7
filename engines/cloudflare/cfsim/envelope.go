package cfsim

import (
	"fmt"
	"math"
	"net/http"
	"strconv"
)

// Error codes that appear in more than one place. cloudflare.md, "Errors".
const (
	codeAuth      = 10000
	codeRoute     = 7003
	codeRateLimit = 10100
	codeMalformed = 6007 // UNVERIFIED: a body that is not JSON
	codeInvalid   = 1002 // validation, entitlement, out of range
	codeNotFound  = 1001
	codeNotUnique = 1003
	codeInUse     = 1005
)

// refusal is an error as the API answers it.
type refusal struct {
	status  int
	code    int
	message string
}

func (e *refusal) Error() string { return fmt.Sprintf("%d/%d: %s", e.status, e.code, e.message) }

func refuse(status, code int, format string, args ...any) error {
	return &refusal{status, code, fmt.Sprintf(format, args...)}
}

func invalid(format string, args ...any) error {
	return refuse(http.StatusBadRequest, codeInvalid, format, args...)
}

// reply is a successful answer before it is wrapped in the envelope: one marshalled result, or a list of them. The
// bytes belong to stored objects, which replace and never change them, so that a list can be joined after the lock
// is released.
type reply struct {
	result []byte
	list   [][]byte // used where info is set
	info   *resultInfo
}

// resultInfo is the paging part of a list answer. total_pages is recorded for load balancing, zones and DNS; tunnels,
// routes and virtual networks leave it out.
type resultInfo struct {
	Page       int   `json:"page"`
	PerPage    int64 `json:"per_page"`
	Count      int   `json:"count"`
	TotalCount int   `json:"total_count"`
	TotalPages *int  `json:"total_pages,omitempty"`
}

// one answers a single object.
func one(e interface{ json() []byte }) (reply, error) { return reply{result: e.json()}, nil }

// body answers a value that is not stored.
func body(v any) (reply, error) { return reply{result: encode(v)}, nil }

// whole list answers of the load balancing API are not paginated, and say so with the greatest integer (recorded).
func unpaged(parts [][]byte) (reply, error) {
	n, pages := len(parts), 1
	return reply{list: parts, info: &resultInfo{1, math.MaxInt64, n, n, &pages}}, nil
}

// page is the part of a list that a request asked for.
type page struct{ number, size int }

// paged answers one page of n objects; marshalled is asked for those on the page only.
func paged(p page, n int, marshalled func(i int) []byte) (reply, error) {
	// Compared before multiplying: page and size come from the request and their product may overflow.
	from := n
	if p.number-1 <= n/p.size {
		from = min((p.number-1)*p.size, n)
	}
	to := from + min(p.size, n-from)
	parts := make([][]byte, 0, to-from)
	for i := from; i < to; i++ {
		parts = append(parts, marshalled(i))
	}
	return reply{list: parts, info: &resultInfo{Page: p.number, PerPage: int64(p.size), Count: to - from, TotalCount: n}}, nil
}

// withTotal adds total_pages to the answer of paged.
func withTotal(r reply, err error) (reply, error) {
	if r.info != nil {
		pages := (r.info.TotalCount + int(r.info.PerPage) - 1) / int(r.info.PerPage)
		r.info.TotalPages = &pages
	}
	return r, err
}

// bytes is the envelope of a success.
func (r reply) bytes() []byte {
	size := len(r.result) + 256
	for _, part := range r.list {
		size += len(part) + 1
	}
	b := make([]byte, 0, size)
	b = append(b, `{"success":true,"errors":[],"messages":[],"result":`...)
	if r.info == nil {
		b = append(b, r.result...)
		return append(b, '}')
	}
	b = append(b, '[')
	for i, part := range r.list {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, part...)
	}
	b = append(b, `],"result_info":`...)
	b = append(b, encode(r.info)...)
	return append(b, '}')
}

// bytes is the envelope of an error. 7003 is recorded together with 7000.
func (e *refusal) bytes() []byte {
	type item struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}
	errors := []item{{e.code, e.message}}
	if e.code == codeRoute {
		errors = append(errors, item{7000, "No route for that URI"})
	}
	return encode(struct {
		Success  bool   `json:"success"`
		Errors   []item `json:"errors"`
		Messages []item `json:"messages"`
		Result   any    `json:"result"`
	}{Errors: errors, Messages: []item{}})
}

func writeJSON(w http.ResponseWriter, status int, b []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(status)
	w.Write(b) // a client that has gone away is no concern of the server
}
