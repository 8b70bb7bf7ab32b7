// Command hactl reconciles Cloudflare and the hosts of a LAN with a Git
// repository of CUE specifications.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/hactl/hactl/engines/host"
	"github.com/hactl/hactl/schema/load"
)

func main() { os.Exit(run()) }

// run is the whole program; tests call it in place of main.
func run() int {
	if load.IsEvaluator() {
		return load.Evaluate(os.Stdin, os.Stdout, os.Stderr)
	}
	if host.IsEngine() {
		return host.RunEngine()
	}
	// What the agent has is for the engine. Where this cannot be done, checks
	// and hooks are started without all the same.
	_ = host.KeepCapabilities()
	// The first interrupt lets what is under way finish; the second one kills.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	err := newRoot().ExecuteContext(ctx)
	var code exitCode
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	}
	fmt.Fprintln(os.Stderr, "hactl: "+err.Error())
	return 1
}

// exitCode is an error that has been reported already.
type exitCode int

// The exit codes: 0 is nothing to do or done.
const (
	exitError   exitCode = 1
	exitChanges exitCode = 2
)

func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }
