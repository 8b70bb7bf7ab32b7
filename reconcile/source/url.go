package source

import (
	"net"
	"net/url"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// remote is where a Git repository is, free of credentials.
type remote struct {
	scheme string // https, http, ssh or file
	user   string // ssh only
	host   string // without brackets; empty for file
	port   int    // 0 for the scheme's own
	path   string // as the server wants it: percent encoded for http, else plain
	text   string // for people
}

const noCredentials = "the URL carries a user name or password (not repeated here): leave them out, and use a token file (--token-file) or ssh"

var (
	helperForm = regexp.MustCompile(`^[A-Za-z0-9+.-]+::`)
	schemeForm = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9+.-]*)://`)
	hostForm   = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_.])?$`)
	userForm   = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._+-]*$`)
)

// parseRemote reads a URL as git does: a scheme, host:path, or a path.
//
// Its errors do not quote the URL, or any part of it that could be a secret.
func parseRemote(raw string) (remote, error) {
	switch {
	case strings.TrimSpace(raw) == "":
		return remote{}, invalid("the repository URL is empty")
	case !utf8.ValidString(raw) || strings.ContainsFunc(raw, unicode.IsControl):
		return remote{}, invalid("the repository URL has a control character or is not UTF-8")
	case helperForm.MatchString(raw):
		return remote{}, invalid("the repository URL asks for a git remote helper (name::...): use https, ssh, file or a path")
	}
	if m := schemeForm.FindStringSubmatch(raw); m != nil {
		return parseURL(strings.ToLower(m[1]), raw)
	}
	// git's rule: a colon before the first slash makes it host:path, and
	// brackets may hold an IPv6 address before that colon.
	if head, _, _ := strings.Cut(raw, "/"); strings.Contains(head, ":") {
		return parseSCP(raw)
	}
	return parsePath(raw, raw)
}

func parseURL(scheme, raw string) (remote, error) {
	u, err := url.Parse(raw)
	if err != nil {
		// url.Parse repeats its input, with any password in it.
		return remote{}, invalid("the repository URL cannot be parsed (not repeated here, as it may hold a secret)")
	}
	if u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return remote{}, invalid("the repository URL has a query or fragment (not repeated here, as it may hold a secret): leave it out")
	}
	if _, has := u.User.Password(); has || u.User != nil && scheme != "ssh" {
		return remote{}, invalid(noCredentials)
	}
	r := remote{scheme: scheme, host: u.Hostname(), path: u.Path}
	switch scheme {
	case "https", "http":
		r.path = strings.TrimRight(u.EscapedPath(), "/")
	case "ssh":
		if u.User != nil {
			r.user = u.User.Username()
		}
		// git's rule: ssh://host/~user/repo means host:~user/repo.
		if strings.HasPrefix(r.path, "/~") {
			r.path = r.path[1:]
		}
	case "file":
		if u.Host != "" && u.Host != "localhost" {
			return remote{}, invalid("a file URL names a path on this machine: write file:///path")
		}
		return parsePath(u.Path, "file://"+u.Path)
	case "git":
		return remote{}, invalid("the git:// protocol is neither encrypted nor authenticated: use https or ssh")
	default:
		return remote{}, invalid("the URL scheme %q is not supported: use https, ssh, file or a path", scheme)
	}
	if p := u.Port(); p != "" {
		if r.port, err = strconv.Atoi(p); err != nil || r.port < 1 || r.port > 65535 {
			return remote{}, invalid("the repository URL has no valid port")
		}
	}
	return r.finish()
}

func parseSCP(raw string) (remote, error) {
	r := remote{scheme: "ssh"}
	rest := raw
	if at := strings.LastIndex(head(raw), "@"); at >= 0 {
		r.user, rest = raw[:at], raw[at+1:]
		if strings.Contains(r.user, ":") {
			return remote{}, invalid(noCredentials)
		}
		if r.user == "" {
			return remote{}, invalid("the repository URL has no valid user name before the @")
		}
	}
	if bracketed, after, ok := strings.Cut(rest, "]:"); ok && strings.HasPrefix(rest, "[") {
		r.host, r.path = bracketed[1:], after
		if host, port, err := net.SplitHostPort(r.host); err == nil && net.ParseIP(r.host) == nil {
			// git's [host:port]:path
			r.host = host
			if r.port, err = strconv.Atoi(port); err != nil || r.port < 1 || r.port > 65535 {
				return remote{}, invalid("the repository URL has no valid port")
			}
		}
	} else {
		r.host, r.path, _ = strings.Cut(rest, ":")
	}
	if strings.Contains(head(r.path), "@") && r.user == "" {
		return remote{}, invalid(noCredentials) // user:password@host:path
	}
	return r.finish()
}

