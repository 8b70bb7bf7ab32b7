package vrrp

// Reason says why a received packet was dropped. The zero value means that it
// was not. No drop moves a timer or the state.
type Reason uint8

const (
	ReasonNone         Reason = iota
	ReasonTTL                 // TTL or hop limit is not 255 (RFC 9568 5.1.1.3, 5.1.2.3)
	ReasonVersion             // not 2 or 3, or not a configured version (7.1)
	ReasonType                // not an advertisement (5.2.2)
	ReasonLength              // shorter than its own count says (7.1)
	ReasonChecksum            // (5.2.8)
	ReasonVRID                // not this Virtual Router (7.1)
	ReasonCount               // no address (5.2.5)
	ReasonInterval            // v3: zero; v2: not the configured one (7.1; RFC 3768 7.1)
	ReasonFirstAddress        // IPv6: the first address is not link-local (5.2.9)
	ReasonAuthType            // v2: another authentication type (RFC 3768 5.3.6)
	ReasonAuthData            // v2: another password
	ReasonAddressList         // v2: another address list, and not from the owner (RFC 3768 7.1)
	ReasonSource              // not a unicast peer, or of the other address family
	ReasonDestination         // neither the group nor, with unicast peers, a unicast address
	ReasonOwn                 // our own packet reflected, or a router with our address
	ReasonIdle                // received while in StateInitialize
	numReasons
)

var reasonNames = [numReasons]string{
	"none", "ttl", "version", "type", "length", "checksum", "vrid", "count", "interval",
	"first-address", "auth-type", "auth-data", "address-list", "source", "destination", "own", "idle",
}

// String returns a stable label, fit for a metric.
func (r Reason) String() string { return name(reasonNames[:], int(r)) }

// Reasons returns every Reason but ReasonNone, in order.
func Reasons() []Reason {
	all := make([]Reason, 0, numReasons-1)
	for r := ReasonNone + 1; r < numReasons; r++ {
		all = append(all, r)
	}
	return all
}

// Note is something worth a counter and a log line that drops no packet.
type Note uint8

const (
	NoteNone             Note = iota
	NoteInterval              // v3: the Active router's interval is not ours; learned (RFC 9568 7.1)
	NoteAddressList           // another address list, accepted: v3, the owner's, or LooseAddresses
	NoteOwner                 // an advertisement for addresses that we own, or a second owner
	NoteAlternative           // accepted by one of Config.Accept: this peer has not moved on yet
	NoteRival                 // a lower or tied advertisement, or a priority 0, while Active
	NoteLowerPriority         // discarded by a Backup that is about to preempt (RFC 9568 6.4.2)
	NoteForeignClaim          // somebody else answers for one of our addresses
	NoteAddressLost           // an address was taken from us by hand
	NoteLate                  // woken too late to call the Active router silent
	NoteYield                 // our priority fell while Active; a better router may take over
	NoteReleaseUnclaimed      // nobody took over within the release limit
	NoteElsewhere             // nobody of ours was heard yet, and another Virtual Router has our address
	NoteConfig                // a configuration that Validate refuses was ignored
	numNotes
)

var noteNames = [numNotes]string{
	"none", "interval", "address-list", "owner", "alternative", "rival", "lower-priority",
	"foreign-claim", "address-lost", "late", "yield", "release-unclaimed", "elsewhere", "config",
}

// String returns a stable label, fit for a metric.
func (n Note) String() string { return name(noteNames[:], int(n)) }

// Cause says why a Machine moved from one State to another.
type Cause uint8

const (
	CauseNone           Cause = iota
	CauseStartup              // started, or a hold was lifted
	CauseResume               // started in Active with the state of a former process
	CauseOwner                // started with priority 255
	CauseActiveDown           // no acceptable advertisement for Active_Down_Interval
	CausePriorityZero         // the Active router let go
	CausePreempt              // a lower priority was Active and we preempt
	CauseHigherPriority       // a higher priority is Active
	CauseTie                  // the same priority and a greater address is Active
	CauseLink                 // the interface is down or gone
	CauseFault                // a check says fault
	CauseMaintenance          // handed over because of maintenance
	CauseGroup                // another member of the sync group moved
	CauseShutdown             // told to stop
	CauseHandedOver           // released, and the next Active router was heard
	CauseReleaseLimit         // released, and nobody took over within the limit
	CauseReclaim              // the reason to release went away before anybody took over
	numCauses
)

var causeNames = [numCauses]string{
	"none", "startup", "resume", "owner", "active-down", "priority-zero", "preempt",
	"higher-priority", "tie", "link", "fault", "maintenance", "group", "shutdown",
	"handed-over", "release-limit", "reclaim",
}

// String returns a stable label.
func (c Cause) String() string { return name(causeNames[:], int(c)) }

func name(names []string, i int) string {
	if i < len(names) {
		return names[i]
	}
	return "unknown"
}
