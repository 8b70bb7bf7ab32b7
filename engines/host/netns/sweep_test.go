package netns_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hactl/hactl/engines/host/netns"
)

// TestSweepTakesWhatTheDeadHaveLeft kills a process that has built a network, with
// processes on a host.
func TestSweepTakesWhatTheDeadHaveLeft(t *testing.T) {
	needRoot(t)
	prefix := fmt.Sprintf("hn%xs-", os.Getpid())
	build := func() (*exec.Cmd, string) {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), envRole+"="+roleBuild, "HACTL_TEST_PREFIX="+prefix)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		line, err := bufio.NewReader(out).ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		return cmd, strings.Fields(line)[1]
	}
	t.Cleanup(func() {
		if _, err := netns.Sweep(prefix); err != nil {
			t.Error(err)
		}
		if left := leftovers(t, prefix); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	})
	dead, orphan := build()
	live, other := build()
	_ = dead.Process.Kill()
	_ = dead.Wait()
	if !alive(orphan) {
		t.Fatal("what was to be swept is gone already")
	}
	name := func(cmd *exec.Cmd) string { return fmt.Sprintf("%s%x", prefix, cmd.Process.Pid) }
	removed, err := netns.Sweep(prefix)
	if want := []string{name(dead) + "-a", name(dead) + ".outside", name(dead) + ".switch"}; err != nil || !slices.Equal(removed, want) {
		t.Errorf("removed %v, %v; want %v", removed, err, want)
	}
	if alive(orphan) || !alive(other) {
		t.Error("a process of the dead lives, or one of the living does not")
	}
	if left := leftovers(t, name(dead)); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if stays := leftovers(t, name(live)); len(stays) != 4 {
		t.Errorf("of the living: %v", stays)
	}
	if removed, err := netns.Sweep(prefix); err != nil || len(removed) > 0 {
		t.Errorf("again: %v, %v", removed, err)
	}
	_ = live.Process.Kill()
	_ = live.Wait()
}

// TestEverythingAtOnce is for the race detector, and for locks.
func TestEverythingAtOnce(t *testing.T) {
	s := newSite(t, pair)
	p := s.probe("10.0.0.1")
	var work sync.WaitGroup
	for i := range 8 {
		work.Go(func() {
			r := rand.New(rand.NewPCG(uint64(i), 1))
			for range 40 {
				host := []string{"a", "b"}[r.IntN(2)]
				on := r.IntN(2) == 0
				switch r.IntN(8) {
				case 0:
					if err := s.Power(host, on); err != nil {
						t.Error(err)
					}
				case 1:
					if err := s.Cable(host, []string{"eth0", "hactl0"}[r.IntN(2)], on); err != nil {
						t.Error(err)
					}
				case 2:
					if err := s.Split([]string{"a", "b"}, on); err != nil {
						t.Error(err)
					}
				case 3:
					if l, err := s.Listen(host, "tcp", ":0"); err == nil {
						_ = l.Close()
					}
				case 4:
					cmd := exec.Command(os.Args[0])
					cmd.Env = append(os.Environ(), envRole+"="+roleSleeper)
					if s.Start(host, cmd) == nil {
						t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
					}
				case 5:
					s.Holds(host, netip.MustParseAddr("10.0.0.1"))
					s.Powered(host)
				case 6:
					s.Adverts(time.Time{})
					p.Outages(time.Time{})
				case 7:
					if q, err := s.Probe(netip.MustParseAddr("10.0.0.2"), time.Millisecond); err == nil && on {
						q.Stop()
					}
				}
			}
		})
	}
	work.Wait()
	for _, host := range []string{"a", "b"} {
		s.must(s.Power(host, false))
		for _, iface := range []string{"eth0", "hactl0"} {
			s.must(s.Cable(host, iface, true))
		}
		s.must(s.Power(host, true))
	}
	s.must(s.Split([]string{"a", "b"}, false))
	s.probe("10.0.0.1")
	s.listen("b", "10.0.0.2:80")
	s.meet("a", "10.0.0.2:80")
	// And the end, while others go on.
	for range 4 {
		work.Go(func() {
			for s.Power("a", false) == nil && s.Power("a", true) == nil {
				_, _ = s.Listen("b", "tcp", ":0")
			}
		})
	}
	work.Go(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	work.Wait()
}

func TestTheLargestNetwork(t *testing.T) {
	var b strings.Builder
	b.WriteString("virtualRouters: web: {vrid: 7, interface: \"eth0\", addresses: [\"10.0.0.250/24\"]}\n")
	for i := range netns.MaxHosts {
		fmt.Fprintf(&b, "hosts: h%d%s: address: \"10.0.0.%d\"\nvirtualRouters: web: members: h%d%s: {}\n", i, strings.Repeat("x", 60), i+1, i, strings.Repeat("x", 60))
	}
	began := time.Now()
	s := newSite(t, b.String())
	built := time.Since(began)
	s.probe("10.0.0.64")
	began = time.Now()
	s.must(s.Close())
	t.Logf("%d hosts: built in %v, closed in %v", netns.MaxHosts, built, time.Since(began))
}
