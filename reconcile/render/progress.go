package render

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/hactl/hactl/reconcile"
)

// Progress shows the events of a run: one line that is rewritten on a
// terminal, a line for each step elsewhere. It is an Observer and may be
// called concurrently.
type Progress struct {
	W        io.Writer
	Terminal bool
	Style    Style

	mu   sync.Mutex
	open bool // an unfinished line stands on the terminal
}

var verbs = map[reconcile.Action][2]string{
	reconcile.Create:  {"creating", "created"},
	reconcile.Update:  {"updating", "updated"},
	reconcile.Replace: {"replacing", "replaced"},
	reconcile.Delete:  {"deleting", "deleted"},
}

// Observe shows one event.
func (p *Progress) Observe(e reconcile.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	counter := fmt.Sprintf("[%d/%d]", e.Done, e.Total)
	verb := verbs[e.Step.Action]
	switch e.Kind {
	case reconcile.StepStarted:
		p.status("%s %s %s", counter, verb[0], e.Step.ID)
	case reconcile.StepDone:
		if p.Terminal {
			p.status("%s %s %s", counter, verb[1], e.Step.ID)
			return
		}
		p.line("%s %s %s", counter, verb[1], e.Step.ID)
	case reconcile.StepFailed:
		p.line("%s %s %s", counter, p.Style.paint(red, "failed"), clean(fmt.Sprint(e.Err)))
	case reconcile.StepSkipped:
		p.line("%s %s %s: %s", counter, p.Style.paint(yellow, "skipped"), e.Step.ID, clean(fmt.Sprint(e.Err)))
	case reconcile.StepAborted:
		p.line("%s %s %s: interrupted", counter, p.Style.paint(yellow, "left"), e.Step.ID)
	case reconcile.WaitForBudget:
		p.line("waiting %s: the request budget is used up", e.Elapsed.Round(time.Second))
	case reconcile.WaitForServer:
		p.line("waiting %s: Cloudflare asks to", e.Elapsed.Round(time.Second))
	}
}

// Close ends an unfinished line.
func (p *Progress) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
}

func (p *Progress) clear() {
	if p.open {
		_, _ = fmt.Fprint(p.W, "\r\x1b[K")
		p.open = false
	}
}

func (p *Progress) status(format string, args ...any) {
	if p.Terminal {
		_, _ = fmt.Fprintf(p.W, "\r\x1b[K"+format, args...)
		p.open = true
	}
}

func (p *Progress) line(format string, args ...any) {
	p.clear()
	_, _ = fmt.Fprintln(p.W, fmt.Sprintf(format, args...))
}
