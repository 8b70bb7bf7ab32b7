package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/hactl/hactl/reconcile/render"
)

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "hactl",
		Short: "One spec for Cloudflare's edge and the LAN behind it",
		Long: `hactl reads a Git repository of CUE specifications, compares it with what there
is at Cloudflare and on the hosts of a LAN, and applies the difference.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
	}
	root.PersistentFlags().Bool("no-color", false, "no colours, even on a terminal (also NO_COLOR)")
	root.AddCommand(
		newInit(), newValidate(), newFmt(), newDiff(), newApply(), newRun(), newInstall(), newStatus(), newSync(), newSuspend(), newResume(), newAdopt(), newSpof(), newWhatIf(), newGraph(), newSecret(), newSim(), newDemo(), newVersion(),
	)
	root.InitDefaultCompletionCmd()
	if c, _, err := root.Find([]string{"completion"}); err == nil {
		// Else a shell that there is none for has the help for its script.
		c.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	}
	return root
}

// style decides on colours for a stream (https://no-color.org).
func style(cmd *cobra.Command, w io.Writer) render.Style {
	off, err := cmd.Flags().GetBool("no-color")
	return render.Style{Color: err == nil && !off && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && isTerminal(w)}
}

// noArguments takes none. Most often one is a directory that wants a flag.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	hint := ""
	switch flags := cmd.Flags(); {
	case flags.Lookup("dir") != nil:
		hint = "; a directory goes with -C"
	case flags.Lookup("spec") != nil:
		hint = "; a directory goes with --spec"
	}
	return fmt.Errorf("%s takes no argument such as %q%s", cmd.CommandPath(), args[0], hint)
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

var errNoTerminal = errors.New("there is no terminal to confirm on: pass --yes")
