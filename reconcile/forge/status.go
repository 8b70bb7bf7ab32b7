package forge

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
)

// State is what became of a commit.
type State string

// The states. GitLab has no error: it becomes failed, as a failure does.
const (
	Pending State = "pending"
	Success State = "success"
	Failure State = "failure" // the commit is to blame
	Error   State = "error"   // something else is
)

// Status is what a commit is told.
type Status struct {
	SHA   string
	State State
	// Context tells statuses of one commit apart, such as "hactl/lb01".
	Context string
	// Description is put on one line and cut to MostDescription characters.
	Description string
	// TargetURL is a page to read more on; it may be empty.
	TargetURL string
}

// Options are the parts of a Poster.
type Options struct {
	// Kind of forge; it may be empty where Locate can tell.
	Kind string
	// Repository is the clone URL.
	Repository string
	// API is the base URL of the API, where Locate would not find it.
	API string
	// Token is asked for each request.
	Token func(context.Context) (string, error)
	// Client is used without its redirects and cookies; nil is one with the
	// proxies of the environment.
	Client    *http.Client
	UserAgent string
}

// Poster posts commit statuses, one at a time: GitHub asks for no concurrent
// requests. Its methods may be called from anywhere.
type Poster struct {
	kind, api, repository string

	token  func(context.Context) (string, error)
	client *http.Client
	agent  string

	turn   chan struct{}
	posted map[[2]string]Status // the last of each commit and context
	order  [][2]string
}

// remembered is how many commits and contexts a Poster remembers.
const remembered = 256

// The limits of a request and of all tries of one status.
const (
	tryTime   = 15 * time.Second
	tries     = 4
	mostPause = time.Minute
)

// New returns a Poster. It refuses an API that would get the token in clear
// over a network, unless that API's URL was given.
func New(o Options) (*Poster, error) {
	kind, api, repository, err := Locate(o.Kind, o.Repository)
	if err != nil {
		return nil, err
	}
	if o.API != "" {
		api = strings.TrimRight(o.API, "/")
	}
	u, err := url.Parse(api)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, errors.New("the API's URL is not https://host/path, without credentials")
	}
	if u.Scheme == "http" && o.API == "" && !loopback(u.Hostname()) {
		return nil, fmt.Errorf("%s would get the token in clear: give the API's URL to have it so", u.Host)
	}
	if o.Token == nil {
		return nil, errors.New("there is no token to post commit statuses with")
	}
	client := &http.Client{Transport: http.DefaultTransport}
	if o.Client != nil {
		*client = *o.Client
	}
	client.Jar = nil
	// net/http takes only some headers off a request that leaves the host,
	// and GitLab's is not among them.
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	agent := o.UserAgent
	if agent == "" {
		agent = "hactl" // GitHub refuses requests without one.
	}
	return &Poster{
		kind: kind, api: api, repository: repository, token: o.Token, client: client, agent: agent,
		turn: make(chan struct{}, 1), posted: map[[2]string]Status{},
	}, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Post posts a status, unless the last one of that commit and context was the
// same. It tries again, for at most a few minutes, what may work later.
// The error never holds the token.
func (p *Poster) Post(ctx context.Context, s Status) error {
	s, err := s.clean()
	if err != nil {
		return err
	}
	select {
	case p.turn <- struct{}{}:
		defer func() { <-p.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	key := [2]string{s.SHA, s.Context}
	if last, ok := p.posted[key]; ok && last == s {
		return nil
	}
	if err := p.persist(ctx, s); err != nil {
		return fmt.Errorf("post the status of %.12s to %s: %w", s.SHA, p.kind, err)
	}
	if _, ok := p.posted[key]; !ok {
		p.order = append(p.order, key)
	}
	p.posted[key] = s
	if len(p.order) > remembered {
		delete(p.posted, p.order[0])
		p.order = p.order[1:]
	}
	return nil
}

// MostDescription is GitHub's limit (it answers 422 to more).
const MostDescription = 140

// clean checks a status and makes its texts fit. The limit of 255 characters
// is GitLab's.
func (s Status) clean() (Status, error) {
	if !commit(s.SHA) {
		return s, errors.New("post a status: the revision is not a full commit id")
	}
	s.SHA = strings.ToLower(s.SHA)
	switch s.State {
	case Pending, Success, Failure, Error:
	default:
		return s, fmt.Errorf("post a status: %q is no state", string(s.State))
	}
	if s.Context = line(s.Context, 255); s.Context == "" {
		return s, errors.New("post a status: it has no context")
	}
	s.Description = line(s.Description, MostDescription)
	if u, err := url.Parse(s.TargetURL); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.User != nil || len(s.TargetURL) > 255 {
		s.TargetURL = ""
	}
	return s, nil
}

// line puts a text on one line of at most so many characters.
func line(s string, most int) string {
	words := strings.FieldsFunc(strings.ToValidUTF8(s, "?"), func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) })
	runes := []rune(strings.Join(words, " "))
	if len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return string(runes)
}

