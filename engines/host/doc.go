// Package host runs this host's Virtual Routers: it gives the pure machines of
// package vrrp a clock, sockets, addresses and announcements. It decides
// nothing about VRRP, reads no files of a specification, and runs no checks and
// no hooks: package agent does, and tells the results.
//
// To plans a host is a Node: what its engine runs, in a specification's terms
// (node.go, translate.go).
//
// # Processes
//
// The agent (`hactl run`) has a Supervisor. The engine is a process of the same
// binary, started with HACTL_ENGINE=<runtime directory>: main asks IsEngine
// before anything else and exits with RunEngine. It has a small heap, nothing
// of CUE, Git or Cloudflare at work in it, and a session of its own. It listens
// on <runtime directory>/engine.sock (0600), by which a Supervisor tells it what
// is wanted (control.go, message.go, client.go). Losing the agent is no reason
// to stop: the next one attaches. A lock on engine.lock keeps a second engine
// out; ExitBusy says so. Where the agent is not root, it lends the engine its
// capabilities and lets nothing else inherit them (privilege.go).
//
//   - SIGTERM, Client.Shutdown: priority 0, the addresses stay until the next
//     Active router is heard, then go; the process exits. A second SIGTERM
//     does not wait.
//   - SIGKILL: addresses stay. The next engine finds them by their mark
//     (IFA_PROTO 112, kernel 5.18) or by addresses.json, removes what nobody
//     wants now, and what is wanted before it becomes Backup. A Supervisor that
//     sees a steady engine crash starts the next one at once and has it resume
//     state.json instead, which is shorter than an Active_Down_Interval.
//   - As a unit of a service manager (NOTIFY_SOCKET) it is not the agent's to
//     start or end (Supervisor.External). It says when it is ready, that its
//     loop answers, and which process is the main one after an upgrade; after a
//     crash it judges by itself whether to resume (life.go).
//   - Client.Upgrade: the new binary starts beside the old process, opens its
//     sockets, and takes the snapshots of the machines (handover.go). Lock and
//     listener are inherited. A binary that does not get ready changes nothing.
//
// # Threads
//
// One goroutine, locked to its thread with SCHED_FIFO and locked memory where
// the host permits (Status.Scheduling says), owns every field of Engine: an
// epoll loop over raw sockets, the netlink subscription, the watch for foreign
// claims, an eventfd, and a timerfd armed with the earliest absolute deadline
// (loop.go). Steady state allocates nothing and does not block: system calls
// that cannot wait go past the scheduler. Everything else (JSON, files, logs)
// is ordinary goroutines, which hand the loop functions through Engine.call and
// get events through a channel that never blocks it.
//
// A turn reads what was received before it judges timers: after a pause the
// queued advertisements tell more than the silence slept through. It reads
// advertisements before claims, since whoever takes over says so first.
//
// # What follows from what
//
//	netlink message -> link (link.go): index, flags, addresses; lost messages -> resync
//	link            -> refresh (refresh.go): sockets, source, Link, AddressLost; states, not changes
//	raw socket      -> demux by VRID (loop.go) -> machine: it judges, drops and counts
//	machine         -> actions (router.go): advertisement, address, announcement, event
//	watch (ARP, NA) -> ForeignClaim; or the end of lingering (linger.go)
//	Config          -> apply (apply.go): begin, reconfigure, regroup, retire; filter.go
//	check results   -> verdict (results.go): Checks of the routers that have them
//
// # What members have to agree on
//
// A Config never changes the password, VRID, version or unicast peers of a
// running router, or in version 2 its interval and addresses, from one moment
// to the next: Stage and Advance (activate.go) lead there in steps, in which
// every member accepts both before any of them sends the new. The steps are
// Configs like any other; the engine knows nothing of them, and who configures
// it reads from it how far they are.
//
// # Choices
//
// Addresses and the subscription speak rtnetlink here (rtnetlink.go) and not
// through vishvananda/netlink, which has no IFA_PROTO and allocates 64 KiB per
// message; macvlans and routes, which are rare, use it (kernel.go). Raw sockets
// are not x/net/ipv4's: those belong to Go's poller, which rounds to its own
// time. There is one per interface and family for all VRIDs, without a filter:
// packets for Virtual Routers we do not have are counted, because a wrong VRID
// is a mistake worth seeing.
//
// A router that is relieved keeps its addresses until the announcement of the
// next (at most 100 ms), because keepalived advertises before it has them. An
// IPv6 address is awaited (at most 10 ms) before it is advertised, because the
// kernel puts it to work later, and announced when it works: until then the one
// that is relieved answers.
//
// The rules of the packet filter (filter.go), for addresses that are not to be
// accepted for and for what the kernel reports to multicast listener discovery
// from a virtual MAC, stand while the router is configured, Active or not, so
// that a takeover does not wait for nftables.
//
// Not here: IPv6 neighbour greeting for unicast peers, VMAC over anything but
// Ethernet.
package host
