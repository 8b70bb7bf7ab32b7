package systemd

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// listen is the manager's side.
func listen(t *testing.T) (*net.UnixConn, string) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	return conn, name
}

func TestNobodyIsToldEverything(t *testing.T) {
	for _, socket := range []string{"", "vsock:2:1"} {
		t.Setenv("NOTIFY_SOCKET", socket)
		t.Setenv("WATCHDOG_USEC", "1000000")
		m := FromEnvironment()
		if m.Present() || m.Ticks() != nil || m.Tell(Ready) != nil || m.Settle(time.Second) != nil || m.Environment() != nil {
			t.Errorf("%q: %+v", socket, m)
		}
	}
}

func TestTheWatchdogIsForTheProcessThatItNames(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "/nowhere")
	for _, c := range []struct {
		usec, pid string
		want      time.Duration
	}{
		{"20000000", "", 5 * time.Second}, {"20000000", strconv.Itoa(os.Getpid()), 5 * time.Second},
		{"20000000", "1", 0}, {"", "", 0}, {"soon", "", 0}, {"-4", "", 0},
	} {
		t.Setenv("WATCHDOG_USEC", c.usec)
		t.Setenv("WATCHDOG_PID", c.pid)
		if got := FromEnvironment().Period(); got != c.want {
			t.Errorf("%q for %q: %v, want %v", c.usec, c.pid, got, c.want)
		}
	}
	t.Setenv("WATCHDOG_USEC", "20000000")
	t.Setenv("WATCHDOG_PID", "")
	if got, want := FromEnvironment().Environment(), []string{"NOTIFY_SOCKET=/nowhere", "WATCHDOG_USEC=20000000"}; !slices.Equal(got, want) {
		t.Errorf("a successor gets %q", got)
	}
	if err := FromEnvironment().Tell(Ready); err == nil {
		t.Error("nobody is there, and no error")
	}
}

func TestAMessageIsToldTogether(t *testing.T) {
	conn, name := listen(t)
	t.Setenv("NOTIFY_SOCKET", name)
	if err := FromEnvironment().Tell(MainPID(), Ready, Status("two\nlines")); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 4096)
	n, err := conn.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(b[:n]), "MAINPID="+strconv.Itoa(os.Getpid())+"\nREADY=1\nSTATUS=two lines"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestSettleWaitsForTheManager(t *testing.T) {
	conn, name := listen(t)
	t.Setenv("NOTIFY_SOCKET", name)
	m := FromEnvironment()
	if err := m.Settle(50 * time.Millisecond); err == nil {
		t.Error("it took nothing in, and no error")
	}
	var taken atomic.Bool
	go func() {
		b, rights := make([]byte, 64), make([]byte, 64)
		for i := range 2 { // the one from above too
			n, r, _, _, err := conn.ReadMsgUnix(b, rights)
			if err != nil || string(b[:n]) != "BARRIER=1" {
				t.Errorf("%q: %v", b[:n], err)
				return
			}
			taken.Store(i == 1)
			messages, _ := unix.ParseSocketControlMessage(rights[:r])
			for _, c := range messages {
				fds, _ := unix.ParseUnixRights(&c)
				for _, fd := range fds {
					_ = unix.Close(fd)
				}
			}
		}
	}()
	if err := m.Settle(10 * time.Second); err != nil || !taken.Load() {
		t.Errorf("it did not wait: %v", err)
	}
}
