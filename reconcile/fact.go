package reconcile

// FactKind says what sort of thing traffic notices.
type FactKind string

// The kinds. Guard rails stand on the first three.
const (
	// Originless hostnames would have no enabled origin, whatever they have now.
	Originless FactKind = "originless"
	// Unserved hostnames, or requests to them from somewhere, are answered now
	// and would not be.
	Unserved FactKind = "unserved"
	// Disconnects ends a tunnel that has live connections.
	Disconnects FactKind = "disconnects"
	// Closed is like Unserved, and the specification says so of the thing itself.
	Closed FactKind = "closed"
	// Removed names nobody answers for, and origins that nothing leads to.
	Removed FactKind = "removed"
	// Mastership of a Virtual Router moves, comes or goes.
	Mastership FactKind = "mastership"
	// Moved requests go elsewhere; they are answered.
	Moved FactKind = "moved"
	// Sessions lose the origin that they are pinned to.
	Sessions FactKind = "sessions"
	// Resilience: a single point of failure comes or goes.
	Resilience FactKind = "resilience"
)

// Fact is what traffic notices of a change: typed for who decides by it, and
// in words. Package topology finds them; Policy decides which are refused.
type Fact struct {
	Finding
	Kind FactKind
	// Count of live connections, where it Disconnects.
	Count int
}

// Refused tells whether a violation is about this fact.
func (f Fact) Refused(violations []Violation) bool {
	rule, ok := f.rule()
	if !ok {
		return false
	}
	for _, v := range violations {
		if v.Rule == rule && v.ID == f.ID {
			return true
		}
	}
	return false
}

// rule is the guard rail that stands on a fact, if one does.
func (f Fact) rule() (Rule, bool) {
	switch f.Kind {
	case Originless, Unserved:
		return RuleNoOrigin, true
	case Disconnects:
		return RuleConnected, true
	}
	return "", false
}
