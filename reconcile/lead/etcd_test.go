package lead

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const ttl = 2 * time.Second

func TestOneOfTwoHostsLeads(t *testing.T) {
	t.Parallel()
	s := newServer(t).start()
	long := options("lb01", s.url())
	long.TTL = 12 * time.Second // that the next one does not wait for
	a := run(t, long)
	first := a.wait(true)
	long.Identity = "lb02"
	b := run(t, long)
	if who := b.leader(); who != "lb01" {
		t.Errorf("%q leads", who)
	}
	if err := a.confirm(first); err != nil {
		t.Error(err)
	}
	for _, term := range []int64{0, first - 1, first + 1} {
		if err := a.confirm(term); err != ErrLost {
			t.Errorf("term %d: %v", term, err)
		}
	}
	if _, ok := b.Leads(); ok || b.confirm(first) != ErrLost {
		t.Error("both lead")
	}

	b.entered()
	at := time.Now()
	a.resign()
	if _, ok := a.Leads(); ok {
		t.Error("it has resigned, and leads")
	}
	second := b.wait(true)
	if took := time.Since(at); took > long.TTL/2 {
		t.Errorf("the next one led after %v", took)
	}
	if second <= first {
		t.Errorf("term %d follows term %d", second, first)
	}
	if who := a.leader(); who != "lb02" {
		t.Errorf("%q leads", who)
	}
	other := options("lb01", s.url())
	other.Stack = "elsewhere"
	run(t, other).wait(true) // another election
	b.resign()
	if who := a.leader(); who != "" {
		t.Errorf("%q leads", who)
	}
}

func TestAHostThatIsCutOffKnowsFirst(t *testing.T) {
	t.Parallel()
	s := newServer(t).start()
	l := newLine(t, s.client)
	a := run(t, options("lb01", "http://"+l.Addr().String()))
	term := a.wait(true)
	b := run(t, options("lb02", s.url()))
	b.leader()
	// Renewals keep it.
	for began := time.Now(); a.held.Load().sent.Before(began.Add(ttl)); {
		if err := a.confirm(term); err != nil {
			t.Fatal(err)
		}
	}
	l.cut(true)
	at := time.Now()
	for other := false; !other; {
		_, other = b.Leads() // first: what a says afterwards is no excuse
		if _, ok := a.Leads(); ok && other {
			t.Error("both lead")
		}
		if time.Since(at) > limit {
			t.Fatal("nobody leads")
		}
		select {
		case <-b.Changes():
		case <-time.After(time.Millisecond):
		}
	}
	if took := time.Since(at); took > 5*ttl {
		t.Errorf("the other led after %v", took)
	}
	if err := a.confirm(term); err != ErrLost {
		t.Errorf("confirmed: %v", err)
	}
	l.cut(false)
	b.resign()
	if again := a.wait(true); again <= term {
		t.Errorf("term %d follows term %d", again, term)
	}
}

func TestOneDeadEndpointOfTwoCostsNoLeadership(t *testing.T) {
	t.Parallel()
	s := newServer(t).start()
	l := newLine(t, s.client)
	o := options("lb01", "http://"+l.Addr().String())
	o.Endpoints = append(o.Endpoints, s.url())
	o.TTL = 3 * time.Second
	a := run(t, o)
	term := a.wait(true)
	l.cut(true)
	// Long enough for any request that gets lost to be missed.
	for began := time.Now(); ; {
		held := a.held.Load()
		if again, ok := a.Leads(); !ok || again != term || held == nil {
			t.Fatalf("term %d, %v", again, ok)
		}
		if held.sent.After(began.Add(3 * o.TTL)) {
			return
		}
		select {
		case <-a.Changes():
		case <-time.After(time.Millisecond):
		}
	}
}

// TestMain is also the host that gets stopped: on each line it reads, it says
// what it knows of its leadership.
func TestMain(m *testing.M) {
	endpoint := os.Getenv("HACTL_TEST_LEADER")
	if endpoint == "" {
		os.Exit(m.Run())
	}
	e, err := Etcd(options("stopped", endpoint))
	if err != nil {
		panic(err)
	}
	go e.Run(context.Background())
	var term int64
	for ok := false; !ok; term, ok = e.Leads() {
		<-e.Changes()
	}
	fmt.Println("leads")
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		_, ok := e.Leads()
		fmt.Println(ok, e.Confirm(context.Background(), term))
	}
}

