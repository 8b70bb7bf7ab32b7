package source

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"

	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
)

// newWeb is the transport of one Git source: the standard one, with its proxy
// settings from the environment, plus the certificates in caFile.
func newWeb(caFile string) (http.RoundTripper, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	if caFile == "" {
		return t, nil
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, fileError(caFile, err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, invalid("the CA file %s holds no PEM certificate", quoteName(caFile))
	}
	t.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	return t, nil
}

// webSession speaks smart HTTP through go-git, which follows redirects of the
// listing only, and takes the credential off those that leave the origin.
type webSession struct {
	transport.UploadPackSession
	credential string // where the token is from, for messages; empty if none is sent
	probe      *probe
}

func (g *GitRemote) connectWeb(ctx context.Context, secrets *[]string) (session, error) {
	token, from, err := g.token(ctx)
	if err != nil {
		return nil, err
	}
	var auth transport.AuthMethod // a nil *BasicAuth in it would not be nil
	if token != "" {
		user := g.opts.Username
		if user == "" {
			user = "x-access-token"
		}
		*secrets = append(*secrets, base64.StdEncoding.EncodeToString([]byte(user+":"+token)), token, url.QueryEscape(token))
		auth = &githttp.BasicAuth{Username: user, Password: token}
	}
	host := g.at.host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	p := &probe{next: g.web, most: g.lim.pack + 1<<20}
	client := githttp.NewClient(&http.Client{Transport: p})
	s, err := client.NewUploadPackSession(&transport.Endpoint{
		Protocol: g.at.scheme,
		Host:     host,
		Port:     g.at.port,
		Path:     g.at.path,
	}, auth)
	if err != nil {
		return nil, err
	}
	return &webSession{UploadPackSession: s, credential: from, probe: p}, nil
}

// token is the secret to send and a name for where it came from.
func (g *GitRemote) token(ctx context.Context) (token, from string, err error) {
	switch {
	case g.opts.Token != nil:
		from = "the token"
		token, err = g.opts.Token(ctx)
		if err != nil {
			return "", "", denied("the token cannot be had: %v", err)
		}
	case g.opts.TokenFile != "":
		from = "the token in " + quoteName(g.opts.TokenFile)
		f, err := os.Open(g.opts.TokenFile)
		if err != nil {
			return "", "", fileError("token file "+g.opts.TokenFile, err)
		}
		defer f.Close()
		data, err := io.ReadAll(io.LimitReader(f, 64<<10))
		if err != nil {
			return "", "", fileError("token file "+g.opts.TokenFile, err)
		}
		token = string(data)
	default:
		return "", "", nil
	}
	token = strings.TrimSpace(token)
	switch {
	case token == "":
		return "", "", invalid("%s is empty", from)
	case strings.ContainsAny(token, "\r\n\x00"):
		return "", "", invalid("%s has more than one line", from)
	}
	return token, from, nil
}

func (s *webSession) close() { _ = s.UploadPackSession.Close() }

func (s *webSession) refs(ctx context.Context) (*packp.AdvRefs, error) {
	adv, err := s.AdvertisedReferencesContext(ctx)
	if err != nil {
		return nil, s.classify(err)
	}
	return adv, nil
}

func (s *webSession) pack(ctx context.Context, req *packp.UploadPackRequest) (io.ReadCloser, error) {
	body, err := s.UploadPack(ctx, req)
	if err != nil {
		return nil, s.explain(s.classify(err))
	}
	return body, nil
}

func (s *webSession) explain(err error) error { return serverSaid(s.probe.beginning(), err) }

// probe is the transport of one fetch. It bounds what a server can send, and
// remembers what go-git drops: where a redirect led, the last status, and how
// the last answer began.
type probe struct {
	next http.RoundTripper
	most int64

	mu    sync.Mutex
	first string // host of the first request
	moved string // host of a later one, if another
	code  int
	head  []byte
}

func (p *probe) RoundTrip(req *http.Request) (*http.Response, error) {
	p.mu.Lock()
	p.code, p.head = 0, nil
	if p.first == "" {
		p.first = req.URL.Host
	}
	if req.URL.Host != p.first {
		p.moved = req.URL.Host
	}
	p.mu.Unlock()
	res, err := p.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	most := p.most
	if res.StatusCode != http.StatusOK {
		most = 64 << 10
	}
	p.mu.Lock()
	p.code = res.StatusCode
	p.mu.Unlock()
	res.Body = &probedBody{ReadCloser: res.Body, left: most, p: p}
	return res, nil
}

func (p *probe) beginning() string { p.mu.Lock(); defer p.mu.Unlock(); return string(p.head) }
func (p *probe) movedTo() string   { p.mu.Lock(); defer p.mu.Unlock(); return p.moved }

// status is the last answer's, unless it was a success.
func (p *probe) status() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.code < 300 {
		return 0
	}
	return p.code
}

type probedBody struct {
	io.ReadCloser
	left int64
	p    *probe
}

func (b *probedBody) Read(buf []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooMuch
	}
	buf = buf[:min(int64(len(buf)), b.left)]
	n, err := b.ReadCloser.Read(buf)
	b.left -= int64(n)
	b.p.mu.Lock()
	b.p.head = append(b.p.head, buf[:min(n, 300-len(b.p.head))]...)
	b.p.mu.Unlock()
	return n, err
}

// Close reads a little on, to the end of most answers: net/http reuses a
// connection only after that, and a poll should not pay for a TLS handshake.
func (b *probedBody) Close() error {
	_, _ = io.CopyN(io.Discard, b.ReadCloser, min(max(b.left, 0), 4<<10))
	return b.ReadCloser.Close()
}

var errTooMuch = errors.New("the answer is too long")
