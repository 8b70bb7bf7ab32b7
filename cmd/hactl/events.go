package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/hactl/hactl/engines/host"
	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/follow"
	"github.com/hactl/hactl/reconcile/status"
)

// events is where everything that an agent decides or finds passes: the log,
// the metrics and whoever else is told derive from the same values.
type events struct {
	r       *runner
	metrics *status.Metrics
	// leadership is poked when who leads may have changed.
	leadership chan struct{}
}

func newEvents(r *runner) *events { return &events{r: r, leadership: make(chan struct{}, 1)} }

// follow hears of what a Follower or Keeper decides.
func (e *events) follow(ev follow.Event) {
	e.metrics.Follow(ev)
	log := e.r.log.With("event", string(ev.Kind))
	if ev.Revision != "" {
		log = log.With("revision", ev.Revision)
	}
	if ev.Signer != "" {
		log = log.With("signer", ev.Signer)
	}
	switch ev.Kind {
	case follow.EventAccepted:
		log.Info("the revision runs", detail(ev.Text)...)
	case follow.EventRefused:
		for line := range strings.Lines(ev.Text) {
			log.Error(strings.TrimRight(line, "\n"), "reason", ev.Reason)
		}
		log.Error("the specification is refused, and nothing was changed", "reason", ev.Reason)
	case follow.EventFetch:
		if ev.Err != nil {
			log.Error("the specification cannot be read, and all goes on as it was", "err", ev.Err)
		} else {
			log.Info("the specification can be read again")
		}
	case follow.EventStore:
		log.Error("the state directory", "err", ev.Err)
	case follow.EventSuspended:
		log.Warn("suspended", "what", ev.Text)
	case follow.EventLeader:
		log.Info("leadership", "who", ev.Text)
	case follow.EventApplied:
		log.Info("the edge is as the revision has it", "done", ev.Text)
	case follow.EventFailed:
		log.Error("the edge is not as the revision has it", "err", ev.Err)
	case follow.EventDrift:
		log.Warn("drift", "what", ev.Text, "steps", len(ev.Steps))
	}
}

func detail(text string) []any {
	if text == "" {
		return nil
	}
	return []any{"how", text}
}

// step hears of a plan's execution.
func (e *events) step(ev reconcile.Event) {
	e.metrics.Observe(ev)
	level, args := slog.LevelInfo, []any{"step", string(ev.Step.Action), "object", ev.Step.ID.String()}
	switch ev.Kind {
	case reconcile.StepStarted:
		return
	case reconcile.StepFailed:
		level = slog.LevelError
	case reconcile.StepSkipped, reconcile.StepAborted:
		level = slog.LevelWarn
	case reconcile.WaitForBudget, reconcile.WaitForServer:
		level, args = slog.LevelWarn, []any{"pause", ev.Elapsed.String()}
	}
	if ev.Err != nil {
		args = append(args, "err", fmt.Sprint(ev.Err))
	}
	e.r.log.Log(context.Background(), level, string(ev.Kind), args...)
}

// engine hears of what the VRRP engine does.
func (e *events) engine(ev host.NumberedEvent) {
	if ev.Kind == "transition" {
		select {
		case e.leadership <- struct{}{}:
		default:
		}
	}
}
