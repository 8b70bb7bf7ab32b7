package reconcile

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/hactl/hactl/schema"
)

// PlanVersion is the version of a plan's JSON form.
const PlanVersion = 1

// Action is what a step does.
type Action string

// The actions.
const (
	Create  Action = "create"
	Update  Action = "update"
	Replace Action = "replace"
	Delete  Action = "delete"
)

// Plan is what has to be done, as a plain value. Its JSON form is a contract.
type Plan struct {
	Version  int    `json:"version"`
	Stack    string `json:"stack"`
	Account  string `json:"account,omitempty"`
	Revision string `json:"revision"`
	// Basis holds a hash of every live object that the plan touches, or
	// "absent"; a plan whose basis has moved is not applied.
	Basis map[schema.ID]string `json:"basis,omitempty"`
	// Partial plans leave out steps that no target needs.
	Partial bool `json:"partial,omitempty"`
	// Steps in an order that respects Needs.
	Steps      []Step      `json:"steps"`
	Conflicts  []Finding   `json:"conflicts"`
	Violations []Violation `json:"violations"`
	Notices    []Finding   `json:"notices"`
	// Impact is what traffic notices, in words, the gravest first; see package
	// topology.
	Impact []Finding `json:"impact,omitempty"`
	// Hosts are other machines that were asked; their agents make their changes
	// themselves, once they follow.
	Hosts   []HostPlan `json:"hosts,omitempty"`
	Summary Summary    `json:"summary"`

	// Objects are all that is wanted; a saved plan holds them, so that it can
	// be applied without its specification.
	Objects map[schema.ID]schema.Object `json:"-"`
	// Policy holds the guard rails that a saved plan is checked against again.
	Policy schema.Policy `json:"-"`
}

// HostPlan is what a revision changes on a host that another agent runs.
type HostPlan struct {
	Host string `json:"host"`
	// Revision is what it runs now.
	Revision string `json:"revision,omitempty"`
	// Unknown says why nobody knows what it runs; it may run anything.
	Unknown string    `json:"unknown,omitempty"`
	Steps   []Step    `json:"steps,omitempty"`
	Notices []Finding `json:"notices,omitempty"`
}

// Step is one change to one object.
type Step struct {
	ID     schema.ID     `json:"id"`
	Action Action        `json:"action"`
	Fields []FieldChange `json:"fields,omitempty"`
	// Needs are the steps that have to succeed before this one begins.
	Needs []schema.ID `json:"needs,omitempty"`
	// Reason says why, where the fields do not.
	Reason string `json:"reason,omitempty"`
	// Drift: the specification wants here what was applied already, so the world
	// was changed behind its back. Where nobody knows what was applied, no step is.
	Drift bool `json:"drift,omitempty"`
	// Handle of the live object; empty for a creation.
	Handle Handle `json:"handle,omitempty"`
	// Replaces is the ID under which the live object goes, where another.
	Replaces *schema.ID `json:"replaces,omitempty"`
}

// Finding is something to know about an object.
type Finding struct {
	ID      schema.ID `json:"id"`
	Message string    `json:"message"`
	Handle  Handle    `json:"handle,omitempty"`
}

// Violation is a guard rail that the plan breaks.
type Violation struct {
	Rule    Rule      `json:"rule"`
	ID      schema.ID `json:"id,omitzero"`
	Message string    `json:"message"`
}

// Summary counts steps; Requests are those sent to read what there is.
type Summary struct {
	Create   int `json:"create"`
	Update   int `json:"update"`
	Replace  int `json:"replace"`
	Delete   int `json:"delete"`
	Requests int `json:"requests"`
}

// Empty tells whether there is nothing to do and nothing in the way.
func (p *Plan) Empty() bool { return len(p.Steps) == 0 && len(p.Conflicts) == 0 }

// MarkDrift marks the steps that undo what the specification did not ask for:
// applied holds the fingerprints of what was applied last. One that is empty
// tells nothing.
func (p *Plan) MarkDrift(d Desired, applied map[schema.ID]string) {
	for i := range p.Steps {
		s := &p.Steps[i]
		was, known := applied[s.ID]
		if s.Action == Delete {
			// It was never asked for; a second object is our own doing.
			s.Drift = len(applied) > 0 && !known && !strings.Contains(s.ID.Name, "#")
		} else {
			s.Drift = known && was == Fingerprint(d.Objects[s.ID])
		}
	}
}

// count fills in the summary's counts of steps.
func (p *Plan) count() {
	p.Summary = Summary{Requests: p.Summary.Requests}
	for _, s := range p.Steps {
		switch s.Action {
		case Create:
			p.Summary.Create++
		case Update:
			p.Summary.Update++
		case Replace:
			p.Summary.Replace++
		case Delete:
			p.Summary.Delete++
		}
	}
}

// savedPlan is a plan in a file: with the objects that it makes.
type savedPlan struct {
	*plan
	Policy  schema.Policy                 `json:"policy"`
	Objects map[schema.ID]json.RawMessage `json:"objects"`
}

