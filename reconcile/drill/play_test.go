package drill

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hactl/hactl/schema"
)

// actor is a Lab of two hosts that do as they are told: it keeps who had the
// address when, and everything else derives from that.
type actor struct {
	dir   string
	specs map[string]*schema.Spec // by what the folder's edge.cue holds; nil is invalid

	// What it does when the Active one goes.
	takes    time.Duration // until the other has the address
	silent   time.Duration // for which nobody answers
	next     string        // who gets it
	loses    bool          // a silence of 2 s at any other step
	deaf     map[string]bool
	lastWord bool // the former one is heard once more
	flaps    bool // the next one loses the address at once, and gets it back
	mute     bool // nobody hears advertisements
	vrid     int  // on the wire; 0 for that of the specification
	edge     string
	strict   bool // maintenance does not evaluate

	mu       sync.Mutex
	head     string
	refused  string
	seats    []seat
	zeros    []Advert
	silences []Silence
	down     map[string]bool
	drifted  time.Time // until then
}

type seat struct {
	host       string
	start, end time.Time
}

const period = time.Second // of advertisements

func (a *actor) Push(_ context.Context, _ string, edit func(string) error) (string, *schema.Spec, error) {
	if err := edit(a.dir); err != nil {
		return "", nil, err
	}
	f, err := readFolder(a.dir)
	if err != nil {
		return "", nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	revision := "rev" + time.Now().String()
	_, wrong := f[mistakeFile]
	if _, drains := f[maintenanceFile]; wrong || drains && a.strict {
		time.AfterFunc(time.Second, func() { a.mu.Lock(); a.refused = revision; a.mu.Unlock() })
		return revision, nil, &InvalidError{"edge.cue:1:1: it is wrong"}
	}
	time.AfterFunc(time.Second, func() { a.mu.Lock(); a.head, a.refused = revision, ""; a.mu.Unlock() })
	if len(a.seats) == 0 {
		a.seats = append(a.seats, seat{host: "lb01", start: time.Now().Add(4 * period)})
	}
	if a.loses && len(a.silences) == 0 && a.head != "" {
		a.silences = append(a.silences, Silence{From: time.Now(), To: time.Now().Add(2 * time.Second), Lost: 400})
	}
	return revision, a.specs[string(f["edge.cue"])], nil
}

// move gives the address to the next one.
func (a *actor) move(silence bool) {
	now := time.Now()
	a.seats[len(a.seats)-1].end = now
	if a.flaps {
		a.seats = append(a.seats, seat{a.next, now.Add(a.takes), now.Add(a.takes + period)}, seat{"lb01", now.Add(a.takes + 2*period), now.Add(a.takes + 3*period)})
		a.seats = append(a.seats, seat{host: a.next, start: now.Add(a.takes + 4*period)})
	} else if a.next != "" {
		if a.lastWord {
			a.zeros = append(a.zeros, Advert{now.Add(a.takes + time.Millisecond), "lb01", "eth0", 50, false, 100})
		}
		a.seats = append(a.seats, seat{host: a.next, start: now.Add(a.takes)})
	}
	if silence || a.silent > 0 {
		a.silences = append(a.silences, Silence{From: now, To: now.Add(a.silent), Lost: 1 + int(a.silent/(5*time.Millisecond))})
	}
}

func (a *actor) Power(_ context.Context, host string, on bool) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.down[host] = !on
	if !on && a.seats[len(a.seats)-1].host == host {
		a.move(true)
	}
	return nil
}

func (a *actor) Run(_ context.Context, host string, on bool) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.down[host] = !on
	if !on {
		a.zeros = append(a.zeros, Advert{time.Now().Add(1), host, "eth0", 50, false, 0})
		a.move(false)
	}
	return nil
}

func (a *actor) Cable(context.Context, string, string, bool) error { return errors.ErrUnsupported }
func (a *actor) Split(context.Context, []string, bool) error       { return errors.ErrUnsupported }
func (a *actor) Check(context.Context, string, string, bool) error { return errors.ErrUnsupported }
func (a *actor) Service(context.Context, string, bool) error       { return nil }

func (a *actor) Drift(context.Context, schema.ID) error {
	a.drifted = time.Now().Add(2 * time.Second)
	return nil
}

func (a *actor) Drifted(context.Context, schema.ID) (bool, error) {
	return time.Now().Before(a.drifted), nil
}

