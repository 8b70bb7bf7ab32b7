package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hactl/hactl/reconcile/source"
	"github.com/hactl/hactl/schema"
	"github.com/hactl/hactl/schema/load"
)

// specFlags say where the specification is; every command that reads one has
// them.
type specFlags struct {
	dir      string
	dirGiven func() bool

	repo, ref, path     string
	tokenFile, username string
	sshKey, knownHosts  string
	caFile              string
	plainHTTP           bool
	timeout             time.Duration

	evalMemory int64
	evalTime   time.Duration
}

func (f *specFlags) register(cmd *cobra.Command) {
	limits := load.DefaultLimits()
	flags := cmd.Flags()
	flags.StringVarP(&f.dir, "dir", "C", ".", "directory that holds the specification")
	flags.StringVar(&f.repo, "repo", "", "Git repository that holds it, in place of a directory: an https, ssh or file URL, or a path")
	flags.StringVar(&f.ref, "ref", "", "branch, tag or full SHA of the repository (default: its HEAD)")
	flags.StringVar(&f.path, "path", "", "folder of the repository")
	flags.StringVar(&f.tokenFile, "token-file", "", "file with the token for https (also HACTL_GIT_TOKEN)")
	flags.StringVar(&f.username, "username", "", "user name that goes with the token")
	flags.StringVar(&f.sshKey, "ssh-key", "", "private key for ssh (default: the agent)")
	flags.StringVar(&f.knownHosts, "known-hosts", "", "known_hosts file for ssh (default: SSH_KNOWN_HOSTS, else the user's)")
	flags.StringVar(&f.caFile, "ca-file", "", "additional certificate authorities for https, in PEM")
	flags.BoolVar(&f.plainHTTP, "plain-http", false, "send the token over http without TLS to other hosts than this one")
	flags.DurationVar(&f.timeout, "fetch-timeout", time.Minute, "longest time for a fetch")
	flags.Int64Var(&f.evalMemory, "eval-memory", limits.Memory>>20, "most memory an evaluation may take, in MiB")
	flags.DurationVar(&f.evalTime, "eval-timeout", limits.Time, "longest time for an evaluation")
	f.dirGiven = func() bool { return cmd.Flags().Changed("dir") }
	_ = cmd.MarkFlagDirname("dir")
}

// source returns where the flags point.
func (f *specFlags) source() (source.Source, error) {
	if f.evalMemory < 1 || f.evalTime <= 0 || f.timeout <= 0 {
		return nil, errors.New("--eval-memory, --eval-timeout and --fetch-timeout have to be more than nothing")
	}
	if f.repo == "" {
		for _, flag := range []struct{ name, value string }{{"--ref", f.ref}, {"--path", f.path}} {
			if flag.value != "" {
				return nil, fmt.Errorf("%s goes with --repo; -C DIR reads a directory as it is", flag.name)
			}
		}
		return source.Directory(f.dir), nil
	}
	if f.dirGiven() {
		return nil, errors.New("-C reads a directory and --repo a repository: pass one of them, and --path for a folder of the repository")
	}
	o := source.GitOptions{
		URL: f.repo, Ref: f.ref, Path: f.path, TokenFile: f.tokenFile, Username: f.username,
		PlainHTTP: f.plainHTTP, CAFile: f.caFile, SSHKeyFile: f.sshKey, KnownHostsFile: f.knownHosts, Timeout: f.timeout,
	}
	if token := os.Getenv("HACTL_GIT_TOKEN"); token != "" && f.tokenFile == "" && strings.HasPrefix(f.repo, "http") {
		o.Token = func(context.Context) (string, error) { return token, nil }
	}
	return source.Git(o)
}

// loaded is a specification with where it comes from.
type loaded struct {
	spec     *schema.Spec
	tree     *source.Tree
	warnings []schema.Problem
}

// load fetches, admits, evaluates and validates the specification. Problems
// and warnings are printed; problems end in exitError.
func (f *specFlags) load(ctx context.Context, stderr io.Writer) (*loaded, error) {
	src, err := f.source()
	if err != nil {
		return nil, err
	}
	candidate, err := src.Fetch(ctx, "")
	if err != nil {
		return nil, err
	}
	tree, err := candidate.Admit(source.Unverified{})
	if err != nil {
		return nil, err
	}
	spec, warnings, err := load.Load(ctx, load.Files{FS: tree.FS, Dir: tree.Dir, Name: tree.Name},
		f.limits())
	for _, w := range warnings {
		fmt.Fprintln(stderr, w)
	}
	var invalid *load.Invalid
	if errors.As(err, &invalid) {
		for _, p := range invalid.Problems {
			fmt.Fprintln(stderr, p)
		}
		return nil, exitError
	}
	if err != nil {
		return nil, err
	}
	return &loaded{spec: spec, tree: tree, warnings: warnings}, nil
}

// origin tells one specification from all others, wherever this is called.
func (f *specFlags) origin(src source.Source) string {
	if f.repo == "" {
		if abs, err := filepath.Abs(f.dir); err == nil {
			return abs
		}
	}
	if f.path != "" && f.path != "." {
		return src.Origin() + ":" + path.Clean(f.path)
	}
	return src.Origin()
}

func (f *specFlags) limits() load.Limits {
	return load.Limits{Memory: f.evalMemory << 20, Time: f.evalTime}
}

// where is the folder that the specification was read from.
func (l *loaded) where() string { return path.Clean(l.tree.Origin) }
