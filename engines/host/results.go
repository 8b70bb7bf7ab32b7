package host

import (
	"time"

	"github.com/hactl/hactl/engines/vrrp"
)

// Result is what a health check found last.
type Result struct {
	OK     bool      `json:"ok"`
	Since  time.Time `json:"since"`            // that OK is what it is
	Detail string    `json:"detail,omitempty"` // of a failure
}

// Checks is what the health checks say about a router: the sum of the weights,
// and whether one of them is a fault.
type Checks struct {
	Weight int  `json:"weight,omitempty"`
	Fault  bool `json:"fault,omitempty"`
	// Waiting routers are held because a check has had no result since they
	// were started; a fault that nobody has found.
	Waiting bool `json:"waiting,omitempty"`
}

// Verdict adds up what the results do to a router. What has no result yet does
// nothing to one that works, and keeps one that starts from doing so.
func (c *Config) Verdict(r *Router, results map[string]Result, told bool) (v Checks, complete bool) {
	complete = true
	for _, name := range r.Checks {
		weight := c.Checks[name].Weight
		result, known := results[name]
		switch {
		case !known:
			complete = false
			v.Waiting = v.Waiting || !told
		case weight == 0:
			v.Fault = v.Fault || !result.OK
		case result.OK == (weight > 0):
			v.Weight += weight
		}
	}
	return v, complete
}

// judgeChecks gives a machine what its checks say, where that is new.
func (e *Engine) judgeChecks(r *router) {
	v, complete := e.cfg.Verdict(&r.cfg, e.results, r.told)
	r.told = r.told || complete
	if v == r.checks {
		return
	}
	r.checks = v
	if r.machine != nil {
		e.handle(r, v.Event())
	}
}

// Event is that for the router's machine.
func (c Checks) Event() vrrp.Checks {
	return vrrp.Checks{Weight: c.Weight, Fault: c.Fault || c.Waiting}
}

func (e *Engine) setResults(results map[string]Result) {
	e.now = e.clock()
	for name, r := range results {
		if _, known := e.cfg.Checks[name]; known || len(e.routers) == 0 {
			e.results[name] = r
		}
	}
	for _, r := range e.routers {
		if !r.retiring {
			e.judgeChecks(r)
		}
	}
}
