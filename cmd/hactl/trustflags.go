package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/hactl/hactl/reconcile/source"
	"github.com/hactl/hactl/reconcile/source/gitsig"
)

// trustFlags say who has to vouch for a revision.
type trustFlags struct {
	signers []string
	require string
}

func (f *trustFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.signers, "signers", nil, "file of keys whose signatures a revision needs: allowed_signers lines (ssh-keygen(1)), or OpenPGP public keys (repeatable; default: whoever can push decides)")
	cmd.Flags().StringVar(&f.require, "require-signature", "commit", "what has to be signed: commit, tag, or either")
	_ = cmd.MarkFlagFilename("signers")
	_ = cmd.RegisterFlagCompletionFunc("require-signature", cobra.FixedCompletions([]string{"commit", "tag", "either"}, cobra.ShellCompDirectiveNoFileComp))
}

// trust is what the flags ask for.
func (f *trustFlags) trust(src source.Source) (source.Trust, error) {
	require := source.Require(f.require)
	switch require {
	case source.RequireCommit, source.RequireTag, source.RequireEither:
	default:
		return nil, fmt.Errorf("--require-signature %s: want commit, tag or either", f.require)
	}
	if len(f.signers) == 0 {
		if require != source.RequireCommit {
			return nil, errors.New("--require-signature goes with --signers")
		}
		return source.Unverified{}, nil
	}
	if _, directory := src.(*source.Dir); directory {
		return nil, errors.New("--signers goes with --repo: a directory has no signatures")
	}
	return &signedBy{files: f.signers, require: require}, nil
}

// signedBy is source.Verified with its keys read anew for each revision: who is
// taken out of a file vouches for nothing from then on.
type signedBy struct {
	files   []string
	require source.Require
}

func (t *signedBy) keys() (gitsig.Keys, error) {
	var all []gitsig.Keys
	for _, name := range t.files {
		b, err := os.ReadFile(name)
		if err != nil {
			return gitsig.Keys{}, fmt.Errorf("--signers: %w", err)
		}
		k, err := gitsig.ParseKeys(name, b)
		if err != nil {
			return gitsig.Keys{}, fmt.Errorf("--signers: %w", err)
		}
		all = append(all, k)
	}
	return gitsig.Join(all...), nil
}

// Check implements source.Trust.
func (t *signedBy) Check(c *source.Candidate) (string, error) {
	keys, err := t.keys()
	if err != nil {
		return "", err
	}
	return source.Verified{Keys: keys, Require: t.require}.Check(c)
}
