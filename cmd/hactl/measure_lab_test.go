package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/hactl/hactl/reconcile/drill"
)

// TestMeasureLab prints how near predictions are, in so many rounds of a host's
// death and of a planned stop, with real sockets and in memory.
func TestMeasureLab(t *testing.T) {
	rounds, err := strconv.Atoi(os.Getenv("HACTL_BENCH_LAB"))
	if err != nil {
		t.Skip("HACTL_BENCH_LAB says how many rounds: make bench-lab")
	}
	needNamespaces(t)
	script := filepath.Join(t.TempDir(), "drill.txt")
	if err := os.WriteFile(script, []byte(strings.Repeat("kill lb01\nboot lb01\nstop lb01\nstart lb01\n", rounds)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, example := range []string{"edge-and-lan", "keepalived-pair"} {
		for _, args := range [][]string{nil, {"--memory"}} {
			ratios := map[drill.Cause][]float64{}
			var silences []float64
			for _, o := range drilledInOrder(t, append(args, "--spec", filepath.Join("..", "..", "examples", example), "--script", script)...) {
				for _, r := range o.Routers {
					if r.Took > 0 {
						ratios[r.Cause] = append(ratios[r.Cause], float64(r.Took)/float64(r.Switch))
					}
					if r.Cause == drill.Death {
						silences = append(silences, float64(r.Quiet)/float64(r.Silent))
					} else if r.Cause == drill.Release && r.Lost > 0 {
						t.Logf("%s %v: %d lost at a planned stop", example, args, r.Lost)
					}
				}
			}
			fmt.Printf("%s %v: measured by predicted; death %s, its silence %s, planned stop %s\n", example, args, spread(ratios[drill.Death]), spread(silences), spread(ratios[drill.Release]))
		}
	}
}

// spread is the least, the median and the most of some ratios.
func spread(x []float64) string {
	if len(x) == 0 {
		return "none"
	}
	slices.Sort(x)
	return fmt.Sprintf("%.3f %.3f %.3f (%d)", x[0], x[len(x)/2], x[len(x)-1], len(x))
}