func TestAProcessThatWasStoppedLeadsNoMore(t *testing.T) {
	t.Parallel()
	s := newServer(t).start()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), "HACTL_TEST_LEADER="+s.url())
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	said := bufio.NewScanner(out)
	ask := func(question, want string) {
		t.Helper()
		if _, err := io.WriteString(in, question); err != nil {
			t.Fatal(err)
		}
		if !said.Scan() || said.Text() != want {
			t.Fatalf("it says %q, want %q", said.Text(), want)
		}
	}
	ask("", "leads")
	ask("\n", "true <nil>")
	b := run(t, options("lb02", s.url()))
	if who := b.leader(); who != "stopped" {
		t.Fatalf("%q leads", who)
	}
	if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	b.wait(true)
	// The question is there before the process goes on.
	if _, err := io.WriteString(in, "\n"); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	ask("", "false "+ErrLost.Error())
}

func TestNobodyLeadsWithoutEtcd(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	var log notes
	o := options("lb01", s.url())
	o.TTL = 5 * time.Second                          // longer than etcd takes to start again
	o.Log = slog.New(slog.NewTextHandler(&log, nil)) // at info, as hosts have it
	a := run(t, o)
	for began := time.Now(); !strings.Contains(log.String(), "not in the election"); {
		if time.Since(began) > limit {
			t.Fatal("it does not give up")
		}
		select {
		case <-a.Changes():
			t.Error("something changed")
		case <-time.After(5 * time.Millisecond):
		}
	}
	if _, ok := a.Leads(); ok {
		t.Error("it leads")
	}
	s.start()
	term := a.wait(true)

	// A short restart goes by unnoticed: the lease is on etcd's disk.
	s.stop()
	s.start()
	if who := a.leader(); who != "lb01" {
		t.Errorf("%q leads", who)
	}
	if err := a.confirm(term); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	s.stop()
	if a.wait(false); a.confirm(term) != ErrLost {
		t.Error("the term goes on")
	}
	at := time.Now()
	a.resign()
	if took := time.Since(at); took > o.TTL { // it promises two seconds
		t.Errorf("it took %v to resign", took)
	}
	var said []string
	for l := range strings.Lines(log.String()) {
		_, l, _ = strings.Cut(l, "level=")
		said = append(said, strings.Join(strings.Fields(l)[:2], " "))
	}
	// One line for each change, whatever the client tried in between.
	// Whether the last outage is one still depends on when it resigned.
	if want := "WARN msg=\"not,INFO msg=leading,INFO msg=\"leading"; !strings.HasPrefix(strings.Join(said, ","), want) || len(said) > 4 {
		t.Errorf("logged:\n%s", log.String())
	}
}

// notes is a log that is read while it is written.
type notes struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (n *notes) Write(b []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.b.Write(b)
}

func (n *notes) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.b.String()
}

func TestADeletedKeyMakesAnotherLead(t *testing.T) {
	t.Parallel()
	s := newServer(t).start()
	a := run(t, options("lb01", s.url()))
	term := a.wait(true)
	b := run(t, options("lb02", s.url()))
	b.entered()
	c, err := a.opts.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Delete(t.Context(), a.held.Load().key); err != nil {
		t.Fatal(err)
	}
	if err := a.confirm(term); err != ErrLost {
		t.Errorf("confirmed: %v", err)
	}
	b.wait(true)
	if again, ok := a.Leads(); ok && again == term {
		a.wait(false)
	}
}

func TestEtcdOptions(t *testing.T) {
	good := Options{Endpoints: []string{"https://etcd:2379"}, Stack: "home", Identity: "lb01"}
	secret := func() (string, error) { return "hunter2", nil }
	if _, err := Etcd(good); err != nil {
		t.Error(err)
	}
	for words, change := range map[string]func(*Options){
		"no endpoint":           func(o *Options) { o.Endpoints = nil },
		"is a URL":              func(o *Options) { o.Endpoints = []string{"etcd:2379"} },
		"must not hold":         func(o *Options) { o.Endpoints = []string{"https://me:hunter2@etcd:2379"} },
		"all https or all http": func(o *Options) { o.Endpoints = append(o.Endpoints, "http://etcd2:2379") },
		"cannot name":           func(o *Options) { o.Stack = "a/b" },
		"has no name":           func(o *Options) { o.Identity = "" },
		"whole seconds":         func(o *Options) { o.TTL = 1500 * time.Millisecond },
		"and its key":           func(o *Options) { o.CertFile = "x" },
		"and a password":        func(o *Options) { o.Username = "x" },
		"certificates are for":  func(o *Options) { o.Endpoints, o.CAFile = []string{"http://etcd:2379"}, "x" },
		"can read the password": func(o *Options) { o.Endpoints, o.Username, o.Password = []string{"http://etcd:2379"}, "x", secret },
	} {
		o := good
		o.Endpoints = append([]string(nil), good.Endpoints...)
		change(&o)
		if _, err := Etcd(o); err == nil || !strings.Contains(err.Error(), words) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", words, err)
		}
	}
}
