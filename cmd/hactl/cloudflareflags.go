package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/hactl/hactl/engines/cloudflare"
	"github.com/hactl/hactl/reconcile"
	"github.com/hactl/hactl/reconcile/loop"
	"github.com/hactl/hactl/schema"
)

// edgeFlags say how to reach Cloudflare and where the journal is.
type edgeFlags struct {
	budget int
	state  string
	secret func(schema.SecretRef) (string, error) // nil for the world's
}

func (f *edgeFlags) register(cmd *cobra.Command) {
	cmd.Flags().IntVar(&f.budget, "budget", cloudflare.DefaultBudget, "requests to Cloudflare in 5 minutes, for reading and writing together")
	cmd.Flags().StringVar(&f.state, "state", "", "directory of the journal (default: HACTL_STATE_DIR, STATE_DIRECTORY, else the user's state directory)")
}

// account is the specification's, else the environment's.
func account(spec *schema.Spec) string {
	if spec != nil && spec.Account != "" {
		return spec.Account
	}
	return os.Getenv("CLOUDFLARE_ACCOUNT_ID")
}

// loop wires the engines for an account. Its settings come from the
// environment: CLOUDFLARE_API_TOKEN or CLOUDFLARE_API_TOKEN_FILE, and
// CLOUDFLARE_BASE_URL.
func (f *edgeFlags) loop(account string, observer reconcile.Observer) (*loop.Loop, *cloudflare.Engine, error) {
	token, err := apiToken()
	if err != nil {
		return nil, nil, err
	}
	engine, err := newEngine(account, f.budget, token, f.secrets(), observer)
	if err != nil {
		return nil, nil, err
	}
	dir, err := f.stateDir()
	if err != nil {
		return nil, nil, err
	}
	return &loop.Loop{
		Engines: []loop.Engine{engine}, Journal: loop.Directory{Path: dir, Account: account}, Observer: observer,
	}, engine, nil
}

// newEngine is the engine of an account, told to an observer if there is one.
func newEngine(account string, budget int, token string, secrets func(schema.SecretRef) (string, error), observer reconcile.Observer) (*cloudflare.Engine, error) {
	return cloudflare.New(cloudflare.Options{
		Token: token, Account: account, BaseURL: os.Getenv("CLOUDFLARE_BASE_URL"), UserAgent: "hactl/" + version(),
		Budget: budget, Secret: secrets,
		Waiting: func(d time.Duration, asked bool) {
			if observer == nil {
				return
			}
			e := reconcile.Event{Kind: reconcile.WaitForBudget, Elapsed: d}
			if asked {
				e.Kind = reconcile.WaitForServer
			}
			observer.Observe(e)
		},
	})
}

func (f *edgeFlags) secrets() func(schema.SecretRef) (string, error) {
	if f.secret != nil {
		return f.secret
	}
	return secret
}

func (f *edgeFlags) stateDir() (string, error) {
	for _, dir := range []string{f.state, os.Getenv("HACTL_STATE_DIR"), os.Getenv("STATE_DIRECTORY")} {
		if dir != "" {
			return dir, nil
		}
	}
	if dir := os.Getenv("XDG_STATE_HOME"); dir != "" {
		return filepath.Join(dir, "hactl"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("no place for the journal: pass --state: %w", err)
	}
	return filepath.Join(home, ".local", "state", "hactl"), nil
}

func apiToken() (string, error) {
	if token := os.Getenv("CLOUDFLARE_API_TOKEN"); token != "" {
		return token, nil
	}
	if name := os.Getenv("CLOUDFLARE_API_TOKEN_FILE"); name != "" {
		return secretFile(name)
	}
	return "", nil // The engine says what is missing.
}