// head is what precedes the first slash.
func head(s string) string {
	h, _, _ := strings.Cut(s, "/")
	return h
}

func parsePath(p, text string) (remote, error) {
	if p == "" {
		return remote{}, invalid("the repository path is empty")
	}
	abs, err := filepath.Abs(p)
	if err != nil {
		return remote{}, invalid("the repository path cannot be made absolute: %v", err)
	}
	return remote{scheme: "file", path: abs, text: text}, nil
}

// finish checks what the network forms share and writes the text for people,
// from the parts, so that nothing unparsed can show in it.
func (r remote) finish() (remote, error) {
	if net.ParseIP(r.host) == nil && !hostForm.MatchString(r.host) {
		return remote{}, invalid("the repository URL has no valid host name")
	}
	if r.scheme == "ssh" {
		if r.user == "" {
			r.user = "git"
		}
		if !userForm.MatchString(r.user) {
			return remote{}, invalid("the repository URL has no valid user name before the @")
		}
	}
	if strings.Trim(r.path, "/") == "" {
		return remote{}, invalid("the repository URL for %s has no path", r.host)
	}
	where := r.host
	if strings.Contains(where, ":") {
		where = "[" + where + "]"
	}
	if r.port != 0 {
		where += ":" + strconv.Itoa(r.port)
	}
	switch p := r.path; {
	case r.scheme != "ssh":
		r.text = r.scheme + "://" + where + p
	case strings.HasPrefix(p, "~") || strings.HasPrefix(p, "/") && !strings.HasPrefix(p, "/~"):
		u := url.URL{Path: "/" + strings.TrimPrefix(p, "/")}
		r.text = "ssh://" + r.user + "@" + where + u.EscapedPath()
	case r.port != 0: // relative to the user's home, which ssh:// cannot say
		r.text = r.user + "@[" + where + "]:" + p
	default:
		r.text = r.user + "@" + where + ":" + p
	}
	return r, nil
}

// hostPort is the address to dial.
func (r remote) hostPort(port int) string {
	if r.port != 0 {
		port = r.port
	}
	return net.JoinHostPort(r.host, strconv.Itoa(port))
}

// loopback reports if the host is this machine, without asking DNS.
func (r remote) loopback() bool {
	ip := net.ParseIP(r.host)
	return r.host == "localhost" || ip != nil && ip.IsLoopback()
}

var fullSHA = regexp.MustCompile(`^[0-9a-fA-F]{40}$`)

// checkRef refuses what git would not accept as a ref's name (git
// check-ref-format) before it is looked for.
func checkRef(ref string) error {
	bad := func(why string) error { return invalid("the ref %s %s", strconv.QuoteToASCII(ref), why) }
	switch {
	case ref == "" || ref == "HEAD" || ref == "@":
		return nil
	case len(ref) > 500:
		return invalid("the ref is too long")
	case len(ref) == 64 && isHex(ref):
		return bad("is a SHA-256: hactl reads SHA-1 repositories only")
	case !utf8.ValidString(ref) || strings.ContainsFunc(ref, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }):
		return bad("has a space or control character, or is not UTF-8")
	case strings.HasPrefix(ref, "-"):
		return bad("begins with a dash")
	case strings.ContainsAny(ref, `~^:?*[\`) || strings.Contains(ref, "@{"):
		return bad("is an expression or pattern: name a branch, a tag, refs/... or a full SHA")
	case strings.Contains(ref, "..") || strings.Contains(ref, "//") || strings.HasPrefix(ref, "/") || strings.HasSuffix(ref, "/") || strings.HasSuffix(ref, "."):
		return bad("is not a valid ref name")
	}
	return nil
}

func isHex(s string) bool {
	return strings.Trim(s, "0123456789abcdefABCDEF") == ""
}

// cleanDir turns the Path option into a folder inside the repository.
func cleanDir(p string) (string, error) {
	bad := func(why string) (string, error) {
		return "", invalid("the path in the repository, %s, %s", strconv.Quote(p), why)
	}
	switch {
	case strings.HasPrefix(p, "/"):
		return bad("must be relative to the repository's root")
	case strings.Contains("/"+p+"/", "/../"):
		return bad("must not contain ..")
	case checkName(path.Clean(p)) != nil:
		return bad("is not a plain folder name")
	}
	return path.Clean(p), nil
}