func (a *actor) Hosts(context.Context) map[string]Host {
	a.mu.Lock()
	defer a.mu.Unlock()
	hosts := map[string]Host{}
	for _, name := range []string{"lb01", "lb02"} {
		if a.down[name] {
			continue
		}
		h := Host{Revision: a.head, Refused: a.refused, Why: "it is wrong", Edge: a.edge, Leads: a.edge != "" && name == "lb02", Routers: map[string]RouterState{}}
		if a.deaf[name] {
			h.Revision, h.Refused = "", ""
		}
		if a.head != "" {
			state := "backup"
			for _, s := range a.seats {
				if s.host == name && !time.Now().Before(s.start) && s.end.IsZero() {
					state = "active"
				}
			}
			h.Routers["web"] = RouterState{State: state, VRID: a.vrid}
		}
		hosts[name] = h
	}
	return hosts
}

func (a *actor) Adverts(since time.Time) []Advert {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.mute {
		return nil
	}
	all := slices.Clone(a.zeros)
	for _, s := range a.seats {
		for at := s.start; !at.After(time.Now()) && (s.end.IsZero() || !at.After(s.end)); at = at.Add(period) {
			all = append(all, Advert{at, s.host, "eth0", 50, false, 100})
		}
	}
	all = slices.DeleteFunc(all, func(x Advert) bool { return x.Time.Before(since) })
	slices.SortFunc(all, func(x, y Advert) int { return x.Time.Compare(y.Time) })
	return all
}

func (a *actor) Silences(since time.Time) map[netip.Addr][]Silence {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := slices.DeleteFunc(slices.Clone(a.silences), func(s Silence) bool { return !s.To.After(since) })
	return map[netip.Addr][]Silence{netip.MustParseAddr("192.168.0.40"): list}
}

