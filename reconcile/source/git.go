package source

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"
)

// GitOptions say where a Git repository is and how to get in.
type GitOptions struct {
	// URL is https://, http://, ssh://, file://, [user@]host:path or a path
	// on this machine. It must not hold a credential.
	URL string
	// Ref is a branch, a tag, a full ref (refs/...) or a full SHA, resolved
	// in that order of preference for a name; empty for the remote's HEAD.
	Ref string
	// Path is the spec's folder in the repository, slash separated; empty
	// for its root.
	Path string

	// Token gives an https password; it is called at each fetch. TokenFile
	// is read at each fetch, blanks around its content trimmed. At most one
	// of them. Username goes with either; empty means "x-access-token".
	Token     func(context.Context) (string, error)
	TokenFile string
	Username  string
	// PlainHTTP lets a token travel over http to another machine, where
	// anyone on the way can read it.
	PlainHTTP bool
	// CAFile holds PEM certificates trusted besides the system's.
	CAFile string

	// SSHKeyFile is an unencrypted private key; empty for the SSH agent.
	SSHKeyFile string
	// KnownHostsFile replaces $SSH_KNOWN_HOSTS, and the user's and system's
	// known_hosts.
	KnownHostsFile string

	// Timeout bounds one fetch; 0 means 60 s.
	Timeout time.Duration
}

// GitRemote is a Git repository of specs.
type GitRemote struct {
	opts GitOptions
	at   remote
	dir  string
	lim  limits
	web  http.RoundTripper // https and http only; keeps connections between polls

	// busy holds a token while a fetch runs, so that one which does not end
	// with its context is the only one of its kind.
	busy chan struct{}
}

// Git is the source that follows a ref of a Git repository. It checks the
// options, and touches neither network nor disk, except to read CAFile.
func Git(o GitOptions) (*GitRemote, error) {
	g, err := newGit(o)
	if err != nil {
		return nil, locate(err, "open", "git repository")
	}
	return g, nil
}

func newGit(o GitOptions) (*GitRemote, error) {
	at, err := parseRemote(o.URL)
	if err != nil {
		return nil, err
	}
	if fullSHA.MatchString(o.Ref) {
		o.Ref = strings.ToLower(o.Ref)
	} else if err := checkRef(o.Ref); err != nil {
		return nil, err
	}
	dir, err := cleanDir(o.Path)
	if err != nil {
		return nil, err
	}
	if o.Timeout <= 0 {
		o.Timeout = time.Minute
	}
	web := at.scheme == "https" || at.scheme == "http"
	token := o.Token != nil || o.TokenFile != ""
	switch {
	case o.Token != nil && o.TokenFile != "":
		return nil, invalid("a token and a token file are both given: choose one")
	case token && !web:
		return nil, invalid("a token is for https, and %s is reached over %s", at.text, at.scheme)
	case token && at.scheme == "http" && !at.loopback() && !o.PlainHTTP:
		return nil, invalid("over http anyone on the way to %s can read the token: use https", at.host)
	case o.SSHKeyFile != "" && at.scheme != "ssh":
		return nil, invalid("an SSH key is for ssh, and %s is reached over %s", at.text, at.scheme)
	case o.CAFile != "" && at.scheme != "https":
		return nil, invalid("a CA file is for https, and %s is reached over %s", at.text, at.scheme)
	}
	g := &GitRemote{opts: o, at: at, dir: dir, lim: defaultLimits(), busy: make(chan struct{}, 1)}
	if web {
		if g.web, err = newWeb(o.CAFile); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// Origin is the URL and the ref.
func (g *GitRemote) Origin() string { return g.origin(g.opts.Ref) }

func (g *GitRemote) origin(ref string) string {
	if ref == "" {
		return g.at.text
	}
	return g.at.text + "@" + ref
}

// Fetch implements Source. A pinned SHA that is known costs nothing at all.
func (g *GitRemote) Fetch(ctx context.Context, known string) (*Candidate, error) {
	if known != "" && known == g.opts.Ref {
		return nil, ErrUnchanged
	}
	return attempt(ctx, g, func(ctx context.Context) (*Candidate, error) { return g.fetch(ctx, known) })
}

func (g *GitRemote) fetch(ctx context.Context, known string) (*Candidate, error) {
	return converse(ctx, g, func(s session) (*Candidate, error) { return g.transfer(ctx, s, known) })
}

// attempt does work within the time limit, and leaves it behind where it does
// not end with its context: but one at a time.
func attempt[T any](ctx context.Context, g *GitRemote, work func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, g.opts.Timeout, errTimeout)
	defer cancel()

	var none T
	select {
	case g.busy <- struct{}{}:
	case <-ctx.Done():
		err := interrupted(ctx, g.opts.Timeout).(*Error)
		err.Text += ": an earlier fetch has not ended"
		return none, locate(err, "fetch", g.Origin())
	}

	type result struct {
		t   T
		err error
	}
	done := make(chan result, 1)
	go func() {
		defer func() { <-g.busy }()
		t, err := work(ctx)
		done <- result{t, err}
	}()
	select {
	case r := <-done:
		return r.t, r.err
	case <-ctx.Done():
		return none, locate(interrupted(ctx, g.opts.Timeout), "fetch", g.Origin())
	}
}

// converse has one conversation with the server, and gives its errors a place.
func converse[T any](ctx context.Context, g *GitRemote, talk func(session) (T, error)) (T, error) {
	var (
		none    T
		secrets []string
	)
	t, err := func() (T, error) {
		s, err := g.connect(ctx, &secrets)
		if err != nil {
			return none, err
		}
		defer s.close()
		return talk(s)
	}()
	switch {
	case err == nil:
		return t, nil
	case errors.Is(err, ErrUnchanged):
		return none, ErrUnchanged
	case ctx.Err() != nil:
		// Whatever broke, it broke because time was up.
		err = interrupted(ctx, g.opts.Timeout)
	}
	return none, locate(err, "fetch", g.Origin(), secrets...)
}
