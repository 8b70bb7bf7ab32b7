package host

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"
)

// compareBusy has both cores busy with other work beside a pair of each make at
// 10 ms, at the same time, and counts what happens although nothing does.
func compareBusy(t *testing.T, b *board) {
	const interval = 10 * time.Millisecond
	long, err := time.ParseDuration(os.Getenv(envBusy))
	if err != nil {
		long = time.Minute
	}
	name := fmt.Sprintf("%v both cores busy for %v", interval, long)
	if !wanted(name) {
		return
	}
	var all []*contest
	for _, p := range each {
		l := newLAN(t)
		c := &contest{lan: l, interval: interval}
		l.addHost("r1", 1)
		l.addHost("r2", 2)
		c.wire = l.tap("r2")
		c.a, c.b = l.make(p.a, "r1", 1, c.config(150)), l.make(p.b, "r2", 2, c.config(100))
		all = append(all, c)
	}
	for _, c := range all {
		holds(t, c.a, c.b)
	}
	for i := range 2 * runtime.NumCPU() {
		work := exec.Command(self(t))
		work.Env = append(os.Environ(), envWork+"="+[]string{"loop", "churn"}[i%2])
		// Ends with its other end, however this process ends.
		if _, err := work.StdinPipe(); err != nil {
			t.Fatal(err)
		}
		if err := work.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = work.Process.Kill(); _ = work.Wait() })
	}
	event := monotonic()
	pass(t, long)
	transitions, spacing, bound := map[string][]float64{}, map[string][]float64{}, milliseconds(activeDownInterval(&all[0].config(100).Routers[0]))
	for i, c := range all {
		n := -1
		for _, p := range []peer{c.a, c.b} {
			for _, s := range p.eyes().since(event, vip) {
				if s.on {
					n++
				}
			}
		}
		var gap, last time.Duration
		for _, s := range c.wire.sights(event, advertisementOf("10.0.0.1", 50)) {
			if last != 0 {
				gap = max(gap, s.at-last)
			}
			last = s.at
		}
		transitions[each[i].label] = []float64{float64(n)}
		spacing[each[i].label] = []float64{milliseconds(gap)}
	}
	b.add(row{order: []int{1000, 0}, title: name, metric: metric{name: "false transitions", bounds: true, limitIs: "nothing has failed"}, values: transitions, judged: ours.label})
	b.add(row{order: []int{1000, 1}, title: name, metric: metric{name: "longest gap in advertisements", unit: "ms", limit: bound, bounds: true, limitIs: "Active_Down_Interval"}, values: spacing, judged: ours.label})
}

const envWork = "HACTL_TEST_WORK"

// runWork is the other work, in a process of its own: a mere loop, whose time
// slices are long and regular, or goroutines and garbage for all processors, as
// the agent has them when it evaluates a specification.
func runWork(kind string) {
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	if kind == "loop" {
		for odd := 1; odd != 0; odd += 2 { // never
		}
	}
	for range 2 * runtime.NumCPU() {
		go func() {
			var kept [4096][]byte
			woken := make(chan bool, 1)
			for i := 0; ; i++ {
				kept[i%len(kept)] = make([]byte, 1+i%16384)
				if i%1000 == 0 {
					go func() { woken <- true }()
					<-woken
				}
			}
		}()
	}
	select {}
}

// pass waits for what is measured over a time.
func pass(t testing.TB, d time.Duration) {
	t.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
		t.Fatal("interrupted")
	}
}