// stage has the pair played by an actor.
func stage(t *testing.T) (*actor, string) {
	dir := t.TempDir()
	start := filepath.Join(dir, "start")
	if err := os.MkdirAll(start, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(start, "edge.cue"), []byte(pair), 0o644); err != nil {
		t.Fatal(err)
	}
	a := &actor{
		dir: filepath.Join(dir, "work"), takes: 3610 * time.Millisecond, silent: 3612 * time.Millisecond, next: "lb02",
		specs: map[string]*schema.Spec{pair: specOf(t, pair)}, down: map[string]bool{}, deaf: map[string]bool{},
	}
	if err := os.MkdirAll(a.dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return a, start
}

func play(t *testing.T, a *actor, start, text string) ([]*Outcome, error) {
	t.Helper()
	p := &Player{Lab: a, Resync: 3 * time.Second, Poll: time.Second}
	if _, err := p.Open(t.Context(), start); err != nil {
		t.Fatal(err)
	}
	s, err := Parse("x", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return p.Play(t.Context(), s)
}

// TestWhatIsMeasured: the same death, and what is done otherwise each time.
func TestWhatIsMeasured(t *testing.T) {
	for _, c := range []struct {
		name, script string
		act          func(*actor)
		deviates     string // "" for not at all
	}{
		{"as predicted", "kill lb01\nexpect active web lb02", func(*actor) {}, ""},
		{"a little late", "kill lb01", func(a *actor) { a.takes += 300 * time.Millisecond }, ""},
		{"too late", "kill lb01", func(a *actor) { a.takes += 500 * time.Millisecond }, "web: the switch took 4.11s, and 3.609s was predicted"},
		{"too early", "kill lb01", func(a *actor) { a.takes -= 2 * time.Second }, "web: the switch took 1.61s, and 3.609s was predicted"},
		{"silent for longer than the switch", "kill lb01", func(a *actor) { a.silent = 5 * time.Second }, "web: nobody answered for 5s, and 3.609s was predicted"},
		{"nobody takes over", "kill lb01", func(a *actor) { a.next = "" }, "not in time"},
		{"a stop", "stop lb01\nexpect silence 0s", func(a *actor) { a.takes, a.silent = 610*time.Millisecond, 0 }, ""},
		{"a stop that is a break", "stop lb01", func(a *actor) { a.takes, a.silent = 610*time.Millisecond, 600*time.Millisecond }, "web: nobody answered for 600ms, and 0s was predicted"},
		{"a stop that takes the time of a death", "stop lb01", func(a *actor) { a.silent = 0 }, "web: the switch took 3.61s, and 609ms was predicted"},
		{"an expectation", "kill lb01\nexpect silence 1s", func(*actor) {}, "web did not answer for 3.612s, and at most 1s was expected"},
		{"another", "kill lb01\nexpect active web lb01", func(*actor) {}, "lb02 is Active for web, and lb01 was expected"},
		{"drift", "drift pool/tokyo", func(*actor) {}, "the specification has no"},
		{"a mistake", "mistake\nexpect refused\nrevert", func(*actor) {}, ""},
		{"a mistake that nobody can read yet", "service git down\nmistake\nservice git up\nexpect refused\nrevert", func(*actor) {}, ""},
		{"no mistake", "maintenance lb02 off\nexpect refused", func(*actor) {}, "maintenance lb02 off was not refused"},
		{"a push that costs answers", "maintenance lb02 off", func(a *actor) { a.loses = true }, "web: nobody answered for 2s, and 0s was predicted"},
		{"a host that does not follow", "mistake", func(a *actor) {
			time.AfterFunc(7*time.Second, func() { a.mu.Lock(); a.deaf["lb02"] = true; a.mu.Unlock() })
		}, "not in time, which was 34s: lb02 has not refused the revision"},
		{"a flap", "kill lb01", func(a *actor) { a.flaps = true }, "web: lb01, lb02, lb01, lb02 were Active in turn, and that it goes from lb01 to lb02 was predicted"},
		{"a last word", "stop lb01", func(a *actor) { a.takes, a.silent, a.lastWord = 610*time.Millisecond, 0, true }, ""},
		{"a switch that nobody sees", "kill lb01", func(a *actor) { a.mute = true }, "web: the switch was not seen, and 3.609s was predicted"},
		{"two silences", "kill lb01", func(a *actor) {
			a.silences = append(a.silences, Silence{From: time.Now().Add(20 * time.Second), To: time.Now().Add(23 * time.Second)})
		}, "web: nobody answered for 6.612s in all, and 3.609s was predicted"},
		{"other parameters on the wire", "maintenance lb02 off", func(a *actor) {
			time.AfterFunc(7*time.Second, func() { a.mu.Lock(); a.vrid = 51; a.mu.Unlock() })
		}, "web: VRID 51 is on the wire still, on lb01"},
		{"an edge that refuses", "maintenance lb02 off", func(a *actor) {
			time.AfterFunc(7*time.Second, func() { a.mu.Lock(); a.edge = "a guard rail"; a.mu.Unlock() })
		}, "the edge is not as the revision has it: a guard rail"},
		{"a maintenance that does not evaluate", "maintenance lb01 on", func(a *actor) { a.strict = true }, "the specification does not evaluate with that"},
		{"a maintenance that is not ended", "maintenance lb01 off", func(a *actor) {
			spec := *a.specs[pair]
			spec.Hosts = maps.Clone(spec.Hosts)
			h := spec.Hosts["lb01"]
			h.Maintenance = true
			spec.Hosts["lb01"] = h
			time.AfterFunc(time.Second, func() { a.mu.Lock(); a.specs = map[string]*schema.Spec{pair: &spec}; a.mu.Unlock() })
		}, "lb01 is in maintenance as before: the specification itself says so"},
		{"a stop, a kill and a boot", "stop lb01\nkill lb01", func(a *actor) { a.takes, a.silent = 610*time.Millisecond, 0 }, ""},
		{"nobody is served", "kill lb01\nkill lb02\nexpect active web nobody\nexpect unserved virtualRouter/web\nexpect served virtualRouter/web", func(a *actor) {
			time.AfterFunc(12*time.Second, func() { a.mu.Lock(); a.next = ""; a.mu.Unlock() })
		}, "virtualRouter/web is not served"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, start := stage(t)
			synctest.Test(t, func(t *testing.T) {
				c.act(a)
				outcomes, err := play(t, a, start, c.script)
				var deviations []string
				for _, o := range outcomes {
					deviations = append(append(deviations, o.Deviations...), o.Times...)
				}
				if err != nil {
					deviations = append(deviations, err.Error())
				}
				all := strings.Join(deviations, "\n")
				if c.deviates == "" && all != "" || !strings.Contains(all, c.deviates) {
					t.Errorf("deviates: %q, want %q", all, c.deviates)
				}
			})
		})
	}
}

// TestWhatACheckTakes: until it has found that something fails, requests reach
// that.
func TestWhatACheckTakes(t *testing.T) {
	p := &Player{world: newWorld()}
	p.world.follow(specOf(t, pair+"checks: caddy: {interval: \"200ms\", timeout: \"100ms\", fall: 4}\n"))
	x := Prediction{Router: "web", From: []string{"lb01"}, To: []string{"lb02"}, Cause: Release}
	for _, c := range []struct {
		args        []string
		after       time.Duration
		found, most time.Duration
		late        int
	}{
		{[]string{"lb01", "caddy", "fail"}, 650 * time.Millisecond, 650 * time.Millisecond, 800 * time.Millisecond, 0},
		{[]string{"lb01", "caddy", "fail"}, 1200 * time.Millisecond, 1200 * time.Millisecond, 800 * time.Millisecond, 1},
		{[]string{"lb01", "caddy", "pass"}, 650 * time.Millisecond, 0, 0, 0},
	} {
		o := &Outcome{Step: Step{Verb: Check, Args: c.args}, At: time.Now()}
		adverts := []Advert{{o.At.Add(time.Millisecond), "lb01", "eth0", 50, false, 150}, {o.At.Add(c.after), "lb01", "eth0", 50, false, 0}}
		for range 2 { // as for two Virtual Routers
			p.find(o, x, adverts)
		}
		if time.Duration(o.Found) != c.found || time.Duration(o.Within) != c.most || len(o.Times) != c.late {
			t.Errorf("%v after %s: %+v", c.args, c.after, o)
		}
	}
}

// TestAFlapIsTold: to another host and back.
func TestAFlapIsTold(t *testing.T) {
	p := &Player{world: newWorld()}
	p.world.follow(specOf(t, pair))
	for to, way := range map[string]string{"lb01": "that it stays with lb01", "lb02": "that it goes from lb01 to lb02"} {
		o := &Outcome{}
		is := []string{to}
		s := &Switched{Prediction: Prediction{Router: "web", From: []string{"lb01"}, To: is}, Now: is}
		p.judge(o, s, 0, []string{"lb01", "lb02", "lb01"})
		if want := "web: lb01, lb02, lb01 were Active in turn, and " + way + " was predicted"; !slices.Equal(o.Deviations, []string{want}) {
			t.Errorf("%q, want %q", o.Deviations, want)
		}
	}
}

// equal is the pair with one priority.
var equal = strings.Replace(pair, "150", "100", 1)

// TestOfEqualsWhoeverIsFirst: neither takes over from the other, so that the
// address is with the one that was there first.
func TestOfEqualsWhoeverIsFirst(t *testing.T) {
	a, start := stage(t)
	a.specs[equal] = specOf(t, equal)
	if err := os.WriteFile(filepath.Join(start, "edge.cue"), []byte(equal), 0o644); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		p := &Player{Lab: a, Resync: 3 * time.Second, Poll: time.Second}
		o, err := p.Open(t.Context(), start)
		if err != nil {
			t.Fatal(err)
		}
		if len(o.Deviations) > 0 || len(o.Routers) != 1 || !slices.Equal(o.Routers[0].To, []string{"lb01"}) {
			t.Errorf("%+v", o)
		}
	})
}

