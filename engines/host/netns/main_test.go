package netns_test

import (
	"os"
	"testing"

	"github.com/hactl/hactl/schema/load"
)

func TestMain(m *testing.M) {
	if load.IsEvaluator() {
		os.Exit(load.Evaluate(os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}
