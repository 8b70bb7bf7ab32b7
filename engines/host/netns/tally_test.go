package netns

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

var noon = time.Unix(1700000000, 0)

func at(n int) time.Time { return noon.Add(time.Duration(n) * 10 * time.Millisecond) }

// told tells a tally of requests 10 ms apart: "+" is answered at once, "-" never,
// and a digit is answered after so many others.
func told(history string) *tally {
	var t tally
	late := map[int][]int{}
	for i, c := range history {
		number := t.send(at(i))
		switch {
		case c == '+':
			t.answer(number, at(i))
		case c != '-':
			late[i+int(c-'0')] = append(late[i+int(c-'0')], number)
		}
		for _, n := range late[i] {
			t.answer(n, at(i))
		}
	}
	return &t
}

func TestOutages(t *testing.T) {
	for _, c := range []struct {
		name, history string
		since, now    int
		want          []Outage
	}{
		{"none", "+++++", 0, 5, nil},
		{"nothing before the first answer", "-----+++", 0, 8, nil},
		{"never an answer", "--------------------------", 0, 500, nil},
		{"one lost is none", "++-+++", 0, 6, nil},
		{"two lost", "++--++", 0, 6, []Outage{{at(1), at(4), 2}}},
		{"two outages", "+---+--+", 0, 8, []Outage{{at(0), at(4), 3}, {at(4), at(7), 2}}},
		{"out of order", "+2+-----+", 0, 9, []Outage{{at(2), at(8), 5}}},
		{"late answers are answers", "+3210+", 0, 6, nil},
		{"on their way", "++++--", 0, 7, nil},
		{"one lasts", "++------", 0, 15, []Outage{{at(1), time.Time{}, 3}}},
		{"one lasts long", "++------", 0, 1500, []Outage{{at(1), time.Time{}, 6}}},
		{"one ended before", "+--+----", 3, 1500, []Outage{{at(3), time.Time{}, 4}}},
		{"one ended after", "+--+++++", 2, 9, []Outage{{at(0), at(3), 2}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := told(c.history).outages(at(c.since), at(c.now)); !slices.Equal(got, c.want) {
				t.Errorf("got  %v\nwant %v", got, c.want)
			}
		})
	}
}

func TestAnswersCountOnceAndInTime(t *testing.T) {
	var y tally
	n := y.send(at(0))
	y.answer(n, at(100))
	y.answer(n, at(100))
	y.answer(n+1, at(100))
	late := y.send(at(200))
	y.answer(late, at(301))
	y.answer(-1, at(301))
	if y.sent != 2 || y.answers != 1 {
		t.Errorf("%d sent, %d answered; want 2 and 1", y.sent, y.answers)
	}
}

// TestTallyForgetsNothingThatCounts compares with who remembers everything.
func TestTallyForgetsNothingThatCounts(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		var y tally
		var all []bool
		up := true
		for i := range 1000 {
			if r.IntN(20) == 0 {
				up = !up
			}
			n := y.send(at(i))
			all = append(all, up && r.IntN(10) > 0)
			if all[i] {
				y.answer(n, at(i))
			}
		}
		var want []Outage
		last, lost := -1, 0
		for i, ok := range all {
			if !ok {
				lost++
				continue
			}
			if last >= 0 && lost >= 2 {
				want = append(want, Outage{at(last), at(i), lost})
			}
			last, lost = i, 0
		}
		if last >= 0 && lost >= 2 {
			want = append(want, Outage{at(last), time.Time{}, lost})
		}
		if got := y.outages(noon.Add(-time.Second), at(5000)); !slices.Equal(got, want) {
			t.Fatalf("got  %v\nwant %v", got, want)
		}
		if len(y.pending) > 101 {
			t.Fatalf("%d requests are remembered", len(y.pending))
		}
	}
}

func TestTallyIsBounded(t *testing.T) {
	var y tally
	for i := range 3 * (maxOutages + 10) {
		if n := y.send(at(i)); i%3 == 0 {
			y.answer(n, at(i))
		}
	}
	if len(y.ended) > maxOutages || len(y.pending) > 101 {
		t.Errorf("%d outages and %d requests are remembered", len(y.ended), len(y.pending))
	}
}

func TestAdvertsAreBounded(t *testing.T) {
	h := newHearing()
	h.attach(&port{index: 1, host: "a", lan: "lan1"})
	for i := range maxAdverts + 10 {
		h.add(1, Advert{Time: at(i)})
		h.add(2, Advert{Time: at(i)})
	}
	got := h.since(noon)
	if len(got) != maxAdverts || got[0].Time != at(10) || got[maxAdverts-1].Time != at(maxAdverts+9) {
		t.Errorf("%d from %v to %v", len(got), got[0].Time, got[len(got)-1].Time)
	}
	if got := h.since(at(maxAdverts + 5)); len(got) != 5 {
		t.Errorf("%d since the last five", len(got))
	}
}

func TestAdvertsAreInOrder(t *testing.T) {
	h := newHearing()
	h.attach(&port{index: 1, host: "a", lan: "lan1"})
	for _, n := range []int{1, 3, 2, 5, 1, 4} { // as two processors may hand them over
		h.add(1, Advert{Time: at(n)})
	}
	var got []time.Time
	for _, a := range h.since(at(2)) {
		got = append(got, a.Time)
	}
	if want := []time.Time{at(2), at(3), at(4), at(5)}; !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestOwnersOfNames(t *testing.T) {
	for name, want := range map[string]int{
		"hactl-1a2b.switch": 0x1a2b, "hactl-1a2b-lb01": 0x1a2b,
		"hactl-1a2b": 0, "hactl-.switch": 0, "hactl-0-x": 0, "hactl-1-x": 0, "hactl-01a2b-x": 0, "hactl-lb01-x": 0,
		"hactl--5-x": 0, "other-1a2b-x": 0, "hactl-fffffffff-x": 0, "hactl-1A2B-x": 0,
	} {
		if pid, ok := owner(name, "hactl-"); ok != (want != 0) || ok && pid != want {
			t.Errorf("%s: %d, %v; want %d", name, pid, ok, want)
		}
	}
	if _, ok := owner("1a2b-x", ""); ok {
		t.Error("an empty prefix is taken")
	}
}

func TestSafeNamesAreUnique(t *testing.T) {
	taken := map[string]bool{}
	for host, want := range map[string]string{"lb01": "lb01"} {
		if got := safeName(host, taken); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for _, host := range []string{"../../etc", "...../etc", "", "a b", "a_b", "ä", "\x00\n"} {
		got := safeName(host, taken)
		for _, r := range got {
			if !(r == '_' || r == '-' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z') {
				t.Errorf("%q gives %q", host, got)
			}
		}
	}
	if len(taken) != 8 {
		t.Errorf("names: %v", taken)
	}
}