type plan Plan

// stackName is schema.#StackName: the journal's file is named after it.
var stackName = regexp.MustCompile("^[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?$")

// Save returns the plan's form in a file: its JSON with an additional field
// "objects". There are no secrets in it.
func (p *Plan) Save() ([]byte, error) {
	objects := make(map[schema.ID]json.RawMessage, len(p.Objects))
	for id, o := range p.Objects {
		b, err := json.Marshal(o)
		if err != nil {
			return nil, fmt.Errorf("save plan: %s: %w", id, err)
		}
		objects[id] = b
	}
	return json.MarshalIndent(savedPlan{(*plan)(p), p.Policy, objects}, "", "  ")
}

// Open reads what Save wrote.
func Open(b []byte) (*Plan, error) {
	saved := savedPlan{plan: &plan{}}
	if err := json.Unmarshal(b, &saved); err != nil {
		return nil, fmt.Errorf("this is no saved plan: %w", err)
	}
	p := (*Plan)(saved.plan)
	p.Policy = saved.Policy
	if p.Version != PlanVersion {
		return nil, fmt.Errorf("the plan has version %d; this hactl reads version %d", p.Version, PlanVersion)
	}
	p.Objects = make(map[schema.ID]schema.Object, len(saved.Objects))
	for id, raw := range saved.Objects {
		o, err := schema.Decode(id, raw)
		if err != nil {
			return nil, fmt.Errorf("this is no saved plan: %w", err)
		}
		p.Objects[id] = o
	}
	schema.FindRoutes(p.Objects)
	if p.Stack == "" || p.Account == "" || saved.Objects == nil {
		return nil, errors.New("this plan was not saved with --out: it does not say which stack and account it is for, or what the objects are to be")
	}
	if !stackName.MatchString(p.Stack) {
		return nil, fmt.Errorf("this is no saved plan: %q is no name of a stack", p.Stack)
	}
	for _, s := range p.Steps {
		if _, ok := p.Objects[s.ID]; !ok && s.Action != Delete {
			return nil, fmt.Errorf("this plan was not saved with --out: it does not say what %s is to be", s.ID)
		}
	}
	return p, nil
}

// Follows checks that the steps are those that planning afresh gives, for a
// part of the objects where the plan is partial: a plan that was edited, or
// whose world has moved, is not carried out.
func (p *Plan) Follows(fresh *Plan) error {
	steps := make(map[schema.ID]Step, len(fresh.Steps))
	for _, s := range fresh.Steps {
		steps[s.ID] = s
	}
	if len(p.Steps) != len(fresh.Steps) && !p.Partial {
		return fmt.Errorf("it has %d steps, and planning afresh gives %d", len(p.Steps), len(fresh.Steps))
	}
	seen := map[schema.ID]bool{}
	for _, s := range p.Steps {
		want, ok := steps[s.ID]
		if !ok || seen[s.ID] {
			return fmt.Errorf("the step %q of %s is not one that planning afresh gives", s.Action, s.ID)
		}
		seen[s.ID] = true
		if p.Partial { // What a part needs may not be all that the whole needs.
			want.Needs = slices.DeleteFunc(slices.Clone(want.Needs), func(n schema.ID) bool { return !slices.Contains(s.Needs, n) })
		}
		want.Drift = s.Drift // What is said of it, not what it does.
		a, err1 := json.Marshal(s)
		b, err2 := json.Marshal(want)
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		if string(a) != string(b) {
			return fmt.Errorf("the step %q of %s is not what planning afresh gives", s.Action, s.ID)
		}
	}
	return nil
}

// Moved compares the plan's basis with what there is now, and returns a
// finding for each object that is no longer as the plan found it.
func (p *Plan) Moved(l Live) []Finding {
	var moved []Finding
	now := basis(l, p.Basis)
	for _, id := range sortedIDs(p.Basis) {
		switch before, after := p.Basis[id], now[id]; {
		case before == after:
		case before == absent:
			moved = append(moved, Finding{ID: id, Message: "exists now"})
		case after == absent:
			moved = append(moved, Finding{ID: id, Message: "is gone"})
		default:
			moved = append(moved, Finding{ID: id, Message: "was changed"})
		}
	}
	for _, u := range l.Unknown {
		for _, id := range sortedIDs(p.Basis) {
			if u.Covers(id) {
				moved = append(moved, Finding{ID: id, Message: "cannot be read: " + u.Err.Error()})
			}
		}
	}
	return moved
}

const absent = "absent"

// basis hashes the live state of the given objects.
func basis[V any](l Live, ids map[schema.ID]V) map[schema.ID]string {
	b := make(map[schema.ID]string, len(ids))
	for id := range ids {
		b[id] = absent
	}
	for _, e := range l.Entries {
		id := e.Object.ID()
		if _, ok := ids[id]; ok && !e.ReadOnly {
			if b[id] == absent {
				b[id] = hash(e)
			} else {
				b[id] += " " + hash(e)
			}
		}
	}
	return b
}
