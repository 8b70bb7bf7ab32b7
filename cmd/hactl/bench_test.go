package main

import (
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hactl/hactl/engines/cloudflare"
	"github.com/hactl/hactl/engines/cloudflare/cfsim"
	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/loop"
	"github.com/hactl/hactl/reconcile/topology"
	"github.com/hactl/hactl/schema/load"
)

// The benchmarks run the real binary as a process against the simulator and
// report each figure beside the limit it answers to. Run them with
//
//	make bench

// latency is the simulated API's time per request.
const latency = 30 * time.Millisecond

// estate writes a specification of that many pools of three origins, with a
// tenth as many monitors, tunnels with configuration and load balancers, and
// three tenths as many routes.
func estate(b *testing.B, pools int) (dir string, objects int) {
	b.Helper()
	var s strings.Builder
	s.WriteString("package edge\n\nstack: \"bench\"\nplan: \"enterprise\"\nnetworks: lan: {}\n")
	tenth := pools / 10
	for i := range tenth {
		fmt.Fprintf(&s, "monitors: m%d: {type: \"https\", path: \"/healthz\", header: Host: [\"h%d.example.com\"]}\n", i, i)
		fmt.Fprintf(&s, "tunnels: t%d: {\n\tingress: [{hostname: \"h%d.example.com\", service: \"http://10.0.0.1\"}]\n\tdns: false\n\troutes: [\n", i, i)
		for j := range 3 {
			fmt.Fprintf(&s, "\t\t{network: \"lan\", cidr: \"10.%d.%d.0/24\"},\n", (3*i+j)/250, (3*i+j)%250)
		}
		s.WriteString("\t]\n}\n")
		fmt.Fprintf(&s, "loadBalancers: \"h%d.example.com\": {zone: \"example.com\", defaultPools: [\"p%d\", \"p%d\"], fallbackPool: \"p%d\"}\n", i, 10*i, 10*i+1, 10*i)
	}
	for i := range pools {
		fmt.Fprintf(&s, "pools: p%d: {\n\tdescription: \"pool %d\"\n\tmonitor: \"m%d\"\n\torigins: {\n", i, i, i/10)
		fmt.Fprintf(&s, "\t\ta: tunnel: \"t%d\"\n\t\tb: {address: \"192.0.2.%d\", weight: 0.5}\n\t\tc: {address: \"198.51.100.%d\", port: 8443}\n\t}\n}\n", i/10, i%250+1, i%250+1)
	}
	dir = b.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "edge.cue"), []byte(s.String()), 0o644); err != nil {
		b.Fatal(err)
	}
	return dir, 1 + tenth*(1+1+1+1+3) + pools
}

// binary builds hactl once.
func binary(b *testing.B) string {
	b.Helper()
	name := filepath.Join(b.TempDir(), "hactl")
	build := exec.Command("go", "build", "-o", name, ".")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	return name
}

// bench is a simulator and the environment that points at it.
type bench struct {
	binary string
	sim    *cfsim.Server
	env    []string
}

func newBench(b *testing.B) *bench {
	b.Helper()
	sim := cfsim.New(cfsim.Options{Zones: []string{"example.com"}, Enterprise: true})
	server := httptest.NewServer(sim)
	b.Cleanup(server.Close)
	return &bench{binary(b), sim, []string{
		"CLOUDFLARE_BASE_URL=" + server.URL + cfsim.Prefix, "CLOUDFLARE_ACCOUNT_ID=" + sim.Account(), "CLOUDFLARE_API_TOKEN=bench",
		"HACTL_STATE_DIR=" + b.TempDir(), "PATH=" + os.Getenv("PATH"), "HOME=" + b.TempDir(),
	}}
}

// figures are what one run of the process took.
type figures struct {
	wall, cpu time.Duration
	peak      int64 // bytes, of the largest process
	requests  []cfsim.Request
}

func (x *bench) run(b *testing.B, exit int, args ...string) figures {
	b.Helper()
	x.sim.ResetLog()
	cmd := exec.Command(x.binary, args...)
	cmd.Env = x.env
	began := time.Now()
	out, err := cmd.CombinedOutput()
	f := figures{wall: time.Since(began)}
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != exit {
		b.Fatalf("hactl %v: %v\n%s", args, err, out)
	}
	f.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	f.peak = cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10
	f.requests = x.sim.Requests()
	return f
}

