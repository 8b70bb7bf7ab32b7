package schema

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// minCheckInterval keeps a check from using up its host.
const minCheckInterval = Duration(10 * time.Millisecond)

func (c *checker) healthChecks() {
	for _, name := range sortedKeys(c.spec.Checks) {
		h, path := c.spec.Checks[name], Join("checks", name)
		c.span(path+".interval", h.Interval, minCheckInterval, Duration(time.Hour))
		c.span(path+".timeout", h.Timeout, minCheckInterval, Duration(time.Hour))
		if h.Timeout > h.Interval {
			c.errorf(path+".timeout", "%s is longer than the interval of %s: a try has to end before the next begins", h.Timeout, h.Interval)
		}
		c.typeFields(path, h)
		if h.Type == "http" {
			if _, err := ParseCodes(h.ExpectedCodes); err != nil {
				c.errorf(path+".expectedCodes", "%v", err)
			}
			if h.Method == "HEAD" && h.ExpectedBody != "" {
				c.errorf(path+".expectedBody", "the answer to HEAD has no body: use GET")
			}
		}
		c.program(path+".command", h.Command)
		if h.Type == "tcp" && h.Address != "" {
			c.hostPort(path+".address", h.Address)
		}
	}
}

func (c *checker) span(path string, d, least, most Duration) {
	if d < least || d > most {
		c.errorf(path, "%s: from %s to %s", d, least, most)
	}
}

func (c *checker) hostPort(path, s string) {
	host, port, err := net.SplitHostPort(s)
	if n, perr := strconv.Atoi(port); err != nil || perr != nil || host == "" || n < 1 || n > 65535 {
		c.errorf(path, "%q: want host:port, such as \"127.0.0.1:443\" or \"[::1]:443\"", s)
	}
}

// typeFields checks that a check has what its type needs, and nothing that
// only another type would heed.
func (c *checker) typeFields(path string, h HealthCheck) {
	needed := map[string]string{"http": "url", "tcp": "address", "exec": "command", "process": "process", "interface": "interface"}
	for _, f := range []struct {
		name, of string
		set      bool
	}{
		{"url", "http", h.URL != ""}, {"method", "http", h.Method != ""}, {"expectedCodes", "http", cmp.Or(h.ExpectedCodes, "2xx") != "2xx"},
		{"expectedBody", "http", h.ExpectedBody != ""}, {"header", "http", len(h.Header) > 0},
		{"followRedirects", "http", h.FollowRedirects}, {"allowInsecure", "http", h.AllowInsecure},
		{"address", "tcp", h.Address != ""},
		{"command", "exec", len(h.Command) > 0}, {"user", "exec", h.User != ""},
		{"process", "process", h.Process != ""}, {"processes", "process", h.Processes > 1},
		{"interface", "interface", h.Interface != ""},
	} {
		switch {
		case f.of != h.Type && f.set:
			c.errorf(path+"."+f.name, "a check of type %q has no %s: that is for %q", h.Type, f.name, f.of)
		case f.name == needed[h.Type] && !f.set:
			c.errorf(path, "%s is required for a check of type %q", f.name, h.Type)
		}
	}
}

func (c *checker) hooks() {
	for _, name := range sortedKeys(c.spec.Hooks) {
		h, path := c.spec.Hooks[name], Join("hooks", name)
		c.span(path+".timeout", h.Timeout, minCheckInterval, Duration(time.Hour))
		c.program(path+".command", h.Command)
	}
}

// program wants an absolute path: what is run must not depend on a PATH.
func (c *checker) program(path string, command []string) {
	if len(command) > 0 && !strings.HasPrefix(command[0], "/") {
		c.errorf(path+"[0]", "%q: want the absolute path of a program; it is run without a shell", command[0])
	}
}

// uses checks the names of checks or hooks in a list.
func uses[V any](c *checker, path, collection string, list []string, m map[string]V) {
	for i, name := range list {
		at := fmt.Sprintf("%s[%d]", path, i)
		if reference(c, at, collection, name, m) && slices.Contains(list[:i], name) {
			c.errorf(at, "%q stands twice", name)
		}
	}
}
