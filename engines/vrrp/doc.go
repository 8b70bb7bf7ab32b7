// Package vrrp decides what a VRRP router does: version 3 for IPv4 and IPv6
// (RFC 9568) and version 2 with simple-text authentication as keepalived
// speaks it (RFC 3768, 2338).
//
// It owns the wire format (Advertisement) and the protocol (Machine, Group).
// It refuses to do anything about either: no sockets, clock, goroutines or
// log. The host engine calls it, carries out the Actions, and is the only
// caller besides the simulators and tests.
//
// # Time
//
// Time is an argument: a time.Duration since an epoch of the caller's choice,
// read from a monotonic clock. Not a time.Time: it could carry a wall clock
// that jumps, compares slower, and takes three words in each timer. Deadline
// is the only timer, absolute, and may move with every event; a Timeout that
// comes before it does nothing, so that nobody has to cancel one.
//
// # States
//
// Every row ends in what the checklist of RFC 9568 6.4 asks for, save the
// marked ones, which are ours.
//
//	                 Backup               Active                Releasing*
//	valid advert:
//	  priority 0     timer = Skew         advertise; announce*  stay
//	  better         timer = Down, learn  last word*; Backup    let go*
//	  worse          discard (preempt),   advertise, announce*  let go*, if its Skew is over
//	                 else as better
//	invalid advert   count; respect*      count                 count
//	down timer       Active               -                     -
//	advert timer     -                    advertise             priority 0 again*
//	release limit    -                    -                     let go*
//	Shutdown         Initialize           Releasing*            Initialize at the end
//	  with Now       Initialize           priority 0; Initialize  Initialize
//	Link down        Fault                priority 0; Fault     let go
//	fault, maintenance, group: Fault,     Releasing*            Fault, Maintenance
//	                 Maintenance                                at the end
//	all lifted       -                    -                     Active again*
//	lower priority   keep waiting         yield*                -
//	Config           keep waiting         say what is new*      -
//	ForeignClaim     -                    defend*               -
//	AddressLost      -                    put back*             put back*
//
// Initialize leaves by Startup; Fault and Maintenance when the last reason to
// be held is lifted, to Backup (or, as owner, to Active). All three ignore
// advertisements. The addresses are held in Active and Releasing, never
// elsewhere.
//
// # The last word of a loser
//
// When a partition heals, two routers are Active. If the better one is heard
// first, RFC 9568 makes the other fall silent; the better one never learns
// that there was a rival, announces nothing, and hosts that believed the rival
// go on doing so until their caches expire: 4 to 8 seconds with keepalived.
//
// So a Machine that steps down advertises once more, with its own priority,
// after it removed the addresses. RFC 9568 6.4.3 makes the winner answer a
// worse advertisement with its own; ours announces itself too, and so does
// keepalived (garp_lower_prio_repeat). Unless the winner is heard again, the
// last word is repeated twice, a quarter of an interval apart. To Backups it
// is an advertisement of a worse router, or one that they respect for the
// moment until the winner's arrives.
//
// Ruled out: priority 0 as last word. Every Backup would start its Skew_Time
// and take over if the winner's next advertisement got lost; and keepalived
// answers it without announcing. Silence and an announcement with every
// advertisement instead: that costs a packet for each address and interval,
// forever. keepalived itself says no last word; against it as loser of a LAN
// that was parted for all traffic only Announcements.Refresh helps.
//
// # Make before break
//
// A planned stop sends priority 0 and keeps the addresses. A Backup takes over
// after its Skew_Time, and its advertisement makes us let go. Priority 0 is
// repeated twice, an interval apart, and ReleaseLimit bounds it all. A worse
// router is only believed once its Skew_Time has passed, because a router that
// has just stepped down for us may still be saying its last word.
//
// A fault told by a check, maintenance and the sync group end the same way. A
// check that costs priority yields: priority 0 and the new priority at once,
// which lets a better Backup preempt after a Skew_Time, and nobody else.
//
// # Whoever was here before
//
// A router may start with another VRID, version or password than those that
// run: it comes with the newest revision while the others wait for all to have
// learned of it, or was away while they changed and has an old one. It would hear
// nobody, and be a second Active router.
//
// With Config.Respect, until it was Active or heard one of its own since it takes
// part, an advertisement with one of its addresses puts off its
// Active_Down_Timer, whatever else is in it. It learns nothing else from that. It
// waits an interval longer than a Backup, so that one of theirs comes first should
// their Active router be gone, and for a second at least when it takes part for
// the first time, or its link was down for long: its own interval may be shorter
// than theirs. So it waits for as long as somebody has the address, and takes over
// when nobody has. Priority 0 of whom it waits for shortens that to two intervals:
// a Backup of theirs is heard by then, and who went still answers, until it hears
// who took over, by whatever VRID. While it is held by a check or for maintenance it
// goes on listening.
//
// A Snapshot says whether one was joining. Who was not goes on as the Backup it was.
//
// It goes by the address once it knows of its own: another Virtual Router's Active
// router may have one that moves from there, and has not learned of that. What a
// running Machine is given it awaits, for two intervals and for as long as such a
// one is heard with it, and until that one is heard without; likewise what it
// heard elsewhere while it joined. It neither holds nor (in version 3) advertises
// that meanwhile, whatever the state. Config.Present excepts what the host itself
// had before.
//
// Ruled out: that for every Backup. One bad packet per interval would keep it
// from taking over, where RFC 9568 7.1 has those discarded. And a probe for the
// address (RFC 5227): a router that does proxy ARP answers for all of them.
//
// What is not heard is not respected: a unicast Virtual Router's members send
// nothing to one that they do not know of yet, former intervals may be longer
// than that second, all addresses may be new, and excluded ones are not advertised.
// An Active router does not give up what it has: one that was Active on its own side
// of a cut is a second one until it learns. A Backup that knows its own listens to
// nobody else: one that has not learned yet, and takes over from one that had, takes
// what has moved away with the rest.
//
// # The host's part of the contract
//
//   - One Machine for each Virtual Router, address family and interface; find
//     it by VRID (and by the VRIDs in Config.Accept during a staged change).
//     While it Overhears, give it the packets of other VRIDs as Foreign.
//     Where it has an address by two, since one moves, say so: Config.Present when
//     the second is given it, AddressLeft when the first is not Active any more.
//   - Carry out the Actions in order and before the next event. Sending may
//     fail, adding may come late (then AddressesReady); removing must not.
//   - After every event arm one timer for Deadline. When it fires, and after
//     any pause, first drain the socket, then give Timeout: what is queued is
//     older than the silence the timer would conclude. A Timeout more than an
//     interval late is taken as a pause of ours and waits once more.
//   - Remove only addresses that the host added: an owner's are its own.
//   - Watch ARP and neighbour advertisements for our addresses with another
//     link-layer address (ForeignClaim), and the addresses (AddressLost).
//   - On a re-exec give the Snapshot to the next process, which leaves the
//     addresses where they are and starts with Startup.Resume.
//   - Log and count from the Actions; drops and notes come as fast as packets.
package vrrp
