package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/schema"
)

var pool = schema.ID{Kind: schema.KindPool, Name: "tokyo"}

func done(fields ...string) reconcile.Event {
	s := reconcile.Step{ID: pool, Action: reconcile.Update}
	for _, f := range fields {
		s.Fields = append(s.Fields, reconcile.FieldChange{Path: f, Before: "hunter1", After: "hunter2"})
	}
	return reconcile.Event{Kind: reconcile.StepDone, Step: s, Elapsed: 1234567 * time.Microsecond}
}

// read returns the lines, each parsed and without its time.
func read(t *testing.T, path string) []string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(b)) {
		var m map[string]any
		if !strings.HasSuffix(line, "\n") || json.Unmarshal([]byte(line), &m) != nil {
			lines = append(lines, "damaged: "+strings.TrimSpace(line))
			continue
		}
		at, err := time.Parse(time.RFC3339, m["time"].(string))
		if err != nil || time.Since(at) > time.Minute {
			t.Errorf("%s: %v", line, err)
		}
		delete(m, "time")
		again, _ := json.Marshal(m)
		lines = append(lines, string(again))
	}
	return lines
}

func expect(t *testing.T, path string, want ...string) {
	t.Helper()
	if got := read(t, path); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func opened(t *testing.T, path string) *Log {
	t.Helper()
	l, err := Open(path, Options{Host: "lb01", Report: func(err error) { t.Error(err) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func TestEveryResultIsALine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	l := opened(t, path)
	run := Run{Origin: FromRun, Who: "alice@example.com", Revision: "6da8c14b"}
	l.Decide(run, true, "signed by alice@example.com")
	l.Begin(run)
	l.Observe(reconcile.Event{Kind: reconcile.StepStarted, Step: done().Step})
	l.Observe(done("origins.a.weight", "monitor"))
	failed := done()
	failed.Kind, failed.Err = reconcile.StepFailed, &reconcile.Error{Op: "update", ID: pool, Class: reconcile.Denied, Err: errors.New("no\nway")}
	l.Observe(failed)
	l.Observe(reconcile.Event{Kind: reconcile.StepSkipped, Step: reconcile.Step{ID: pool, Action: reconcile.Create}, Err: errors.New("monitor/web")})
	l.Observe(reconcile.Event{Kind: reconcile.StepAborted, Step: reconcile.Step{ID: pool, Action: reconcile.Delete}})
	l.Observe(reconcile.Event{Kind: reconcile.WaitForBudget, Elapsed: time.Second})
	l.End()
	l.Decide(Run{Origin: FromApply, Who: "bob"}, false, "guard rail")
	const of = `"host":"lb01","origin":"run",`
	const by = `"revision":"6da8c14b","step":"pool/tokyo","who":"alice@example.com"}`
	expect(t, path,
		`{`+of+`"reason":"signed by alice@example.com","result":"accepted","revision":"6da8c14b","who":"alice@example.com"}`,
		`{"action":"update","elapsed":1.235,"fields":["origins.a.weight","monitor"],`+of+`"result":"done",`+by,
		`{"action":"update","class":"denied","elapsed":1.235,"error":"update pool/tokyo: no\nway",`+of+`"result":"failed",`+by,
		`{"action":"create","error":"monitor/web",`+of+`"result":"skipped",`+by,
		`{"action":"delete",`+of+`"result":"aborted",`+by,
		`{"host":"lb01","origin":"apply","reason":"guard rail","result":"refused","who":"bob"}`)
	if b, _ := os.ReadFile(path); strings.Contains(string(b), "hunter") {
		t.Errorf("values are told:\n%s", b)
	}
	if s, err := os.Stat(path); err != nil || s.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", s.Mode(), err)
	}
}

func TestAFileThatWasMovedIsMadeAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	l := opened(t, path)
	l.Observe(done())
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	l.Observe(done())
	l.Observe(done())
	if a, b := len(read(t, path+".1")), len(read(t, path)); a != 1 || b != 2 {
		t.Errorf("%d and %d lines", a, b)
	}
	if err := os.Truncate(path, 0); err != nil { // logrotate's copytruncate
		t.Fatal(err)
	}
	l.Observe(done())
	if got := read(t, path); len(got) != 1 || strings.HasPrefix(got[0], "damaged") {
		t.Errorf("%q", got)
	}
}

func TestALineThatACrashCutIsEnded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	if err := os.WriteFile(path, []byte(`{"time":"2026`), 0o600); err != nil {
		t.Fatal(err)
	}
	opened(t, path).Decide(Run{}, true, "x")
	expect(t, path, `damaged: {"time":"2026`, `{"host":"lb01","reason":"x","result":"accepted"}`)
}

func TestTwoProcessesShareAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	var wg sync.WaitGroup
	for range 4 {
		l := opened(t, path)
		wg.Go(func() {
			for i := range 50 {
				l.Observe(done(fmt.Sprintf("field%d", i), strings.Repeat("x", 1000)))
			}
		})
	}
	wg.Wait()
	got := read(t, path)
	if len(got) != 200 || strings.Contains(strings.Join(got, "\n"), "damaged") {
		t.Errorf("%d lines", len(got))
	}
}

