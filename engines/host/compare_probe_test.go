package host

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"sort"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// pulse is the client of a comparison: like probe an echo request every
// millisecond from a process of its own, but from one thread that sends and
// listens in turn, since a dozen run at a time beside what they measure.
type pulse struct {
	t   testing.TB
	in  io.WriteCloser
	out *bufio.Scanner
}

const envPulse = "HACTL_TEST_PULSE"

// pulse starts one; nothing has to answer yet.
func (l *lan) pulse(target string) *pulse {
	l.t.Helper()
	cmd := exec.Command("ip", "netns", "exec", l.client, self(l.t))
	cmd.Env = append(os.Environ(), envPulse+"="+target, "GODEBUG=asyncpreemptoff=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		l.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		l.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	p := &pulse{t: l.t, in: in, out: bufio.NewScanner(out)}
	p.out.Buffer(nil, 16<<20)
	l.t.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() })
	return p
}

// report tells what became of the requests sent since a time.
func (p *pulse) report(since time.Duration) (r probeReport) {
	p.t.Helper()
	fmt.Fprintln(p.in, int64(since))
	if !p.out.Scan() {
		p.t.Fatalf("pulse ended: %v", p.out.Err())
	}
	if err := json.Unmarshal(p.out.Bytes(), &r); err != nil {
		p.t.Fatal(err)
	}
	return r
}

// answered waits until a request sent at a time or later has been answered. It
// is how a comparison lets time pass: the client is served meanwhile.
func (p *pulse) answered(since time.Duration) {
	p.t.Helper()
	if !p.within(since, 30*time.Second) {
		p.t.Fatal("the client is not answered for 30 s")
	}
}

func (p *pulse) within(since, limit time.Duration) bool {
	p.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := monotonic() + limit; p.report(since).Last < since; <-tick.C {
		if monotonic() > end {
			return false
		}
	}
	return true
}

// pass lets some time pass.
func (p *pulse) pass(d time.Duration) { p.t.Helper(); p.answered(monotonic() + d) }

// longest is the longest silence since a time, once it is over.
func (p *pulse) longest(since time.Duration) (s silence) {
	p.t.Helper()
	for _, c := range p.report(since).Silences {
		if c.To-c.From > s.To-s.From {
			s = c
		}
	}
	return s
}

// runPulse sends and listens, and answers each line on stdin, a time, with a
// report of what was sent since.
func runPulse(target string) error {
	addr, err := netip.ParseAddr(target)
	if err != nil {
		return err
	}
	domain, protocol, request, answer := unix.AF_INET, unix.IPPROTO_ICMP, byte(8), byte(0)
	var to unix.Sockaddr = &unix.SockaddrInet4{Addr: addr.Unmap().As4()}
	if addr.Is6() {
		domain, protocol, request, answer = unix.AF_INET6, unix.IPPROTO_ICMPV6, 128, 129
		to = &unix.SockaddrInet6{Addr: addr.As16()}
	}
	fd, err := unix.Socket(domain, unix.SOCK_RAW|unix.SOCK_NONBLOCK, protocol)
	if err != nil {
		return fmt.Errorf("open socket: %w", err)
	}
	const most = 1 << 22 // an hour
	sent, back := make([]atomic.Int64, most), make([]atomic.Int64, most)
	var next atomic.Int64
	debug.SetGCPercent(-1)
	go func() {
		runtime.LockOSThread()
		_ = realtime()
		buf, poll := make([]byte, 2048), []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		// The same clock as monotonic, without a system call.
		epoch, begin := monotonic(), time.Now()
		clock := func() time.Duration { return epoch + time.Since(begin) }
		listen := func() {
			n, _, err := unix.Recvfrom(fd, buf, 0)
			b := buf[:max(n, 0)]
			if err == nil && addr.Is4() && n > 20 {
				b = b[int(b[0]&15)*4:]
			}
			if err != nil || len(b) < 12 || b[0] != answer {
				return
			}
			if i := binary.BigEndian.Uint32(b[8:]); i < most {
				back[i].CompareAndSwap(0, int64(clock()))
			}
		}
		for at := clock(); next.Load() < most; {
			now := clock()
			if now >= at {
				n := next.Load()
				sent[n].Store(int64(now))
				next.Store(n + 1)
				_ = unix.Sendto(fd, echo(request, uint32(n), addr.Is4()), 0, to)
				// A pause of ours is no crowd of requests afterwards.
				at = max(at+time.Millisecond, now)
				listen() // over veth the answer is here already, as a rule
				continue
			}
			wait := unix.NsecToTimespec(int64(at - now))
			// Raw: the scheduler need not know, and does not look for us then.
			if n, _, errno := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&poll[0])), 1, uintptr(unsafe.Pointer(&wait)), 0, 0, 0); errno == 0 && n > 0 {
				listen()
			}
		}
	}()
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		since, _ := strconv.ParseInt(strings.TrimSpace(in.Text()), 10, 64)
		b, _ := json.Marshal(pulseReport(sent[:next.Load()], back, since))
		fmt.Printf("%s\n", b)
	}
	return nil
}

func pulseReport(sent, back []atomic.Int64, since int64) (r probeReport) {
	// The youngest may still be on their way.
	young := int64(monotonic() - 20*time.Millisecond)
	first := sort.Search(len(sent), func(i int) bool { return sent[i].Load() >= since })
	var run *silence
	for i := first; i < len(sent) && sent[i].Load() <= young; i++ {
		r.Sent++
		if got := time.Duration(back[i].Load()); got != 0 {
			if run != nil {
				run.To, run = got, nil
			}
			r.Last = max(r.Last, got)
			continue
		}
		r.Lost++
		if run == nil {
			r.Silences = append(r.Silences, silence{From: time.Duration(sent[i].Load())})
			run = &r.Silences[len(r.Silences)-1]
		}
		run.Lost++
	}
	return r
}
