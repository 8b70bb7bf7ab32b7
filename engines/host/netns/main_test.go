package netns_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/hactl/hactl/schema/load"
)

func TestMain(m *testing.M) {
	if load.IsEvaluator() {
		os.Exit(load.Evaluate(os.Stdin, os.Stdout, os.Stderr))
	}
	if role := os.Getenv(envRole); role != "" {
		if err := play(role); err != nil {
			fmt.Fprintln(os.Stderr, role+":", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}
