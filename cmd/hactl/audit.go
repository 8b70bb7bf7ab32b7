package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"time"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/audit"
	"github.com/hactl/hactl/reconcile/follow"
	"github.com/hactl/hactl/reconcile/loop"
)

// openAudit opens the record of changes in the state directory. What is wrong
// with it is said once, and keeps nothing from being done.
func openAudit(state, host string, report func(error)) (*audit.Log, error) {
	if host == "" || host == noHost {
		host, _ = os.Hostname()
	}
	if err := os.MkdirAll(state, 0o700); err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	return audit.Open(filepath.Join(state, "audit.jsonl"), audit.Options{Host: host, Report: report})
}

// localUser is who runs a command, behind sudo too.
func localUser() string {
	if name := os.Getenv("SUDO_USER"); name != "" {
		return name
	}
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return fmt.Sprint("uid ", os.Getuid())
}

// audited records what an edge carries out.
type audited struct {
	follow.Edge
	log *audit.Log
	run audit.Run
}

func (a audited) Execute(ctx context.Context, round *loop.Round, grace time.Duration) (loop.Outcome, error) {
	if a.log == nil {
		return a.Edge.Execute(ctx, round, grace)
	}
	run := a.run
	run.Revision = round.Desired.Revision
	a.log.Begin(run)
	defer a.log.End()
	return a.Edge.Execute(ctx, round, grace)
}

// decided records a verdict on a revision.
func decided(log *audit.Log, ev follow.Event) {
	if log == nil {
		return
	}
	run := audit.Run{Origin: audit.FromRun, Who: ev.Signer, Revision: ev.Revision}
	switch ev.Kind {
	case follow.EventAccepted:
		log.Decide(run, true, cmp.Or(ev.Text, "it runs"))
	case follow.EventRefused:
		log.Decide(run, false, string(ev.Reason)+": "+ev.Text)
	}
}

// applyAudit is the record of one apply, and an observer that keeps it.
func applyAudit(state string, stderr io.Writer, observer reconcile.Observer) (*audit.Log, reconcile.Observer, error) {
	log, err := openAudit(state, "", func(err error) { fmt.Fprintln(stderr, "hactl: the record of changes:", err) })
	if err != nil {
		return nil, nil, err
	}
	return log, reconcile.ObserverFunc(func(e reconcile.Event) {
		observer.Observe(e)
		log.Observe(e)
	}), nil
}
