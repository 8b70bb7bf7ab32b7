package agent

import (
	"context"
	"reflect"
	"sync"
	"time"

	"github.com/hactl/hactl/schema"
)

// checks tries health checks, each in a goroutine of its own.
type checks struct {
	found    func(name string, ok bool, detail string)
	rehearse func(name string) error // nil outside of a lab

	mu      sync.Mutex
	running map[string]*check
}

type check struct {
	spec schema.HealthCheck
	stop context.CancelFunc
	over chan struct{}
}

func newChecks(found func(name string, ok bool, detail string), rehearse func(name string) error) *checks {
	return &checks{found: found, rehearse: rehearse, running: map[string]*check{}}
}

// set makes these the checks that are tried. One that is as it was goes on;
// known says of the others what was found before, if anything was.
func (c *checks) set(ctx context.Context, host string, wanted map[string]schema.HealthCheck, known map[string]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name, r := range c.running {
		if h, ok := wanted[name]; ok && reflect.DeepEqual(h, r.spec) {
			continue
		}
		r.stop()
		<-r.over
		delete(c.running, name)
	}
	for name, h := range wanted {
		if c.running[name] != nil {
			continue
		}
		inner, stop := context.WithCancel(ctx)
		r := &check{spec: h, stop: stop, over: make(chan struct{})}
		c.running[name] = r
		t := tally{rise: max(h.Rise, 1), fall: max(h.Fall, 1)}
		t.ok, t.known = known[name]
		go func() {
			defer close(r.over)
			c.try(inner, host, name, h, t)
		}()
	}
}

// try tries one check until ctx ends: at once, at every interval, and when
// something says that it may have changed.
func (c *checks) try(ctx context.Context, host, name string, h schema.HealthCheck, t tally) {
	p := c.probe(host, name, h)
	defer p.close()
	tick := time.NewTicker(time.Duration(h.Interval))
	defer tick.Stop()
	for {
		limited, cancel := context.WithTimeout(ctx, time.Duration(h.Timeout))
		err := p.try(limited)
		if err != nil && limited.Err() != nil {
			err = errTimeout
		}
		cancel()
		if ctx.Err() != nil {
			return
		}
		if t.add(err == nil) {
			detail := ""
			if err != nil {
				detail = err.Error()
			}
			c.found(name, t.ok, detail)
		}
		select {
		case <-tick.C:
		case <-p.changed:
		case <-ctx.Done():
			return
		}
	}
}

func (c *checks) probe(host, name string, h schema.HealthCheck) probe {
	if c.rehearse == nil {
		return newProbe(host, name, h)
	}
	return probe{try: func(context.Context) error { return c.rehearse(name) }, close: func() {}}
}

// tally makes a state of single results: the first one counts at once, then
// fall failures or rise successes in a row are needed to change it. It begins
// as known if a former agent knew.
type tally struct {
	rise, fall int
	known, ok  bool
	contrary   int // results in a row that speak against ok
}

// add counts a result and reports whether the state is another now.
func (t *tally) add(ok bool) (changed bool) {
	if !t.known {
		t.known, t.ok = true, ok
		return true
	}
	if ok == t.ok {
		t.contrary = 0
		return false
	}
	t.contrary++
	need := t.fall
	if ok {
		need = t.rise
	}
	if t.contrary < need {
		return false
	}
	t.ok, t.contrary = ok, 0
	return true
}

// Rehearsal tries checks as an Agent does, and asks somebody how they do: for
// hosts in memory. Use NewRehearsal.
type Rehearsal struct{ checks *checks }

// NewRehearsal tries nothing before Set. found hears of each result that is new.
func NewRehearsal(ask func(check string) error, found func(check string, ok bool, detail string)) *Rehearsal {
	return &Rehearsal{newChecks(found, ask)}
}

// Set makes these the checks that are tried, until ctx ends.
func (r *Rehearsal) Set(ctx context.Context, wanted map[string]schema.HealthCheck) {
	r.checks.set(ctx, "", wanted, nil)
}
