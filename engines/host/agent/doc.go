// Package agent is what a host runs beside its VRRP engine: it keeps the engine
// of package host alive and told, tries the health checks, and runs the hooks.
//
// What it runs is always what the engine has (host.Config), whoever configured
// that. It decides nothing about VRRP: a check's result goes to the engine,
// which knows what that means, and a hook hears of a transition after the fact.
// Should the agent end, the engine goes on with the results that it has; the
// next agent begins with those.
//
// It reads no specification and no Git; cmd/hactl gives it a host.Config.
package agent
