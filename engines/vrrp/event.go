package vrrp

import (
	"net/netip"
	"time"
)

// Event is one of the types below: what may happen to a Machine.
type Event interface{ event() }

// Startup starts a Machine that is in StateInitialize, or is ignored.
//
// Without Resume the addresses are removed first, so that what a killed
// process left behind is gone before we are Backup. With the Snapshot of a
// former process that was Active, the Machine goes on being Active.
type Startup struct{ Resume *Snapshot }

// Shutdown stops. An Active router makes before it breaks: it sends priority 0
// and keeps its addresses until the next Active router is heard or the release
// limit has passed; then a Transition to StateInitialize follows. With Now it
// follows at once, as RFC 9568 6.4.3 has it.
type Shutdown struct{ Now bool }

// Packet is a received IP packet's payload with what the IP header said. All
// of it belongs to the caller again when Handle returns. An invalid
// Destination means unknown; it costs the pseudo header checksum.
type Packet struct {
	Source, Destination netip.Addr
	TTL                 uint8 // or hop limit
	Message             []byte
}

// Foreign is a received Packet of a VRID that is none of the Machine's. See
// Machine.Overhears and the package's documentation, "Whoever was here before".
type Foreign Packet

// Timeout says that Deadline may have been reached. Too early, it does nothing.
type Timeout struct{}

// Link says whether the interface can carry the Virtual Router at all. A
// Machine begins with the interface up.
type Link bool

// Checks is the sum of what the checks say: the weights of the failed (or, if
// so configured, good) ones, and whether one of them is a fault.
type Checks struct {
	Weight int
	Fault  bool
}

// Maintenance hands over, make before break, and stays away until it ends.
type Maintenance bool

// AddressLost says that an address we had added is gone.
type AddressLost struct{ Address netip.Addr }

// AddressesReady says that addresses came to exist later than their
// AddAddresses action, so that the announcements behind it went nowhere.
type AddressesReady struct{}

// ForeignClaim says that another link-layer address answered or announced
// itself for one of our addresses.
type ForeignClaim struct{ Address netip.Addr }

// AddressLeft says that another Virtual Router of this host that has an address of
// ours as well, while it moves to us, gave up being Active: who is next has it.
type AddressLeft struct{ Address netip.Addr }

// groupEvent moves a member of a Group.
type groupEvent uint8

const (
	groupHold groupEvent = iota
	groupUnhold
	groupRelease
	groupTakeOver
)

func (Startup) event()        {}
func (Shutdown) event()       {}
func (*Packet) event()        {}
func (*Foreign) event()       {}
func (Timeout) event()        {}
func (Link) event()           {}
func (Checks) event()         {}
func (Maintenance) event()    {}
func (AddressLost) event()    {}
func (AddressesReady) event() {}
func (ForeignClaim) event()   {}
func (AddressLeft) event()    {}
func (*Config) event()        {}
func (groupEvent) event()     {}

// Snapshot is what a process hands to its successor so that mastership
// survives an upgrade. It holds no times, so it may cross a boot, where it does
// no worse than a pause of that length.
type Snapshot struct {
	State    State
	Interval time.Duration // learned
	// Joining says that it knew of nobody yet, so that its successor begins anew.
	Joining bool `json:",omitempty"`
	// Awaited are addresses that it did not hold yet.
	Awaited []netip.Addr `json:",omitempty"`
}