// fullFile takes so many bytes more, and then none.
type fullFile struct {
	*os.File
	room *int
}

func (f fullFile) Write(p []byte) (int, error) {
	if len(p) <= *f.room {
		*f.room -= len(p)
		return f.File.Write(p)
	}
	n, _ := f.File.Write(p[:*f.room])
	*f.room = 0
	return n, syscall.ENOSPC
}

func TestAFullDiskIsReportedOnceAndStopsNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	room := 40
	var reports []string
	l, err := newLog(path, Options{Report: func(err error) { reports = append(reports, err.Error()) }}, func(path string) (file, error) {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
		return fullFile{f, &room}, err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for range 5 {
		l.Decide(Run{}, false, "while it is full")
	}
	if len(reports) != 1 || reports[0] != "write the audit log: no space left on device" {
		t.Errorf("%q", reports)
	}
	room = 1 << 20
	l.Decide(Run{}, true, "now there is room")
	l.Decide(Run{}, true, "as before")
	got := read(t, path)
	if len(got) != 3 || !strings.HasPrefix(got[0], "damaged") || got[1] != `{"lost":5,"reason":"now there is room","result":"accepted"}` || got[2] != `{"reason":"as before","result":"accepted"}` {
		t.Errorf("%q", got)
	}
	room = 0
	l.Decide(Run{}, true, "x")
	if len(reports) != 2 {
		t.Errorf("new trouble is not reported: %q", reports)
	}
}

func TestADirectoryThatGoesAwayStopsNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "log")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	reports := 0
	l, err := Open(filepath.Join(dir, "audit.log"), Options{Report: func(error) { reports++ }})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	l.Decide(Run{}, true, "x")
	l.Decide(Run{}, true, "x")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	l.Decide(Run{}, true, "y")
	expect(t, filepath.Join(dir, "audit.log"), `{"lost":2,"reason":"y","result":"accepted"}`)
	if reports != 1 {
		t.Errorf("%d reports", reports)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	l.Decide(Run{}, true, "after the end")
}

func TestAFileThatCannotBeOpenedIsAnError(t *testing.T) {
	if _, err := Open(filepath.Join(t.TempDir(), "no", "audit.log"), Options{}); err == nil || !strings.HasPrefix(err.Error(), "open the audit log: ") {
		t.Error(err)
	}
}

func TestLinesStayLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	l := opened(t, path)
	fields := make([]string, 1000)
	e := done(fields...)
	e.Kind, e.Err = reconcile.StepFailed, errors.New(strings.Repeat("ü", 5000))
	l.Observe(e)
	b, err := os.ReadFile(path)
	if err != nil || len(b) > 8<<10 || len(read(t, path)) != 1 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}
