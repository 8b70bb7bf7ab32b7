package main

import (
	"github.com/hactl/hactl/reconcile/loop"
	"github.com/hactl/hactl/reconcile/topology"
)

// impact adds to a plan what it does to traffic. A saved plan comes without its
// specification: then the hosts behind a tunnel are not known.
func (f *planFlags) impact(round *loop.Round) {
	round.Plan.Impact = topology.Impact(f.loaded, round.Plan, round.Live)
}
