// Package lead says which host may write to Cloudflare, by a lease in etcd.
//
// It is for sites that share no LAN: where they do, the Active router of a
// Virtual Router writes, and nothing of this is needed. cmd/hactl runs an
// Elector beside the loop, and asks it before it plans and before each write.
//
// # What is promised
//
// At any time one host's Leads is true, or none's, as long as the hosts' clocks
// run at the same rate within 5%: a leader counts its lease from when it sent the
// renewal, etcd from when it got it, so the leader gives up first. Leads reads
// the clock when it is called. A process that was stopped, or a machine that was
// suspended, knows so by its first look, before any of its goroutines has run.
//
// Between a look and a write there is still time for a stop of any length, and
// Cloudflare knows no fencing tokens. Confirm asks etcd itself, and so leaves the
// shortest such time that can be had; what may happen in it is that two hosts
// converge on two revisions in turn, which costs calls: plans are idempotent.
//
// # How
//
// Each host puts a key of its own, bound to its lease, below one prefix; the
// oldest of them leads, and its revision in etcd is the term. A host that
// resigns revokes its lease, and the next one hears of it at once. One that
// vanishes is followed when its lease has ended. While etcd cannot be reached or
// has no majority, nobody leads beyond the lease: nothing is written to
// Cloudflare then, and VRRP, which asks nobody, goes on.
//
// The client's connection is made anew for each lease, which is when changed
// passwords and CA files are read; client certificates are, at each handshake.
// The package stores nothing but these keys, and decides nothing about plans.
package lead
