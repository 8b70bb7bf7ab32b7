package topology_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/hactl/hactl/reconcile/topology"
	"github.com/hactl/hactl/schema"
	"github.com/hactl/hactl/schema/load"
)

func TestMain(m *testing.M) {
	if load.IsEvaluator() {
		os.Exit(load.Evaluate(os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

func example(t *testing.T, name string) *schema.Spec {
	t.Helper()
	dir := filepath.Join("..", "..", "examples", name)
	s, _, err := load.Load(t.Context(), load.Files{FS: os.DirFS(dir), Dir: "."}, load.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestX(t *testing.T) {
	for _, n := range []string{"keepalived-pair", "tunnel-replicas", "lb-public-hostnames", "lb-private-network", "private-lb-warp", "multi-cloud-geo"} {
		m := topology.New(example(t, n))
		r := m.Spof(2)
		fmt.Println("=====", n)
		for _, e := range r.Entries {
			fmt.Println(e.ID(), e.Served, e.Why)
			for _, c := range e.Cuts {
				fmt.Println("   ", c.Components, "alike", c.Alike, c.ByChange, "|", c.Repair)
			}
		}
		for _, x := range r.Traps {
			fmt.Println("TRAP", x)
		}
	}
}
