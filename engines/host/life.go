package host

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hactl/hactl/engines/host/systemd"
	"github.com/hactl/hactl/engines/vrrp"
)

// An engine that a Supervisor started is started again by it, which knows how
// the former ended. A service manager knows nothing of that, so that an engine
// that is a unit leaves signs of life in the file of its lock, from which the
// next one judges as a Supervisor would:
//
//	nothing, or of another boot    a clean end, or none at all: begin anew
//	it had been steady             go on where it was, at once
//	it had not                     begin anew, after a pause that doubles
//
// A router goes on where it was only if that was no longer ago than the others
// wait for it: who was away longer has been relieved.

// beatPeriod is how often the loop is asked whether it works.
const beatPeriod = 500 * time.Millisecond

// life is the sign; its times are of CLOCK_BOOTTIME.
type life struct {
	boot           string
	started, alive time.Duration
	crashes        int // unsteady processes in a row before
}

func (l life) String() string {
	// Of one length, so that one is written over another at once.
	return fmt.Sprintf("%s %020d %020d %010d\n", l.boot, l.started, l.alive, l.crashes)
}

func parseLife(s string) (l life, ok bool) {
	if !strings.HasSuffix(s, "\n") {
		return life{}, false
	}
	n, err := fmt.Sscanf(s, "%s %d %d %d", &l.boot, &l.started, &l.alive, &l.crashes)
	return l, err == nil && n == 4
}

// next is how a process begins that finds the sign of a former one.
func (l life) next(boot string) (resume bool, crashes int, pause time.Duration) {
	switch {
	case l == life{} || l.boot != boot:
		return false, 0, 0
	case l.alive-l.started >= steadyAfter:
		return true, 0, 0
	}
	crashes = min(l.crashes+1, 16)
	return false, crashes, min(minBackoff<<(crashes-1), maxBackoff)
}

func bootTime() time.Duration {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts)
	return time.Duration(ts.Nano())
}

func bootID() string {
	b, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b))
}

// live is an engine as a unit of a service manager.
type live struct {
	manager systemd.Manager
	life    life
	file    *os.File      // of the lock
	over    chan struct{} // closed when no more beats come
}

// succeed reads what a former process left, waits as that demands, and leaves
// a sign of its own.
func (v *live) succeed(lock *os.File) (former life, resume bool) {
	b, _ := io.ReadAll(io.NewSectionReader(lock, 0, 256))
	former, _ = parseLife(string(b))
	resume, crashes, pause := former.next(bootID())
	v.begin(lock, crashes)
	time.Sleep(pause)
	return former, resume
}

// begin leaves the first sign.
func (v *live) begin(lock *os.File, crashes int) {
	now := bootTime()
	v.over = make(chan struct{})
	v.file, v.life = lock, life{boot: bootID(), started: now, alive: now, crashes: crashes}
	v.sign()
}

func (v *live) sign() { _, _ = v.file.WriteAt([]byte(v.life.String()), 0) }

// forget is a clean end, after that of the loop.
func (v *live) forget() {
	<-v.over
	_ = v.file.Truncate(0)
}

// beat signs, and tells the manager, as long as the loop answers. One that
// hangs is never waited out: the manager ends it.
func (v *live) beat(e *Engine) {
	defer close(v.over)
	tick := time.NewTicker(beatPeriod)
	defer tick.Stop()
	period := v.manager.Period()
	due := time.Now()
	for {
		select {
		case <-tick.C:
		case <-e.ended:
			return
		}
		if !e.call(func() {}) {
			return
		}
		v.life.alive = bootTime()
		v.sign()
		if now := time.Now(); period > 0 && !now.Before(due) {
			v.manager.Beat()
			due = now.Add(period - beatPeriod)
		}
	}
}

// recent leaves of the snapshots those that are no older than others wait for an
// advertisement.
func recent(snapshots map[string]vrrp.Snapshot, cfg *Config, silence time.Duration) map[string]vrrp.Snapshot {
	kept := map[string]vrrp.Snapshot{}
	for i := range cfg.Routers {
		r := &cfg.Routers[i]
		// Skew_Time is less than an interval more, and the sign of life a little
		// older than the end. An Active router too many ends with the first
		// advertisement that either hears.
		if s, ok := snapshots[r.Name]; ok && silence-beatPeriod < 4*max(r.Interval, s.Interval) {
			kept[r.Name] = s
		}
	}
	return kept
}
