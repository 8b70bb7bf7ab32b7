package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/hactl/hactl/engines/host"
)

func newStatus() *cobra.Command {
	f := &hostFlags{}
	var output string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the Virtual Routers of this host",
		Long: `status asks the VRRP engine of this host how it is.

Exit code: 0 an engine runs here, 1 none does or it does not answer.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if output != "text" && output != "json" {
				return fmt.Errorf("-o %s: want text or json", output)
			}
			client, err := host.Dial(cmd.Context(), f.dir())
			switch {
			case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
				return fmt.Errorf("no engine runs here (%s): hactl run starts it", f.dir())
			case errors.Is(err, fs.ErrPermission):
				return fmt.Errorf("%w: ask as root, or as the user that hactl runs as", err)
			case err != nil:
				return err
			}
			defer client.Close()
			s, err := client.Status(cmd.Context())
			if err != nil {
				return err
			}
			if output == "json" {
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetIndent("", "  ")
				return e.Encode(s)
			}
			return showStatus(cmd.OutOrStdout(), s, time.Now())
		},
	}
	cmd.Flags().StringVar(&f.runtime, "runtime", "", "directory of the VRRP engine's socket (default: HACTL_RUNTIME_DIR, RUNTIME_DIRECTORY, else /run/hactl or the user's)")
	cmd.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// showStatus writes a line for each Virtual Router and each check.
func showStatus(w io.Writer, s *host.Status, now time.Time) error {
	ago := func(t time.Time) string { return now.Sub(t).Round(time.Second).String() }
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "engine\tpid %d\tup %s\trevision %s\n", s.PID, ago(s.Started), s.Revision)
	if !s.Scheduling.FIFO {
		fmt.Fprintf(t, "\tordinary scheduling: %s\n", s.Scheduling.Problems)
	}
	fmt.Fprintln(t, "\nROUTER\tSTATE\tFOR\tCAUSE\tPRIORITY\tINTERFACE\tADDRESSES\tHEARS\tNOTE")
	for _, r := range s.Routers {
		hears := "-"
		if r.Leader.IsValid() && r.State != "active" {
			hears = fmt.Sprintf("%v (%d)", r.Leader, r.LeaderPriority)
		}
		var addresses []string
		for _, p := range r.Addresses {
			text := p.String()
			if slices.Contains(r.Present, p) {
				text += "*"
			}
			addresses = append(addresses, text)
		}
		note := r.Problem
		if note == "" && r.Checks.Waiting {
			note = "waits for its checks"
		} else if note == "" && r.Checks.Fault {
			note = "a check fails"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\n", r.Name, r.State, ago(r.Since), r.Cause, r.Priority, r.Interface, strings.Join(addresses, " "), hears, note)
	}
	if len(s.Checks)+len(s.Untried) > 0 {
		fmt.Fprintln(t, "\nCHECK\tRESULT\tFOR\tDETAIL")
	}
	for _, name := range slices.Sorted(maps.Keys(s.Checks)) {
		c := s.Checks[name]
		result := "passes"
		if !c.OK {
			result = "fails"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", name, result, ago(c.Since), c.Detail)
	}
	for _, name := range s.Untried {
		fmt.Fprintf(t, "%s\tnone yet\t\t\n", name)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if s.Agents == 0 {
		fmt.Fprintln(w, "\nNo hactl run is attached: checks are not tried, hooks do not run, and no change is followed.")
	}
	if len(s.Routers) > 0 {
		fmt.Fprintln(w, "\n* is on the interface now")
	}
	return nil
}
