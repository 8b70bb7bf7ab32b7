package main

import (
	"github.com/spf13/cobra"

	"github.com/hactl/hactl/reconcile/source"
)

// trustFlags say who has to vouch for a revision.
type trustFlags struct {
	signers, keyring string
	require          string
}

func (f *trustFlags) register(cmd *cobra.Command) {
}

// trust is what the flags ask for.
func (f *trustFlags) trust() (source.Trust, error) {
	return source.Unverified{}, nil
}
