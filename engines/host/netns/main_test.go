package netns_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/hactl/hactl/schema/load/loadtest"
)

func TestMain(m *testing.M) {
	loadtest.Evaluate()
	if role := os.Getenv(envRole); role != "" {
		if err := play(role); err != nil {
			fmt.Fprintln(os.Stderr, role+":", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}
