package host

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Scheduling says what the host allowed the loop thread.
type Scheduling struct {
	FIFO     bool   `json:"fifo"`              // SCHED_FIFO
	Locked   bool   `json:"locked"`            // memory is locked
	Problems string `json:"problem,omitempty"` // why not
}

const fifoPriority = 20

// realtime gives the calling thread SCHED_FIFO, which its children do not
// inherit, and locks memory as it comes to be used: all at once would take the
// whole binary and the heap's reserve.
func realtime() Scheduling {
	var s Scheduling
	var errs []error
	attr := &unix.SchedAttr{Policy: unix.SCHED_FIFO, Priority: fifoPriority, Flags: unix.SCHED_FLAG_RESET_ON_FORK}
	attr.Size = uint32(unsafe.Sizeof(*attr))
	if err := unix.SchedSetAttr(0, attr, 0); err != nil {
		errs = append(errs, fmt.Errorf("SCHED_FIFO: %w", err))
		// At least let the kernel not round our timers.
		_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	} else {
		s.FIFO = true
	}
	if err := unix.Mlockall(unix.MCL_CURRENT | unix.MCL_FUTURE | unix.MCL_ONFAULT); err != nil {
		errs = append(errs, fmt.Errorf("mlockall: %w", err))
	} else {
		s.Locked = true
	}
	if err := errors.Join(errs...); err != nil {
		s.Problems = err.Error()
	}
	return s
}
