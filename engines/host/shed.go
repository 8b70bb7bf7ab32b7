package host

import (
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// shed gives back the pages of the binary that the start of the process has
// touched: the initialisation of packages that an engine has no use for. They
// are the file's, so that what is needed comes again by itself; what has been
// written to is another mapping and stays. It has to happen before memory is
// locked.
func shed() {
	self, err := os.Executable() // without " (deleted)", as f[5] below
	if err != nil {
		return
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return
	}
	for line := range strings.Lines(string(maps)) {
		// 00400000-00b3a000 r-xp 00000000 fe:00 1234 /usr/bin/hactl
		f := strings.Fields(line)
		if len(f) < 6 || f[5] != self || f[1] != "r-xp" && f[1] != "r--p" {
			continue
		}
		from, to, _ := strings.Cut(f[0], "-")
		start, err1 := strconv.ParseUint(from, 16, 64)
		end, err2 := strconv.ParseUint(to, 16, 64)
		if err1 == nil && err2 == nil && end > start {
			_, _, _ = unix.Syscall(unix.SYS_MADVISE, uintptr(start), uintptr(end-start), unix.MADV_DONTNEED)
		}
	}
}