// persist tries until it worked or cannot.
func (p *Poster) persist(ctx context.Context, s Status) error {
	pause := time.Second
	for try := 1; ; try++ {
		retry, wait, err := p.try(ctx, s)
		if err == nil || !retry || try == tries || ctx.Err() != nil {
			return err
		}
		if wait > mostPause {
			return fmt.Errorf("%w; it asks to wait for %s", err, wait.Round(time.Second))
		}
		select {
		case <-time.After(max(pause, wait)):
			pause *= 2
		case <-ctx.Done():
			return err
		}
	}
}

// try sends one request. Where it failed, retry tells whether it may work
// later, and wait how long the server asks to leave it alone.
func (p *Poster) try(ctx context.Context, s Status) (retry bool, wait time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, tryTime)
	defer cancel()
	token, err := p.token(ctx)
	if err != nil {
		return false, 0, fmt.Errorf("get the token: %w", err)
	}
	if token = strings.TrimSpace(token); token == "" || strings.ContainsFunc(token, unicode.IsControl) {
		return false, 0, errors.New("get the token: it is empty or has more than one line")
	}
	request, err := p.request(ctx, s, token)
	if err != nil {
		return false, 0, err
	}
	response, err := p.client.Do(request)
	if err != nil {
		return true, 0, withoutURL(err)
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(response.Body, 16<<10)) // Only for its message.
	if response.StatusCode/100 == 2 {
		return false, 0, nil
	}
	said := strings.ReplaceAll(message(body), token, "(secret)")
	// GitLab refuses "pending" to what is pending already:
	// https://gitlab.com/gitlab-org/gitlab-foss/-/issues/25807.
	if p.kind == GitLab && response.StatusCode == http.StatusBadRequest && strings.Contains(said, "Cannot transition status") && strings.Contains(said, "from :"+gitlabState(s.State)) {
		return false, 0, nil
	}
	err = &RefusedError{Code: response.StatusCode, Message: said}
	wait, limited := pauseAsked(response.Header, time.Now())
	switch code := response.StatusCode; {
	case code == http.StatusTooManyRequests || code >= 500 && code != http.StatusNotImplemented:
		return true, wait, err
	case code == http.StatusForbidden && limited: // GitHub's way to say 429.
		return true, wait, err
	case code == http.StatusConflict && p.kind == GitLab: // Another host posts to the same pipeline.
		return true, wait, err
	}
	return false, 0, err
}

// RefusedError is an answer of the forge that is no success.
type RefusedError struct {
	Code    int
	Message string // of the forge; it may be empty
}

func (e *RefusedError) Error() string {
	text := fmt.Sprintf("the answer is %d", e.Code)
	if t := http.StatusText(e.Code); t != "" {
		text += " " + t
	}
	switch {
	case e.Code/100 == 3:
		text += ": a redirect is not followed, since the token would go along"
	case e.Message != "":
		text += ": " + e.Message
	}
	return text
}

// request writes a status in the forge's own way.
func (p *Poster) request(ctx context.Context, s Status, token string) (*http.Request, error) {
	var path string
	var body any
	header := http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json"}, "User-Agent": {p.agent}}
	// GitHub, Gitea and Forgejo share names of fields.
	body = struct {
		State       State  `json:"state"`
		TargetURL   string `json:"target_url,omitempty"`
		Description string `json:"description,omitempty"`
		Context     string `json:"context"`
	}{s.State, s.TargetURL, s.Description, s.Context}
	owner, name, _ := strings.Cut(p.repository, "/")
	path = "/repos/" + url.PathEscape(owner) + "/" + url.PathEscape(name) + "/statuses/" + s.SHA
	switch p.kind {
	case GitHub:
		// https://docs.github.com/en/rest/commits/statuses#create-a-commit-status
		header.Set("Accept", "application/vnd.github+json")
		header.Set("X-GitHub-Api-Version", "2022-11-28")
		header.Set("Authorization", "Bearer "+token)
	case GitLab:
		// https://docs.gitlab.com/api/commits/#set-commit-pipeline-status
		path = "/projects/" + url.PathEscape(p.repository) + "/statuses/" + s.SHA
		body = struct {
			State       string `json:"state"`
			TargetURL   string `json:"target_url,omitempty"`
			Description string `json:"description,omitempty"`
			Name        string `json:"name"`
		}{gitlabState(s.State), s.TargetURL, s.Description, s.Context}
		header.Set("PRIVATE-TOKEN", token)
	default:
		// https://docs.gitea.com/api/ (repoCreateStatus), https://codeberg.org/api/swagger
		header.Set("Authorization", "token "+token)
	}
	encoded, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.api+path, bytes.NewReader(encoded))
	if err != nil {
		return nil, errors.New("the API's URL and the repository make no URL")
	}
	r.Header = header
	return r, nil
}

func gitlabState(s State) string {
	if s == Failure || s == Error {
		return "failed"
	}
	return string(s)
}
