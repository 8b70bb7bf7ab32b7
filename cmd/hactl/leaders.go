package main

import (
	"context"
	"time"

	"github.com/hactl/hactl/engines/host"
	"github.com/hactl/hactl/engines/vrrp"
	"github.com/hactl/hactl/reconcile/follow"
	"github.com/hactl/hactl/schema"
)

// leaders is a follow.Leader by what the specification says: the Active router
// of a Virtual Router, the holder of an etcd lease, or one host always.
type leaders struct {
	host func() string // this host's name
	dir  string        // runtime directory of its engine
	none bool          // an agent of no host
}

// askLimit is how long the engine may take to say whether this host leads.
const askLimit = 3 * time.Second

// Lead implements follow.Leader.
func (l *leaders) Lead(ctx context.Context, spec *schema.Spec) follow.Leadership {
	switch leader := spec.Leader; {
	case leader == nil && l.none:
		return follow.Leadership{Mode: "alone", Mine: true, Term: "alone"}
	case leader == nil:
		return follow.Leadership{Mode: "none"}
	case leader.Host != "":
		return follow.Leadership{Mode: "host", Leader: leader.Host, Mine: leader.Host == l.host(), Term: "host " + leader.Host}
	case leader.VirtualRouter != "":
		return l.active(ctx, leader.VirtualRouter)
	}
	return follow.Leadership{Mode: "etcd", Err: "not yet"}
}

// active asks the engine of this host. The term is when the router became
// Active: one that was paused, lost it and took it back is in another.
func (l *leaders) active(ctx context.Context, router string) follow.Leadership {
	lead := follow.Leadership{Mode: "virtualRouter"}
	if l.none {
		lead.Err = "this agent runs no Virtual Router"
		return lead
	}
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	client, err := host.Dial(ctx, l.dir)
	if err != nil {
		lead.Err = "the VRRP engine does not answer: " + err.Error()
		return lead
	}
	defer client.Close()
	s, err := client.Status(ctx)
	if err != nil {
		lead.Err = "the VRRP engine does not answer: " + err.Error()
		return lead
	}
	r := s.Router(router)
	switch {
	case r == nil:
		return lead // This host is no member.
	case r.State == vrrp.StateActive.String():
		lead.Mine, lead.Leader, lead.Term = true, l.host(), r.Since.Format(time.RFC3339Nano)
	case r.Leader.IsValid():
		lead.Leader = r.Leader.String()
	}
	return lead
}
