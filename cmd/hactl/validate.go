package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newValidate() *cobra.Command {
	f := &specFlags{}
	cmd := &cobra.Command{
		Use:   "validate",
		Short: "Check a specification",
		Long: `validate evaluates and checks a specification without asking Cloudflare. Every
problem is printed as file:line:column: field: what is wrong, and what would do.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := f.load(cmd.Context(), cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			n := len(l.spec.Objects())
			routers := ""
			if r := len(l.spec.VirtualRouters); r > 0 {
				routers = fmt.Sprintf(", %d virtual routers", r)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: stack %q, %d objects%s, %d warnings.\n", l.where(), l.spec.Stack, n, routers, len(l.warnings))
			return nil
		},
	}
	f.register(cmd)
	return cmd
}
