package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"github.com/hactl/hactl/engines/host"
	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/audit"
	"github.com/hactl/hactl/reconcile/follow"
	"github.com/hactl/hactl/reconcile/forge"
	"github.com/hactl/hactl/reconcile/notify"
	"github.com/hactl/hactl/reconcile/status"
	"github.com/hactl/hactl/schema"
)

// events is where everything that an agent decides or finds passes: the log,
// the metrics and whoever else is told derive from the same values.
type events struct {
	r       *runner
	metrics *status.Metrics
	// statuses is nil where no forge is told.
	statuses *forge.Outbox
	notifier *notify.Notifier
	record   *audit.Log
	recent   *status.Recent
	// leadership is poked when who leads may have changed.
	leadership chan struct{}
}

func newEvents(r *runner) *events {
	e := &events{r: r, recent: &status.Recent{}, leadership: make(chan struct{}, 1)}
	e.notifier = notify.New(notify.Options{
		Host: r.host.name, Secret: r.around.secret, UserAgent: "hactl/" + version(),
		Report: func(target string, m notify.Message, err error) {
			if err != nil {
				r.log.Warn("notification", "target", target, "kind", m.Kind, "subject", m.Subject, "err", err)
			}
		},
	})
	return e
}

// start tells others until ctx ends, and then what is left; the channel is
// closed when that is done.
func (e *events) start(ctx context.Context) <-chan struct{} {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() { e.notifier.Run(ctx) })
	if e.statuses != nil {
		wg.Go(func() { e.statuses.Run(ctx) })
	}
	go func() {
		wg.Wait()
		close(done)
	}()
	return done
}

// mostImpact is how many characters a notification spends on what traffic notices.
const mostImpact = 400

// tell passes an event on to the forge and to whoever is to be notified.
func (e *events) tell(ev follow.Event) {
	host := e.r.hostName()
	if s, ok := commitStatus(ev, host); ok && e.statuses != nil {
		e.statuses.Put(s)
	}
	m := notify.Message{Host: host, Subject: "the specification", Text: ev.Text, Revision: ev.Revision, Time: ev.Time}
	switch ev.Kind {
	case follow.EventRefused:
		m.Kind, m.Text = schema.OnRefused, fmt.Sprintf("revision %s is refused (%s), and nothing was changed: %s", short(ev.Revision), ev.Reason, ev.Text)
	case follow.EventApplied:
		m.Kind, m.Subject, m.Text = schema.OnApplied, "the edge", fmt.Sprintf("revision %s is applied at the edge: %s", short(ev.Revision), withImpact(ev, mostImpact))
	case follow.EventFailed:
		m.Kind, m.Subject, m.Text = schema.OnFailed, "the edge", fmt.Sprintf("revision %s is not applied at the edge: %v", short(ev.Revision), ev.Err)
	case follow.EventWaits:
		if ev.Text == "" {
			return
		}
		m.Kind, m.Subject, m.Text = schema.OnFailed, "the edge", "this host leads, and changes nothing at the edge: "+ev.Text
	case follow.EventDrift:
		m.Kind, m.Subject = schema.OnDrift, "the edge"
	case follow.EventLeader:
		m.Kind, m.Subject = schema.OnLeader, "the edge"
	default:
		return
	}
	e.notifier.Send(m)
}

// follow hears of what a Follower or Keeper decides.
func (e *events) follow(ev follow.Event) {
	e.metrics.Follow(ev)
	e.recent.Follow(ev)
	decided(e.record, ev)
	e.tell(ev)
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
		noticed(log, ev)
	case follow.EventRefused:
		for line := range strings.Lines(ev.Text) {
			log.Error(strings.TrimRight(line, "\n"), "reason", ev.Reason)
		}
		log.Error("the specification is refused, and nothing was changed", "reason", ev.Reason)
	case follow.EventFetch:
		if ev.Err != nil && e.r.follower.Good() == nil {
			log.Error("the specification cannot be read, and nothing runs yet", "err", ev.Err)
		} else if ev.Err != nil {
			log.Error("the specification cannot be read, and all goes on as it was", "err", ev.Err)
		} else {
			log.Info("the specification can be read again")
		}
	case follow.EventStore:
		log.Error("the state directory", "err", ev.Err)
	case follow.EventHost:
		if ev.Err != nil {
			log.Error("this host cannot be told again what runs, and goes on as it was", "err", ev.Err)
		} else {
			log.Info("this host can be told again what runs")
		}
	case follow.EventWaits:
		if ev.Text != "" {
			log.Warn("the edge waits", "for", ev.Text)
		}
	case follow.EventSuspended:
		log.Warn("suspended", "what", ev.Text)
	case follow.EventLeader:
		log.Info("leadership", "who", ev.Text)
	case follow.EventApplied:
		log.Info("the edge is as the revision has it", "done", ev.Text)
		noticed(log, ev)
	case follow.EventFailed:
		log.Error("the edge is not as the revision has it", "err", ev.Err)
	case follow.EventHealth:
		if ev.Worse {
			log.Warn("the edge does worse", "what", ev.Text)
		} else {
			log.Info("the edge does better", "what", ev.Text)
		}
	case follow.EventDrift:
		log.Warn("drift", "what", ev.Text, "steps", len(ev.Steps))
	}
}

// noticed logs what traffic notices.
func noticed(log *slog.Logger, ev follow.Event) {
	for _, f := range ev.Impact {
		log.Info("traffic", "object", f.ID.String(), "what", f.Message)
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
	if e.record != nil {
		e.record.Observe(ev)
	}
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
		e.recent.Add(status.Line{Time: ev.Time, What: ev.Kind, Text: fmt.Sprintf("%s: %s to %s (%s)", ev.Router, ev.From, ev.To, ev.Cause)})
		select {
		case e.leadership <- struct{}{}:
		default:
		}
		if ev.To == "active" || ev.To == "fault" {
			host := e.r.hostName()
			e.notifier.Send(notify.Message{
				Kind: schema.OnTransition, Host: host, Subject: ev.Router, Time: ev.Time,
				Text: fmt.Sprintf("%s is %s on %s (%s)", ev.Router, ev.To, host, ev.Cause), Revision: e.r.follower.State().Revision,
			})
		}
	}
}
