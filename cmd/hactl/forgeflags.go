package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hactl/hactl/reconcile/follow"
	"github.com/hactl/hactl/reconcile/forge"
)

// forgeFlags say how an agent and the forge of its repository talk.
type forgeFlags struct {
	kind, api   string
	tokenFile   string
	webhookFile string
}

func (f *forgeFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.webhookFile, "webhook-secret-file", "", "file with the secret of a webhook of GitHub, GitLab, Gitea or Forgejo, which then is answered at /webhook of --listen")
	flags.StringVar(&f.tokenFile, "forge-token-file", "", "file with the token to post commit statuses with")
	flags.StringVar(&f.kind, "forge", "", "github, gitlab, gitea or forgejo (default: what the repository's URL says)")
	flags.StringVar(&f.api, "forge-url", "", "base URL of the forge's API (default: what the repository's URL says)")
	_ = cmd.RegisterFlagCompletionFunc("forge", cobra.FixedCompletions([]string{forge.GitHub, forge.GitLab, forge.Gitea, forge.Forgejo}, cobra.ShellCompDirectiveNoFileComp))
}

// outbox posts commit statuses, nil where that was not asked for.
func (f *forgeFlags) outbox(repo string, log *slog.Logger) (*forge.Outbox, error) {
	if f.tokenFile == "" {
		if f.kind != "" || f.api != "" {
			return nil, errors.New("--forge and --forge-url go with --forge-token-file")
		}
		return nil, nil
	}
	if repo == "" {
		return nil, errors.New("--forge-token-file goes with --repo: a directory has no commits")
	}
	p, err := forge.New(forge.Options{
		Kind: f.kind, Repository: repo, API: f.api, UserAgent: "hactl/" + version(),
		Token: func(context.Context) (string, error) { return secretFile(f.tokenFile) },
	})
	if err != nil {
		return nil, fmt.Errorf("--forge-token-file: %w", err)
	}
	return forge.NewOutbox(p, func(s forge.Status, err error) {
		if err != nil {
			log.Warn("commit status", "revision", s.SHA, "state", s.State, "err", err)
		}
	}), nil
}

// files says what is wrong with the files that the flags name.
func (f *forgeFlags) files() error {
	var errs []error
	for _, file := range []struct{ flag, name string }{{"--forge-token-file", f.tokenFile}, {"--webhook-secret-file", f.webhookFile}} {
		if file.name != "" {
			if _, err := secretFile(file.name); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", file.flag, err))
			}
		}
	}
	return errors.Join(errs...)
}

// webhook answers the forge, nil where that was not asked for.
func (f *forgeFlags) webhook(listens bool, repo, ref string, trigger func(), log *slog.Logger) (*forge.Webhook, error) {
	if f.webhookFile == "" {
		return nil, nil
	}
	if !listens || repo == "" {
		return nil, errors.New("--webhook-secret-file goes with --listen and --repo")
	}
	return forge.NewWebhook(forge.WebhookOptions{
		Secret: func() (string, error) { return secretFile(f.webhookFile) }, Ref: ref, Trigger: trigger,
		Report: func(d forge.Delivery) {
			level := slog.LevelInfo
			if d.Outcome == forge.Refused || d.Outcome == forge.Limited {
				level = slog.LevelWarn
			}
			log.Log(context.Background(), level, "webhook", "outcome", d.Outcome, "forge", d.Forge, "remote", d.Remote, "reason", d.Reason, "ref", d.Ref)
		},
	}), nil
}

// commitStatus is what the forge shows of an event at its commit, if anything.
func commitStatus(ev follow.Event, host string) (forge.Status, bool) {
	s := forge.Status{SHA: ev.Revision, Context: strings.TrimSuffix("hactl/"+host, "/")}
	switch ev.Kind {
	case follow.EventAccepted:
		s.State, s.Description = forge.Success, "runs"
	case follow.EventRefused:
		s.State, s.Description = forge.Failure, string(ev.Reason)+": "+ev.Text
		if ev.Reason == follow.Guarded {
			lines := strings.Split(ev.Text, "\n")
			s.Description = fmt.Sprintf("%s: %s", ev.Reason, brief(lines, forge.MostDescription-len(ev.Reason)-2))
		}
	case follow.EventApplied:
		s.Context += " (edge)"
		s.State, s.Description = forge.Success, "applied at the edge: "+withImpact(ev, forge.MostDescription-len("applied at the edge: "))
	case follow.EventFailed:
		s.Context += " (edge)"
		s.State, s.Description = forge.Error, brief(strings.Split(fmt.Sprint(ev.Err), "\n"), forge.MostDescription)
	default:
		return s, false
	}
	return s, len(s.SHA) == 40
}