// TestWhatCannotBePlayed: the error has the line, and says why.
func TestWhatCannotBePlayed(t *testing.T) {
	for script, says := range map[string]string{
		"say x\nkill lb01\nkill lb01":   "x:3: kill lb01: it has no power already",
		"start lb01":                    "x:1: start lb01: hactl run is started there already",
		"heal":                          "x:1: heal: there is no split",
		"push nowhere":                  "x:1: push nowhere: stat",
		"edit other.cue a b":            "x:1: edit other.cue a b: other.cue: the specification has no such file",
		"revert":                        "x:1: revert: there is no push to take back",
		"plug lb01":                     "x:1: plug lb01: it is plugged already",
		"plug lb01 eth0":                "x:1: plug lb01 eth0: it is plugged already",
		"edit ../start/edge.cue lb01 b": "want a file of the specification",
		"edit edge.cue nothing b":       `it has no "nothing"`,
		"edit edge.cue lb01 b":          `in 2 places: give more of it`,
		"expect served hostname/x":      `the specification has no entry point "hostname/x"; there are virtualRouter/web`,
		"kill lb07":                     `x:1: kill lb07: the specification has no host "lb07"`,
	} {
		a, start := stage(t)
		synctest.Test(t, func(t *testing.T) {
			if _, err := play(t, a, start, script); err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%q: %v, want %q", script, err, says)
			}
		})
	}
}

