package reconcile

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/hactl/hactl/schema"
)

// Rule names a guard rail, as --allow takes it.
type Rule string

// The guard rails.
const (
	RuleEmpty     Rule = "empty"       // the specification is empty and objects are owned
	RuleDeletions Rule = "deletions"   // more deletions than the policy allows
	RuleProtected Rule = "protected"   // a protected object would be deleted, replaced or retargeted
	RuleNoOrigin  Rule = "no-origin"   // a hostname would have no enabled origin, or lose its last way to one
	RuleConnected Rule = "live-tunnel" // a tunnel with connected connectors would be deleted
	RuleUnread    Rule = "unread"      // part of what there is could not be read
	RuleRewind    Rule = "rewind"      // a revision older than the one that runs; hactl run checks it
	maxFew             = 3             // so few deletions are never too large a share
)

// Rules returns every guard rail.
func Rules() []Rule {
	return []Rule{RuleEmpty, RuleDeletions, RuleProtected, RuleNoOrigin, RuleConnected, RuleUnread, RuleRewind}
}

// Policy holds the guard rails of a run.
type Policy struct {
	schema.Policy
	// Allowed rules are not checked.
	Allowed []Rule
	// Journal knows what was protected and owned where no marker does.
	Journal Journal
}

// Check returns what the plan violates, in the order of Rules. Facts are what
// traffic notices of it; see package topology.
func (policy Policy) Check(p *Plan, d Desired, l Live, facts []Fact) []Violation {
	found := []Violation{}
	violate := func(r Rule, id schema.ID, format string, args ...any) {
		if !slices.Contains(policy.Allowed, r) {
			found = append(found, Violation{Rule: r, ID: id, Message: fmt.Sprintf(format, args...)})
		}
	}
	owned, guarded := 0, map[Handle]bool{}
	for _, e := range l.Entries {
		guarded[e.Handle] = e.Owned && e.Object.Protected()
		if e.Owned && !e.ReadOnly {
			owned++
		}
	}
	if len(d.Objects) == 0 && owned > 0 && !policy.AllowEmpty {
		violate(RuleEmpty, schema.ID{}, "the specification is empty and %d objects are owned: all of them would go", owned)
	}
	if n := p.Summary.Delete; n > policy.MaxDeletions {
		violate(RuleDeletions, schema.ID{}, "%d deletions; the policy's maxDeletions is %d", n, policy.MaxDeletions)
	} else if share := float64(n) / float64(max(owned, 1)); n > maxFew && share > policy.MaxDeletionShare {
		violate(RuleDeletions, schema.ID{}, "%d of %d owned objects would be deleted; the policy's maxDeletionShare is %v", n, owned, policy.MaxDeletionShare)
	}
	for _, s := range p.Steps {
		old := s.ID
		if s.Replaces != nil {
			old = *s.Replaces
		}
		o := d.Objects[s.ID]
		protected := slices.Contains(policy.Journal.Protected, old) || guarded[s.Handle] || o != nil && o.Protected()
		switch {
		case protected && (s.Action == Delete || s.Action == Replace):
			violate(RuleProtected, s.ID, "is protected and would be %sd", s.Action)
		case protected && s.Action == Update && retargets(s.Fields) != "":
			violate(RuleProtected, s.ID, "is protected and would lead elsewhere: %s", retargets(s.Fields))
		}
	}
	originless := map[schema.ID]bool{}
	for _, f := range facts {
		originless[f.ID] = originless[f.ID] || f.Kind == Originless
	}
	for _, f := range facts {
		// One violation for a hostname: what it would have says most.
		if f.Kind == Originless || f.Kind == Unserved && !originless[f.ID] {
			violate(RuleNoOrigin, f.ID, "%s", f.Message)
		}
	}
	for _, f := range facts {
		if f.Kind == Disconnects {
			connections := "connections"
			if f.Count == 1 {
				connections = "connection"
			}
			violate(RuleConnected, f.ID, "has %d live %s: stop its connectors first", f.Count, connections)
		}
	}
	policy.unread(d, l, violate)
	return found
}

// unread reports what a plan cannot be sure of: each wanted object once, and
// kinds of which something is, or may be, owned. What a token may not read,
// and nothing says is needed, is left to a notice.
func (policy Policy) unread(d Desired, l Live, violate func(Rule, schema.ID, string, ...any)) {
	reported := map[schema.ID]bool{}
	concerns := map[int]bool{}
	for _, id := range sortedIDs(d.Objects) {
		for i, u := range l.Unknown {
			if !u.Covers(id) && !slices.ContainsFunc(d.Objects[id].Refs(), u.Covers) {
				continue
			}
			concerns[i] = true
			if !reported[id] {
				reported[id] = true
				violate(RuleUnread, id, "needs what could not be read: %v", u.Err)
			}
		}
	}
	for i, u := range l.Unknown {
		owns := false
		for id := range policy.Journal.Owned {
			owns = owns || u.Covers(id)
		}
		if !concerns[i] && (owns || u.Name == "" && ClassOf(u.Err) != Denied) {
			violate(RuleUnread, schema.ID{Kind: u.Kind, Name: cmp.Or(u.Name, "*")}, "could not be read, so what hactl owns there is not known: %v", u.Err)
		}
	}
}

var (
	// targetFields say where an object leads, wherever in it they stand.
	targetFields = []string{"address", "tunnel", "network", "virtualRouter", "content", "defaultPools", "fallbackPool", "service"}
	// targetMaps do so for a part of the requests.
	targetMaps = []string{"regionPools", "countryPools", "popPools"}
)

// retargets names the first change that makes an object lead elsewhere; what
// is new leads nothing away.
func retargets(fields []FieldChange) string {
	for _, f := range fields {
		if f.Before == nil {
			continue
		}
		parent := schema.Parent(f.Path)
		leaf := strings.TrimPrefix(f.Path[len(parent):], ".")
		switch {
		case parent == "origins", strings.HasPrefix(f.Path, "ingress[") && strings.HasSuffix(f.Path, "]"):
			if f.After == nil { // To lose one is to lead elsewhere.
				return f.Path
			}
		case slices.Contains(targetFields, leaf), slices.Contains(targetMaps, parent):
			return f.Path
		}
	}
	return ""
}
