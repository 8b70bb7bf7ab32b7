// Package memory is hosts on a LAN without either: the pure Virtual Router
// machines of package vrrp, configured and changed in steps as package host
// does, with advertisements passed from one to the other in memory.
//
// It is for playing through what takes hours, on the virtual time of
// testing/synctest, and where there is no root. It keeps the time that
// package time gives it. What it leaves out is the machine: sockets, addresses in
// a kernel, checks (but for what they find) and hooks; and sync groups.
package memory
