package source

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
)

// classify says what a failed request means, by status and type; a server's
// own words are quoted, shortened.
func (s *webSession) classify(err error) error {
	var (
		status  *githttp.Err
		failed  *url.Error
		unknown x509.UnknownAuthorityError
		cert    *tls.CertificateVerificationError
		header  tls.RecordHeaderError
		said    = s.probe.beginning()
		code    = s.probe.status()
		moved   = s.probe.movedTo()
	)
	if errors.As(err, &status) {
		code = status.StatusCode()
	}
	hint := ""
	if moved != "" {
		hint = "; it redirects to " + moved
		if s.credential != "" {
			hint += ", where the token is not sent: if the repository has moved there, change its URL"
		}
	}
	switch {
	case errors.Is(err, transport.ErrEmptyRemoteRepository):
		return emptyRepository()
	case code == http.StatusUnauthorized || errors.Is(err, transport.ErrAuthenticationRequired):
		if s.credential == "" {
			return denied("the server asks for a credential, or has no such public repository: give a token file%s", hint)
		}
		return denied("the server refused %s (expired, or without read access to this repository?)%s", s.credential, hint)
	case code == http.StatusForbidden || errors.Is(err, transport.ErrAuthorizationFailed):
		return denied("the server forbids access, saying %q%s", quoteServer(said), hint)
	case code == http.StatusNotFound || errors.Is(err, transport.ErrRepositoryNotFound):
		return notFound("the server has no such repository, or shows it to others only%s", hint)
	case code == http.StatusTooManyRequests || code >= 500:
		return unavailable("the server answered %d %s%s", code, http.StatusText(code), hint)
	case code >= 300 && code < 400 && errors.As(err, &failed):
		return denied("a redirect is not followed: %v", failed.Err)
	case code >= 300:
		return invalid("the server answered %d %s: is this the URL of a Git repository?%s", code, http.StatusText(code), hint)
	case errors.As(err, &cert) || errors.As(err, &unknown):
		return denied("the server's certificate is not trusted: %v; name its issuer in a CA file, never switch the check off", inner(err))
	case errors.As(err, &header):
		return unavailable("the server does not speak TLS there: is it http:// that is meant?")
	case errors.As(err, &failed):
		return unavailable("%v%s", failed.Err, hint)
	}
	return notListing(said, err, hint)
}

// inner strips the request's method and URL off an error.
func inner(err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return err
}

func emptyRepository() error {
	return notFound("the repository is empty: push a commit to it first")
}

// notListing explains an answer that could not be decoded.
func notListing(said string, err error, hint string) error {
	var (
		unexpected *packp.ErrUnexpectedData
		packet     *pktline.ErrorLine
	)
	if errors.As(err, &packet) {
		return refused(packet.Text)
	}
	if errors.As(err, &unexpected) {
		line := unexpected.Data
		// The listing of a SHA-256 repository has 64 digits where go-git
		// has eaten 40.
		if len(line) > 24 && isHex(string(line[:24])) && line[24] == ' ' {
			return invalid("the repository uses SHA-256 object names: hactl reads SHA-1 repositories only")
		}
		if strings.Contains(said, "# service=git-upload-pack") {
			return unavailable("the ref listing is damaged or incomplete: %s%s", unexpected.Msg, hint)
		}
		return invalid("the answer is not a Git ref listing: is this the URL of a Git repository?%s", hint)
	}
	if strings.HasPrefix(strings.TrimSpace(said), "<") {
		return invalid("the answer is a web page, not a Git ref listing: is this the URL of a Git repository?%s", hint)
	}
	return unavailable("the conversation broke off: %v%s", err, hint)
}

// serverSaid prefers an ERR packet in the beginning of an answer, which go-git
// skips over, to what it reports afterwards.
func serverSaid(beginning string, err error) error {
	if _, text, ok := strings.Cut(beginning, "ERR "); ok && len(beginning)-len(text) <= len("0000ERR ") {
		return refused(text)
	}
	return err
}

// refused classifies what git-upload-pack says. It has no codes, so its words
// must do; an unknown one counts as unavailable.
func refused(text string) error {
	low := strings.ToLower(text)
	has := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(low, w) {
				return true
			}
		}
		return false
	}
	switch {
	case has("not our ref", "unadvertised object"):
		return notFound("the server does not give out this revision (%s): it is gone, "+
			"or the server needs uploadpack.allowReachableSHA1InWant=true", quoteServer(text))
	case has("dubious ownership"):
		return denied("git refuses a repository that belongs to another user: `git config --global --add safe.directory PATH` for the user that runs hactl")
	case has("access denied", "permission denied", "not allowed", "unauthorized"):
		return denied("the server said: %s", quoteServer(text))
	case has("does not appear to be a git repository", "not found", "could not be found", "does not exist", "no such"):
		return notFound("there is no such repository, or it is shown to others only: %s", quoteServer(text))
	}
	return unavailable("the server said: %s", quoteServer(text))
}
