// Package follow keeps a host, and where it leads the edge, at the newest good
// revision of a specification.
//
// Two loops share the work, because one of them must never wait for the other:
//
//	Follower   source -> trust -> evaluation -> guard rails -> Good -> host -> disk
//	Keeper     Good -> leadership -> plan -> guard rails -> Cloudflare
//
// The Follower decides what is good. A revision that is not changes nothing:
// what ran goes on, and State says what was refused and why. What runs it writes
// to disk, so that a host without Git, DNS and Cloudflare starts with it; not
// before the host has taken it, since it would not start with what it refuses. The Keeper applies edge changes while this host leads, and tells
// drift (the edge was changed behind the specification's back) from what a push
// has changed.
//
// Whether a revision is good must not depend on who looks: every host compares
// it with its own last good one, in specifications alone, so that hosts without
// a token for Cloudflare reach the same verdict. What only the live edge can
// tell (a tunnel with connections, a conflict) stops the Keeper alone.
//
// This package opens no socket and reads no environment. Files are File's and
// Suspension's. cmd/hactl hands it the source, the host and the edge; in tests
// all three are in memory and time is virtual.
package follow
