package host

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestAnEnginesTimersAreNotLateByItsStart: what an engine does between reading
// its two clocks is no part of any of its timers.
func TestAnEnginesTimersAreNotLateByItsStart(t *testing.T) {
	needNamespaces(t) // and what comes with them
	late := time.Hour // of the readings below, the least disturbed one's
	e, err := newEngine(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer e.close()
	for range 100 {
		var ts unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
			t.Fatal(err)
		}
		late = min(late, time.Duration(e.epoch)+e.clock()-time.Duration(ts.Nano()))
	}
	if late < 0 || late > 20*time.Microsecond {
		t.Errorf("timers are late by %s", late)
	}
}
