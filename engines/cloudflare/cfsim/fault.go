package cfsim

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// FaultKind says how a request goes wrong.
type FaultKind string

const (
	// FaultStatus refuses without any effect, with an error envelope.
	FaultStatus FaultKind = "status"
	// FaultDelay answers normally, later.
	FaultDelay FaultKind = "delay"
	// FaultLost lets the request take effect and drops the connection without an answer.
	FaultLost FaultKind = "lost"
	// FaultReset drops the connection before the request has any effect.
	FaultReset FaultKind = "reset"
	// FaultTruncate lets the request take effect and cuts the answer's body in the middle.
	FaultTruncate FaultKind = "truncate"
	// FaultGatewayHTML answers 502 with an HTML page, without any effect.
	FaultGatewayHTML FaultKind = "html"
	// FaultLostStatus lets the request take effect and answers an error (500 unless told).
	FaultLostStatus FaultKind = "lost-status"
)

var faultKinds = []FaultKind{FaultStatus, FaultDelay, FaultLost, FaultReset, FaultTruncate, FaultGatewayHTML, FaultLostStatus}

// Fault is one thing that goes wrong on purpose. The first installed fault that applies to a request is used.
//
//	Nth  Count  strikes
//	0    0      every matching request
//	0    c      the next c matching requests
//	n    0      the nth matching request from now, once
//	n    c      c matching requests, from the nth on
type Fault struct {
	Method     string         // "" or "*" is any
	Path       *regexp.Regexp // matched anywhere in the path after /client/v4; nil is any
	Nth        int
	Count      int
	Kind       FaultKind
	Status     int           // status and lost-status; default 503 and 500
	Code       int           // the error's code; default 10100 with 429, 1000 otherwise
	Delay      time.Duration // before anything else; the whole of FaultDelay
	RetryAfter time.Duration // sets Retry-After (whole seconds, rounded up)
}

// ParseFault reads the textual form, which is what String writes:
//
//	METHOD PATH KIND [nth=N] [count=N] [status=N] [code=N] [delay=D] [retry-after=D]
//
// METHOD is a method or * for any; PATH a regular expression that is matched anywhere in the path after /client/v4,
// or * for any; KIND one of status, delay, lost, reset, truncate, html, lost-status; D a duration such as 500ms.
//
//	POST /pools lost nth=2
//	* * status status=429 retry-after=3s count=1
//	GET /load_balancers/monitors$ delay delay=2s
func ParseFault(text string) (Fault, error) {
	words := strings.Fields(text)
	if len(words) < 3 {
		return Fault{}, fmt.Errorf("fault %q: want METHOD PATH KIND [key=value...]", text)
	}
	f := Fault{Method: words[0], Kind: FaultKind(words[2])}
	if f.Method != strings.ToUpper(f.Method) {
		return Fault{}, fmt.Errorf("fault %q: method %q is not in upper case", text, f.Method)
	}
	if words[1] != "*" {
		re, err := regexp.Compile(words[1])
		if err != nil {
			return Fault{}, fmt.Errorf("fault %q: path: %w", text, err)
		}
		f.Path = re
	}
	for _, word := range words[3:] {
		key, value, _ := strings.Cut(word, "=")
		if err := f.set(key, value); err != nil {
			return Fault{}, fmt.Errorf("fault %q: %s: %w", text, word, err)
		}
	}
	if err := f.valid(); err != nil {
		return Fault{}, fmt.Errorf("fault %q: %w", text, err)
	}
	return f, nil
}

func (f *Fault) set(key, value string) (err error) {
	switch key {
	case "nth":
		f.Nth, err = strconv.Atoi(value)
	case "count":
		f.Count, err = strconv.Atoi(value)
	case "status":
		f.Status, err = strconv.Atoi(value)
	case "code":
		f.Code, err = strconv.Atoi(value)
	case "delay":
		f.Delay, err = time.ParseDuration(value)
	case "retry-after":
		f.RetryAfter, err = time.ParseDuration(value)
	default:
		err = fmt.Errorf("unknown key")
	}
	return err
}

func (f Fault) valid() error {
	known := false
	for _, k := range faultKinds {
		known = known || k == f.Kind
	}
	switch {
	case !known:
		return fmt.Errorf("unknown kind %q, want one of %q", f.Kind, faultKinds)
	case f.Nth < 0 || f.Count < 0 || f.Delay < 0 || f.RetryAfter < 0:
		return fmt.Errorf("negative value")
	case f.Status != 0 && (f.Status < 400 || f.Status > 599):
		return fmt.Errorf("status %d is not an error status", f.Status)
	case f.Kind == FaultDelay && f.Delay == 0:
		return fmt.Errorf("delay needs delay=")
	}
	return nil
}

// String is the form that ParseFault reads.
func (f Fault) String() string {
	method, path := f.Method, "*"
	if method == "" {
		method = "*"
	}
	if f.Path != nil {
		path = f.Path.String()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s", method, path, f.Kind)
	for _, kv := range []struct {
		key   string
		value int
	}{{"nth", f.Nth}, {"count", f.Count}, {"status", f.Status}, {"code", f.Code}} {
		if kv.value != 0 {
			fmt.Fprintf(&b, " %s=%d", kv.key, kv.value)
		}
	}
	if f.Delay != 0 {
		fmt.Fprintf(&b, " delay=%s", f.Delay)
	}
	if f.RetryAfter != 0 {
		fmt.Fprintf(&b, " retry-after=%s", f.RetryAfter)
	}
	return b.String()
}

// installed is a fault with the number of requests it has matched.
type installed struct {
	Fault
	seen int
}

// strikes counts a matching request and tells whether the fault applies to it.
func (f *installed) strikes(method, path string) bool {
	if f.Method != "" && f.Method != "*" && f.Method != method || f.Path != nil && !f.Path.MatchString(path) {
		return false
	}
	f.seen++
	first, count := max(f.Nth, 1), f.Count
	if count == 0 && f.Nth > 0 {
		count = 1
	}
	return f.seen >= first && (count == 0 || f.seen < first+count)
}

// Inject installs a fault; it stays until ClearFaults. It panics on a fault that ParseFault would not accept.
func (s *Server) Inject(f Fault) {
	if err := f.valid(); err != nil {
		panic("cfsim: inject: " + err.Error())
	}
	s.front.Lock()
	defer s.front.Unlock()
	s.faults = append(s.faults, &installed{Fault: f})
}

// ClearFaults removes all faults.
func (s *Server) ClearFaults() {
	s.front.Lock()
	defer s.front.Unlock()
	s.faults = nil
}

// pick returns the fault for a request. Every fault counts every request it matches, whether or not an earlier one
// is used. The caller holds front.
func (s *Server) pick(method, path string) *Fault {
	var chosen *Fault
	for _, f := range s.faults {
		if f.strikes(method, path) && chosen == nil {
			chosen = &f.Fault
		}
	}
	return chosen
}

// refusal is the envelope error of a fault that answers one.
func (f *Fault) refusal() *refusal {
	status, code := f.Status, f.Code
	if status == 0 {
		status = http.StatusServiceUnavailable
		if f.Kind == FaultLostStatus {
			status = http.StatusInternalServerError
		}
	}
	if code == 0 {
		code = 1000
		if status == http.StatusTooManyRequests {
			code = codeRateLimit
		}
	}
	return &refusal{status, code, "injected fault: " + string(f.Kind)}
}