// TestAPushIsTakenBack: what a drill adds to a folder goes with it, and what is
// none of its business stays.
func TestAPushIsTakenBack(t *testing.T) {
	a, start := stage(t)
	synctest.Test(t, func(t *testing.T) {
		if err := os.WriteFile(filepath.Join(a.dir, ".keep"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := play(t, a, start, "mistake\nrevert"); err != nil {
			t.Fatal(err)
		}
		f, err := readFolder(a.dir)
		if err != nil || len(f) != 1 || string(f["edge.cue"]) != pair {
			t.Errorf("the folder has %q, %v", f, err)
		}
		if _, err := os.Stat(filepath.Join(a.dir, ".keep")); err != nil {
			t.Error(err)
		}
		if _, err := play(t, a, start, "maintenance lb01 on\nrevert\nmaintenance lb02 on"); err != nil {
			t.Fatal(err)
		}
		if f, err = readFolder(a.dir); err != nil || !slices.Equal(drainedIn(f), []string{"lb02"}) {
			t.Errorf("in maintenance are %v, %v", drainedIn(f), err)
		}
	})
}

// TestLinksAreFollowed: a specification may be one, and have some.
func TestLinksAreFollowed(t *testing.T) {
	_, start := stage(t)
	dir := filepath.Dir(start)
	for at, to := range map[string]string{"link": "start", "start/more.cue": "../more.cue", "start/folder": ".."} {
		if err := os.Symlink(to, filepath.Join(dir, at)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "more.cue"), []byte("package edge\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := readFolder(filepath.Join(dir, "link"))
	if names := strings.Join(sorted(f), " "); err != nil || names != "edge.cue more.cue" {
		t.Errorf("the folder has %s, %v", names, err)
	}
}

func TestMaintenanceIsAFileOfItsOwn(t *testing.T) {
	dir := t.TempDir()
	if err := drain(dir, []string{"lb01"}); err == nil {
		t.Error("a folder without a package gets one")
	}
	if err := os.WriteFile(filepath.Join(dir, "a.cue"), []byte("// package no\npackage  home // ours\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := drain(dir, []string{"lb02", "lb01"}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, maintenanceFile))
	if want := "package home\n\nhosts: \"lb01\": maintenance: true\nhosts: \"lb02\": maintenance: true\n"; err != nil || string(b) != want {
		t.Errorf("%q, %v", b, err)
	}
	if err := drain(dir, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, maintenanceFile)); err == nil {
		t.Error("nobody is in maintenance, and the file is there")
	}
}

// TestTheStandardDrill plays what there is to play, and no more.
func TestTheStandardDrill(t *testing.T) {
	var verbs []string
	for _, s := range Standard(specOf(t, pair)).Steps {
		if s.Verb != Say {
			verbs = append(verbs, s.String())
		}
	}
	want := "kill lb01,boot lb01,stop lb01,start lb01,maintenance lb01 on,maintenance lb01 off,mistake,expect refused,revert"
	if got := strings.Join(verbs, ","); got != want {
		t.Errorf("got %s", got)
	}
	if err := Standard(specOf(t, pair)).Fits(specOf(t, pair)); err != nil {
		t.Error(err)
	}
	verbs = nil
	for _, s := range Standard(specOf(t, equal)).Steps[:10] {
		if s.Verb != Say {
			verbs = append(verbs, s.String())
		}
	}
	// Who comes back does not take over.
	want = "kill lb02,boot lb02,stop lb01,start lb01,maintenance lb02 on,maintenance lb02 off"
	if got := strings.Join(verbs, ","); got != want {
		t.Errorf("got %s", got)
	}
	alone := specOf(t, "package edge\nstack: \"one\"\nhosts: a: address: \"192.0.2.1\"\ndnsRecords: www: {zone: \"example.com\", name: \"www.example.com\", type: \"A\", content: \"192.0.2.9\"}\n")
	if got := Standard(alone).Steps; len(got) != 6 || got[1].String() != "drift dnsRecord/www" {
		t.Errorf("got %v", got)
	}
	tunnel := specOf(t, "package edge\nstack: \"one\"\nhosts: a: address: \"192.0.2.1\"\ntunnels: t: {connectors: [\"a\"], ingress: [{hostname: \"www.example.com\", service: \"http://127.0.0.1:80\"}]}\n")
	if got := Standard(tunnel).Steps; len(got) != 9 || got[1].String() != "kill a" || got[2].String() != "boot a" || got[4].String() != "drift dnsRecord/www.example.com" {
		t.Errorf("got %v", got)
	}
	if err := Standard(tunnel).Fits(tunnel); err != nil {
		t.Error(err)
	}
}
