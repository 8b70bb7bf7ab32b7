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
				routers = ", " + count(r, "Virtual Router")
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: stack %q, %s%s, %s.\n", l.where(), l.spec.Stack, count(n, "object"), routers, count(len(l.warnings), "warning"))
			return nil
		},
	}
	f.register(cmd)
	return cmd
}
