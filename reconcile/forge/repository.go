package forge

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
)

// The kinds of forge.
const (
	GitHub  = "github"
	GitLab  = "gitlab"
	Gitea   = "gitea"
	Forgejo = "forgejo" // speaks Gitea's API
)

// Locate finds out from a clone URL (https, ssh or user@host:path) which API
// belongs to a repository and what the repository is called there. The kind
// may be empty for github.com, gitlab.com, codeberg.org and hosts whose name
// begins with that of a forge. Errors do not repeat the URL.
//
//	github    https://api.github.com, https://api.NAME.ghe.com, https://HOST/api/v3
//	gitlab    https://HOST/api/v4; GitLab below a path needs the API's URL from the user
//	gitea     https://HOST[/PATH]/api/v1
func Locate(kind, cloneURL string) (found, api, repository string, err error) {
	scheme, host, path, err := splitCloneURL(cloneURL)
	if err != nil {
		return "", "", "", err
	}
	name := strings.ToLower(host)
	if h, _, err := net.SplitHostPort(name); err == nil {
		name = h
	}
	if kind == "" {
		if kind = guess(name); kind == "" {
			return "", "", "", fmt.Errorf("which forge %s is cannot be told from its name: say github, gitlab, gitea or forgejo", host)
		}
	}
	parts := strings.Split(path, "/")
	if len(parts) < 2 {
		return "", "", "", errors.New("the repository URL has no owner and name")
	}
	base := scheme + "://" + host
	switch kind {
	case GitHub:
		api = base + "/api/v3"
		if name == "github.com" || name == "ssh.github.com" || name == "www.github.com" {
			api = "https://api.github.com"
		} else if strings.HasSuffix(name, ".ghe.com") {
			// https://docs.github.com/en/enterprise-cloud@latest/admin/data-residency
			api = "https://api." + name
		}
	case GitLab:
		if name == "altssh.gitlab.com" {
			base = "https://gitlab.com"
		}
		api = base + "/api/v4"
	case Gitea, Forgejo:
		for _, below := range parts[:len(parts)-2] {
			base += "/" + url.PathEscape(below)
		}
		api, path = base+"/api/v1", strings.Join(parts[len(parts)-2:], "/")
	default:
		return "", "", "", fmt.Errorf("the forge %q is not known: want github, gitlab, gitea or forgejo", kind)
	}
	if kind == GitHub && len(parts) != 2 {
		return "", "", "", errors.New("the repository URL is not that of an owner and a name at GitHub")
	}
	return kind, api, path, nil
}

func guess(host string) string {
	switch first, _, _ := strings.Cut(host, "."); {
	case host == "github.com" || host == "ssh.github.com" || strings.HasSuffix(host, ".ghe.com") || first == GitHub:
		return GitHub
	case host == "gitlab.com" || host == "altssh.gitlab.com" || first == GitLab:
		return GitLab
	case host == "codeberg.org" || first == Forgejo:
		return Forgejo
	case first == Gitea:
		return Gitea
	}
	return ""
}

var errCloneURL = errors.New("the repository URL is not https, ssh or user@host:path (not repeated here, as it may hold a secret)")

// splitCloneURL returns the scheme of the API, the host with the port that
// the API has, and the repository's path without ".git".
func splitCloneURL(raw string) (scheme, host, path string, err error) {
	if before, after, ok := strings.Cut(raw, ":"); ok && !strings.Contains(raw, "://") && !strings.Contains(before, "/") {
		if _, name, ok := strings.Cut(before, "@"); ok {
			before = name
		}
		scheme, host, path = "https", before, after
	} else {
		u, err := url.Parse(raw)
		if err != nil || u.Host == "" {
			return "", "", "", errCloneURL
		}
		scheme, host, path = u.Scheme, u.Host, u.Path
		switch scheme {
		case "https", "http":
		case "ssh": // Its port is not the API's.
			scheme, host = "https", u.Hostname()
			if strings.Contains(host, ":") {
				host = "[" + host + "]"
			}
		default:
			return "", "", "", errCloneURL
		}
	}
	path = strings.TrimSuffix(strings.Trim(path, "/"), ".git")
	first, _, _ := strings.Cut(path, "/")
	if host == "" || path == "" || strings.ContainsAny(host, "@/?#%\\ ") || strings.Contains(first, "@") {
		return "", "", "", errCloneURL
	}
	return scheme, host, path, nil
}
