package main

import (
	"encoding/json"
	"errors"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/follow"
	"github.com/hactl/hactl/schema"
)

func TestBriefIsTheFirstAndHowManyMore(t *testing.T) {
	for _, c := range []struct {
		lines []string
		most  int
		want  string
	}{
		{nil, 20, ""},
		{[]string{"one"}, 3, "one"},
		{[]string{"three"}, 4, "thr…"},
		{[]string{"one", "two"}, 20, "one +1 more"},
		{[]string{"onetwothree", "two", "x"}, 14, "onetw… +2 more"},
		{[]string{"äöüß", "two"}, 11, "äö… +1 more"},
		{[]string{"one", "two"}, 3, "… +1 more"},
	} {
		if got := brief(c.lines, c.most); got != c.want {
			t.Errorf("%q in %d: %q, want %q", c.lines, c.most, got, c.want)
		}
	}
}

// TestAForgeIsToldTheFirst: within its 140 characters, and how many more.
func TestAForgeIsToldTheFirst(t *testing.T) {
	sha := strings.Repeat("a", 40)
	finding := func(name string) reconcile.Finding {
		return reconcile.Finding{ID: schema.ID{Kind: schema.KindLoadBalancer, Name: name}, Message: "sessions pinned to origin a of pool tokyo are lost"}
	}
	long := strings.Repeat("w", 100) + ".example.com"
	for _, c := range []struct {
		ev   follow.Event
		want string
	}{
		{follow.Event{Kind: follow.EventApplied, Text: "3 steps"}, "applied at the edge: 3 steps"},
		{follow.Event{Kind: follow.EventApplied, Text: "3 steps", Impact: []reconcile.Finding{finding("a"), finding("b"), finding("c")}},
			"applied at the edge: 3 steps; loadBalancer/a sessions pinned to origin a of pool tokyo are lost +2 more"},
		{follow.Event{Kind: follow.EventApplied, Text: "3 steps", Impact: []reconcile.Finding{finding(long), finding("b")}},
			"applied at the edge: 3 steps; loadBalancer/" + strings.Repeat("w", 88) + "… +1 more"},
		{follow.Event{Kind: follow.EventRefused, Reason: follow.Guarded, Text: "one (--allow no-origin)\ntwo\nthree"}, "guarded: one (--allow no-origin) +2 more"},
		{follow.Event{Kind: follow.EventRefused, Reason: follow.Invalid, Text: "a\n  b"}, "invalid: a\n  b"},
		{follow.Event{Kind: follow.EventFailed, Err: errors.New("one\ntwo")}, "one +1 more"},
	} {
		c.ev.Revision = sha
		s, ok := commitStatus(c.ev, "lb01")
		if !ok || s.Description != c.want || utf8.RuneCountInString(s.Description) > 140 {
			t.Errorf("%q (%d), want %q", s.Description, utf8.RuneCountInString(s.Description), c.want)
		}
	}
}

// TestStatusAndLogTellOfTraffic: a line for each finding.
func TestStatusAndLogTellOfTraffic(t *testing.T) {
	web := reconcile.Finding{ID: schema.ID{Kind: schema.KindVirtualRouter, Name: "web"}, Message: "mastership moves lb01 -> lb02"}
	var shown, logged strings.Builder
	r := &agentReport{Edge: follow.EdgeState{Leadership: follow.Leadership{Mode: "host", Mine: true}, Impact: []reconcile.Finding{web}}}
	showAgent(&shown, r, time.Now())
	if !regexp.MustCompile(`(?m)^traffic +virtualRouter/web mastership moves lb01 -> lb02$`).MatchString(shown.String()) {
		t.Errorf("status:\n%s", shown.String())
	}
	b, err := json.Marshal(r)
	if err != nil || !strings.Contains(string(b), `"impact":[{"id":"virtualRouter/web","message":"mastership moves lb01 -\u003e lb02"}]`) {
		t.Errorf("status: %s, %v", b, err)
	}
	noticed(slog.New(slog.NewTextHandler(&logged, nil)), follow.Event{Impact: []reconcile.Finding{web}})
	if !strings.Contains(logged.String(), `level=INFO msg=traffic object=virtualRouter/web what="mastership moves lb01 -> lb02"`) {
		t.Errorf("log: %s", logged.String())
	}
}
