package host

import (
	"fmt"
	"os"
	"slices"
	"sync"
)

// metric is one thing that a story measures, in every round.
type metric struct {
	name    string
	unit    string
	bounds  bool    // there is a limit
	limit   float64 // 0 may be one
	limitIs string
	slack   float64 // the limit is met up to this factor; 0: 1
}

// row is a line of the table: one metric of one story, with hactl beside
// keepalived.
type row struct {
	order []int // place in the table
	title string
	metric
	values map[string][]float64 // by pairing
	judged string               // pairing
}

// board collects rows, says each at once and all in the end.
type board struct {
	mu   sync.Mutex
	rows []row
}

func (b *board) add(r row) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rows = append(b.rows, r)
	load, _ := os.ReadFile("/proc/loadavg")
	fmt.Printf("%s | load %.4s\n", r.text(), load)
}

func (b *board) print() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.rows) == 0 {
		return
	}
	fmt.Printf("\nhactl beside keepalived. ratio: of the medians. /limit: hactl's worst. *: median over the limit; ~: only the worst; ?: not measured\n%s\n", heading())
	slices.SortStableFunc(b.rows, func(x, y row) int { return slices.Compare(x.order, y.order) })
	for i := range b.rows {
		fmt.Println(b.rows[i].text())
	}
}

func heading() string {
	return fmt.Sprintf("%-78s %-6s %9s %9s %3s | %10s %9s | %6s | %9s %6s   %s",
		"", "", "hactl", "worst", "n", "keepalived", "worst", "ratio", "limit", "/limit", "the limit is")
}

func (r *row) text() string {
	m, high := median(r.values[r.judged]), worst(r.values[r.judged])
	mk, worstK := median(r.values["keepalived"]), worst(r.values["keepalived"])
	out := fmt.Sprintf("%-78s %-6s %9s %9s %3d | %10s %9s | %6s |", r.title+": "+r.name, r.unit, m, high, len(r.values[r.judged]),
		mk, worstK, ratio(m, mk))
	if !r.bounds {
		return out
	}
	mark := " "
	most := r.limit * max(1, r.slack)
	switch {
	case len(r.values[r.judged]) == 0:
		mark = "?"
	case m.v > most:
		mark = "*"
	case high.v > most:
		mark = "~"
	}
	return out + fmt.Sprintf(" %9s %6s %s %s", figure{r.limit, true}, ratio(high, figure{r.limit, true}), mark, r.limitIs)
}

// figure is a number that may be missing.
type figure struct {
	v  float64
	ok bool
}

func median(v []float64) figure {
	if len(v) == 0 {
		return figure{}
	}
	s := slices.Sorted(slices.Values(v))
	return figure{(s[(len(s)-1)/2] + s[len(s)/2]) / 2, true}
}

func worst(v []float64) figure {
	if len(v) == 0 {
		return figure{}
	}
	return figure{slices.Max(v), true}
}

func (f figure) String() string {
	switch {
	case !f.ok:
		return "-"
	case f.v == float64(int64(f.v)):
		return fmt.Sprintf("%d", int64(f.v))
	case f.v >= 100:
		return fmt.Sprintf("%.1f", f.v)
	}
	return fmt.Sprintf("%.2f", f.v)
}

func ratio(a, b figure) string {
	if !a.ok || !b.ok || b.v == 0 {
		return "-"
	}
	return fmt.Sprintf("%.3f", a.v/b.v)
}
