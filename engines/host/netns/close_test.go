package netns_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hactl/hactl/engines/host/netns"
)

func TestCloseLeavesNothing(t *testing.T) {
	needRoot(t)
	links := func() (names []string) {
		all, err := net.Interfaces()
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range all {
			names = append(names, i.Name)
		}
		return names
	}
	before, goroutines := links(), runtime.NumGoroutine()
	s := newSite(t, pair)
	_, said := s.onHost("a", roleSleep)
	s.probe("10.0.0.1")
	l, err := s.Listen(netns.Outside, "tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	if during := links(); !slices.Equal(before, during) {
		t.Errorf("links of the machine: %v, then %v", before, during)
	}
	s.must(s.Close())
	if left := leftovers(t, s.name); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if pid := strings.Fields(said)[1]; alive(pid) {
		t.Errorf("process %s has survived", pid)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a listener: %v", err)
	}
	if after := links(); !slices.Equal(before, after) {
		t.Errorf("links of the machine: %v, then %v", before, after)
	}
	eventually(t, "goroutines end", func() bool { return runtime.NumGoroutine() <= goroutines+2 })
	s.must(s.Close()) // again
	for what, err := range map[string]error{
		"power": s.Power("a", true), "start": s.Run("a", nil), "probe": func() error { _, err := s.Probe(netip.MustParseAddr("10.0.0.1"), time.Second); return err }(),
	} {
		if !errors.Is(err, netns.ErrClosed) {
			t.Errorf("%s after the end: %v", what, err)
		}
	}
}

func TestABuildThatFailsLeavesNothing(t *testing.T) {
	needRoot(t)
	spec := specOf(t, pair)
	plan := func() *netns.Layout {
		l, err := netns.Plan(spec)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	bad := plan()
	bad.LANs[0].Ports[1].Interface = "no/interface"
	ended, end := context.WithCancelCause(t.Context())
	end(io.ErrUnexpectedEOF)
	for want, c := range map[string]struct {
		ctx    context.Context
		layout *netns.Layout
	}{
		"interface no/interface of b": {t.Context(), bad}, io.ErrUnexpectedEOF.Error(): {ended, plan()},
	} {
		name := uniqueName()
		n, err := netns.Build(c.ctx, c.layout, netns.Options{Name: name})
		if err == nil || !strings.Contains(err.Error(), want) || n != nil {
			t.Errorf("%v, want %q", err, want)
		}
		if left := leftovers(t, name); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	}
	// The name of a network that exists: that one lives on.
	s := newSite(t, pair)
	p := s.probe("10.0.0.1")
	if _, err := netns.Build(t.Context(), plan(), netns.Options{Name: s.name}); !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), s.name) {
		t.Errorf("a second one of the same name: %v", err)
	}
	s.probe("10.0.0.2")
	if list := p.Outages(time.Time{}); len(list) > 0 {
		t.Errorf("%v", list)
	}
}

func TestBuildNeedsRoot(t *testing.T) {
	needRoot(t)
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // which is nobody's, and ends
		if _, _, e := unix.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), 65534, ^uintptr(0)); e != 0 {
			done <- e
			return
		}
		_, err := netns.Build(context.Background(), &netns.Layout{}, netns.Options{})
		done <- err
	}()
	if err := <-done; !errors.Is(err, netns.ErrPrivilege) || !errors.Is(err, fs.ErrPermission) {
		t.Error(err)
	}
}
