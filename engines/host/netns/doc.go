// Package netns builds the hosts of a specification on one machine: each is a
// network namespace, and those that share a Virtual Router are on one bridge,
// with a client beside them. Cables can be pulled, hosts powered off and LANs
// split; probes and the switch tell what a visitor notices and what is said on
// the wire. The laboratory of `hactl demo` is made of it, and of tests.
//
// Plan is pure: it decides who is on which LAN, and with what addresses. Build
// does it, which takes root, Linux and nothing else: no program is started.
// The package runs no engine and reads no specification's files; its caller
// starts processes in the hosts (Net.Start).
//
// # What is where
//
//	<name>.switch    all bridges: lan1, lan2, ... and outside, and the switch
//	                 side of every cable, so that nothing is seen on the machine
//	<name>-<host>    a host: its interfaces, hactl0, lo
//	<name>.lan1      the client of a LAN: eth0, lo
//	<name>.outside   what hosts reach beyond their LANs: services of the caller
//
// These are names for `ip netns`. A namespace is a goroutine that is locked to
// a thread in it (space.go): sockets and processes belong to the namespace of
// the thread that makes them, and a child with Pdeathsig dies with its thread.
//
// Every host has hactl0 on the LAN outside. An address of a host that is in no
// subnet of its LANs is there too, and all know the way, so that hosts reach
// each other at the addresses that the specification gives.
//
// # What is left out
//
// A split knows one side only: hosts that are split apart do not hear each
// other, whoever they are split from. There is no delay and no loss: they need
// netem, which not every kernel has. A host's clock, files and processes are
// the machine's own.
package netns
