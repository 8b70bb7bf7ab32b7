// Package topology follows a request from the name or address that it is sent
// to, to the machine that answers it, and says what breaks that way.
//
// It owns the path graph of a specification (Model.Graph), the smallest sets
// of failures that cut an entry point off (Model.Spof), failures played on the
// specification (Model.WhatIf), and what a change does to traffic: Facts of a
// plan, Compare of two specifications. Guard rails decide by these, and Impact
// is their words.
// It is pure: a schema.Spec, and live state where somebody has read that
// (Model.Live), in, findings out; it reads no clock and no file, and it never
// asks whether something is up. Commands and renderers call it.
//
// # Who serves
//
// Every entry point is a monotone function of what has not failed, built of
// gates "at least k of these": a connector needs itself, its tunnel and its
// host; a host needs itself and every label that it has; a tunnel one of its
// connectors; a Virtual Router one of its members; a pool minimumOrigins of its
// origins. In particular:
//
//   - A pool is healthy while minimumOrigins (at least one) of its origins
//     answer. As fallback it answers while any origin does.
//   - With steering "off" and "geo" a pool without a monitor ends the list:
//     nothing notices that it is dead, so that nothing after it, nor the
//     fallback, is ever used. Other policies use whatever pool answers.
//   - What is disabled, has weight 0 or is in maintenance does not serve. A
//     disabled pool does not as fallback either. A member in maintenance holds
//     those of its sync group on that host.
//   - The connectors of one tunnel stand in for each other. A tunnel without
//     connectors in the specification is run by somebody else: it fails as one.
//   - Behind a tunnel the request meets the ingress rule of its Host. A service
//     on the loopback is the connector's host, one at an address of a Virtual
//     Router or a host is that, any other address is a component of its own.
//     The answer http_status is nobody's; a hostname of which only some paths
//     have a service is served by the first of them.
//   - An origin with a network goes through the tunnel whose route in that
//     network has the longest prefix, where one has.
//   - A record leads on by its name, then by the wildcard that covers it, and
//     the Host stays what the client asked for, as CNAMEs change none.
//   - Names with several address records are served by any of them, as
//     resolvers hand out all.
//
// Each region, country and data center that a geo map names is looked at by
// itself, and so is everywhere else.
//
// # What is refused
//
// A hostname that was served, or the part of it that a region or a rule is,
// and that nobody would serve: Unserved. It is Closed, and told of only, where
// the specification says so of the thing itself: a host or member in
// maintenance, a balancer that is disabled, an ingress rule that answers the
// hostname with http_status; and where the hostname is a record of somebody
// else. Private networks and Virtual Routers are no hostnames. A balancer that
// would have no enabled origin is Originless, whether it had one or not.
//
// # What fails
//
// Hosts, connectors, labels (a site and every host in it), addresses outside
// the specification, and tunnels and pools that somebody else runs fail by
// themselves. A tunnel, pool, origin or Virtual Router of the specification
// fails by a change: it is disabled, deleted, or its credentials are revoked.
// Cuts of both sorts are told; only the first are single points of failure, as
// every private network has one tunnel and every address one Virtual Router.
//
// # Live state
//
// Model.Live is the same specification as things are now. A component that has
// failed never serves in it: a tunnel without a connection (all its connectors),
// a connector whose host's address is not among those that are connected, an
// origin that most data centers find unhealthy, an unhealthy pool whose origins
// do not explain that. A member of a Virtual Router that is in fault or has not
// started cannot be Active; whoever is Active stays it while it can. What nobody
// knows is as it should be: a host that does not answer is not down.
package topology
