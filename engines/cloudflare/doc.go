// Package cloudflare is the engine for everything at Cloudflare's edge.
//
// It reads by listing, never object by object (but for the configurations of
// tunnels, which have no list), puts what it finds into the form that
// specifications have, with names for ids and defaults filled in, and carries
// out single changes. Which objects are owned it tells from the marker in
// their free text, and for tunnels, which have none, from the journal or from
// owned objects that lead to them.
//
// cloudflare-go carries the requests (its Raw call); the wire forms are this
// package's own, because an exact comparison needs to tell an omitted field
// from a null and from a value. The transport below knows the request budget,
// Retry-After, and that a POST whose answer was lost may have been carried
// out: such a creation is looked up before it is tried again.
package cloudflare
