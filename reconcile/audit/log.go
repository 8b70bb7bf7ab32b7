package audit

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/hactl/hactl/reconcile"
)

// Options are the parts of a Log; the zero value has no host and reports to
// nobody.
type Options struct {
	Host string
	// Report is told about trouble with the file, once until it is over. It
	// must not call the Log.
	Report func(error)
}

// Log is the record in a file. Its methods may be called from anywhere.
type Log struct {
	path string
	o    Options
	open func(string) (file, error)

	mu     sync.Mutex
	f      file // nil where it could not be opened again
	run    Run
	half   bool // the file does not end in a newline
	dirty  bool // something was written since the last sync
	lost   int  // lines since the last that was written
	silent bool // the trouble has been reported
}

// file is what a Log needs of an *os.File.
type file interface {
	io.Writer
	io.ReaderAt
	io.Closer
	Sync() error
	Stat() (fs.FileInfo, error)
}

// Open opens the file for appending, and makes it where there is none, for its
// owner alone. A last line that is incomplete stays, and is ended.
func Open(path string, o Options) (*Log, error) {
	return newLog(path, o, func(path string) (file, error) {
		return os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	})
}

func newLog(path string, o Options, open func(string) (file, error)) (*Log, error) {
	if o.Report == nil {
		o.Report = func(error) {}
	}
	l := &Log{path: path, o: o, open: open}
	if err := l.reopen(); err != nil {
		return nil, fmt.Errorf("open the audit log: %w", err)
	}
	return l, nil
}

// Begin says what the records from now on belong to.
func (l *Log) Begin(r Run) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.run = r
}

// Observe records the result of a step.
func (l *Log) Observe(e reconcile.Event) {
	r, ok := step(e)
	if !ok {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.write(r, l.run)
}

// Decide records that a revision was accepted or refused, and why, and brings
// it to the disk.
func (l *Log) Decide(r Run, accepted bool, reason string) {
	result := "refused"
	if accepted {
		result = "accepted"
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.write(record{Result: result, Reason: cut(reason)}, r)
	l.sync()
}

// End brings the records of a run to the disk.
func (l *Log) End() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sync()
}

// Close does what End does and closes the file. What is recorded after it is
// lost.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f == nil {
		return nil
	}
	l.sync()
	err := l.f.Close()
	l.f, l.open = nil, func(string) (file, error) { return nil, os.ErrClosed }
	return err
}

// write appends one line in one write, so that other processes' lines stay
// whole too.
func (l *Log) write(r record, run Run) {
	r.Time, r.Host = time.Now().UTC().Format("2006-01-02T15:04:05.000Z07:00"), l.o.Host
	r.Origin, r.Who, r.Revision, r.Lost = run.Origin, cut(run.Who), cut(run.Revision), l.lost
	if err := l.follow(); err != nil {
		l.lost++
		l.trouble(err)
		return
	}
	line := r.line()
	if l.half {
		line = append([]byte{'\n'}, line...)
	}
	n, err := l.f.Write(line)
	if err != nil {
		l.half = l.half && n == 0 || n > 0
		l.lost++
		l.trouble(err)
		return
	}
	l.half, l.dirty, l.lost, l.silent = false, true, 0, false
}

// follow opens the file again where it was moved away or deleted, as logrotate
// does.
func (l *Log) follow() error {
	if l.f != nil {
		ours, err1 := l.f.Stat()
		there, err2 := os.Stat(l.path)
		if err1 == nil && err2 == nil && os.SameFile(ours, there) {
			return nil
		}
		l.sync()
		_ = l.f.Close() // What was in it is synced, or reported.
		l.f = nil
	}
	return l.reopen()
}

func (l *Log) reopen() error {
	f, err := l.open(l.path)
	if err != nil {
		return err
	}
	l.f, l.half, l.dirty = f, false, false
	if s, err := f.Stat(); err == nil && s.Mode().IsRegular() && s.Size() > 0 {
		var last [1]byte
		_, err := f.ReadAt(last[:], s.Size()-1)
		l.half = err == nil && last[0] != '\n'
	}
	return nil
}

func (l *Log) sync() {
	if l.f == nil || !l.dirty {
		return
	}
	l.dirty = false
	// Not every file can be synced: pipes and devices cannot.
	if err := l.f.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, syscall.ENOTSUP) {
		l.trouble(err)
	}
}

// trouble reports an error unless the one before it has been.
func (l *Log) trouble(err error) {
	if !l.silent {
		l.silent = true
		l.o.Report(fmt.Errorf("write the audit log: %w", err))
	}
}
