// Package cfsim is a stateful, strict simulator of the part of the Cloudflare v4 API that hactl uses: zones,
// tunnels, private networks and routes, monitors, monitor groups, pools, public and private load balancers and DNS
// records. It is an http.Handler that lives in memory; `hactl sim` and `hactl demo` serve it, and tests hand it to
// an httptest.Server.
//
// It owns an independent reading of the API. It imports nothing of ours and never looks at what the engine sends
// or expects, so that a misreading on one side cannot be cancelled out by the same misreading on the other: both
// sides answer to the recorded wire fixtures in testdata/cloudflare and to the OpenAPI file (package wirecheck).
//
// # What it refuses
//
// The simulator is stricter than the real service wherever the documentation leaves room: unknown fields at any
// depth, read-only fields, wrong types, unknown query parameters, out-of-range and over-long values are answered
// 400 with an error that names the field. A client that is accepted here should be accepted there; the reverse is
// not promised. Behaviour that no recording confirms is marked UNVERIFIED at the place that implements it.
//
// # Determinism
//
// Every id, uuid, secret and order derives from Options.Seed and from what is created (its kind and natural key),
// never from arrival order: two runs that create the same objects, even in parallel, get the same ids. Timestamps
// come from Options.Now. The same seed, clock and request sequence give the same bytes.
//
// # Shape of the code
//
// server.go carries a request through authentication, quota, faults and routing; shape.go checks and normalises
// bodies; store.go keeps objects with their marshalled form, so that a list answer is a concatenation. Then one
// file per resource. All state is guarded by one mutex, which is not held while a fault, a latency or a network
// write is waiting.
package cfsim
