package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hactl/hactl/reconcile/loop"
	"github.com/hactl/hactl/schema/load"
)

func newFmt() *cobra.Command {
	var dir string
	var check bool
	cmd := &cobra.Command{
		Use:   "fmt [FILE ...]",
		Short: "Format specifications",
		Long: `fmt formats CUE files in place: those given, else all below -C DIR. It prints
the names of the files that it changed. A file with an error stays as it is.

With --check it changes nothing and exits with 1 where a file would change.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			files := args
			if len(files) == 0 {
				var err error
				if files, err = cueFiles(dir); err != nil {
					return err
				}
			}
			changed := false
			var errs []error
			for _, name := range files {
				differs, err := formatFile(name, check)
				if err != nil {
					errs = append(errs, err)
				}
				if differs {
					changed = true
					fmt.Fprintln(cmd.OutOrStdout(), name)
				}
			}
			if err := errors.Join(errs...); err != nil {
				return err
			}
			if check && changed {
				return exitError
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&dir, "dir", "C", ".", "directory whose files to format")
	cmd.Flags().BoolVar(&check, "check", false, "only name the files that would change")
	return cmd
}

func cueFiles(dir string) ([]string, error) {
	var files []string
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && name != dir && (strings.HasPrefix(d.Name(), ".") || d.Name() == "cue.mod") {
			return filepath.SkipDir
		}
		if d.Type().IsRegular() && filepath.Ext(name) == ".cue" {
			files = append(files, name)
		}
		return nil
	})
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("no CUE files in %s", dir)
	}
	return files, err
}

func formatFile(name string, check bool) (differs bool, err error) {
	before, err := os.ReadFile(name)
	if err != nil {
		return false, err
	}
	after, err := load.Format(name, before)
	if err != nil {
		return false, err
	}
	if bytes.Equal(before, after) || check {
		return !bytes.Equal(before, after), nil
	}
	// A link stays one: what it leads to is replaced.
	file, err := filepath.EvalSymlinks(name)
	if err != nil {
		return false, err
	}
	info, err := os.Stat(file)
	if err != nil {
		return false, err
	}
	return true, loop.ReplaceFile(file, after, info.Mode().Perm())
}
