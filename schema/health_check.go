package schema

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// HealthCheck is what a member of a Virtual Router tries on itself.
type HealthCheck struct {
	// Type is "http", "tcp", "exec", "process" or "interface".
	Type string `json:"type"`
	// Weight below 0 is added to the priority while the check fails, above 0
	// while it does not; 0 makes a failure a fault.
	Weight   int      `json:"weight"`
	Interval Duration `json:"interval"`
	Timeout  Duration `json:"timeout"`
	Rise     int      `json:"rise,omitempty"`
	Fall     int      `json:"fall,omitempty"`

	URL             string            `json:"url,omitempty"`
	Method          string            `json:"method,omitempty"`
	ExpectedCodes   string            `json:"expectedCodes,omitempty"`
	ExpectedBody    string            `json:"expectedBody,omitempty"`
	Header          map[string]string `json:"header,omitempty"`
	FollowRedirects bool              `json:"followRedirects"`
	AllowInsecure   bool              `json:"allowInsecure"`

	Address string `json:"address,omitempty"`

	Command []string `json:"command,omitempty"`
	User    string   `json:"user,omitempty"`

	Process   string `json:"process,omitempty"`
	Processes int    `json:"processes,omitempty"`

	Interface string `json:"interface,omitempty"`
}

// WithDefaults fills in what depends on the type, and takes out what other
// types have.
func (h HealthCheck) WithDefaults() HealthCheck {
	rise, fall := 2, 3
	if h.Type == "process" || h.Type == "interface" {
		rise, fall = 1, 1
	}
	if h.Rise == 0 {
		h.Rise = rise
	}
	if h.Fall == 0 {
		h.Fall = fall
	}
	if h.Type == "http" {
		if h.Method == "" {
			h.Method = "GET"
		}
	} else {
		h.ExpectedCodes = ""
	}
	if h.Type == "exec" && h.User == "" {
		h.User = Unprivileged
	}
	if h.Type != "process" {
		h.Processes = 0
	}
	return h
}

// Unprivileged is the user that checks and hooks run as unless told otherwise.
const Unprivileged = "nobody"

// Codes is a set of HTTP status codes as expectedCodes lists them.
type Codes [][2]int

// ParseCodes reads "200", "2xx" and "200-299,301".
func ParseCodes(list string) (Codes, error) {
	var codes Codes
	for part := range strings.SplitSeq(list, ",") {
		part = strings.TrimSpace(part)
		low, high, _ := strings.Cut(part, "-")
		if digit, any := strings.CutSuffix(part, "xx"); any {
			low, high = digit+"00", digit+"99"
		} else if high == "" {
			high = low
		}
		from, err1 := strconv.Atoi(strings.TrimSpace(low))
		to, err2 := strconv.Atoi(strings.TrimSpace(high))
		if err1 != nil || err2 != nil || from < 100 || to > 599 || from > to {
			return nil, fmt.Errorf("%q: want status codes such as \"200\", \"2xx\" or \"200-299\", separated by commas", part)
		}
		codes = append(codes, [2]int{from, to})
	}
	return codes, nil
}

// Contain tells whether a status code is in the set.
func (c Codes) Contain(code int) bool {
	return slices.ContainsFunc(c, func(r [2]int) bool { return code >= r[0] && code <= r[1] })
}
