package notify

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestBundling plays a timetable: each line is when (seconds), what comes in,
// and after the arrow what is sent then.
func TestBundling(t *testing.T) {
	const window, most = 300, 3
	for name, table := range map[string]string{
		"the same is sent once within the window, and again after it": `
			0   web active -> active
			1   web active ->
			299 web active ->
			300 web active -> active`,
		"what changes back is news": `
			0 web active -> active
			1 web fault  -> fault
			2 web active -> active`,
		"subjects do not share a window": `
			0 web a -> a
			1 web b -> b
			2 web c -> c
			3 web d ->
			4 dns d -> d`,
		"a flapping subject is told at the window's end": `
			0   web active -> active
			1   web fault  -> fault
			2   web active -> active
			3   web fault  ->
			4   web fault  ->
			5   web active ->
			6   web fault  ->
			299 -          ->
			300 -          -> 3 more transitions of web in 5m, the last: fault`,
		"one that is held is told as it was": `
			0   web a -> a
			1   web b -> b
			2   web c -> c
			3   web d ->
			300 -     -> d
			301 web d ->
			599 web d ->
			600 web d -> d`,
		"the summary counts in the next window": `
			0   web a -> a
			1   web b -> b
			2   web c -> c
			3   web d ->
			4   web e ->
			300 -     -> 2 more transitions of web in 5m, the last: e
			301 web f -> f
			302 web g -> g
			303 web h ->
			600 -     -> h
			900 -     ->
			901 web i -> i`,
		"a window that is over does not begin again for the same": `
			0   web a -> a
			299 web b -> b
			301 web b ->
			599 web b -> b`,
	} {
		b := bundler{window: window * time.Second, most: most, subjects: map[[2]string]*subject{}}
		start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		for line := range strings.Lines(strings.TrimSpace(table)) {
			in, want, _ := strings.Cut(line, "->")
			var at int
			var subject, text string
			if n, err := fmt.Sscan(in, &at, &subject, &text); n < 2 {
				t.Fatal(line, err)
			}
			now := start.Add(time.Duration(at) * time.Second)
			var got []string
			due, next := b.due(now)
			for _, m := range due {
				got = append(got, m.Text)
			}
			if !next.IsZero() && !next.After(now) {
				t.Errorf("%s: %s: asks to be asked in the past", name, line)
			}
			if subject != "-" && b.add(now, Message{Kind: "transition", Subject: subject, Text: text, Time: now}) {
				got = append(got, text)
			}
			if strings.Join(got, " ") != strings.TrimSpace(want) {
				t.Errorf("%s: %s: got %q", name, strings.TrimSpace(line), got)
			}
		}
	}
}

func TestManySubjectsTakeNoMoreMemory(t *testing.T) {
	b := bundler{window: time.Minute, most: 3, subjects: map[[2]string]*subject{}}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	sent := 0
	for i := range 2000 {
		if b.add(now, Message{Kind: "drift", Subject: fmt.Sprint("s", i), Text: "x"}) {
			sent++
		}
	}
	if len(b.subjects) != mostSubjects+1 || sent != mostSubjects+3 {
		t.Errorf("%d subjects, %d sent", len(b.subjects), sent)
	}
	held := b.flush()
	if len(held) != 1 || held[0].Text != "997 more drifts in 1m, the last: x" || held[0].Bundled != 997 {
		t.Errorf("%+v", held)
	}
	if _, next := b.due(now.Add(time.Hour)); !next.IsZero() || len(b.subjects) != 0 {
		t.Errorf("%d subjects left", len(b.subjects))
	}
}
