package status

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
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
	"unicode/utf8"

	"github.com/hactl/hactl/reconcile"
)

// Client asks an agent. Its answers are bounded in size and time.
type Client struct {
	base  string
	token string
	http  *http.Client
}

const (
	clientTimeout = 10 * time.Second
	largestAnswer = 16 << 20
	// mostParts bounds what an answer may become in memory, where two bytes can
	// be a step of a plan: a list has a comma for each. A thousand steps have some
	// ten thousand.
	mostParts = 1 << 18
)

// DialLocal is a client of the socket at path.
func DialLocal(path string) *Client {
	return &Client{base: "http://hactl", http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		},
		DisableKeepAlives: true,
	}}}
}

// DialRemote is a client of the agent at an https URL, or http on loopback. What
// it sends is TokenFor that place.
func DialRemote(at, token string, transport http.RoundTripper) *Client {
	if u, err := url.Parse(at); err == nil && token != "" {
		token = TokenFor(token, u.Host)
	}
	return &Client{base: strings.TrimRight(at, "/"), token: token, http: &http.Client{
		Transport: transport, Timeout: clientTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// TokenFor is what a token is worth at one place (host:port) alone: where to ask
// stands in a specification, and who wrote that into a branch is not to learn
// what opens all the others.
func TokenFor(token, authority string) string {
	mac := hmac.New(sha256.New, []byte(token))
	mac.Write([]byte("hactl agent at " + authority))
	return hex.EncodeToString(mac.Sum(nil))
}

// Report decodes the agent's /status into out.
func (c *Client) Report(ctx context.Context, out any) error {
	ctx, cancel := context.WithTimeout(ctx, clientTimeout)
	defer cancel()
	body, err := c.do(ctx, http.MethodGet, "/status", nil)
	if err != nil {
		return err
	}
	if n := bytes.Count(body, []byte(",")); n > mostParts {
		return fmt.Errorf("the answer makes no sense: it has %d parts", n)
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("the answer makes no sense: %w", err)
	}
	return nil
}

// Sync is Control's.
func (c *Client) Sync(ctx context.Context, allowed []reconcile.Rule) error {
	return c.tell(ctx, "/sync", command{Allowed: allowed})
}

// Suspend is Control's.
func (c *Client) Suspend(ctx context.Context, until time.Time, reason string) error {
	return c.tell(ctx, "/suspend", command{Until: until, Reason: reason})
}

// Resume is Control's.
func (c *Client) Resume(ctx context.Context) error { return c.tell(ctx, "/resume", command{}) }

func (c *Client) tell(ctx context.Context, path string, what command) error {
	b, err := json.Marshal(what)
	if err != nil {
		return err
	}
	_, err = c.do(ctx, http.MethodPost, path, b)
	return err
}

func (c *Client) do(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	response, err := c.http.Do(r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, largestAnswer))
	switch {
	case err != nil:
		return nil, err
	case response.StatusCode == http.StatusUnauthorized:
		return nil, errors.New("it does not accept the token")
	case response.StatusCode != http.StatusOK:
		text := said(answer)
		if text == "" {
			text = "it answers " + response.Status
		}
		return nil, errors.New(text)
	}
	return answer, nil
}

// said is the beginning of an answer in a form that is fit for a terminal: what
// answers need not be an agent.
func said(answer []byte) string {
	text := strings.Map(func(r rune) rune {
		if r != '\n' && !unicode.IsPrint(r) || r == utf8.RuneError {
			return '?'
		}
		return r
	}, string(answer[:min(len(answer), 4096)]))
	return strings.TrimSpace(text)
}
