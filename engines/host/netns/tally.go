package netns

import "time"

const (
	// answerLimit is how late an answer may be.
	answerLimit = time.Second
	// lostAfter is how old a request is that is said to be lost while nothing
	// after it has been answered.
	lostAfter = 100 * time.Millisecond
	// maxOutages bounds what is remembered.
	maxOutages = 4096
)

// Outage is a time without answers: from when the last answered request was sent
// to when the first answered one after it was. To is zero while it lasts.
type Outage struct {
	From, To time.Time
	Lost     int // requests in between: at least two, since one may be on its way
}

// For is how long it was, or has been by a time if it lasts.
func (o Outage) For(now time.Time) time.Duration {
	if o.To.IsZero() {
		return now.Sub(o.From)
	}
	return o.To.Sub(o.From)
}

// tally counts requests and answers. It knows the fate of requests up to
// pending; those are of the last answerLimit.
type tally struct {
	sent, answers int
	vain          int // sent before the first one that was answered
	pending       []request
	settled       int       // requests before pending
	last          time.Time // when the last answered one before pending was sent
	lost          int       // those after it, before pending
	ended         []Outage
}

type request struct {
	at       time.Time
	answered bool
}

// send is told of a request; its number is what answer is told.
func (t *tally) send(at time.Time) (number int) {
	t.settle(at)
	t.pending = append(t.pending, request{at: at})
	t.sent++
	return t.sent - 1
}

// answer is told of an answer, once or more.
func (t *tally) answer(number int, at time.Time) {
	t.settle(at)
	i := number - t.settled
	if i < 0 || i >= len(t.pending) || t.pending[i].answered {
		return
	}
	t.pending[i].answered = true
	if t.answers == 0 {
		t.vain = number
	}
	t.answers++
}

// settle takes out the requests whose fate is known.
func (t *tally) settle(now time.Time) {
	n := 0
	for _, r := range t.pending {
		if !r.answered && now.Sub(r.at) <= answerLimit {
			break
		}
		n++
		if !r.answered {
			t.lost++
			continue
		}
		if o, ok := t.outage(r.at); ok {
			t.ended = append(t.ended, o)
			if len(t.ended) > maxOutages {
				t.ended = t.ended[1:]
			}
		}
		t.last, t.lost = r.at, 0
	}
	t.settled += n
	t.pending = t.pending[n:]
}

// outage is the one that an answered request ends. What was before the first
// answer is none.
func (t *tally) outage(to time.Time) (Outage, bool) {
	return Outage{t.last, to, t.lost}, t.lost >= 2 && !t.last.IsZero()
}

// outages are those that ended after since, or last.
func (t *tally) outages(since, now time.Time) (list []Outage) {
	t.settle(now)
	for _, o := range t.ended {
		if o.To.After(since) {
			list = append(list, o)
		}
	}
	// What an answer has overtaken is as good as lost.
	overtaken := 0
	for i, r := range t.pending {
		if r.answered {
			overtaken = i
		}
	}
	ahead := *t
	for i, r := range t.pending {
		if !r.answered {
			if i < overtaken || now.Sub(r.at) > lostAfter {
				ahead.lost++
			}
			continue
		}
		if o, ok := ahead.outage(r.at); ok && o.To.After(since) {
			list = append(list, o)
		}
		ahead.last, ahead.lost = r.at, 0
	}
	if o, ok := ahead.outage(time.Time{}); ok {
		list = append(list, o)
	}
	return list
}
