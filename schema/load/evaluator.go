package load

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"syscall"
	"time"
)

// exitMemory is the child's exit code when it reaches its memory limit.
const exitMemory = 77

// smallHeap is where the evaluation begins to save memory.
const smallHeap = 64 << 20

// IsEvaluator tells whether this process was started to evaluate.
func IsEvaluator() bool { return os.Getenv(EvaluatorEnv) != "" }

// Evaluate is the whole life of the evaluating child: it reads a request,
// writes an answer and returns the exit code.
func Evaluate(in io.Reader, out, complaints io.Writer) int {
	limit, err := strconv.ParseInt(os.Getenv(EvaluatorEnv), 10, 64)
	if err != nil {
		fmt.Fprintln(complaints, "evaluator: no memory limit")
		return 1
	}
	if err := fence(limit); err != nil {
		fmt.Fprintln(complaints, "evaluator: limit memory:", err)
		return 1
	}
	var r request
	if err := json.NewDecoder(in).Decode(&r); err != nil {
		fmt.Fprintln(complaints, "evaluator: read the request:", err)
		return 1
	}
	if err := json.NewEncoder(out).Encode(evaluate(r)); err != nil {
		fmt.Fprintln(complaints, "evaluator: write the answer:", err)
		return 1
	}
	return 0
}

// fence ends the process when it has more memory than the limit. A watch on
// the runtime's own count ends it cleanly; the kernel's limit, well above,
// ends it where the watch is too late, and then by a signal. RLIMIT_DATA counts memory that
// can be written, so that the runtime's reservations do not matter.
func fence(limit int64) error {
	hard := uint64(limit + max(limit/4, 512<<20))
	if err := syscall.Setrlimit(syscall.RLIMIT_DATA, &syscall.Rlimit{Cur: hard, Max: hard}); err != nil {
		return err
	}
	// Small specifications, which are most, are evaluated a quarter faster with
	// less collection; from a few megabytes on memory counts more.
	debug.SetGCPercent(400)
	thrifty := false
	go func() {
		sample := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
		for range time.Tick(2 * time.Millisecond) {
			metrics.Read(sample)
			used := sample[0].Value.Uint64() - sample[1].Value.Uint64()
			if used > uint64(limit) {
				os.Exit(exitMemory)
			}
			if !thrifty && used > smallHeap {
				thrifty = true
				debug.SetGCPercent(100)
			}
		}
	}()
	return nil
}
