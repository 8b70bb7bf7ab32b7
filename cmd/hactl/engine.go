package main

import (
	"context"

	"github.com/hactl/hactl/engines/host"
	"github.com/hactl/hactl/schema"
)

// vrrpEngine is where this host's Virtual Routers run: a process that an
// agent.Agent looks after, or a host in a lab's memory.
type vrrpEngine interface {
	// Run works until ctx ends, which leaves the routers running, or until Stop.
	Run(ctx context.Context) error
	Stop(ctx context.Context, now bool) error
	// Shutdown has the routers let go, without Run.
	Shutdown(ctx context.Context) error
	UpgradeEngine(ctx context.Context, path string) error
	Configure(host.Config) error
	// Wanted is what it is to run, whoever said so; Present what it runs.
	Wanted() *host.Config
	Present() *host.Config
	// Ask is how it is, and what it runs; an error if none answers.
	Ask(ctx context.Context) (*host.Status, *host.Config, error)
}

// surroundings is what an agent meets beside its host, its repository and
// Cloudflare. A lab has its own, so that a specification can be drilled away
// from what it names.
type surroundings struct {
	secret func(schema.SecretRef) (string, error)
	// check, if not nil, says how a health check does, and no hook is run.
	check func(name string) error
	// adapt, if not nil, takes out of a specification what it reaches for.
	adapt func(*schema.Spec)
	// engine, if not nil, takes the place of an engine's process.
	engine vrrpEngine
}