// BenchmarkNoopDiff: list calls only but for the tunnels' configurations, and
// beyond those three round trips; 1.5 s and 150 MB for 1000 pools.
func BenchmarkNoopDiff(b *testing.B) {
	for _, pools := range []int{1000, 5000} {
		b.Run(fmt.Sprintf("pools=%d", pools), func(b *testing.B) {
			dir, _ := estate(b, pools)
			x := newBench(b)
			x.run(b, 0, "apply", "--yes", "--budget", "1000000", "-C", dir)
			x.sim.SetLatency(latency)
			scale := float64(pools) / 1000
			var wall, cpu time.Duration
			var peak int64
			lists, configurations := 0, 0
			for b.Loop() {
				f := x.run(b, 0, "diff", "--budget", "1000000", "-C", dir)
				wall, cpu, peak = wall+f.wall, cpu+f.cpu, max(peak, f.peak)
				lists, configurations = 0, 0
				for _, r := range f.requests {
					if strings.HasSuffix(r.Path, "/configurations") {
						configurations++
					} else {
						lists++
					}
				}
			}
			n := float64(b.N)
			rounds := 3 + float64(configurations+cloudflare.ConcurrentReads-1)/cloudflare.ConcurrentReads
			b.ReportMetric(wall.Seconds()/n, "wall-s/op")
			b.ReportMetric(cpu.Seconds()/n, "cpu-s/op")
			b.ReportMetric(float64(peak)/1e6, "peak-MB")
			b.ReportMetric(float64(lists), "lists/op")
			b.ReportMetric(float64(configurations), "configurations/op")
			b.ReportMetric(wall.Seconds()/n/(1.5*scale), "wall/limit")
			b.ReportMetric(wall.Seconds()/n/(rounds*latency.Seconds()), "wall/api-time")
			b.ReportMetric(float64(peak)/(150e6*scale), "peak/limit")
			b.ReportMetric(float64(lists+configurations)*5/cloudflare.DefaultBudget, "minutely-ticks/budget")
		})
	}
}

// BenchmarkImpactShare: what traffic notices of a changed pool among 1000 is found
// in less than a twentieth of the diff, the whole process of which is run in turn
// with finding it, here and of the same plan.
func BenchmarkImpactShare(b *testing.B) {
	dir, _ := estate(b, 1000)
	x := newBench(b)
	x.run(b, 0, "apply", "--yes", "--budget", "1000000", "-C", dir)
	file := filepath.Join(dir, "edge.cue")
	text, err := os.ReadFile(file)
	if err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(file, append(text, "pools: p10: enabled: false\n"...), 0o644); err != nil {
		b.Fatal(err)
	}
	spec, _, err := load.Load(b.Context(), load.Files{FS: os.DirFS(dir), Dir: "."}, load.DefaultLimits())
	if err != nil {
		b.Fatal(err)
	}
	engine, err := cloudflare.New(cloudflare.Options{
		Token: "bench", Account: x.sim.Account(), BaseURL: strings.TrimPrefix(x.env[0], "CLOUDFLARE_BASE_URL="), Budget: 1000000, Secret: noSecret,
	})
	if err != nil {
		b.Fatal(err)
	}
	l := &loop.Loop{Engines: []loop.Engine{engine}, Journal: &journal{stacks: map[string]reconcile.Journal{}}}
	round, err := l.Plan(b.Context(), loop.Request{Spec: spec, Revision: "bench"})
	if err != nil || len(round.Plan.Steps) != 1 {
		b.Fatalf("%v, %+v", err, round)
	}
	x.sim.SetLatency(latency)
	var diff, impact time.Duration
	for b.Loop() {
		diff += x.run(b, int(exitChanges), "diff", "--budget", "1000000", "-C", dir).wall
		began := time.Now()
		if found := topology.Impact(topology.Facts(spec, round.Plan, round.Live), nil); len(found) == 0 {
			b.Fatal("nothing is noticed")
		}
		impact += time.Since(began)
	}
	b.ReportMetric(impact.Seconds()*1000/float64(b.N), "impact-ms/op")
	b.ReportMetric(diff.Seconds()*1000/float64(b.N), "diff-ms/op")
	b.ReportMetric(impact.Seconds()/(diff-impact).Seconds()/0.05, "share/limit")
}

// BenchmarkFirstApply: as many requests as objects and lists, in the time
// that they take at the allowed concurrency.
func BenchmarkFirstApply(b *testing.B) {
	dir, objects := estate(b, 1000)
	var writes, all int
	var wall time.Duration
	for b.Loop() {
		x := newBench(b)
		x.sim.SetLatency(latency)
		f := x.run(b, 0, "apply", "--yes", "--budget", "1000000", "-C", dir)
		wall += f.wall
		writes, all = 0, len(f.requests)
		for _, r := range f.requests {
			if r.Method != "GET" {
				writes++
			}
		}
	}
	// What the API allows: 200 requests a second from one address, reads and
	// writes together, which is six writes of 30 ms at a time.
	limit := max(time.Duration(writes)*latency/cloudflare.ConcurrentWrites, time.Duration(all)*time.Second/cloudflare.RequestsPerSecond)
	b.ReportMetric(float64(writes)/float64(objects), "writes/objects")
	b.ReportMetric(float64(all), "requests/op")
	b.ReportMetric(wall.Seconds()/float64(b.N), "wall-s/op")
	b.ReportMetric(wall.Seconds()/float64(b.N)/limit.Seconds(), "wall/limit")
	b.ReportMetric(wall.Seconds()/float64(b.N)/(float64(writes)*latency.Seconds()/cloudflare.ConcurrentWrites), "wall/writes-alone")
}

// BenchmarkColdDiff: the small example, whole process, in 150 ms.
func BenchmarkColdDiff(b *testing.B) {
	x := newBench(b)
	dir := filepath.Join("..", "..", "examples", "tunnel-replicas")
	var wall time.Duration
	for b.Loop() {
		wall += x.run(b, int(exitChanges), "diff", "-C", dir).wall
	}
	b.ReportMetric(wall.Seconds()*1000/float64(b.N), "wall-ms/op")
	b.ReportMetric(wall.Seconds()/float64(b.N)/0.150, "wall/limit")
}
