package notify

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/hactl/hactl/schema"
)

// Message is something to tell. Kind is one of schema's events.
type Message struct {
	Kind string
	// Host that tells it; empty means the Notifier's.
	Host string
	// Subject is what it is about, such as the name of a Virtual Router.
	Subject string
	Text    string
	// Revision that was in force, where that says something.
	Revision string
	// Time it happened; zero means now.
	Time time.Time
	// Bundled is how many messages this one stands for; 0 is only itself.
	Bundled int
}

// mostSubjects bounds what a bundler remembers. What comes beyond is bundled
// as if it were one subject.
const mostSubjects = 1000

// bundler decides what is sent to one target. It reads no clock.
type bundler struct {
	window   time.Duration
	most     int
	subjects map[[2]string]*subject
}

// subject is what was told about one, by kind and subject.
type subject struct {
	began time.Time // of the window
	told  int       // in the window
	at    time.Time // the last was told
	last  Message   // that came, told or held
	held  int
	mixed bool // it stands for several
}

// add returns whether the message is to be sent now. What due has to say at that
// time comes first: it forgets what was told a window ago.
func (b *bundler) add(now time.Time, m Message) bool {
	key := [2]string{m.Kind, m.Subject}
	s := b.subjects[key]
	mixed := s == nil && len(b.subjects) >= mostSubjects
	if mixed {
		key = [2]string{m.Kind}
		s = b.subjects[key]
	}
	if s == nil {
		b.subjects[key] = &subject{began: now, told: 1, at: now, last: m, mixed: mixed}
		return true
	}
	if s.last.Text == m.Text && s.last.Subject == m.Subject {
		return false
	}
	s.last = m
	if now.Sub(s.began) >= b.window && s.held == 0 {
		s.began, s.told = now, 0
	}
	if s.told >= b.most {
		s.held++
		return false
	}
	s.told, s.at = s.told+1, now
	return true
}

// due returns what was held until now, sorted, and when to ask again: the zero
// time is never.
func (b *bundler) due(now time.Time) (send []Message, next time.Time) {
	for key, s := range b.subjects {
		end := s.began.Add(b.window)
		switch {
		case s.held > 0 && !now.Before(end):
			send = append(send, s.bundle(b.window))
			*s = subject{began: now, told: 1, at: now, last: s.last, mixed: s.mixed}
			end = s.at.Add(b.window)
		case s.held == 0:
			if end = s.at.Add(b.window); !now.Before(end) {
				delete(b.subjects, key)
				continue
			}
		}
		if next.IsZero() || end.Before(next) {
			next = end
		}
	}
	slices.SortFunc(send, func(a, b Message) int {
		return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Subject, b.Subject))
	})
	return send, next
}

// flush returns all that is held, as due does.
func (b *bundler) flush() []Message {
	var last time.Time
	for _, s := range b.subjects {
		if end := s.began.Add(b.window); end.After(last) {
			last = end
		}
	}
	send, _ := b.due(last)
	return send
}

// things says what there are more of.
var things = map[string]string{
	schema.OnTransition: "transitions", schema.OnRefused: "refusals", schema.OnApplied: "changes",
	schema.OnFailed: "failures", schema.OnDrift: "drifts", schema.OnLeader: "changes of the leader",
}

// bundle makes one message of those held.
func (s *subject) bundle(window time.Duration) Message {
	m := s.last
	if s.held == 1 {
		return m
	}
	what, ok := things[m.Kind]
	if !ok {
		what = "messages"
	}
	of := ""
	if m.Subject != "" && !s.mixed {
		of = " of " + m.Subject
	}
	m.Bundled = s.held
	m.Text = fmt.Sprintf("%d more %s%s in %s, the last: %s", s.held, what, of, schema.Duration(window), m.Text)
	return m
}
