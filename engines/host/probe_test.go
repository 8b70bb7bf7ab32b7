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
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	envProbe = "HACTL_TEST_PROBE"
	envAgent = "HACTL_TEST_AGENT"
)

// probe is a client that sends an echo request to an address every
// millisecond, in a process and namespace of its own.
type probe struct {
	t   testing.TB
	in  io.WriteCloser
	out *bufio.Scanner
}

// silence is a run of probes without an answer.
type silence struct {
	Lost int           `json:"lost"`
	From time.Duration `json:"from"` // when the first of them was sent
	To   time.Duration `json:"to"`   // when the first answer after it came; 0: none yet
}

type probeReport struct {
	Sent     int       `json:"sent"`
	Lost     int       `json:"lost"`
	Silences []silence `json:"silences"`
	Last     time.Duration
}

// probe starts one and waits until the address answers.
func (l *lan) probe(target string) *probe {
	l.t.Helper()
	cmd := exec.Command("ip", "netns", "exec", l.client, self(l.t))
	cmd.Env = append(os.Environ(), envProbe+"="+target)
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
	p := &probe{t: l.t, in: in, out: bufio.NewScanner(out)}
	p.out.Buffer(nil, 16<<20)
	l.t.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() })
	p.answers(monotonic())
	return p
}

// report tells what became of the probes sent since a time.
func (p *probe) report(since time.Duration) probeReport {
	p.t.Helper()
	fmt.Fprintln(p.in, int64(since))
	if !p.out.Scan() {
		p.t.Fatalf("prober ended: %v", p.out.Err())
	}
	var r probeReport
	if err := json.Unmarshal(p.out.Bytes(), &r); err != nil {
		p.t.Fatal(err)
	}
	return r
}

// answers waits until a probe sent after a time has been answered, and says
// when that was.
func (p *probe) answers(since time.Duration) (at time.Duration) {
	p.t.Helper()
	eventually(p.t, 20*time.Second, "an answer", func() bool { at = p.report(since).Last; return at > 0 })
	return at
}

// settle waits for some more probes, so that a report is about them all.
func (p *probe) settle(d time.Duration) {
	p.t.Helper()
	p.answers(monotonic() + d)
}

func runProber(target string) int {
	addr := netip.MustParseAddr(target)
	domain, protocol := unix.AF_INET, unix.IPPROTO_ICMP
	var to unix.Sockaddr = &unix.SockaddrInet4{Addr: [4]byte(addr.AsSlice()[:4])}
	request, answer := byte(8), byte(0)
	if addr.Is6() {
		domain, protocol, request, answer = unix.AF_INET6, unix.IPPROTO_ICMPV6, 128, 129
		to = &unix.SockaddrInet6{Addr: addr.As16()}
	}
	fd, err := unix.Socket(domain, unix.SOCK_RAW, protocol)
	if err != nil {
		fmt.Fprintln(os.Stderr, "prober:", err)
		return 1
	}
	const most = 1 << 20
	sent, back := make([]atomic.Int64, most), make([]atomic.Int64, most)
	var next atomic.Int64
	go func() {
		runtime.LockOSThread()
		_ = realtime()
		at := monotonic()
		for n := range int64(most) {
			at += time.Millisecond
			ts := unix.NsecToTimespec(int64(at))
			for unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &ts, nil) == unix.EINTR {
			}
			sent[n].Store(int64(monotonic()))
			next.Store(n + 1)
			_ = unix.Sendto(fd, echo(request, uint32(n), addr.Is4()), 0, to)
		}
	}()
	// What is not read in time must not look lost: it is kept, and read before a
	// report.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20)
	var reading sync.Mutex
	buf := make([]byte, 2048)
	read := func() {
		reading.Lock()
		defer reading.Unlock()
		for {
			n, _, err := unix.Recvfrom(fd, buf, unix.MSG_DONTWAIT)
			if err == unix.EAGAIN {
				return
			}
			b := buf[:max(n, 0)]
			if err == nil && addr.Is4() && n > 20 {
				b = b[int(b[0]&15)*4:]
			}
			if err != nil || len(b) < 12 || b[0] != answer {
				continue
			}
			if i := binary.BigEndian.Uint32(b[8:]); i < most {
				back[i].CompareAndSwap(0, int64(monotonic()))
			}
		}
	}
	go func() {
		runtime.LockOSThread()
		_ = realtime()
		for ready := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}; ; read() {
			_, _ = unix.Poll(ready, -1)
		}
	}()
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		since, _ := strconv.ParseInt(strings.TrimSpace(in.Text()), 10, 64)
		var r probeReport
		var run *silence
		// The youngest may still be on their way, unless later ones are back, and the
		// last one is perhaps not even sent.
		young, count := int64(monotonic()-200*time.Millisecond), next.Load()-1
		read()
		overtaken := count
		for overtaken > 0 && back[overtaken-1].Load() == 0 {
			overtaken--
		}
		for i := range count {
			at := sent[i].Load()
			if at < since || at > young && i+3 >= overtaken {
				continue
			}
			r.Sent++
			if got := back[i].Load(); got != 0 {
				if run != nil {
					run.To, run = time.Duration(got), nil
				}
				r.Last = max(r.Last, time.Duration(got))
				continue
			}
			r.Lost++
			if run == nil {
				r.Silences = append(r.Silences, silence{From: time.Duration(at)})
				run = &r.Silences[len(r.Silences)-1]
			}
			run.Lost++
		}
		b, _ := json.Marshal(r)
		fmt.Printf("%s\n", b)
	}
	return 0
}

func echo(kind byte, n uint32, checksum bool) []byte {
	b := make([]byte, 16)
	b[0] = kind
	binary.BigEndian.PutUint16(b[4:], 0x4841)
	binary.BigEndian.PutUint16(b[6:], uint16(n))
	binary.BigEndian.PutUint32(b[8:], n)
	if checksum {
		var sum uint32
		for i := 0; i < len(b); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(b[i:]))
		}
		sum = sum>>16 + sum&0xffff
		sum += sum >> 16
		binary.BigEndian.PutUint16(b[2:], ^uint16(sum))
	}
	return b
}
