package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
)

// starter is the specification that init writes.
const starter = `package %[1]s

stack: %[2]q

// One tunnel, run by two hosts, serves one hostname; hactl makes its CNAME.
hosts: {
	lb01: address: "192.0.2.11"
	lb02: address: "192.0.2.12"
}

tunnels: home: {
	connectors: ["lb01", "lb02"]
	ingress: [{hostname: "www.example.com", service: "http://127.0.0.1:8080"}]
}
`

const starterReadme = `# %s

A specification for hactl.

    hactl validate        # check it
    hactl diff            # what would change
    hactl apply           # change it

hactl needs CLOUDFLARE_API_TOKEN and CLOUDFLARE_ACCOUNT_ID for the last two.
`

func newInit() *cobra.Command {
	var stack string
	cmd := &cobra.Command{
		Use:   "init [DIR]",
		Short: "Start a specification",
		Long:  "init writes a small specification that validates. It overwrites nothing.",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := "."
			if len(args) == 1 {
				dir = args[0]
			}
			if stack == "" {
				absolute, err := filepath.Abs(dir)
				if err != nil {
					return err
				}
				stack = stackName(filepath.Base(absolute))
			}
			if stack != stackName(stack) {
				return fmt.Errorf("--stack %q: want up to 20 lower-case letters, digits and -", stack)
			}
			if present, _ := filepath.Glob(filepath.Join(dir, "*.cue")); len(present) > 0 {
				return fmt.Errorf("%s holds a specification already: %s; nothing was written", dir, filepath.Base(present[0]))
			}
			if err := os.MkdirAll(dir, 0o755); err != nil {
				return err
			}
			for _, f := range []struct{ name, content string }{
				{stack + ".cue", fmt.Sprintf(starter, "edge", stack)},
				{"README.md", fmt.Sprintf(starterReadme, stack)},
			} {
				name := filepath.Join(dir, f.name)
				switch err := writeNew(name, f.content); {
				case errors.Is(err, fs.ErrExist): // The README of a repository.
				case err != nil:
					return err
				default:
					fmt.Fprintln(cmd.OutOrStdout(), name)
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&stack, "stack", "", "name of the stack (default: the directory's)")
	return cmd
}

var notStack = regexp.MustCompile(`[^a-z0-9]+`)

// stackName makes a name out of any string.
func stackName(s string) string {
	s = strings.Trim(notStack.ReplaceAllString(strings.ToLower(s), "-"), "-")
	s = strings.Trim(s[:min(len(s), 20)], "-")
	if s == "" {
		return "home"
	}
	return s
}

// writeNew creates a file; one that exists is left alone, and fs.ErrExist.
func writeNew(name, content string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(content)
	return errors.Join(err, f.Close())
}
