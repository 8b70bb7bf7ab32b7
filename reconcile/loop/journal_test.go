package loop_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/enginetest"
	"github.com/hactl/hactl/reconcile/loop"
	"github.com/hactl/hactl/schema"
)

func TestJournalRemembersTunnels(t *testing.T) {
	f := newFake()
	store := loop.Directory{Path: t.TempDir(), Account: "acc"}
	l := &loop.Loop{Engines: []loop.Engine{f}, Journal: store}
	s := &schema.Spec{Stack: "test", Tunnels: map[string]schema.TunnelSpec{"good": {Protect: true}, "bad": {}}}
	f.before = func(c reconcile.Change) error {
		if c.ID.Name == "bad" {
			j, err := store.Load("test")
			if _, pending := j.Pending[schema.ID{Kind: schema.KindTunnel, Name: "bad"}]; err != nil || !pending {
				t.Errorf("the journal says %+v before the creation, error %v; want it pending", j, err)
			}
			return errors.New("no answer")
		}
		return nil
	}
	if _, err := l.Execute(t.Context(), plan(t, l, s), time.Second); err != nil {
		t.Fatal(err)
	}
	j, err := store.Load("test")
	if err != nil {
		t.Fatal(err)
	}
	good, bad := schema.ID{Kind: schema.KindTunnel, Name: "good"}, schema.ID{Kind: schema.KindTunnel, Name: "bad"}
	if _, pending := j.Pending[bad]; j.Owned[good] == "" || !pending || j.Revision != "" {
		t.Errorf("journal %+v; want good owned, bad pending, and no revision applied", j)
	}
	f.before = nil
	if _, err := l.Execute(t.Context(), plan(t, l, s), time.Second); err != nil {
		t.Fatal(err)
	}
	if j, err = store.Load("test"); err != nil || j.Revision != "r1" || j.Owned[bad] == "" || !slices.Contains(j.Protected, good) {
		t.Errorf("journal %+v, error %v; want both owned, good protected, and the revision", j, err)
	}
}

func TestRefusedCreationIsNotPending(t *testing.T) {
	f, store := newFake(), enginetest.Memory{}
	f.before = func(c reconcile.Change) error {
		return &reconcile.Error{Op: "create", ID: c.ID, Class: reconcile.Denied, Err: errors.New("no")}
	}
	l := &loop.Loop{Engines: []loop.Engine{f}, Journal: store}
	s := &schema.Spec{Stack: "test", Tunnels: map[string]schema.TunnelSpec{"t": {}}}
	if _, err := l.Execute(t.Context(), plan(t, l, s), time.Second); err != nil {
		t.Fatal(err)
	}
	if n := len(store["test"].Pending); n != 0 {
		t.Errorf("%d creations are pending after a refusal: somebody else's tunnel of that name would be taken for ours", n)
	}
}

func TestFailedListLeavesTheJournalAlone(t *testing.T) {
	f, store := newFake(), enginetest.Memory{}
	l := &loop.Loop{Engines: []loop.Engine{f}, Journal: store}
	s := &schema.Spec{Stack: "test", Tunnels: map[string]schema.TunnelSpec{"t": {}}}
	if _, err := l.Execute(t.Context(), plan(t, l, s), time.Second); err != nil {
		t.Fatal(err)
	}
	clear(f.live)
	f.unknown = []reconcile.Unknown{{Kind: schema.KindTunnel, Err: errors.New("no answer")}}
	round := plan(t, l, chain())
	if len(round.Plan.Violations) == 0 {
		t.Error("the plan passes although an owned tunnel could not be read")
	}
	if _, err := l.Execute(t.Context(), round, time.Second); err != nil {
		t.Fatal(err)
	}
	if len(store["test"].Owned) != 1 {
		t.Errorf("the journal has %v, want the tunnel still", store["test"].Owned)
	}
}

func TestTwoRunsDoNotForgetEachOther(t *testing.T) {
	dir := loop.Directory{Path: t.TempDir(), Account: "acc"}
	unlock, err := dir.Lock("test")
	if err != nil {
		t.Fatal(err)
	}
	l := &loop.Loop{Engines: []loop.Engine{newFake()}, Journal: dir}
	round := plan(t, l, chain())
	if _, err := l.Execute(t.Context(), round, time.Second); err == nil || !strings.Contains(err.Error(), "another hactl") {
		t.Errorf("error %v, want one about the other run", err)
	}
	unlock()
	if _, err := l.Execute(t.Context(), round, time.Second); err != nil {
		t.Error(err)
	}
}

func TestDamagedJournalIsAnError(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "acc", "test.json")
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte("{half"), 0o600); err != nil {
		t.Fatal(err)
	}
	l := &loop.Loop{Engines: []loop.Engine{newFake()}, Journal: loop.Directory{Path: dir, Account: "acc"}}
	_, err := l.Plan(t.Context(), loop.Request{Spec: chain()})
	if err == nil || !strings.Contains(err.Error(), name) {
		t.Errorf("error %v, want one that names %s", err, name)
	}
}
